"""A small run for the tests of the site."""

from pathlib import Path

import pytest
from result_folders import BAD, GOOD, TASKS, write_run


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A base, a method with two seeds that does everything right, and one that is the base again."""
    root = tmp_path / "runs" / "s"
    write_run(root, "base", dict.fromkeys(TASKS, BAD))
    for seed in (0, 1):
        write_run(root, "better", dict.fromkeys(TASKS, GOOD), seed=seed, adapter=str(seed))
    write_run(root, "same", dict.fromkeys(TASKS, BAD), seed=0, adapter="c")
    return root
