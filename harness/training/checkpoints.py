"""Folders that a kill cannot damage: each is sealed with the hashes of its files once it is whole, and checked before it is used."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from xlift.harness.core.store import discard, write_json

SEAL = "seal.json"


class Seal(TypedDict, total=False):
    """The content of ``seal.json``. A damaged one may lack any key."""

    training: str
    seconds: float
    files: dict[str, str]
    """The sha256 of each file, by path."""


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint of one training."""

    folder: Path
    step: int
    seconds: float
    """The seconds that the training had taken when it was written."""


def seal(folder: Path, training: str, seconds: float) -> None:
    """Seal a folder as whole. ``training`` identifies the training, and ``seconds`` is the time that it has taken so far."""
    write_json(folder / SEAL, {"training": training, "seconds": seconds, "files": _hash_files(folder)})


def unseal(folder: Path, training: str) -> float | None:
    """The seconds in the seal of a folder that is whole and belongs to this training. Any other folder is deleted."""
    sealed = _read_seal(folder)
    if sealed.get("training") == training and sealed.get("files") == _hash_files(folder):
        return float(sealed["seconds"])
    discard(folder)
    return None


def find_last(folder: Path, training: str) -> Checkpoint | None:
    """The last whole checkpoint of this training. Those that are half-written, damaged or of another training are deleted."""
    last = None
    for found in sorted(folder.glob("checkpoint-*"), key=_step):
        seconds = unseal(found, training)
        if seconds is not None:
            last = Checkpoint(found, _step(found), seconds)
    return last


def _step(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _read_seal(folder: Path) -> Seal:
    try:
        sealed: Seal = json.loads((folder / SEAL).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return sealed if isinstance(sealed, dict) else {}


def _hash_files(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SEAL)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
