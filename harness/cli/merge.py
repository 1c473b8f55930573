"""The command ``xlift merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import xlift


def merge(
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="An adapter's folder, or hub:ORG/NAME.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A folder that does not exist, or is empty.")],
    base: Annotated[str | None, typer.Option("--base", metavar="MODEL", help="The base, if the adapter does not name it.")] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="bfloat16, float16 or float32.")] = "bfloat16",
) -> None:
    """Write the base with an adapter merged into it as a model of its own: safetensors, tokenizer and chat template."""
    typer.echo(xlift.merge(adapter, out, base=base, dtype=dtype))
