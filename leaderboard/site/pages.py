"""What each page shows: from a board to names and texts of files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import name_language
from xlift.harness.evaluation.records import TaskResult
from xlift.leaderboard.analysis.board import Board, Group
from xlift.leaderboard.analysis.comparisons import TableRow, find_scale
from xlift.leaderboard.analysis.pairwise import Pair
from xlift.leaderboard.analysis.rows import Figure, Languages, LeaderboardRow, describe_languages
from xlift.leaderboard.analysis.signal import find_floor
from xlift.leaderboard.analysis.summary import summarise
from xlift.leaderboard.analysis.views import KINDS
from xlift.leaderboard.loading.runs import Run
from xlift.leaderboard.loading.samples import MARKS, PER_PAGE, Sheet, read_sheet
from xlift.leaderboard.loading.slugs import slug
from xlift.leaderboard.loading.win_rates import group_settings, name_calibrations
from xlift.leaderboard.site.boards import UNITS, Page, describe_cell, list_across, list_pages, write_views
from xlift.leaderboard.site.data_files import TABLES
from xlift.leaderboard.site.drawings import draw_interval, find_reach, write_size
from xlift.leaderboard.site.filters import count, describe_method, digits, heat, hub_link, points, score, spell, win_rate
from xlift.leaderboard.site.run_charts import collect_charts, draw_layers, draw_training
from xlift.leaderboard.site.sample_html import link_samples, write_article
from xlift.leaderboard.site.text import clean, direction, show, write_prose
from xlift.tasks.benchmarks import find_benchmark, headline, name_place
from xlift.tasks.entries import Metric

Pages = Iterator[tuple[str, str]]
"""Name of a file below the site's folder, and its text."""
Differences = Mapping[tuple[str, str], Mapping[tuple[str, str], Figure]]
"""Method minus base, by suite and label, then by task and metric."""
LEFT_OUT = 100
"""The most lines about what was left out that the index shows."""
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
Cells = dict[str, dict[str, tuple[str, Figure, Figure]]]
"""A task, its score and its difference from the base, by row and column of a table."""


def render(board: Board, pairs: Mapping[int, list[Pair]]) -> Pages:
    """The pages and charts that show many rows, one after the other."""
    pages, boards = _open(), list_pages(board)
    charts, differences = dict(collect_charts(board)), _collect_differences(board)
    yield from ((f"charts/{name}.svg", svg) for name, svg in charts.items())
    for number, one in enumerate(boards):
        shown = {"page": one, "pages": boards, "charts": charts}
        if not number:
            yield "index.html", pages("index.html", "", left_out=board.left_out, most=LEFT_OUT, **shown)
        yield one.file, pages("index.html", "../", left_out=(), most=LEFT_OUT, **shown)
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
        languages.append((f"languages/{slug(language)}.html", name_language(language), answers[0] if answers else ""))
    for benchmark in _list_benchmarks(board):
        answers = [text for _, text, _ in _answer(boards[:1], benchmark=benchmark)]
        benchmarks.append((f"benchmarks/{slug(benchmark)}.html", name_place(benchmark), answers[0] if answers else ""))
    first = f" The sentences are of {boards[0].group.base or 'the first ranking'}; each page has all bases." if boards else ""
    yield "methods.html", pages("list.html", "", title="Methods", about="What each method does, its rows and its lifts.", entries=methods)
    about = f"Which method lifts which language.{first}"
    yield "languages.html", pages("list.html", "", title="Languages", about=about, entries=sorted(languages, key=lambda one: one[1]))
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


def list_rows(board: Board) -> list[tuple[LeaderboardRow, Run | None, Mapping[tuple[str, str], Figure]]]:
    """What ``render_row`` needs for each row, light enough to be sent to another process."""
    differences = _collect_differences(board)
    bases = {run.record.suite: _lighten(run) for run in board.runs if run.record.label == "base"}
    return [
        (replace(row, runs=tuple(map(_lighten, row.runs))), bases.get(row.suite), differences.get((row.suite, row.label), {}))
        for row in board.rows
    ]


def _lighten(run: Run) -> Run:
    """The run as its page needs it: that it has documents, and not all of them."""
    return replace(run, documents=run.documents[:1])


