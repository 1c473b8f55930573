"""The page of one group: its answer, the map of methods and languages, cost against lift, the table, and the data for scoring again."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from xlift.harness.core.languages import name_language
from xlift.leaderboard.analysis.board import Board, Group
from xlift.leaderboard.analysis.rows import Figure, LeaderboardRow
from xlift.leaderboard.analysis.summary import summarise
from xlift.leaderboard.analysis.views import KINDS, Scope, View
from xlift.leaderboard.loading.slugs import slug
from xlift.leaderboard.site.drawings import CostPoint, draw_cost, draw_interval, find_reach
from xlift.leaderboard.site.filters import points
from xlift.leaderboard.site.text import clean
from xlift.tasks.benchmarks import name_place

UNITS = {"answers": "points of 100", "likelihood": "bits per byte"}
MEASURED = {"answers": "answers, in points of 100", "likelihood": "likelihood, in bits per byte"}


@dataclass(frozen=True)
class Map:
    """Lift by method and language, in one measure."""

    measure: str
    columns: tuple[tuple[str, str], ...]
    """The code of each language, and what it is to most rows: trained, transfer or pivot."""
    rows: tuple[tuple[LeaderboardRow, tuple[tuple[str, Figure, bool], ...]], ...]
    """Each method with its cells: language, lift, and whether answers left the language."""

    @property
    def astray(self) -> bool:
        """Whether answers left the language in some cell."""
        return any(astray for _, cells in self.rows for _, _, astray in cells)


@dataclass(frozen=True)
class Page:
    """What the page of a group shows beside the group."""

    group: Group
    file: str
    """The file below the site's folder."""
    data: str
    """The file of the views' numbers."""
    answer: str
    others: tuple[tuple[str, str], ...]
    """The measures that do not lead, each with its answer."""
    maps: tuple[Map, ...]
    cost: Markup
    bars: Mapping[str, Markup]
    """The interval of each row's lift."""
    choices: Mapping[str, tuple[tuple[str, str], ...]]
    """Value and name of what the views can be chosen by."""


def list_pages(board: Board) -> tuple[Page, ...]:
    """The pages of all groups. That of the first is also the index."""
    names = [group.base or "models" for group in board.groups]
    pages = []
    for group, name in zip(board.groups, names, strict=True):
        parts = [name] if names.count(name) == 1 else [name, group.suites[0]]
        pages.append(_make_page(group, slug(*parts)))
    return tuple(pages)


def _make_page(group: Group, name: str) -> Page:
    views = {view.scope: view for view in group.views}
    leading = group.view.scope.measure
    measures = list(dict.fromkeys(view.scope.measure for view in group.views))
    figures = [row.averages["lift"] for row in group.rows if "lift" in row.averages]
    reach = find_reach(figures)
    return Page(
        group=group,
        file=f"bases/{name}.html",
        data=f"data/views/{name}.js",
        answer=_summarise(group, group.view),
        others=tuple((measure, _summarise(group, views[Scope(measure)])) for measure in measures if measure != leading),
        maps=tuple(found for measure in measures if (found := make_map(group, measure))),
        cost=_draw_cost(group.rows),
        bars={row.id: draw_interval(row.averages["lift"], reach) for row in group.rows if "lift" in row.averages},
        choices=_list_choices(group, measures),
    )


def _summarise(group: Group, view: View) -> str:
    """The answer of a view. That of an average over benchmarks also looks at each of them."""
    whole = view.scope == Scope(view.scope.measure)
    parts = [one for one in group.views if one.scope == Scope(view.scope.measure, "", one.scope.benchmark) and one.scope.benchmark]
    return summarise(group.rows, view, parts if whole and len(parts) > 1 else ())


def make_map(group: Group, measure: str, benchmark: str = "") -> Map | None:
    """The lifts of a group's methods by language; None if no method has one."""
    views = [view for view in group.views if (view.scope.measure, view.scope.benchmark) == (measure, benchmark) and view.scope.language]
    methods = [row for row in group.rows if row.label != "base"]
    columns = _sort_languages([view.scope.language for view in views], methods)
    found = {view.scope.language: view for view in views}
    rows = []
    for row in methods:
        cells = [(code, found[code].figures.get(row.id, {}).get("lift", Figure()), _is_astray(row, found[code])) for code, _ in columns]
        if any(figure.value is not None for _, figure, _ in cells):
            rows.append((row, tuple(cells)))
    return Map(measure, columns, tuple(rows)) if rows else None


def _sort_languages(codes: Sequence[str], methods: Sequence[LeaderboardRow]) -> tuple[tuple[str, str], ...]:
    """Languages with their kind: trained ones first, the pivot last, and each kind by name."""
    kinds = {}
    for code in codes:
        trained = sum(code in row.record.trained for row in methods)
        pivot = any(code == row.record.pivot for row in methods)
        kinds[code] = "pivot" if pivot else "trained" if 2 * trained >= len(methods) and trained else "transfer"
    order = ("trained", "transfer", "pivot")
    return tuple(sorted(kinds.items(), key=lambda each: (order.index(each[1]), name_language(each[0]))))


def _is_astray(row: LeaderboardRow, view: View) -> bool:
    """Whether most answers of a row to a task of a view are in another language than asked for, which may explain its score."""
    return any(task in row.fooled for task in view.tasks)


