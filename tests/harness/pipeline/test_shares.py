"""A model that several engines measure, each a range of the items: the answers and scores of one engine that measures all of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from shared_runs import suite_of

from xlift.harness.config.suite import read_suite
from xlift.harness.core.store import read_manifest
from xlift.harness.evaluation.tasks import TaskSet
from xlift.harness.pipeline.measure import Measuring
from xlift.harness.pipeline.pieces import list_pieces
from xlift.harness.pipeline.run import open_run
from xlift.harness.pipeline.stages import Measured, Run, Share, evaluate_stage, share_stage

BASE = Measured("base", None, None)
TASKS = ["xlift_flores_bpb_eng_Latn_spa_Latn", "xlift_mgsm_direct_es", "xlift_xquad_es"]


def open_shared(base: Path, runs: Path, shares: int) -> Run:
    asked = {"evaluate": {"tasks": TASKS, "limit": 5}, "resources": {"shares": shares}}
    return open_run(read_suite(suite_of(base, **asked), "test"), runs)


def read_record(run: Run) -> dict[str, Any]:
    manifest = read_manifest(run.store.folder(evaluate_stage(run, BASE)))
    assert manifest is not None
    return manifest["record"]


def read_scores(run: Run) -> tuple[dict[str, Any], float]:
    """What each document of the tasks that generate was answered and scored, and the bits per byte of the other task."""
    tasks, folder = read_record(run)["tasks"], run.store.folder(evaluate_stage(run, BASE))
    lines = {task: [json.loads(line) for line in (folder / tasks[task]["samples"]).read_text().splitlines()] for task in TASKS[1:]}
    return {task: (found, tasks[task]["metrics"]) for task, found in lines.items()}, tasks[TASKS[0]]["metrics"]["bits_per_byte"]["value"]


@pytest.mark.slow
def test_three_shares_on_two_engines_score_as_one_engine_does(tiny_base: Path, tmp_path: Path) -> None:
    alone = open_shared(tiny_base, tmp_path / "alone", 1)
    with Measuring(alone) as engine:
        engine.take(BASE)
    run = open_shared(tiny_base, tmp_path / "shared", 3)
    with Measuring(run) as first, Measuring(run) as second:
        first.take(Share(BASE, 3, 3), wait=False)
        first.take(BASE, wait=False)
        assert read_manifest(run.store.folder(evaluate_stage(run, BASE))) is None, "two shares are not asked yet"
        second.take(Share(BASE, 1, 3), wait=False)
        second.take(Share(BASE, 2, 3), wait=False)
        first.take(BASE, wait=False)
    one, other = read_record(alone), read_record(run)
    (answered, bits), (answered_in_shares, bits_in_shares) = read_scores(alone), read_scores(run)
    assert answered_in_shares == answered and len(answered[TASKS[1]][0]) == 5
    assert bits_in_shares == pytest.approx(bits, rel=1e-8), "a likelihood's last bits go by what is computed beside it"
    assert [result["comparability"] for result in other["tasks"].values()] == [result["comparability"] for result in one["tasks"].values()]
    assert evaluate_stage(run, BASE).name == evaluate_stage(alone, BASE).name
    assert one["cost"]["evaluate"]["paid"]["requests"] == 10 and "requests" not in other["cost"]["evaluate"]["paid"]
    counts = [(read_manifest(run.store.folder(share_stage(run, Share(BASE, number, 3)))) or {})["paid"] for number in (1, 2, 3)]
    assert [(count["requests"], count["scored_answers"]) for count in counts] == [(2, 1), (4, 2), (4, 2)]


def test_a_model_can_be_measured_once_its_shares_are_whole(tiny_base: Path, tmp_path: Path) -> None:
    run = open_shared(tiny_base, tmp_path, 2)

    def list_asked() -> list[str]:
        return [piece.what for piece in list_pieces(run, {}) if piece.asked]

    assert list_asked() == ["evaluate base-1of2", "evaluate base-2of2"]
    run.store.write(share_stage(run, Share(BASE, 1, 2)), lambda folder: {})
    (piece,) = [piece for piece in list_pieces(run, {}) if piece.asked]
    assert (piece.what, piece.model) == ("evaluate base-2of2", "base")
    assert piece.arguments[1] == [Share(BASE, 2, 2), BASE], "the process goes on with the measurement"
    run.store.write(share_stage(run, Share(BASE, 2, 2)), lambda folder: {})
    assert list_asked() == ["evaluate base"]


def test_a_share_is_a_range_of_each_task() -> None:
    tasks = TaskSet(("a", "b"), None, {"a": [3, 5, 8, 9, 12], "b": [7]}, {"a": {}, "b": {}})
    shares = [tasks.take_share(number, 3) for number in (1, 2, 3)]
    assert [share.items for share in shares] == [{"a": [3]}, {"a": [5, 8]}, {"a": [9, 12], "b": [7]}]
    assert [share.names for share in shares] == [("a",), ("a",), ("a", "b")] and [*shares[0].articles] == ["a"]
