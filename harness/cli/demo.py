"""``xlift demo``: a whole comparison that runs on any machine, with two samples and the leaderboard's page."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

import xlift
from xlift.harness.cli.arguments import RUNS, Overrides, Runs
from xlift.harness.cli.report import report_on
from xlift.harness.cli.show import show
from xlift.harness.cli.site import site

TASK = "xlift_flores_eng_Latn_spa_Latn"
"""The task of which two samples are shown."""


def demo(
    overrides: Overrides = None,
    runs: Runs = RUNS,
    out: Annotated[Path, typer.Option("--out", help="Where the leaderboard of the run is written.")] = Path("site-demo"),
) -> None:
    """Train two small adapters, measure them beside their base, and show what changed. Takes minutes, and needs no account and no GPU."""
    suite = xlift.load_suite("demo", overrides or [])
    report_on(lambda: xlift.run(suite, runs), as_json=False)
    folder = runs / suite.name
    show(folder, TASK, diff="base", limit=2)
    if find_spec("altair") and find_spec("vl_convert"):
        typer.echo("the leaderboard of this run:")
        site([folder], out)
    else:
        typer.echo(f"for its leaderboard: pip install 'xlift[site]', then xlift site {folder} --out {out}")
