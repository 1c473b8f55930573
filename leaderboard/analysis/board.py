"""The rows of the leaderboard: one for each method and base model, with its figures, in groups of what may be compared."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from xlift.harness.core.errors import UserError
from xlift.harness.core.parallel import share
from xlift.harness.evaluation.records import ENGINE_FACTS
from xlift.leaderboard.analysis import signal
from xlift.leaderboard.analysis.comparisons import Comparison, TableRow, find_scale, group_models, tabulate
from xlift.leaderboard.analysis.consistency import tabulate_consistency
from xlift.leaderboard.analysis.curves import Kept, measure_late_noise, tabulate_curves, tabulate_order
from xlift.leaderboard.analysis.rankings import ONE_SEED_RANK, find_lost, rank_overall, tabulate_ranks
from xlift.leaderboard.analysis.rows import Figure, LeaderboardRow, make_row
from xlift.leaderboard.loading.runs import Collection, Run
from xlift.leaderboard.loading.scores import Documents
from xlift.tasks.benchmarks import choose_averaged

KINDS = ("lift", "retention", "transfer")


@dataclass(frozen=True)
class Group:
    """Rows that may be compared: no two of them did one task under different keys."""

    number: int
    rows: tuple[LeaderboardRow, ...]
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
class Telling:
    """Which measures tell methods apart: the tables of ``xlift signal``."""

    signal: pd.DataFrame
    agreement: pd.DataFrame
    order: pd.DataFrame
    notes: tuple[str, ...]
    """A line for each task whose models cannot be set side by side."""


@dataclass(frozen=True)
class Board:
    """All that the pages show."""

    rows: tuple[LeaderboardRow, ...]
    groups: tuple[Group, ...]
    lifts: pd.DataFrame
    tasks: pd.DataFrame
    ranks: pd.DataFrame
    left_out: tuple[str, ...]
    curves: pd.DataFrame
    """Lift against tokens, where adapters were kept on the way."""
    consistency: pd.DataFrame
    """RankC of pairs of languages, as ``consistency.tabulate_consistency`` gives it."""
    telling: Telling

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(run for row in self.rows for run in row.runs)


def make(collection: Collection) -> Board:
    """The board of all runs."""
    pooled: dict[str, list[Run]] = defaultdict(list)
    bases: dict[str, tuple[Documents, ...]] = defaultdict(tuple)
    for run in collection.runs:
        pooled[run.row].append(run)
        if run.record.label == "base":
            bases[run.record.suite] += run.documents
    measured = share(_measure, [(runs, bases[runs[0].record.suite]) for runs in pooled.values()])
    lost = find_lost((run.record, run.documents) for run in collection.runs)
    ranks = tabulate_ranks(collection.documents, average=True, lost=lost)  # while others measure
    made, by_kind, by_task = zip(*measured, strict=True)
    rows = [replace(row, runs=tuple(runs)) for row, runs in zip(made, pooled.values(), strict=True)]
    gathered = _gather(rows)
    groups_of = {(row.suite, row.label): number for number, members in enumerate(gathered, 1) for row in members}
    lifts, tasks = (tabulate([one for found in each for one in found], groups_of) for each in (by_kind, by_task))
    groups = [_fill(number, members, gathered[0], lifts) for number, members in enumerate(gathered, 1)]
    kept = [Kept(run.record, run.documents) for run in (*collection.runs, *collection.points)]
    curves = tabulate_curves(kept)
    telling = _tell(collection.documents, measure_late_noise(kept), tabulate_order(curves))
    shown = tuple(row for group in groups for row in group.rows)
    consistency = tabulate_consistency(collection.runs)
    return Board(shown, tuple(groups), lifts, tasks, ranks, collection.left_out, curves, consistency, telling)


def _tell(documents: Iterable[Documents], late: Mapping[signal.Place, float], order: pd.DataFrame) -> Telling:
    tasks: dict[tuple[str, str], list[Documents]] = defaultdict(list)
    for one in documents:
        tasks[one.suite, one.task].append(one)
    measured, notes = [], []
    for (suite, task), found in tasks.items():
        try:
            measured += [one for one in signal.gather(found) if one.methods]
        except UserError as error:
            notes.append(f"{suite}: {task}: {error}")
    return Telling(signal.tabulate_signal(measured, late), signal.tabulate_agreement(measured), order, tuple(notes))


def _measure(runs: Sequence[Run], base: Sequence[Documents]) -> tuple[LeaderboardRow, list[Comparison], list[Comparison]]:
    """``make_row``, the row without its runs: the caller has them, and they take long to send from one process to another."""
    row, by_kind, by_task = make_row(runs, base)
    return replace(row, runs=()), by_kind, by_task


def _gather(rows: Sequence[LeaderboardRow]) -> list[list[LeaderboardRow]]:
    """Groups in which no task was done under two keys; each row goes to the first that it shares a task with."""
    ordered = {row.id: row for row in sorted(rows, key=lambda row: (-len(row.keys), row.suite, row.label != "base", row.label))}
    groups: dict[int, list[LeaderboardRow]] = defaultdict(list)
    for name, number in group_models({name: row.keys for name, row in ordered.items()}).items():
        groups[number].append(ordered[name])
    return [groups[number] for number in sorted(groups)]


def _fill(number: int, members: Sequence[LeaderboardRow], first: Sequence[LeaderboardRow], lifts: pd.DataFrame) -> Group:
    """A group with its averages and ranks; rows that lack a task of the group are not ranked."""
    keys = {task: key for row in members for task, key in row.keys.items()}
    benchmarks = tuple(sorted({benchmark for row in members for benchmark in row.scores}))
    averaged = _average(members, lifts)
    whole = [row for row in members if row.keys.keys() == keys.keys() and _has_documents(row)]
    ranks, missed, note = {}, None, ""
    try:
        table, missed = rank_overall({row.id: [one for run in row.runs for one in run.documents] for row in whole})
        ranks = {found["model"]: found for found in table.to_dict("records")}
    except UserError as error:
        note = f"not ranked: {error}"
    rows = []
    for row in members:
        found = ranks.get(row.id, {})
        lacking = "no scores by document" if row.keys.keys() == keys.keys() else f"{len(row.keys)}/{len(keys)} tasks"
        notes = row.notes if row in whole else (*row.notes, f"{lacking}: not ranked")
        notes = (*notes, ONE_SEED_RANK) if row in whole and row.one_seed else notes
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


def _has_documents(row: LeaderboardRow) -> bool:
    """Whether the scores of every task that is ranked are there by document."""
    ranked = {task for task, result in row.results.items() if result.is_ranked}
    return all(ranked <= {one.task for one in run.documents} for run in row.runs)


def _average(members: Sequence[LeaderboardRow], lifts: pd.DataFrame) -> dict[str, dict[str, Figure]]:
    """Lift, retention and transfer of each row of a group over the benchmarks that the group has for that kind, in points.

    Likelihood is averaged where nothing else was measured, in bits for each byte, and never with the scores of answers.

    The intervals of benchmarks are combined as those of separate documents.
    """
    suites = {row.suite for row in members}
    foreign = {result.benchmark for row in members for result in row.results.values() if result.measures and result.is_ranked}
    averaged = set(choose_averaged({benchmark for row in members for benchmark in row.scores}, foreign))
    found: dict[tuple[str, str, str], list[TableRow]] = defaultdict(list)
    wanted: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for one in lifts.to_dict("records"):
        if one["suite"] in suites and one["benchmark"] in averaged:
            wanted[one["kind"]].add(one["benchmark"])
            found[one["suite"], one["method"], one["kind"]] += [one] if one["metric"] != "off_target" else []
    return {
        row.id: {kind: _average_kind(found[row.suite, row.label, kind], len(wanted[kind])) for kind in KINDS}
        if row.label != "base" and not lifts.empty
        else {}
        for row in members
    }


def _average_kind(found: Sequence[TableRow], wanted: int) -> Figure:
    good = [one for one in found if one["value"] is not None and not pd.isna(one["value"])]
    metrics = {one["metric"] for one in good}
    note, metric = next((one["note"] for one in found if one not in good), ""), metrics.pop() if len(metrics) == 1 else ""
    figure = Figure(have=len(good), of=wanted, note=note, metric=metric)
    if not good or len(good) < wanted:
        return figure
    points = [find_scale(one) for one in good]
    value = sum(size * one["value"] for size, one in zip(points, good, strict=True)) / len(good)
    figure = replace(figure, value=value, one_seed=any(one["one_seed"] for one in good))
    if untested := next((one["note"] for one in good if pd.isna(one["low"])), ""):
        return replace(figure, note=untested)
    below, above = (
        math.sqrt(sum((size * (one[end] - one["value"])) ** 2 for size, one in zip(points, good, strict=True))) / len(good)
        for end in ("low", "high")
    )
    return replace(figure, low=value - below, high=value + above)


UNSAID = {"thinking": "template", "thinking_tokens": "0"}
"""Facts of an engine that a record holds only where they are otherwise."""


def _settings(rows: Iterable[LeaderboardRow]) -> dict[str, str]:
    """What the measurements of some rows were made with, in words."""
    facts: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for run in row.runs:
            record = run.record
            facts["format"].add(run.origin)
            for name in (*ENGINE_FACTS, "max_length"):
                facts[name.replace("_", " ")].add(str(record.engine.get(name, UNSAID.get(name, "unknown")))[:16])
            facts["system prompt"].add("none" if record.system is None else repr(record.system)[:60])
            facts["languages"] |= set(row.languages)
            for result in record.tasks.values():
                benchmark = result.benchmark
                facts["benchmarks"].add(benchmark)
                facts[f"items of {benchmark}"].add(str(result.items) if result.items_of else "unknown")
                facts[f"data of {benchmark}"].add((result.data_sha256 or "unknown")[:12])
                facts[f"version of {benchmark}"].add(result.version)
    return {name: ", ".join(sorted(values)) for name, values in facts.items()}


def _tell_apart(rows: Sequence[LeaderboardRow], first: Sequence[LeaderboardRow]) -> tuple[str, ...]:
    ours, theirs = _settings(rows), _settings(first)
    shared = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    return tuple(f"{name}: {ours[name]} (first group: {theirs[name]})" for name in shared) or ("no task in common with the first group",)
