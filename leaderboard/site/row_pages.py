"""The pages of one row: its runs, their samples, and its scores item by item."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from xlift.harness.core.errors import UserError
from xlift.leaderboard.analysis.board import Board
from xlift.leaderboard.analysis.rows import Figure, LeaderboardRow
from xlift.leaderboard.loading.runs import Run
from xlift.leaderboard.loading.samples import MARKS, PER_PAGE, Sheet, read_sheet
from xlift.leaderboard.site.differences import collect_differences
from xlift.leaderboard.site.items import ItemScores, Place, collect_items, write_items
from xlift.leaderboard.site.rendering import Pages, open_pages
from xlift.leaderboard.site.run_charts import draw_layers, draw_training
from xlift.leaderboard.site.sample_html import link_samples, write_article, write_texts


@dataclass(frozen=True)
class RowPages:
    """What ``render_row`` needs for a row, light enough to be sent to another process."""

    row: LeaderboardRow
    base: Run | None
    tasks: Mapping[tuple[str, str], Figure]
    """The row's differences from its base, by task and metric."""
    items: tuple[ItemScores, ...]
    shares: bool
    """Whether the pages of other rows take prompts and references from it: that of a base beside others."""


def list_rows(board: Board) -> list[RowPages]:
    """What is needed for the pages of each row."""
    differences, suites = collect_differences(board), [row.suite for row in board.rows]
    bases = {run.record.suite: _lighten(run) for run in board.runs if run.record.label == "base"}
    return [
        RowPages(
            replace(row, runs=tuple(map(_lighten, row.runs))), bases.get(row.suite), differences.get((row.suite, row.label), {}),
            collect_items(row), row.label == "base" and suites.count(row.suite) > 1,
        )
        for row in board.rows
    ]  # fmt: skip


def _lighten(run: Run) -> Run:
    """The run as its page needs it: that it has documents, and not all of them."""
    return replace(run, documents=run.documents[:1])


def render_row(given: RowPages) -> Pages:
    """The pages of a row's runs and of their samples, and its scores item by item."""
    row, base, tasks = given.row, given.base, given.tasks
    pages, training = open_pages(), draw_training(row)
    counts = {one.task: len(one.ids) for one in given.items}
    places: dict[str, Place] = {}
    sheets: dict[str, list[tuple[str, str, int]]] = {run.id: [] for run in row.runs}
    # Seeds of one task follow each other, as they share its prompts, references and the base's answers.
    for task in dict.fromkeys(task for run in row.runs for task in run.record.tasks):
        for run in row.runs:
            if task in run.record.tasks and (sheet := read_sheet(run, base, task)):
                sheets[run.id].append((task, sheet.file(1), len(sheet.samples)))
                if run is row.runs[0] and counts.get(task):
                    places[task] = Place(f"samples/{run.id}/{sheet.start}", len(sheet.samples) // counts[task])
                yield from _render_sheet(pages, given, run, sheet)
    if given.items:
        yield f"data/items/{row.id}.js", write_items(row, given.items, places)
    for run in row.runs:
        charts = [training] if training else []
        try:
            if layers := draw_layers(run):
                charts.append(layers)
        except UserError as error:
            run = replace(run, notes=(*run.notes, str(error)))
        yield f"runs/{run.id}.html", pages("run.html", "../", run=run, row=row, sheets=sheets[run.id], charts=charts, tasks=tasks)


def _render_sheet(pages: Callable[..., str], given: RowPages, run: Run, sheet: Sheet) -> Pages:
    """The pages of one task's samples; those of a base that others share with a script of its texts for each page."""
    is_base = run.record.label == "base"
    place = f"../{given.base.id}/{sheet.start}" if given.base else ""
    marked = {mark: (len(sheet.marked(mark)), link_samples(sheet, mark)) for mark in MARKS}
    for page in range(1, sheet.pages + 1):
        found = sheet.samples[(page - 1) * PER_PAGE : page * PER_PAGE]
        files = {one.base_page: f"{place}{one.base_page}" for one in found if one.base_page and not is_base}
        articles = []
        for one in found:
            file = files.get(one.base_page)
            articles.append(write_article(one, sheet.language, is_base, f"{file}.html" if file else ""))
        shown = {"run": run, "sheet": sheet, "page": page, "articles": articles, "marked": marked, "texts": tuple(files.values())}
        yield f"samples/{run.id}/{sheet.file(page)}", pages("samples.html", "../../", **shown)
        if given.shares:
            yield f"samples/{run.id}/{sheet.start}{page}.js", write_texts(found, sheet.language)
