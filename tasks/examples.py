"""An item of a benchmark as a model is asked it, from the bundled samples: they are xlift's own, so that pages may show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Template

from xlift.harness.core.errors import UserError
from xlift.tasks import data, golds
from xlift.tasks.benchmarks import find_benchmark
from xlift.tasks.entries import Task
from xlift.tasks.wording import read_labels


@dataclass(frozen=True)
class Example:
    """One item."""

    task: str
    language: str
    """Short code of the language of the answer."""
    prompt_language: str
    """Short code of the language that the instruction is in."""
    prompt: str
    """Empty where a text is scored by itself."""
    answers: tuple[str, ...]
    """The reference of an answer that is written, or the answers of which the likelihood is taken; empty where none is right."""
    right: int | None
    """Place of the right one among the answers; None where each of them is right."""
    generated: bool
    """Whether the model writes its answer."""


def find_example(place: str, languages: Sequence[str] = ()) -> Example | None:
    """The first bundled item of one of the leaderboard's benchmarks, in the first of some languages that has one, else in any.

    None where the samples have no item of its kind.
    """
    benchmark = find_benchmark(place)
    tasks: dict[str, Task] = {}
    for task in benchmark.tasks if benchmark else ():
        named, language = task.place("en") or (task.name, "")
        if named == place:
            tasks.setdefault(language, task)
    for language in dict.fromkeys([*(code for code in languages if code in tasks), *tasks]):
        if rows := _read(tasks[language]):
            return _ask(tasks[language], rows[0])
    return None


def _read(task: Task) -> list[dict[str, Any]]:
    try:
        return data.read_samples(*task.source)
    except UserError:
        return []


def _ask(task: Task, row: Mapping[str, Any]) -> Example:
    benchmark = task.benchmark
    text, asked_in = benchmark.ask(task.form.name, task.languages)
    answers, right = _list_answers(task, row, asked_in)
    return Example(task.name, task.answer_language, asked_in, Template(text).render(row), answers, right, benchmark.generated)


def _list_answers(task: Task, row: Mapping[str, Any], asked_in: str) -> tuple[tuple[str, ...], int | None]:
    """The answers of an item, and the place of the right one."""
    benchmark = task.benchmark
    target = benchmark.target
    shown = str(row[target]) if target in row else Template(target).render(row)
    if benchmark.choices:
        return benchmark.choices, benchmark.choices.index(shown)
    if benchmark.labels:
        return tuple(read_labels(benchmark.labels, asked_in)), int(shown)
    if benchmark.answers:
        return tuple(getattr(golds, benchmark.answers)(row)), int(shown) if shown else None
    return ((shown,), 0) if shown else ((), None)
