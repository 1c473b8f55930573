"""``xlift report``: scores, lifts and costs of finished runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from xlift.harness.cli.arguments import AsJson
from xlift.harness.cli.output import print_table
from xlift.harness.core.errors import UserError


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, such as runs/demo.")], as_json: AsJson = False
) -> None:
    """Print the scores, lifts and costs of finished runs."""
    print_report(folders, as_json)


def print_report(folders: list[Path], as_json: bool) -> None:
    """Print the tables of run folders, or one JSON object of them. Raises UserError where no task has a score."""
    from xlift.harness.evaluation.records import read_records
    from xlift.leaderboard.analysis import tables
    from xlift.leaderboard.loading.win_rates import group_settings, read_win_rates

    records = read_records(folders)
    scores, costs = tables.tabulate_scores(records), tables.tabulate_costs(records)
    if scores.empty:
        raise UserError(f"{', '.join(map(str, folders))}: {len(records)} measured models, and no task has a score; evaluate them again")
    rates = group_settings([rate for folder in folders for rate in read_win_rates(folder, read_records([folder]))])
    if as_json:
        found = {
            "scores": scores,
            "costs": costs,
            "win_rates": tables.tabulate_win_rates([one for some in rates.values() for one in some]),
        }
        typer.echo(json.dumps({name: json.loads(table.to_json(orient="records")) for name, table in found.items()}, indent=1))
        return
    print_table(tables.spread_models(scores), "Scores (value ± standard error; lift over base in brackets)")
    for setting, some in rates.items():
        title = (
            f"Win rates judged by {setting.name} (calibration: {some[0].calibration}); not comparable with other judges, modes, opponents"
        )
        print_table(tables.spread_win_rates(some), title)
    print_table(costs, "Cost")
    for record in records:
        for part, share in (record.cost.get("prepare", {}).get("losses") or {}).items():
            typer.echo(f"{record.name}: {part} lost {share:.0%} of its rows; the drops by reason are in the prepare stage's manifest.json")
    for line in tables.doubt_lifts(scores):
        typer.echo(line)
    if (scores["items"] < scores["items_of"]).any():
        typer.echo("Smoke test: not all items of every task were used.")
