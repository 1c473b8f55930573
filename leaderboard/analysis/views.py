"""Views of a group: its rows measured by answers or by likelihood, on everything, in one language or on one benchmark."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from xlift.harness.core.errors import UserError
from xlift.leaderboard.analysis.comparisons import Comparison, TableRow, explain
from xlift.leaderboard.analysis.rankings import rank_overall
from xlift.leaderboard.analysis.rows import Figure, LeaderboardRow
from xlift.leaderboard.analysis.statistics import ALPHA, Estimate, combine, correct, count_needed, detectable
from xlift.tasks.benchmarks import is_ranked, measured_group

KINDS = ("lift", "retention", "transfer")
MEASURES = ("answers", "likelihood")


@dataclass(frozen=True)
class Scope:
    """What a view covers. An empty language or benchmark means all of them."""

    measure: str
    """One of MEASURES."""
    language: str = ""
    benchmark: str = ""


@dataclass(frozen=True)
class Place:
    """The place of a row in a view."""

    rank: int
    """1 plus the number of rows with a significantly higher mean score."""
    of: int
    mean: float
    """The mean score over benchmarks, in points, or in bits if likelihood was measured, turned so that more is better."""
    tied: tuple[str, ...]
    """The ids of the rows that cannot be told from this one."""


@dataclass(frozen=True)
class View:
    """The rows of a group in one scope."""

    scope: Scope
    figures: Mapping[str, Mapping[str, Figure]]
    """Method minus base by row id and kind: KINDS, or in one language only ``lift``."""
    places: Mapping[str, Place]
    """The places by row id, without the rows that lack a task of the view."""
    tasks: tuple[str, ...]
    detectable: float | None = None
    """The largest true difference of means between neighbours that would have been missed more than one time in five."""
    note: str = ""
    """The reason why nothing is ranked."""
    needed: int | None = None
    """The number of documents that would find the largest lift that was seen, four times in five; None if no number would, or if none was
    seen."""
    documents: int = 0
    """The number of documents on which this lift was seen."""


@dataclass(frozen=True)
class Compared:
    """Method minus base, by row id: by kind of language, and by task."""

    by_kind: Mapping[str, Sequence[Comparison]] = field(default_factory=dict)
    by_task: Mapping[str, Sequence[Comparison]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Draft:
    """A view before its figures are corrected for each other."""

    scope: Scope
    tasks: tuple[str, ...]
    cells: Mapping[tuple[str, str], tuple[Figure, Estimate | None]]
    """By row id and kind. A cell has no estimate if there is no test."""


def make_views(rows: Sequence[LeaderboardRow], compared: Compared) -> tuple[View, ...]:
    """All views of a group. The first one covers everything.

    The first measure is that of answers, unless only likelihood was measured on enough documents for a test. Holm's correction is over all
    figures of a view; for views of one language it is over those of all languages, so that they can be compared. Apart from the first view,
    there is none of tasks without scores by document.

    A view is about the tasks that most of its rows were asked. Rows that were asked others have no figures in it.
    """
    views: list[View] = []
    told = {one.task for row in rows for run in row.runs for one in run.documents}
    for measure, benchmarks in _split_benchmarks(rows, compared).items():
        for benchmark in ("", *benchmarks):
            scope = Scope(measure, "", benchmark)
            asked = {task for own in _list_asked(rows, scope, benchmarks).values() for task in own}
            if views and told.isdisjoint(asked):
                continue
            whole = _draft(rows, compared, scope, benchmarks)
            found = {row.results[task].language for row in rows for task in asked & told if task in row.results} - {""}
            apart = [_draft(rows, compared, Scope(measure, language, benchmark), benchmarks) for language in sorted(found)]
            views += [*_finish(rows, [whole]), *_finish(rows, apart)]
    return tuple(views)


def _split_benchmarks(rows: Sequence[LeaderboardRow], compared: Compared) -> dict[str, tuple[str, ...]]:
    """The benchmarks of each measure. The leading measure comes first."""
    foreign = {result.benchmark for row in rows for result in row.results.values() if result.measures and result.is_ranked}
    names = sorted({benchmark for row in rows for benchmark in row.scores})
    ranked = [name for name in names if name in foreign or is_ranked(name)]
    likely = tuple(name for name in ranked if name not in foreign and measured_group(name) == "likelihood")
    found = {"answers": tuple(name for name in ranked if name not in likely), "likelihood": likely}
    found = {measure: benchmarks for measure, benchmarks in found.items() if benchmarks} or {"answers": tuple(names)}
    tested = set()
    for one in (one for some in compared.by_kind.values() for one in some):
        if one.estimate and not math.isnan(one.estimate.p) and one.names["metric"] != "off_target":
            tested.add(one.names["benchmark"])
    return dict(sorted(found.items(), key=lambda each: not tested.intersection(each[1])))


def _draft(rows: Sequence[LeaderboardRow], compared: Compared, scope: Scope, benchmarks: Sequence[str]) -> _Draft:
    asked = _list_asked(rows, scope, benchmarks)
    tasks = _choose_tasks(asked.values())
    fit = {row: {*own} >= {*tasks} and _agree(own, tasks) for row, own in asked.items()}
    found: dict[tuple[str, str], list[Comparison]] = defaultdict(list)
    wanted: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for kind, benchmark, one in _list_comparisons(row, compared, scope, tasks) if fit.get(row.id) else ():
            if benchmark in tasks.values():
                wanted[kind].add(benchmark)
                found[row.id, kind] += [one] if one.names["metric"] != "off_target" else []
    kinds = ("lift",) if scope.language else KINDS
    cells = {
        (row.id, kind): _average(found[row.id, kind], len(wanted[kind]))
        for row in rows
        if row.label != "base" and row.id in compared.by_kind
        for kind in kinds
    }
    return _Draft(scope, tuple(tasks), cells)


def _list_asked(rows: Sequence[LeaderboardRow], scope: Scope, benchmarks: Sequence[str]) -> dict[str, dict[str, str]]:
    """What each row was asked in a scope, its tasks with their benchmarks; without the rows that were asked nothing."""
    asked: dict[str, dict[str, str]] = {}
    for row in rows:
        for task, result in row.results.items():
            fits = result.benchmark == scope.benchmark if scope.benchmark else result.benchmark in benchmarks
            if fits and scope.language in ("", result.language):
                asked.setdefault(row.id, {})[task] = result.benchmark
    return asked


def _choose_tasks(asked: Iterable[Mapping[str, str]]) -> Mapping[str, str]:
    """The tasks that most rows were asked, of as many rows the larger set: what a view is about. One row with other tasks, such as those of
    another suite, changes nothing for the rest."""
    sets = Counter(frozenset(own.items()) for own in asked)
    if not sets:
        return {}
    chosen = max(sets, key=lambda one: (sets[one], len(one), sorted(one)))
    return dict(sorted(chosen))


def _agree(own: Mapping[str, str], tasks: Mapping[str, str]) -> bool:
    """Whether a row was asked nothing more of the benchmarks of a view, so that its averages are over the same languages."""
    return all(task in tasks for task, benchmark in own.items() if benchmark in tasks.values())


def _list_comparisons(
    row: LeaderboardRow, compared: Compared, scope: Scope, tasks: Iterable[str]
) -> Iterator[tuple[str, str, Comparison]]:  # fmt: skip
    """Kind, benchmark and comparison of what a row has in a scope."""
    if not scope.language:
        yield from ((str(one.names["kind"]), str(one.names["benchmark"]), one) for one in compared.by_kind.get(row.id, ()))
        return
    for one in compared.by_task.get(row.id, ()):
        if (task := str(one.names["task"])) in tasks and task in row.results:
            yield "lift", row.results[task].benchmark, one


def _average(found: Sequence[Comparison], wanted: int) -> tuple[Figure, Estimate | None]:
    """The mean over benchmarks in points, or in bits. It has no value if one of the ``wanted`` benchmarks has none."""
    good = [(one, one.estimate) for one in found if one.estimate is not None and one.is_ranked]
    metrics = {str(one.names["metric"]) for one, _ in good}
    note = next((one.note for one in found if one.estimate is None), "")
    figure = Figure(have=len(good), of=wanted, note=note, metric=metrics.pop() if len(metrics) == 1 else "")
    if not good or len(good) < wanted:
        return figure, None
    made = combine([(one.measure.scale / len(good), estimate) for one, estimate in good])
    figure = replace(figure, value=made.value, one_seed=any(one.one_seed for one, _ in good), items=made.documents)
    if math.isnan(made.low):
        untested = next(one.note for one, estimate in good if math.isnan(estimate.low))
        return replace(figure, note=untested), None
    return replace(figure, low=made.low, high=made.high), made


def _finish(rows: Sequence[LeaderboardRow], drafts: Sequence[_Draft]) -> list[View]:
    """The views of drafts, with Holm's correction over the figures of all of them."""
    tested = [(draft.scope, *place, estimate) for draft in drafts for place, (_, estimate) in draft.cells.items() if estimate]
    corrected = correct([estimate.p for *_, estimate in tested])
    found = {(scope, row, kind): float(p) for (scope, row, kind, _), p in zip(tested, corrected, strict=True)}
    made = sum(not math.isnan(p) for p in found.values())
    return [
        _finish_one(rows, draft, {place: found[draft.scope, *place] for place in draft.cells if (draft.scope, *place) in found}, made)
        for draft in drafts
    ]


