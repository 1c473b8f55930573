"""The same work on many runs or rows, on all cores if that is faster than on one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from joblib import Parallel, delayed

T = TypeVar("T")

SHARED = 50
"""The number of jobs from which on they are shared. With fewer it takes longer to start the processes."""


def share(work: Callable[..., T], jobs: Sequence[tuple[Any, ...]], least: int | None = None) -> Iterator[T]:
    """The result of ``work`` for each job's arguments, in their order. Work, arguments and results must be picklable.

    Jobs are shared if there are at least ``least`` (SHARED if not given). They start at once, and continue while the caller does other
    things.
    """
    if len(jobs) < (SHARED if least is None else least):
        return (work(*job) for job in jobs)
    made: Iterator[T] = Parallel(n_jobs=-1, return_as="generator")(delayed(work)(*job) for job in jobs)
    return made
