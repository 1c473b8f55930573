"""Source files: finding them in the folder of XLIFT_DATA, and reading them, whatever their format.

docs/data.md describes the folder's layout and its manifest.json.
"""

from __future__ import annotations

import ast
import csv
import gzip
import io
import json
import os
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from xlift.harness.core.errors import UserError
from xlift.harness.core.hashing import file_sha256
from xlift.tasks.corpora import File, Row

Place = Literal["folder", "hub", "samples"]
"""Where a file was found. ``hub`` is any published address."""

GROWTH, LEAST_BOUND = 100, 64 * 2**20
"""A packed file may hold GROWTH times its size, and LEAST_BOUND bytes in any case. Texts grow by less than twenty times."""
UNREADABLE = (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError, SyntaxError, TypeError,
              ValueError, tarfile.TarError, zipfile.BadZipFile, zlib.error)  # fmt: skip
"""The exceptions that a malformed file, member of an archive or record can raise."""


@dataclass(frozen=True)
class Found:
    """A source file on this machine."""

    file: File
    paths: tuple[Path, ...]
    """One path, or the paths of the published files that it is made of."""
    sha256: str
    """The sha256 of the file. If there are several, that of their sha256 in hex, one a line."""
    origin: Place


def data_folder() -> Path | None:
    """The folder that XLIFT_DATA names; None if it is not set. Raises UserError if it, or its manifest, does not exist."""
    named = os.environ.get("XLIFT_DATA")
    if not named:
        return None
    folder = Path(named).expanduser().absolute()
    if not folder.is_dir():
        raise UserError(f"XLIFT_DATA names {folder}, which is not a folder: correct the path, or unset XLIFT_DATA to use the hub")
    if not (folder / "manifest.json").is_file():
        raise UserError(f"XLIFT_DATA names {folder}, which has no manifest.json: name the top of the data folder (docs/data.md)")
    return folder


def find_in_folder(file: File) -> Found | None:
    """The file below XLIFT_DATA; None if the folder's manifest does not list it.

    Raises UserError if the manifest cannot be read, or lists a file that is missing or has another checksum.
    """
    folder = data_folder()
    listed = read_checksums(folder) if folder else {}
    name = next((name for name in (file.shared, file.folder) if name in listed), None)
    if folder is None or name is None:
        return None
    path = folder / name
    if not path.is_file():
        raise UserError(f"{path}: listed in manifest.json, but missing: copy the file again, or take its entry out of the manifest")
    if (actual := file_sha256(path)) != listed[name]:
        raise UserError(
            f"{path}: sha256 is {actual[:12]}..., manifest.json says {listed[name][:12]}...: the file has changed, copy it again"
        )
    return Found(file, (path,), listed[name], "folder")


def read_found(found: Found, lang: str) -> list[Row]:
    """The records of a source file in the layout of the data folder, wherever it comes from. Raises the errors of ``UNREADABLE``."""
    file = found.file
    if found.origin != "hub":
        return records(found.paths[0], file.columns)
    tables = [
        records(path, remote.columns or file.columns, remote.name, remote.rows)
        for path, remote in zip(found.paths, file.remotes, strict=True)
    ]  # fmt: skip
    return list(file.convert(tables, lang)) if file.convert else tables[0]


def records(path: Path, columns: Sequence[str], name: str = "", most: int = 0) -> list[Row]:
    """The records of one file, in its order. The ending of its name tells the format. ``most`` limits the records of a parquet file; 0 for
    all.

    The formats are .jsonl, .json, .csv, .tsv, .parquet and .py (the values that it assigns), and plain lines for any other ending. Lines
    may end in LF or CR LF, and a byte order mark is skipped. Raises the errors of ``UNREADABLE``, with the line's number for .jsonl and
    .tsv.
    """
    stem = (name or path.name).removesuffix(".gz")
    if stem.endswith(".parquet"):
        return _read_parquet(path, columns, most)
    text = (_unpack(path) if (name or path.name).endswith(".gz") else path.read_bytes()).decode("utf-8-sig")
    if stem.endswith(".json"):
        content = json.loads(text)
        return [content] if isinstance(content, dict) else list(content)
    if stem.endswith(".py"):
        return _read_assignments(text)
    if stem.endswith(".csv"):
        try:
            return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
        except csv.Error as error:
            raise ValueError(f"no CSV: {error}") from None
    # Not splitlines: sentences may hold U+2028 and other marks that it takes for line ends.
    lines = [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]
    if stem.endswith(".jsonl"):
        return [_read_object(line, number) for number, line in enumerate(lines, 1)]
    header = list(columns) or lines[0].split("\t")
    return [_name_cells(header, line, number) for number, line in enumerate(lines, 1) if columns or number > 1]


def _read_object(line: str, number: int) -> Row:
    try:
        found: Row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number} is no JSON: {error}") from None
    return found


def _name_cells(header: Sequence[str], line: str, number: int) -> Row:
    cells = line.split("\t")
    if len(cells) != len(header):
        raise ValueError(f"line {number} has {len(cells)} columns, not {len(header)}")
    return dict(zip(header, cells, strict=True))


def _read_parquet(path: Path, columns: Sequence[str], most: int) -> list[Row]:
    import pyarrow.parquet

    about = pyarrow.parquet.read_metadata(path)
    require_growth(sum(about.row_group(place).total_byte_size for place in range(about.num_row_groups)), path)
    table = pyarrow.parquet.read_table(path, columns=list(columns) or None)
    found: list[Row] = table.slice(0, most or table.num_rows).to_pylist()
    return found


def _unpack(path: Path) -> bytes:
    with gzip.open(path) as file:
        data = file.read(bound_of(path) + 1)
    require_growth(len(data), path)
    return data


def bound_of(path: Path) -> int:
    """The most bytes that a packed file may hold when it is unpacked."""
    return max(LEAST_BOUND, GROWTH * path.stat().st_size)


def require_growth(size: int, path: Path) -> None:
    """Raise ValueError if ``size`` is more than a packed file may hold: a megabyte can unpack to a gigabyte of one letter."""
    if size > bound_of(path):
        raise ValueError(f"more than {bound_of(path) >> 20} MiB when unpacked")


def _read_assignments(text: str) -> list[Row]:
    """Names and values of the assignments of plain values in a Python file, which is not run."""
    found = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign):
            found.append({"name": ast.unparse(node.targets[0]), "value": ast.literal_eval(node.value)})
    return found


def read_checksums(folder: Path) -> Mapping[str, str]:
    """The sha256 of each file that a folder's manifest lists. Raises UserError if the manifest cannot be read."""
    return {name: entry["sha256"] for name, entry in read_manifest(folder).items()}


def read_manifest(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """The entries of a folder's manifest by file. Raises UserError if it cannot be read."""
    manifest = folder / "manifest.json"
    try:
        return _parse_manifest(manifest, manifest.stat().st_mtime_ns)
    except OSError as error:
        raise UserError(f"{manifest}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{manifest}: not a JSON list of entries with file and sha256 (docs/data.md)") from None


@cache
def _parse_manifest(manifest: Path, changed: int) -> Mapping[str, Mapping[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(manifest.read_text(encoding="utf-8"))
    return {str(entry["file"]): {**entry, "sha256": str(entry["sha256"])} for entry in entries}
