"""Whether a record that somebody hands in is complete, agrees with its scores by document, and may be published."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from math import inf, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.limits import is_smoke
from xlift.harness.core.store import MANIFEST, RESOLVED, parse_json, read_object
from xlift.harness.evaluation.records import Measurement, Record, Score, read_measurement
from xlift.harness.evaluation.samples import read_lines, read_samples
from xlift.leaderboard.loading.folders import find_state
from xlift.leaderboard.loading.record import STATE
from xlift.leaderboard.loading.runs import UNREADABLE
from xlift.leaderboard.loading.scores import choose_metrics, take_scores
from xlift.tasks.benchmarks import find_metric, find_task, place

KEPT = {"doc_id", "doc_hash", "filter", "group", "metrics"}
"""What a line of scores may contain beside the scores themselves. A prompt or an answer has a licence of its own."""
LARGEST = 20_000_000
"""The most bytes of one file."""
REPRODUCED = "reproduced-*.json"
"""The names of files that others add to a record when they have run a method of it again."""
CLOSE = 1e-6
"""How much a mean or a standard error may differ from that of its documents, as a share of it if it is above 1."""
WORDS = {"device", "arithmetic", "products"}
"""The keys of a training's cost that hold text."""
SIGNED = {"final_loss", "reward_margin", "terms"}
"""The keys of a training's cost whose numbers may be below 0."""


def check_record(folder: Path) -> list[str]:
    """A line for everything that is wrong with a record; none if it can be published.

    The check covers its list of files, their size and kind, whether they can be read, the suite, the schema, and the hashes of the files of
    scores. A score that is kept by document must be their mean, with their standard error if the task is xlift's; others, such as those
    over a whole corpus, need the answers and are not computed again. Methods, languages, tasks, times and costs must be what the suite and
    the schema say. No line may contain a text, no model may be there twice, and each method must have a base that did the same tasks on the
    same data under the same settings. The caller looks for secrets and paths. Raises UserError for a folder that is no record.
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
                checks = (_check_scores(found), _check_places(found), _check_manifest(found, read_object(stage / MANIFEST)))
                faults += [f"{stage.name}: {fault}" for check in checks for fault in check]
            else:
                faults.append(f"{stage.name}: not finished")
        except UNREADABLE as error:
            faults.append(f"{stage.name}: {_explain(stage, error)}")
    if not measured:
        faults.append("no finished evaluation in it")
    suite = [] if RESOLVED in damaged else _check_suite(folder, measured)
    return [*faults, *suite, *_check_twins(measured), *_check_bases(measured), *_check_sizes(measured)]


def _explain(stage: Path, error: Exception) -> str:
    """Why an evaluation cannot be read; if its record does not follow the schema, the first key that does not."""
    try:
        Record(**read_object(stage / MANIFEST)["record"])
    except ValidationError as found:
        first = found.errors(include_url=False)[0]
        return f"its record does not follow schema version 1: {_fold('.'.join(map(str, first['loc'])))}: {_fold(first['msg'])}"
    except UNREADABLE:
        pass
    return str(error)


def _fold(text: str) -> str:
    """A text of a record as a part of one line."""
    return " ".join(text.split())[:200]


def _check_suite(folder: Path, measured: Iterable[Measurement]) -> Iterator[str]:
    """Whether the suite of a record is the one that was measured."""
    if not (folder / RESOLVED).is_file():
        yield f"{RESOLVED}: not there, so nobody could run its methods again; make the record anew"
        return
    suite = read_object(folder / RESOLVED)
    methods, adapters = _take_part(suite, "methods"), _take_part(suite, "evaluate", "adapters")
    known = {"base", *methods, *adapters}
    for name in sorted({one.record.suite for one in measured} - {suite.get("name")}):
        yield f"{RESOLVED}: the suite {suite.get('name')!r}, and the evaluations are of {name!r}"
    for label in sorted({one.record.label for one in measured} - known):
        yield f"{RESOLVED}: has no {label!r}, which was measured; run the suite with all that its record is to show, and make it anew"
    for one in measured:
        label = one.record.label
        if label in known and isinstance(methods.get(label, {}), dict):
            yield from (f"{one.stage.name}: {fault}" for fault in _check_method(one.record, suite, methods.get(label)))


def _take_part(suite: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """A part of a resolved suite; empty if the suite has none that is a mapping."""
    part: Any = suite
    for key in keys:
        part = part.get(key) if isinstance(part, dict) else None
    return part if isinstance(part, dict) else {}


def _check_method(record: Record, suite: Mapping[str, Any], chosen: Mapping[str, Any] | None) -> Iterator[str]:
    """Whether a record names the method and the languages that its suite has under its label.

    ``chosen`` is None for the base and for an adapter that was given, which have neither. What an older suite does not say is not compared.
    """
    languages = _take_part(suite, "languages")
    method = chosen.get("method", record.method) if chosen is not None else None
    if record.method != method:
        yield f"its method is {record.method!r}, and {method!r} by {RESOLVED}"
    wanted = (chosen.get("languages") or languages.get("train")) if chosen is not None else []
    if isinstance(wanted, list) and sorted(record.trained) != sorted(map(str, wanted)):
        said, told = (_fold(", ".join(map(str, codes))) or "no language" for codes in (record.trained, wanted))
        yield f"trained on {said}, and on {told} by {RESOLVED}"
    if record.pivot != languages.get("pivot", record.pivot):
        yield f"its pivot is {record.pivot!r}, and {languages['pivot']!r} by {RESOLVED}"


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
            if len(values) != result.items:
                yield f"{task}: {len(values)} documents where the record says {result.items}"
            if said := result.metrics.get(metric):
                yield from (f"{task}: {metric}{fault}" for fault in _check_score(said, told))
                if find_task(task) and not find_metric(metric).whole and len(told) == len(values):
                    yield from (f"{task}: the standard error of {metric}{fault}" for fault in _check_error(said, told))


def _check_score(said: Score, told: NDArray[np.float64]) -> Iterator[str]:
    mean = float(told.mean()) if len(told) else np.nan
    if abs(said.value - mean) > CLOSE * max(1.0, abs(mean)):
        yield f" is {said.value:.6g} in the record, and {mean:.6g} by its documents"


def _check_error(said: Score, told: NDArray[np.float64]) -> Iterator[str]:
    """Whether a standard error is lm-eval's: the standard deviation of the sample over the root of the number of documents."""
    if said.stderr is None or len(told) < 2:
        return
    error = float(told.std(ddof=1)) / sqrt(len(told))
    if abs(said.stderr - error) > CLOSE * max(1.0, error):
        yield f" is {said.stderr:.6g} in the record, and {error:.6g} by its documents"


