"""What is measured again and what is not: tasks that are added, evaluations that are killed, suites that share a base."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from stages import stages_here

from xlift.harness.config.suite import read_suite
from xlift.harness.core.types import Answer
from xlift.harness.engines.base import LocalEngine
from xlift.harness.engines.hf import HfEngine
from xlift.harness.evaluation.records import Record, read_records
from xlift.harness.pipeline.dry_run import plan_run
from xlift.harness.pipeline.run import run_suite

pytestmark = pytest.mark.slow

MGSM, XQUAD, BITS = "xlift_mgsm_direct_es", "xlift_xquad_es", "xlift_flores_bpb_eng_Latn_spa_Latn"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many requests each call of an engine was given, likelihoods as well."""
    calls: list[int] = []
    for name in ("complete", "score"):
        plain = getattr(LocalEngine, name)

        def counted(self: LocalEngine, requests: Any, *more: Any, plain: Any = plain) -> Any:
            calls.append(len(requests))
            return plain(self, requests, *more)

        monkeypatch.setattr(LocalEngine, name, counted)
    yield calls


def suite_of(base: Path, *tasks: str, name: str = "small", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "base": {"model": str(base)},
        "data": {"samples": "always"},
        "languages": {"evaluate": ["es"]},
        "engine": {"backend": "hf", "dtype": "float32", "max_length": 2048, "batch_tokens": 1024},
        "evaluate": {"tasks": list(tasks), "limit": 3, **changes},
    }


def run(base: Path, runs: Path, *tasks: str, **changes: Any) -> Record:
    with stages_here():
        folder = run_suite(read_suite(suite_of(base, *tasks, **changes), "test"), runs)
    (record,) = read_records([folder]).records
    return record


def counts(record: Record) -> tuple[float, float]:
    """Requests whose answers a record stands on, and those that were paid for by it."""
    cost = record.cost["evaluate"]
    return cost["requests"] + cost["scored_answers"], cost["paid"].get("requests", 0) + cost["paid"].get("scored_answers", 0)


