"""Rows and tables on standard output."""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import typer

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

Style: TypeAlias = Callable[[int, str], str | None]
"""Takes the number of a row and the name of a column, and returns one of rich's colours, or None."""
GAP = 2
"""Blanks between two columns."""


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
    """The rows of a data frame as plain data; missing values are None."""
    names = [str(column) for column in frame.columns]
    return [dict(zip(names, row, strict=True)) for row in _plain(frame).itertuples(index=False, name=None)]


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The same values as Python's own objects; missing values are None."""
    return frame.astype(object).where(frame.notna(), None)


def print_table(frame: pd.DataFrame, title: str | None = None, keys: int | None = None, style: Style | None = None) -> None:
    """Print a data frame as wide as the terminal, or as wide as its columns need if there is no terminal.

    With ``keys``, columns that do not fit are printed in further blocks, each beginning with the first ``keys`` columns. Without it, their
    texts are wrapped between words; where not even the words fit beside each other, each row is a paragraph of its own. ``style`` returns a
    colour, or None, for the cell of a row and a column. No line ends in spaces.
    """
    from rich.console import Console

    # Without a terminal, and unless COLUMNS says how wide, a table must not be squeezed into 80 columns.
    console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 400)
    texts = _write_cells(frame)
    if keys is None and sum(_least_width(name, cells) + GAP for name, cells in texts.items()) - GAP > console.width:
        _print_paragraphs(texts, title, console.width)
        return
    for number, columns in enumerate([list(texts)] if keys is None else _cut(texts, keys, console.width)):
        if number:
            typer.echo("")
        with console.capture() as capture:
            console.print(_draw(frame, texts, columns, title if number == 0 else None, style, console.width))
        for line in capture.get().splitlines():
            typer.echo(re.sub(r" +((?:\x1b\[0m)?)$", r"\1", line))


def _least_width(name: str, texts: Sequence[str]) -> int:
    """The width of a column's longest word, which is not broken."""
    from rich.cells import cell_len

    return max(cell_len(word) for text in (name, *texts) for word in text.split() or [""])


def _fit(texts: Mapping[str, Sequence[str]], width: int) -> dict[str, int]:
    """The widths of columns that fit beside each other: the widest are made narrower, down to their longest words.

    rich would make them narrower than ``min_width``, and then cut the lines off.
    """
    widths = {name: max(map(_measure, (name, *found))) for name, found in texts.items()}
    least = {name: _least_width(name, found) for name, found in texts.items()}
    while sum(widths.values()) + GAP * (len(widths) - 1) > width:
        wide = [name for name in widths if widths[name] > least[name]]
        if not wide:
            break
        widths[max(wide, key=lambda name: widths[name])] -= 1
    return widths


def _measure(text: str) -> int:
    """The width of a text's widest line."""
    from rich.cells import cell_len

    return max(map(cell_len, text.split("\n")))


def _print_paragraphs(texts: Mapping[str, Sequence[str]], title: str | None, width: int) -> None:
    """Each row as its first cell, and below it the others with their names. Empty cells are left out."""
    first, *others = texts
    if title:
        typer.echo(title)
    for number, head in enumerate(texts[first]):
        typer.echo(head)
        body = "; ".join(f"{name}: {texts[name][number]}" for name in others if texts[name][number])
        for line in textwrap.wrap(body, width, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False):
            typer.echo(line)


def _write_cells(frame: pd.DataFrame) -> dict[str, list[str]]:
    """The cells of each column as they are printed."""
    rows = list(_plain(frame).itertuples(index=False, name=None))
    return {str(column): [_write(row[place]) for row in rows] for place, column in enumerate(frame.columns)}


def _write(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _cut(texts: Mapping[str, Sequence[str]], keys: int, width: int) -> list[list[str]]:
    """The columns of each block: the keys, and as many others as fit beside them, at least one."""
    names = list(texts)
    widths = {name: max(map(_measure, [name, *texts[name]])) + GAP for name in names}
    repeated = sum(widths[name] for name in names[:keys])
    blocks: list[list[str]] = [[]]
    for name in names[keys:]:
        if blocks[-1] and repeated + sum(widths[other] for other in [*blocks[-1], name]) - GAP > width:
            blocks.append([])
        blocks[-1].append(name)
    return [[*names[:keys], *block] for block in blocks]


def _draw(
    frame: pd.DataFrame, texts: Mapping[str, Sequence[str]], columns: Sequence[str], title: str | None, style: Style | None, width: int
) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    widths = _fit({column: texts[column] for column in columns}, width)
    kinds = {str(name): frame[name].dtype.kind for name in frame.columns}
    for column in columns:
        justify: Literal["left", "right"] = "right" if kinds[column] in "if" else "left"
        table.add_column(Text(column), justify=justify, overflow="fold", width=widths[column])
    for number in range(len(frame)):
        table.add_row(*(Text(texts[column][number], style=(style and style(number, column)) or "") for column in columns))
    return table
