"""Rows and tables on standard output."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd


def print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print rows as a table, or as a JSON list."""
    import pandas as pd

    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        print_table(pd.DataFrame(rows))


def print_frame(frame: pd.DataFrame, as_json: bool) -> None:
    """Print a data frame as a table, or as a JSON list of its rows."""
    if as_json:
        typer.echo(json.dumps(list_rows(frame), ensure_ascii=False, indent=1))
    else:
        print_table(frame)


def list_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a data frame as plain data; what is missing is None."""
    names = [str(column) for column in frame.columns]
    return [dict(zip(names, row, strict=True)) for row in _plain(frame).itertuples(index=False, name=None)]


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The same values as objects of Python's own, None where one is missing."""
    return frame.astype(object).where(frame.notna(), None)


def print_table(frame: pd.DataFrame, title: str | None = None) -> None:
    """Print a data frame: as wide as the terminal, and as wide as its columns need where there is none."""
    from rich.console import Console
    from rich.table import Table

    # Without a terminal a table must not be squeezed into 80 columns.
    console = Console(width=None if sys.stdout.isatty() else 400)
    shown = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in frame.columns:
        shown.add_column(str(column), justify="right" if frame[column].dtype.kind in "if" else "left")
    for row in _plain(frame).itertuples(index=False, name=None):
        shown.add_row(*("" if value is None else f"{value:g}" if isinstance(value, float) else str(value) for value in row))
    console.print(shown)
