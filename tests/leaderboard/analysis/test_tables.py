import json
from pathlib import Path
from typing import Any

import pytest
from result_folders import write_run
from typer.testing import CliRunner

from xlift.harness.cli.main import app
from xlift.harness.core.errors import UserError
from xlift.harness.core.store import Stage, Store
from xlift.harness.evaluation.records import Record, Score, read_records
from xlift.leaderboard.analysis.tables import (
    doubt_lifts,
    doubt_thinking,
    doubt_tokens,
    name_one_seed,
    spread_costs,
    spread_models,
    tabulate_costs,
    tabulate_scores,
    write_seconds,
)

TASK = "xlift_mgsm_cot_es"


def record(label: str, accuracy: float, off_target: float, key: str = "k", seed: int | None = None) -> Record:
    task: dict[str, Any] = {
        "items": 10, "items_of": 250, "version": "1", "data_sha256": "0", "data_origin": "samples", "comparability": key, "samples": None,
        "metrics": {"accuracy": {"value": accuracy, "stderr": 0.05}, "off_target": {"value": off_target, "stderr": 0.1}},
    }  # fmt: skip
    return Record(
        suite="s", label=label, method=None, seed=seed, trained=(), pivot="en", base={}, adapter=None, engine={}, system=None,
        tasks={"xlift_mgsm_cot_es": task}, cost={"fit": {"seconds": 5.0}, "evaluate": {"seconds": 2.0, "generated_tokens": 7}},
    )  # fmt: skip


def test_lift_is_turned_so_that_more_is_better() -> None:
    scores = tabulate_scores([record("base", 0.2, 0.5), record("m", 0.5, 0.1, seed=0)])
    lifts = {row["metric"]: row["lift"] for _, row in scores[scores["model"] == "m (seed 0)"].iterrows()}
    assert lifts == {"accuracy": pytest.approx(0.3), "off_target": pytest.approx(0.4)}
    assert scores[scores["model"] == "base"]["lift"].isna().all()


def test_no_lift_between_results_that_may_not_be_compared() -> None:
    scores = tabulate_scores([record("base", 0.2, 0.5), record("m", 0.5, 0.1, key="other")])
    assert scores["lift"].isna().all()


def test_people_read_value_error_and_lift() -> None:
    wide = spread_models(tabulate_scores([record("base", 0.2, 0.5), record("m", 0.5, 0.1)]))
    assert wide.to_dict("records")[0] == {
        "task": "xlift_mgsm_cot_es", "metric": "accuracy ↑", "items": 10, "base": "0.200 ±0.050", "m": "0.500 ±0.050 (+0.300)",
    }  # fmt: skip


def test_a_significant_lift_has_a_star_and_each_metric_its_direction() -> None:
    scores = tabulate_scores([record("base", 0.2, 0.5), record("m", 0.5, 0.1, seed=0)])
    wide = spread_models(scores, {("s", "m", "xlift_mgsm_cot_es", False): 1})
    assert list(wide["metric"]) == ["accuracy ↑", "off_target ↓"]
    assert list(wide["m (seed 0)"]) == ["0.500 ±0.050 (+0.300*)", "0.100 ±0.100 (+0.400)"]


def test_costs_for_people_stand_one_below_the_other() -> None:
    found = spread_costs(tabulate_costs([record("base", 0.2, 0.5), record("m", 0.5, 0.1)]))
    assert found.to_dict("records") == [
        {"cost": "training", "base": "5.0 s", "m": "5.0 s"},
        {"cost": "measuring", "base": "2.0 s", "m": "2.0 s"},
        {"cost": "tokens generated", "base": "7", "m": "7"},
    ]
    thinking = record("m", 0.5, 0.1)
    thinking.cost["evaluate"]["thinking_tokens"] = 4
    found = spread_costs(tabulate_costs([record("base", 0.2, 0.5), thinking]))
    assert found.to_dict("records")[-1] == {"cost": "of them thinking", "base": "", "m": "4"}
    assert [write_seconds(seconds) for seconds in (4.24, 200, 7500)] == ["4.2 s", "3 min 20 s", "2 h 05 min"]


def test_thinking_that_does_not_end_is_said() -> None:
    found = record("m", 0.5, 0.1)
    assert doubt_thinking([found]) == []
    result = found.tasks[TASK]
    cut = result.model_copy(update={"metrics": {**result.metrics, "thinking_cut": Score(value=0.4, stderr=None)}})
    found = found.model_copy(update={"tasks": {TASK: cut}, "engine": {"thinking_tokens": 512}})
    assert doubt_thinking([found]) == [
        "m: xlift_mgsm_cot_es: 40% of the answers end while the model still thinks, and count as empty; raise engine.thinking_tokens (512)"
    ]


def test_prompts_that_were_cut_and_answers_that_were_tokenised_apart_are_said() -> None:
    found = record("m", 0.5, 0.1)
    assert doubt_tokens([found]) == []
    found.cost["evaluate"] |= {"truncated_prompts": 2, "tokenised_apart": 3, "scored_answers": 1200}
    assert doubt_tokens([found]) == [
        "m: 2 prompts were too long and lost their beginning; engine.max_length is the bound",
        "m: 3 of 1,200 answers were tokenised apart from their prompt, as a token would have spanned both",
    ]


