"""Choices among profiles (LEAP) beside what they choose from: the best single profile, and the oracle, the best profile of each item."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import Record
from xlift.leaderboard.loading.scores import Documents, align

METHOD, CHOICE, SINGLE = "query_policy", "policy", "profile"
"""The method, and the kinds of its models: that choose for each item, and that have one profile for all."""


def tabulate_policies(read: Iterable[tuple[Record, Sequence[Documents]]]) -> pd.DataFrame:
    """One row for each suite, choice and task: its ``value``, that of the ``best_single`` profile, the base's own prompt among them, and of
    the ``oracle``.

    The oracle takes for each item the profile that scored best on it, and ``best_single`` is the profile with the best mean: both look at
    the answers of the benchmark, so they are bounds and no methods. Empty where no choice was measured beside a single profile.
    """
    found = [(record, documents) for record, documents in read if record.label == "base" or record.method == METHOD]
    rows: list[dict[str, object]] = []
    for record, documents in found:
        if record.kind != CHOICE:
            continue
        for own in (one for one in documents if one.is_tested):
            singles = {
                other.label: one
                for other, theirs in found
                if other.suite == record.suite and (other.label == "base" or other.kind == SINGLE)
                for one in theirs
                if (one.task, one.metric, one.comparability) == (own.task, own.metric, own.comparability)
            }
            if len(singles) > 1:
                rows.append(_compare(record, own, singles))
    return pd.DataFrame(rows)


def _compare(record: Record, own: Documents, singles: dict[str, Documents]) -> dict[str, object]:
    sheets = {"": own.columns, **{label: one.columns for label, one in singles.items()}}
    try:  # item by item, also where items share a paragraph
        values = own.sign * align({label: replace(columns, groups=None) for label, columns in sheets.items()})
    except UserError as error:
        raise UserError(f"{own.task}: {error}") from None
    means = values.mean(axis=1)
    best = int(means[1:].argmax())
    return {
        "suite": record.suite, "model": record.name, "task": own.task, "metric": own.metric, "items": len(own.columns.ids),
        "value": own.sign * means[0], "best_single": list(singles)[best], "best_single_value": own.sign * means[1 + best],
        "oracle": own.sign * values[1:].max(axis=0).mean(),
    }  # fmt: skip
