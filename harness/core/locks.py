"""One process at a time in a folder. The others are told who is there, or wait."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.store import explain_disk, read_clock

logger = logging.getLogger(__name__)

LOCK, OWNER = ".lock", ".lock-owner"
"""Two files in the folder: the one that is locked, and the one that names the holder. The system releases the lock when a process ends,
whatever the reason."""


@contextmanager
def hold(folder: Path, *, wait: bool) -> Iterator[None]:
    """Be the only process in ``folder``, which is made if it does not exist. With ``wait``, wait for another process to end.

    Raises UserError, which names the other process, if there is one and ``wait`` is false, and if the folder cannot be written.
    """
    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or one_line(error)
        raise UserError(f"{folder}: cannot be made ({why}); choose another folder with --runs") from None
    with explain_disk(folder):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            who = _read_owner(folder)
            if not wait:
                raise UserError(f"{folder}: {who} works in it; wait for its end (run --wait does), or choose another folder") from None
            logger.info("%s: waiting for %s", folder, who)
            lock.acquire()
        try:
            (folder / OWNER).write_text(f"process {os.getpid()} on {socket.gethostname()}, since {read_clock()[:19]}Z", encoding="utf-8")
        except OSError:
            lock.release()
            raise
    try:
        yield
    finally:
        (folder / OWNER).unlink(missing_ok=True)
        lock.release()


def _read_owner(folder: Path) -> str:
    try:
        return (folder / OWNER).read_text(encoding="utf-8") or "another process"
    except (OSError, UnicodeDecodeError):  # it holds the lock and has not said so yet
        return "another process"