def _draw_cost(rows: Sequence[LeaderboardRow]) -> Markup:
    found = []
    for row in rows:
        lift, cost = row.averages.get("lift"), row.cost
        if lift and lift.value is not None and cost.tokens_trained is not None:
            found.append(CostPoint(row.marked, cost.tokens_trained + (cost.tokens_generated or 0), lift))
    return draw_cost(found) if len(found) > 1 else Markup("")


def _list_choices(group: Group, measures: Sequence[str]) -> dict[str, tuple[tuple[str, str], ...]]:
    scopes = [view.scope for view in group.views]
    languages = sorted({scope.language for scope in scopes} - {""}, key=name_language)
    benchmarks = sorted({(scope.benchmark, scope.measure) for scope in scopes if scope.benchmark}, key=lambda each: name_place(each[0]))
    return {
        "measure": tuple((measure, MEASURED[measure]) for measure in measures),
        "language": tuple((code, name_language(code)) for code in languages),
        "benchmark": tuple((f"{measure} {name}", name_place(name)) for name, measure in benchmarks),
    }


def write_views(page: Page) -> str:
    """The numbers of a group's views as a script, which a page can load from disk. For each scope it has the answer, and for each row of
    the table its rank, the number of rows with which it is tied, and its figures by kind, each as value, low, high and 1 if it is
    significant."""
    ids = [row.id for row in page.group.rows]
    views = {
        " ".join((view.scope.measure, view.scope.language or "-", view.scope.benchmark or "-")): _write_view(page.group, view)
        for view in page.group.views
    }
    lines = ",\n".join(f"{json.dumps(scope)}:{text}" for scope, text in views.items())
    return f'"use strict";\nwindow.xliftViews = {{"rows":{json.dumps(ids)},"views":{{\n{lines}\n}}}};\n'


def _write_view(group: Group, view: View) -> str:
    rows = []
    for row in group.rows:
        figures = view.figures.get(row.id, {})
        place = view.places.get(row.id)
        rank = [place.rank, len(place.tied)] if place else [None, 0]
        rows.append([*rank, *(_list_numbers(figures.get(kind)) for kind in KINDS)])
    found = {"answer": clean(_summarise(group, view)), "rows": rows}
    return json.dumps(found, ensure_ascii=True, separators=(",", ":"))


def _list_numbers(figure: Figure | None) -> list[float | int | None] | None:
    if figure is None or figure.value is None:
        return None
    # Rounded as the page shows them: a script rounds halves another way.
    value, low, high = (None if end is None else float(f"{end:.{figure.digits}f}") + 0.0 for end in (figure.value, figure.low, figure.high))
    return [value, low, high, int(bool(figure.significant))]


def describe_cell(row: LeaderboardRow, language: str, figure: Figure, astray: bool) -> str:
    """A cell of the map in words."""
    if figure.value is None:
        return f"{row.marked}, {name_language(language)}: {figure.note or 'not measured'}"
    said = f"{row.marked}, {name_language(language)}: {points(figure.value, True, figure.digits)}"
    if figure.low is not None and figure.high is not None:
        said += f", 95 % interval {points(figure.low, True, figure.digits)} to {points(figure.high, True, figure.digits)}"
    said += ", significant" if figure.significant else ", not told from the base" if figure.significant is False else ", no test"
    return f"{said}; most answers are in another language" if astray else said


def find_size(base: str) -> float:
    """The billions of weights in a base's name, such as 0.135 in ``smollm2-135m``; infinite if the name has none."""
    found = re.findall(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", base.lower())
    return min((float(number) / (1 if unit == "b" else 1000) for number, unit in found), default=math.inf)


SIZES = ((1.0, "under 1B"), (4.0, "1B to 4B"), (10.0, "4B to 10B"), (40.0, "10B to 40B"), (math.inf, "40B and more"))
"""Names of sizes of bases, each with the billions of weights that it ends below."""


def name_size(base: str) -> str:
    """The size of a base in words, by its name."""
    size = find_size(base)
    return "size unknown" if math.isinf(size) else next(name for end, name in SIZES if size < end)


def group_by_size(pages: Sequence[Page]) -> list[tuple[str, list[Page]]]:
    """The pages by the size of their bases, the smallest first; of one size in the order that they have."""
    found: dict[str, list[Page]] = {}
    for page in sorted(pages, key=lambda page: find_size(page.group.base)):
        found.setdefault(name_size(page.group.base), []).append(page)
    return [(size, sorted(some, key=pages.index)) for size, some in found.items()]


def list_across(pages: Sequence[Page]) -> Iterator[tuple[str, list[tuple[Page, LeaderboardRow, Markup]]]]:
    """Each method with its rows on all bases, each with its interval, for the page across bases. All bars have one scale."""
    rows = [
        (page, row)
        for page in pages
        for row in page.group.rows
        if row.label != "base" and row.averages.get("lift", Figure()).value is not None
    ]
    rows.sort(key=lambda each: (find_size(each[1].base), each[1].base, each[1].label))
    for method in sorted({row.method for _, row in rows}):
        mine = [(page, row) for page, row in rows if row.method == method]
        reaches = {
            measure: find_reach([row.averages["lift"] for page, row in rows if page.group.view.scope.measure == measure])
            for measure in UNITS
        }
        yield method, [(page, row, draw_interval(row.averages["lift"], reaches[page.group.view.scope.measure])) for page, row in mine]
