"""``xlift reproduce``: a row of a record is run again by itself, and what would go wrong is found out before."""

import json
from pathlib import Path
from typing import Any

import pytest
from result_folders import write_run

import xlift
import xlift.records
from xlift.harness.core.errors import UserError

TASK = "xlift_mgsm_direct_es"
SUITE = {
    "name": "s",
    "languages": {"train": ["es"], "evaluate": ["es"]},
    "methods": {"mine": {"method": "cross_lingual"}, "other": {"method": "pivot_only"}},
    "evaluate": {"tasks": [TASK], "adapters": {"given": "adapter"}},
    "resources": {"devices": ["7"]},
    "expected": [{"label": "other", "task": TASK, "metric": "accuracy", "values": {"es": 0.5}, "source": "a paper"}],
}


def write_record(root: Path, **changes: Any) -> Path:
    for label, values in (("base", [0.0] * 40), ("mine", [1.0] * 40)):
        write_run(root, label, {TASK: values}, seed=None if label == "base" else 0)
    (root / "suite.resolved.json").write_text(json.dumps({**SUITE, **changes}))
    return root


def refuse_work(*_: object, **__: object) -> None:
    pytest.fail("a run was begun")


def test_a_row_is_run_by_itself_with_answers_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, asked = write_record(tmp_path / "s"), []

    def run(suite: xlift.Suite, runs: Path, *, wait: bool) -> xlift.Results:
        asked.append(suite)
        return xlift.load_results(write_record(tmp_path / "runs" / suite.name))

    monkeypatch.setattr(xlift.records, "run", run)
    table = xlift.reproduce(record, "mine", tmp_path / "runs", by="B")
    (suite,) = asked
    assert suite.name == "s-again" and list(suite.methods) == ["mine"] and not suite.evaluate.share_answers
    assert (suite.evaluate.adapters, suite.resources.devices, suite.expected) == ({}, (), ())
    assert list(table["agrees"]) == [True]
    assert json.loads((tmp_path / "runs" / "s-again" / "reproduced-mine.json").read_text())["by"] == "B"


@pytest.mark.parametrize(
    ("changes", "label", "says"),
    [
        ({}, "mien", "'mien': no method of .*s; did you mean 'mine'[?] known: mine"),
        ({}, "other", "other was not measured in it, so a new run has no counterpart"),
        ({"methods": ["mine"]}, "mine", "methods: must be keys with values below it"),
        ({"name": None}, "mine", "name: must be a text"),
        ({"evaluate": 3}, "mine", "evaluate: must be keys with values below it"),
    ],
)
def test_what_cannot_be_run_again_is_one_line_before_any_work(
    changes: dict[str, Any], label: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlift.records, "run", refuse_work)
    with pytest.raises(UserError, match=says):
        xlift.reproduce(write_record(tmp_path / "s", **changes), label, tmp_path / "runs")


@pytest.mark.parametrize(
    ("label", "seeds", "says"),
    [("mine", [1], "seed 1: mine of .* has 0"), ("still", [0], "still of .* trains nothing, so it has no seeds")],
)
def test_seeds_are_those_of_the_row(label: str, seeds: list[int], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlift.records, "run", refuse_work)
    record = write_record(tmp_path / "s", methods={**SUITE["methods"], "still": {"method": "language_neurons"}})  # type: ignore[dict-item]
    write_run(record, "still", {TASK: [1.0] * 40}, adapter="n")
    with pytest.raises(UserError, match=says):
        xlift.reproduce(record, label, tmp_path / "runs", seeds=seeds)
