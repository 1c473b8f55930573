"""Writing into a data folder: one process at a time, each file whole or not at all, and all of them in its manifest."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from xlift.harness.core.errors import UserError
from xlift.tasks.corpora import Row
from xlift.tasks.sources import read_manifest

LOCK = ".lock"
"""The lock file in a data folder. It shows that a process writes there, or wrote."""


@contextmanager
def open_folder(folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """The entries of a data folder's manifest, held by one process at a time. A folder that does not exist yet has no entries.

    Raises UserError for a folder that holds something else, for one that another process is writing, and for one that cannot be read or
    written.
    """
    existed = folder.exists()
    with _explain_folder(folder):
        found = {path.name for path in folder.iterdir()} - {LOCK} if existed else set()
    if found and "manifest.json" not in found:
        raise UserError(f"{folder} is not empty and is no data folder, as it has no manifest.json: name a new folder")
    lock = FileLock(folder / LOCK)
    with _explain_folder(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UserError(f"{folder}: another process writes into it; wait for its end, or name another folder") from None
    try:
        yield {name: dict(entry) for name, entry in read_manifest(folder).items()} if "manifest.json" in found else {}
    finally:
        if not (folder / "manifest.json").exists():
            _empty(folder, existed)
        lock.release()


def _empty(folder: Path, existed: bool) -> None:
    """Leave a folder that was empty, or did not exist, as it was."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not existed:
        folder.rmdir()


@contextmanager
def _explain_folder(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"the data folder {folder} cannot be written ({reason}): free space, or name another folder") from None


def replace_file(folder: Path, path: Path, content: bytes) -> None:
    """Write a file of a data folder so that readers see all of it or nothing. Raises UserError if it cannot be written."""
    part = path.with_name(f"{path.name}.part")
    with _explain_folder(folder):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
            part.replace(path)
        finally:
            if part.parent.is_dir():
                part.unlink(missing_ok=True)


def write_manifest(folder: Path, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the manifest of a data folder anew, ordered by file name. Raises UserError if it cannot be written."""
    text = json.dumps([entries[name] for name in sorted(entries)], ensure_ascii=False, indent=1) + "\n"
    replace_file(folder, folder / "manifest.json", text.encode())


def encode(name: str, rows: Sequence[Row]) -> bytes:
    """Rows in the format that the ending of the name tells. Raises UserError for a cell that a line of columns cannot hold."""
    stem = name.removesuffix(".gz")
    if stem.endswith(".jsonl"):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        lines = [list(rows[0])] if stem.endswith(".tsv") else []
        lines += [[str(value) for value in row.values()] for row in rows]
        if any("\t" in cell or "\n" in cell for line in lines for cell in line):
            raise UserError(f"{name}: a tab or a line break is in a cell")
        text = "".join("\t".join(line) + "\n" for line in lines)
    return gzip.compress(text.encode(), mtime=0) if name.endswith(".gz") else text.encode()
