"""A row that somebody measured, compared with the same row run again by somebody else."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence

import pandas as pd

from xlift.harness.core.errors import UserError
from xlift.leaderboard.analysis.comparisons import compare_runs
from xlift.leaderboard.analysis.statistics import ALPHA, correct
from xlift.leaderboard.loading.scores import Documents

COLUMNS = ("task", "metric", "theirs", "ours", "difference", "low", "high", "p_corrected", "agrees", "note")


def compare_again(theirs: Iterable[Documents], ours: Iterable[Documents], label: str) -> pd.DataFrame:
    """One row for each task on which both sides measured ``label``: both means over seeds, and ours minus theirs, paired by document.

    Values are in the metric's own unit; differences are turned so that more is better. ``agrees`` says that the two cannot be told apart
    after Holm's correction over the table. It is missing if they may not be compared, and ``note`` says why. Raises UserError if the two
    share no task.
    """
    sides = [_collect(documents, label) for documents in (theirs, ours)]
    shared = [task for task in sides[0] if task in sides[1]]
    if not shared:
        raise UserError(f"{label}: the two runs have no task in common with scores by document")
    rows: list[dict[str, object]] = []
    for task in shared:
        before, after = (side[task] for side in sides)
        row: dict[str, object] = {"task": task, "metric": before[0].metric, "theirs": _mean(before), "ours": _mean(after), "note": ""}
        try:
            found = compare_runs({task: after}, {task: before}, f"{label}, run again")
            row |= {"difference": found.value, "low": found.low, "high": found.high, "p": found.p}
        except UserError as error:
            row["note"] = str(error)
        rows.append(row)
    table = pd.DataFrame(rows).reindex(columns=[*COLUMNS, "p"])
    table["p_corrected"] = correct(table["p"].to_numpy(dtype=float))
    table["agrees"] = [None if pd.isna(p) else bool(p >= ALPHA) for p in table["p_corrected"]]
    return table[list(COLUMNS)]


def write_reproduction(table: pd.DataFrame, label: str, seeds: Sequence[int], by: str) -> dict[str, object]:
    """A table of ``compare_again`` as plain data, with what was run again and who did it."""
    return {"schema_version": 1, "label": label, "seeds": list(seeds), "by": by, "tasks": json.loads(table.to_json(orient="records"))}


def _collect(documents: Iterable[Documents], label: str) -> dict[str, list[Documents]]:
    """One model's seeds by task, for the scores that tests use."""
    found: dict[str, list[Documents]] = defaultdict(list)
    for one in documents:
        if one.label == label and one.is_tested:
            found[one.task].append(one)
    return found


def _mean(runs: list[Documents]) -> float:
    return sum(float(one.columns.values.mean()) for one in runs) / len(runs)
