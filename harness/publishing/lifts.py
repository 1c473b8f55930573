"""An adapter's differences from its base, with intervals, for its card."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from xlift.harness.core.errors import UserError
from xlift.harness.publishing.package import Difference

if TYPE_CHECKING:
    from xlift.harness.evaluation.records import Measurement
    from xlift.harness.publishing.package import Facts

logger = logging.getLogger(__name__)


def measure_lifts(facts: Facts) -> dict[tuple[str, str], Difference]:
    """The difference from the base by (task, metric), paired by item if the samples of both are here."""
    from xlift.harness.publishing.model_card import list_metrics
    from xlift.leaderboard.analysis import comparisons
    from xlift.leaderboard.loading.scores import collect_documents

    if facts.measured is None or facts.base_measured is None:
        return {}
    record = facts.measured.record
    shown = ((result, metric) for result in record.tasks.values() for metric in list_metrics(result))
    wanted = sorted({metric for result, metric in shown if not result.find_metric(metric).whole})
    try:
        scored = collect_documents([facts.base_measured, facts.measured], wanted)
    except UserError as error:
        logger.warning("differences go without intervals: %s", error)
        return {}
    table = comparisons.tabulate_tasks([one for one in scored if one.task in record.tasks])
    known = table[table["value"].notna()] if len(table) else table
    found = {(str(row["task"]), str(row["metric"])): _describe(row["value"], row["low"], row["high"]) for row in known.to_dict("records")}
    return found | _measure_corpora(facts.measured, facts.base_measured)


def _describe(value: float, low: float, high: float) -> Difference:
    return Difference(value=value) if math.isnan(low) else Difference(value=value, low=low, high=high)


def _measure_corpora(measured: Measurement, base: Measurement) -> dict[tuple[str, str], Difference]:
    """``measure_lifts`` for the scores of whole corpora, resampled by document."""
    from xlift.harness.publishing.model_card import list_metrics
    from xlift.leaderboard.analysis import corpus_bootstrap
    from xlift.leaderboard.loading.scores import read_pairs
    from xlift.tasks.benchmarks import find_metric

    found = {}
    for task, result in measured.record.tasks.items():
        for metric in (name for name in list_metrics(result) if find_metric(name).per_document):
            try:
                pairs = [read_pairs(one, task, metric) for one in (measured, base)]
                one = corpus_bootstrap.compare_corpora(pairs[0], pairs[1], result.signatures.get(metric, ""))
                found[task, metric] = _describe(one.value, one.low, one.high)
            except UserError as error:
                logger.warning("%s %s: its difference goes without an interval: %s", task, metric, error)
    return found
