"""A choice among profiles through the pipeline: learnt on training items, measured beside its controls, reported and pushed."""

import json
from pathlib import Path
from typing import Any

import pytest

from xlift.harness.config.suite import Suite, read_suite
from xlift.harness.evaluation.records import read_records
from xlift.harness.models.adapters import POLICY, resolve
from xlift.harness.pipeline.run import run_suite
from xlift.harness.publishing.push import prepare_package
from xlift.results import load_results


def suite_of(base: Path) -> Suite:
    chosen = {"corpus": "alpaca", "items": 10, "max_tokens": 8, "profiles": ["plain", "named"], "max_characters": 200}
    methods = {name: {"method": "query_policy", "options": {**chosen, "choose": name}} for name in ("learnt", "static", "random", "named")}
    values: dict[str, Any] = {
        "name": "small", "base": {"model": str(base), "hub_id": "org/tiny"}, "data": {"samples": "always"}, "methods": methods,
        "languages": {"train": ["es"], "evaluate": ["es"]}, "engine": {"backend": "hf", "dtype": "float32"},
        "evaluate": {"tasks": ["xlift_xquad_es"], "limit": 4},
    }  # fmt: skip
    return read_suite(values, "test")


@pytest.mark.usefixtures("in_process")
def test_a_choice_is_measured_reported_and_pushed(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # what a random model says has no word of any answer, so that all profiles would score 0
    monkeypatch.setattr("xlift.methods.query_policy.measure_rouge_l", lambda text, answer: len(text) % 5 / 4)
    root = run_suite(suite_of(tiny_base), tmp_path)
    records = {record.label: record for record in read_records([root]).records}
    kinds = {label: record.kind for label, record in records.items()}
    assert kinds == {"base": None, "learnt": "policy", "static": "policy", "random": "policy", "named": "profile"}
    assert records["learnt"].chosen_on == "alpaca, 10 training items of each language" and records["learnt"].extra_parameters == 0
    assert {label for label, record in records.items() if record.control} == {"static", "random", "named"}
    said: Any = records["random"].profile
    assert said["answers"] == sum(said["chosen"].values()) == 4 and {*said["chosen"]} <= {"plain", "named"}
    table = load_results(root).policies()
    assert sorted(table["model"]) == ["learnt", "random", "static"] and {*table["best_single"]} <= {"base", "named"}
    folder = next(root.glob("fit-learnt*/adapter"))
    assert resolve(folder).peft_type == POLICY and json.loads((folder / "xlift.json").read_text())["policy"]["weights"]["es"]
    facts, files = prepare_package(folder, "lab/mine", None)
    assert sorted(file.path for file in files) == ["README.md", "evaluation.json", "xlift.json"]
    text = next(file for file in files if file.path == "README.md").read().decode()
    assert "A choice among inference profiles for" in text and "the highest weighted sum of features of the user's last turn" in text
    assert facts.record is not None and "Numbers of the method were chosen on" in text
