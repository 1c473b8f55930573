"""How a rendered chat becomes tokens: one rule for the trainer, the engines and lm-eval's models of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from xlift.harness.core.types import Chat

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of texts, with the special tokens that the tokenizer puts before a text, unless the text begins with them already.

    Some families of templates write the beginning of a sequence, others leave it to the tokenizer. lm-eval adds it in the same way. What a
    tokenizer puts after a text is left out, because an answer follows a prompt.
    """
    prefix = find_prefix(tokenizer)
    found: list[list[int]] = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
    return [ids if ids[:1] == prefix[:1] else [*prefix, *ids] for ids in found] if prefix else found


class TokenPair(NamedTuple):
    """The tokens of a prompt, as it is tokenised alone, and of what follows it."""

    prompt: list[int]
    rest: list[int]
    apart: bool = False
    """Whether the two were tokenised apart, because a token would have spanned the boundary."""


def tokenize_pairs(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[tuple[str, str]]) -> list[TokenPair]:
    """The tokens of prompts and of what follows each.

    The two are tokenised together, so that what follows gets the tokens that a text has there. If a token would span the boundary, they are
    tokenised apart. An empty prompt becomes the token that begins a sequence, else the one that ends it, as in lm-eval.
    """
    prompts = tokenize(tokenizer, [prompt for prompt, _ in pairs])
    wholes = tokenize(tokenizer, [prompt + rest for prompt, rest in pairs])
    found = []
    for (text, rest), prompt, whole in zip(pairs, prompts, wholes, strict=True):
        if text and whole[: len(prompt)] == prompt:
            found.append(TokenPair(prompt, whole[len(prompt) :]))
            continue
        begin = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        found.append(TokenPair(prompt if text else [begin], tokenizer(rest, add_special_tokens=False)["input_ids"], apart=bool(text)))
    return found


def tokenize_text(tokenizer: PreTrainedTokenizerBase, text: str | Chat) -> list[int]:
    """The tokens of a text whose states are read. A chat is read up to where its answer begins. Another text follows the token that begins
    a sequence, else the one that ends it. If a template refuses the chat, jinja2's TemplateError is raised."""
    if isinstance(text, str):
        begin = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        return [begin, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    (found,) = tokenize(tokenizer, [tokenizer.apply_chat_template(list(text), tokenize=False, add_generation_prompt=True)])
    return found


def find_prefix(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The special tokens that a tokenizer puts before a text; most put none."""
    plain: list[int] = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole: list[int] = tokenizer("a")["input_ids"]
    place = next(at for at in range(len(whole)) if whole[at : at + len(plain)] == plain)
    return whole[:place]
