"""Masks of a base: which weights are put to 0, by hand and on the tiny model, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from xlift.harness.config.suite import EngineSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.store import write_json
from xlift.harness.core.types import Sampling, ask
from xlift.harness.engines.hf import HfEngine
from xlift.harness.models.adapters import CARD, MASK, check, hash_weights, merge, resolve
from xlift.harness.models.bases import Base
from xlift.harness.models.masks import FILE, count_masked, write_masks
from xlift.harness.models.merging import write_merged
from xlift.harness.plugin import Mask
from xlift.harness.training.masking import write_mask

UP = "model.layers.1.mlp.up_proj"  # 64 x 32


def ones(*names: str) -> dict[str, Any]:
    return {name: np.ones(32, dtype=np.float32) for name in names}


def test_the_least_products_of_each_output_are_put_to_0(tiny: Base, tmp_path: Path) -> None:
    weight = load_file(tiny.folder / "model.safetensors")[f"{UP}.weight"].astype(np.float32)
    norms = np.arange(32, dtype=np.float32)  # the first input never has a value, so its weights go first
    write_mask(Mask("products", 0.25), {UP: norms}, tiny, tmp_path)
    merged = dict(merge(resolve(tmp_path), tiny, "float32").named_parameters())[f"{UP}.weight"].detach().numpy()
    assert ((merged == 0).sum(axis=1) == 8).all(), "a quarter of 32 inputs, of each output"
    for row, kept in zip(weight, merged, strict=True):
        least = sorted(range(32), key=lambda at: abs(row[at]) * norms[at])[:8]
        assert np.array_equal(kept == 0, np.isin(np.arange(32), least)) and np.array_equal(kept[kept != 0], row[kept != 0])
    assert (merged[:, 0] == 0).all() and count_masked(tmp_path) == 64 * 8


def test_a_random_mask_has_the_same_ratio(tiny: Base, tmp_path: Path) -> None:
    for name, rule in (("a", "products"), ("b", "random"), ("c", "random")):
        write_mask(Mask(rule, 0.25), ones(UP), tiny, tmp_path / name)  # type: ignore[arg-type]
    assert count_masked(tmp_path / "a") == count_masked(tmp_path / "b")
    assert resolve(tmp_path / "b").sha256 == resolve(tmp_path / "c").sha256 != resolve(tmp_path / "a").sha256


def test_a_neuron_that_is_off_gives_nothing(tiny: Base, tmp_path: Path) -> None:
    off = np.zeros(64, dtype=bool)
    off[[3, 9]] = True
    write_mask(Mask("neurons"), {"1": off, "0": np.zeros(64, dtype=bool)}, tiny, tmp_path)
    model = merge(resolve(tmp_path), tiny, "float32")
    before = load_file(tiny.folder / "model.safetensors")
    for name, weight in model.named_parameters():
        wanted = before[name].copy()
        if name == "model.layers.1.mlp.down_proj.weight":
            wanted[:, [3, 9]] = 0
        assert np.array_equal(weight.detach().numpy(), wanted), name


def test_bits_are_packed_by_output_from_the_highest_on(tmp_path: Path) -> None:
    write_masks({"w": np.array([[1, 0, 0, 0, 0, 0, 0, 1, 1], [0, 1] + [0] * 7], dtype=bool)}, tmp_path)
    assert load_file(tmp_path / FILE)["w"].tolist() == [[129, 128], [64, 0]]
    assert count_masked(tmp_path) == 4


def test_an_engine_answers_behind_a_mask_and_goes_back(tiny: Base, tmp_path: Path) -> None:
    write_mask(Mask("random", 0.5), ones(UP, "model.layers.0.mlp.up_proj", "model.layers.0.self_attn.q_proj"), tiny, tmp_path)
    asked, sampling = [ask("say 3")], Sampling(max_tokens=8)
    with HfEngine(tiny, EngineSettings(backend="hf", dtype="float32", max_length=128)) as engine:
        before = engine.generate(asked, sampling)
        engine.swap(resolve(tmp_path))
        assert engine.generate(asked, sampling) != before
        engine.swap(None)
        assert engine.generate(asked, sampling) == before
    settings = EngineSettings(backend="hf", dtype="float32", max_length=128, adapter_form="lora")
    with HfEngine(tiny, settings) as engine, pytest.raises(UserError, match="MASK cannot stay beside the weights; set engine.adapter_form"):
        engine.swap(resolve(tmp_path))


def test_a_masked_model_is_written_as_one_of_its_own(tiny: Base, tmp_path: Path) -> None:
    write_mask(Mask("random", 0.5), ones(UP), tiny, tmp_path / "mask")
    out = write_merged(str(tmp_path / "mask"), tmp_path / "out", str(tiny.folder), "float32")
    assert (load_file(out / "model.safetensors")[f"{UP}.weight"] == 0).mean() == 0.5
    assert hash_weights(tmp_path / "mask") is not None


@pytest.mark.parametrize(
    ("edit", "arrays", "says"),
    [
        (Mask("products", 0.01), ones(UP), "the mask is empty"),
        (
            Mask("products", 0.5),
            {UP: np.ones(9, dtype=np.float32)},
            "no linear module of 9 inputs here, so the mask is of another base",
        ),
        (Mask("random", 0.5), ones("model.layers.7.mlp.up_proj"), "model.layers.7.mlp.up_proj is no linear module"),
        (Mask("neurons"), {"0": np.ones(9, dtype=bool)}, "layer 0 has 64 neurons, not 9, so the mask is of another base"),
        (Mask("neurons"), {"2": np.ones(64, dtype=bool)}, "layer 2: the base has 2 layers"),
        (Mask("neurons"), {"0": np.zeros(64, dtype=bool)}, "the mask is empty"),
    ],
)
def test_masks_that_fit_nothing_or_do_nothing_are_refused(
    edit: Mask, arrays: dict[str, Any], says: str, tiny: Base, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=says):
        write_mask(edit, arrays, tiny, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_masks_of_another_base_and_empty_ones_are_refused(tiny: Base, tmp_path: Path) -> None:
    write_mask(Mask("random", 0.5), ones(UP), tiny, tmp_path)
    found = resolve(tmp_path)
    assert found.peft_type == MASK and found.has_weights
    check(found, tiny)
    write_json(tmp_path / CARD, {"base": {"name": "org/other", "sha256": "ffff"}})
    with pytest.raises(UserError, match="trained on another base .org/other, sha256 ffff."):
        check(resolve(tmp_path), tiny)
    (tmp_path / CARD).unlink()
    for arrays, says in (
        ({f"{UP}.weight": np.zeros((64, 4), dtype=np.uint8)}, "its mask is empty"),
        ({f"{UP}.weight": np.ones((64, 5), dtype=np.uint8)}, "has shape .64, 5., the base needs .64, 4."),
        ({f"{UP}.weight": np.ones((64, 4), dtype=np.float32)}, "is float32 of shape .64, 4., and a mask is packed bits"),
        ({"model.layers.9.mlp.up_proj.weight": np.ones((64, 4), dtype=np.uint8)}, "has no place in it"),
    ):
        save_file(arrays, tmp_path / FILE)
        with pytest.raises(UserError, match=says):
            check(resolve(tmp_path), tiny)
