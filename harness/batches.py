"""Rows as tokens, and the rows of each optimiser step: drawn at random, and inside a step put with others of like length."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, count
from math import ceil
from typing import Any

from xlift.harness.config import TrainSettings
from xlift.harness.rows import Example, UserError

PADDING = 0.05
"""The most padding that a forward pass may hold, as a share of its tokens."""

Step = tuple[tuple[int, ...], ...]
"""Row numbers of one optimiser step, by forward pass; the longest rows come first."""


@dataclass(frozen=True)
class Encoded:
    """One row as the model sees it."""

    id: str
    tokens: tuple[int, ...]
    prompt: int
    """Tokens before the response; all later ones carry loss, the end of the turn included."""

    @property
    def response(self) -> int:
        return len(self.tokens) - self.prompt


@dataclass(frozen=True)
class Corpus:
    """The rows that can be trained on, and what the length limit did to the others."""

    rows: tuple[Encoded, ...]
    cut: int
    """Rows that lost their end."""
    dropped: int
    """Rows whose prompt alone fills the limit."""

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        return tuple(len(row.tokens) for row in self.rows)


@dataclass(frozen=True)
class Course:
    """A training from its first step to its last."""

    corpus: Corpus
    steps: tuple[Step, ...]

    @cached_property
    def tokens(self) -> tuple[int, ...]:
        """Trained after each step, in all, without padding."""
        return tuple(accumulate(sum(self.corpus.lengths[number] for one in step for number in one) for step in self.steps))

    @property
    def epochs(self) -> float:
        """Rows gone through, as a multiple of the rows there are."""
        return sum(len(one) for step in self.steps for one in step) / len(self.corpus.rows)

    @property
    def response_tokens(self) -> int:
        return sum(self.corpus.rows[number].response for step in self.steps for one in step for number in one)

    @property
    def padding_share(self) -> float:
        area = sum(len(one) * self.corpus.lengths[one[0]] for step in self.steps for one in step)
        return 1 - self.tokens[-1] / area


def encode(rows: Sequence[Example], tokenizer: Any, max_length: int) -> Corpus:
    """Render each chat with the tokenizer's template, and mark where the response begins.

    The prompt is tokenised as inference does it, with the opening of the assistant's turn. The response ends with the token that ends the
    turn: what a template writes after that is left out, and where a template ends no turn the tokenizer's end token does.
    Raises UserError for a template that refuses a row or writes a finished turn unlike an open one, and where no row is left.
    """
    texts = [_render(row, tokenizer) for row in rows]
    prompts = _tokenize(tokenizer, [prompt for prompt, _ in texts])
    wholes = _tokenize(tokenizer, [prompt + response for prompt, response in texts])
    ends = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    kept, cut = [], 0
    for row, (_, response), prompt, whole in zip(rows, texts, prompts, wholes, strict=True):
        # Where a token spans the boundary, the prompt stays as inference will see it.
        tail = whole[len(prompt) :] if whole[: len(prompt)] == prompt else _tokenize(tokenizer, [response])[0]
        tokens = [*prompt, *_end_turn(tail, ends, tokenizer)]
        if len(prompt) < max_length:
            cut += len(tokens) > max_length
            kept.append(Encoded(row.id, tuple(tokens[:max_length]), len(prompt)))
    if not kept:
        raise UserError(f"train.max_length {max_length}: none of {len(rows)} rows can be trained on, all prompts alone are that long")
    return Corpus(tuple(kept), cut, len(rows) - len(kept))


def plan(corpus: Corpus, settings: TrainSettings, seed: int) -> Course:
    """The rows of every optimiser step, the same for the same corpus, settings and seed.

    Epochs are shuffled one by one and strung together; the last step is the first that reaches the budget (``tokens``, else ``epochs``).
    What a step holds does not depend on ``micro_batch_tokens``. Raises UserError for a row that fits no step or no forward pass.
    """
    _refuse_long(corpus, settings)
    lengths = corpus.lengths
    budget = settings.tokens or ceil(settings.epochs * sum(lengths))
    epochs = count() if settings.tokens else range(ceil(settings.epochs))
    order = (number for epoch in epochs for number in _shuffle(len(lengths), seed, epoch))
    steps, spent = [], 0
    for numbers in _fill(order, lengths, int(settings.batch_tokens * (1 - PADDING))):
        steps.append(split(numbers, lengths, settings.micro_batch_tokens))
        spent += sum(lengths[number] for number in numbers)
        if spent >= budget:
            break
    return Course(corpus, tuple(steps))


def split(numbers: Sequence[int], lengths: Sequence[int], limit: int) -> Step:
    """Rows of one step into forward passes of at most ``limit`` tokens (rows x width), each with at most 5 % padding."""
    passes: list[list[int]] = []
    width = tokens = 0
    for number in sorted(numbers, key=lambda number: (-lengths[number], number)):
        length = lengths[number]
        area = width * (len(passes[-1]) + 1) if passes else 0
        if passes and area <= limit and tokens + length >= (1 - PADDING) * area:
            passes[-1].append(number)
            tokens += length
        else:
            passes.append([number])
            width = tokens = length
    return tuple(tuple(found) for found in passes)


def _render(row: Example, tokenizer: Any) -> tuple[str, str]:
    from jinja2 import TemplateError

    chat = list(row.messages)
    try:
        prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template([*chat, {"role": "assistant", "content": row.response}], tokenize=False)
    except TemplateError as error:
        raise UserError(f"row {row.id!r}: the base model's chat template refuses it: {error}") from None
    if not whole.startswith(prompt):
        raise UserError(
            f"row {row.id!r}: the base model's chat template writes a finished turn unlike an open one, so training would not match what "
            "is asked later; give another template with base.chat_template"
        )
    return prompt, whole[len(prompt) :]


def _tokenize(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    # The template writes the special tokens itself.
    found: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return found


def _end_turn(tail: list[int], ends: set[int], tokenizer: Any) -> list[int]:
    last = next((place for place in reversed(range(len(tail))) if tail[place] in ends), None)
    if last is None or tokenizer.decode(tail[last + 1 :]).strip():
        return [*tail, tokenizer.eos_token_id]
    return tail[: last + 1]


def _refuse_long(corpus: Corpus, settings: TrainSettings) -> None:
    for key in ("batch_tokens", "micro_batch_tokens"):
        limit = getattr(settings, key)
        for row in corpus.rows:
            if len(row.tokens) > limit:
                raise UserError(f"row {row.id!r} has {len(row.tokens)} tokens, train.{key} is {limit}: raise it, or lower train.max_length")


def _shuffle(size: int, seed: int, epoch: int) -> list[int]:
    numbers = list(range(size))
    random.Random(f"{seed}/{epoch}").shuffle(numbers)
    return numbers


def _fill(order: Iterator[int], lengths: Sequence[int], room: int) -> Iterator[list[int]]:
    held: list[int] = []
    tokens = 0
    for number in order:
        if held and tokens + lengths[number] > room:
            yield held
            held, tokens = [], 0
        held.append(number)
        tokens += lengths[number]
    if held:
        yield held
