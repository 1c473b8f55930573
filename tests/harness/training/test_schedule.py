"""The learning rate of every step."""

from math import ceil, cos, pi

import pytest
import torch
from transformers import get_scheduler

from xlift.harness.training.schedule import build_schedule, count_warmup


def rates(name: str, warmup: float, ends: tuple[int, ...], rate: float = 1.0) -> list[float]:
    """The rate at which each step is taken."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    schedule, found = build_schedule(optimizer, name, warmup, ends), []
    for _ in range(ends[-1]):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_each_phase_has_a_schedule_of_its_own() -> None:
    # Four steps of linear decay, then two: each phase begins at the full rate.
    assert rates("linear", 0.0, (4, 6)) == [1.0, 0.75, 0.5, 0.25, 1.0, 0.5]
    assert rates("cosine", 0.0, (2, 6)) == pytest.approx([1.0, 0.5, *(0.5 + 0.5 * cos(pi * step / 4) for step in range(4))])
    # One step in four rises, in each phase: from 0 to 1, then down over three, and from 0 again.
    assert rates("linear", 0.25, (4, 8)) == pytest.approx([0.0, 1.0, 2 / 3, 1 / 3] * 2)


def test_warm_up_never_swallows_the_only_step() -> None:
    assert [count_warmup(0.05, steps) for steps in (1, 2, 20, 21, 40)] == [0, 1, 1, 2, 2]
    assert count_warmup(0.99, 3) == 2
    for name in ("linear", "cosine", "constant_with_warmup"):
        assert rates(name, 0.05, (1,), rate=2.0) == [2.0]
        assert rates(name, 0.5, (1, 2)) == [1.0, 1.0]


@pytest.mark.parametrize("name", ["linear", "cosine", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt"])
def test_a_training_of_one_phase_is_as_transformers_has_it(name: str) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2e-4)
    theirs, expected = get_scheduler(name, optimizer, ceil(0.1 * 25), 25), []
    for _ in range(25):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert rates(name, 0.1, (25,), rate=2e-4) == expected
