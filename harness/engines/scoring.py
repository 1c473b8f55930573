"""Likelihoods on a transformers model: a common beginning of several sequences is read once, and logits are computed only for answers."""

from __future__ import annotations

import copy
import inspect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import eq

import torch
from transformers import DynamicCache, PreTrainedModel

from xlift.harness.core.types import Likelihood
from xlift.harness.engines.base import Pair

LEAST_SAVED = 64
"""The fewest tokens that reading a common beginning once must save, since it costs a forward pass of its own."""
CPU_TOKENS = 512
"""The most tokens of one forward pass on a CPU. With 8192 it took a third to two thirds more time, with SmolLM2 in float32 on one core."""
MOST_LOGITS = 2**26
"""The most logits that one forward pass makes: a quarter of a GiB in float32."""


@dataclass(frozen=True)
class Target:
    """One answer in a line."""

    place: int
    """The place of the pair to which it belongs."""
    start: int
    """The position of its first token in the line."""
    answer: tuple[int, ...]


@dataclass(frozen=True)
class Line:
    """Tokens that are read, and the answers that they score. An answer's last token is not read, so answers may differ in it."""

    tokens: tuple[int, ...]
    targets: tuple[Target, ...]

    @property
    def first(self) -> int:
        """The first position whose logits are needed."""
        return min(target.start for target in self.targets) - 1


@dataclass(frozen=True)
class Family:
    """Lines that begin with the same tokens."""

    shared: int
    """How many tokens are read once for all lines; 0 if each line is read by itself."""
    lines: tuple[Line, ...]


def score_pairs(model: PreTrainedModel, pairs: Sequence[Pair], batch_tokens: int) -> Iterator[dict[int, Likelihood]]:
    """The likelihoods of pairs by their places, after each forward pass.

    A forward pass reads at most ``batch_tokens`` tokens, fewer on a CPU, or one line.

    Lines are padded after their last token. No earlier token sees the padding, so neither a mask nor positions are needed.
    """
    if model.device.type == "cpu":
        batch_tokens = min(batch_tokens, CPU_TOKENS)
    for family in gather(make_lines(pairs)):
        start = _read(model, family.lines[0].tokens[: family.shared]) if family.shared else None
        for lines in cut(family, batch_tokens, model.config.get_text_config().vocab_size):
            yield _score_lines(model, lines, family.shared, copy.deepcopy(start))


def make_lines(pairs: Sequence[Pair]) -> list[Line]:
    """Each distinct line once, in the order of their tokens. Pairs that differ only in the last token of the answer share a line."""
    targets: dict[tuple[int, ...], list[Target]] = defaultdict(list)
    for place, (prompt, answer) in enumerate(pairs):
        targets[(*prompt, *answer[:-1])].append(Target(place, len(prompt), answer))
    return [Line(tokens, tuple(targets[tokens])) for tokens in sorted(targets)]


def gather(lines: Sequence[Line], least_saved: int = LEAST_SAVED) -> list[Family]:
    """Neighbours in a sorted list that save tokens by a common beginning. The remaining lines are one family that shares nothing."""
    families: list[Family] = []
    alone: list[Line] = []
    for family in _grow(lines):
        if (len(family.lines) - 1) * family.shared >= least_saved:
            families.append(family)
        else:
            alone += family.lines
    return [*families, Family(0, tuple(alone))] if alone else families


def _grow(lines: Sequence[Line]) -> Iterator[Family]:
    """Groups of lines. A line joins its neighbours as long as they save more tokens with it than without it, although they may then share
    fewer."""
    members: list[Line] = []
    shared = 0
    for line in lines:
        if members:
            common = min(shared, line.first, sum(1 for _ in takewhile(bool, map(eq, members[-1].tokens, line.tokens))))
            if len(members) * common > (len(members) - 1) * shared:
                members.append(line)
                shared = common
                continue
            yield Family(shared, tuple(members))
        members, shared = [line], line.first
    if members:
        yield Family(shared, tuple(members))


def cut(family: Family, batch_tokens: int, vocabulary: int) -> Iterator[list[Line]]:
    """Batches of a family's lines from the longest down, within the limits of tokens and of logits, with at least one line."""
    batch: list[Line] = []
    first = 0
    for line in sorted(family.lines, key=lambda line: -len(line.tokens)):
        if batch:
            longest, earliest = len(batch[0].tokens), min(first, line.first)
            logits = (len(batch) + 1) * (longest - earliest) * vocabulary
            if (len(batch) + 1) * longest > batch_tokens or logits > MOST_LOGITS:
                yield batch
                batch = []
        first = min(first, line.first) if batch else line.first
        batch.append(line)
    if batch:
        yield batch


def _read(model: PreTrainedModel, tokens: Sequence[int]) -> DynamicCache:
    cache = DynamicCache(config=model.config)
    model(input_ids=torch.tensor([tokens], device=model.device), past_key_values=cache, use_cache=True, **_keep(model, 1))
    return cache


def _score_lines(model: PreTrainedModel, lines: Sequence[Line], shared: int, start: DynamicCache | None) -> dict[int, Likelihood]:
    longest = max(len(line.tokens) for line in lines)
    ids = torch.zeros(len(lines), longest - shared, dtype=torch.long)
    for row, line in enumerate(lines):
        ids[row, : len(line.tokens) - shared] = torch.tensor(line.tokens[shared:])
    cached: dict[str, object] = {"use_cache": False}
    if start is not None:
        start.batch_repeat_interleave(len(lines))
        cached = {"past_key_values": start, "use_cache": True}
    first = min(line.first for line in lines)
    mask = torch.ones(len(lines), longest, dtype=torch.long, device=model.device)  # transformers warns of padding where there is none
    logits = model(input_ids=ids.to(model.device), attention_mask=mask, **cached, **_keep(model, longest - first)).logits
    first = longest - logits.shape[1]  # all positions, where a model cannot keep some alone
    found = {}
    for row, line in enumerate(lines):
        for target in line.targets:
            begin = target.start - 1 - first
            found[target.place] = read_off(logits[row, begin : begin + len(target.answer)].float(), target.answer)
    return found


def read_off(logits: torch.Tensor, answer: Sequence[int]) -> Likelihood:
    """The likelihood of an answer from the float logits at its tokens, tokens x vocabulary."""
    wanted = torch.tensor(answer, device=logits.device)
    chosen = logits.gather(1, wanted[:, None])[:, 0]
    nats = (chosen.double() - logits.logsumexp(-1).double()).sum()
    return Likelihood(float(nats), len(answer), bool((logits.argmax(-1) == wanted).all()))


def _keep(model: PreTrainedModel, last: int) -> dict[str, int]:
    return {"logits_to_keep": last} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
