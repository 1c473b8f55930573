"""Trainings of some layers and modules alone: what is trained, what gets no gradient, and what is refused before any work."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from preference_training import SETTINGS
from safetensors.torch import load_file

from xlift.harness.config.suite import TrainSettings, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Example, ask
from xlift.harness.models.adapters import check, merge, resolve
from xlift.harness.models.bases import Base
from xlift.harness.pipeline.dry_run import check_suite
from xlift.harness.plugin import Plan, Where
from xlift.harness.training.report import FitReport
from xlift.harness.training.trainer import fit

ROWS = tuple(Example(ask(f"say {number}"), "word " * 4, "en", f"r{number}", "test") for number in range(12))


def train(base: Path, stage: Path, where: Where | None, **changed: Any) -> FitReport:
    settings, provenance = TrainSettings(**{**SETTINGS, **changed}), {"base": {"name": "org/tiny"}}
    return fit(base, Plan(ROWS, where=where), settings, stage / "adapter", seed=0, provenance=provenance)


def test_some_modules_of_one_layer_are_trained_and_nothing_else(tiny: Base, tmp_path: Path) -> None:
    report = train(tiny.folder, tmp_path, Where((-1,), ("up_proj", "down_proj")))
    # rank 4; up_proj is 64 x 32 and down_proj 32 x 64: each 4 x (32 + 64)
    assert report.trained_parameters == 2 * 4 * (32 + 64)
    names = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert sorted(names) == [
        f"base_model.model.model.layers.1.mlp.{module}.lora_{half}.weight" for module in ("down_proj", "up_proj") for half in "AB"
    ]
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["layers_to_transform"], config["target_modules"]) == ([1], ["down_proj", "up_proj"])
    adapter = resolve(tmp_path / "adapter")
    check(adapter, tiny)
    changed, before = merge(adapter, tiny, "float32"), load_file(tiny.folder / "model.safetensors")
    moved = [name for name, weight in changed.named_parameters() if not torch.equal(weight, before[name])]
    assert moved == ["model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.down_proj.weight"]


def test_all_linear_modules_of_a_layer(tiny_base: Path, tmp_path: Path) -> None:
    train(tiny_base, tmp_path, Where((0,)))
    names = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert len(names) == 2 * 7 and all(".layers.0." in name for name in names)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("layers", "reached"), [((1,), {1}), ((0,), {0, 1})])
def test_no_gradient_goes_below_the_lowest_trained_layer(
    layers: tuple[int, ...], reached: set[int], checkpointing: bool, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.llama.modeling_llama import LlamaModel

    forward, found = LlamaModel.forward, set()

    def watch(model: Any, *arguments: Any, **named: Any) -> Any:
        def keep(number: int, state: torch.Tensor) -> None:
            if state.requires_grad:
                state.register_hook(lambda gradient: found.add(number))

        hooks = [
            layer.register_forward_hook(lambda module, given, state, number=number: keep(number, state))
            for number, layer in enumerate(model.layers)
        ]
        outputs = forward(model, *arguments, **named)
        for hook in hooks:
            hook.remove()
        return outputs

    monkeypatch.setattr(LlamaModel, "forward", watch)
    report = train(tiny_base, tmp_path, Where(layers), gradient_checkpointing=checkpointing, epochs=4)
    assert found == reached
    assert report.curve[-1][2] < report.curve[0][2]


SUITE: dict[str, Any] = {
    "name": "small", "languages": {"train": ["es"], "evaluate": ["es"]}, "methods": {"m": {"method": "question_alignment"}},
    "evaluate": {"tasks": ["xlift_mgsm_direct_es"]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("methods.m.options.layers=[0, 2]", "methods.m.options.layers: layer 2: the base has 2 layers, from 0 to 1; -1 is the last one"),
        ("methods.m.options.modules=[up_prj]", "methods.m.options.modules: .* has no layer up_prj; did you mean 'up_proj'"),
        ("methods.m.options={layers: [0], modules: []}", ""),
    ],
)
def test_layers_and_modules_are_checked_before_any_work(change: str, says: str, tiny: Base) -> None:
    suite = read_suite({**SUITE, "base": {"model": str(tiny.folder)}}, "test", [change])
    if says:
        with pytest.raises(UserError, match=says):
            check_suite(suite)
    else:
        check_suite(suite)
