"""Scores item by item, as the page of comparisons loads them."""

import json
from pathlib import Path

from result_folders import write_run

from xlift.leaderboard.analysis import board
from xlift.leaderboard.loading import foreign, runs
from xlift.leaderboard.site.builder import build
from xlift.leaderboard.site.items import collect_items

TASK = "xlift_mgsm_direct_es"


def read(path: Path) -> dict[str, list[list[object]]]:
    return dict(json.loads(path.read_text().partition("] = ")[2].rstrip(";\n")))


def test_seeds_are_averaged_in_points(tmp_path: Path) -> None:
    root = write_run(tmp_path / "s", "m", {TASK: [1.0, 0.0, 1.0]}, seed=0)
    write_run(root, "m", {TASK: [1.0, 0.0, 0.0]}, seed=1, adapter="b")
    (row,) = board.make(runs.collect([root], foreign.read)).rows
    (found,) = collect_items(row)
    assert (found.ids, found.values, found.unit) == ((0, 1, 2), (100.0, 0.0, 50.0), "points")
    assert found.title == "MGSM: Spanish" or found.title.startswith("MGSM")


def test_of_bits_fewer_are_better(tmp_path: Path) -> None:
    task = "xlift_flores_bpb_eng_Latn_spa_Latn"
    root = write_run(tmp_path / "s", "base", {task: [1.5, 2.0]}, metric="bits_per_byte")
    (row,) = board.make(runs.collect([root], foreign.read)).rows
    (found,) = collect_items(row)
    assert (found.values, found.sign, found.unit, found.digits) == ((1.5, 2.0), -1, "bits per byte", 3)


def test_the_file_says_where_the_samples_are(tmp_path: Path) -> None:
    root = write_run(tmp_path / "s", "base", {TASK: [1.0, 0.0]})
    build([root], tmp_path / "site")
    (task,) = read(tmp_path / "site/data/items/s--base.js")["tasks"]
    assert task[0] == TASK and task[5] is None, "items from 0 on need no numbers"
    assert task[6] == [100.0, 0.0] and task[7] == [f"samples/s--base/{TASK}-", 1]
    assert (tmp_path / f"site/samples/s--base/{TASK}-1.html").is_file()
