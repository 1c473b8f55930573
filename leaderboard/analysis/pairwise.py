"""Every pair of rows of a group on every benchmark, for the page that compares rows."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd

from xlift.harness.core.errors import UserError
from xlift.leaderboard.analysis.board import Board, Group
from xlift.leaderboard.analysis.comparisons import compare_runs, explain, pool_sheets, say_no_interval
from xlift.leaderboard.analysis.rows import Figure, LeaderboardRow
from xlift.leaderboard.analysis.statistics import ALPHA, Estimate, correct
from xlift.leaderboard.loading.scores import Documents
from xlift.tasks.entries import Metric

MOST = 48
"""The most rows of a group. With more, the pairs would be too many to read, and none is made."""

Pair = tuple[LeaderboardRow, LeaderboardRow, dict[str, Figure]]


def compare_rows(board: Board) -> dict[int, list[Pair]]:
    """The differences of each group: first minus second, in points, by benchmark. Holm's correction is over the group's table."""
    return {group.number: _compare(group) if len(group.rows) <= MOST else [] for group in board.groups}


def tabulate(pairs: dict[int, list[Pair]]) -> pd.DataFrame:
    """The same as a table."""
    rows = [
        {
            "group": number, "first": first.id, "second": second.id, "benchmark": benchmark, "metric": one.metric, "value": one.value,
            "low": one.low, "high": one.high, "significant": one.significant, "one_seed": one.one_seed, "reason": one.reason,
        }
        for number, found in pairs.items()
        for first, second, cells in found
        for benchmark, one in cells.items()
    ]  # fmt: skip
    names = ["group", "first", "second", "benchmark", "metric", "value", "low", "high", "significant", "one_seed", "reason"]
    return pd.DataFrame(rows, columns=names)


def _compare(group: Group) -> list[Pair]:
    sheets = {row.id: _sheets(row) for row in group.rows}
    benchmarks = {benchmark for found in sheets.values() for benchmark in found}
    pools = {benchmark: pool_sheets(found[benchmark] for found in sheets.values() if benchmark in found) for benchmark in benchmarks}
    found: list[tuple[LeaderboardRow, LeaderboardRow, str, Metric, Estimate]] = []
    for first, second in combinations(group.rows, 2):
        ours, theirs = sheets[first.id], sheets[second.id]
        for benchmark in ours.keys() & theirs.keys():
            sheet, other = ours[benchmark], theirs[benchmark]
            try:
                estimate = compare_runs(sheet, other, first.label, pools[benchmark])
            except UserError:  # such as other languages: the page shows no number there
                continue
            found.append((first, second, benchmark, next(iter(sheet.values()))[0].measure, estimate))
    corrected = correct(np.array([one[-1].p for one in found], dtype=np.float64))
    pairs: dict[tuple[str, str], Pair] = {}
    for (first, second, benchmark, measure, one), p in sorted(zip(found, corrected, strict=True), key=lambda each: each[0][2]):
        figure = _make_figure(one, measure, float(p), int(np.isfinite(corrected).sum()))
        figure = replace(figure, one_seed=first.one_seed or second.one_seed)
        pairs.setdefault((first.id, second.id), (first, second, {}))[2][benchmark] = figure
    order = {row.id: number for number, row in enumerate(group.rows)}
    return sorted(pairs.values(), key=lambda pair: (order[pair[0].id], order[pair[1].id]))


def _make_figure(one: Estimate, measure: Metric, p: float, comparisons: int) -> Figure:
    """A difference in points. ``p`` is corrected for this number of comparisons."""
    size = measure.scale
    figure = Figure(size * one.value, metric=measure.name, measure=measure)
    if math.isnan(one.low):
        return replace(figure, note=say_no_interval(one))
    reason = "" if p < ALPHA else explain({"value": one.value, "low": one.low, "high": one.high, "p": one.p}, comparisons)
    return replace(figure, low=size * one.low, high=size * one.high, significant=p < ALPHA, reason=reason)


def _sheets(row: LeaderboardRow) -> dict[str, dict[str, list[Documents]]]:
    """A row's per-document headline scores by benchmark and language."""
    sheets: dict[str, dict[str, list[Documents]]] = defaultdict(lambda: defaultdict(list))
    for run in row.runs:
        for one in run.documents:
            if one.is_compared:
                sheets[one.benchmark][one.language].append(one)
    return {benchmark: dict(sorted(found.items())) for benchmark, found in sheets.items()}
