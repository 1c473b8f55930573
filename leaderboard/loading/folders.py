"""Folders that a command made and keeps. A list in each names its files; no other file is overwritten or deleted."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Required, TypedDict, cast

from xlift.harness.core.errors import UserError
from xlift.harness.core.store import parse_json


class State(TypedDict, total=False):
    """What the list of a folder says."""

    files: Required[list[str]]
    schema_version: int
    fingerprint: str
    """For a site: a hash of everything from which it was made."""
    left_out: list[str]
    """For a site: what was left out."""
    by: str
    """For a record: who measured it."""


def read_state(out: Path, name: str, what: str) -> State:
    """What was written into ``out`` before, from its list ``name``: ``files`` and what else was kept; no files if the folder is empty.

    Raises UserError if the folder holds something else than ``what``.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: not a folder; choose another with --out")
    if state := find_state(out, name):
        return state
    if (out / name).is_file():
        unknown = f"damaged, so nobody knows which files {what} of xlift has there"
        raise UserError(f"{out / name}: {unknown}; delete {out}, or choose an empty folder with --out")
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: holds files that are not {what} of xlift; choose an empty folder with --out")
    return {"files": []}


def find_state(out: Path, name: str) -> State | None:
    """What the list ``name`` of a folder says; None where there is no such list that can be read."""
    state = _read_json(out / name)
    files = state.get("files")
    return cast(State, state) if isinstance(files, list) and all(isinstance(one, str) for one in files) else None


def write_file(out: Path, name: str, content: str | bytes) -> None:
    """Write a file, completely or not at all, unless it is there already. Raises UserError for a name that leads out of ``out``."""
    path, data = _inside(out, name), content.encode("utf-8") if isinstance(content, str) else content
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(data)
    partial.replace(path)


def delete_files(out: Path, names: Iterable[str]) -> None:
    """Delete files that ``out`` no longer has. Raises UserError for a name that leads out of it."""
    for name in names:
        _inside(out, name).unlink(missing_ok=True)


def write_state(out: Path, name: str, state: State) -> None:
    """Write the list, last of all."""
    write_file(out, name, json.dumps(state, indent=1) + "\n")


def _inside(out: Path, name: str) -> Path:
    path = out / name
    if not path.resolve().is_relative_to(out.resolve()):
        raise UserError(f"{name}: leads out of {out}")
    return path


def _read_json(path: Path) -> dict[str, object]:
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
