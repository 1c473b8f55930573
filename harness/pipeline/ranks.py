"""One training in several processes that share its steps, set up as torch.distributed and accelerate expect."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from xlift.harness.core.errors import UserError, one_line
from xlift.harness.pipeline.devices import find_gpus
from xlift.harness.pipeline.processes import Apart, end_all

T = TypeVar("T")

GRACE = 5.0
"""The seconds in which the other processes may say why they failed too: the first failure that is seen may be caused by another process's
death."""


def run_ranks(what: str, work: Callable[..., T], arguments: tuple[object, ...], count: int) -> T:
    """Call a function in ``count`` fresh processes that find each other, each on a GPU of its own, and return what the first one returns.

    If one fails or dies, the others are killed, and its error is raised. Raises UserError if there are fewer GPUs than processes.
    """
    gpus = require_ranks(os.environ, count)
    shared = {"WORLD_SIZE": str(count), "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_find_port())}
    running = [
        Apart(what, work, arguments, number=rank, beside=count, environment={**shared, "RANK": str(rank), **_show(gpus, rank)})
        for rank in range(count)
    ]
    try:
        futures = [one.future for one in running]
        if any(future.exception() for future in wait(futures, return_when=FIRST_EXCEPTION).done):
            wait(futures, GRACE)
            raise _explain(what, running)
        return [one.finish() for one in running][0]
    finally:
        end_all(running)


def _explain(what: str, running: list[Apart[T]]) -> UserError:
    """The error that says the most: one for users, else a death, else what a library said."""
    said: list[tuple[int, UserError]] = []
    for rank, one in enumerate(running):
        error = one.future.exception() if one.future.done() else None
        if isinstance(error, UserError):
            return error
        if error is not None:
            died = isinstance(error, BrokenProcessPool)
            name = f"{what}: process {rank + 1} of {len(running)}"
            again = "the same command goes on from the last finished piece"
            text = f"{name} died (it was killed, or memory ran out); {again}" if died else f"{name} failed: {one_line(error)}; {again}"
            said.append((0 if died else 1, UserError(text)))
    return min(said, key=lambda one: one[0])[1]


def require_ranks(environment: Mapping[str, str], count: int) -> list[str]:
    """The names of the GPUs for so many processes; none on a machine without GPUs.

    Raises UserError if there are fewer GPUs than processes, or no GPUs and fewer cores.
    """
    found, cores = find_gpus(environment), len(os.sched_getaffinity(0))
    if not found and count > cores:
        raise UserError(f"train.processes {count}: there is no GPU here, and {cores} cores, of which each process takes one")
    if found and len(found) < count:
        raise UserError(f"train.processes {count}: {len(found)} GPUs can be seen ({', '.join(found)}), and each process takes one")
    return found[:count]


def _show(gpus: list[str], rank: int) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": gpus[rank]} if gpus else {}


def _find_port() -> int:
    """A free port. Raises UserError if there is none."""
    try:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port: int = found.getsockname()[1]
            return port
    except OSError as error:
        raise UserError(f"train.processes: there is no free port, by which processes find each other ({error.strerror})") from None
