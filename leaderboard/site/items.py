"""Scores item by item, as files that the page of comparisons loads when two rows are chosen."""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xlift.harness.core.languages import name_language
from xlift.leaderboard.analysis.rows import LeaderboardRow
from xlift.leaderboard.loading.scores import Documents
from xlift.leaderboard.site.text import clean
from xlift.tasks.benchmarks import name_place


@dataclass(frozen=True)
class ItemScores:
    """What a row scored on each item of a task, a mean over its seeds."""

    task: str
    title: str
    unit: str
    digits: int
    sign: int
    """-1 where less is better."""
    key: str
    """Comparability key: two rows are compared only where it is the same."""
    ids: tuple[int, ...]
    values: tuple[float | None, ...]
    """None where an item has no score, such as an answer of which the language cannot be told."""


@dataclass(frozen=True)
class Place:
    """Where the samples of a task are shown."""

    file: str
    """Address of their pages below the site's folder, up to the page's number."""
    lines: int
    """Samples of each item: one for each filter of the answer."""


def collect_items(row: LeaderboardRow) -> tuple[ItemScores, ...]:
    """The items of all tasks of a row; a task of which the seeds did other items is left out."""
    found: dict[str, list[Documents]] = defaultdict(list)
    for run in row.runs:
        for one in run.documents:
            if one.is_compared:
                found[one.task].append(one)
    made = (_pool(some) for some in found.values())
    return tuple(one for one in made if one)


def _pool(seeds: Sequence[Documents]) -> ItemScores | None:
    first = seeds[0]
    if any(not np.array_equal(one.columns.ids, first.columns.ids) for one in seeds):
        return None
    measure = first.measure
    in_bits = measure.group == "likelihood"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an item that no seed has a value of has no mean
        means = measure.scale * np.nanmean([one.columns.values for one in seeds], axis=0)
    values = tuple(None if np.isnan(value) else round(float(value), 4 if in_bits else 1) for value in means)
    language = f": {name_language(first.language)}" if first.language else ""
    unit = "bits per byte" if in_bits else "points" if measure.most else measure.name
    return ItemScores(
        first.task, f"{name_place(first.benchmark)}{language}", unit, 3 if in_bits else 1, first.sign, first.comparability,
        tuple(int(number) for number in first.columns.ids), values,
    )  # fmt: skip


def write_items(row: LeaderboardRow, items: Sequence[ItemScores], places: Mapping[str, Place]) -> str:
    """The scores of a row as a script, which a page can load from disk."""
    tasks = []
    for one in items:
        place = places.get(one.task)
        ids = None if one.ids == tuple(range(len(one.ids))) else one.ids
        shown = [place.file, place.lines] if place else None
        tasks.append([one.task, clean(one.title), one.unit, [one.digits, one.sign], one.key, ids, one.values, shown])
    found = json.dumps({"label": clean(row.label), "tasks": tasks}, separators=(",", ":"))
    return f'"use strict";\n(window.xliftItems ||= {{}})[{json.dumps(row.id)}] = {found};\n'
