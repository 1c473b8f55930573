"""Caches of JSON lines: what is damaged in one is set aside and made anew, and nothing that was kept is lost to a kill."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from xlift.harness.core.store import explain_disk

logger = logging.getLogger(__name__)

T = TypeVar("T")

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What a damaged line can raise in a reader that trusts its shape."""


def read_kept(path: Path, read: Callable[[Mapping[str, Any]], tuple[str, T]]) -> tuple[dict[str, T], int]:
    """The entries of a cache by key, and how many lines cannot be read; half a line at the end, which a kill may leave, does not count.

    ``read`` makes key and entry of a line, and raises one of UNREADABLE where it is not whole.
    """
    if not path.is_file():
        return {}, 0
    with explain_disk(path.parent):
        lines = path.read_bytes().split(b"\n")
    found: dict[str, T] = {}
    damaged = int(b"\0" in lines.pop())
    for line in lines:
        try:
            key, entry = read(json.loads(line))
        except UNREADABLE:
            damaged += bool(line.strip())
        else:
            found[key] = entry
    return found, damaged


def set_aside(path: Path, lines: Iterable[str], damaged: int) -> None:
    """Move a damaged cache out of the way, with one warning, and write what can be read of it in its place."""
    aside = path.with_name(f"{path.name}.damaged")
    logger.warning("%s: %d lines cannot be read; the file was set aside as %s, and what is lost is made anew", path, damaged, aside.name)
    with explain_disk(path.parent):
        path.replace(aside)
    write_lines(path, lines)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a cache anew and move it into place when it is on the disk: a kill leaves it as it was, not half a line in it."""
    with explain_disk(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        with partial.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
