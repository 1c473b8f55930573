"""Whether a record that somebody hands in is complete, agrees with its scores by document, and may be published."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.limits import is_smoke
from xlift.harness.core.store import MANIFEST, RESOLVED, parse_json, read_object
from xlift.harness.evaluation.records import Measurement, read_measurement
from xlift.harness.evaluation.samples import read_lines, read_samples
from xlift.leaderboard.loading.folders import find_state
from xlift.leaderboard.loading.record import STATE
from xlift.leaderboard.loading.runs import UNREADABLE
from xlift.leaderboard.loading.scores import choose_metrics, take_scores

KEPT = {"doc_id", "doc_hash", "filter", "group", "metrics"}
"""What a line of scores may contain beside the scores themselves. A prompt or an answer has a licence of its own."""
LARGEST = 20_000_000
"""The most bytes of one file."""
REPRODUCED = "reproduced-*.json"
"""The names of files that others add to a record when they have run a method of it again."""
CLOSE = 1e-6
"""How much a mean may differ from that of its documents, as a share of it."""


def check_record(folder: Path) -> list[str]:
    """A line for everything that is wrong with a record; none if it can be published.

    The check covers its list of files, their size and kind, whether they can be read, the suite, the schema, and the hashes of the files of
    scores. Each task's score must be the mean of its documents' scores, no line may contain a text, and each method must have a base that
    did the same tasks on the same data under the same settings. The caller looks for secrets and paths. Raises UserError for a folder that
    is no record.
    """
    if not (folder / STATE).is_file():
        raise UserError(f"{folder}: no {STATE} in it, so it is no record; make one of a run with: xlift record runs/NAME --out FOLDER")
    state = find_state(folder, STATE)
    if state is None:
        return [f"{STATE}: damaged, so nobody knows which files belong to the record; make it anew with: xlift record RUN --out DIR"]
    damaged = dict(_find_damage(folder))
    faults = [*_check_files(folder, set(state["files"])), *(f"{name}: {damage}" for name, damage in damaged.items())]
    measured: list[Measurement] = []
    stages = sorted(path.parent for path in folder.glob(f"evaluate-*/{MANIFEST}"))
    for stage in (stage for stage in stages if not any(Path(name).parent.name == stage.name for name in damaged)):
        try:
            if found := read_measurement(stage):
                measured.append(found)
                faults += [f"{stage.name}: {fault}" for fault in _check_scores(found)]
            else:
                faults.append(f"{stage.name}: not finished")
        except UNREADABLE as error:
            faults.append(f"{stage.name}: {error}")
    if not measured:
        faults.append("no finished evaluation in it")
    suite = [] if RESOLVED in damaged else _check_suite(folder, measured)
    return [*faults, *suite, *_check_bases(measured)]


def _check_suite(folder: Path, measured: Iterable[Measurement]) -> Iterator[str]:
    """Whether the suite of a record is the one that was measured."""
    if not (folder / RESOLVED).is_file():
        yield f"{RESOLVED}: not there, so nobody could run its methods again; make the record anew"
        return
    suite = read_object(folder / RESOLVED)
    places = (suite.get("methods"), (suite.get("evaluate") or {}).get("adapters"))
    known = {"base", *(label for place in places if isinstance(place, dict) for label in place)}
    for name in sorted({one.record.suite for one in measured} - {suite.get("name")}):
        yield f"{RESOLVED}: the suite {suite.get('name')!r}, and the evaluations are of {name!r}"
    for label in sorted({one.record.label for one in measured} - known):
        yield f"{RESOLVED}: has no {label!r}, which was measured; run the suite with all that its record is to show, and make it anew"


def _find_damage(folder: Path) -> Iterator[tuple[str, str]]:
    """The files of a record that do not hold JSON objects, one or one a line, each with what is wrong with it."""
    for path in sorted(path for path in folder.rglob("*.json*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        try:
            text = path.read_text(encoding="utf-8")
            parts = [line for line in text.split("\n") if line.strip()] if path.suffix == ".jsonl" else [text]
            if not all(isinstance(parse_json(part), dict) for part in parts):
                yield name, "damaged: it holds something else than keys with values"
        except ValueError as error:
            yield name, f"damaged: not JSON that can be read ({one_line(error)})"


def _check_files(folder: Path, listed: set[str]) -> Iterator[str]:
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file() or path.is_symlink()}
    yield from (f"{name}: listed in {STATE} and not there" for name in sorted(listed - there.keys()))
    for name, path in sorted(there.items()):
        if name not in listed and name != STATE and not (path.parent == folder and path.match(REPRODUCED)):
            yield f"{name}: not listed in {STATE}; make the record anew"
        elif path.is_symlink():
            yield f"{name}: a link, where a file is wanted"
        elif path.suffix not in (".json", ".jsonl"):
            yield f"{name}: a record holds .json and .jsonl alone"
        elif path.stat().st_size > LARGEST:
            yield f"{name}: {path.stat().st_size:,} bytes, of which {LARGEST:,} are allowed"


def _check_scores(measured: Measurement) -> Iterator[str]:
    """Faults of the files of scores of one evaluation, compared with its record."""
    for task, result in measured.record.tasks.items():
        if not result.samples:
            yield f"{task}: no scores by document, so it cannot be tested"
            continue
        path = measured.stage / result.samples
        if not path.is_file():
            yield f"{task}: {result.samples} is not there"
            continue
        if result.samples_sha256 is None:
            yield f"{task}: its file of scores has no hash in the record"
        for line in read_lines(path, result.samples_sha256):
            if texts := sorted(key for key, value in line.items() if key not in KEPT and not isinstance(value, int | float | type(None))):
                yield f"{task}: holds {', '.join(texts)} of documents, and a record has no texts"
                break
        lines = read_samples(path, result.samples_sha256)
        for metric in choose_metrics(result):
            values = take_scores(lines, path, measured.record, task, metric).values
            told = values[~np.isnan(values)]
            said, mean = result.metrics.get(metric), float(told.mean()) if len(told) else np.nan
            if len(values) != result.items:
                yield f"{task}: {len(values)} documents where the record says {result.items}"
            if said and abs(said.value - mean) > CLOSE * max(1.0, abs(mean)):
                yield f"{task}: {metric} is {said.value:.6g} in the record, and {mean:.6g} by its documents"


def _check_bases(measured: list[Measurement]) -> Iterator[str]:
    """Whether each method can be compared with the base of its suite."""
    suites: dict[str, list[Measurement]] = defaultdict(list)
    for one in measured:
        suites[one.record.suite].append(one)
    for suite, found in suites.items():
        base = next((one.record for one in found if one.record.label == "base"), None)
        if base is None:
            yield f"{suite}: its base was not measured, so there is no lift"
            continue
        for one in found:
            for task, result in one.record.tasks.items():
                other = base.tasks.get(task)
                if other is None:
                    yield f"{one.stage.name}: {task} was not measured for the base"
                elif other.comparability != result.comparability:
                    what = "data" if other.data_sha256 != result.data_sha256 else "settings"
                    yield f"{one.stage.name}: {task} was measured on other {what} than for the base"


def list_limits(folder: Path) -> list[str]:
    """A line for each task of a record from which a limit kept items out, and whether that makes it a smoke test. It may be published."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob(f"evaluate-*/{MANIFEST}")):
        tasks = json.loads(path.read_text(encoding="utf-8"))["record"]["tasks"]
        for task, result in tasks.items():
            items, items_of = result["items"], result["items_of"]
            if items < items_of:
                found[task] = f"{task}: {items} of {items_of} items{', a smoke test' if is_smoke(items, items_of) else ''}"
    return list(found.values())
