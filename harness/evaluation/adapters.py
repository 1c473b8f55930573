"""The adapter behind a record, found again."""

from __future__ import annotations

from pathlib import Path

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import Record
from xlift.harness.models.adapters import Adapter, resolve


def find_adapter(run: Path, record: Record) -> Adapter | None:
    """The adapter that a record was measured with, by its hash: among the run's own, else where the record says; None where it is gone."""
    given = record.adapter or {}
    for place in [*map(str, sorted(run.glob("fit-*/adapter"))), str(given.get("name", ""))]:
        try:
            adapter = resolve(place)
        except UserError:
            continue
        if adapter.sha256 == given.get("sha256"):
            return adapter
    return None
