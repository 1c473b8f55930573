"""``xlift demo``: a whole comparison that runs on any machine, with two samples and the leaderboard's page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import xlift
from xlift.harness.cli.arguments import RUNS, Overrides, Runs
from xlift.harness.cli.report import report_on
from xlift.harness.cli.show import show
from xlift.harness.cli.site import site
from xlift.leaderboard.site.builder import list_files

TASK = "xlift_flores_eng_Latn_spa_Latn"
"""The task of which two samples are shown."""


def demo(
    overrides: Overrides = None,
    runs: Runs = RUNS,
    out: Annotated[Path, typer.Option("--out", help="Where the leaderboard of the run is written.")] = Path("site-demo"),
) -> None:
    """Train two small adapters, measure them beside their base, and show what changed. Takes minutes, and needs no account and no GPU."""
    suite = xlift.load_suite("demo", overrides or [])
    list_files(out)  # a folder of something else is refused before minutes of work
    results = report_on(lambda: xlift.run(suite, runs), as_json=False)
    folder = runs / suite.name
    if all(TASK in record.tasks for record in results.records) and len(results.records) > 1:  # --set may have changed that
        show(folder, TASK, diff="base", limit=2)
    typer.echo("the leaderboard of this run:")
    site([folder], out)
