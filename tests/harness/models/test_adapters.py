"""Adapters: which are taken, which are refused and why, and what merging leaves."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import refusal
from safetensors.torch import load_file, save_file

from xlift.harness.config.suite import BaseSettings
from xlift.harness.models.adapters import CARD, CONFIG, WEIGHTS, check, merge, resolve
from xlift.harness.models.bases import Base
from xlift.harness.models.bases import resolve as resolve_base

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def pristine(tiny: Base, make_adapter: Make) -> Path:
    return make_adapter(tiny)


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "adapter"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def retensor(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS, metadata={"format": "pt"})


def test_any_peft_adapter_is_taken(folder: Path, tiny: Base) -> None:
    adapter = resolve(folder)
    assert (adapter.peft_type, adapter.base_sha256, adapter.revision) == ("LORA", None, None)
    check(adapter, tiny)


def test_the_hash_covers_weights_and_configuration(folder: Path) -> None:
    before = resolve(folder).sha256
    edit(folder / CONFIG, lora_alpha=16)
    assert resolve(folder).sha256 != before


def test_its_names_do_not_depend_on_how_it_was_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = folder.parent / "fit-m-seed0-aaaa"
    stage.mkdir()
    trained = Path(shutil.copytree(folder, stage / "adapter"))
    monkeypatch.chdir(stage)
    for typed in (str(trained), "adapter", "./adapter/", "../fit-m-seed0-aaaa/adapter"):
        found = resolve(typed)
        assert (found.short_name, found.place) == ("fit-m-seed0-aaaa/adapter", str(trained))
    assert resolve("../adapter").short_name == "adapter", "the name of a folder that holds it is nobody's business"


PROFILE = {"header": {"es": "[ES]"}}


def test_a_profile_is_part_of_the_hash(folder: Path) -> None:
    plain = resolve(folder)
    parts = (folder / WEIGHTS).read_bytes() + (folder / CONFIG).read_bytes()
    assert plain.sha256 == hashlib.sha256(parts).hexdigest() and plain.profile is None
    hashes = {plain.sha256}
    for profile in (None, PROFILE, {**PROFILE, "token_factor": 2}):
        (folder / CARD).write_text(json.dumps({"profile": profile, "fit": {}}))
        found = resolve(folder)
        hashes.add(found.sha256)
        assert (found.profile is None) == (profile is None) and found.has_weights
    assert len(hashes) == 3
    (folder / CARD).write_text(json.dumps({"profile": {**PROFILE, "token_factor": 2.0, "without_header": "empty"}}))
    assert resolve(folder).sha256 == found.sha256, "a default that is written out is no other profile"
    (folder / CARD).write_text(json.dumps({"profile": {"headers": {}}}))
    assert f"{CARD}: profile: unknown key 'headers'; did you mean 'header'" in refusal(lambda: resolve(folder))


def test_a_profile_alone_is_an_adapter(tmp_path: Path, tiny: Base) -> None:
    (tmp_path / CARD).write_text(json.dumps({"profile": PROFILE}))
    adapter = resolve(tmp_path)
    assert (adapter.peft_type, adapter.has_weights, adapter.base_sha256) == ("PROFILE", False, None)
    check(adapter, tiny)
    edit(tmp_path / CARD, base={"name": "tiny", "sha256": tiny.sha256})
    check(resolve(tmp_path), tiny)
    edit(tmp_path / CARD, base={"name": "other", "sha256": "0" * 64})
    assert "another base" in refusal(lambda: check(resolve(tmp_path), tiny))
    edit(tmp_path / CARD, profile={"token_factor": 2})
    assert "nor a profile that changes anything" in refusal(lambda: resolve(tmp_path))
    edit(tmp_path / CARD, profile=None)
    assert f"no {CONFIG}" in refusal(lambda: resolve(tmp_path))


def test_missing_and_broken_files(folder: Path, tmp_path: Path) -> None:
    assert "write hub:org/name" in refusal(lambda: resolve("org/name"))
    assert f"no {CONFIG}" in refusal(lambda: resolve(tmp_path))
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    assert "not a whole safetensors file" in refusal(lambda: resolve(folder))
    (folder / WEIGHTS).write_bytes(b"")
    assert "not a whole safetensors file" in refusal(lambda: resolve(folder))
    (folder / WEIGHTS).unlink()
    assert f"no {WEIGHTS}" in refusal(lambda: resolve(folder))
    (folder / "adapter_model.bin").touch()
    assert "pickled" in refusal(lambda: resolve(folder))
    (folder / CONFIG).write_text("{")
    assert "cannot be read" in refusal(lambda: resolve(folder))


def test_a_hub_adapter_that_cannot_be_had(unplugged: None) -> None:
    assert "hf download org/name --revision abc" in refusal(lambda: resolve("hub:org/name@abc"))
    assert "not a hub name" in refusal(lambda: resolve("hub:org/name/more"))


def test_the_recorded_base_decides(folder: Path, tiny: Base) -> None:
    (folder / "xlift.json").write_text(json.dumps({"base": {"name": "other", "sha256": "0" * 64}}))
    assert "trained on another base" in refusal(lambda: check(resolve(folder), tiny))
    (folder / "xlift.json").write_text(json.dumps({"base": {"name": "other", "sha256": tiny.sha256}}))
    check(resolve(folder), tiny)


def test_shapes_decide_where_no_base_is_recorded(folder: Path, make_base: Make, tiny: Base, caplog: pytest.LogCaptureFixture) -> None:
    wider = resolve_base(BaseSettings(model=str(make_base(hidden=64))))
    assert "has shape (4, 32), the base needs (4, 64)" in refusal(lambda: check(resolve(folder), wider))
    edit(folder / CONFIG, base_model_name_or_path="org/mirror")
    check(resolve(folder), tiny)
    assert "names org/mirror as its base" in caplog.text


def test_modules_that_the_base_has_not(folder: Path, tiny: Base) -> None:
    edit(folder / CONFIG, target_modules=["query_key_value"])
    assert "does not fit base" in refusal(lambda: check(resolve(folder), tiny))


def test_tensors_too_few_and_too_many(folder: Path, tiny: Base) -> None:
    retensor(folder, lambda tensors: {name: tensor for name, tensor in tensors.items() if "layers.1" not in name})
    assert "is missing" in refusal(lambda: check(resolve(folder), tiny))
    modules = json.loads((folder / CONFIG).read_text())["target_modules"]
    edit(folder / CONFIG, target_modules=[name for name in modules if "layers.1" not in name])
    check(resolve(folder), tiny)
    retensor(folder, lambda tensors: {**tensors, "base_model.model.model.layers.7.mlp.up_proj.lora_A.weight": torch.zeros(4, 32)})
    assert "has no place in it" in refusal(lambda: check(resolve(folder), tiny))


def test_an_adapter_that_was_not_trained(tiny: Base, make_adapter: Make) -> None:
    assert "every lora_B is zero" in refusal(lambda: check(resolve(make_adapter(tiny, scale=0.0)), tiny))


def test_a_change_below_the_precision_is_no_change(tiny: Base, make_adapter: Make) -> None:
    faint = resolve(make_adapter(tiny, scale=1e-12, target_modules=["q_proj"]))
    check(faint, tiny)
    assert "unchanged in bfloat16" in refusal(lambda: merge(faint, tiny, "bfloat16"))


def test_values_that_are_no_numbers(folder: Path, tiny: Base) -> None:
    retensor(folder, lambda tensors: {name: tensor * float("nan") for name, tensor in tensors.items()})
    assert "not finite" in refusal(lambda: merge(resolve(folder), tiny, "float32"))


def test_prompts_cannot_be_merged(tiny: Base, tmp_path: Path) -> None:
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny.folder), config).save_pretrained(tmp_path)
    assert "adds prompts, not weights" in refusal(lambda: check(resolve(tmp_path), tiny))


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}, {"modules_to_save": ["norm"]}])
def test_merged_weights_give_the_adapters_logits(tiny: Base, make_adapter: Make, options: dict[str, Any]) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = resolve(make_adapter(tiny, **options))
    check(adapter, tiny)
    model, base = merge(adapter, tiny, "float32"), AutoModelForCausalLM.from_pretrained(tiny.folder, dtype=torch.float32)
    now = dict(model.named_parameters())
    assert sum(not torch.equal(tensor, now[name]) for name, tensor in base.named_parameters()) == 14  # two layers of seven linear modules
    ids = torch.arange(3, 20)[None]
    with torch.inference_mode():
        merged = model(ids).logits
        beside = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny.folder), adapter.folder)(ids).logits
        plain = AutoModelForCausalLM.from_pretrained(tiny.folder)(ids).logits
    torch.testing.assert_close(merged, beside, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(merged, plain, atol=1e-2)


def test_a_merge_is_in_the_type_asked_for(tiny: Base, folder: Path) -> None:
    assert {tensor.dtype for tensor in merge(resolve(folder), tiny, "bfloat16").parameters()} == {torch.bfloat16}


def test_an_output_layer_of_its_own_does_not_fit_tied_embeddings(tiny: Base, make_adapter: Make) -> None:
    adapter = resolve(make_adapter(tiny, target_modules=["q_proj"], modules_to_save=["lm_head"]))
    weights = load_file(adapter.folder / WEIGHTS)
    head = next(name for name in weights if "lm_head" in name)
    retensor(adapter.folder, lambda tensors: {**tensors, head: tensors[head] + 1})
    assert "base shares with its embeddings" in refusal(lambda: merge(adapter, tiny, "float32"))


@pytest.mark.parametrize("name", [CONFIG, CARD])
def test_json_that_is_nested_too_deeply_is_one_line(folder: Path, name: str) -> None:
    (folder / name).write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    assert "cannot be read: nested too deeply" in refusal(lambda: resolve(folder))
