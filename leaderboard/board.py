"""The rows of the leaderboard: one for each method and base model, with its figures, in groups of what may be compared."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from xlift.harness.results import Record, headline, scale
from xlift.harness.rows import UserError
from xlift.leaderboard.comparisons import rank_overall, tabulate_lifts, tabulate_ranks, tabulate_tasks
from xlift.leaderboard.documents import PARALLEL, PER_DOCUMENT, Documents, align, language_of
from xlift.leaderboard.judgements import Setting
from xlift.leaderboard.runs import Collection, Run
from xlift.leaderboard.statistics import estimate
from xlift.leaderboard.table import ASTRAY, warn_off_target
from xlift.leaderboard.text import slug

KINDS = ("lift", "retention", "transfer")


@dataclass(frozen=True)
class Figure:
    """A number in points of 100, with its 95 % interval where there is one."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    have: int = 0
    """Benchmarks or languages that it is an average of."""
    of: int = 0
    """How many it should be; with fewer there is no value."""
    note: str = ""
    metric: str = ""
    significant: bool | None = None
    """After Holm's correction; None where no test was made."""
    detectable: float | None = None
    """The smallest true difference that the test would have found with 80 % power."""
    items: int = 0
    items_of: int = 0
    astray: float | None = None
    """Off-target rate of a task's answers, 0 to 1, where it casts doubt on the score."""


@dataclass(frozen=True)
class Row:
    """One method on one base model, its seeds pooled."""

    id: str
    suite: str
    label: str
    runs: tuple[Run, ...]
    keys: Mapping[str, str]
    """Comparability key by task."""
    scores: Mapping[str, Figure]
    """By benchmark, averaged over its languages."""
    tasks: Mapping[str, Figure]
    averages: Mapping[str, Figure] = field(default_factory=dict)
    """lift, retention and transfer, averaged over benchmarks."""
    group: int = 0
    rank: int | None = None
    of: int = 0
    tied: tuple[str, ...] = ()
    mean: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def record(self) -> Record:
        return self.runs[0].record

    @property
    def base(self) -> str:
        return str(self.record.base.get("name", "unknown"))

    @property
    def method(self) -> str:
        return self.record.method or ("base" if self.label == "base" else "unknown")

    @property
    def smoke(self) -> bool:
        """Whether a limit kept items out."""
        return any(result.items < result.items_of for run in self.runs for result in run.record.tasks.values())

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages evaluated."""
        found = (language_of(task, self.record.pivot) for task in self.keys)
        return tuple(sorted({one[1] for one in found if one}))

    @property
    def judges(self) -> tuple[Setting, ...]:
        """Settings under which its answers were judged."""
        return tuple(dict.fromkeys(rate.setting for run in self.runs for rate in run.win_rates))

    @property
    def cost(self) -> dict[str, Any]:
        """What making the adapter took, means over seeds; None for what no stage recorded. Evaluation is not in it."""
        fits, prepares = ([run.record.cost.get(kind, {}) for run in self.runs] for kind in ("fit", "prepare"))
        seconds = (
            sum(one["seconds"] for one in pair if isinstance(one.get("seconds"), int | float))
            for pair in zip(fits, prepares, strict=True)
            if any(pair)
        )
        return {
            "tokens_trained": _mean(fit.get("tokens_trained") for fit in fits),
            "tokens_generated": _mean(one.get("generated_tokens") for one in prepares),
            "seconds": _mean(seconds),
            "device": next((str(fit["device"]) for fit in fits if fit.get("device")), None),
            "help": _name_help(self.runs[0]),
        }


@dataclass(frozen=True)
class Group:
    """Rows that may be compared: no two of them did one task under different keys."""

    number: int
    rows: tuple[Row, ...]
    keys: Mapping[str, str]
    benchmarks: tuple[str, ...]
    differences: tuple[str, ...]
    """Settings in which the group differs from the first one."""
    detectable: float | None
    note: str = ""

    @property
    def suites(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.suite for row in self.rows))


@dataclass(frozen=True)
class Board:
    """All that the pages show."""

    rows: tuple[Row, ...]
    groups: tuple[Group, ...]
    lifts: pd.DataFrame
    tasks: pd.DataFrame
    ranks: pd.DataFrame
    left_out: tuple[str, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(run for row in self.rows for run in row.runs)


def make(collection: Collection) -> Board:
    """The board of all runs."""
    pooled: dict[str, list[Run]] = defaultdict(list)
    for run in collection.runs:
        pooled[run.row].append(run)
    rows = [_make_row(runs) for runs in pooled.values()]
    lifts, tasks, ranks = _tabulate(collection.documents)
    groups = [_fill(number, group, groups_before, lifts) for number, group, groups_before in _number(_gather(rows))]
    return Board(tuple(row for group in groups for row in group.rows), tuple(groups), lifts, tasks, ranks, collection.left_out)


def split(task: str, pivot: str) -> tuple[str, str]:
    """Benchmark and language of a task; a task that is not xlift's is its own benchmark, in no language."""
    return language_of(task, pivot) or (task, "")