def render_row(row: LeaderboardRow, base: Run | None, tasks: Mapping[tuple[str, str], Figure]) -> Pages:
    """The pages of a row's runs and of their samples; ``tasks`` are its differences from ``base`` by task and metric."""
    pages, training = _open(), draw_training(row)
    sheets: dict[str, list[tuple[str, str, int]]] = {run.id: [] for run in row.runs}
    # Seeds of one task follow each other, as they share its prompts, references and the base's answers.
    for task in dict.fromkeys(task for run in row.runs for task in run.record.tasks):
        for run in row.runs:
            if task in run.record.tasks and (sheet := read_sheet(run, base, task)):
                sheets[run.id].append((task, sheet.file(1), len(sheet.samples)))
                yield from _render_sheet(pages, run, sheet)
    if training:
        yield f"charts/{training.name}.svg", training.svg
    for run in row.runs:
        charts = [training] if training else []
        try:
            if layers := draw_layers(run):
                charts.append(layers)
                yield f"charts/{layers.name}.svg", layers.svg
        except UserError as error:
            run = replace(run, notes=(*run.notes, str(error)))
        yield f"runs/{run.id}.html", pages("run.html", "../", run=run, row=row, sheets=sheets[run.id], charts=charts, tasks=tasks)


def _render_sheet(pages: Callable[..., str], run: Run, sheet: Sheet) -> Pages:
    marked = {mark: (len(sheet.marked(mark)), link_samples(sheet, mark)) for mark in MARKS}
    for page in range(1, sheet.pages + 1):
        found = sheet.samples[(page - 1) * PER_PAGE : page * PER_PAGE]
        articles = [write_article(sample, sheet.language, run.record.label == "base") for sample in found]
        yield (
            f"samples/{run.id}/{sheet.file(page)}",
            pages("samples.html", "../../", run=run, sheet=sheet, page=page, articles=articles, marked=marked),
        )


@cache
def _open() -> Callable[..., str]:
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
        "navigation": NAVIGATION, "trend": list_trend, "score": score,
        "rankc": lambda value: "–" if pd.isna(value) else f"{value:.3f}",
    }  # fmt: skip
    environment.globals.update(functions)
    environment.filters.update(show=show, slug=slug)

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


def _collect_differences(board: Board) -> Differences:
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


def _difference(differences: Differences, row: LeaderboardRow, task: str) -> Figure:
    found = differences.get((row.suite, row.label), {}).get((task, row.tasks[task].metric))
    return found or Figure(note="no comparison with the base")


def _collect_cells(group: Group, differences: Differences, name_column: Callable[[TaskResult], str | None]) -> Cells:
    """The cells of a group's rows for the results that have a column."""
    cells: Cells = {}
    for row in group.rows:
        for task, result in row.results.items():
            column = name_column(result)
            if column is not None:
                cells.setdefault(row.id, {})[column] = (task, row.tasks[task], _difference(differences, row, task))
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
    return {"name": benchmark, "groups": groups, "consistency": consistency, "facts": list(_list_facts(board, benchmark))}


def _list_facts(board: Board, benchmark: str) -> Iterator[tuple[str, str]]:
    """What a benchmark is, where its floor is, and what distinguishes a difference of one point in it."""
    known = find_benchmark(benchmark)
    if known:
        yield "Data", known.dataset
        if known.headline:
            yield "Measured by", known.headline.replace("_", " ")
    results = [result for row in board.rows for result in row.results.values() if result.benchmark == benchmark]
    if items := sorted({result.items for result in results if result.items}):
        yield "Items of a language", f"{items[0]:,}" if len(items) == 1 else f"{items[0]:,} to {items[-1]:,}"
    metric = next((result.find_metric(result.headline) for result in results if result.headline), None)
    if metric and (floor := find_floor(benchmark, metric)) is not None:
        yield "Floor and ceiling", f"{points(metric.scale * floor)} to 100 points"
    rows = board.telling.signal.to_dict("records")
    needed = [one["items_needed"] for one in rows if one["benchmark"] == benchmark and one["metric"] != "off_target"]
    if told := sorted(float(items) for items in needed if not pd.isna(items)):
        step = "0.01 bits per byte" if metric and metric.most is None else "1 point"
        yield f"Items that tell {step} apart", f"about {count(told[len(told) // 2])}"
    elif needed:
        yield "Items that tell a step apart", "unknown, or none: seeds differ by more"


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
