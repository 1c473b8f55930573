"""Bases that no adapter can be trained on are refused before any work is done, in one line."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from xlift.harness.config.suite import read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.models.bases import Base
from xlift.harness.models.trainable import check_trainable
from xlift.harness.pipeline.dry_run import check_suite

LLAMA = "{% for m in messages %}{{ '[' + m['role'] + ']' + m['content'] }}{% endfor %}"


@pytest.fixture
def copy(tiny: Base, tmp_path: Path) -> Callable[..., Base]:
    """The tiny base with changes to one of its JSON files; None takes a key out."""

    def change(file: str, **changes: object) -> Base:
        folder = tmp_path / "base"
        shutil.copytree(tiny.folder, folder)
        values = {**json.loads((folder / file).read_text()), **changes}
        (folder / file).write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
        return replace(tiny, folder=folder, name="changed")

    return change


def test_tied_embeddings_cannot_be_saved_at_one_end(copy: Callable[..., Base]) -> None:
    base = copy("config.json", tie_word_embeddings=True)
    for name in ("embed_tokens", "lm_head", "model.embed_tokens"):
        with pytest.raises(UserError, match="methods.m: train.lora.modules_to_save: .* the other end of changed, .* leave it out"):
            check_trainable(base, {"m": {"modules_to_save": [name]}})
    check_trainable(base, {"m": {"modules_to_save": ["norm"]}, "n": {}})


def test_embeddings_of_their_own_can_be_saved(copy: Callable[..., Base]) -> None:
    check_trainable(copy("config.json", tie_word_embeddings=False), {"m": {"modules_to_save": ["embed_tokens", "lm_head"]}})


def test_a_tokenizer_without_an_end_is_refused(copy: Callable[..., Base]) -> None:
    with pytest.raises(UserError, match="its tokenizer names no end-of-text token, so no trained answer could end; give one as eos_token"):
        check_trainable(copy("tokenizer_config.json", eos_token=None), {"m": {}})


def test_chatml_needs_its_tokens(tiny: Base) -> None:
    check_trainable(replace(tiny, chat_template=LLAMA), {"m": {}})
    assert "<|im_start|>" in tiny.chat_template, "the tiny base knows ChatML's marks"
    check_trainable(tiny, {"m": {}})


def test_chatml_on_a_base_without_its_tokens_is_refused(monkeypatch: pytest.MonkeyPatch, tiny: Base) -> None:
    from tokenizers import Tokenizer, models
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    letters = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE(vocab={sign: at for at, sign in enumerate("<|im_start>")}, merges=[])), eos_token="</s>"
    )
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *given, **named: letters)
    with pytest.raises(UserError, match=r"its chat template writes <\|im_start\|>, which its tokenizer does not know as one token; give a"):
        check_trainable(tiny, {"m": {}})


def test_validate_looks_at_a_base_in_a_folder(copy: Callable[..., Base]) -> None:
    base = copy("config.json", tie_word_embeddings=True)
    values = {
        "name": "small", "base": {"model": str(base.folder)}, "languages": {"train": ["es"], "evaluate": ["es"]},
        "methods": {"m": {"method": "cross_lingual"}}, "evaluate": {"tasks": ["xlift_mgsm_direct_es"]},
    }  # fmt: skip
    check_suite(read_suite(values, "test"))
    with pytest.raises(UserError, match="embed_tokens is one with the other end"):
        check_suite(read_suite(values, "test", ["train.lora={r: 4, modules_to_save: [embed_tokens]}"]))
    # A method that trains nothing may have any base.
    check_suite(read_suite(values, "test", ["train.lora={r: 4, modules_to_save: [embed_tokens]}", "methods.m.method=xlt_prompt"]))
