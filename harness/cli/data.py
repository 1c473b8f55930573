"""The commands of ``xlift data``: listing data, and getting, storing, checking and adding them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import xlift
from xlift.harness.cli.arguments import AsJson
from xlift.harness.cli.output import print_frame, print_rows

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(no_args_is_help=True, help="What data there are, and getting, keeping, checking and adding them.")

FEW = 8
"""The most languages that are named one by one."""
Names = Annotated[list[str], typer.Argument(metavar="SUITE|CORPUS...", help="Suites, or corpora such as parallel or alpaca/multialpaca.")]
Languages = Annotated[
    str | None, typer.Option("--languages", help="For corpora: codes of languages, separated by commas. Without it, all languages.")
]
Split = Annotated[str | None, typer.Option("--split", help="For corpora: another split than the first.")]


def _list(languages: str | None) -> list[str]:
    return [code.strip() for code in languages.split(",")] if languages else []


def _count(codes: str) -> str:
    """Codes of languages for people, or their number if there are more than fit into a line."""
    return codes if len(codes.split()) <= FEW else str(len(codes.split()))


@app.command(name="list")
def list_all(as_json: AsJson = False) -> None:
    """List corpora with what they are for, languages, those that are on this machine, licence and where they are from."""
    from xlift.tasks.holdings import name_size

    found = xlift.list_corpora()
    if not as_json:
        counted = {name: [_count(codes) for codes in found[name]] for name in ("languages", "here")}
        sizes = [name_size(size) if size else "" for size in found["bytes"]]
        found = found.drop(columns="splits").assign(**counted, bytes=sizes)
    print_frame(found, as_json)


@app.command()
def get(names: Names, languages: Languages = None, split: Split = None, as_json: AsJson = False) -> None:
    """Fetch, check and read all that suites need, or corpora. Sizes are shown first. Run it again to continue after an interruption."""
    _report(xlift.get_data(names, languages=_list(languages), split=split), as_json)


@app.command()
def build(folder: Annotated[Path, typer.Argument(metavar="DIR", help="The data folder, which XLIFT_DATA will name.")],
          names: Annotated[list[str] | None, typer.Argument(metavar="[SUITE|CORPUS...]",
                  help="Without names, all suites that ship.")] = None,
          languages: Languages = None, split: Split = None, as_json: AsJson = False) -> None:  # fmt: skip
    """Write a data folder with manifest and licences, for machines without a network."""
    _report(xlift.build_data(folder, names or (), languages=_list(languages), split=split), as_json)


@app.command()
def check(folder: Annotated[Path | None, typer.Argument(metavar="[DIR]",
        help="A data folder. Without it, the one that XLIFT_DATA names.")] = None,
          addresses: Annotated[bool, typer.Option("--addresses",
                  help="Ask whether every published file is still at its address, and fetch none.")] = False,
          as_json: AsJson = False) -> None:  # fmt: skip
    """Check the files of the data folder and those that were fetched against their hashes, or the addresses."""
    found = xlift.check_data(folder, addresses=addresses)
    print_frame(found, as_json) if len(found) or as_json else typer.echo("all files are as they should be")
    if len(found):
        raise typer.Exit(2)


@app.command()
def add(file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of rows: jsonl, json, csv, tsv or parquet.")],
        kind: Annotated[str, typer.Option("--as", help="Kind of the rows: parallel, lexicon, instructions, prompts or qa.")],
        languages: Annotated[str, typer.Option("--languages",
                help="A pair with English, such as en-am, for parallel and lexicon; else one language.")],
        to: Annotated[Path | None, typer.Option("--to", metavar="DIR",
                help="The data folder. Without it, the one that XLIFT_DATA names.")] = None,
        licence: Annotated[str, typer.Option("--licence", help="The licence of the rows, for the manifest.")] = "",
        replace: Annotated[bool, typer.Option("--replace", help="Replace rows that were added before.")] = False) -> None:  # fmt: skip
    """Add rows of your own to the data folder. They are checked, and rows that overlap evaluation data on this machine are left out."""
    done = xlift.add_data(file, kind, languages, to=to, licence=licence, replace=replace)
    left = f", {done.leaking} left out as they overlap evaluation data" if done.leaking else ""
    typer.echo(f"{done.file}: {done.rows} rows{left}; read as {done.corpus} in {done.lang!r}, and with the rest of its corpus")


def show_needs(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print the rows of ``xlift.survey`` as a table, with sizes for a reader."""
    from xlift.tasks.holdings import name_size

    shown = []
    said: set[str] = set()
    for row in rows:
        size = row["bytes"] if isinstance(row["bytes"], int) else None
        size_text = name_size(size) if size else "unknown" if row["state"] == "to fetch" else ""
        shown.append({**row, "bytes": size_text, "otherwise": _say_once(str(row["otherwise"] or ""), said)})
    print_rows(shown, as_json=False)


def _say_once(text: str, said: set[str]) -> str:
    """Choices without those that ``said`` has from rows above, to which they are added."""
    choices = text.split("; ")
    new = [choice for choice in choices if choice not in said]
    said.update(choices)
    return text if len(choices) == 1 or len(new) == len(choices) else "; ".join(["as above", *new])


def _report(found: pd.DataFrame, as_json: bool) -> None:
    print_frame(found, as_json)
    if (found["fault"] != "").any():
        raise typer.Exit(3)
