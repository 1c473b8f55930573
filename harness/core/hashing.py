"""Hashes that name things by their content: plain data, files of code, and the weights of a model."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from xlift.harness.core.paths import cache_folder, write_whole


def weights_sha256(folder: Path) -> str:
    """The hash of the safetensors files of a folder. If there is one file, it is that file's own sha256."""
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return file_sha256(files[0])
    lines = "".join(f"{file_sha256(path)}  {path.name}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of a file in hex. It is computed again only if the size, one of the times or the inode of the file differs.

    A file that is replaced by another of equal size and time has another inode, and programs cannot set the time ``ctime``.
    """
    stat = path.stat()
    known_by = [str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev]
    note = cache_folder() / "sha256" / digest(known_by, 32)
    if note.is_file() and re.fullmatch(rb"[0-9a-f]{64}", found := note.read_bytes()):
        return found.decode()
    with path.open("rb") as file:
        value = hashlib.file_digest(file, "sha256").hexdigest()
    # One small file each, so that two processes never write the same one with different content.
    write_whole(note, value.encode())
    return value


def write_noted(path: Path, data: bytes | memoryview) -> None:
    """Write a file of the cache. A note of its sha256 is written beside it first, so that whoever sees the file also sees the note."""
    write_whole(_note_of(path), hashlib.sha256(data).hexdigest().encode())
    write_whole(path, data)


def is_as_noted(path: Path) -> bool:
    """Whether a file of ``write_noted`` is there as it was written. After a crash of the machine, for example, it may not be."""
    note = _note_of(path)
    return path.is_file() and note.is_file() and note.read_bytes() == file_sha256(path).encode()


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def list_files(folder: Path) -> list[Path]:
    """All files below a folder of code, in order, except those that Python compiled."""
    found: list[Path] = []
    for place, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if name != "__pycache__"]
        found += [Path(place, name) for name in names]
    return sorted(found)


def hash_files(files: Mapping[str, Path]) -> str:
    """The hash of the contents and names of files, whatever their order."""
    found = hashlib.sha256()
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        found.update(f"{content}  {name}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def digest(value: object, length: int = 12) -> str:
    """A short hash of plain data: equal data, equal hash, whatever the order of the keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
