"""``xlift demo``: the run's report, two samples, and the leaderboard."""

from pathlib import Path

import pytest
from result_folders import write_run

import xlift
from xlift.harness.cli import demo as command

TASK = "xlift_flores_eng_Latn_spa_Latn"


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runs folder in which the demo has run, with a base and one method."""
    for label, scores in (("base", [10.0, 20.0, 30.0]), ("cross_lingual-es", [20.0, 30.0, 40.0])):
        write_run(tmp_path / "demo", label, {TASK: scores}, suite="demo", metric="chrf")
    monkeypatch.setattr(xlift, "run", lambda suite, runs: xlift.load_results(Path(runs) / suite.name))
    return tmp_path


def test_the_demo_ends_with_two_samples_and_the_page(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.demo(runs=finished, out=finished / "site")
    said = capsys.readouterr().out
    assert f"{TASK} by cross_lingual-es, beside base: 3 documents; the first 2" in said
    assert said.endswith(f"the leaderboard of this run:\n{finished / 'site' / 'index.html'}\n")
    assert (finished / "site" / "index.html").is_file()


def test_a_folder_of_something_else_is_refused_before_any_work(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (finished / "notes").mkdir()
    (finished / "notes" / "mine.txt").touch()
    monkeypatch.setattr(xlift, "run", lambda suite, runs: pytest.fail("minutes of work were done"))
    with pytest.raises(xlift.UserError, match="notes: holds files that are not a site of xlift; choose an empty folder with --out"):
        command.demo(runs=finished, out=finished / "notes")


def test_a_demo_of_other_tasks_shows_no_samples_of_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "demo", "base", {"xlift_mgsm_direct_es": [1.0, 0.0]}, suite="demo")
    monkeypatch.setattr(xlift, "run", lambda suite, runs: xlift.load_results(Path(runs) / suite.name))
    command.demo(["methods={}"], runs=tmp_path, out=tmp_path / "site")
    assert "documents" not in capsys.readouterr().out and (tmp_path / "site" / "index.html").is_file()
