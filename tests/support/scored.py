"""Scores by document, made up, and the row of a table that tests look at."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from xlift.leaderboard.loading.scores import Columns, Documents
from xlift.tasks.benchmarks import place


def documents(
    label: str, task: str, values: Sequence[float], *, seed: int | None = None, metric: str = "accuracy", key: str = "k"
) -> Documents:
    columns = Columns(np.arange(len(values)), np.array([f"{task}{number}" for number in range(len(values))]), np.array(values, dtype=float))
    return Documents("s", label, seed, ("es", "fr"), "en", task, *place(task, "en"), metric, f"{task}{key}", columns)


def only(table: pd.DataFrame, **wanted: Any) -> dict[str, Any]:
    """The single row with these cells."""
    rows = [row for row in table.to_dict("records") if all(row[name] == value for name, value in wanted.items())]
    assert len(rows) == 1, rows
    return {str(name): value for name, value in rows[0].items()}


def some(label: str, wins: int, *, seed: int | None = None, suite: str = "s", key: str = "k") -> Documents:
    """60 answers to MGSM in Spanish, of which ``wins`` are right."""
    made = documents(label, "xlift_mgsm_direct_es", [1.0] * wins + [0.0] * (60 - wins), seed=seed, key=key)
    return replace(made, suite=suite)