def _check_places(measured: Measurement) -> Iterator[str]:
    """Whether xlift's own tasks stand where their names put them, with metrics that mean what they mean for xlift."""
    for task, result in measured.record.tasks.items():
        if result.items > result.items_of:
            yield f"{task}: {result.items} items, of {result.items_of} that the task has"
        if not find_task(task):
            continue
        benchmark, language = place(task, measured.record.pivot)
        if result.benchmark != benchmark:
            yield f"{task}: its benchmark is {result.benchmark!r}, and {benchmark!r} by its name"
        if result.language != language:
            yield f"{task}: its language is {result.language!r}, and {language!r} by its name"
        if result.measures:
            yield f"{task}: says what its metrics mean, which xlift knows"


def _check_manifest(measured: Measurement, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Whether the times and the costs that a manifest has can be such. An older xlift wrote fewer of them."""
    for key, read in (("finished", measured.finished), ("asked", measured.asked)):
        if key in manifest and not (manifest[key] == read and _is_time(read)):
            yield f"{key} is {_fold(repr(manifest[key]))}, which is no time like 2026-01-31T12:00:00.000000Z"
    record = manifest["record"]
    if measured.record.extra_parameters < 0:
        yield f"extra_parameters is {measured.record.extra_parameters}, where a number of at least 0 belongs"
    costs = [("cost", record["cost"]), *((f"{task}: cost", result.get("cost")) for task, result in record["tasks"].items())]
    for where, cost in costs:
        for path, value in _list_leaves(cost):
            if not WORDS.isdisjoint(path):
                continue
            least = -inf if SIGNED & set(path) else 0
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < inf:
                wanted = "a number" if least else "a number of at least 0"
                yield f"{_fold('.'.join((where, *path)))} is {_fold(repr(value))}, where {wanted} belongs"


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _list_leaves(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """The values in plain data that hold no others, with the keys that lead to each. None is left out."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _list_leaves(inner, (*path, str(key)))
    elif value is not None:
        yield path, value


def _check_twins(measured: Iterable[Measurement]) -> Iterator[str]:
    """Whether each model is there once. A suite has one base."""
    seen: dict[tuple[object, ...], str] = {}
    for one in measured:
        key = (one.record.suite, "base") if one.record.label == "base" else one.key
        first = seen.setdefault(key, one.stage.name)
        if first != one.stage.name:
            yield f"{one.stage.name}: {_fold(one.record.name)} was measured in {first} too, and a record has each model once"


def _check_sizes(measured: Iterable[Measurement]) -> Iterator[str]:
    """Whether all models of a suite agree on how many items the same data has."""
    seen: dict[tuple[str, str, str | None], tuple[int, str]] = {}
    for one in sorted(measured, key=lambda one: one.record.label != "base"):
        for task, result in one.record.tasks.items():
            items, first = seen.setdefault((one.record.suite, task, result.data_sha256), (result.items_of, one.stage.name))
            if result.items_of != items:
                yield f"{one.stage.name}: {task} has {result.items_of} items in all, and {items} in {first}"


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
            if one.record.label == "base":
                yield from (f"{one.stage.name}: {fault}" for fault in _check_base(one.record))
            for task, result in one.record.tasks.items():
                other = base.tasks.get(task)
                if other is None:
                    yield f"{one.stage.name}: {task} was not measured for the base"
                elif other.comparability != result.comparability:
                    what = "data" if other.data_sha256 != result.data_sha256 else "settings"
                    yield f"{one.stage.name}: {task} was measured on other {what} than for the base"


def _check_base(base: Record) -> Iterator[str]:
    """Whether a base has what only a method has. The suite says the rest of a model."""
    odd = {"control": base.control, "seed": base.seed is not None, "share": base.share != 1, "adapter": base.adapter is not None}
    yield from (f"{key} is set, and a base has none" for key, found in odd.items() if found)


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
