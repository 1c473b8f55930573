"""Arguments and options that several commands share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from xlift.harness.core.errors import UserError

JUDGE = "URL|engine:MODEL|lm:TYPE,ARGS"

SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="A YAML file, or the name of a suite that ships (xlift ls suites).")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one key: --set train.learning_rate=1.0e-4")
]
Runs = Annotated[Path, typer.Option("--runs", help="The folder in which run folders are.")]
Judge = Annotated[str | None, typer.Option("--judge", metavar=JUDGE, help="Judge the X-AlpacaEval answers too; the rest of the judge's "
                                           "options are keys of the suite: --set judge.model=NAME.")]  # fmt: skip
Wait = Annotated[bool, typer.Option("--wait", help="If another process works in the run folder, wait until it has ended.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse training rows that overlap evaluation items, and a "
                                            "group of tasks of which a language's data are missing.")]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
RUNS = Path("runs")


def split_adapter(text: str) -> tuple[str, str]:
    """Name and place of ``NAME=PLACE``. Without a name, the last part of the place is the name."""
    name, equals, place = text.partition("=")
    return (name, place) if equals else (Path(text.split("@")[0]).name or text, text)


def split_names(text: str | None) -> list[str]:
    """The names in a list with commas. Empty parts, as after a last comma, are left out."""
    return [name for part in (text or "").split(",") if (name := part.strip())]


def add_strict(overrides: list[str] | None, strict: bool) -> list[str]:
    """The settings of ``--set``, with ``--strict`` among them."""
    return [*(overrides or []), *(["data.strict=true"] if strict else [])]


def read_adapters(texts: list[str] | None) -> dict[str, str]:
    """Adapters of ``--adapter`` by name. Raises UserError for a name that is given twice."""
    named: dict[str, str] = {}
    for text in texts or []:
        name, place = split_adapter(text)
        if not name or not place:
            raise UserError(f"--adapter {text!r}: write NAME=PATH, such as mine=runs/demo/fit-m-seed0-0a1b/adapter")
        if name in named:
            raise UserError(f"--adapter: two are called {name!r}, {named[name]} and {place}; name them apart with NAME=PATH")
        named[name] = place
    return named


def add_judge(overrides: list[str] | None, judge: str | None) -> list[str]:
    """The settings of ``--set``, with ``--judge`` among them."""
    return [*(overrides or []), *([] if judge is None else [f"judge.judge={json.dumps(judge)}"])]
