"""What a paper reports, as a suite says it and the comparison reads it."""

from __future__ import annotations

from collections.abc import Iterator
from string import Formatter

from pydantic import Field, field_validator, model_validator

from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import find
from xlift.harness.core.settings import Section

LANGUAGE = "{lang}"
"""Is replaced by the language in a label, if each language has a model of its own."""

PLACES = ("lang", "flores")
"""What may stand in the name of a task for a language."""

WIN_RATES = ("win_rate", "win_rate_as_written", "length_controlled")
"""Metrics that a judge gives after the evaluation. They are kept beside the record."""


class PaperScores(Section):
    """What a paper reports of one model by one metric, for a comparison with what is measured: ``values``, a ``mean`` or a ``gain``."""

    label: str
    """``base`` or the label of a method of the suite. ``{lang}`` in it is replaced by the language, if each language has a model of its
    own."""
    task: str
    """Name of the task as in ``evaluate.tasks``, with ``{lang}`` or ``{flores}``."""
    metric: str
    """Name of the metric, as the task reports it."""
    values: dict[str, float] = {}
    """The number of each language, in the metric's own unit."""
    mean: float | None = None
    """The mean over the languages of ``over``, in the metric's own unit, if the paper says no more."""
    gain: float | None = None
    """How much higher the mean over ``over`` is than that of ``against``, as a share of the latter: 0.28 is 28 % more."""
    over: tuple[str, ...] = ()
    """Languages of ``mean`` and ``gain``."""
    against: str | None = None
    """For a gain, the label of the other model. For a win rate, the opponent, as the judge's setting names it."""
    source: str = Field(min_length=1)
    """Paper and table, and how the numbers were read."""
    differs: str = ""
    """What differs from what xlift trains and measures here, such as data, LoRA and scorer."""

    @field_validator("values", mode="before")
    @classmethod
    def _takes_numbers(cls, values: object) -> object:
        if isinstance(values, dict):
            for language, value in values.items():
                if isinstance(value, bool):
                    raise UserError(f"expected: values: {language}: must be a number, got {value}")
        return values

    @field_validator("task")
    @classmethod
    def _names_its_language(cls, task: str) -> str:
        try:
            parts = list(Formatter().parse(task))
        except ValueError:
            parts = [(task, "", "", None)]
        if any(field is not None and (field not in PLACES or spec or conversion) for _, field, spec, conversion in parts):
            raise UserError(f"expected: task {task!r}: only {{lang}} and {{flores}} stand for a language in it")
        return task

    @model_validator(mode="after")
    def _says_one_thing(self) -> PaperScores:
        said = [name for name in ("values", "mean", "gain") if getattr(self, name) not in (None, {})]
        if len(said) != 1:
            raise UserError(f"expected: {self.label}, {self.task}: give one of values, mean and gain, got {' and '.join(said) or 'none'}")
        if bool(self.over) != ("values" not in said):
            raise UserError(f"expected: {self.label}, {self.task}: over names the languages of a mean or a gain, and goes with these alone")
        if bool(self.against) != ("gain" in said or self.metric in WIN_RATES):
            raise UserError(
                f"expected: {self.label}, {self.task}: against names the label that a gain is over, or the opponent of a win rate, and "
                "goes with these alone"
            )
        if self.gain is not None and (self.metric in WIN_RATES or self.against == self.label):
            raise UserError(f"expected: {self.label}, {self.task}: a gain is over another label, and of no win rate")
        if len(set(self.over)) != len(self.over):
            raise UserError(f"expected: {self.label}, {self.task}: over names a language twice")
        if len({self.task_in(language) for language in self.languages}) != len(self.languages):
            raise UserError(
                f"expected: {self.label}, {self.task}: it names one task, and {len(self.languages)} languages; put {{lang}} or {{flores}} "
                "in it, or give each task by itself"
            )
        return self

    @property
    def languages(self) -> tuple[str, ...]:
        return self.over or tuple(self.values)

    def label_in(self, language: str) -> str:
        """The label of the model that is measured in a language."""
        return self.label.replace(LANGUAGE, language)

    def task_in(self, language: str) -> str:
        """The task in a language."""
        return self.task.format(lang=language, flores=find(language).flores)

    def list_labels(self) -> Iterator[str]:
        """All labels that it mentions."""
        yield from dict.fromkeys(self.label_in(language) for language in self.languages)
        if self.against and self.gain is not None:
            yield self.against
