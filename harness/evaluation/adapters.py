"""Finding the adapter of a measurement again."""

from __future__ import annotations

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import Measurement
from xlift.harness.models.adapters import Adapter, resolve


def find_adapter(measured: Measurement) -> Adapter | None:
    """The adapter that was measured, known by its hash: among the run's own, else at its place at that time; None if it is gone."""
    given = measured.record.adapter or {}
    lay = measured.adapter or str(given.get("name", ""))  # a record of xlift 0.1 names the folder as it was typed
    for place in [*map(str, sorted(measured.stage.parent.glob("fit-*/adapter"))), lay]:
        try:
            adapter = resolve(place)
        except UserError:
            continue
        if adapter.sha256 == given.get("sha256"):
            return adapter
    return None
