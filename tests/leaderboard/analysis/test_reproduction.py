"""A row run again, beside the one that was handed in."""

import json
import shutil
from pathlib import Path

import pytest
from commands import Call
from result_folders import write_run
from scored import documents, only, some

import xlift
from xlift.harness.core.errors import UserError
from xlift.leaderboard.analysis.reproduction import compare_again

TASK = "xlift_mgsm_direct_es"


def test_what_came_out_again_agrees_and_what_did_not_does_not() -> None:
    # 30 of 60 right, the same 30 and one more when it was run again; 30 others right and not those.
    again = only(compare_again([some("m", 30, seed=0)], [some("m", 31, seed=0)], "m"))
    assert (again["theirs"], again["agrees"], again["note"]) == (0.5, True, "") and again["difference"] == pytest.approx(1 / 60)
    assert again["low"] < 0 < again["high"]
    assert only(compare_again([some("m", 55, seed=0)], [some("m", 5, seed=0)], "m"))["agrees"] is False


@pytest.mark.parametrize("other", [False, True])
def test_a_row_is_run_again_as_its_suite_says_and_the_board_says_so(
    other: bool, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[xlift.Suite] = []

    def run(suite: xlift.Suite, runs: Path, *, wait: bool) -> xlift.Results:
        asked.append(suite)
        write_run(runs / suite.name, "base", {TASK: [0.0] * 60}, suite=suite.name)
        write_run(runs / suite.name, "m", {TASK: [1.0] * 20 + [0.0] * 40 if other else [1.0] * 60}, suite=suite.name, seed=0)
        return xlift.load_results(runs / suite.name)

    record = tmp_path / "s"
    write_run(record, "base", {TASK: [0.0] * 60})
    write_run(record, "m", {TASK: [1.0] * 60}, seed=0)
    write_run(record, "m", {TASK: [0.0] * 60}, seed=1)
    methods = {"m": {"method": "cross_lingual"}, "n": {"method": "pivot_only"}}
    languages, evaluate = {"train": ["es"], "evaluate": ["es"]}, {"tasks": [TASK]}
    suite = xlift.load_suite(
        {"name": "s", "base": {"model": "b"}, "languages": languages, "methods": methods, "evaluate": evaluate},
        seeds=[0, 1],
    )
    (record / "suite.resolved.json").write_text(suite.model_dump_json())
    monkeypatch.setattr("xlift.records.run", run)
    code, _, error = call("reproduce", record, "o", "--runs", tmp_path)
    assert code == 2 and "'o': no method of" in error
    code, _, error = call("reproduce", record, "m", "--runs", tmp_path, "--seed", "2")
    assert code == 2 and "seed 2: m of" in error and "has 0, 1" in error
    code, shown, error = call("reproduce", record, "m", "--runs", tmp_path, "--seed", "0", "--by", "us", "--json")
    assert code == 0, error
    assert (asked[0].name, list(asked[0].methods), asked[0].seeds) == ("s-again", ["m"], (0,))
    # the other seed of the record, which has nothing right, takes no part
    assert json.loads(shown)[0]["agrees"] is not other and json.loads(shown)[0]["theirs"] == 1.0
    shutil.copy(tmp_path / "s-again" / "reproduced-m.json", record)
    xlift.build_site(record, tmp_path / "site")
    page = (tmp_path / "site/index.html").read_text()
    assert f"{0 if other else 1} of 1 tasks came out as before" in page and ("reproduced</span>" in page) is not other


def test_rows_that_may_not_be_compared_say_why() -> None:
    row = only(compare_again([some("m", 30)], [some("m", 30, key="other")], "m"))
    assert row["agrees"] is None and "under different settings or data" in row["note"]
    with pytest.raises(UserError, match="no task in common"):
        compare_again([some("m", 30)], [documents("m", "xlift_mgsm_direct_fr", [1.0, 0.0])], "m")
    with pytest.raises(UserError, match="n: the two runs have no task in common"):
        compare_again([some("m", 30)], [some("m", 30)], "n")
