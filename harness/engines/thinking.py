"""Thinking in an engine: its allowance beside the answer's, and which of the tokens it took."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TYPE_CHECKING

from xlift.harness.core.types import Answer, Sampling
from xlift.tasks.thinking import MARKS, find_answer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def cut(text: str, stop: Sequence[str]) -> str:
    """The text before the first of the stop strings."""
    return text[: min((at for word in stop if word and (at := text.find(word)) >= 0), default=len(text))]


def widen(sampling: Sampling, tokens: int, tokenizer: PreTrainedTokenizerBase | None = None) -> Sampling:
    """A request with room for thinking. Its stop strings are left to ``take_apart``, because thinking may contain them and continue.

    Those that are tokens of the tokenizer's own stay, because they end everything that a model says.
    """
    if not tokens:
        return sampling
    own = tokenizer.get_added_vocab() if tokenizer else {}
    return replace(sampling, max_tokens=sampling.max_tokens + tokens, stop=tuple(word for word in sampling.stop if word in own))


def take_apart(answer: Answer, opening: str, sampling: Sampling, tokenizer: PreTrainedTokenizerBase | None = None) -> Answer:
    """An answer to a request before it was widened, with its thinking counted.

    ``opening`` is the tag with which its prompt ends; it is then at the beginning of the text. What follows thinking ends where the
    request's own stop strings and tokens end it, so that a model that does not think gets no longer answer than one that does. Without a
    tokenizer, as for a server's model, the share of thinking is counted by characters, and the server decides the length of the rest.
    """
    text = opening + answer.text
    start = find_answer(text)
    if not start and answer.tokens <= sampling.max_tokens:
        return replace(answer, text=cut(text, sampling.stop))
    said = cut(text[start:], sampling.stop)
    finished = answer.finished or said != text[start:]
    if tokenizer is None:
        return replace(
            answer, text=text[:start] + said, finished=finished, thinking_tokens=round(answer.tokens * start / max(1, len(text)))
        )
    spoken: list[int] = tokenizer(text[start:], add_special_tokens=False)["input_ids"]
    thinking = max(0, answer.tokens - len(spoken) - answer.finished) if start else 0
    if answer.tokens > sampling.max_tokens:
        kept: list[int] = tokenizer(said, add_special_tokens=False)["input_ids"]
        if len(kept) > sampling.max_tokens:
            said, finished = tokenizer.decode(kept[: sampling.max_tokens]), False
    return replace(answer, text=text[:start] + said, finished=finished, thinking_tokens=thinking)


def find_marks(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The special tokens of a tokenizer that are a tag of thinking, or a part of one: those of Command A and Magistral are, Qwen3's are
    not."""
    marks = [*MARKS, *MARKS.values()]
    special = {number: token.content for number, token in tokenizer.added_tokens_decoder.items() if token.special and token.content}
    return frozenset(number for number, content in special.items() if any(content in mark for mark in marks))


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], marks: AbstractSet[int]) -> str:
    """The text of tokens without special tokens, but for ``marks``."""
    if marks.isdisjoint(ids):
        return str(tokenizer.decode(ids, skip_special_tokens=True))
    dropped = set(tokenizer.all_special_ids) | {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return str(tokenizer.decode([number for number in ids if number in marks or number not in dropped], skip_special_tokens=False))
