"""The same work on many runs or rows, by all cores where that is faster than one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from joblib import Parallel, delayed

T = TypeVar("T")

SHARED = 50
"""Jobs from which on they are shared: with fewer it takes longer to start the processes."""


def share(work: Callable[..., T], jobs: Sequence[tuple[Any, ...]], least: int | None = None) -> Iterator[T]:
    """What ``work`` makes of each job's arguments, in their order. Work, arguments and results must be picklable.

    Jobs are shared from ``least`` on, SHARED where it is not given; they start at once, and go on while the caller does other things.
    """
    if len(jobs) < (SHARED if least is None else least):
        return (work(*job) for job in jobs)
    made: Iterator[T] = Parallel(n_jobs=-1, return_as="generator")(delayed(work)(*job) for job in jobs)
    return made
