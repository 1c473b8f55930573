"""Sample files as pages: each document with its prompt, reference, both answers and scores, fifty on a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from xlift.harness.core.errors import UserError
from xlift.leaderboard.loading.runs import UNREADABLE, Run
from xlift.leaderboard.loading.scores import read_lines
from xlift.leaderboard.loading.slugs import slug
from xlift.leaderboard.loading.win_rates import read_verdicts
from xlift.tasks.benchmarks import find_metric, per_document

PER_PAGE = 50
RIGHT = 50.0
"""Points from which an answer counts as right in the filters."""

MARKS = ("wrong", "flipped", "off-target")


@dataclass(frozen=True)
class Sample:
    """One document as one model and its base answered it."""

    id: str
    prompt: str
    reference: str
    answer: str
    extracted: str | None
    """None where extraction changed nothing."""
    base: str | None
    base_extracted: str | None
    scores: Mapping[str, float]
    base_scores: Mapping[str, float]
    judge: Mapping[str, str]
    marks: tuple[str, ...]
    """Of MARKS."""
    page: int

    @property
    def figures(self) -> list[tuple[str, str, str]]:
        """Each metric with the scores of the answer and of the base's, empty where it has none."""
        base = self.base_scores
        return [(name, f"{value:.3g}", f"{base[name]:.3g}" if name in base else "") for name, value in self.scores.items()]


@dataclass(frozen=True)
class Sheet:
    """All samples of one task of one run."""

    task: str
    language: str
    samples: tuple[Sample, ...]

    @property
    def pages(self) -> int:
        return max(1, -(-len(self.samples) // PER_PAGE))

    def file(self, page: int) -> str:
        return f"{slug(self.task)}-{page}.html"

    def marked(self, mark: str) -> list[Sample]:
        return [sample for sample in self.samples if mark in sample.marks]


def read_sheet(run: Run, base: Run | None, task: str) -> Sheet | None:
    """The samples of one task of a run, with the base's answers where it had the same documents; None where none can be read."""
    lines, result = _read(run, task), run.record.tasks[task]
    if not any(line.answered for line in lines):  # a published record holds scores alone
        return None
    theirs: Mapping[tuple[str, str, str], _Line] = {}
    if base is not None and base.key != run.key and task in base.record.tasks:
        same = base.record.tasks[task].comparability == result.comparability
        theirs = {line.key: line for line in (_read(base, task) if same else ())}
    metric = per_document(result.benchmark)
    said = _read_verdicts(run, task)
    samples = (_make(line, theirs.get(line.key), metric, number // PER_PAGE + 1, said) for number, line in enumerate(lines))
    return Sheet(task, result.language, tuple(samples))


def find_base(runs: Iterable[Run], run: Run) -> Run | None:
    """The base that a run's samples stand beside."""
    return next((one for one in runs if one.record.suite == run.record.suite and one.record.label == "base"), None)


@dataclass(frozen=True)
class _Line:
    """A row of a sample file as one model left it."""

    key: tuple[str, str, str]
    """What tells its document from others: doc_id, doc_hash and filter."""
    id: str
    doc: str
    """The document's own id, which verdicts go by."""
    prompt: str
    reference: str
    answer: str
    extracted: str | None
    scores: Mapping[str, float]
    judge: Mapping[str, str]
    answered: bool


def _read(run: Run, task: str) -> tuple[_Line, ...]:
    file = run.record.tasks[task].samples
    try:
        return _read_lines(run.stage / file, (run.stage / file).stat().st_mtime_ns) if file else ()
    except UNREADABLE:
        return ()


@lru_cache(maxsize=8)
def _read_lines(path: Path, changed: int) -> tuple[_Line, ...]:
    """The rows of a sample file, read once where a base's stands beside every seed.

    ``changed`` is the file's time, so that a new one is read anew.
    """
    rows = sorted(read_lines(path), key=lambda row: (row["doc_id"], str(row.get("filter"))))
    return tuple(_parse(row) for row in rows)


def _parse(row: Mapping[str, Any]) -> _Line:
    doc, metrics = row.get("doc"), row.get("metrics")
    answer, extracted = _text(row.get("resps")), _text(row.get("filtered_resps"))
    return _Line(
        key=(str(row.get("doc_id")), str(row.get("doc_hash")), str(row.get("filter"))),
        id=_text(row.get("doc_id")),
        doc=str(doc.get("id")) if isinstance(doc, Mapping) else "",
        prompt=_find_prompt(row),
        reference=_text(row.get("target")),
        answer=answer,
        extracted=extracted if extracted != answer else None,
        scores={
            str(name): float(value)
            for name in (metrics if isinstance(metrics, list) else ())
            if isinstance(value := row.get(name), int | float)
        },
        judge={str(key): _text(value) for key, value in row.items() if str(key).startswith(("judge", "verdict"))},
        answered="resps" in row,
    )


def _read_verdicts(run: Run, task: str) -> dict[str, dict[str, str]]:
    """What each judge said of a task's items by id; nothing of a file that cannot be read."""
    found = {}
    for rate in run.win_rates:
        if rate.task == task:
            try:
                found[f"Judge: {rate.setting.name}"] = read_verdicts(rate)
            except UserError:
                continue
    return found


def _make(line: _Line, base: _Line | None, metric: str | None, page: int, said: Mapping[str, Mapping[str, str]]) -> Sample:
    theirs: Mapping[str, float] = base.scores if base else {}
    return Sample(
        id=line.id,
        prompt=line.prompt,
        reference=line.reference,
        answer=line.answer,
        extracted=line.extracted,
        base=base.answer if base else None,
        base_extracted=base.extracted if base else None,
        scores=line.scores,
        base_scores=theirs,
        judge={**line.judge, **{name: verdicts[line.doc] for name, verdicts in said.items() if line.doc in verdicts}},
        marks=_mark(line.scores, theirs, metric),
        page=page,
    )


def _mark(scores: Mapping[str, float], base: Mapping[str, float], metric: str | None) -> tuple[str, ...]:
    def judge(values: Mapping[str, float]) -> bool | None:
        if metric is None or metric not in values:
            return None
        known = find_metric(metric)
        high = values[metric] * known.scale >= RIGHT
        return not high if known.lower_is_better else high

    ours, theirs = judge(scores), judge(base)
    flipped = ours is not None and theirs is not None and ours != theirs
    off_target = scores.get("off_target", 0) > 0
    return tuple(name for name, holds in zip(MARKS, (ours is False, flipped, off_target), strict=True) if holds)


def _find_prompt(row: Mapping[str, Any]) -> str:
    """The prompt as the model saw it: lm-eval writes the first request's arguments under gen_args_0, older versions as a list."""
    arguments = row.get("arguments")
    if isinstance(arguments, Mapping):
        first = arguments.get("gen_args_0")
        return _text(first.get("arg_0") if isinstance(first, Mapping) else first)
    return _text(arguments)


def _text(value: Any) -> str:
    """The first text in lm-eval's nested lists; several references stand one a line."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        if len(value) > 1 and all(isinstance(one, str) for one in value):
            return "\n".join(value)
        return _text(value[0]) if value else ""
    return "" if value is None else str(value)
