"""Language fidelity of finished runs, from lm-eval's samples of all generation tasks, with one row for each model and task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypedDict

from xlift.harness.core.errors import UserError
from xlift.harness.core.parallel import share
from xlift.harness.evaluation.records import read_records
from xlift.harness.evaluation.samples import find_samples, read_samples, take_first_filter
from xlift.harness.recipes.filters import is_repetitive
from xlift.tasks import index
from xlift.tasks.fidelity import describe
from xlift.tasks.thinking import separate

SHARED = 16
"""With at least this number of sample files, all cores read them. One of 250 answers takes a second or two, as long as a process takes to
start."""


class Fidelity(TypedDict):
    """Shares of answers, each 0 to 1."""

    lang: str
    """The language that is expected."""
    items: int
    off_target: float
    """The share of the answers whose language can be told; 0 if there are none."""
    on_target: float
    """The share of all answers, like ``cannot_tell``. The rest is in another language."""
    cannot_tell: float
    told: int
    """The number of answers whose language can be told."""
    mixed: float
    """The share of answers that are partly in another language."""
    foreign: float
    """The mean share of letters in sentences of another language."""
    refusal: float
    empty: float
    repeated: float
    thinking_cut: float
    """The share of answers whose thinking never ended."""
    languages: str
    """The languages that were found most often, with their shares."""
    scripts: str


class ModelFidelity(Fidelity):
    """The answers of one model to one task."""

    suite: str
    model: str
    task: str


def report(runs: Iterable[Path]) -> list[ModelFidelity]:
    """Shares of answers, 0 to 1, by run, model and task.

    Tasks that are not xlift's are left out, because they expect no language, and so are those that generate no answer.

    Raises UserError for a run without results and for samples that are gone or damaged.
    """
    found = [
        (measured.record, task, (find_samples(measured, task), measured.record.tasks[task].samples_sha256, lang))
        for run in runs
        for measured in read_records([run]).measurements
        for task in measured.record.tasks
        if (lang := index.written_language(task)) is not None
    ]
    if not found:
        raise UserError("no task of xlift's in these runs that generates answers: for others the language is not known")
    # One language after the other: lingua loads up to 100 MB for each, and joblib ends a process that has grown by 300 MB, which would then
    # load again what it needs.
    places = sorted(range(len(found)), key=lambda place: found[place][2][2])
    shares = dict(zip(places, share(_summarise_file, [found[place][2] for place in places], least=SHARED), strict=True))
    return [{"suite": record.suite, "model": record.name, "task": task, **shares[place]} for place, (record, task, _) in enumerate(found)]


def _summarise_file(path: Path, sha256: str | None, lang: str) -> Fidelity:
    lines = take_first_filter(read_samples(path, sha256))
    if all(line.responses is None for line in lines):
        raise UserError(f"{path}: a published record keeps no answers; name the run folder that it was made from")
    return summarise([line.answer for line in lines], lang)


def summarise(answers: Sequence[str], lang: str) -> Fidelity:
    """Shares of one model's answers if ``lang`` is expected. Thinking is no part of an answer."""
    said = [separate(answer) for answer in answers]
    answers = [one.answer for one in said]
    found = [describe(answer, lang) for answer in answers]
    count = max(len(found), 1)
    told = sum(not one.untold for one in found)
    astray = sum(one.off_target for one in found)
    return {
        "lang": lang,
        "items": len(found),
        "off_target": astray / max(told, 1),
        "on_target": (told - astray) / count,
        "cannot_tell": (len(found) - told) / count,
        "told": told,
        "mixed": sum(one.mixed for one in found) / count,
        "foreign": sum(one.foreign for one in found) / count,
        "refusal": sum(one.refusal for one in found) / count,
        "empty": sum(one.empty for one in found) / count,
        "repeated": sum(map(is_repetitive, answers)) / count,
        "thinking_cut": sum(one.cut for one in said) / count,
        "languages": _name_shares([one.language for one in found]),
        "scripts": _name_shares([one.script or "none" for one in found]),
    }


def _name_shares(values: Sequence[str], most: int = 3) -> str:
    return " ".join(f"{value} {times / len(values):.2f}" for value, times in Counter(values).most_common(most))
