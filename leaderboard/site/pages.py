"""What each page shows: from a board to names and texts of files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd
from markupsafe import Markup

from xlift.harness.core.languages import name_language
from xlift.harness.evaluation.records import TaskResult
from xlift.leaderboard.analysis.board import Board, Group
from xlift.leaderboard.analysis.pairwise import Pair
from xlift.leaderboard.analysis.rows import Figure, LeaderboardRow
from xlift.leaderboard.analysis.summary import summarise
from xlift.leaderboard.loading.slugs import slug
from xlift.leaderboard.site.benchmark_facts import find_item, list_facts
from xlift.leaderboard.site.boards import Page, list_across, list_pages, write_views
from xlift.leaderboard.site.data_files import TABLES
from xlift.leaderboard.site.differences import Differences, collect_differences
from xlift.leaderboard.site.drawings import draw_interval, find_reach
from xlift.leaderboard.site.filters import describe_method
from xlift.leaderboard.site.gaps import list_gaps
from xlift.leaderboard.site.picture import draw_picture
from xlift.leaderboard.site.rendering import Pages, open_pages
from xlift.leaderboard.site.run_charts import collect_charts
from xlift.leaderboard.site.text import write_prose
from xlift.tasks.benchmarks import measured_group, name_place

PICTURE = "board.png"
LEFT_OUT = 100
"""The most lines about what was left out that the index shows."""
Cells = dict[str, dict[str, tuple[str, Figure, Figure]]]
"""A task, its score and its difference from the base, by row and column of a table."""


def render(board: Board, pairs: Mapping[int, list[Pair]], url: str = "") -> Iterator[tuple[str, str | bytes]]:
    """The pages that show many rows, one after the other, and the board's picture; ``url`` is where they will be published."""
    pages, boards = open_pages(), list_pages(board)
    charts, differences = collect_charts(board), collect_differences(board)
    for number, one in enumerate(boards):
        shown = {"page": one, "pages": boards, "curves": charts.get(one.group.number)}
        if not number:
            yield PICTURE, draw_picture(one)
            picture = f"{url.rstrip('/')}/{PICTURE}" if url else PICTURE
            yield "index.html", pages("index.html", "", left_out=board.left_out, most=LEFT_OUT, picture=picture, **shown)
        yield one.file, pages("index.html", "../", left_out=(), most=LEFT_OUT, picture="", **shown)
        yield one.data, write_views(one)
    across = dict(list_across(boards))
    yield "bases.html", pages("bases.html", "", pages=boards, across=across)
    yield "compare.html", pages("compare.html", "", board=board, pairs=pairs)
    yield "signal.html", pages("signal.html", "", **_signal(board))
    yield "data.html", pages("data.html", "", tables=TABLES)
    yield "about.html", pages("about.html", "")
    yield from _render_lists(pages, board, boards)
    for benchmark in _list_benchmarks(board):
        answers = _answer(boards, benchmark=benchmark)
        yield (
            f"benchmarks/{slug(benchmark)}.html",
            pages("benchmark.html", "../", answers=answers, **_benchmark(board, differences, benchmark)),
        )
    for language in _list_languages(board):
        answers = _answer(boards, language=language)
        yield f"languages/{slug(language)}.html", pages("language.html", "../", answers=answers, **_language(board, differences, language))
    for method in dict.fromkeys(row.method for row in board.rows):
        rows = [row for row in board.rows if row.method == method]
        text, defaults = describe_method(method)
        yield (
            f"methods/{slug(method)}.html",
            pages(
                "method.html",
                "../",
                method=method,
                rows=rows,
                text=text,
                defaults=defaults,
                options=_options(rows),
                lifts=across.get(method, ()),
            ),
        )


def _render_lists(pages: Callable[..., str], board: Board, boards: Sequence[Page]) -> Pages:
    """The pages that list all methods, languages and benchmarks, each with what it is or with its answer."""
    methods, languages, benchmarks = [], [], []
    for method in sorted({row.method for row in board.rows}):
        text = describe_method(method)[0] or ("The base model as it is." if method == "base" else "")
        methods.append((f"methods/{slug(method)}.html", method, write_prose(text.split("\n\n")[0])))
    for language in _list_languages(board):
        answers = [text for _, text, _ in _answer(boards[:1], language=language)]
        languages.append((f"languages/{slug(language)}.html", name_language(language), answers[0] if answers else "", language))
    for benchmark in _list_benchmarks(board):
        answers = [text for _, text, _ in _answer(boards[:1], benchmark=benchmark)]
        benchmarks.append((f"benchmarks/{slug(benchmark)}.html", name_place(benchmark), answers[0] if answers else ""))
    first = f" The sentences are of {boards[0].group.base or 'the first ranking'}; each page has all bases." if boards else ""
    yield "methods.html", pages("list.html", "", title="Methods", about="What each method does, its rows and its lifts.", entries=methods)
    about = f"Which method lifts which language.{first}"
    base = next((row.base for page in boards for row in page.group.rows), "ORG/MODEL")
    gaps, hint = tuple(list_gaps(_list_languages(board), base)), boards[0].answer if boards else ""
    shown = {"about": about, "entries": sorted(languages, key=lambda one: one[1]), "gaps": gaps, "hint": hint}
    yield "languages.html", pages("languages.html", "", **shown)
    about = f"What is measured, and who is ahead there.{first}"
    yield "benchmarks.html", pages("list.html", "", title="Benchmarks", about=about, entries=sorted(benchmarks, key=lambda one: one[1]))


def _list_benchmarks(board: Board) -> list[str]:
    return list(dict.fromkeys(name for group in board.groups for name in group.benchmarks))


