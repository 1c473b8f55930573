"""Trainings of the weights themselves: what is trained, what is written, and that it is measured and refused as an adapter is."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from preference_training import SETTINGS, make_pairs
from safetensors.torch import load_file

from xlift.harness.config.suite import EngineSettings, TrainSettings, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Example, Sampling, ask
from xlift.harness.engines.hf import HfEngine
from xlift.harness.models.adapters import FULL, check, hash_weights, merge, resolve
from xlift.harness.models.bases import Base
from xlift.harness.plugin import Dpo, Plan, Where
from xlift.harness.training.report import FitReport
from xlift.harness.training.trainer import fit

ROWS = tuple(Example(ask(f"say {number}"), "word " * 4, "en", f"r{number}", "test") for number in range(12))


def train(base: Base, stage: Path, start: Path | None = None, plan: Plan | None = None, **changed: Any) -> FitReport:
    settings = TrainSettings(**{**SETTINGS, "lora": None, "learning_rate": 1e-2, **changed})
    provenance: Any = {"method": "cross_lingual", "base": {"name": "org/tiny", "sha256": base.sha256}}
    return fit(base.folder, plan or Plan(ROWS), settings, stage / "adapter", seed=0, provenance=provenance, start=start)


def test_all_weights_are_trained_and_a_model_is_written(tiny: Base, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    report = train(tiny, tmp_path, epochs=4, measure_at=(0.5,))
    bare = AutoModelForCausalLM.from_pretrained(tiny.folder)
    assert report.trained_parameters == sum(weight.numel() for weight in bare.parameters())
    assert report.final_loss < report.curve[0][2] - 0.5
    out = tmp_path / "adapter"
    adapter = resolve(out)
    assert (adapter.peft_type, adapter.base_name, adapter.has_weights) == (FULL, "org/tiny", True)
    check(adapter, tiny)
    before, after = load_file(tiny.folder / "model.safetensors"), load_file(out / "model.safetensors")
    assert before.keys() == after.keys() and not any(torch.equal(before[name], after[name]) for name in before)
    assert AutoTokenizer.from_pretrained(out).chat_template == tiny.chat_template
    model, ids = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32), torch.arange(3, 20)[None]
    with torch.inference_mode():
        assert torch.equal(merge(adapter, tiny, "float32")(ids).logits, model(ids).logits)
    (point,) = report.points
    assert resolve(tmp_path / point.folder).peft_type == FULL and hash_weights(tmp_path / point.folder) != hash_weights(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "points"]


def test_whole_weights_are_rounded_once_to_the_numbers_asked_for(tiny: Base, tmp_path: Path) -> None:
    train(tiny, tmp_path, dtype="bfloat16")
    weights = load_file(tmp_path / "adapter" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "adapter" / "config.json").read_text())["dtype"] == "bfloat16"


def test_an_engine_answers_with_whole_weights_and_goes_back(tiny: Base, tmp_path: Path) -> None:
    train(tiny, tmp_path, epochs=8)
    with HfEngine(tiny, EngineSettings(backend="hf", dtype="float32", max_length=128)) as engine:
        asked, sampling = [ask("say 3")], Sampling(max_tokens=8)
        before = engine.generate(asked, sampling)
        engine.swap(resolve(tmp_path / "adapter"))
        tuned = engine.generate(asked, sampling)
        engine.swap(None)
        assert engine.generate(asked, sampling) == before
    assert tuned != before and tuned[0].text.startswith("word")


def test_layers_and_modules_alone(tiny: Base, tmp_path: Path) -> None:
    report = train(tiny, tmp_path, plan=Plan(ROWS, where=Where((0,), ("up_proj", "down_proj"))))
    assert report.trained_parameters == 2 * 32 * 64
    before, after = load_file(tiny.folder / "model.safetensors"), load_file(tmp_path / "adapter" / "model.safetensors")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {f"model.layers.0.mlp.{module}.weight" for module in ("up_proj", "down_proj")}
    with pytest.raises(UserError, match="the model has no weights in up_prj, so that nothing would be trained"):
        train(tiny, tmp_path / "no", plan=Plan(ROWS, where=Where(modules=("up_prj",))))


def test_a_round_goes_on_from_whole_weights_and_preferences_compare_with_them(tiny: Base, tmp_path: Path) -> None:
    train(tiny, tmp_path / "one")
    first = tmp_path / "one" / "adapter"
    report = train(tiny, tmp_path / "two", first, Plan(make_pairs(8), Dpo(nll_weight=0.0)), learning_rate=1e-9)
    # nothing has moved since the start of the round, so all margins are 0
    assert report.reward_margin == pytest.approx(0, abs=1e-4) and report.final_loss == pytest.approx(0.693147, abs=1e-4)
    one, two = (load_file(tmp_path / name / "adapter" / "model.safetensors") for name in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)
    with pytest.raises(UserError, match="holds no LoRA .FULL., so training cannot go on from it"):
        train(tiny, tmp_path / "three", first, lora=SETTINGS["lora"])


def test_a_model_of_another_shape_or_the_base_itself_is_refused(tiny: Base, make_base: Any, tmp_path: Path) -> None:
    other = resolve(make_base(hidden=64))
    assert other.peft_type == FULL
    with pytest.raises(UserError, match="does not fit base .*: .* has shape .* the base needs"):
        check(other, tiny)
    with pytest.raises(UserError, match="leaves the weights .* unchanged in float32"):
        merge(resolve(tiny.folder), tiny, "float32")


def test_the_configuration_of_whole_weights_is_the_bases(tiny: Base, tmp_path: Path) -> None:
    """A pulled config.json may say anything: fewer layers, another activation, code of its own."""
    train(tiny, tmp_path)
    adapter = tmp_path / "adapter"
    whole = {name: weight.clone() for name, weight in merge(resolve(adapter), tiny, "float32").named_parameters()}
    config = json.loads((adapter / "config.json").read_text())
    code = {"auto_map": {"AutoModelForCausalLM": "evil.Model"}, "model_type": "evil", "num_hidden_layers": 1, "hidden_act": "relu"}
    for text in (json.dumps({**config, **code}), "{"):
        (adapter / "config.json").write_text(text)
        again = merge(resolve(adapter), tiny, "float32")
        assert again.config.hidden_act == "silu"
        assert all(torch.equal(weight, whole[name]) for name, weight in again.named_parameters())
    (adapter / "model.safetensors").write_bytes((adapter / "model.safetensors").read_bytes()[:2000])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        resolve(adapter)


SUITE: dict[str, Any] = {
    "name": "small", "languages": {"train": ["es"], "evaluate": ["es"]}, "methods": {"m": {"method": "cross_lingual"}},
    "evaluate": {"tasks": ["xlift_mgsm_direct_es"]}, "train": {"lora": None},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("train.quantise=4bit", "methods.m: train.quantise .4bit.: rounded weights cannot be trained"),
        ("engine.adapter_form=lora", "methods.m: train.lora: null trains whole weights, which engine.adapter_form: lora does not serve"),
        ("train.learning_rate=1.0e-5", ""),
    ],
)
def test_what_does_not_go_with_whole_weights_is_refused_by_the_suite(change: str, says: str) -> None:
    if says:
        with pytest.raises(UserError, match=says):
            read_suite(SUITE, "test", [change])
    else:
        assert read_suite(SUITE, "test", [change]).training("m").lora is None


def test_whole_weights_with_a_profile_are_no_profile_alone(tiny: Base, tmp_path: Path) -> None:
    train(tiny, tmp_path)
    card = tmp_path / "adapter" / "xlift.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "profile": {"system": {"es": "Responde en español."}}}))
    found = resolve(tmp_path / "adapter")
    assert found.peft_type == FULL and found.profile is not None and found.has_weights