def test_costs_stand_beside_each_model() -> None:
    row = tabulate_costs([record("m", 0.5, 0.1)]).to_dict("records")[0]
    assert (row["model"], row["seconds"], row["evaluation_seconds"], row["generated_tokens"]) == ("m", 5.0, 2.0, 7)
    assert row["paid_seconds"] is None, "an older xlift paid for all answers of a measurement"
    known = record("m", 0.5, 0.1)
    known.cost["evaluate"]["paid"] = {"seconds": 0.5, "requests": 3}
    assert tabulate_costs([known])["paid_seconds"].tolist() == [0.5]


def test_costs_say_how_much_more_an_answer_takes_and_what_was_chosen_on_what() -> None:
    base, moved = record("base", 0.2, 0.5), record("m", 0.5, 0.1)
    # (60 + 40) / 10 tokens an answer, and (90 + 60) / 10
    base.cost["evaluate"] |= {"prompt_tokens": 60, "generated_tokens": 40, "requests": 10}
    moved.cost["evaluate"] |= {"prompt_tokens": 90, "generated_tokens": 60, "requests": 10}
    moved = moved.model_copy(update={"extra_parameters": 4096, "chosen_on": "held-out lines"})
    found = tabulate_costs([base, moved]).replace({float("nan"): None}).to_dict("records")
    assert [row["inference_factor"] for row in found] == [None, 1.5]
    shown = {row["cost"]: row["m"] for row in spread_costs(tabulate_costs([base, moved])).to_dict("records")}
    assert shown["weights beside the base's"] == "4,096" and shown["chosen on"] == "held-out lines"
    assert shown["tokens an answer, of the base's"] == "1.50"


def test_records_come_back_from_disk_base_first(tmp_path: Path) -> None:
    for label in ("zz", "aa", "base"):
        Store(tmp_path).write(
            Stage("evaluate", label, {}), lambda folder, label=label: {"record": record(label, 0.1, 0.2).model_dump(mode="json")}
        )
    assert [found.label for found in read_records([tmp_path]).records] == ["base", "aa", "zz"]


def test_folders_without_results_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished evaluation"):
        read_records([tmp_path])
    with pytest.raises(UserError, match="no such run folder"):
        read_records([tmp_path / "gone"])
    Store(tmp_path).write(Stage("evaluate", "m", {}), lambda folder: {"record": {"schema_version": 2}})
    with pytest.raises(UserError, match="does not follow schema version 1"):
        read_records([tmp_path])


def test_a_report_without_a_score_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(write_run(tmp_path / "runs" / "s", "base", {"t": [1.0]}))])
    assert done.exit_code == 0, "as long as one task has a score"
    (manifest,) = (tmp_path / "runs" / "s").glob("evaluate-*/manifest.json")
    found = json.loads(manifest.read_text())
    found["record"]["tasks"]["t"]["metrics"] = {}
    manifest.write_text(json.dumps(found))
    done = CliRunner().invoke(app, ["report", str(tmp_path / "runs" / "s")])
    assert isinstance(done.exception, UserError) and "1 measured models, and no task has a score" in str(done.exception)


def test_a_lift_of_answers_in_another_language_is_doubted() -> None:
    scores = tabulate_scores(
        [record("base", 0.2, 0.0), record("copies", 0.3, 0.75), record("answers", 0.3, 0.25), record("falls", 0.1, 0.75)]
    )
    (line,) = doubt_lifts(scores)
    assert line.startswith("copies: xlift_mgsm_cot_es rose, but 75% of the 10 answers whose language can be told are in another one")


def test_a_lift_is_over_the_model_s_own_base(tmp_path: Path) -> None:
    # Two runs of one suite name on two bases: 0.5 to 0.7 on the one, 1.0 to 1.0 on the other. Mixed up, the first would be -0.3.
    first, second = tmp_path / "first", tmp_path / "second"
    write_run(first, "base", {TASK: [1, 0] * 5}, base="small")
    write_run(first, "m", {TASK: [1] * 7 + [0] * 3}, seed=0, base="small")
    write_run(second, "base", {TASK: [1] * 10}, base="large", base_sha256="c" * 64)
    write_run(second, "m", {TASK: [1] * 10}, seed=0, base="large", base_sha256="c" * 64)
    found = read_records([first, second])
    assert found.left_out == () and len(found.records) == 4, "neither run is an older measurement of the other"
    scores = tabulate_scores(found.records)
    lifts = {row["suite"]: row["lift"] for _, row in scores[(scores["model"] != "base") & (scores["metric"] == "accuracy")].iterrows()}
    assert lifts == {"s on small": pytest.approx(0.2), "s on large": pytest.approx(0.0)}


def test_models_of_one_seed_are_named() -> None:
    once, base = record("m", 0.5, 0.1, seed=0), record("base", 0.2, 0.5)
    twice = [record("n", 0.5, 0.1, seed=seed) for seed in (0, 1)]
    assert (base.seed, once.seed) == (None, 0)
    assert name_one_seed([base, once, *twice]) == ["m"]
    other = once.model_copy(update={"suite": "t"})
    assert name_one_seed([base, once, other]) == ["s: m", "t: m"]
