"""Sample files as pages: each document with its prompt, reference, both answers and scores, fifty on a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.samples import SampleLine, read_samples, read_text
from xlift.leaderboard.loading.runs import UNREADABLE, Run
from xlift.leaderboard.loading.slugs import slug
from xlift.leaderboard.loading.win_rates import read_verdicts
from xlift.tasks.entries import Metric

PER_PAGE = 50
RIGHT = 50.0
"""From this number of points on, an answer counts as right in the filters."""

MARKS = ("wrong", "flipped", "off-target", "thinking-cut")


@dataclass(frozen=True)
class Sample:
    """One document as one model and its base answered it."""

    id: str
    """Its number; where an answer went through several filters, that of each after the first with the filter's name."""
    prompt: str
    reference: str
    answer: str
    extracted: str | None
    """None if extraction changed nothing."""
    base: str | None
    base_extracted: str | None
    scores: Mapping[str, float]
    base_scores: Mapping[str, float]
    judge: Mapping[str, str]
    marks: tuple[str, ...]
    """The labels of MARKS that apply."""
    page: int = 1
    choices: tuple[str, ...] = ()
    """A line for each answer whose likelihood was taken, with its logarithm, and the base's in brackets."""
    base_page: int = 0
    """The page of the base's samples that shows the same prompt, reference and answer of the base; 0 where there is none."""

    @property
    def figures(self) -> list[tuple[str, str, str]]:
        """Each metric with the scores of the answer and of the base's; empty if it has none."""
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

    @property
    def start(self) -> str:
        """What the names of its pages begin with, before their number."""
        return f"{slug(self.task)}-"

    def file(self, page: int) -> str:
        return f"{self.start}{page}.html"

    def marked(self, mark: str) -> list[Sample]:
        return [sample for sample in self.samples if mark in sample.marks]


def read_sheet(run: Run, base: Run | None, task: str) -> Sheet | None:
    """The samples of one task of a run, with the base's answers if it had the same documents; None if none can be read."""
    lines, result = _read(run, task), run.record.tasks[task]
    if all(line.responses is None for line in lines):  # a published record holds scores alone
        return None
    theirs: Mapping[tuple[int, str, str], tuple[int, SampleLine]] = {}
    if base is not None and base.key != run.key and task in base.record.tasks:
        same = base.record.tasks[task].comparability == result.comparability
        theirs = {_key(line): (_find_page(number), line) for number, line in enumerate(_read(base, task) if same else ())}
    known = result.find_metric(result.tested) if result.tested else None
    said = _read_verdicts(run, task)
    samples = []
    for number, line in enumerate(lines):
        again = number > 0 and lines[number - 1].doc_id == line.doc_id  # through another filter
        name = f"{line.doc_id} {line.filter}" if again else str(line.doc_id)
        samples.append(replace(_make(line, theirs.get(_key(line)), known, said), id=name, page=_find_page(number)))
    return Sheet(task, result.language, tuple(samples))


def _find_page(number: int) -> int:
    return number // PER_PAGE + 1


def find_base(runs: Iterable[Run], run: Run) -> Run | None:
    """The base with which a run's samples are shown."""
    return next((one for one in runs if one.record.suite == run.record.suite and one.record.label == "base"), None)


def _read(run: Run, task: str) -> tuple[SampleLine, ...]:
    file = run.record.tasks[task].samples
    try:
        return _read_lines(run.stage / file, run.record.tasks[task].samples_sha256, (run.stage / file).stat().st_mtime_ns) if file else ()
    except UNREADABLE:
        return ()


@lru_cache(maxsize=8)
def _read_lines(path: Path, sha256: str | None, changed: int) -> tuple[SampleLine, ...]:
    """The lines of a sample file, read once if a base's is shown beside every seed.

    ``changed`` is the file's time, so that a new one is read again.
    """
    return tuple(sorted(read_samples(path, sha256), key=lambda line: (line.doc_id, line.filter)))


def _key(line: SampleLine) -> tuple[int, str, str]:
    """What tells a document from others."""
    return line.doc_id, line.doc_hash, line.filter


def _extract(line: SampleLine) -> str | None:
    return line.extracted if line.extracted != line.answer else None


def _take_scores(line: SampleLine) -> dict[str, float]:
    return {name: float(value) for name, value in line.metrics.items() if isinstance(value, int | float)}


def _read_verdicts(run: Run, task: str) -> dict[str, dict[str, str]]:
    """What each judge said of a task's items, by id; nothing from a file that cannot be read."""
    found = {}
    for judged in run.win_rates:
        if judged.rate.task == task:
            try:
                found[f"Judge: {judged.setting.name}"] = read_verdicts(judged)
            except UserError:
                continue
    return found


def _make(
    line: SampleLine, beside: tuple[int, SampleLine] | None, known: Metric | None, said: Mapping[str, Mapping[str, str]]
) -> Sample:  # fmt: skip
    base_page, base = beside or (0, None)
    same = base is not None and base.responses is not None and (base.prompt, base.target) == (line.prompt, line.target)
    scores, theirs, doc = _take_scores(line), _take_scores(base) if base else {}, str(line.doc.get("id"))
    judge = {name: read_text(value) for name, value in line.metrics.items() if name.startswith(("judge", "verdict"))}
    return Sample(
        id=str(line.doc_id),
        prompt=line.prompt,
        reference=line.target,
        answer=line.answer,
        extracted=_extract(line),
        base=base.answer if base else None,
        base_extracted=_extract(base) if base else None,
        scores=scores,
        base_scores=theirs,
        judge={**judge, **{name: verdicts[doc] for name, verdicts in said.items() if doc in verdicts}},
        marks=_mark(scores, theirs, known, line.filter),
        choices=_write_choices(line, base),
        base_page=base_page if same else 0,
    )


def _write_choices(line: SampleLine, base: SampleLine | None) -> tuple[str, ...]:
    theirs = {choice.text: choice.likelihood for choice in base.choices} if base else {}
    written = []
    for choice in line.choices:
        beside = f" (base {theirs[choice.text]:.2f})" if choice.text in theirs else ""
        written.append(f"{choice.likelihood:.2f}{beside}: {choice.text}")
    return tuple(written)


def _mark(scores: Mapping[str, float], base: Mapping[str, float], known: Metric | None, chosen: str) -> tuple[str, ...]:
    """The labels of an answer. ``chosen`` is the filter of the answer. A metric without a bound calls nothing right or wrong."""

    def judge(values: Mapping[str, float]) -> bool | None:
        name, _, wanted = known.name.partition("/") if known else ("", "", "")
        if known is None or known.most is None or name not in values or wanted not in ("", chosen):
            return None
        high = values[name] * known.scale >= RIGHT
        return not high if known.lower_is_better else high

    ours, theirs = judge(scores), judge(base)
    flipped = ours is not None and theirs is not None and ours != theirs
    off_target, cut = (scores.get(name, 0) > 0 for name in ("off_target", "thinking_cut"))
    return tuple(name for name, holds in zip(MARKS, (ours is False, flipped, off_target, cut), strict=True) if holds)
