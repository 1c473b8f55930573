"""``xlift signal`` and ``xlift plan-items`` as a user calls them."""

import json
from pathlib import Path

import pytest
from result_folders import write_run
from typer.testing import CliRunner

from xlift.harness.cli.main import app

TASK = "xlift_mgsm_direct_es"


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    root = tmp_path / "s"
    write_run(root, "base", {TASK: [0.0] * 15 + [1.0] * 5, "xlift_mgsm_direct_en": [0.0] * 20})
    for number, label in enumerate(("one", "two", "three")):
        right = 6 + 4 * number
        write_run(
            root, label, {TASK: [0.0] * (20 - right) + [1.0] * right, "xlift_mgsm_direct_en": [0.0] * 20}, seed=0, adapter=f"{number}"
        )
    return root


def test_signal_tells_what_tells_and_sets_the_floor_aside(finished: Path) -> None:
    found = CliRunner().invoke(app, ["signal", str(finished)])
    assert found.exit_code == 0, found.output
    assert "xlift_mgsm_direct_es" in found.output
    assert "set aside: xlift_mgsm_direct_en accuracy: no model rises above chance or the floor (base 0)" in found.output
    assert "No agreement of likelihoods with answers" in found.output


def test_signal_as_json(finished: Path) -> None:
    found = CliRunner().invoke(app, ["signal", str(finished), "--json", "--difference", "10"])
    rows = {(row["task"], row["metric"]): row for row in json.loads(found.output)["signal"]}
    row = rows[TASK, "accuracy"]
    assert (row["methods"], row["seeds"], row["noise"], row["step"], row["at_floor"]) == (3, 1, None, 0.1, False)
    assert row["base"] == 0.25 and row["signal"] == pytest.approx(0.2)  # 0.3, 0.5 and 0.7


def test_a_plan_of_items_learns_from_a_pilot(finished: Path, tmp_path: Path) -> None:
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        "name: mine\ndata: {samples: always}\nlanguages: {train: [es], evaluate: [es]}\n"
        "evaluate: {tasks: ['xlift_mgsm_direct_{lang}', 'xlift_xquad_{lang}'], limit: 10}\n"
    )
    found = CliRunner().invoke(app, ["plan-items", str(suite), "--pilot", str(finished), "--json", "--difference", "10"])
    assert found.exit_code == 0, found.output
    mgsm, xquad = json.loads(found.output)
    assert (mgsm["items"], mgsm["available"], mgsm["source"]) == (10, 24, "measured on this task")
    assert xquad["source"].startswith("unknown") and xquad["items_needed"] is None


def test_a_folder_without_results_is_one_line(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["signal", str(tmp_path)])
    assert found.exit_code != 0 and "no finished evaluation in it" in str(found.exception)
