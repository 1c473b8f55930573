"""Where stages run: each in a process of its own, so that its memory is free again and a crash loses one stage."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context, parent_process
from threading import Thread
from types import ModuleType
from typing import TypeVar

from xlift.harness.core.errors import UserError
from xlift.harness.core.logs import show_progress

T = TypeVar("T")


def run_apart(what: str, work: Callable[..., T], *arguments: object) -> T:
    """Call a module-level function in a fresh process and return what it returns.

    A UserError comes back as it was raised; a process that dies is reported as a UserError that names ``what``. If this process is
    killed, the other ends too: it would hold its memory, and write to a stage that the next command begins anew.
    """
    [result] = run_side_by_side(what, work, [arguments])
    return result


def run_side_by_side(what: str, work: Callable[..., T], calls: Sequence[tuple[object, ...]]) -> list[T]:
    """``run_apart`` for several calls at once, in processes that share the cores evenly; the first alone shows progress bars.

    Where one fails, the others come to their end before its error is raised.
    """
    with ExitStack() as stack:
        pools = [
            ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"), initializer=_begin, initargs=(number, len(calls)))
            for number in range(len(calls))
        ]
        with _hide_script():
            futures = [stack.enter_context(pool).submit(work, *arguments) for pool, arguments in zip(pools, calls, strict=True)]
        try:
            return [future.result() for future in futures]
        except BrokenProcessPool:
            cause = "it was killed, or memory ran out"
            raise UserError(f"{what}: its process died ({cause}); the same command goes on from the last finished piece") from None


@contextmanager
def _hide_script() -> Iterator[None]:
    """While processes start: a new process first runs the script that this one runs, which would call us again."""
    script, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _begin(number: int, beside: int) -> None:
    if beside > 1:
        os.environ.update(_share_cores(beside))
    if number > 0:
        os.environ["TQDM_DISABLE"] = "1"
    show_progress()
    Thread(target=_end_with_parent, daemon=True).start()


def _share_cores(beside: int) -> dict[str, str]:
    """Read when torch and vLLM are imported, which is after this. Threads that wait by spinning take the cores from the other processes."""
    threads = max(1, len(os.sched_getaffinity(0)) // beside)
    return {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)