def _tabulate(documents: Sequence[Documents]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    return tabulate_lifts(documents), tabulate_tasks(documents), tabulate_ranks(documents, average=True)


def _make_row(runs: Sequence[Run]) -> Row:
    record = runs[0].record
    keys = {task: result.comparability for run in runs for task, result in run.record.tasks.items()}
    boards: dict[str, list[str]] = defaultdict(list)
    for task in keys:
        boards[split(task, record.pivot)[0]].append(task)
    found: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for task, result in run.record.tasks.items():
            found[task] += [result.metrics["off_target"].value] if "off_target" in result.metrics else []
    astray = {task: sum(values) / len(values) for task, values in found.items() if values and sum(values) / len(values) >= ASTRAY}
    rows = {
        "scores": {benchmark: _score(runs, tasks) for benchmark, tasks in boards.items()},
        "tasks": {task: replace(_score(runs, [task]), astray=astray.get(task)) for task in keys},
    }
    doubts = [f"{task}: {warn_off_target(share)}" for task, share in astray.items() if headline(task) != "off_target"]
    notes = tuple(dict.fromkeys([*(note for run in runs for note in run.notes), *doubts]))
    return Row(slug(record.suite, record.label), record.suite, record.label, tuple(runs), keys, rows["scores"], rows["tasks"], notes=notes)


def _score(runs: Sequence[Run], tasks: Sequence[str]) -> Figure:
    """The headline score over tasks and seeds, with its interval where every document's score is there."""
    shown = headline(tasks[0])
    results = [run.record.tasks[task] for run in runs for task in tasks if task in run.record.tasks]
    metric = PER_DOCUMENT.get(shown or "", shown) or next(iter(results[0].metrics), "")
    values = [result.metrics[metric].value for result in results if metric in result.metrics]
    if len(values) < len(results) or not values:
        return Figure(have=len(values), of=len(results), note="no score", metric=metric)
    points = scale(metric)
    figure = Figure(
        points * sum(values) / len(values), have=len(tasks), of=len(tasks), metric=metric,
        items=sum(result.items for result in results) // len(runs), items_of=sum(result.items_of for result in results) // len(runs),
    )  # fmt: skip
    if len(results) < len(runs) * len(tasks):
        return replace(figure, value=None, note="not every seed did every language")
    found = {(one.seed, one.task): one for run in runs for one in run.documents if one.metric == metric}
    sheets = [[found.get((run.record.seed, task)) for run in runs] for task in tasks]
    if any(one is None for sheet in sheets for one in sheet):
        return replace(figure, note="no samples: no interval")
    try:
        scores = [align({str(one.seed): one.columns for one in sheet if one}) for sheet in sheets]
        same = len({array.shape[1] for array in scores}) == 1 and all(task.startswith(PARALLEL) for task in tasks)
        whole = estimate(scores, parallel=same and len(scores) > 1)
    except UserError as error:
        return replace(figure, note=str(error))
    low, high = points * whole.low, points * whole.high
    # The t interval of few seeds knows no bounds, a score does.
    return replace(figure, low=max(0.0, low), high=min(100.0, high) if shown else high)


def _gather(rows: Sequence[Row]) -> list[list[Row]]:
    """Groups in which no task was done under two keys; each row goes to the first that it shares a task with."""
    groups: list[tuple[dict[str, str], list[Row]]] = []
    for row in sorted(rows, key=lambda row: (-len(row.keys), row.suite, row.label != "base", row.label)):
        for keys, members in groups:
            shared = keys.keys() & row.keys.keys()
            if shared and all(keys[task] == row.keys[task] for task in shared):
                members.append(row)
                keys |= row.keys
                break
        else:
            groups.append((dict(row.keys), [row]))
    return [members for _, members in groups]


def _number(groups: Sequence[Sequence[Row]]) -> Iterable[tuple[int, Sequence[Row], Sequence[Row]]]:
    for number, group in enumerate(groups, 1):
        yield number, group, groups[0]


def _fill(number: int, members: Sequence[Row], first: Sequence[Row], lifts: pd.DataFrame) -> Group:
    """A group with its averages and ranks; rows that lack a task of the group are not ranked."""
    keys = {task: key for row in members for task, key in row.keys.items()}
    benchmarks = tuple(sorted({benchmark for row in members for benchmark in row.scores}))
    averaged = _average(members, lifts)
    whole = [row for row in members if row.keys.keys() == keys.keys()]
    ranks, missed, note = {}, None, ""
    try:
        table, missed = rank_overall({row.id: [one for run in row.runs for one in run.documents] for row in whole})
        ranks = {found["model"]: found for found in table.to_dict("records")}
    except UserError as error:
        note = f"not ranked: {error}"
    rows = []
    for row in members:
        found = ranks.get(row.id, {})
        notes = row.notes if row in whole else (*row.notes, f"{len(row.keys)}/{len(keys)} tasks: not ranked")
        rows.append(
            replace(
                row,
                group=number,
                averages=averaged[row.id],
                rank=found.get("rank"),
                of=int(found.get("of", 0)),
                tied=found.get("tied", ()),
                mean=found.get("value"),
                notes=notes,
            )  # fmt: skip
        )
    rows.sort(key=lambda row: (row.rank is None, row.rank or 0, -(row.mean or 0), row.suite, row.label))
    detectable = missed if missed is not None and not math.isnan(missed) else None
    return Group(number, tuple(rows), keys, benchmarks, () if number == 1 else _tell_apart(members, first), detectable, note)


def _average(members: Sequence[Row], lifts: pd.DataFrame) -> dict[str, dict[str, Figure]]:
    """Lift, retention and transfer of each row of a group over the benchmarks that the group has for that kind, in points.

    The intervals of benchmarks are combined as those of separate documents.
    """
    suites = {row.suite for row in members}
    found: dict[tuple[str, str, str], list[Mapping[Any, Any]]] = defaultdict(list)
    wanted: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for one in lifts.to_dict("records"):
        if one["suite"] in suites and headline(one["benchmark"]) not in (None, "off_target"):
            wanted[one["kind"]].add(one["benchmark"])
            found[one["suite"], one["method"], one["kind"]] += [one] if one["metric"] != "off_target" else []
    return {
        row.id: {kind: _average_kind(found[row.suite, row.label, kind], len(wanted[kind])) for kind in KINDS}
        if row.label != "base" and not lifts.empty
        else {}
        for row in members
    }


def _average_kind(found: Sequence[Mapping[Any, Any]], wanted: int) -> Figure:
    good = [one for one in found if one["value"] is not None and not pd.isna(one["value"])]
    figure = Figure(have=len(good), of=wanted, note=next((one["note"] for one in found if one not in good), ""))
    if not good or len(good) < wanted:
        return figure
    value = sum(scale(one["metric"]) * one["value"] for one in good) / len(good)
    half = math.sqrt(sum((scale(one["metric"]) * (one["high"] - one["low"]) / 2) ** 2 for one in good)) / len(good)
    return replace(figure, value=value, low=value - half, high=value + half)


def _settings(rows: Iterable[Row]) -> dict[str, str]:
    """What the measurements of some rows were made with, in words."""
    facts: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for run in row.runs:
            record = run.record
            facts["format"].add(run.origin)
            for name in ("backend", "dtype", "adapter_form", "batch_policy", "max_length", "chat_template_sha256"):
                facts[name.replace("_", " ")].add(str(record.engine.get(name, "unknown"))[:16])
            facts["system prompt"].add("none" if record.system is None else repr(record.system)[:60])
            facts["languages"] |= set(row.languages)
            for task, result in record.tasks.items():
                benchmark = split(task, record.pivot)[0]
                facts["benchmarks"].add(benchmark)
                facts[f"items of {benchmark}"].add(str(result.items) if result.items_of else "unknown")
                facts[f"data of {benchmark}"].add((result.data_sha256 or "unknown")[:12])
                facts[f"version of {benchmark}"].add(result.version)
    return {name: ", ".join(sorted(values)) for name, values in facts.items()}


def _tell_apart(rows: Sequence[Row], first: Sequence[Row]) -> tuple[str, ...]:
    ours, theirs = _settings(rows), _settings(first)
    shared = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    return tuple(f"{name}: {ours[name]} (first group: {theirs[name]})" for name in shared) or ("no task in common with the first group",)


def _name_help(run: Run) -> str | None:
    """Translators and corpora that the training rows came from; None where the run does not say."""
    manifest = run.stages.get("prepare", {})
    translated = {**(run.record.cost.get("prepare", {}).get("translated") or {}), **(manifest.get("translated") or {})}
    corpora = manifest.get("corpora") or []
    if "corpora" not in manifest and "translated" not in run.record.cost.get("prepare", {}):
        return None
    return ", ".join([*(f"translator {name}" for name in translated), *(f"corpus {name}" for name in corpora)]) or "none"


def _mean(values: Iterable[Any]) -> float | None:
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    return sum(numbers) / len(numbers) if numbers else None


def off_target(row: Row) -> Figure:
    """Share of answers in the wrong language, over all tasks and seeds that measured it, in points."""
    results = [result for run in row.runs for result in run.record.tasks.values()]
    values = [result.metrics["off_target"].value for result in results if "off_target" in result.metrics]
    return Figure(100 * sum(values) / len(values) if values else None, have=len(values), of=len(results))
