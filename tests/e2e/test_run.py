"""The whole pipeline on a tiny random model: undisturbed, resumed, killed at every stage, and given wrong adapters."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from stages import stages_here
from thinking import EMPTY, write_base

from xlift.harness.config.suite import read_suite
from xlift.harness.core import store
from xlift.harness.core.errors import LeakError, UserError
from xlift.harness.core.types import Answer, Chat, Sampling
from xlift.harness.evaluation.records import Record, read_records
from xlift.harness.pipeline.context import RunContext
from xlift.harness.pipeline.run import run_suite
from xlift.leaderboard.site.builder import build
from xlift.results import load_results

pytestmark = pytest.mark.slow

XLIFT = Path(sys.executable).parent / "xlift"


def suite_of(base: Path, **changes: object) -> dict[str, object]:
    return {
        "name": "small",
        "base": {"model": str(base)},
        "data": {"samples": "always"},
        "languages": {"train": ["es"], "evaluate": ["en", "es"]},
        "rows": 30,
        "methods": {"m": {"method": "cross_lingual"}},
        "train": {"tokens": 12000, "batch_tokens": 768, "micro_batch_tokens": 768, "max_length": 384, "learning_rate": 1.0e-2,
                  "dtype": "float32", "checkpoint_steps": 3, "lora": {"r": 4, "target_modules": "all-linear"}},
        "engine": {"backend": "hf", "dtype": "float32", "max_length": 2048},
        "evaluate": {"tasks": ["xlift_mgsm_direct_{lang}", "xlift_flores_eng_Latn_{flores}"], "limit": 3},
        **changes,
    }  # fmt: skip


def run(base: Path, runs: Path, **changes: object) -> Path:
    with stages_here():
        return run_suite(read_suite(suite_of(base, **changes), "test"), runs)


def manifests(folder: Path, kind: str) -> dict[str, dict]:
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob(f"{kind}-*/manifest.json"))}


@pytest.fixture(scope="module")
def finished(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tiny_base, tmp_path_factory.mktemp("runs"))


def test_a_model_is_trained_and_asked_with_its_thinking_off(tiny_base: Path, tmp_path: Path) -> None:
    base = write_base(tiny_base, tmp_path / "base")
    training = {"tokens": 600, "batch_tokens": 300, "micro_batch_tokens": 300, "max_length": 300, "dtype": "float32", "lora": {"r": 4}}
    measured = {"tasks": ["xlift_mgsm_direct_es"], "limit": 2}
    engine = {"backend": "hf", "dtype": "float32", "max_length": 2048, "thinking": "off"}
    folder = run(base, tmp_path, rows=4, train=training, evaluate=measured, engine=engine)
    (card,) = folder.glob("fit-*/adapter/xlift.json")
    made = json.loads(card.read_text())
    assert (made["base"]["template_options"], made["settings"]["engine"]["thinking"]) == ({"enable_thinking": False}, "off")
    for record in read_records([folder]).records:
        assert record.engine["thinking"] == "off" and record.cost["evaluate"]["thinking_tokens"] == 0
    for samples in folder.glob("evaluate-*/samples_*.jsonl"):
        asked = [json.loads(line)["arguments"]["gen_args_0"]["arg_0"] for line in samples.read_text().splitlines()]
        assert len(asked) == 2 and all(prompt.endswith(f"<|im_start|>assistant\n{EMPTY}") for prompt in asked)


def test_a_run_leaves_rows_an_adapter_and_scores(finished: Path) -> None:
    (prepared,) = manifests(finished, "prepare").values()
    (fitted,) = manifests(finished, "fit").values()
    assert prepared["kinds"] == {"en/pivot_instructions": 10, "es/target_instructions": 10, "es/translation": 10}
    assert fitted["report"]["tokens_trained"] >= 12000
    base, adapted = read_records([finished]).records
    assert (base.label, adapted.name, adapted.trained) == ("base", "m (seed 0)", ("es",))
    assert set(base.tasks) == {"xlift_mgsm_direct_en", "xlift_mgsm_direct_es", "xlift_flores_eng_Latn_spa_Latn"}
    for task, result in base.tasks.items():
        assert (result.items, result.items_of, result.data_origin) == (3, 40 if "flores" in task else 24, "samples")
        assert result.comparability == adapted.tasks[task].comparability
        assert (finished / next(iter(finished.glob("evaluate-base-*"))).name / str(result.samples)).is_file()
    assert adapted.adapter is not None
    assert adapted.adapter["sha256"] == fitted["adapter_sha256"]
    (fit,) = finished.glob("fit-*")
    assert adapted.adapter["name"] == f"{fit.name}/adapter", "no folder of this machine"
    made = json.loads((fit / "adapter" / "xlift.json").read_text())
    again = read_suite(made["settings"], "xlift.json")
    assert (again.train.tokens, list(again.methods), again.seeds) == (12000, ["m"], (0,))


def test_the_same_command_again_does_nothing(finished: Path, tiny_base: Path) -> None:
    def list_times() -> dict[Path, int]:
        """But for the resolved suite, and what processes that share the folder tell each other."""
        files = [path for path in finished.rglob("*") if path.is_file() and ".leases" not in path.parts]
        return {path: path.stat().st_mtime_ns for path in files if path.name != "suite.resolved.json"}

    before = list_times()
    run(tiny_base, finished.parent)
    assert before == list_times()


def test_a_changed_option_runs_that_methods_stages_alone(finished: Path, tiny_base: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "small")
    method = {"method": "cross_lingual", "options": {"direction": "both"}}
    run(tiny_base, tmp_path, methods={"m": method})
    assert len(manifests(tmp_path / "small", "prepare")) == 2
    assert len(list((tmp_path / "small").glob("evaluate-base-*"))) == 1


@pytest.mark.parametrize("step", [1, -1], ids=["forwards", "backwards"])
def test_the_settings_that_were_asked_for_last_count(
    finished: Path, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Also where the clock is set a year on or back with each look at it."""
    years = itertools.count(2050, step)
    monkeypatch.setattr(store, "read_clock", lambda: f"{next(years)}-01-01T00:00:00.000000Z")
    shutil.copytree(finished, tmp_path / "small")
    fewer = {**suite_of(tiny_base)["evaluate"], "limit": 1}  # type: ignore[dict-item]
    for changes, items in (({}, 3), ({"evaluate": fewer}, 1), ({}, 3)):
        newest = read_records([run(tiny_base, tmp_path, **changes)])
        assert {record.label for record in newest.records} == {"base", "m"}
        assert {task.items for record in newest.records for task in record.tasks.values()} == {items}
    assert len(newest.left_out) == 2


