"""The results of a probe as files: numbers and a chart."""

from __future__ import annotations

from pathlib import Path

from xlift.harness.core.errors import UserError
from xlift.harness.core.store import write_json
from xlift.harness.diagnostics.records import PROBE, Probe
from xlift.leaderboard.site.charts import write_file
from xlift.leaderboard.site.probe_charts import draw_probe

CHART = "probe.svg"


def write_probe(found: Probe, folder: Path) -> list[Path]:
    """Write ``probe.json``, and ``probe.svg`` if there is a language beside the pivot. Raises UserError if that is not possible."""
    drawn = draw_probe(found)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / PROBE, found.model_dump(mode="json"))
        if drawn:
            (folder / CHART).write_text(write_file(drawn), encoding="utf-8")
        else:
            (folder / CHART).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot be written ({error.strerror}); choose another folder with --out") from None
    return [folder / PROBE, *([folder / CHART] if drawn else [])]