def _finish_one(rows: Sequence[LeaderboardRow], draft: _Draft, corrected: Mapping[tuple[str, str], float], comparisons: int) -> View:
    figures: dict[str, dict[str, Figure]] = defaultdict(dict)
    for (row, kind), (figure, estimate) in draft.cells.items():
        p = corrected.get((row, kind), math.nan)
        if estimate and not math.isnan(p):
            ends: TableRow = {"value": estimate.value, "low": estimate.low, "high": estimate.high, "p": estimate.p}
            least = detectable(estimate.parts, comparisons)
            figure = replace(
                figure,
                significant=p < ALPHA,
                reason="" if p < ALPHA else explain(ends, comparisons),
                detectable=None if math.isnan(least) else least,
            )
        figures[row][kind] = figure
    places, missed, note = _rank(rows, draft.tasks)
    needed, documents = _count_needed(draft, comparisons)
    return View(draft.scope, figures, places, draft.tasks, missed, note, needed, documents)


def _count_needed(draft: _Draft, comparisons: int) -> tuple[int | None, int]:
    """How many documents would find the largest lift that was seen, and on how many it was seen. Methods with one seed count only if there
    are no others."""
    lifts = [(figure, estimate) for (_, kind), (figure, estimate) in draft.cells.items() if kind == "lift" and estimate]
    settled = [estimate for figure, estimate in lifts if not figure.one_seed] or [estimate for _, estimate in lifts]
    best = max(settled, key=lambda one: one.value, default=None)
    if best is None or best.value <= 0:
        return None, best.documents if best else 0
    return count_needed(best.spread, best.value, best.parts[1:], comparisons), best.documents


def _rank(rows: Sequence[LeaderboardRow], tasks: Sequence[str]) -> tuple[dict[str, Place], float | None, str]:
    """The places of the rows that have some tasks by document, the differences that would have been missed, and the reason if there are no
    places."""
    models = {}
    for row in rows:
        if not lacks_scores(row, tasks):
            models[row.id] = [one for run in row.runs for one in run.documents if one.task in tasks]
    try:
        table, missed = rank_overall(models)
    except UserError as error:
        return {}, None, f"not ranked: {error}"
    places = {one["model"]: Place(int(one["rank"]), int(one["of"]), float(one["value"]), one["tied"]) for one in table.to_dict("records")}
    return places, None if math.isnan(missed) else missed, ""


def lacks_scores(row: LeaderboardRow, tasks: Sequence[str]) -> str:
    """Why a row cannot be ranked on some tasks; empty if it can."""
    have = [task for task in tasks if task in row.results]
    if len(have) < len(tasks):
        return f"{len(have)}/{len(tasks)} tasks"
    ranked = {task for task in have if row.results[task].is_ranked}
    there = all(ranked <= {one.task for one in run.documents} for run in row.runs)
    return "" if there else "no scores by document"
