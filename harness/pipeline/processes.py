"""The processes of stages: each stage runs in its own, so that its memory is free afterwards and a crash loses one stage."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any, Generic, TypeVar

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


class TimeIsUpError(UserError):
    """A stage took longer than it was allowed to, and was killed. The next worker continues it."""


def run_side_by_side(
    what: str, work: Callable[..., T], calls: Sequence[tuple[object, ...]], *, log: Path | None = None, limit: float | None = None
) -> list[T]:
    """``run_apart`` for several calls at once, in processes that share the cores evenly. Only the first shows progress bars.

    What they say goes to this process's stderr, or is appended to the file ``log``. If one fails, the others are finished before its error
    is raised. If this process is interrupted (Ctrl-C), all of them are killed with what they started, because their work may not react; the
    same command continues from the last finished piece. They are also killed after ``limit`` seconds, and then TimeIsUpError is raised.
    """
    running = [Apart(what, work, call, number=number, beside=len(calls), log=log) for number, call in enumerate(calls)]
    try:
        if wait([one.future for one in running], limit).not_done:
            raise TimeIsUpError(f"{what}: the time of this worker was up before its end")
    except (KeyboardInterrupt, TimeIsUpError):
        end_all(running)
        raise
    return [one.finish() for one in running]


class Apart(Generic[T]):
    """A call of a module-level function that is running in a fresh process."""

    def __init__(
        self, what: str, work: Callable[..., T], arguments: tuple[object, ...], *, number: int = 0, beside: int = 1,
        log: Path | None = None, environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Of all processes that run ``beside`` each other, only number 0 shows progress bars. ``environment`` is added to the process's
        own."""
        self.what, others = what, active_children()
        settings = (number, beside, log, environment or {})
        self._pool = ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"), initializer=_begin, initargs=settings)
        with _hide_script():
            self.future = self._pool.submit(work, *arguments)
        self.pids = [child.pid for child in active_children() if child not in others and child.pid]

    def finish(self) -> T:
        """The result of the call, once it is done. Raises what it raised, and UserError if its process died."""
        try:
            found = self.future.result()
        except BrokenProcessPool:
            cause = "it was killed, or memory ran out"
            raise UserError(f"{self.what}: its process died ({cause}); the same command goes on from the last finished piece") from None
        finally:
            self._pool.shutdown()
        return found


def end_all(running: Iterable[Apart[Any]]) -> None:
    """Kill the processes of running calls, and everything that they started."""
    _end(pid for one in running for pid in one.pids)


def end_children() -> None:
    """Kill all processes that this one started, and everything that those started. It is for the process of a stage, which has no
    others."""
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
    """Hide this process's script while processes start: a new process first runs that script, which would call us again."""
    script, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _begin(number: int, beside: int, log: Path | None, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    write_into(log)
    if beside > 1:
        os.environ.update(_share_cores(beside))
    if number > 0:
        os.environ["TQDM_DISABLE"] = "1"
    show_progress()
    Thread(target=_end_with_parent, daemon=True).start()


def write_into(log: Path | None) -> None:
    """From now on what this process says, and what it starts, is appended to the file ``log``, or goes to stderr."""
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            os.dup2(file.fileno(), sys.stderr.fileno())
    os.dup2(sys.stderr.fileno(), 1)  # results alone go to standard output, and no stage has any


def _share_cores(beside: int) -> dict[str, str]:
    """Set the number of threads, which torch and vLLM read when they are imported, after this. Threads that wait by spinning would take the
    cores from the other processes."""
    threads = max(1, len(os.sched_getaffinity(0)) // beside)
    return {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        end_children()
        os._exit(1)
