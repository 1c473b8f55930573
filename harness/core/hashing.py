"""Hashes that name things by their content: plain data, and the weights of a model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from xlift.harness.core.paths import cache_folder, write_whole


def weights_sha256(folder: Path) -> str:
    """Hash of the safetensors files of a folder; one file gives that file's own sha256."""
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return file_sha256(files[0])
    lines = "".join(f"{file_sha256(path)}  {path.name}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of a file in hex, computed again only when its size or its time of change differ."""
    stat = path.stat()
    note = cache_folder() / "sha256" / digest([str(path.resolve()), stat.st_size, stat.st_mtime_ns], 32)
    if note.is_file():
        return note.read_text(encoding="ascii")
    with path.open("rb") as file:
        value = hashlib.file_digest(file, "sha256").hexdigest()
    # One small file each, so that two processes never write the same one with different content.
    write_whole(note, value.encode())
    return value


def digest(value: Any, length: int = 12) -> str:
    """A short hash of plain data: equal data, equal hash, whatever the order of the keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
