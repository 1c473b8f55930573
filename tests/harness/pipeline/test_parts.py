"""Methods of several adapters through the pipeline: parts as stages that methods share, their sum, and what is refused before any work."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from xlift.harness.config.suite import Suite, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.store import read_manifest
from xlift.harness.models.adapters import check, resolve
from xlift.harness.pipeline.dry_run import check_suite, plan_run
from xlift.harness.pipeline.run import fit_all, open_run
from xlift.harness.publishing.push import prepare_package

SWAP = {"method": "layer_swap", "options": {"bottom": 1, "top": 0, "transition": 0, "task_corpus": "alpaca", "max_characters": 600}}
SUM = {"method": "task_arithmetic", "options": {"task_corpus": "alpaca", "max_characters": 600}}


def suite_of(base: Path, methods: dict[str, Any], **changes: Any) -> Suite:
    values: dict[str, Any] = {
        "name": "small", "base": {"model": str(base), "hub_id": "org/tiny"}, "data": {"samples": "always"}, "rows": 12,
        "languages": {"train": ["es"], "evaluate": ["es"]}, "methods": methods,
        "translators": {"default": {"kind": "table"}},
        "train": {"tokens": 4000, "batch_tokens": 500, "micro_batch_tokens": 800, "max_length": 400, "dtype": "float32",
                  "learning_rate": 1e-2, "lora": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}},
        "engine": {"backend": "hf", "dtype": "float32"}, "evaluate": {"tasks": ["xlift_mgsm_direct_es"], "limit": 1},
    }  # fmt: skip
    return read_suite({**values, **changes}, "test")


@pytest.mark.usefixtures("in_process")
def test_parts_are_trained_once_for_all_methods_that_have_them(tiny_base: Path, tmp_path: Path) -> None:
    control = {**SWAP, "options": {**SWAP["options"], "uniform": True}}
    suite = suite_of(tiny_base, {"swap": SWAP, "average": control, "sum": SUM})
    planned = {row["label"]: row for row in plan_run(suite, tmp_path)["stages"] if row["stage"] == "fit"}
    run = open_run(suite, tmp_path)
    run.root.mkdir(parents=True)
    made = {model.label: Path(str(model.adapter)) for model in fit_all(run)}
    # the part of the task is that of all three; that of Spanish has the same rows and settings under another name
    parts = {path.parent.name.rpartition("-")[0]: path.parent for path in run.root.glob("part-*/manifest.json")}
    assert sorted(parts) == ["part-es-seed0", "part-language-seed0", "part-task-seed0"]
    for folder in parts.values():
        report = (read_manifest(folder) or {})["report"]
        assert report["steps"] == 4 and 1900 < report["tokens_trained"] < 2400, "half of 4,000 tokens, in steps of 500"
    for label, adapter in made.items():
        manifest = read_manifest(adapter.parent) or {}
        assert manifest["report"]["steps"] == planned[label + "-seed0"]["steps"] == 8
        assert manifest["report"]["tokens_trained"] == planned[label + "-seed0"]["tokens"]
        assert manifest["report"]["parts"] == 2
        check(resolve(adapter), run.base)
    halves = {name: load_file(folder / "adapter" / "adapter_model.safetensors") for name, folder in parts.items()}
    swapped, average = (load_file(made[label] / "adapter_model.safetensors") for label in ("swap", "average"))
    name = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
    for layer, part in ((0, "part-language-seed0"), (1, "part-task-seed0")):
        assert torch.equal(swapped[name.format(layer, "A")], halves[part][name.format(layer, "A")])
        assert torch.equal(swapped[name.format(layer, "B")], 2 * halves[part][name.format(layer, "B")])  # scaling 8 / 4
        assert average[name.format(layer, "A")].shape == (8, 32)
    card = next(file for file in prepare_package(made["swap"], "lab/mine", None)[1] if file.path == "README.md").read().decode()
    assert "kind `mix`" in card and "1 x `task`; in layers 0: 1 x `language`." in card
    assert "| language | language | all |" in card


def test_a_part_has_its_own_identity(tiny_base: Path, tmp_path: Path, in_process: None) -> None:
    run = open_run(suite_of(tiny_base, {"sum": SUM}), tmp_path)
    run.root.mkdir(parents=True)
    (model,) = fit_all(run)
    card = json.loads((Path(str(model.adapter)) / "xlift.json").read_text())
    for path in run.root.glob("part-*"):
        own = json.loads((path / "adapter" / "xlift.json").read_text())
        assert card["parts"][own["part"]]["sha256"] == resolve(path / "adapter").sha256
    before = {path.name for path in run.root.glob("part-*")}
    heavier = open_run(suite_of(tiny_base, {"sum": {**SUM, "options": {**SUM["options"], "language_weight": 0.25}}}), tmp_path)
    (again,) = fit_all(heavier)
    assert again.adapter != model.adapter and {path.name for path in run.root.glob("part-*")} == before, "weights alone train nothing anew"


@pytest.mark.parametrize(
    ("method", "changes", "says"),
    [
        ({"options": {"bottom": 2, "top": 1}}, {}, "methods.m: layer 2: the base has 2 layers, from 0 to 1"),
        ({"options": {"bottom": 1, "top": 2, "transition": 0}}, {}, "methods.m: layer -2 and layer 0 are one, as the base has 2 layers"),
        ({"train": {"lora": None}}, {}, "methods.m: train.lora: the method puts several adapters together, which are LoRA"),
        ({"train": {"lora": {"r": 4, "use_dora": True}}}, {}, "methods.m: train.lora.use_dora: the method puts several adapters together"),
        (
            {"train": {"tokens": 900, "batch_tokens": 500}},
            {},
            "methods.m: part 'language': its share of train.tokens, 0.5 of 900, is less than one step .train.batch_tokens 500",
        ),
        (
            {"options": {"bottom": 1, "top": 0, "transition": 0, "language": 0.1}},
            {},
            "methods.m: part 'language': its share of train.tokens, 0.1",
        ),
        (
            {"train": {"lora": {"r": 129}}},
            {"engine": {"backend": "vllm", "adapter_form": "lora"}},
            "methods.m: rank 258 in 2 parts, side by side is above 256, the most that vllm takes beside the weights; set engine.adapter",
        ),
        ({"train": {"measure_at": [0.5]}}, {}, "methods.m: train.measure_at: the method's adapter is put together at the end"),
    ],
)
def test_what_cannot_be_put_together_is_refused_before_any_work(
    tiny_base: Path, method: dict[str, Any], changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        check_suite(suite_of(tiny_base, {"m": {**SWAP, **method}}, **changes))


@pytest.mark.usefixtures("in_process")
def test_an_expert_alone_is_no_combination(tiny_base: Path, tmp_path: Path) -> None:
    suite = suite_of(tiny_base, {"m": {**SWAP, "options": {**SWAP["options"], "bottom": 0}}})
    with pytest.raises(UserError, match="methods.m: layer_swap: edit: the sum is the part 'task' alone; train that by itself"):
        plan_run(suite, tmp_path)
