"""Rows, time and memory before they are spent: what a dry run tells of a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.foreign_tasks import ForeignTask
from xlift.harness.models.bases import load_tokenizer
from xlift.harness.models.shape import read_shape
from xlift.harness.pipeline import needs
from xlift.harness.pipeline.estimates import GIB, USED, Estimates
from xlift.harness.pipeline.rehearsal import rehearse
from xlift.harness.pipeline.stages import Run
from xlift.harness.recipes import registry
from xlift.harness.recipes.contract import Plan
from xlift.tasks import data, index
from xlift.tasks.leaks import Guard

ANSWER_TOKENS = 300
"""That a method has written for each of its rows, answers and translations, where the method alone knows how long they are."""


@dataclass(frozen=True)
class Training:
    """One training as far as it is known before it."""

    rows: int | None
    tokens: int | None
    steps: int | None
    seconds: float | None


@dataclass(frozen=True)
class Forecast:
    """What is needed to tell rows, time and memory before they are spent."""

    run: Run
    guard: Guard | None
    """Against rows that are measured with; None where those are not on this machine."""
    estimates: Estimates | None
    """None for a base whose sizes are not known, and for one behind a server."""
    away: frozenset[str]
    """Methods that need data which are not on this machine: nothing is fetched."""
    foreign: Mapping[str, ForeignTask]
    """The tasks that are not xlift's."""

    @staticmethod
    def of(run: Run, needed: Sequence[needs.Need]) -> Forecast:
        """Raises UserError where not even the weights of a training fit."""
        from xlift.harness.engines.device import read_device
        from xlift.harness.evaluation.foreign_tasks import survey_foreign

        shape = read_shape(run.base)
        away = frozenset(need.who for need in needed if need.supply.state == "to fetch")
        readable = run.suite.methods and needs.TASKS not in away
        guard = data.guard_of(index.sources(run.tasks), samples=run.suite.data.samples) if readable else None
        estimates = Estimates(shape, read_device()) if shape else None
        found = Forecast(run, guard, estimates, away, survey_foreign(run.suite, run.tasks))
        if found.estimates:
            found._require_memory(found.estimates)
        return found

    def _require_memory(self, estimates: Estimates) -> None:
        """Raises UserError where not even the weights of a training fit."""
        device = estimates.device
        for label in self._trained:
            needed = estimates.weight_bytes(self.run.suite.training(label)) / GIB
            if needed > device.free / GIB:
                raise UserError(
                    f"methods.{label}: the weights of {self.run.base.name} take {needed:.1f} GiB, and {device.name} has "
                    f"{device.free / GIB:.1f} GiB free; set train.quantise: 4bit on a GPU, or take a smaller base"
                )

    @property
    def _trained(self) -> list[str]:
        methods = self.run.suite.methods
        return [label for label, chosen in methods.items() if registry.find_method(chosen.method).trains]

    def write_memory(self) -> str:
        """Of each method's training, and how much is free."""
        if self.estimates is None or not self._trained:
            return ""
        device = self.estimates.device
        sizes = {label: self.estimates.train_bytes(self.run.suite.training(label)) / GIB for label in self._trained}
        labels: dict[str, list[str]] = {}
        for label, size in sizes.items():
            labels.setdefault(f"{size:.1f} GiB", []).append(label)
        shown = [f"{size} ({', '.join(some)})" if len(labels) > 1 else size for size, some in labels.items()]
        text = f"{', '.join(shown)}; {device.free / GIB:.1f} GiB are free on {device.name}"
        more = "; lower train.micro_batch_tokens, or set train.gradient_checkpointing or train.quantise"
        return text + (more if max(sizes.values()) > device.free / GIB else "")

    def rehearse(self, label: str) -> Plan | None:
        """The first rows of a method that needs no model for them, where all that it reads is on this machine."""
        if self.guard is None or label in self.away:
            return None
        return rehearse(self.run, label, self.guard)

    def train(self, label: str, rows: int | None, made: Plan | None) -> Training:
        """One training of a method: exactly where its rows are made, else by its budget."""
        settings = self.run.suite.training(label)
        if rows == 0:
            return Training(0, 0, None, None)
        tokens, steps = settings.tokens, settings.tokens and -(-settings.tokens // settings.batch_tokens)
        if made and made.rows:
            from xlift.harness.training import batching

            corpus = batching.encode(made.rows, load_tokenizer(self.run.base), settings.max_length)
            course = batching.plan(corpus, settings, 0, made.phases, made.objective)
            tokens, steps = course.tokens[-1], len(course.steps)
        seconds = self.estimates.train_seconds(settings, tokens) if self.estimates and tokens else None
        return Training(rows, tokens, steps, seconds)

    def prepare(self, rows: int | None) -> float | None:
        """The answers that a method asks for, to make so many rows of them."""
        return self.estimates.answer_seconds(rows, ANSWER_TOKENS) if self.estimates and rows is not None else None

    def measure(self, items: Mapping[str, int] | None) -> float | None:
        """The answers of one model to so many items of each task; likelihoods as answers without a token.

        None where a task is not xlift's and generates: how long its answers may become is not known.
        """
        if self.estimates is None or items is None or not all(one.likelihood for one in self.foreign.values()):
            return None
        return sum(self.estimates.answer_seconds(count, USED * index.allowance_of(task)) for task, count in items.items())
