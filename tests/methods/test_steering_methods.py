"""What inference_intervention promises: maps and vectors by hand, and a strength that held-out lines choose."""

from typing import Any

import numpy as np
import pytest
from fakes import FakeContext

from xlift.harness.plugin import Plan, Steer, UserError, load
from xlift.methods.inference_intervention import draw_like, fit_maps, fit_vectors


def prepare(context: FakeContext | None = None, **options: Any) -> Plan:
    return load("inference_intervention", options).prepare(context or FakeContext())


def test_maps_and_vectors_by_hand() -> None:
    # States (1, 0) and (0, 1) shall become (2, 0) and (1, 1): the map's rows are what the axes become.
    states, wanted = np.array([[[1.0, 0.0]], [[0.0, 1.0]]]), np.array([[[2.0, 0.0]], [[1.0, 1.0]]])
    assert np.allclose(fit_maps(states, wanted), [[[2, 0], [1, 1]]])
    # Means (0.5, 0.5) and (1.5, 0.5): the language's less the pivot's.
    assert np.allclose(fit_vectors(states, wanted), [[-1, 0]])
    # Of three points no line goes through all: x becomes 1, 2 and 6 at 1, 2 and 3, so (1 + 4 + 18) / (1 + 4 + 9).
    assert np.allclose(fit_maps(np.array([[[1.0]], [[2.0]], [[3.0]]]), np.array([[[1.0]], [[2.0]], [[6.0]]])), [[[23 / 14]]])


@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 6)])
def test_the_control_is_random_and_of_the_same_size(shape: tuple[int, ...]) -> None:
    made = np.random.default_rng(1).normal(size=shape)
    drawn = draw_like(made, np.random.default_rng(0))
    assert drawn.shape == shape and drawn.dtype == np.float32
    for one, other in zip(made, drawn, strict=True):
        assert np.linalg.norm(one) == pytest.approx(np.linalg.norm(other), rel=1e-5)
        assert abs((one * other).sum()) < 0.7 * np.linalg.norm(one) ** 2


def test_the_strength_is_the_best_on_held_out_lines() -> None:
    context = FakeContext()
    plan = prepare(context, held_out=5)
    # The fake model likes a strength of 0.2 best.
    assert plan.steer == Steer(layers=(0.25, 0.5, 0.75), strengths={"es": 0.2, "sw": 0.2}, positions="prompt")
    assert plan.chosen_on == "parallel, 5 held-out lines of each language" and plan.rows == ()
    assert context.read_by == 2 * 2 * 35, "the held-out lines make no map"
    found: Any = plan.facts["es"]
    assert found["lines"] == 35
    tried = found["held-out log-probability by strength"]
    assert list(tried) == ["0", "-0.4", "-0.2", "-0.1", "0.1", "0.2", "0.4"]
    assert tried["0.2"] - tried["0"] == pytest.approx(0.1) and tried["0.4"] - tried["0.2"] == pytest.approx(-0.2)
    assert plan.arrays["es"].shape == (3, 6, 6)


def test_vectors_and_the_control_have_the_strength_of_the_real_move() -> None:
    plan = prepare(move="vector", positions="answer", layers=[0.5], held_out=5)
    control = prepare(move="vector", positions="answer", layers=[0.5], held_out=5, random=True)
    assert plan.steer == control.steer and plan.steer is not None and plan.steer.positions == "answer"
    for lang in ("es", "sw"):
        assert plan.arrays[lang].shape == (1, 6)
        assert np.linalg.norm(plan.arrays[lang]) == pytest.approx(np.linalg.norm(control.arrays[lang]), rel=1e-5)
        assert not np.allclose(plan.arrays[lang], control.arrays[lang])


def test_refusals() -> None:
    with pytest.raises(UserError, match="strengths: 0 moves nothing"):
        prepare(strengths=[0, 0.1])
    with pytest.raises(UserError, match="parallel: 40 lines in 'es' that can be used; lower held_out .39."):
        prepare(held_out=39)
    with pytest.raises(UserError, match="move"):
        prepare(move="matrix")
