"""What was measured beside what a paper reports."""

from pathlib import Path

import numpy as np
import pytest
from result_folders import write_run
from typer.testing import CliRunner

import xlift
from xlift.harness.cli.main import app
from xlift.harness.config.suite import Suite, read_suite
from xlift.harness.core.errors import UserError

TASK = "xlift_mgsm_direct_es"


def suite(**changes: object) -> Suite:
    expected = [
        {"label": "base", "task": "xlift_mgsm_direct_{lang}", "metric": "accuracy", "values": {"es": 0.5, "de": 0.4}, "source": "table 1"},
        {"label": "m", "task": "xlift_mgsm_direct_{lang}", "metric": "accuracy", "values": {"es": 0.6, "de": 0.5}, "source": "table 1"},
    ]
    values = {
        "name": "paper", "languages": {"train": ["es"], "evaluate": ["es", "de"]}, "methods": {"m": {"method": "cross_lingual"}},
        "evaluate": {"tasks": ["xlift_mgsm_direct_{lang}"]}, "expected": expected, **changes,
    }  # fmt: skip
    return read_suite(values, "test")


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """The base has 8 of 20 right, the method 12, four of them new; German was not measured."""
    root = tmp_path / "paper"
    write_run(root, "base", {TASK: [1.0] * 8 + [0.0] * 12}, suite="paper")
    write_run(root, "m", {TASK: [1.0] * 12 + [0.0] * 8}, suite="paper", seed=0)
    return root


def test_ours_beside_the_papers(measured: Path) -> None:
    """Ours: 0.4 and 0.6, a lift of 0.2; the paper's: 0.5 and 0.6, a lift of 0.1, which the interval of ours holds."""
    rows = xlift.load_results(measured).compare_paper(suite()).to_dict("records")
    assert [(row["model"], row["language"]) for row in rows] == [("base", "es"), ("base", "de"), ("m", "es"), ("m", "de")]
    base, absent, method, _ = rows
    assert (base["paper"], base["ours"]) == (0.5, 0.4) and base["difference"] == pytest.approx(-0.1)
    assert np.isnan(absent["ours"]) and absent["paper"] == 0.4
    assert method["difference"] == pytest.approx(0.0) and method["our_lift"] == pytest.approx(0.2)
    assert method["paper_lift"] == pytest.approx(0.1) and method["low"] < 0.1 < method["high"] and method["agrees"]


def test_expected_scores_of_no_method_are_refused() -> None:
    odd = [{"label": "mm", "task": "t", "metric": "accuracy", "values": {}, "source": "x"}]
    with pytest.raises(UserError, match=r"expected: 'mm' is no method of the suite; did you mean 'm'"):
        suite(expected=odd)


def test_a_suite_without_expected_scores_is_one_line(measured: Path) -> None:
    with pytest.raises(UserError, match="this suite has no expected scores"):
        xlift.load_results(measured).compare_paper(suite(expected=[]))


def test_before_a_run_the_command_shows_the_papers_numbers(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["compare-paper", "lidr-llama3-8b", "--runs", str(tmp_path)])
    assert found.exit_code == 0, found.output
    assert "0.72" in found.output and "arXiv:2410.08964" in found.output and "Nothing of it was measured" in found.output
