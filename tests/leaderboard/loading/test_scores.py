"""Scores by document, and by group of documents."""

import json
from pathlib import Path

import numpy as np
import pytest
from result_folders import write_run

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import read_measurements
from xlift.leaderboard.loading.record import extract_record, write_record
from xlift.leaderboard.loading.scores import Columns, align, collect_documents, fill_in, join_groups

TASK = "xlift_xquad_es"


def test_documents_without_a_value_are_filled_in_and_keep_the_rate() -> None:
    # three of four can be told, one of them off target: a rate of 1/3, each above or below it by 4/3 of what it is
    filled = fill_in(np.array([1.0, 0.0, np.nan, 0.0]))
    assert filled == pytest.approx([1 / 3 + 2 / 3 * 4 / 3, 1 / 3 - 1 / 3 * 4 / 3, 1 / 3, 1 / 3 - 1 / 3 * 4 / 3])
    assert filled.mean() == pytest.approx(1 / 3)
    whole = np.array([1.0, 0.0])
    assert fill_in(whole) is whole
    with pytest.raises(UserError, match="none of 2 answers can be told"):
        fill_in(np.array([np.nan, np.nan]))


def test_groups_keep_the_mean_and_weigh_by_their_documents() -> None:
    # Paragraph a has 3 questions (1, 1, 0), b has one (0): mean 0.5. a lies 0.5 above it in total, b 0.5 below; 2 documents a group.
    joined = join_groups(np.array([[1.0, 1.0, 0.0, 0.0]]), np.array(["a", "a", "a", "b"]))
    assert joined.tolist() == [[0.75, 0.25]]
    assert joined.mean() == 0.5


def test_groups_stand_in_the_order_of_their_first_documents() -> None:
    joined = join_groups(np.array([[0.0, 1.0, 0.0, 1.0]]), np.array(["z", "a", "z", "a"]))
    assert joined.tolist() == [[0.0, 1.0]]


def test_documents_that_share_nothing_stay_as_they_are() -> None:
    columns = Columns(np.arange(3), np.array(["x", "y", "z"]), np.array([1.0, 0.0, 0.5]))
    assert align({"m": columns}).tolist() == [[1.0, 0.0, 0.5]]


def test_questions_to_one_paragraph_are_one_value_in_a_run_and_in_its_record(tmp_path: Path) -> None:
    run, copy = tmp_path / "run", tmp_path / "copy"
    for label, seed in (("base", None), ("m", 0)):
        write_run(run, label, {TASK: [1, 1, 0, 0]}, seed=seed, metric="f1", lang="es")
    for path in run.glob("evaluate-*/samples_*"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for number, row in enumerate(rows):
            row["doc"] = {**row.get("doc", {}), "context": "first paragraph" if number < 2 else "second paragraph"}
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_record(extract_record(run), copy)
    for folder in (run, copy):
        documents = collect_documents(read_measurements([folder]), ["f1"])
        assert align({one.name: one.columns for one in documents}).tolist() == [[1.0, 0.0]] * 2
    assert "first paragraph" not in "".join(path.read_text() for path in copy.rglob("*.jsonl"))


@pytest.mark.parametrize("groups", [["a", "a"], ["a"]])
def test_one_group_gives_one_value(groups: list[str]) -> None:
    assert join_groups(np.ones((2, len(groups))), np.array(groups)).shape == (2, 1)


def test_samples_that_were_cut_are_not_scored(tmp_path: Path) -> None:
    write_run(tmp_path, "base", {TASK: [1, 1, 0, 0]}, metric="f1")
    (path,) = tmp_path.glob("evaluate-*/samples_*")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(UserError, match=r"3 of 4 documents, so it was cut; evaluate base again"):
        collect_documents(read_measurements([tmp_path]), ["f1"])


@pytest.mark.parametrize("odd", ["1" * 400, "1e999", "-Infinity"])
def test_a_number_without_bounds_is_no_score(tmp_path: Path, odd: str) -> None:
    write_run(tmp_path, "base", {TASK: [1, 1, 0, 0]}, metric="f1")
    (path,) = tmp_path.glob("evaluate-*/samples_*")
    path.write_text(path.read_text().replace('"f1": 0', f'"f1": {odd}'))
    with pytest.raises(UserError, match="document 2: 'f1' is without bounds; evaluate .* by base again"):
        collect_documents(read_measurements([tmp_path]), ["f1"])
