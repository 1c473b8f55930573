"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xlift.harness.cli.judge import JUDGE

SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="A YAML file, or the name of a suite that ships (xlift ls suites).")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one key: --set train.learning_rate=1.0e-4")
]
Runs = Annotated[Path, typer.Option("--runs", help="Where run folders lie.")]
Judge = Annotated[str | None, typer.Option("--judge", metavar=JUDGE, help="Judge the X-AlpacaEval answers too; the rest of the judge's "
                                           "options are keys of the suite: --set judge.model=NAME.")]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
RUNS = Path("runs")


def split_adapter(text: str) -> tuple[str, str]:
    """Name and place of ``NAME=PLACE``; without a name, the last part of the place is the name."""
    name, equals, place = text.partition("=")
    return (name, place) if equals else (Path(text.split("@")[0]).name or text, text)
