"""xlift show: the samples it chooses are those of the site, and nothing a model wrote reaches the terminal raw."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_folders import write_run
from rich.console import Console
from typer.testing import CliRunner

from xlift.harness.cli import show
from xlift.harness.cli.main import app, main
from xlift.harness.core.errors import UserError
from xlift.leaderboard.loading import foreign, runs
from xlift.leaderboard.loading.samples import MARKS, read_sheet
from xlift.leaderboard.loading.select_samples import select
from xlift.leaderboard.site.text import spell_out

TASK = "xlift_mgsm_direct_es"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A base that gets documents 0 and 1 right, and a method with two seeds: 0 and 2, and 0 alone."""
    root = tmp_path / "runs" / "small"
    write_run(root, "base", {TASK: [1.0, 1.0, 0.0, 0.0]}, suite="small")
    write_run(root, "m", {TASK: [1.0, 0.0, 1.0, 0.0]}, suite="small", seed=0)
    write_run(root, "m", {TASK: [1.0, 0.0, 0.0, 0.0]}, suite="small", seed=1, adapter="c")
    return root


def ids(*arguments: Any, **options: Any) -> list[str]:
    return [sample.id for sample in select(*arguments, **options).samples]


def test_filters_by_hand(results: Path) -> None:
    assert ids(results, TASK) == ["0", "1", "2", "3"]
    assert ids(results, TASK, marks=["wrong"]) == ["1", "3"]
    assert ids(results, TASK, marks=["flipped"]) == ["1", "2"]
    assert ids(results, TASK, marks=["flipped", "wrong"]) == ["1"]
    assert ids(results, TASK, model="m-seed1", marks=["flipped"]) == ["1"]
    assert ids(results, TASK, model="m-seed1", diff="m-seed0", marks=["flipped"]) == ["2"]
    assert ids(results, TASK, model="base", marks=["off-target"]) == ["2", "3"]


def test_the_marks_are_those_of_the_site(results: Path) -> None:
    collection = runs.collect([results], foreign.read)
    base = collection.runs[0]
    for run in collection.runs:
        sheet = read_sheet(run, base, TASK)
        assert sheet
        for mark in MARKS if run is not base else ("wrong", "off-target"):
            name = run.record.label if run is base else f"m-seed{run.record.seed}"
            assert ids(results, TASK, model=name, marks=[mark]) == [sample.id for sample in sheet.marked(mark)]


def test_the_first_method_is_shown_and_the_others_are_named(results: Path) -> None:
    done = CliRunner().invoke(app, ["show", str(results), TASK, "--limit", "1"])
    assert done.exit_code == 0
    head, others, _, title, *fields = done.stdout.splitlines()
    assert head == f"{TASK} by m-seed0: 4 documents; the first 1, more with --limit"
    assert others == "also measured: base, m-seed1"
    assert title == "0"
    assert fields == ["prompt: ¿0?", "reference: siete", "answer: ocho", "extracted: 8", "scores: accuracy 1, off_target 0"]


def test_beside_the_base_in_json(results: Path) -> None:
    done = CliRunner().invoke(app, ["show", str(results), TASK, "--diff", "base", "--wrong", "--json"])
    found = json.loads(done.stdout)
    assert (found["model"], found["diff"], found["metric"], found["documents"], found["selected"]) == ("m-seed0", "base", "accuracy", 4, 2)
    first = found["samples"][0]
    assert (first["id"], first["base"], first["base_extracted"], first["marks"]) == ("1", "ocho", "8", ["wrong", "flipped", "off-target"])
    assert first["scores"]["accuracy"] == 0 and first["base_scores"]["accuracy"] == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"run": "smal"}, "smal: no such run folder; did you mean 'small'?"),
        ({"task": "xlift_mgsm_direct_en"}, "did you mean 'xlift_mgsm_direct_es'?"),
        ({"model": "m-sed1"}, "--model 'm-sed1': no such model in these results; did you mean 'm-seed1'?"),
        ({"diff": "bse"}, "did you mean 'base'?"),
        ({"model": "base", "flipped": True}, "--flipped needs two models"),
    ],
)
def test_a_wrong_name_is_one_line(
    results: Path, change: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["show", str(results.parent / change.pop("run", "small")), change.pop("task", TASK)]
    for name, value in change.items():
        arguments += [f"--{name}", *([] if value is True else [value])]
    monkeypatch.setattr(sys, "argv", ["xlift", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    assert (stop.value.code, out, len(err.strip().splitlines())) == (2, "", 1)
    assert says in err


def test_models_measured_differently_are_not_set_side_by_side(results: Path) -> None:
    write_run(results, "other", {TASK: [1.0]}, suite="small", key="limited")
    assert ids(results, TASK, model="other") == ["0"]
    with pytest.raises(UserError, match="not measured on the same documents"):
        select(results, TASK, model="other", diff="base")


def test_samples_that_are_gone_are_said(results: Path) -> None:
    for path in results.glob("evaluate-*/samples_*.jsonl"):
        path.unlink()
    with pytest.raises(UserError, match="samples of xlift_mgsm_direct_es by m \\(seed 0\\) are gone"):
        select(results, TASK)


def test_thinking_stands_apart_from_the_answer(tmp_path: Path) -> None:
    write_run(tmp_path / "s", "base", {TASK: [0.0]}, answers=["<think>\nEr war da.\n</think>\n\nJa."])
    done = CliRunner().invoke(app, ["show", str(tmp_path / "s"), TASK, "--model", "base"])
    assert "thinking: Er war da.\nanswer: Ja.\n" in done.stdout
    write_run(tmp_path / "t", "base", {TASK: [0.0]}, answers=["<think>\nEr war da."])
    done = CliRunner().invoke(app, ["show", str(tmp_path / "t"), TASK, "--model", "base"])
    assert "thinking, never ended: Er war da.\nanswer: \n" in done.stdout


@pytest.mark.parametrize("width", [20, 40, 72, 100])
def test_a_terminal_of_any_width_gets_the_whole_text_and_nothing_raw(tmp_path: Path, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "\x1b[31m[bold]uno\u202edos\u200f \x9b2J " + "palabra " * 40 + "你好世界" * 10
    write_run(tmp_path / "s", "base", {TASK: [0.0]}, answers=["base says [/]"])
    write_run(tmp_path / "s", "m", {TASK: [1.0]}, seed=0, answers=[hostile])
    found = select(tmp_path / "s", TASK, diff="base")
    console = Console(width=width, force_terminal=True, color_system=None, record=True, highlight=False)
    monkeypatch.setattr("rich.console.Console", lambda **options: console)
    with console.capture() as captured:
        show._print(found, found.samples, [])
    lines = re.sub("\x1b\\[[0-9;]*m", "", captured.get()).splitlines()
    assert not RAW.search("".join(lines))
    assert all(Console().render_str(line, markup=False).cell_len <= width for line in lines)
    whole = "".join("".join(lines).split())
    assert whole.count("palabra") > 30 if width >= 40 else "<U+001B>" in whole
    assert "[bold]" in whole and "[/]" in whole


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(), max_size=80))
def test_no_text_drives_the_terminal(text: str) -> None:
    shown = spell_out(text)
    assert not RAW.search(shown)
    shown.encode("utf-8")


def test_marks_are_named_and_the_rest_is_counted() -> None:
    assert spell_out("a\u202eb\u200f\n\tc\x1b") == "a<U+202E>b<U+200F>\n    c<U+001B>"
    assert spell_out("x" * 4010) == "x" * 4000 + "<10 more characters>"