def test_two_engines_measure_what_one_does(finished: Path, tiny_base: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "small", ignore=shutil.ignore_patterns("evaluate-*"))
    settings = suite_of(tiny_base, evaluate={**suite_of(tiny_base)["evaluate"], "engines": 2})  # type: ignore[dict-item]
    both = run_suite(read_suite(settings, "test"), tmp_path)
    assert set(manifests(both, "evaluate")) == set(manifests(finished, "evaluate"))
    assert [record.tasks for record in _without_dates(both)] == [record.tasks for record in _without_dates(finished)]


@pytest.mark.parametrize("stage", ["prepare", "fit", "evaluate"])
def test_killed_and_resumed_equals_undisturbed(stage: str, finished: Path, tiny_base: Path, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(suite_of(tiny_base)))
    command = [str(XLIFT), "run", str(path), "--runs", str(tmp_path / "runs")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    sign = {"prepare": "prepare-*.part", "fit": "fit-*.part/checkpoints/*", "evaluate": "evaluate-*.part"}[stage]
    deadline = time.monotonic() + 120
    while not list((tmp_path / "runs").glob(f"small/{sign}")):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = tmp_path / "runs" / "small"
    assert list(left.glob(f"{stage}-*.part"))
    run(tiny_base, tmp_path / "runs")
    assert not list(left.glob("*.part"))
    for kind in ("prepare", "fit", "evaluate"):
        assert set(manifests(left, kind)) == set(manifests(finished, kind))
    (ours,), (theirs,) = (manifests(folder, "fit").values() for folder in (left, finished))
    assert ours["adapter_sha256"] == theirs["adapter_sha256"]
    assert ours["report"]["tokens_trained"] == theirs["report"]["tokens_trained"]
    assert [record.tasks for record in _without_dates(left)] == [record.tasks for record in _without_dates(finished)]


def _without_dates(folder: Path) -> list[Record]:
    """Records without what is not the same twice: names of files, which have a date, and seconds."""
    found = read_records([folder]).records
    unlike = {"samples": None, "cost": None}
    return [
        record.model_copy(update={"tasks": {name: task.model_copy(update=unlike) for name, task in record.tasks.items()}})
        for record in found
    ]


def test_a_dead_stage_is_one_line(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xlift.harness.pipeline.processes import run_apart

    with pytest.raises(UserError, match="prepare: its process died"):
        run_apart("prepare", os._exit, 9)


def test_the_resolved_suite_lies_beside_the_stages(finished: Path) -> None:
    resolved = json.loads((finished / "suite.resolved.json").read_text())
    assert resolved["train"]["warmup"] == 0.05
    assert read_suite(resolved, "resolved").methods["m"].method == "cross_lingual"


def test_an_unchanged_adapter_is_refused(finished: Path, tiny_base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    adapter = tmp_path / "idle"
    shutil.copytree(next(finished.glob("fit-*")) / "adapter", adapter)
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({name: weight * ("lora_B" not in name) for name, weight in weights.items()}, adapter / "adapter_model.safetensors")
    with pytest.raises(UserError, match="unchanged"):
        run(tiny_base, tmp_path, methods={}, evaluate={**suite_of(tiny_base)["evaluate"], "adapters": {"idle": str(adapter)}})


def test_rows_that_overlap_evaluation_items_are_dropped_or_refused(tiny_base: Path, tmp_path: Path) -> None:
    # Ask for the training sentences as if they were evaluation items: everything leaks.
    from xlift.harness.pipeline.context import RunContext
    from xlift.tasks.data import read_training
    from xlift.tasks.leaks import Guard

    sentences = read_training("parallel", "es", samples="always")["en"]
    for strict in (False, True):
        suite = read_suite(suite_of(tiny_base, data={"samples": "always", "strict": strict}), "test")
        context = RunContext(suite, "m", Guard(sentences[:50]), lambda chats, sampling: pytest.fail("no engine is needed"))
        if strict:
            with pytest.raises(LeakError, match="50 training rows overlap evaluation items"):
                context.read("parallel", "es")
        else:
            assert len(context.read("parallel", "es")) == len(sentences) - 50


def test_dry_run_writes_nothing(tiny_base: Path, tmp_path: Path) -> None:
    from xlift.harness.pipeline.dry_run import plan_run

    plan = plan_run(read_suite(suite_of(tiny_base), "test"), tmp_path / "runs")
    assert [(row["stage"], row["label"], row["state"]) for row in plan["stages"]] == [
        ("prepare", "m", "to do"), ("fit", "m-seed0", "to do"), ("evaluate", "base", "to do"), ("evaluate", "m-seed0", "to do"),
    ]  # fmt: skip
    assert plan["stages"][-1]["items"] == 9
    assert not (tmp_path / "runs").exists()


def test_dry_run_knows_what_is_done(finished: Path, tiny_base: Path) -> None:
    from xlift.harness.pipeline.dry_run import plan_run

    plan = plan_run(read_suite(suite_of(tiny_base), "test"), finished.parent)
    assert {row["state"] for row in plan["stages"]} == {"done"}


def test_dry_run_counts_nothing_for_prompts_alone(tiny_base: Path, tmp_path: Path) -> None:
    from xlift.harness.pipeline.dry_run import plan_run

    settings = {**suite_of(tiny_base), "methods": {"xlt": {"method": "xlt_prompt"}}, "seeds": [0, 1]}
    stages = plan_run(read_suite(settings, "test"), tmp_path / "runs")["stages"]
    assert [(row["stage"], row["label"], row["rows"], row["tokens"]) for row in stages] == [
        ("prepare", "xlt", 0, None), ("fit", "xlt", 0, 0), ("evaluate", "base", None, None), ("evaluate", "xlt", None, None),
    ]  # fmt: skip


def test_rounds_end_in_one_adapter_and_prompts_need_none(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = RunContext.generate

    def finish(self: RunContext, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        """A random model never ends its answer, and LIDR makes no pair of answers that were cut off."""
        return [replace(found, finished=True) for found in answer(self, chats, sampling)]

    monkeypatch.setattr(RunContext, "generate", finish)
    lidr = {
        "method": "dpo_self_improvement",
        "options": {"prompt_corpus": "alpaca", "prompts": 4, "max_tokens": 12, "rounds": 2},
        "translators": {pair: {"kind": "command", "command": "tr a-z b-za"} for pair in ("en-es", "es-en")},
    }
    folder = run(
        tiny_base, tmp_path, methods={"lidr": lidr, "xlt": {"method": "xlt_prompt"}}, rows=16,
        train={**suite_of(tiny_base)["train"], "tokens": 3000}, evaluate={"tasks": ["xlift_mgsm_direct_{lang}"], "limit": 2},
    )  # fmt: skip
    prepared = {manifest["label"]: manifest for manifest in manifests(folder, "prepare").values()}
    assert set(prepared) == {"lidr", "lidr-seed0-round2", "xlt"}
    first, second = prepared["lidr"], prepared["lidr-seed0-round2"]
    assert first["inputs"]["model"]["adapter"] is None
    assert second["inputs"]["model"]["adapter"] == manifests(folder, "fit")[fit_of(folder, "lidr-seed0-")]["adapter_sha256"]
    assert first["plan"]["objective"] == {"kind": "dpo", "beta": 0.1, "nll_weight": 1.0, "length_normalised": True}
    assert first["plan"]["rows_sha256"] != second["plan"]["rows_sha256"], "the second round takes other prompts"
    assert first["translated"] == {"en-es: command": {"asked": 4, "failed": 0}, "es-en: command": {"asked": 4, "failed": 0}}

    base, adapted, prompted = read_records([folder]).records
    assert (adapted.name, prompted.name, prompted.seed) == ("lidr (seed 0)", "xlt", None)
    last = json.loads((folder / fit_of(folder, "lidr-seed0-round2") / "adapter" / "xlift.json").read_text())
    assert last["round"] == 2
    fits = [manifest["report"] for manifest in manifests(folder, "fit").values() if manifest["report"]]
    assert adapted.cost["fit"]["tokens_trained"] == sum(report["tokens_trained"] for report in fits)
    assert adapted.cost["prepare"]["rows"] == first["rows"] + second["rows"]
    assert prompted.cost["fit"] == {}
    assert prompted.adapter is not None
    assert prompted.adapter["peft_type"] == "PROFILE"
    assert prompted.profile is not None
    assert prompted.profile["answers"] == 2, "Spanish is trained, English is asked as the task says"
    assert base.tasks["xlift_mgsm_direct_es"].comparability == prompted.tasks["xlift_mgsm_direct_es"].comparability


def fit_of(folder: Path, start: str) -> str:
    (name,) = [path.name for path in folder.glob(f"fit-{start}*") if start.endswith("round2") or "round2" not in path.name]
    return name


CURVED = ["xlift_mgsm_direct_{lang}", "xlift_flores_bpb_eng_Latn_{flores}"]


def test_points_of_a_curve_are_measured_on_likelihoods_alone(tiny_base: Path, tmp_path: Path) -> None:
    train = {**suite_of(tiny_base)["train"], "measure_at": [0.25, 0.5]}  # type: ignore[dict-item]
    folder = run(tiny_base, tmp_path, train=train, evaluate={"tasks": CURVED, "limit": 3})
    found = read_records([folder])
    assert [record.name for record in found.records] == ["base", "m (seed 0)"]
    assert [one.record.name for one in found.points] == ["m (seed 0) at 25%", "m (seed 0) at 50%"]
    assert set(found.points[0].record.tasks) == {"xlift_flores_bpb_eng_Latn_spa_Latn"}
    whole = found.records[1].cost["fit"]["tokens_trained"]
    quarter, half = (one.record.cost["fit"]["tokens_trained"] for one in found.points)
    assert whole / 4 <= quarter < half < whole
    curves = load_results(folder).curves()
    assert list(curves["share"]) == [0.25, 0.5, 1.0] and set(curves["benchmark"]) == {"xlift_flores_bpb_from_en"}
    assert set(load_results(folder).scores["model"]) == {"base", "m (seed 0)"}
    build([folder], tmp_path / "site")
    assert 'aria-label="Lift over the base in the trained languages' in (tmp_path / "site" / "index.html").read_text()


def test_a_curve_needs_a_likelihood_task(tiny_base: Path, tmp_path: Path) -> None:
    train = {**suite_of(tiny_base)["train"], "measure_at": [0.5]}  # type: ignore[dict-item]
    with pytest.raises(UserError, match="points of a curve are measured on likelihood tasks"):
        run(tiny_base, tmp_path, train=train)
