"""``xlift report`` as people see it: which way is better, what is significant, and a last sentence."""

from pathlib import Path

import pytest
from result_folders import write_run
from typer.testing import CliRunner

from xlift.harness.cli.main import app

TASK = "xlift_mgsm_direct_es"


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    for label, right in (("base", 10), ("better", 35), ("worse", 0)):
        write_run(tmp_path / "s", label, {TASK: [1.0] * right + [0.0] * (40 - right)}, adapter=label[0])
    return tmp_path / "s"


def test_arrows_say_what_is_better_and_stars_what_is_significant(finished: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(finished)])
    assert done.exit_code == 0
    assert "accuracy ↑" in done.output and "off_target ↓" in done.output
    assert "0.875 ±0.100 (+0.625*)" in done.output and "0.000 ±0.100 (-0.250*)" in done.output
    last = done.output.rstrip().splitlines()[-1]
    assert last.startswith("The best supported method is better: it lifts MGSM in es by 62.5 points")


def test_colours_mark_what_is_significant(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    said = CliRunner().invoke(app, ["report", str(finished)], color=True).output
    assert "\x1b[32m0.875 ±0.100 (+0.625*)" in said and "\x1b[31m0.000 ±0.100 (-0.250*)" in said


def test_a_report_whose_base_lost_its_samples_says_so(finished: Path) -> None:
    """More items are not what is wrong with it."""
    for path in finished.glob("evaluate-*/samples_*"):
        if '"label": "base"' in (path.parent / "manifest.json").read_text():
            path.unlink()
    lines = CliRunner().invoke(app, ["report", str(finished)]).output.rstrip().splitlines()
    assert f"left out: base: {TASK}: its samples are gone" in lines
    assert lines[-1] == "No method can be compared with the base: MGSM in es (the base has no scores by document on es)."
