"""A run with many models in one line for each method: its lifts, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from xlift.harness.evaluation.records import Record
from xlift.leaderboard.analysis.comparisons import BASE, compare_languages
from xlift.leaderboard.analysis.conclusion import Row, list_headlines, write_number
from xlift.leaderboard.analysis.tables import write_cost
from xlift.leaderboard.loading.scores import Documents
from xlift.tasks.benchmarks import find_metric, name_place

Column = tuple[str, str, tuple[str, ...]]
"""The benchmark, the kind (lift, retention or transfer) and the languages of a column."""


def spread_lifts(documents: Iterable[Documents], over: str = BASE) -> dict[str, pd.DataFrame]:
    """For each suite a table of the lifts over the base, or over the model that ``over`` names, as text: a row for each method, a column
    for each benchmark and kind of languages.

    Lifts are those of the headline metrics that are ranked, in points or bits per byte, averaged over seeds, with the 95 % interval and
    ``*`` where they are significant after Holm's correction. The method with the largest first number comes first. What was not compared is
    empty, and a column without any interval is left out. Controls are marked, and methods of one seed, as their intervals do not hold
    what another seed would change.
    """
    given = list(documents)
    suites: dict[str, list[Row]] = {}
    for row in list_headlines(compare_languages(given, over)):
        if row["seen"] is not None:
            suites.setdefault(row["suite"], []).append(row)
    tables = {suite: _spread(rows) for suite, rows in suites.items()}
    found = {suite: table for suite, table in tables.items() if table is not None}
    for suite, table in found.items():
        table["method"] = [
            mark_label(label, [one for one in given if (one.suite, one.label) == (suite, label)]) for label in table["method"]
        ]
    return found


def mark_label(label: str, of: Sequence[Documents | Record]) -> str:
    """The label of a row, with remarks for a control and for what was trained with one seed. What trains nothing has no seed (None)."""
    seeds = {one.seed for one in of}
    remarks = ["control"] if any(one.control for one in of) else []
    remarks += ["one seed"] if len(seeds) == 1 and seeds != {None} else []
    return f"{label} ({', '.join(remarks)})" if remarks else label


def _spread(rows: Sequence[Row]) -> pd.DataFrame | None:
    found: dict[Column, dict[str, Row]] = {}
    for row in rows:
        found.setdefault((row["benchmark"], row["kind"], tuple(row["languages"])), {})[row["method"]] = row
    told = {column: cells for column, cells in found.items() if any(row["value"] is not None for row in cells.values())}
    if not told:
        return None
    columns = dict(sorted(told.items(), key=lambda item: item[0][1] != "lift"))
    first = next(iter(columns.values()))
    methods = sorted(
        {row["method"] for cells in columns.values() for row in cells.values()},
        key=lambda name: (name not in first, -first[name]["seen"] if name in first else 0.0, name),
    )
    table: dict[str, list[str]] = {"method": methods}
    for (benchmark, kind, languages), cells in columns.items():
        name = f"{name_place(benchmark)}\n{', '.join(languages)} ({kind})"
        table[name] = [_write(cells[method]) if method in cells else "" for method in methods]
    return pd.DataFrame(table)


def _write(row: Row) -> str:
    """``+0.077 [+0.057, +0.099]*``; without an interval ``unchanged``, or the number with a word that says so."""
    digits = 1 if find_metric(row["metric"]).group == "answers" else 3
    seen = write_number(row["seen"], digits)
    if row["value"] is None:
        return f"{seen}, no interval" if row["seen"] else "unchanged"
    return f"{seen} [{write_number(row['low'], digits)}, {write_number(row['high'], digits)}]{'*' if row['significant'] else ''}"


def summarise_costs(costs: pd.DataFrame) -> pd.DataFrame:
    """What one training of each method cost, as means over its seeds, for people. ``costs`` are as ``tables.tabulate_costs`` returns them.

    A column that no method has a value in is left out.
    """
    named = costs.assign(method=costs["model"].str.partition(" (seed ")[0])
    rows: list[Mapping[str, Any]] = []
    for method, group in named.groupby("method", sort=False):
        cells = {"method": method, "seeds": str(len(group)) if "rows" in group and group["rows"].notna().any() else ""}
        for title, column, form in _SHOWN:
            mean = pd.to_numeric(group[column]).mean() if column in group else float("nan")
            cells[title] = write_cost(mean, form)
        rows.append(cells)
    table = pd.DataFrame(rows)
    return table[[name for name in table.columns if (table[name] != "").any()]]


_SHOWN = (
    ("rows", "rows", "{:,.0f}"),
    ("tokens", "tokens_trained", "{:,.0f}"),
    ("training", "seconds", "seconds"),
    ("MiB", "peak_memory_mib", "{:,.0f}"),
    ("measuring", "evaluation_seconds", "seconds"),
    ("answer tokens,\nof the base's", "inference_factor", "{:.2f}"),
)
"""The name of each cost, its column in ``tables.tabulate_costs``, and its format."""
