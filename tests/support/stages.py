"""The stages of a run in this process: each in one of its own loads torch anew, which takes longer than the work on a tiny model."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from xlift.harness.pipeline import processes, run, worker


@contextmanager
def stages_here() -> Iterator[None]:
    """While it is open, runs start no process."""

    def call(what: str, work: Callable[..., Any], calls: Sequence[tuple[object, ...]], **options: object) -> list[Any]:
        return [work(*arguments) for arguments in calls]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "run_side_by_side", call)
        patch.setattr(run, "run_side_by_side", call)
        patch.setattr(worker, "run_side_by_side", call)
        yield
