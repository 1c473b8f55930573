"""Sample files as pages: each document with its prompt, reference, both answers and scores, fifty on a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from xlift.harness.results import LOWER_IS_BETTER, headline, scale
from xlift.harness.rows import UserError
from xlift.leaderboard.documents import PER_DOCUMENT, read_lines
from xlift.leaderboard.judgements import read_verdicts
from xlift.leaderboard.rows import split
from xlift.leaderboard.runs import UNREADABLE, Run
from xlift.leaderboard.text import slug

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


def read_sheets(run: Run, base: Run | None) -> Iterator[Sheet]:
    """The samples of each task whose file can be read; the base's answers where it had the same documents."""
    for task in run.record.tasks:
        if sheet := read_sheet(run, base, task):
            yield sheet


def read_sheet(run: Run, base: Run | None, task: str) -> Sheet | None:
    """The samples of one task of a run; None where there are none that can be read."""
    lines, result = _read(run, task), run.record.tasks[task]
    if not any("resps" in line for line in lines):  # a published record holds scores alone
        return None
    theirs = {}
    if base is not None and base.key != run.key and task in base.record.tasks:
        same = base.record.tasks[task].comparability == result.comparability
        theirs = {_identify(line): line for line in (_read(base, task) if same else [])}
    metric = PER_DOCUMENT.get(headline(task) or "", headline(task))
    said = _read_verdicts(run, task)
    samples = (_make(line, theirs.get(_identify(line)), metric, number // PER_PAGE + 1, said) for number, line in enumerate(lines))
    return Sheet(task, split(task, run.record.pivot)[1], tuple(samples))


def find_base(runs: Iterable[Run], run: Run) -> Run | None:
    """The base that a run's samples stand beside."""
    return next((one for one in runs if one.record.suite == run.record.suite and one.record.label == "base"), None)


def _identify(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return line.get("doc_id"), line.get("doc_hash"), line.get("filter")


def _read(run: Run, task: str) -> list[dict[str, Any]]:
    file = run.record.tasks[task].samples
    try:
        return _read_sorted(run.stage / file, (run.stage / file).stat().st_mtime_ns) if file else []
    except UNREADABLE:
        return []


@lru_cache(maxsize=32)
def _read_sorted(path: Path, changed: int) -> list[dict[str, Any]]:
    """The rows of a sample file, read once where a base's stands beside many; ``changed`` is its time, so that a new file is read anew."""
    return sorted(read_lines(path), key=lambda line: (line["doc_id"], str(line.get("filter"))))


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


def _make(
    line: Mapping[str, Any], base: Mapping[str, Any] | None, metric: str | None, page: int, said: Mapping[str, Mapping[str, str]]
) -> Sample:  # fmt: skip
    doc = line.get("doc")
    id = str(doc.get("id")) if isinstance(doc, Mapping) else ""
    own = {str(key): _text(value) for key, value in line.items() if str(key).startswith(("judge", "verdict"))}
    scores, theirs = _scores(line), _scores(base or {})
    answer, extracted = _answer(line)
    base_answer, base_extracted = _answer(base) if base is not None else (None, None)
    return Sample(
        id=_text(line.get("doc_id")),
        prompt=_find_prompt(line),
        reference=_text(line.get("target")),
        answer=answer,
        extracted=extracted,
        base=base_answer,
        base_extracted=base_extracted,
        scores=scores,
        base_scores=theirs,
        judge=own | {name: verdicts[id] for name, verdicts in said.items() if id in verdicts},
        marks=_mark(scores, theirs, metric),
        page=page,
    )


def _answer(line: Mapping[str, Any]) -> tuple[str, str | None]:
    answer, extracted = _text(line.get("resps")), _text(line.get("filtered_resps"))
    return answer, extracted if extracted != answer else None


def _mark(scores: Mapping[str, float], base: Mapping[str, float], metric: str | None) -> tuple[str, ...]:
    def judge(values: Mapping[str, float]) -> bool | None:
        if metric is None or metric not in values:
            return None
        high = values[metric] * scale(metric) >= RIGHT
        return not high if metric in LOWER_IS_BETTER else high

    ours, theirs = judge(scores), judge(base)
    flipped = ours is not None and theirs is not None and ours != theirs
    off_target = scores.get("off_target", 0) > 0
    return tuple(name for name, holds in zip(MARKS, (ours is False, flipped, off_target), strict=True) if holds)


def _scores(line: Mapping[str, Any]) -> dict[str, float]:
    names = line.get("metrics")
    found = {str(name): line.get(name) for name in names} if isinstance(names, Sequence) else {}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def _find_prompt(line: Mapping[str, Any]) -> str:
    """The prompt as the model saw it: lm-eval writes the first request's arguments under gen_args_0, older versions as a list."""
    arguments = line.get("arguments")
    if isinstance(arguments, Mapping):
        first = arguments.get("gen_args_0")
        return _text(first.get("arg_0") if isinstance(first, Mapping) else first)
    return _text(arguments)


def _text(value: Any) -> str:
    """The first text in lm-eval's nested lists; several references stand one a line."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        if value and all(isinstance(one, str) for one in value):
            return "\n".join(value)
        return _text(value[0]) if value else ""
    return "" if value is None else str(value)
