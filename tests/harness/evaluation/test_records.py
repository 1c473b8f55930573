"""One rule for results: of several measurements of one model the one that was made, or asked for again, last."""

import json
from pathlib import Path
from typing import Any

import pytest
from commands import Call
from result_folders import write_run

from xlift.harness.core.errors import UserError
from xlift.harness.core.store import Stage, Store, read_clock
from xlift.harness.evaluation.records import Measurement, Record, choose_newest, read_measurements, read_records

TASK = "xlift_mgsm_direct_es"


def record(label: str, seed: int | None = None, *, samples: str | None = None) -> Record:
    result = {
        "items": 1, "items_of": 1, "version": "1", "data_sha256": None, "data_origin": None, "metrics": {}, "comparability": "k",
        "samples": samples,
    }  # fmt: skip
    return Record(
        suite="s", label=label, method=None, seed=seed, trained=(), pivot="en", base={}, adapter=None, engine={}, system=None,
        tasks={TASK: result}, cost={},
    )  # fmt: skip


def measured(stage: str, finished: str, asked: str = "", label: str = "m", seed: int | None = 0) -> Measurement:
    return Measurement(record(label, seed), Path(stage), finished, asked)


def change(stage: Path, **values: Any) -> None:
    """Change a manifest; a key that is None is taken out."""
    path = stage / "manifest.json"
    found = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in found.items() if value is not None}))


def stages(newest: list[Measurement]) -> list[str]:
    return [one.stage.name for one in newest]


def test_the_last_by_its_time_counts_and_the_others_are_named() -> None:
    found = choose_newest([measured(name, f"2026-01-0{day}T00:00:00Z") for name, day in (("a", 2), ("b", 3), ("c", 1))])
    assert stages(list(found.measurements)) == ["b"]
    assert found.left_out == ("s/a: m (seed 0) has a newer measurement, b", "s/c: m (seed 0) has a newer measurement, b")


def test_models_are_told_apart_by_suite_label_and_seed() -> None:
    time = "2026-01-01T00:00:00Z"
    found = choose_newest([measured("z", time), measured("y", time, seed=1), measured("x", time, label="base", seed=None)])
    assert stages(list(found.measurements)) == ["x", "z", "y"], "base first, then by label and seed"
    assert found.left_out == ()


def test_a_measurement_that_was_asked_for_again_is_the_newest() -> None:
    again = measured("a", "2026-01-01T00:00:00Z", asked="2026-01-03T00:00:00Z")
    found = choose_newest([again, measured("b", "2026-01-02T00:00:00Z")])
    assert found.measurements == (again,)
    assert again.written == "2026-01-01T00:00:00Z", "it was measured when it was measured"


def test_neither_the_folder_names_nor_the_times_of_files_decide(tmp_path: Path) -> None:
    write_run(tmp_path, "base", {TASK: [0.0, 0.0]}, day="02")
    write_run(tmp_path, "base", {TASK: [1.0, 1.0]}, day="01")
    for swap in (False, True):
        first, second = sorted(tmp_path.glob("evaluate-*"))
        if swap:
            first.rename(tmp_path / "evaluate-x")
            second.rename(first)
            (tmp_path / "evaluate-x").rename(second)
        (one,) = read_records([tmp_path]).records
        assert one.tasks[TASK].metrics["accuracy"].value == 0.0


def test_manifests_without_a_time_are_older_than_all_that_have_one(tmp_path: Path) -> None:
    # lm-eval's names hold local time, which may be half a day before or after UTC.
    for day, name in (("09", "named"), ("01", "timed"), ("08", "older")):
        write_run(tmp_path, "base", {TASK: [0.0]}, day=day)
        next(path for path in tmp_path.glob(f"evaluate-*/samples_*2026-01-{day}T*")).parent.rename(tmp_path / f"evaluate-{name}")
    for name in ("named", "older"):
        change(tmp_path / f"evaluate-{name}", finished=None)
    found = read_measurements([tmp_path])
    assert stages(found) == ["evaluate-older", "evaluate-named", "evaluate-timed"]
    assert [one.written for one in found] == ["2026-01-08T00:00:00Z", "2026-01-09T00:00:00Z", "2026-01-01T00:00:00Z"]


@pytest.mark.parametrize("finished", [None, "", "yesterday", 5, "2026-01-09", "2026-01-09T00:00:00"])
def test_what_is_no_time_is_none(tmp_path: Path, finished: Any) -> None:
    made = record("m", samples=f"samples_{TASK}_m.jsonl").model_dump(mode="json")
    Store(tmp_path).write(Stage("evaluate", "m", {}), lambda folder: {"finished": finished, "record": made})
    (one,) = read_measurements([tmp_path])
    assert (one.finished, one.written) == ("", "")


