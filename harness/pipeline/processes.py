"""Where stages run: each in a process of its own, so that its memory is free again and a crash loses one stage."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import active_children, get_context, parent_process
from threading import Thread
from types import ModuleType
from typing import TypeVar

import psutil

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

    Where one fails, the others come to their end before its error is raised. Where this process is interrupted (Ctrl-C), all of them are
    killed with what they started: their work may not listen, and the same command goes on from the last finished piece.
    """
    others = active_children()
    pools = [
        ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"), initializer=_begin, initargs=(number, len(calls)))
        for number in range(len(calls))
    ]
    try:
        with _hide_script():
            futures = [pool.submit(work, *arguments) for pool, arguments in zip(pools, calls, strict=True)]
        wait(futures)
        for pool in pools:
            pool.shutdown()
    except KeyboardInterrupt:
        _end(child.pid for child in active_children() if child not in others and child.pid)
        raise
    try:
        return [future.result() for future in futures]
    except BrokenProcessPool:
        cause = "it was killed, or memory ran out"
        raise UserError(f"{what}: its process died ({cause}); the same command goes on from the last finished piece") from None


def end_children() -> None:
    """Kill all processes that this one started, and all that those started. For the process of a stage, in which nobody else has any."""
    _end(child.pid for child in psutil.Process().children())


def _end(processes: Iterable[int]) -> None:
    for pid in processes:
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(pid)
            for one in (found, *found.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    one.kill()


@contextmanager
def _hide_script() -> Iterator[None]:
    """While processes start: a new process first runs the script that this one runs, which would call us again."""
    script, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _begin(number: int, beside: int) -> None:
    os.dup2(sys.stderr.fileno(), 1)  # results alone go to standard output, and no stage has any
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
        end_children()
        os._exit(1)
