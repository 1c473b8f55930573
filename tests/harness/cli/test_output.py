"""Tables on a terminal of 80 columns."""

import pandas as pd
import pytest

from xlift.harness.cli.output import print_table


def test_columns_that_do_not_fit_stand_in_further_blocks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    wide = pd.DataFrame(
        {"task": ["xlift_mgsm_direct_en"] * 2, "items": [4, 250], **{f"m{number}": ["0.250 ±0.250 (+0.250)", ""] for number in range(4)}}
    )
    print_table(wide, "Scores", keys=2)
    out = capsys.readouterr().out.splitlines()
    assert max(map(len, out)) <= 80 and not [line for line in out if line != line.rstrip()]
    assert [line.split() for line in out if line.startswith("task")] == [["task", "items", "m0", "m1"], ["task", "items", "m2", "m3"]]
    assert out.count("Scores") == 1 and sum("250" in line for line in out) == 4


def test_without_a_terminal_no_row_is_broken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    print_table(pd.DataFrame({f"column {number}": ["x" * 20] for number in range(10)}))
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_brackets_in_a_cell_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(pd.DataFrame({"to do": ["pip install xlift[vllm]"]}))
    assert "xlift[vllm]" in capsys.readouterr().out


def test_words_are_not_broken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_table(pd.DataFrame({"task": ["xlift_language_confusion"], "about": ["which language is it"]}))
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["task", "about"], ["xlift_language_confusion", "which", "language"], ["is", "it"],
    ]  # fmt: skip
    print_table(pd.DataFrame({"task": ["xlift_language_confusion", "b"], "from": ["ORG/A-LONG-NAME", ""], "rows": [3, 4]}))
    assert capsys.readouterr().out == "xlift_language_confusion\n  from: ORG/A-LONG-NAME; rows: 3\nb\n  rows: 4\n"
