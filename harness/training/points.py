"""Adapters that are kept during the training, at shares of its budget: the points of a curve of lift against tokens."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from xlift.harness.training.batching import Course
from xlift.harness.training.report import CurvePoint


def place_points(course: Course, shares: Iterable[float]) -> tuple[CurvePoint, ...]:
    """The first step at which each share of the course's tokens is reached.

    Several shares that are reached in one step are one point. Those that only the last step reaches are none, because the end is measured
    anyway.
    """
    total = course.tokens[-1]
    placed: dict[int, CurvePoint] = {}
    for share in shares:
        step = bisect_left(course.tokens, share * total) + 1
        if step < len(course.steps):
            placed.setdefault(step, CurvePoint(share=share, step=step, tokens_trained=course.tokens[step - 1]))
    return tuple(placed.values())


class KeepPoints(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Keeps the adapter after the steps of the points. A training that continues from a checkpoint keeps later points again, as they
    were."""

    def __init__(self, points: Iterable[CurvePoint], keep: Callable[[CurvePoint], None]) -> None:
        self.points, self.keep = {point.step: point for point in points}, keep

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        if state.global_step in self.points and state.is_world_process_zero:
            self.keep(self.points[state.global_step])
