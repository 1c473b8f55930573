"""What each row differs in from its base, task by task, as figures for pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from xlift.leaderboard.analysis.board import Board
from xlift.leaderboard.analysis.comparisons import TableRow, find_scale
from xlift.leaderboard.analysis.rows import Figure, LeaderboardRow
from xlift.tasks.entries import Metric

Differences = Mapping[tuple[str, str], Mapping[tuple[str, str], Figure]]
"""Method minus base, by suite and label, then by task and metric."""


def to_figure(found: TableRow) -> Figure:
    """A row of a table of comparisons as a figure in points."""
    if found["value"] is None or pd.isna(found["value"]):
        return Figure(note=found["note"])
    measure, size = Metric(found["metric"], most=None if pd.isna(found["most"]) else found["most"]), find_scale(found)
    figure = Figure(size * found["value"], note=found["note"], metric=found["metric"], measure=measure, one_seed=bool(found["one_seed"]))
    if pd.isna(found["low"]):
        return figure
    return replace(
        figure, low=size * found["low"], high=size * found["high"], significant=bool(found["significant"]), reason=found["reason"],
        detectable=None if pd.isna(found["detectable"]) else size * found["detectable"],
    )  # fmt: skip


def collect_differences(board: Board) -> Differences:
    """Those of all rows of a board; of scores that are of all documents at once, too."""
    found: dict[tuple[str, str], dict[tuple[str, str], Figure]] = {}
    for one in board.tasks.to_dict("records"):
        found.setdefault((one["suite"], one["method"]), {})[one["task"], one["metric"]] = to_figure(one)
    bases = {row.suite: row for row in board.rows if row.label == "base"}
    for row in board.rows:
        if row.label != "base" and row.suite in bases:
            corpora = _compare_corpora(row, bases[row.suite])
            found[row.suite, row.label] = {**corpora, **found.get((row.suite, row.label), {})}
    return found


def _compare_corpora(row: LeaderboardRow, base: LeaderboardRow) -> dict[tuple[str, str], Figure]:
    """Row minus base, without an interval, for headlines of other makers that are computed over all documents at once, such as
    perplexity."""
    found = {}
    for task, result in row.results.items():
        metric = result.headline or ""
        measure, score, other = result.find_metric(metric), row.tasks[task], base.tasks.get(task)
        if not (result.measures and measure.whole and row.keys[task] == base.keys.get(task)):
            continue
        if score.value is not None and other is not None and other.value is not None:
            sign = -1 if measure.lower_is_better else 1
            note = "a score of all documents at once: no interval"
            found[task, metric] = Figure(sign * (score.value - other.value), note=note, metric=metric, measure=measure)
    return found
