"""``xlift report``: scores, lifts and costs of finished runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import xlift
from xlift.harness.cli.arguments import AsJson
from xlift.harness.cli.output import print_table
from xlift.harness.core.errors import UserError

if TYPE_CHECKING:
    from xlift import Results


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, such as runs/demo.")], as_json: AsJson = False
) -> None:
    """Print the scores, lifts and costs of finished runs."""
    print_report(xlift.load_results(*folders), as_json)


def report_on(work: Callable[[], Results], as_json: bool) -> Results:
    """Do the work and print what was measured. A judge that fails takes no score with it: its error is raised after the tables."""
    try:
        results = work()
    except xlift.JudgeError as error:
        _print_run(error.results, as_json)
        raise
    _print_run(results, as_json)
    return results


def _print_run(results: Results, as_json: bool) -> None:
    print_report(results, as_json)
    for folder in results.folders:
        typer.echo(f"results: {folder}", err=True)


def print_report(results: Results, as_json: bool) -> None:
    """Print results as tables, or as one JSON object. Raises UserError where no task has a score."""
    from xlift.leaderboard.analysis import tables
    from xlift.leaderboard.loading.win_rates import group_settings, name_calibrations, read_win_rates

    scores, costs = results.scores, results.costs
    rates = read_win_rates(results.measurements)
    if scores.empty:
        where = ", ".join(map(str, results.folders))
        raise UserError(f"{where}: {len(results.records)} measured models, and no task has a score; evaluate them again")
    if as_json:
        found = {"scores": scores, "costs": costs, "win_rates": results.win_rates}
        written = {name: json.loads(table.to_json(orient="records")) for name, table in found.items()}
        typer.echo(json.dumps({**written, "left_out": results.left_out}, indent=1))
        return
    print_table(tables.spread_models(scores), "Scores (value ± standard error; lift over base in brackets)")
    for setting, some in group_settings(rates).items():
        judged = f"judged by {setting.name} (calibration: {name_calibrations(some)})"
        title = f"Win rates {judged}; not comparable with other judges, modes, opponents"
        print_table(tables.spread_win_rates(some), title)
    print_table(costs, "Cost")
    for record in results.records:
        losses = record.cost.get("prepare", {}).get("losses")
        for part, share in losses.items() if isinstance(losses, dict) else ():
            typer.echo(f"{record.name}: {part} lost {share:.0%} of its rows; the drops by reason are in the prepare stage's manifest.json")
    for line in tables.doubt_lifts(scores):
        typer.echo(line)
    if (scores["items"] < scores["items_of"]).any():
        typer.echo("Smoke test: not all items of every task were used.")
    for line in results.left_out:
        typer.echo(f"left out: {line}")
