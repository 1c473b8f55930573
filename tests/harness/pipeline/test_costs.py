"""What making an adapter took, over the rounds that made it."""

import json
from pathlib import Path
from typing import Any

import pytest

from xlift.harness.core.errors import UserError
from xlift.harness.pipeline.costs import sum_costs

ROWS = {
    "rows": 20,
    "seconds": 1.5,
    "generated_tokens": 300,
    "thinking_tokens": 120,
    "thinking_cut": 2,
    "tokens_read": 50,
    "translated": {"en-es: self": {"asked": 9, "failed": 1}},
    "losses": {"es/qa": 0.5},
}
FIT = {
    "steps": 4, "trained_parameters": 4096, "tokens_trained": 1000, "response_tokens": 400, "epochs": 1.5, "padding_share": 0.1, "rows": 20,
    "rows_cut": 2, "rows_dropped": 1, "seconds": 2.25, "peak_memory_mib": 900, "device": "cpu", "arithmetic": "float32",
    "products": "torch", "final_loss": 2.5, "curve": [[4, 1000, 2.5]], "reward_margin": None, "reward_accuracy": None, "terms": {},
    "resumed_from_step": 3, "processes": 1, "parts": 1,
}  # fmt: skip


def write(root: Path, name: str, **manifest: Any) -> Path:
    (root / name).mkdir()
    (root / name / "manifest.json").write_text(json.dumps({"label": "m", "inputs": {}, "corpora": [], **manifest}))
    return root / name


def test_one_round_costs_what_its_stages_say(tmp_path: Path) -> None:
    stages = [write(tmp_path, "prepare-1", stage="prepare", **ROWS), write(tmp_path, "fit-1", stage="fit", report=FIT)]
    assert sum_costs(stages) == {"prepare": ROWS, "fit": {key: value for key, value in FIT.items() if key != "curve"}}


def test_rounds_add_up(tmp_path: Path) -> None:
    """Sums, the larger peak, and of all else what the last round says."""
    later = {**ROWS, "rows": 12, "seconds": 0.25, "generated_tokens": 5, "thinking_cut": 1, "translated": {}, "losses": {}}
    second = {**FIT, "steps": 2, "tokens_trained": 500, "response_tokens": 100, "epochs": 0.25, "rows": 12, "seconds": 1.0}
    second |= {"peak_memory_mib": 800, "final_loss": 1.5, "reward_margin": 0.5, "resumed_from_step": None}
    stages = [
        write(tmp_path, "prepare-1", stage="prepare", **ROWS), write(tmp_path, "fit-1", stage="fit", report=FIT),
        write(tmp_path, "prepare-2", stage="prepare", **later), write(tmp_path, "fit-2", stage="fit", report=second),
    ]  # fmt: skip
    costs = sum_costs(stages)
    thinking = {"thinking_tokens": 240, "thinking_cut": 3, "tokens_read": 100}
    assert costs["prepare"] == {"rows": 32, "seconds": 1.75, "generated_tokens": 305, **thinking, "translated": {}, "losses": {}}
    fit = costs["fit"]
    assert (fit["steps"], fit["tokens_trained"], fit["response_tokens"], fit["epochs"]) == (6, 1500, 500, 1.75)
    assert (fit["rows"], fit["seconds"], fit["peak_memory_mib"]) == (32, 3.25, 900)
    assert (fit["final_loss"], fit["reward_margin"], fit["resumed_from_step"]) == (1.5, 0.5, None)


def test_a_profile_trains_nothing_and_a_base_costs_nothing(tmp_path: Path) -> None:
    stages = [write(tmp_path, "prepare-1", stage="prepare", **ROWS), write(tmp_path, "fit-1", stage="fit", report={})]
    assert sum_costs(stages)["fit"] == {}
    assert sum_costs([]) == {}


def test_what_is_gone_or_damaged_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="prepare-9: this stage, .* is gone; run the suite again"):
        sum_costs([tmp_path / "prepare-9"])
    broken = write(tmp_path, "fit-1", stage="fit", report={**FIT, "steps": "many"})
    with pytest.raises(UserError, match="fit-1: manifest: report: steps: .*'many'"):
        sum_costs([broken])
