"""Adapters that are put together: their changes of the weights, by hand and on the tiny model, and what is refused."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from xlift.harness.config.suite import EngineSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Sampling, ask
from xlift.harness.engines.hf import HfEngine
from xlift.harness.models.adapters import Adapter, check, merge, resolve
from xlift.harness.models.bases import Base
from xlift.harness.plugin import Mix
from xlift.harness.training.mixing import write_mix

Make = Callable[..., Path]
PLACE = "base_model.model.model.layers.{}.self_attn.q_proj"


def write_part(folder: Path, halves: Sequence[tuple[Any, Any]], **config: Any) -> Adapter:
    """An adapter of one module in each of the layers, with these matrices A and B."""
    folder.mkdir()
    tensors = {}
    for layer, (first, second) in enumerate(halves):
        tensors[PLACE.format(layer) + ".lora_A.weight"] = torch.tensor(first, dtype=torch.float32)
        tensors[PLACE.format(layer) + ".lora_B.weight"] = torch.tensor(second, dtype=torch.float32)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1, "lora_alpha": 2, **config}))
    return resolve(folder)


def read_halves(folder: Path, layer: int) -> tuple[list[Any], list[Any]]:
    tensors = load_file(folder / "adapter_model.safetensors")
    return tensors[PLACE.format(layer) + ".lora_A.weight"].tolist(), tensors[PLACE.format(layer) + ".lora_B.weight"].tolist()


def test_ranks_stand_side_by_side_with_scaling_and_share_in_b(tiny: Base, tmp_path: Path) -> None:
    one = write_part(tmp_path / "one", [([[1, 2]], [[3], [4]]), ([[1, 0]], [[0], [1]])])  # scaling 2 / 1
    two = write_part(tmp_path / "two", [([[5, 6], [0, 1]], [[1, 0], [0, 1]])] * 2, r=2, lora_alpha=2)  # scaling 2 / 2
    write_mix({"one": one, "two": two}, Mix({"two": -1.0}, {0: {"one": 0.5, "two": 1.0}}), tiny, tmp_path / "out")
    # layer 0: 0.5 x 2 x B1 beside 1 x 1 x B2; its change is [[3, 6], [4, 8]] + [[5, 6], [0, 1]]
    first, second = read_halves(tmp_path / "out", 0)
    assert (first, second) == ([[1, 2], [5, 6], [0, 1]], [[3, 1, 0], [4, 0, 1]])
    assert (torch.tensor(second) @ torch.tensor(first)).tolist() == [[8, 12], [4, 9]]
    # layer 1: the second part alone, with its sign turned, and zeros up to rank 3
    assert read_halves(tmp_path / "out", 1) == ([[5, 6], [0, 1], [0, 0]], [[-1, 0, 0], [0, -1, 0]])
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (3, 3, False)


def test_scaling_of_rslora_is_by_the_root_of_the_rank(tiny: Base, tmp_path: Path) -> None:
    parts = {name: write_part(tmp_path / name, [([[1, 1]] * 4, [[1] * 4, [0] * 4])], r=4, use_rslora=True) for name in ("one", "two")}
    write_mix(parts, Mix({"one": 3.0}), tiny, tmp_path / "out")
    assert read_halves(tmp_path / "out", 0)[1] == [[3.0] * 4, [0.0] * 4]  # 3 x 2 / sqrt(4)


def test_the_merged_weights_are_the_base_and_both_changes(tiny: Base, make_adapter: Make, tmp_path: Path) -> None:
    parts = {"one": resolve(make_adapter(tiny, seed=1)), "two": resolve(make_adapter(tiny, seed=2))}
    write_mix(parts, Mix({"two": 1.0}, {0: {"one": 0.75, "two": 0.25}}), tiny, tmp_path / "out")
    mixed = resolve(tmp_path / "out")
    check(mixed, tiny)
    base = load_file(tiny.folder / "model.safetensors")
    tuned = {name: dict(merge(part, tiny, "float32").named_parameters()) for name, part in parts.items()}
    for name, weight in merge(mixed, tiny, "float32").named_parameters():
        shares = {"one": 0.75, "two": 0.25} if ".layers.0." in name else {"two": 1.0}
        wanted = base[name] + sum(share * (tuned[part][name] - base[name]) for part, share in shares.items())
        assert torch.allclose(weight, wanted, atol=1e-6), name


@pytest.mark.parametrize("form", ["merged", "lora"])
def test_an_engine_serves_it_as_any_lora(form: str, tiny: Base, make_adapter: Make, tmp_path: Path) -> None:
    parts = {"one": resolve(make_adapter(tiny, seed=1, scale=0.5)), "two": resolve(make_adapter(tiny, seed=2, scale=0.5))}
    write_mix(parts, Mix({"one": 0.5, "two": 0.5}), tiny, tmp_path / "out")
    with HfEngine(tiny, EngineSettings(backend="hf", dtype="float32", max_length=128, adapter_form=form)) as engine:
        asked, sampling = [ask("say 3")], Sampling(max_tokens=8)
        before = engine.generate(asked, sampling)
        engine.swap(resolve(tmp_path / "out"))
        assert engine.generate(asked, sampling) != before
        engine.swap(None)
        assert engine.generate(asked, sampling) == before


def test_what_cannot_be_added_up_is_refused(tiny: Base, make_base: Make, make_adapter: Make, tmp_path: Path) -> None:
    one, two, both = resolve(make_adapter(tiny, seed=1)), resolve(make_adapter(tiny, seed=2)), Mix({"one": 0.5, "two": 0.5})
    with pytest.raises(UserError, match="part 'two': trained on another base .sha256 ffff., not on "):
        write_mix({"one": one, "two": replace(two, base_sha256="ffff")}, both, tiny, tmp_path / "out")
    dora = resolve(make_adapter(tiny, use_dora=True))
    with pytest.raises(UserError, match="part 'two': is more than LoRA beside linear modules .*lora_magnitude_vector"):
        write_mix({"one": one, "two": dora}, both, tiny, tmp_path / "out")
    narrow = resolve(make_adapter(tiny, target_modules=["q_proj"]))
    with pytest.raises(UserError, match="part 'two': does not train .*; all parts have the same train.lora"):
        write_mix({"one": one, "two": narrow}, both, tiny, tmp_path / "out")
    with pytest.raises(UserError, match="layer 2: the base has 2 layers, from 0 to 1"):
        write_mix({"one": one, "two": two}, Mix({"one": 1.0}, {2: {"two": 1.0}}), tiny, tmp_path / "out")
    with pytest.raises(UserError, match="no part has a share in a layer that it changes"):
        write_mix({"one": one, "two": two}, Mix({}, {}), tiny, tmp_path / "out")
    assert not (tmp_path / "out").exists()
