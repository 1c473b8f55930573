"""Where stages run: each in a process of its own, so that its memory is free again and a crash loses one stage."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from xlift.harness.progress import show_progress
from xlift.harness.rows import UserError

T = TypeVar("T")


def run_apart(what: str, work: Callable[..., T], *arguments: object) -> T:
    """Call a module-level function in a fresh process and return what it returns.

    A UserError comes back as it was raised; a process that dies is reported as a UserError that names ``what``.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"), initializer=show_progress) as pool:
        try:
            return pool.submit(work, *arguments).result()
        except BrokenProcessPool:
            cause = "it was killed, or memory ran out"
            raise UserError(f"{what}: its process died ({cause}); the same command goes on from the last finished piece") from None
