"""The rows of the leaderboard: one for each method and base model, with its figures, in groups that may be compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from xlift.harness.core.errors import UserError
from xlift.harness.core.parallel import SHARED, share
from xlift.harness.evaluation.records import ENGINE_FACTS
from xlift.leaderboard.analysis import signal
from xlift.leaderboard.analysis.comparisons import Comparison, group_models, tabulate
from xlift.leaderboard.analysis.consistency import tabulate_consistency
from xlift.leaderboard.analysis.curves import Kept, measure_late_noise, tabulate_curves, tabulate_order
from xlift.leaderboard.analysis.rankings import ONE_SEED_RANK, find_lost, tabulate_ranks
from xlift.leaderboard.analysis.rows import LeaderboardRow, make_rows
from xlift.leaderboard.analysis.views import Compared, View, lacks_scores, make_views
from xlift.leaderboard.loading.runs import Collection, Run
from xlift.leaderboard.loading.scores import Documents


@dataclass(frozen=True)
class Group:
    """Rows on one base that may be compared: no two of them did one task under different comparability keys."""

    number: int
    rows: tuple[LeaderboardRow, ...]
    keys: Mapping[str, str]
    benchmarks: tuple[str, ...]
    differences: tuple[str, ...]
    """The settings in which the group differs from the first one."""
    views: tuple[View, ...]
    """The views of the group. The first one covers everything, and ranks the rows."""

    @property
    def base(self) -> str:
        """The name of the base model; empty if each row is a model of its own."""
        names = {row.base for row in self.rows}
        return names.pop() if len(names) == 1 else ""

    @property
    def view(self) -> View:
        return self.views[0]

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
    """A line for each task whose models cannot be compared."""


@dataclass(frozen=True)
class Board:
    """Everything that the pages show."""

    rows: tuple[LeaderboardRow, ...]
    groups: tuple[Group, ...]
    lifts: pd.DataFrame
    tasks: pd.DataFrame
    ranks: pd.DataFrame
    left_out: tuple[str, ...]
    curves: pd.DataFrame
    """Lift against tokens, if adapters were kept during trainings."""
    consistency: pd.DataFrame
    """RankC of pairs of languages, as ``consistency.tabulate_consistency`` returns it."""
    telling: Telling

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(run for row in self.rows for run in row.runs)


def make(collection: Collection) -> Board:
    """The board of all runs."""
    pooled: dict[str, list[Run]] = defaultdict(list)
    suites: dict[str, list[Run]] = defaultdict(list)
    for run in collection.runs:
        pooled[run.row].append(run)
        suites[run.record.suite].append(run)
    least = 2 if len(pooled) >= SHARED else None  # few suites may hold much work
    measured = share(_measure, [(runs,) for runs in suites.values()], least)
    lost = find_lost((run.record, run.documents) for run in collection.runs)
    ranks = tabulate_ranks(collection.documents, average=True, lost=lost)  # while others measure
    made, by_kind, by_task = zip(*(one for found in measured for one in found), strict=True)
    rows = [replace(row, runs=tuple(pooled[row.id])) for row in made]
    ids = [row.id for row in rows]
    compared = Compared(dict(zip(ids, by_kind, strict=True)), dict(zip(ids, by_task, strict=True)))
    gathered = _gather(rows)
    groups_of = {(row.suite, row.label): number for number, members in enumerate(gathered, 1) for row in members}
    lifts, tasks = (tabulate([one for found in each for one in found], groups_of) for each in (by_kind, by_task))
    groups = [_fill(number, members, gathered[0], compared) for number, members in enumerate(gathered, 1)]
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


def _measure(runs: Sequence[Run]) -> list[tuple[LeaderboardRow, list[Comparison], list[Comparison]]]:
    """``make_rows`` without the rows' runs: the caller has them, and to send them from one process to another takes long."""
    return [(replace(row, runs=()), by_kind, by_task) for row, by_kind, by_task in make_rows(runs)]


def _gather(rows: Sequence[LeaderboardRow]) -> list[list[LeaderboardRow]]:
    """Groups of one base in which no task was done under two keys. Each row goes to the first group with which it shares a task."""
    ordered = {row.id: row for row in sorted(rows, key=lambda row: (-len(row.keys), row.suite, row.label != "base", row.label))}
    bases: dict[str, dict[str, Mapping[str, str]]] = defaultdict(dict)
    for name, row in ordered.items():
        bases[_name_base(row)][name] = row.keys
    groups: list[list[LeaderboardRow]] = []
    for keys in bases.values():
        found: dict[int, list[LeaderboardRow]] = defaultdict(list)
        for name, number in group_models(keys).items():
            found[number].append(ordered[name])
        groups += [found[number] for number in sorted(found)]
    return groups


def _name_base(row: LeaderboardRow) -> str:
    """What distinguishes bases. Models that are compared with no base, and whose base is not known, count as having one base."""
    return "" if row.base == row.label else str(row.record.base.get("sha256") or row.base)


def _fill(number: int, members: Sequence[LeaderboardRow], first: Sequence[LeaderboardRow], compared: Compared) -> Group:
    """A group with its views, and its rows as the first view has them. Rows that lack a task of the view are not ranked."""
    keys = {task: key for row in members for task, key in row.keys.items()}
    benchmarks = tuple(sorted({benchmark for row in members for benchmark in row.scores}))
    views = make_views(members, compared)
    view = views[0]
    rows = []
    for row in members:
        place = view.places.get(row.id)
        lacking = lacks_scores(row, view.tasks)
        notes = (*row.notes, f"{lacking}: not ranked") if lacking else row.notes
        notes = (*notes, ONE_SEED_RANK) if row.one_seed and not lacking else notes
        smoke = any(run.is_smoke(task) for run in row.runs for task in view.tasks if task in run.record.tasks)
        row = replace(row, group=number, averages=view.figures.get(row.id, {}), notes=notes, smoke=smoke)
        rows.append(replace(row, rank=place.rank, of=place.of, tied=place.tied, mean=place.mean) if place else row)
    rows.sort(key=lambda row: (row.rank is None, row.rank or 0, -(row.mean or 0), row.suite, row.label))
    differences = () if number == 1 else _tell_apart(members, first)
    return Group(number, tuple(rows), keys, benchmarks, differences, views)


UNSAID = {"thinking": "template", "thinking_tokens": "0"}
"""Facts about an engine that a record holds only if they differ from the usual."""


def _settings(rows: Iterable[LeaderboardRow]) -> dict[str, str]:
    """The settings with which some rows were measured, in words."""
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
