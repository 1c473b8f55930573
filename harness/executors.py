"""Where stages run: each in a process of its own, so that its memory is free again and a crash loses one stage."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

from xlift.harness.progress import show_progress
from xlift.harness.rows import UserError

T = TypeVar("T")


def run_apart(what: str, work: Callable[..., T], *arguments: object) -> T:
    """Call a module-level function in a fresh process and return what it returns.

    A UserError comes back as it was raised; a process that dies is reported as a UserError that names ``what``. If this process is
    killed, the other ends too: it would hold its memory, and write to a stage that the next command begins anew.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"), initializer=_begin) as pool:
        try:
            return pool.submit(work, *arguments).result()
        except BrokenProcessPool:
            cause = "it was killed, or memory ran out"
            raise UserError(f"{what}: its process died ({cause}); the same command goes on from the last finished piece") from None


def _begin() -> None:
    show_progress()
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)
