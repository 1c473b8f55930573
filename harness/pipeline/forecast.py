"""Rows, time and memory before they are spent: what a dry run says of a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xlift.harness.config.suite import TrainSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Row, list_texts
from xlift.harness.evaluation.foreign_tasks import ForeignTask
from xlift.harness.models.bases import load_tokenizer
from xlift.harness.models.shape import Shape, read_shape
from xlift.harness.pipeline import needs
from xlift.harness.pipeline.estimates import CARDS, GIB, NEEDS_GPU, USED, USUAL_CARD, Estimates
from xlift.harness.pipeline.rehearsal import rehearse
from xlift.harness.pipeline.row_budget import choose_rows
from xlift.harness.pipeline.stages import Run, share_training
from xlift.harness.recipes import registry
from xlift.harness.recipes.contract import Plan
from xlift.harness.recipes.parts import select_rows
from xlift.harness.recipes.preferences import PairOptions
from xlift.tasks import data, index
from xlift.tasks.leaks import Guard

ANSWER_TOKENS = 300
"""The tokens that a method has the model write for each of its rows, answers and translations, if only the method knows their length."""
UNSEEN_TOKENS = 300
"""The tokens that a row which is not made yet is counted as, if the training's budget is in epochs."""
BYTES_A_TOKEN = 3
"""The bytes of a row that count as one token, if the base's tokenizer is not here. English has four, other languages two to three."""


@dataclass(frozen=True)
class Training:
    """One training, as far as it is known before it begins."""

    rows: int | None
    tokens: int | None
    steps: int | None
    seconds: float | None


