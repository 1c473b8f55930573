"""How good a judge is: what it gets right of the built-in probes, kept beside its replies and named by every win rate that uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xlift.harness.config import digest
from xlift.harness.judges import Judge
from xlift.harness.judging import judge_pairs, name_folder
from xlift.harness.rows import UserError
from xlift.harness.store import explain_disk, write_json
from xlift.tasks.judge import Mode, prompt_sha256
from xlift.tasks.probes import list_probes, score_probes

NONE = "not calibrated"


def calibrate(judge: Judge, mode: Mode, folder: Path) -> dict[str, Any]:
    """Put the probes to a judge; the result is written beside its replies in ``folder`` and returned, with ``rows`` and its ``digest``.

    Raises UserError where the judge fails; what it said by then is kept.
    """
    probes = list_probes()
    judged = judge_pairs(judge, mode, [probe.pair for probe in probes], folder)
    described = judge.describe()
    found = {"judge": described, "mode": mode, "prompt_sha256": prompt_sha256(mode), "rows": score_probes(probes, judged.verdicts)}
    result = {**found, "served": judged.served or None, "digest": digest(found)}
    with explain_disk(folder):
        write_json(_file(folder, described, mode), result)
    return result


def find_calibration(folder: Path, described: dict[str, Any], mode: Mode) -> str:
    """The digest of a judge's calibration in a mode, or "not calibrated", also where the prompts have changed since."""
    path = _file(folder, described, mode)
    if not path.is_file():
        return NONE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return str(found["digest"]) if found["prompt_sha256"] == prompt_sha256(mode) else NONE
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: damaged; calibrate the judge again with --calibrate") from None


def _file(folder: Path, described: dict[str, Any], mode: Mode) -> Path:
    return folder / name_folder(described) / f"calibration-{mode}.json"
