"""Who works on what in a folder in which several processes work, also on several machines: a lease for each piece of work.

A lease is a file that its process touches as long as the process lives. It ends when it is given back, when its process is known to be dead
(which only its own machine can see), or when it was not touched for three beats. Ages are measured by the clock of the folder's file
system, so that the clocks of the machines need not agree.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
from filelock import FileLock

from xlift.harness.core.errors import UserError

BEAT = 20.0
"""Seconds between two touches."""
SILENCE = 3 * BEAT
"""Seconds without a touch after which a lease ends. NFS clients read the age of a file that they open from its server."""


@dataclass(frozen=True)
class Owner:
    """A process that has a lease, as the lease's file names it."""

    attempt: str
    """``HOST-PID-NANOSECONDS``: no other attempt has this name."""
    machine: str
    """The machine or container in which the process number is valid."""
    pid: int
    began: float
    """When the process began, because process numbers are used again."""
    version: str = ""
    """The version of xlift."""

    @property
    def is_dead(self) -> bool:
        """Whether the process is known to be dead. Of a process on another machine nothing is known."""
        if self.machine != _name_machine():
            return False
        try:
            return bool(abs(psutil.Process(self.pid).create_time() - self.began) > 1)
        except psutil.NoSuchProcess:
            return True


class Lease:
    """A piece of work that belongs to this process until it gives it back or, after a silence, another process takes it."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self.path, self.attempt = path, owner.attempt
        self._over = Event()
        self._heart = Thread(target=self._beat, daemon=True)

    def start(self) -> None:
        """Begin to touch the file."""
        self._heart.start()

    def is_held(self) -> bool:
        """False once another process has taken the work over."""
        owner = _read_owner(self.path)
        return owner is not None and owner.attempt == self.attempt

    def give_back(self) -> None:
        """Let others have the work."""
        self._over.set()
        self._heart.join()
        with _lock(self.path.parent):
            if self.is_held():
                self.path.unlink()

    def _beat(self) -> None:
        while not self._over.wait(BEAT) and self.is_held():
            os.utime(self.path)


@contextmanager
def claim(folder: Path, name: str) -> Iterator[Lease | None]:
    """Take a lease on the work ``name``, kept in ``folder``; None if a living process has one. An OSError of the disk is raised as it
    is."""
    lease = _take(folder, name)
    try:
        yield lease
    finally:
        if lease:
            lease.give_back()


def find_owner(folder: Path, name: str) -> Owner | None:
    """The living process that has a lease on a piece of work."""
    with _lock(folder) as now:
        return _read_living(folder / name, now)


def find_owners(folder: Path) -> dict[str, Owner]:
    """All living processes that have a lease in a folder, by the name of their work."""
    if not folder.is_dir():
        return {}
    with _lock(folder) as now:
        found = {path.name: _read_living(path, now) for path in sorted(folder.iterdir()) if not path.name.startswith(".")}
    return {name: owner for name, owner in found.items() if owner}


def refuse_other_versions(folder: Path) -> None:
    """Raise UserError if a process of another version of xlift has a lease in a folder, because its results might not fit together with
    ours."""
    own = version("xlift")
    for owner in find_owners(folder).values():
        if owner.version != own:
            raise UserError(
                f"{folder.parent}: {owner.attempt} works in it with xlift {owner.version or 'of another version'}, and this is "
                f"xlift {own}; install the same version for all workers, or wait for its end"
            )


def _take(folder: Path, name: str) -> Lease | None:
    folder.mkdir(parents=True, exist_ok=True)
    path, owner = folder / name, _describe_self()
    with _lock(folder) as now:
        if _read_living(path, now):
            return None
        partial = folder / f".{owner.attempt}"
        partial.write_text(json.dumps(asdict(owner)), encoding="utf-8")
        partial.replace(path)
    lease = Lease(path, owner)
    lease.start()
    return lease


@contextmanager
def _lock(folder: Path) -> Iterator[float]:
    """Keep others from taking or giving back a lease of the folder meanwhile. Gives the time by the clock of its file system."""
    path = folder / ".lock"
    with FileLock(path):
        os.utime(path)
        yield path.stat().st_mtime


def _read_living(path: Path, now: float) -> Owner | None:
    owner = _read_owner(path)
    if owner is None or owner.is_dead:
        return None
    with path.open("rb") as file:  # a file that is opened has its age from the server
        silent = now - os.fstat(file.fileno()).st_mtime
    return None if silent > SILENCE else owner


def _read_owner(path: Path) -> Owner | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        owner = Owner(**found)
    except (FileNotFoundError, ValueError, TypeError, RecursionError):  # half a file is nobody's
        return None
    sound = isinstance(owner.pid, int) and 0 < owner.pid < 2**31 and isinstance(owner.began, int | float)
    return owner if sound else None


def _describe_self() -> Owner:
    host = re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname())
    attempt = f"{host}-{os.getpid()}-{time.time_ns()}"
    return Owner(attempt, _name_machine(), os.getpid(), psutil.Process().create_time(), version("xlift"))


@cache
def _name_machine() -> str:
    names = [socket.gethostname()]
    with suppress(OSError):  # another system than Linux
        names.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        names.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(names)
