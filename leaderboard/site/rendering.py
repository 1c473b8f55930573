"""Templates, and the functions that they may call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from xlift.harness.core.languages import name_language
from xlift.harness.core.limits import LEAST_DOCUMENTS, is_smoke
from xlift.harness.evaluation.records import TaskResult
from xlift.leaderboard.analysis.board import Group
from xlift.leaderboard.analysis.rows import Languages, LeaderboardRow, describe_languages
from xlift.leaderboard.analysis.views import KINDS
from xlift.leaderboard.loading.runs import Run
from xlift.leaderboard.loading.slugs import slug
from xlift.leaderboard.loading.win_rates import group_settings, name_calibrations
from xlift.leaderboard.site.boards import UNITS, describe_cell, group_by_size, name_size
from xlift.leaderboard.site.drawings import write_size
from xlift.leaderboard.site.filters import count, digits, heat, hub_link, points, score, spell, win_rate
from xlift.leaderboard.site.text import clean, direction, show, write_breakable, write_prose
from xlift.tasks.benchmarks import headline, name_place

Pages = Iterator[tuple[str, str]]
"""Name of a file below the site's folder, and its text."""
NAVIGATION = (
    ("index.html", "Ranking"),
    ("bases.html", "Bases"),
    ("methods.html", "Methods"),
    ("languages.html", "Languages"),
    ("benchmarks.html", "Benchmarks"),
    ("compare.html", "Compare"),
    ("data.html", "Data"),
    ("about.html", "About"),
)
"""The pages to which every page links."""


@cache
def open_pages() -> Callable[..., str]:
    """A function that renders a template: (template, path to the site's root, context)."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, finalize=_finalize,
    )  # fmt: skip
    functions = {
        "slug": slug, "show": show, "direction": direction, "language": name_language, "benchmark": name_place,
        "languages_of": _describe_row, "is_rate": _is_rate, "kinds": KINDS, "points": points, "heat": heat, "count": count, "spell": spell,
        "hub": hub_link, "prose": write_prose, "average": average, "group_settings": group_settings,
        "calibrations": name_calibrations,
        "win_rate": win_rate, "digits": digits, "units": UNITS, "size": write_size, "describe_cell": describe_cell,
        "navigation": NAVIGATION, "trend": list_trend, "score": score, "is_smoke": is_smoke, "least": LEAST_DOCUMENTS,
        "by_size": group_by_size, "name_size": name_size,
        "rankc": lambda value: "–" if pd.isna(value) else f"{value:.3f}",
    }  # fmt: skip
    environment.globals.update(functions)
    environment.filters.update(show=show, slug=slug, breakable=write_breakable)

    def pages(template: str, root: str, **context: object) -> str:
        return environment.get_template(template).render(root=root, **context)

    return pages


def _is_rate(benchmark: str) -> bool:
    """Whether a benchmark shows how often answers are in another language than asked for, and no score."""
    return headline(benchmark) == "off_target"


def _describe_row(row: LeaderboardRow) -> Languages:
    return describe_languages(result for run in row.runs for result in run.record.tasks.values())


def _finalize(value: object) -> object:
    return clean(value) if type(value) is str else value  # Markup is a str, too, and clean already


def average(run: Run, group: Group) -> float | None:
    """The mean score of one run over the tasks on which its group is ranked, weighted as in the rank; None if a score is missing."""
    boards: dict[str, list[float]] = {}
    for task, result in run.record.tasks.items():
        shown = result.tested
        score = result.metrics.get(shown or "")
        if shown and task in group.view.tasks:
            if score is None or score.value is None:
                return None
            boards.setdefault(result.benchmark, []).append(result.find_metric(shown).scale * score.value)
    means = [sum(values) / len(values) for values in boards.values()]
    return sum(means) / len(means) if means else None


def list_trend(run: Run) -> Iterator[tuple[str, str, TaskResult, str, bool]]:
    """Each task's measurements, the oldest first: task, time, result, versions of libraries, and whether it compares with the last one."""
    for task, last in run.record.tasks.items():
        for one in (*run.earlier, run):
            if result := one.record.tasks.get(task):
                versions = ", ".join(f"{name} {version}" for name, version in one.record.versions.items())
                yield task, one.written, result, versions, result.comparability == last.comparability
