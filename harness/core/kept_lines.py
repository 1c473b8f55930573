"""Caches of JSON lines: what is damaged is set aside and made again, and a kill loses nothing that was kept."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from filelock import FileLock

from xlift.harness.core.store import explain_disk

logger = logging.getLogger(__name__)

T = TypeVar("T")

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""The exceptions that a damaged line can raise in a reader that expects a whole one."""


def read_kept(path: Path, read: Callable[[Mapping[str, Any]], tuple[str, T]]) -> tuple[dict[str, T], int]:
    """The entries of a cache by key, and the number of lines that cannot be read. Half a line at the end, which a kill may leave, does not
    count.

    ``read`` makes key and entry of a line, and raises one of UNREADABLE if the line is not whole.
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
    """Move a damaged cache away, with one warning, and write what can be read of it in its place."""
    aside = path.with_name(f"{path.name}.damaged")
    logger.warning("%s: %d lines cannot be read; the file was set aside as %s, and what is lost is made anew", path, damaged, aside.name)
    with explain_disk(path.parent):
        path.replace(aside)
    _write_lines(path, lines)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a cache anew, and move it into place when it is on the disk. A kill leaves the old one, and never half a line."""
    with explain_disk(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        with partial.open("w", encoding="utf-8", errors="surrogatepass") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)


SECONDS = 1.0
"""The longest time in seconds that an entry waits in memory for others that are written with it."""


class KeptLines(Generic[T]):
    """A cache of JSON lines that only grows, each entry with a key of its own, for any number of processes at once.

    Memory holds the place of each line, not its content. Entries that other processes add are seen too. A line is written whole under a
    lock, and half a line, which a kill may have left, is cut off before the next one is written. Lines that cannot be read are set aside.
    """

    def __init__(
        self, path: Path, read: Callable[[Mapping[str, Any]], tuple[str, T]], write: Callable[[str, T], Mapping[str, Any]]
    ) -> None:
        """``read`` makes key and entry of a line, and raises one of UNREADABLE if the line is not whole; ``write`` does the opposite."""
        self.path, self._read, self._write = path, read, write
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))
        self._places: dict[str, int] = {}
        self._end = 0
        """Where the lines end that are known."""
        self._inode = 0

    def find(self, keys: Iterable[str]) -> dict[str, T]:
        """The entries of those keys that have one."""
        with explain_disk(self.path.parent):
            try:
                with self.path.open("rb") as file:
                    if not self._note(file):
                        return self._look_up(file, keys)
            except FileNotFoundError:
                return {}
            with self._lock:
                self._mend()
        return self.find(keys)

    def _look_up(self, file: BinaryIO, keys: Iterable[str]) -> dict[str, T]:
        found = {}
        for place, key in sorted((self._places[key], key) for key in set(keys) if key in self._places):
            file.seek(place)
            found[key] = self._read(json.loads(file.readline()))[1]
        return found

    @contextmanager
    def adding(self) -> Iterator[Callable[[Mapping[str, T]], None]]:
        """A function that adds entries. They are in the file about a second later, and at the end all of them are on the disk.

        An entry that another process has added first is not added again.
        """
        waiting: dict[str, T] = {}
        written = time.monotonic()

        def add(entries: Mapping[str, T]) -> None:
            nonlocal written
            waiting.update(entries)
            if time.monotonic() - written >= SECONDS:
                self._append(waiting)
                waiting.clear()
                written = time.monotonic()

        try:
            yield add
        finally:
            self._append(waiting, sync=True)

    def _append(self, entries: Mapping[str, T], *, sync: bool = False) -> None:
        with explain_disk(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock, self.path.open("a+b") as file:
                if self._note(file):
                    self._mend()
                    self._append(entries, sync=sync)
                    return
                file.truncate(self._end)
                for key, entry in entries.items():
                    if key not in self._places:
                        line = json.dumps(self._write(key, entry), ensure_ascii=False) + "\n"
                        self._places[key] = self._end
                        self._end += file.write(line.encode("utf-8", "surrogatepass"))
                file.flush()
                if sync:
                    os.fsync(file.fileno())

    def _note(self, file: BinaryIO) -> int:
        """Read the lines that are new since the last time. Returns how many of them cannot be read."""
        known = os.fstat(file.fileno())
        if known.st_ino != self._inode or known.st_size < self._end:  # another process has set lines aside, or the user has deleted it
            self._places, self._end, self._inode = {}, 0, known.st_ino
        file.seek(self._end)
        damaged = 0
        for line in file:
            if not line.endswith(b"\n"):
                return damaged + (b"\0" in line)
            try:
                key, _ = self._read(json.loads(line))
            except UNREADABLE:
                damaged += bool(line.strip())
            else:
                self._places.setdefault(key, self._end)
            self._end += len(line)
        return damaged

    def _mend(self) -> None:
        """Set the file aside if it has lines that cannot be read. Another process may have done so already."""
        found, damaged = read_kept(self.path, self._read)
        self._inode = 0  # all is noted anew
        if damaged:
            lines = (json.dumps(self._write(key, entry), ensure_ascii=False) for key, entry in found.items())
            set_aside(self.path, lines, damaged)
