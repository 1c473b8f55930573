"""Samples that are lost cost the comparisons that need them, and no more, on the site as in Python."""

from pathlib import Path

import pytest
from result_folders import TASKS, Page, read_record_of

import xlift
from xlift.harness.core.errors import UserError
from xlift.leaderboard.analysis import board
from xlift.leaderboard.loading import foreign, runs
from xlift.leaderboard.site.builder import build


def test_lost_samples_cost_the_comparison_and_not_the_score(results: Path, tmp_path: Path) -> None:
    for path in results.rglob("samples_*"):
        if read_record_of(path)["label"] == "same":
            path.unlink()
    told = build([results], tmp_path / "site")
    assert [line.rpartition(": ")[0] for line in told] == [
        f"s/{stage}: {task}" for stage in {line.split(":")[0][2:] for line in told} for task in TASKS
    ]
    assert all(line.endswith("its samples are gone") for line in told)
    same = next(row for row in board.make(runs.collect([results], foreign.read)).rows if row.label == "same")
    assert same.rank is None and f"{TASKS[0]}: its samples are gone" in same.notes
    assert same.scores["xlift_mgsm_direct"].value == pytest.approx(10)


def test_a_benchmark_that_all_lost_samples_of_has_a_page_without_ranks(results: Path, tmp_path: Path) -> None:
    for path in results.rglob(f"samples_{TASKS[1]}_*"):
        path.unlink()
    build([results], tmp_path / "site")
    page = Page((tmp_path / "site/benchmarks/xlift_mgsm_direct.html").read_text()).text
    assert page.count(f"no scores by document of {TASKS[1]}: not ranked") == 3


def test_one_lost_file_costs_its_own_row_its_rank(results: Path, tmp_path: Path) -> None:
    next(results.glob("evaluate-stage-1-*/samples_xlift_mgsm_direct_es*")).unlink()
    (group,) = board.make(runs.collect([results], foreign.read)).groups
    assert {row.label: row.rank for row in group.rows} == {"base": 1, "same": 1, "better": None}
    build([results], tmp_path / "site")
    page = Page((tmp_path / "site/benchmarks/xlift_mgsm_direct.html").read_text()).text
    assert "no scores by document of xlift_mgsm_direct_es: not ranked" in page and "1 of 2" in page


def test_lost_samples_cost_one_model_its_comparisons_in_python_as_on_the_site(results: Path) -> None:
    for path in results.rglob("samples_*"):
        if read_record_of(path)["label"] == "same":
            path.unlink()
    found = xlift.load_results(results)
    made = board.make(runs.collect([results], foreign.read))
    lifts = found.lifts()
    assert set(lifts["method"]) == {"better"} and lifts["value"].tolist() == made.lifts["value"].tolist() == [pytest.approx(0.8)] * 4
    assert found.ranks()["model"].tolist() == made.ranks["model"].tolist() == ["better", "base"] * 2, "by accuracy and by off_target"
    assert found.lost == [f"same (seed 0): {task}: its samples are gone" for task in TASKS]
    assert found.conclude()[0].startswith("The best supported method is better")


def test_a_model_that_lost_one_task_has_no_rank_on_its_benchmark(results: Path) -> None:
    (path,) = [one for one in results.rglob(f"samples_{TASKS[1]}_*") if read_record_of(one)["label"] == "same"]
    path.unlink()
    ranks = xlift.load_results(results).ranks()
    ranked = ranks[ranks["metric"] == "accuracy"]
    assert dict(zip(ranked["model"], ranked["note"], strict=True))["same"] == f"no scores by document of {TASKS[1]}: not ranked"
    assert ranked["rank"].tolist()[:2] == [1, 2] and ranked["rank"].isna().sum() == 1


def test_where_all_samples_are_lost_there_is_nothing_to_compare(results: Path) -> None:
    for path in results.rglob("samples_*"):
        path.unlink()
    with pytest.raises(UserError, match=f"no scores by document: base: {TASKS[0]}: its samples are gone; evaluate it again"):
        xlift.load_results(results).lifts()