@dataclass(frozen=True)
class Forecast:
    """What is needed to estimate rows, time and memory before they are spent."""

    run: Run
    guard: Guard | None
    """Finds rows that are measured, as far as these are on this machine; None if there is no method."""
    estimates: Estimates | None
    """None for a base whose sizes are not known, and for one behind a server."""
    away: frozenset[str]
    """The methods that need data which are not on this machine, because nothing is fetched."""
    foreign: Mapping[str, ForeignTask]
    """The tasks that are not xlift's."""
    on_paper: bool = False
    """Whether the estimates are those of a card by its maker's figures, and not of this machine."""

    @staticmethod
    def of(run: Run, needed: Sequence[needs.Need], card: str | None = None) -> Forecast:
        """A forecast for this machine or for ``card``; for the usual card if the base needs a GPU and there is none.

        Raises UserError if not even the weights of a training fit into this machine.
        """
        from xlift.harness.engines.device import has_gpu, read_device
        from xlift.harness.evaluation.foreign_tasks import survey_foreign

        shape = _find_shape(run)
        if card is None and shape and shape.parameters >= NEEDS_GPU and not has_gpu():
            card = USUAL_CARD
        away = frozenset(need.who for need in needed if need.supply.state == "to fetch")
        here = [need.supply.key for need in needed if need.who == needs.TASKS and need.supply.state in ("here", "samples")]
        guard = data.guard_of(here, samples=run.suite.data.samples) if run.suite.methods else None
        device = CARDS[card].device if card else read_device() if shape else None
        estimates = Estimates(shape, device) if shape and device else None
        found = Forecast(run, guard, estimates, away, survey_foreign(run.suite, run.tasks), card is not None)
        if found.estimates and not found.on_paper:
            found._require_memory(found.estimates)
        return found

    def _require_memory(self, estimates: Estimates) -> None:
        """Raises UserError if not even the weights of a training fit."""
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
        """The memory of each method's training, and how much is free, as text."""
        if self.estimates is None or not self._trained:
            return ""
        device = self.estimates.device
        sizes = {label: self.estimates.train_bytes(self.run.suite.training(label)) / GIB for label in self._trained}
        labels: dict[str, list[str]] = {}
        for label, size in sizes.items():
            labels.setdefault(f"{size:.1f} GiB", []).append(label)
        shown = [f"{size} ({', '.join(some)})" if len(labels) > 1 else size for size, some in labels.items()]
        room = (
            f"{device.name} has {device.free / GIB:.0f} GiB" if self.on_paper else f"{device.free / GIB:.1f} GiB are free on {device.name}"
        )
        text = f"{', '.join(shown)}; {room}"
        more = "; lower train.micro_batch_tokens, or set train.gradient_checkpointing or train.quantise"
        return text + (more if max(sizes.values()) > device.free / GIB else "")

    def rehearse(self, label: str) -> Plan | None:
        """The first rows of a method that needs no model for them, if everything that it reads is on this machine."""
        if self.guard is None or label in self.away:
            return None
        return rehearse(self.run, label, self.guard)

    def train(self, label: str, rows: int | None, made: Plan | None) -> Training:
        """One training of a method: exactly if its rows are made, else by its budget."""
        settings = self.run.suite.training(label)
        if rows == 0:
            return Training(0, 0, None, None)
        tokens, steps = settings.tokens, settings.tokens and -(-settings.tokens // settings.batch_tokens)
        if made and made.rows and not self.run.lacks_base:
            from xlift.harness.training import batching

            tokens, steps, tokenizer = 0, 0, load_tokenizer(self.run.base)
            trained: list[tuple[Sequence[Row], TrainSettings]] = [(made.rows, settings)]
            if made.parts:
                trained = [(select_rows(made.rows, part), share_training(settings, part.share)) for part in made.parts.values()]
            for own, shared in trained:
                corpus = batching.encode(own, tokenizer, settings.max_length)
                course = batching.plan(corpus, shared, 0, made.phases, made.objective)
                tokens, steps = tokens + course.tokens[-1], steps + len(course.steps)
        assumed = tokens or round(settings.epochs * self._assume_tokens(rows or 0, made, settings.max_length))
        seconds = self.estimates.train_seconds(settings, assumed) if self.estimates and assumed else None
        return Training(rows, tokens, steps, seconds)

    def _assume_tokens(self, rows: int, made: Plan | None, max_length: int) -> float:
        """The number of tokens of rows that no tokenizer has counted."""
        if made is None:
            return rows * min(UNSEEN_TOKENS, max_length)
        return sum(min(len("".join(list_texts(row)).encode()) / BYTES_A_TOKEN, max_length) for row in made.rows)

    def expect_rows(self, label: str) -> int | None:
        """The most rows of a method by its budget. A method that makes pairs has one or two for each prompt and language."""
        chosen = self.run.suite.methods[label]
        options = registry.load(chosen.method, chosen.options).options
        budget = choose_rows(self.run.suite, label).expected
        if budget is None and isinstance(options, PairOptions):
            return options.rows_a_prompt * options.prompts * len(self.run.suite.trained(label))
        return budget

    def prepare(self, rows: int | None) -> float | None:
        """The answers for which a method asks in order to make this number of rows."""
        return self.estimates.answer_seconds(rows, ANSWER_TOKENS) if self.estimates and rows is not None else None

    def knows_answers(self, task: str) -> bool:
        """Whether it is known how long answers may become. It is not for a task with generated answers that is not xlift's."""
        return task not in self.foreign or self.foreign[task].likelihood

    def measure(self, items: Mapping[str, int | None]) -> float | None:
        """The answers of one model to this number of items of each task, if they are known. Likelihoods count as answers without a
        token."""
        known = {task: count for task, count in items.items() if count is not None and self.knows_answers(task)}
        if self.estimates is None or (items and not known):
            return None
        return sum(self.estimates.answer_seconds(count, USED * index.allowance_of(task)) for task, count in known.items())


def _find_shape(run: Run) -> Shape | None:
    """The sizes of the base from its own configuration, or from the suite if it is not here."""
    stated = run.suite.base.sizes
    return read_shape(run.base) or (Shape(**stated.model_dump()) if stated else None)
