"""An adapter merged into its base and written as a model of its own."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import Call

from xlift.harness.core.errors import UserError
from xlift.harness.core.store import write_json
from xlift.harness.models import bases, merging
from xlift.harness.models.adapters import CARD, PROFILE, merge, resolve
from xlift.harness.models.bases import Base
from xlift.harness.models.merging import write_merged
from xlift.harness.models.profile import InferenceProfile

Make = Callable[..., Path]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_merged_model_stands_alone(dtype: str, tiny: Base, make_adapter: Make, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    adapter = make_adapter(tiny)
    out = write_merged(str(adapter), tmp_path / "out", str(tiny.folder), dtype)
    assert sorted(path.suffix for path in out.iterdir() if path.suffix in (".safetensors", ".bin", ".pt")) == [".safetensors"]
    model, merged, ids = AutoModelForCausalLM.from_pretrained(out), merge(resolve(adapter), tiny, dtype), torch.arange(3, 20)[None]
    assert model.dtype == getattr(torch, dtype)
    assert merged.model.rotary_emb.inv_freq.dtype == torch.float32  # no file holds it, so a cast of it would not be that of the weights
    with torch.inference_mode():
        assert torch.equal(model(ids).logits, merged(ids).logits)
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.chat_template == tiny.chat_template
    assert tokenizer("any text")["input_ids"] == AutoTokenizer.from_pretrained(tiny.folder)("any text")["input_ids"]
    said = json.loads((out / CARD).read_text())["merged"]
    assert (said["adapter"]["sha256"], said["base"]["sha256"], said["dtype"]) == (resolve(adapter).sha256, tiny.sha256, dtype)
    written = (out / CARD).read_text() + (out / "config.json").read_text()
    assert str(tmp_path) not in written and str(tiny.folder) not in written
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_command_finds_the_base_that_the_adapter_names(tiny: Base, make_adapter: Make, tmp_path: Path, call: Call) -> None:
    adapter = make_adapter(tiny, seed=3)
    profile = InferenceProfile(system={"es": "Responde."}).model_dump(mode="json")
    write_json(adapter / CARD, {"base": tiny.facts(), "settings": {"base": {"model": str(tiny.folder)}}, "profile": profile})
    code, out, err = call("merge", adapter, "--out", tmp_path / "out")
    assert code == 0 and out.strip() == str(tmp_path / "out")
    assert "inference profile, which plain servers do not apply" in err
    assert json.loads((tmp_path / "out" / CARD).read_text())["profile"] == profile


def test_the_current_folder_may_become_the_model(tiny: Base, make_adapter: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, place = make_adapter(tiny), tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    write_merged(str(adapter), Path(), str(tiny.folder))
    assert (place / "model.safetensors").is_file() and not list(tmp_path.glob(".*"))


def test_two_that_write_one_model_leave_a_whole_one(
    tiny: Base, make_adapter: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """While one has its files half written, another writes the same model and is ready first."""
    adapter, out, seen = str(make_adapter(tiny)), tmp_path / "out", []

    def be_overtaken(base: Base) -> object:
        if not seen:
            seen.append(base)
            with monkeypatch.context() as other:
                other.setattr(os, "getpid", lambda: 0)
                write_merged(adapter, out, str(tiny.folder))
        return bases.load_tokenizer(base)

    load = bases.load_tokenizer
    monkeypatch.setattr(merging.bases, "load_tokenizer", lambda base: load(base) if seen else be_overtaken(base))
    with pytest.raises(UserError, match="the merged model cannot be written"):
        write_merged(adapter, out, str(tiny.folder))
    assert (out / "model.safetensors").is_file() and (out / CARD).is_file() and not list(tmp_path.glob(".*"))


def test_what_cannot_be_merged_is_refused_in_one_line(tiny: Base, make_adapter: Make, tmp_path: Path, call: Call) -> None:
    bare = tmp_path / "profile"
    bare.mkdir()
    write_json(bare / CARD, {"base": tiny.facts(), "profile": InferenceProfile(system={"es": "Responde."}).model_dump(mode="json")})
    assert resolve(bare).peft_type == PROFILE
    with pytest.raises(UserError, match="a profile without weights, so there is nothing to merge"):
        write_merged(str(bare), tmp_path / "out", str(tiny.folder))
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes").touch()
    for reference, out, dtype, says in [
        (make_adapter(tiny), full, "bfloat16", "full: not an empty folder; name another one with --out"),
        (make_adapter(tiny), tmp_path / "out", "int8", "--dtype 'int8': take one of bfloat16, float16, float32"),
        (make_adapter(tiny, scale=0.0), tmp_path / "out", "float32", "every lora_B is zero"),
    ]:
        code, _, err = call("merge", reference, "--out", out, "--base", tiny.folder, "--dtype", dtype)
        assert code == 2 and says in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
