"""Results that are taken over: what determines one, which engine they were measured under, and the files that go along."""

import json
from pathlib import Path
from typing import Any

import pytest

from xlift.harness.core.hashing import file_sha256
from xlift.harness.core.store import Stage, Store
from xlift.harness.evaluation.evaluate import WHOLE_ANSWERS
from xlift.harness.evaluation.records import Record
from xlift.harness.pipeline.earlier import Taken, find_common_engine, name_results, read_known

ENGINE = {"backend": "hf", "dtype": "float32"}
ABOUT = {"version": 1, "data": "d"}


def inputs_of(*tasks: str, limit: int | None = 3, **changes: Any) -> dict[str, Any]:
    asked = {"limit": limit, "limits": {}, "system": None}
    return {"base": "b", "adapter": None, "engine": {}, "tasks": dict.fromkeys(tasks, ABOUT), "evaluate": asked, **changes}


def measure(root: Path, inputs: dict[str, Any], day: int = 1, engine: dict[str, str] | None = None, seconds: float | None = None) -> Path:
    results = {
        task: {
            "items": items, "items_of": items, "version": "1", "data_sha256": None, "data_origin": None, "metrics": {},
            "comparability": "c", "samples": f"samples_{task}_2026-01-0{day}.jsonl",
            "cost": {"seconds": seconds, "requests": items} if seconds else {},
        }
        for items, task in enumerate(inputs["tasks"], 1)
    }  # fmt: skip
    record = Record(
        suite="s", label="base", method=None, seed=None, trained=(), pivot="en", base={}, adapter=None, engine=engine or ENGINE,
        system=None, tasks=results, cost={"evaluate": {"seconds": 6.0, "requests": 3, "paid": {"seconds": 1.0}}},
    )  # fmt: skip

    def work(folder: Path) -> dict[str, Any]:
        for result in results.values():
            (folder / result["samples"]).write_text(f"day {day}")
        (folder / f"results_{day}.json").write_text("{}")
        said = [{"task": task, "doc_id": 0, "lang": "es", "answer": f"day {day}", "header": True} for task in results]
        (folder / WHOLE_ANSWERS).write_text("".join(json.dumps(one) + "\n" for one in said))
        return {"finished": f"2026-01-0{day}T00:00:00.000001Z", "record": record.model_dump(mode="json")}

    stage = Stage("evaluate", "base", inputs)
    Store(root).write(stage, work)
    return root / stage.name


def known_of(root: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    known = read_known(root)
    return {task: known.get(name, ()) for task, name in name_results(inputs).items()}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"evaluate": {"limit": 3, "limits": {"other": 9}, "system": None}}, True),
        ({"evaluate": {"limit": 9, "limits": {"m": 3}, "system": None}}, True),
        ({"evaluate": {"limit": 9, "limits": {}, "system": None}}, False),
        ({"evaluate": {"limit": 3, "limits": {}, "system": "Be brief."}}, False),
        ({"adapter": "a"}, False),
        ({"engine": {"dtype": "float16"}}, False),
        ({"tasks": {"m": {"version": 2, "data": "d"}}}, False),
        ({"tasks": {"m": ABOUT, "other": ABOUT}}, True),
    ],
)
def test_what_determines_the_result_of_a_task(change: dict[str, Any], same: bool) -> None:
    plain, changed = (name_results({**inputs_of("m"), **one})["m"] for one in ({}, change))
    assert (plain == changed) == same


def test_odd_inputs_determine_nothing() -> None:
    assert name_results({}) == name_results({"tasks": ["m"], "evaluate": {}}) == {}


def test_each_result_is_the_newest_of_its_engine(tmp_path: Path) -> None:
    old = measure(tmp_path, inputs_of("m", "x"), day=1)
    new = measure(tmp_path, inputs_of("m"), day=2)
    odd = measure(tmp_path, inputs_of("m", "x", "y"), day=3, engine={"backend": "vllm"})
    wanted = known_of(tmp_path, inputs_of("x", "m", "z"))
    assert [[one.stage for one in found] for found in wanted.values()] == [[odd, old], [odd, new, old], []]
    assert find_common_engine(wanted) is None and find_common_engine(known_of(tmp_path, inputs_of("x", "y"))) == {"backend": "vllm"}
    taken = Taken.under(ENGINE, wanted)
    assert {task: one.stage for task, one in taken.origins.items()} == {"x": old, "m": new}
    assert taken.stages == {old.name: ["x"], new.name: ["m"]}
    out = tmp_path / "out"
    out.mkdir()
    taken.copy_files(out)
    assert sorted(path.name for path in out.iterdir()) == [
        "results_1.json", "results_2.json", "samples_m_2026-01-02.jsonl", "samples_x_2026-01-01.jsonl",
    ]  # fmt: skip
    assert [(one["task"], one["answer"]) for one in taken.read_whole_answers()] == [("x", "day 1"), ("m", "day 2")]


def test_a_result_without_its_samples_is_measured_again(tmp_path: Path) -> None:
    stage = measure(tmp_path, inputs_of("m", "x"))
    path = next(stage.glob("samples_m_*"))
    manifest = json.loads((stage / "manifest.json").read_text())
    manifest["record"]["tasks"]["m"]["samples_sha256"] = file_sha256(path)
    (stage / "manifest.json").write_text(json.dumps(manifest))

    def count() -> list[int]:
        return [len(found) for found in known_of(tmp_path, inputs_of("m", "x")).values()]

    assert count() == [1, 1]
    path.write_text("edited")
    assert count() == [0, 1]
    path.unlink()
    assert count() == [0, 1]


def test_what_a_result_took_is_its_own_or_its_share_by_items(tmp_path: Path) -> None:
    # of 1 + 2 items the second task has two thirds: 4 of 6 seconds
    measure(tmp_path, inputs_of("m", "x"))
    results = Taken.under(ENGINE, known_of(tmp_path, inputs_of("x"))).read_results()
    assert results["x"].cost == {"seconds": 4.0, "requests": 2.0}
    measure(tmp_path / "new", inputs_of("m", "x"), seconds=7.0)
    results = Taken.under(ENGINE, known_of(tmp_path / "new", inputs_of("x"))).read_results()
    assert results["x"].cost == {"seconds": 7.0, "requests": 2}