def _list_languages(board: Board) -> list[str]:
    """Languages that were evaluated or trained."""
    return sorted({language for row in board.rows for language in (*row.languages, *row.record.trained)})


def _answer(
    boards: Sequence[Page], language: str = "", benchmark: str = ""
) -> list[tuple[Page, str, list[tuple[LeaderboardRow, Figure, Markup]]]]:
    """The answer of each ranking and measure in a language or on a benchmark, with the methods' lifts there, the largest first."""
    found = []
    for page in boards:
        for view in page.group.views:
            if (view.scope.language, view.scope.benchmark) != (language, benchmark):
                continue
            lifts = [(row, view.figures[row.id]["lift"]) for row in page.group.rows if "lift" in view.figures.get(row.id, {})]
            lifts = sorted((each for each in lifts if each[1].value is not None), key=lambda each: -(each[1].value or 0))
            reach = find_reach([lift for _, lift in lifts])
            found.append((page, summarise(page.group.rows, view), [(row, lift, draw_interval(lift, reach)) for row, lift in lifts]))
    return found


def _difference(differences: Differences, row: LeaderboardRow, task: str) -> Figure:
    found = differences.get((row.suite, row.label), {}).get((task, row.tasks[task].metric))
    return found or Figure(note="no comparison with the base")


def _collect_cells(group: Group, differences: Differences, name_column: Callable[[TaskResult], str | None]) -> Cells:
    """The cells of a group's rows for the results that have a column.

    What is significant in them is what the page's sentence and bars call so: the correction is that of the views of their benchmark.
    """
    views = {view.tasks[0]: view for view in group.views if view.scope.language and view.scope.benchmark and len(view.tasks) == 1}
    cells: Cells = {}
    for row in group.rows:
        for task, result in row.results.items():
            column = name_column(result)
            if column is not None:
                found = _difference(differences, row, task)
                seen = views[task].figures.get(row.id, {}).get("lift") if task in views else None
                if seen and seen.value is not None and found.value is not None:
                    found = replace(found, significant=seen.significant, reason=seen.reason, detectable=seen.detectable)
                cells.setdefault(row.id, {})[column] = (task, row.tasks[task], found)
    return cells


def _benchmark(board: Board, differences: Differences, benchmark: str) -> dict[str, object]:
    groups = []
    for group in board.groups:
        cells = _collect_cells(group, differences, lambda result: result.language if result.benchmark == benchmark else None)
        languages = sorted({language for found in cells.values() for language in found})
        if cells:
            groups.append((group, [row for row in group.rows if row.id in cells], languages, cells, _ranks(board, group, benchmark)))
    table = board.consistency[board.consistency["benchmark"] == benchmark]
    rows = {(row.suite, row.label): row for row in board.rows}
    consistency = [(rows[one["suite"], one["model"]], one) for one in table.to_dict("records") if (one["suite"], one["model"]) in rows]
    return {
        "name": benchmark,
        "groups": groups,
        "consistency": consistency,
        "facts": list(list_facts(board, benchmark)),
        "example": find_item(board, benchmark),
        "in_bits": measured_group(benchmark) == "likelihood",
    }


def _ranks(board: Board, group: Group, benchmark: str) -> dict[str, str]:
    """Rank of each row of a group on one benchmark, as text."""
    if board.ranks.empty or "benchmark" not in board.ranks:
        return {}
    several = len({row.suite for row in board.rows if any(run.documents for run in row.runs)}) > 1
    ids = {f"{row.suite}: {row.label}" if several else row.label: row.id for row in group.rows}
    table = board.ranks[(board.ranks["benchmark"] == benchmark) & (board.ranks["metric"] != "off_target")]
    found = {}
    for one in table.to_dict("records"):
        if one["model"] in ids:
            rank = one.get("rank", math.nan)  # no column where nobody is ranked
            found[ids[one["model"]]] = str(one["note"]) if pd.isna(rank) else f"{rank:.0f} of {one['of']:.0f}"
    return found


def _language(board: Board, differences: Differences, language: str) -> dict[str, object]:
    groups = []
    for group in board.groups:
        cells = _collect_cells(group, differences, lambda result: result.benchmark if result.language == language else None)
        if cells:
            benchmarks = [name for name in group.benchmarks if any(name in found for found in cells.values())]
            groups.append((group, [row for row in group.rows if row.id in cells], benchmarks, cells))
    return {"code": language, "groups": groups}


def _options(rows: list[LeaderboardRow]) -> list[tuple[LeaderboardRow, dict[str, object]]]:
    """Each row with those of its options in which the rows of a method differ: the ablations."""
    chosen = [(row, dict(row.runs[0].stages.get("prepare", {}).get("inputs", {}).get("options") or {})) for row in rows]
    names = list(dict.fromkeys(name for _, options in chosen for name in options))
    varied = [name for name in names if len({repr(options.get(name)) for _, options in chosen}) > 1]
    return [(row, {name: options.get(name) for name in varied}) for row, options in chosen]


def _signal(board: Board) -> dict[str, object]:
    """The measures of each suite that tell and those that are set aside, agreement, and the order kept; as rows."""
    told = board.telling
    rows = told.signal.to_dict("records")
    return {
        "suites": list(dict.fromkeys(row["suite"] for row in rows)),
        "firm": [row for row in rows if not row["at_floor"]],
        "aside": [row for row in rows if row["at_floor"]],
        "agreement": told.agreement.to_dict("records"),
        "order": told.order.dropna(subset="kept").to_dict("records"),
        "notes": told.notes,
    }