def test_a_task_that_is_added_is_measured_alone(
    tiny_base: Path, tmp_path: Path, asked: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    first = run(tiny_base, tmp_path, MGSM)
    assert asked == [3] and counts(first) == (3, 3)
    shutil.rmtree(tmp_path / "_answers")  # so that what is not asked was taken over
    plan = plan_run(read_suite(suite_of(tiny_base, MGSM, XQUAD, BITS), "test"), tmp_path)
    assert [(row["state"], row["items"]) for row in plan["stages"]] == [("to do", 6)]
    caplog.set_level("INFO")
    second = run(tiny_base, tmp_path, MGSM, XQUAD, BITS)
    assert asked == [3, 3, 3] and counts(second) == (9, 6), "the requests of a kind go to the engine together"
    assert "evaluate: base: 2 of 3 tasks, the others were measured before" in caplog.messages
    assert list(second.tasks) == [MGSM, XQUAD, BITS] and second.tasks[MGSM] == first.tasks[MGSM]
    assert second.tasks[MGSM].cost["requests"] == 3 and second.cost["evaluate"]["seconds"] == pytest.approx(
        sum(result.cost["seconds"] for result in second.tasks.values())
    )
    (stage,) = (path.parent for path in tmp_path.glob("small/evaluate-*/manifest.json") if XQUAD in path.read_text())
    assert all((stage / str(result.samples)).is_file() for result in second.tasks.values())
    assert [len(tasks) for tasks in json.loads((stage / "manifest.json").read_text())["taken"].values()] == [1]

    fewer = run(tiny_base, tmp_path, XQUAD, MGSM)
    assert asked == [3, 3, 3] and list(fewer.tasks) == [XQUAD, MGSM], "no engine is needed for what is there"


def test_a_measurement_of_an_older_xlift_is_taken_over(tiny_base: Path, tmp_path: Path, asked: list[int]) -> None:
    run(tiny_base, tmp_path, MGSM, BITS)
    (path,) = tmp_path.glob("small/evaluate-*/manifest.json")
    manifest = json.loads(path.read_text())
    for result in manifest["record"]["tasks"].values():
        del result["cost"]
    manifest["record"]["cost"]["evaluate"] = {"seconds": 8.0, "requests": 3}
    del manifest["taken"]
    path.write_text(json.dumps(manifest))
    record = run(tiny_base, tmp_path, MGSM, XQUAD)
    assert asked[2:] == [3]
    assert record.tasks[MGSM].cost == {"seconds": 4.0, "requests": 1.5}, "its share by items: that xlift counted for all tasks together"


def test_another_engine_measures_all_again(tiny_base: Path, tmp_path: Path, asked: list[int], caplog: pytest.LogCaptureFixture) -> None:
    run(tiny_base, tmp_path, MGSM)
    (path,) = tmp_path.glob("small/evaluate-*/manifest.json")
    path.write_text(path.read_text().replace('"torch": "', '"torch": "1.'))
    caplog.set_level("INFO")
    record = run(tiny_base, tmp_path, MGSM, XQUAD)
    assert f"evaluate: base: {MGSM} again, as the engine is not as it was" in caplog.messages
    assert asked == [3, 3] and counts(record) == (6, 3), "its answers were kept, as they were really made by this engine"


def test_a_killed_evaluation_asks_what_is_missing(
    tiny_base: Path, tmp_path: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    undisturbed = run(tiny_base, tmp_path / "a", MGSM, XQUAD)
    plain, made = HfEngine._answer, []

    def killed(self: HfEngine, *arguments: Any) -> Iterator[Mapping[int, Answer]]:
        for some in plain(self, *arguments):
            if made:
                raise KeyboardInterrupt
            made.append(len(some))
            yield some

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(HfEngine, "_answer", killed)
        run(tiny_base, tmp_path / "b", MGSM, XQUAD)
    resumed = run(tiny_base, tmp_path / "b", MGSM, XQUAD)
    assert asked == [6, 6, 6 - made[0]] and 0 < made[0] < 6
    assert counts(resumed) == (6, 6 - made[0]), "what the answers took is known, whoever paid for them"
    scores = [{task: result.metrics for task, result in record.tasks.items()} for record in (undisturbed, resumed)]
    assert scores[0] == scores[1]


def test_two_suites_share_the_answers_of_their_base(tiny_base: Path, tmp_path: Path, asked: list[int]) -> None:
    one = run(tiny_base, tmp_path, MGSM, BITS)
    other = run(tiny_base, tmp_path, MGSM, BITS, name="other")
    assert asked == [3, 3] and counts(one) == (6, 6) and counts(other) == (6, 0)
    assert [result.comparability for result in one.tasks.values()] == [result.comparability for result in other.tasks.values()]
    assert [result.metrics for result in one.tasks.values()] == [result.metrics for result in other.tasks.values()]
    alone = run(tiny_base, tmp_path, MGSM, BITS, name="alone", share_answers=False)
    assert asked == [3, 3, 3, 3] and counts(alone) == (6, 6) and (tmp_path / "alone" / "_answers").is_dir()


def test_a_damaged_file_of_answers_loses_its_damaged_lines(tiny_base: Path, tmp_path: Path, asked: list[int]) -> None:
    first = run(tiny_base, tmp_path, MGSM)
    (path,) = tmp_path.glob("_answers/*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0" * 40 + b"\n" + lines[2])
    shutil.rmtree(tmp_path / "small")
    again = run(tiny_base, tmp_path, MGSM)
    assert asked == [3, 1] and again.tasks[MGSM].metrics == first.tasks[MGSM].metrics
    assert path.with_name(f"{path.name}.damaged").is_file() and len(path.read_bytes().splitlines()) == 3
