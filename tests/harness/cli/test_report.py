"""``xlift report`` as people see it: which way is better, what is significant, and a last sentence."""

import json
from pathlib import Path

import pytest
from result_folders import write_run
from typer.testing import CliRunner

from xlift.harness.cli.main import app
from xlift.harness.core.errors import UserError

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


def test_controls_are_named_once_for_all_tables(finished: Path) -> None:
    write_run(finished, "shuffled", {TASK: [1.0] * 12 + [0.0] * 28}, adapter="c", control=True)
    said = CliRunner().invoke(app, ["report", str(finished)]).output
    assert "Controls, which leave out the idea of their method: shuffled.\n" in said
    assert json.loads(CliRunner().invoke(app, ["report", str(finished), "--json"]).output)["controls"] == ["shuffled"]


def test_lifts_over_a_row_say_which_suites_have_nothing_beside_it(finished: Path) -> None:
    other = finished.parent / "t"
    for label in ("base", "better"):
        write_run(other, label, {"xlift_xquad_es": [0.5] * 40}, suite="t", adapter=label)
    said = CliRunner().invoke(app, ["report", str(finished), str(other), "--over", "worse"]).output
    assert "s: Lift over worse" in said and said.rstrip().endswith("t: nothing to compare with worse.")


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


@pytest.fixture
def crowded(finished: Path) -> Path:
    """Eight models: more than a report shows by themselves."""
    for number, right in enumerate((10, 12, 14, 16, 18)):
        write_run(finished, f"m{number}", {TASK: [1.0] * right + [0.0] * (40 - right)}, adapter=f"{number}")
    return finished


def test_many_models_have_one_line_for_each_method(crowded: Path) -> None:
    said = CliRunner().invoke(app, ["report", str(crowded)]).output
    lines = said.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("method"))
    assert lines[start - 1].split() == ["MGSM"] and lines[start].split() == ["method", "es", "(lift)"]
    assert [line.split()[:2] for line in lines[start + 1 : start + 8]] == [
        ["better", "+62.5"], ["m4", "+20.0"], ["m3", "+15.0"], ["m2", "+10.0"], ["m1", "+5.0"], ["m0", "0.0"], ["worse", "-25.0"],
    ]  # fmt: skip
    assert lines[start + 1].endswith("]*") and "±" not in said
    assert f"Each of the 8 models by itself: xlift report {crowded} --all" in lines


def test_all_models_are_shown_if_asked(crowded: Path) -> None:
    said = CliRunner().invoke(app, ["report", str(crowded), "--all"]).output
    assert "0.875 ±0.100 (+0.625*)" in said and "one line" not in said and "by itself" not in said


def test_significant_lines_are_coloured(crowded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    said = CliRunner().invoke(app, ["report", str(crowded)], color=True).output
    assert "\x1b[32m+62.5 [" in said and "\x1b[31m-25.0 [" in said


def test_lifts_over_a_control_in_place_of_the_base(crowded: Path) -> None:
    said = CliRunner().invoke(app, ["report", str(crowded), "--over", "m4"])
    lines = said.output.splitlines()
    assert said.exit_code == 0 and lines[0].startswith("Lift over m4, in points")
    start = next(number for number, line in enumerate(lines) if line.startswith("method"))
    assert [line.split()[:2] for line in lines[start + 1 :]] == [
        ["better", "+42.5"], ["m3", "-5.0"], ["m2", "-10.0"], ["m1", "-15.0"], ["m0", "-20.0"], ["worse", "-45.0"],
    ]  # fmt: skip
    wrong = CliRunner().invoke(app, ["report", str(crowded), "--over", "m5"])
    assert isinstance(wrong.exception, UserError) and "no measured model is called 'm5'; did you mean 'm" in str(wrong.exception)
