"""The learning rate from step to step: each phase of a training has a schedule of its own."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_scheduler

from xlift.harness.core.errors import UserError


def count_warmup(share: float, steps: int) -> int:
    """The number of steps in which the rate rises, rounded up, but at most one less than there are steps, because a rising rate begins at
    0."""
    return min(-int(-share * steps // 1), steps - 1)


def build_schedule(optimizer: torch.optim.Optimizer, name: str, warmup: float, ends: Sequence[int]) -> LambdaLR:
    """A schedule of transformers for each of the phases, which end after the steps ``ends``.

    ``warmup`` is the share of a phase's steps in which the rate rises. The optimiser keeps its moments through all phases. Raises UserError
    for a schedule that does not depend on the number of the step alone.
    """
    starts, parts = (0, *ends[:-1]), []
    for start, end in pairwise((0, *ends)):
        # Asked of an optimiser that is thrown away, as a schedule moves the rate of its optimiser once it is made.
        stand_in = torch.optim.SGD([torch.zeros(1)], lr=optimizer.defaults["lr"])
        made: Any = get_scheduler(name, stand_in, count_warmup(warmup, end - start), end - start)
        if not isinstance(made, LambdaLR):
            raise UserError(f"train.schedule: {name!r} does not go by the step alone; take linear, cosine or constant")
        parts.append(made.lr_lambdas[0])

    def rate(step: int) -> float:
        phase = min(bisect_right(starts, step) - 1, len(parts) - 1)
        return float(parts[phase](step - starts[phase]))

    return LambdaLR(optimizer, rate)
