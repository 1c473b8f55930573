"""What was measured beside what a paper reports: a suite's ``expected`` scores, ours, and the lift of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import find
from xlift.harness.core.papers import PaperScores
from xlift.harness.evaluation.records import Record
from xlift.leaderboard.analysis.comparisons import compare_runs
from xlift.leaderboard.loading.scores import Documents
from xlift.tasks.benchmarks import find_metric

COLUMNS = (
    "model", "task", "language", "metric", "paper", "ours", "difference", "paper_lift", "our_lift", "low", "high", "agrees", "source",
)  # fmt: skip


def compare_paper(expected: Sequence[PaperScores], records: Iterable[Record], documents: Iterable[Documents]) -> pd.DataFrame:
    """One row for each model, task, language and metric of a paper; values are in the metric's own unit.

    ``ours`` is the mean over seeds and ``difference`` ours minus the paper's. Lifts are the value minus the base's, turned so that more is
    better: ``paper_lift`` where the paper reports its base too, ``our_lift`` with its 95 % interval [``low``, ``high``] where both of ours
    were measured. ``agrees`` is whether the paper's lift lies in that interval; missing where there is no interval. What was not measured
    is missing, so that the same table serves before a run.
    """
    found, scores = list(documents), list(records)
    papers = {(one.label, one.task, one.metric): one for one in expected}
    rows = []
    for one in expected:
        base = papers.get(("base", one.task, one.metric)) if one.label != "base" else None
        for language, value in one.values.items():
            task = one.task.format(lang=language, flores=find(language).flores)
            ours = _average(scores, one.label, task, one.metric)
            row = {
                "model": one.label, "task": task, "language": language, "metric": one.metric, "paper": value, "ours": ours,
                "difference": ours - value, "source": one.source,
            }  # fmt: skip
            if base and language in base.values:
                row |= _compare_lifts(one, task, value - base.values[language], found)
            rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _average(records: Iterable[Record], label: str, task: str, metric: str) -> float:
    """Mean over the seeds of one model; nan where it was not measured."""
    values = [
        result.metrics[metric].value
        for record in records
        if record.label == label and (result := record.tasks.get(task)) and metric in result.metrics
    ]
    return float(np.mean(values)) if values else np.nan


def _compare_lifts(one: PaperScores, task: str, lift: float, documents: Sequence[Documents]) -> dict[str, object]:
    """The lifts of both, with the interval of ours; documents of a metric of the whole corpus have none."""
    runs: Mapping[str, list[Documents]] = {
        label: [found for found in documents if (found.label, found.task, found.metric) == (label, task, one.metric)]
        for label in (one.label, "base")
    }
    turned = -lift if find_metric(one.metric).lower_is_better else lift
    known: dict[str, object] = {"paper_lift": turned}
    if not all(runs.values()):
        return known
    try:
        ours = compare_runs({task: runs[one.label]}, {task: runs["base"]}, one.label)
    except UserError:  # measured under different settings: there is no lift to set beside the paper's
        return known
    return {**known, "our_lift": ours.value, "low": ours.low, "high": ours.high, "agrees": ours.low <= turned <= ours.high}