def test_the_store_writes_when_a_stage_was_finished_and_asked_for(tmp_path: Path) -> None:
    store, stage, before = Store(tmp_path), Stage("evaluate", "m", {}), read_clock()
    store.write(stage, lambda folder: {"record": record("m").model_dump(mode="json")})
    store.ask_again(stage)
    (one,) = read_measurements([tmp_path])
    assert before < one.finished < one.asked < read_clock()
    assert len(before) == len("2026-11-22T20:55:46.799492Z")


def test_one_run_folder_measured_twice_is_reported_once(call: Call, tmp_path: Path) -> None:
    for day, base, lifted in (("01", [0.0, 0.0], [1.0, 0.0]), ("02", [0.0, 0.0, 1.0], [1.0, 1.0, 1.0])):
        write_run(tmp_path, "base", {TASK: base}, day=day, key=day)
        write_run(tmp_path, "m", {TASK: lifted}, seed=0, day=day, key=day)
    code, out, err = call("report", tmp_path, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    shown = {(row["model"], row["metric"]): (row["value"], row["lift"], row["items"]) for row in found["scores"]}
    assert shown["base", "accuracy"] == (pytest.approx(1 / 3), None, 3)
    assert shown["m (seed 0)", "accuracy"] == (1.0, pytest.approx(2 / 3), 3)
    assert len(found["scores"]) == 4 and len(found["costs"]) == 2 and len(found["left_out"]) == 2
    code, out, err = call("report", tmp_path)
    assert (code, err) == (0, "")
    assert len([line for line in out.splitlines() if line.startswith("left out: s/evaluate-stage-")]) == 2


# --- benchmark and language ---

RESULT = {
    "items": 2, "items_of": 2, "version": "1.0", "data_sha256": None, "data_origin": None, "metrics": {}, "comparability": "k",
    "samples": None,
}  # fmt: skip


def placed(pivot: str, **tasks: Any) -> Record:
    return Record(
        suite="s", label="base", method=None, seed=None, trained=(), pivot=pivot, base={}, adapter=None, engine={}, system=None,
        tasks=tasks, cost={},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("pivot", "task", "benchmark", "language"),
    [
        ("en", "xlift_mgsm_cot_es", "xlift_mgsm_cot", "es"),
        ("en", "xlift_flores_eng_Latn_spa_Latn", "xlift_flores_from_en", "es"),
        ("es", "xlift_flores_eng_Latn_spa_Latn", "xlift_flores_to_es", "en"),
        ("de", "xlift_flores_eng_Latn_spa_Latn", "xlift_flores_eng_Latn_spa_Latn", ""),
        ("en", "arc_easy", "arc_easy", ""),
    ],
)
def test_a_result_without_benchmark_and_language_gets_them(pivot: str, task: str, benchmark: str, language: str) -> None:
    result = placed(pivot, **{task: RESULT}).tasks[task]
    assert (result.benchmark, result.language) == (benchmark, language)


def test_what_a_result_says_stays() -> None:
    said = placed("en", xlift_mgsm_cot_es={**RESULT, "benchmark": "arithmetic", "language": "fr"})
    assert (said.tasks["xlift_mgsm_cot_es"].benchmark, said.tasks["xlift_mgsm_cot_es"].language) == ("arithmetic", "fr")
    assert Record(**said.model_dump(mode="json")) == said


def test_two_copies_of_a_run_are_said_to_be_the_same(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_run(tmp_path / name, "base", {TASK: [1, 0]})
    found = read_records([tmp_path / "one", tmp_path / "two"])
    assert len(found.measurements) == 1
    assert found.left_out and all("the same measurement of base is in" in line for line in found.left_out)


def test_what_only_looks_like_a_stage_is_no_stage(tmp_path: Path) -> None:
    write_run(tmp_path, "base", {TASK: [1, 0]})
    (tmp_path / "evaluate-notes").write_text("mine")
    assert len(read_records([tmp_path]).measurements) == 1
    (tmp_path / "evaluate-odd" / "manifest.json").mkdir(parents=True)
    with pytest.raises(UserError, match="evaluate-odd/manifest.json: cannot be read"):
        read_records([tmp_path])


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_counts_and_scores_that_cannot_be_are_refused(tmp_path: Path, value: float) -> None:
    write_run(tmp_path, "base", {TASK: [1, 0]})
    (path,) = tmp_path.glob("evaluate-*/manifest.json")
    manifest = json.loads(path.read_text())
    result = manifest["record"]["tasks"][TASK]
    result["items" if value == -1 else "metrics"] = -1 if value == -1 else {"accuracy": {"value": value, "stderr": None}}
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="its record does not follow schema version 1"):
        read_records([tmp_path])


def test_a_manifest_that_is_nested_too_deeply_is_damaged(tmp_path: Path) -> None:
    write_run(tmp_path, "base", {TASK: [1, 0]})
    (path,) = tmp_path.glob("evaluate-*/manifest.json")
    path.write_text("[" * 200_000 + "]" * 200_000)
    with pytest.raises(UserError, match="damaged; delete the folder"):
        read_records([tmp_path])
