"""What is known of lm-eval's own tasks before a run: from a local copy of a few rows, and of data that are not there."""

import json
from pathlib import Path

import pytest
from foreign_tasks import write_foreign_tasks

import xlift
from xlift.harness.config.suite import Suite
from xlift.harness.evaluation.foreign_tasks import survey_foreign
from xlift.harness.evaluation.tasks import expand_tasks
from xlift.harness.pipeline.dry_run import plan_run


@pytest.fixture
def suite(tmp_path: Path, tiny_base: Path) -> Suite:
    folder = write_foreign_tasks(tmp_path / "tasks")
    away = {"task": "away_es", "dataset_path": "org/nowhere", "dataset_name": "es", "test_split": "test", "output_type": "multiple_choice",
            "doc_to_text": "{{q}}", "doc_to_target": 0, "doc_to_choice": ["a", "b"]}  # fmt: skip
    (folder / "away_es.yaml").write_text(json.dumps(away), encoding="utf-8")
    tasks = ["multiblimp_spa", "multiblimp_fra", "xstorycloze_es", "hellaswag"]
    return xlift.load_suite(
        {
            "name": "foreign", "base": {"model": str(tiny_base)}, "languages": {"evaluate": ["es"]}, "data": {"samples": "always"},
            "evaluate": {"tasks": [*tasks, "xlift_mgsm_direct_es"], "include_path": [str(folder)], "limits": {"multiblimp": 2}},
        }
    )  # fmt: skip


def with_tasks(suite: Suite, *tasks: str) -> Suite:
    return suite.model_copy(update={"evaluate": suite.evaluate.model_copy(update={"tasks": tasks})})


def test_items_and_headline_are_known_where_the_data_are_here(suite: Suite) -> None:
    found = survey_foreign(suite, expand_tasks(suite)[0])
    assert {name: (one.benchmark, one.items, one.metric and one.metric.name, one.likelihood) for name, one in found.items()} == {
        "multiblimp_spa": ("multiblimp_*", 3, "acc", True), "multiblimp_fra": ("multiblimp_*", 3, "acc", True),
        "xstorycloze_es": ("xstorycloze_*", 2, "acc", True), "hellaswag": ("hellaswag", 3, "acc", True),
    }  # fmt: skip


def test_nothing_is_fetched_for_data_that_are_not_here(suite: Suite, unplugged: None, caplog: pytest.LogCaptureFixture) -> None:
    from huggingface_hub import constants

    away = survey_foreign(with_tasks(suite, "away_es"), ["away_es"])["away_es"]
    assert (away.items, away.metric, away.likelihood) == (None, None, True)
    assert "away_es: how many items it has is not known" in caplog.text
    assert not constants.HF_HUB_OFFLINE, "as before"


def test_a_dry_run_counts_them(suite: Suite, tmp_path: Path) -> None:
    """MultiBLiMP's two of three in two languages, two of XStoryCloze, three of HellaSwag, and 24 of MGSM's samples."""
    (row,) = [one for one in plan_run(suite, tmp_path)["stages"] if one["stage"] == "evaluate"]
    assert row["items"] == 2 + 2 + 2 + 3 + 24 and row["seconds"] is not None and row["seconds"] > 0


def test_a_plan_of_items_has_them(suite: Suite) -> None:
    rows = {row["task"]: row for row in xlift.plan_items(suite, difference=10.0).to_dict("records")}
    assert list(rows) == ["multiblimp_spa", "multiblimp_fra", "xstorycloze_es", "hellaswag", "xlift_mgsm_direct_es"]
    spanish = rows["multiblimp_spa"]
    assert (spanish["items"], spanish["available"], spanish["metric"], spanish["step"]) == (2, 3, "acc", 0.1)
    assert spanish["source"] == "assumed: 20% of the items change" and spanish["items_needed"] > 100
    away = xlift.plan_items(with_tasks(suite, "away_es")).to_dict("records")[0]
    assert away["source"] == "unknown: its data are not on this machine" and not away["enough"]
