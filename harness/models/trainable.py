"""Whether an adapter can be trained on a base, judging by its tokenizer, template and configuration, before any work is done."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xlift.harness.core.errors import UserError, name_nearest, one_line
from xlift.harness.models.bases import Base, load_tokenizer
from xlift.harness.models.thinking import split_turn

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

CHATML = ("<|im_start|>", "<|im_end|>")
EMBEDDINGS = frozenset({"embed_tokens", "lm_head", "wte", "word_embeddings", "embed_in", "embed_out"})
"""The names of the first and the last layer of language models, which are the same if embeddings are tied."""


def check_trainable(base: Base, trainings: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises UserError for a base without an end of text, for a template whose training and inference would differ, for ChatML's markers if
    they are no tokens, and for a LoRA that the base cannot take.

    ``trainings`` has ``train.lora`` by the method's label.
    """
    tokenizer = load_tokenizer(base)
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"base model {base.name!r}: its tokenizer names no end-of-text token, so no trained answer could end; give one as eos_token in "
            "tokenizer_config.json"
        )
    _check_turns(base, tokenizer)
    for mark in CHATML:
        if mark in base.chat_template and len(tokenizer(mark, add_special_tokens=False).input_ids) != 1:
            raise UserError(
                f"base model {base.name!r}: its chat template writes {mark}, which its tokenizer does not know as one token; give a "
                "template for this model with base.chat_template"
            )
    for label, lora in trainings.items():
        if (targets := lora.get("target_modules", "all-linear")) not in ("all-linear", None):
            check_modules(base, targets, f"methods.{label}: train.lora.target_modules")
        saved = [str(name).rsplit(".", 1)[-1] for name in _as_list(lora.get("modules_to_save"))]
        if (tied := sorted(EMBEDDINGS & set(saved))) and _has_tied_embeddings(base):
            raise UserError(
                f"methods.{label}: train.lora.modules_to_save: {tied[0]} is one with the other end of {base.name}, whose embeddings are "
                "tied, so a copy of it alone would part them; leave it out"
            )


def _check_turns(base: Base, tokenizer: PreTrainedTokenizerBase) -> None:
    from jinja2 import TemplateError

    chat = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]
    try:
        asked = tokenizer.apply_chat_template(chat[:1], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(chat, tokenize=False)
    except TemplateError:  # it may want a system turn, which the rows of a method may have
        return
    if split_turn(asked, whole) is None:
        raise UserError(
            f"base model {base.name!r}: its chat template writes a finished turn unlike an open one, so training would not match what is "
            f"asked later ({asked[-30:]!r} ends the open one); set engine.thinking: off if it opens thinking, or give another with "
            "base.chat_template"
        )


def check_modules(base: Base, targets: object, place: str) -> None:
    """Raises UserError, which begins with ``place``, if no layer of the base has one of the names that LoRA targets."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base.folder))
    layers = [name for name, module in model.named_modules() if hasattr(module, "weight") and not list(module.children())]
    names = [str(name) for name in _as_list(targets)]
    pattern = names[0] if isinstance(targets, str) else ""
    try:
        found = [layer for layer in layers if re.fullmatch(pattern, layer) or any(f".{layer}".endswith(f".{name}") for name in names)]
    except re.error as error:
        raise UserError(f"{place}: {pattern!r} is no pattern ({error})") from None
    if not found:
        known = {layer.rsplit(".", 1)[-1] for layer in layers} - EMBEDDINGS
        raise UserError(f"{place}: {base.name} has no layer {', '.join(names)}{name_nearest(names[0], known)}")


def count_layers(base: Base) -> int:
    """The number of layers of the base's decoder. Raises UserError if its configuration does not say."""
    depth = getattr(_read_config(base), "num_hidden_layers", None)
    if not isinstance(depth, int):
        raise UserError(f"base model {base.name!r}: its config.json does not say how many layers it has (num_hidden_layers)")
    return depth


def _has_tied_embeddings(base: Base) -> bool:
    return bool(getattr(_read_config(base), "tie_word_embeddings", False))


def _read_config(base: Base) -> PretrainedConfig:
    """The configuration of the text model, if the base has other models beside it."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(base.folder)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"base model {base.name!r}: transformers does not read its config.json: {one_line(error)}") from error
    return config.get_text_config()


def _as_list(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else [value] if value else []
