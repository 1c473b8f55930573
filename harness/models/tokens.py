"""How a rendered chat becomes tokens: one rule for the trainer, the engines and lm-eval's models of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Tokens of texts, each with the special tokens that the tokenizer puts before a text where the text does not begin with them.

    Templates of one family write the beginning of a sequence and those of another leave it to the tokenizer; lm-eval adds it in the same
    way. What a tokenizer puts behind a text is left out, as an answer follows a prompt.
    """
    prefix = find_prefix(tokenizer)
    found: list[list[int]] = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
    return [ids if ids[:1] == prefix[:1] else [*prefix, *ids] for ids in found] if prefix else found


def find_prefix(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The special tokens that a tokenizer puts before a text; none for most."""
    plain: list[int] = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole: list[int] = tokenizer("a")["input_ids"]
    place = next(at for at in range(len(whole)) if whole[at : at + len(plain)] == plain)
    return whole[:place]
