"""Recorded scores beside fresh ones."""

import json
from pathlib import Path
from typing import Any

import pytest
from pushable import TASK, write_run

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import Record
from xlift.harness.publishing.package import EVALUATION
from xlift.harness.publishing.reproduction import compare, list_settings, read_recorded, summarise


@pytest.fixture
def recorded(tmp_path: Path) -> Record:
    write_run(tmp_path / "run")
    return Record(**json.loads((tmp_path / "run" / "evaluate-m-seed0-cccc" / "manifest.json").read_text())["record"])


def change(record: Record, value: float = 0.75, key: str = "k" * 16, **engine: Any) -> Record:
    values = record.model_dump()
    values["tasks"][TASK]["metrics"]["accuracy"]["value"] = value
    values["tasks"][TASK]["comparability"] = key
    values["engine"] |= engine
    return Record(**values)


def test_equal_scores_are_reproduced(recorded: Record) -> None:
    rows = compare(recorded, change(recorded, 0.75 + 1e-12))
    assert [(row["difference"], row["otherwise"]) for row in rows] == [(0.0, "")]
    assert summarise("x", rows) == "x: 1 of 1 recorded scores reproduced"


def test_a_difference_is_shown(recorded: Record) -> None:
    [row] = compare(recorded, change(recorded, 0.5))
    assert (row["task"], row["metric"], row["recorded"], row["fresh"], row["difference"]) == (TASK, "accuracy", 0.75, 0.5, -0.25)
    assert summarise("x", [row]) == "x: 0 of 1 recorded scores reproduced"


def test_other_settings_are_named_and_say_nothing(recorded: Record) -> None:
    [row] = compare(recorded, change(recorded, 0.5, key="other", backend="vllm", dtype="bfloat16"))
    assert row["otherwise"] == "backend hf -> vllm, dtype float32 -> bfloat16"
    assert "measured otherwise than recorded (backend hf -> vllm" in summarise("x", [row])
    assert compare(recorded, change(recorded, key="other"))[0]["otherwise"] == "prompts or generation settings"
    assert "no task was measured" in summarise("x", [])


def test_the_day_that_a_template_wrote_is_set_again(recorded: Record) -> None:
    dated = recorded.model_copy(update={"base": {**recorded.base, "date": "2026-11-27"}})
    assert "base.date=2026-11-27" in list_settings(dated)
    assert not any(one.startswith("base.date") for one in list_settings(recorded))


def test_a_record_is_read_or_refused(recorded: Record, tmp_path: Path) -> None:
    assert read_recorded(tmp_path) is None
    path = tmp_path / EVALUATION
    path.write_text(json.dumps({"adapter": recorded.model_dump(mode="json"), "base": None}))
    assert read_recorded(tmp_path) == recorded
    for text in ("{", "[]", "{}", '{"adapter": {}}'):
        path.write_text(text)
        with pytest.raises(UserError, match="damaged|no record of schema version 1"):
            read_recorded(tmp_path)
