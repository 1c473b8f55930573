"""Curves of lift against cost, from adapters that were kept before their training ended (``train.measure_at``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from xlift.harness.evaluation.records import Record
from xlift.leaderboard.analysis.comparisons import compare_languages, tabulate
from xlift.leaderboard.analysis.signal import Place, pool_spread, share_of_order_kept
from xlift.leaderboard.loading.scores import Documents, fill_in
from xlift.tasks.benchmarks import measured_group

COLUMNS = (
    "suite", "method", "benchmark", "metric", "kind", "share", "tokens_trained", "tokens_generated", "value", "low", "high", "p", "seeds",
    "note",
)  # fmt: skip

LATE = 0.75
"""An adapter that was kept at this share of the budget or later counts as one of the last points of its training."""
ORDER = ("suite", "benchmark", "metric", "kind", "share", "kept", "methods")


@dataclass(frozen=True)
class Kept:
    """One model with its scores: the base, or an adapter at a share of its training."""

    record: Record
    documents: tuple[Documents, ...]


def tabulate_curves(models: Iterable[Kept]) -> pd.DataFrame:
    """Method minus base at each share of the budget (1 is the end): one row for each suite, method, benchmark, metric, kind and share.

    Only suites with points before the end have rows, on the likelihood benchmarks on which the points were measured. ``value``, ``low`` and
    ``high`` are in the metric's own unit and turned so that more is better. ``tokens_trained`` and ``tokens_generated`` are means over
    seeds up to that point; rows are generated before the training begins, so each point has all of their tokens. Nothing is corrected for
    the number of comparisons, because a curve shows a course, and the tables test its end.
    """
    suites: dict[str, list[Kept]] = defaultdict(list)
    for one in models:
        suites[one.record.suite].append(one)
    tables = [_tabulate_suite(found) for found in suites.values() if any(one.record.share < 1 for one in found)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))


def tabulate_order(curves: pd.DataFrame) -> pd.DataFrame:
    """How much of the methods' final order there is at each earlier share (decision accuracy): one row for each suite, benchmark, metric,
    kind and share, with ``kept``, the share of pairs of methods in the same order as at the end, and the number of ``methods``."""
    rows = []
    for names, found in curves.groupby(["suite", "benchmark", "metric", "kind"], sort=False):
        by_share: dict[float, dict[str, float]] = defaultdict(dict)
        for row in found[found["value"].notna()].to_dict("records"):  # without a base there is no lift
            by_share[float(row["share"])][row["method"]] = row["value"]
        for share in sorted(share for share in by_share if share < 1):
            kept = share_of_order_kept(by_share[share], by_share.get(1.0, {}))
            suite, benchmark, metric, kind = names
            named = {"suite": suite, "benchmark": benchmark, "metric": metric, "kind": kind}
            rows.append({**named, "share": share, "kept": kept, "methods": len(by_share[share])})
    return pd.DataFrame(rows, columns=list(ORDER))


def measure_late_noise(models: Iterable[Kept]) -> dict[Place, float]:
    """How much a score changes at the end of one training: the standard deviation of the means of its last points, by suite, task and
    metric.

    The last points are those at ``LATE`` of the budget or later, including the end. They are pooled over methods and seeds. Trainings
    without such a point beside the end have no value. Some of the change is training that still continued, and not noise.
    """
    courses: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for kept in models:
        if kept.record.seed is not None and kept.record.share >= LATE:
            for one in kept.documents:
                training = (one.suite, one.task, one.metric, one.label, str(one.seed), one.comparability)
                courses[training].append(float(fill_in(one.columns.values).mean()))
    found: dict[Place, list[list[float]]] = defaultdict(list)
    for (suite, task, metric, *_), means in courses.items():
        found[suite, task, metric].append(means)
    spreads = {place: pool_spread(some) for place, some in found.items()}
    return {place: spread for place, spread in spreads.items() if not np.isnan(spread)}


def _tabulate_suite(models: Sequence[Kept]) -> pd.DataFrame:
    base = [one for kept in models if kept.record.label == "base" for one in kept.documents]
    asked = {one.task for kept in models if kept.record.share < 1 for one in kept.documents if measured_group(one.task) == "likelihood"}
    curved = {kept.record.label for kept in models if kept.record.share < 1}
    shares: dict[float, list[Kept]] = defaultdict(list)
    for kept in models:
        if kept.record.label in curved:
            shares[kept.record.share].append(kept)
    tables = []
    for share, found in sorted(shares.items()):
        documents = [one for kept in found for one in kept.documents]
        table = tabulate(compare_languages([one for one in (*base, *documents) if one.task in asked]))
        if table.empty:
            continue
        costs = _average_costs(found)
        for name in ("tokens_trained", "tokens_generated"):
            table[name] = [costs[method].get(name, np.nan) for method in table["method"]]
        tables.append(table.assign(share=share)[list(COLUMNS)])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))


def _average_costs(found: Iterable[Kept]) -> dict[str, Mapping[str, float]]:
    """The means over seeds, by method, of the tokens trained and generated."""
    seen: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for kept in found:
        cost, label = kept.record.cost, kept.record.label
        for name, stage, key in (("tokens_trained", "fit", "tokens_trained"), ("tokens_generated", "prepare", "generated_tokens")):
            value = cost.get(stage, {}).get(key)
            if isinstance(value, int | float):
                seen[label][name].append(float(value))
    return {label: {name: sum(values) / len(values) for name, values in costs.items()} for label, costs in seen.items()}
