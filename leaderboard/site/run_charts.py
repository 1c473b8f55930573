"""Which charts the pages have, and of what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from xlift.leaderboard.analysis.board import Board
from xlift.leaderboard.analysis.rows import LeaderboardRow
from xlift.leaderboard.loading.runs import Run, read_curve
from xlift.leaderboard.site.charts import Chart, Panel, Point, draw_inside, make_lines
from xlift.leaderboard.site.probe_charts import draw_alignment
from xlift.tasks.benchmarks import find_metric, name_place


@dataclass(frozen=True)
class Drawing:
    """A chart below a heading of a page."""

    title: str
    text: str
    svg: Markup


def collect_charts(board: Board) -> dict[int, Drawing]:
    """By the number of a group, its methods' lifts at points of their training, if those were measured."""
    found = ((group.number, _draw_lifts(board, group.rows)) for group in board.groups)
    return {number: drawing for number, drawing in found if drawing}


def draw_training(row: LeaderboardRow) -> Drawing | None:
    """The learning curves of a row, a line for each seed; None if nothing was trained."""
    points = [(f"seed {run.record.seed}", Point(tokens, loss)) for run in row.runs for _, tokens, loss in read_curve(run)]
    if len(points) < 2:
        return None
    seeds = f", a line for each of {len(row.runs)} seeds" if len(row.runs) > 1 else ""
    text = f"Training loss against tokens trained{seeds}"
    chart = Chart((Panel("", make_lines(points), "loss"),), "tokens trained", text)
    return Drawing("Training", text, draw_inside(chart))


def draw_layers(run: Run) -> Drawing | None:
    """The probe results of a run's model by layer; None if there are none. Raises UserError for a probe that cannot be read."""
    chart = draw_alignment(run)
    return Drawing("Alignment with the pivot by layer", chart.text, draw_inside(chart)) if chart else None


def _draw_lifts(board: Board, rows: Sequence[LeaderboardRow]) -> Drawing | None:
    """Lift in the trained languages against tokens trained, with a line for each method that was measured at points of its training. All
    lines begin at no lift."""
    names, ids = _name_rows(rows), {(row.suite, row.label): row.id for row in rows}
    panels: dict[str, list[tuple[str, Point]]] = {}
    for one in board.curves.to_dict("records"):
        row = ids.get((one["suite"], one["method"]))
        if row and one["kind"] == "lift" and one["value"] is not None and one["value"] == one["value"]:
            unit = "bits per byte" if find_metric(one["metric"]).group == "likelihood" else "points"
            size = 1.0 if unit == "bits per byte" else find_metric(one["metric"]).scale
            value, low, high = (size * one[end] if one[end] == one[end] else None for end in ("value", "low", "high"))
            panel = panels.setdefault(f"{name_place(one['benchmark'])}\n{unit}", [])
            if all(name != names[row] for name, _ in panel):
                panel.append((names[row], Point(0.0, 0.0)))
            panel.append((names[row], Point(one["tokens_trained"], float(value or 0.0), low, high)))
    if not panels:
        return None
    made = []
    for title, points in panels.items():
        name, unit = title.split("\n")
        made.append(Panel(name, make_lines(points), f"lift, {unit}"))
    text = "Lift over the base in the trained languages against tokens trained, with 95 % intervals"
    told = "; ".join(f"{panel.title}: {_tell_ends(panel)}" for panel in made)
    return Drawing("Lift on the way", text, draw_inside(Chart(tuple(made), "tokens trained", f"{text}. At the end: {told}.")))


def _tell_ends(panel: Panel) -> str:
    return ", ".join(f"{line.name} {line.points[-1].y:+.3g}" for line in panel.lines)


def _name_rows(rows: Sequence[LeaderboardRow]) -> dict[str, str]:
    """Labels by row, with the suite where two rows have one label."""
    labels = [row.label for row in rows]
    named = {row.id: row.label if labels.count(row.label) == 1 else f"{row.suite}: {row.label}" for row in rows}
    remarks = {row.id: ["control"] * row.record.control + ["one seed"] * row.one_seed for row in rows}
    return {row: f"{name} ({', '.join(remarks[row])})" if remarks[row] else name for row, name in named.items()}
