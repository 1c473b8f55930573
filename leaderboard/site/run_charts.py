"""Which charts the site has, and from what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xlift.leaderboard.analysis.board import Board
from xlift.leaderboard.analysis.rows import LeaderboardRow
from xlift.leaderboard.loading.runs import Run, read_curve
from xlift.leaderboard.site.charts import draw_curve, draw_lift_curves
from xlift.leaderboard.site.probe_charts import draw_alignment
from xlift.leaderboard.site.text import clean
from xlift.tasks.benchmarks import name_place


def collect_charts(board: Board) -> Iterator[tuple[str, str]]:
    """The name and SVG of the curves of each group whose trainings were measured at points."""
    for group in board.groups:
        yield from _lift_curves(f"curve-of-{group.number}", board, group.rows)


@dataclass(frozen=True)
class Chart:
    """A chart below a heading of a page."""

    title: str
    name: str
    text: str
    svg: str


def draw_training(row: LeaderboardRow) -> Chart | None:
    """The learning curves of a row, a line for each seed; None if nothing was trained."""
    points = [{"seed": str(run.record.seed), "tokens": tokens, "loss": loss} for run in row.runs for _, tokens, loss in read_curve(run)]
    if len(points) < 2:
        return None
    seeds = f", a line for each of {len(row.runs)} seeds" if len(row.runs) > 1 else ""
    text = f"Training loss against tokens trained{seeds}"
    return Chart("Training", f"curve-{row.id}", text, draw_curve(points, text))


def draw_layers(run: Run) -> Chart | None:
    """The probe results of a run's model by layer; None if there are none. Raises UserError for a probe that cannot be read."""
    if drawing := draw_alignment(run):
        return Chart("Alignment with the pivot by layer", f"alignment-{run.id}", drawing.text, drawing.svg)
    return None


def _lift_curves(name: str, board: Board, rows: Sequence[LeaderboardRow]) -> Iterator[tuple[str, str]]:
    """Lift in the trained languages against tokens trained, with a line for each method that was measured at points of its training."""
    names, ids = _names(rows), {(row.suite, row.label): row.id for row in rows}
    points = []
    for one in board.curves.to_dict("records"):
        row = ids.get((one["suite"], one["method"]))
        if row and one["kind"] == "lift" and one["value"] is not None and one["value"] == one["value"]:
            panel = name_place(one["benchmark"])
            ends = {"value": one["value"], "low": one["low"], "high": one["high"]}
            points.append({"panel": panel, "name": names[row], "tokens": one["tokens_trained"], **ends})
    if points:
        yield name, draw_lift_curves(points, "Lift over the base in the trained languages against tokens trained, with 95 % intervals")


def _names(rows: Sequence[LeaderboardRow]) -> dict[str, str]:
    """Labels by row, with the suite where two rows have one label."""
    labels = [row.label for row in rows]
    named = {row.id: row.label if labels.count(row.label) == 1 else f"{row.suite}: {row.label}" for row in rows}
    return {row.id: clean(f"{named[row.id]} (one seed)" if row.one_seed else named[row.id]) for row in rows}
