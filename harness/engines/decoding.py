"""Requests that are answered together on transformers: each step writes one token of each, and a finished one makes room for the next.

Of a step behind long texts, transformers spends most of its time on copies: of all keys and values with each new token, and again for each
query head that shares them. Here a new token is written into room that was kept, and query heads share without a copy. See
benchmarks/decoding.py.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.generation import RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopPLogitsWarper
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from xlift.harness.core.types import Sampling
from xlift.harness.engines.steering import Moves

ROOM = 128
"""The most tokens for which room is kept behind the last one of a cache."""
BY_LENGTH = ("longrope", "dynamic")
"""Rotary positions that depend on the longest text of a batch, so that a request must not join longer ones."""


@dataclass
class Request:
    """A request that is being answered."""

    prompt: list[int]
    sampling: Sampling
    seed: int
    answer: list[int] = field(default_factory=list)
    finished: bool = False
    generator: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)

    @property
    def width(self) -> int:
        """The tokens that it may come to hold, prompt and answer."""
        return len(self.prompt) + self.sampling.max_tokens

    @property
    def left(self) -> int:
        """The most tokens that will be read behind those that are held; the last one of an answer is not read."""
        return self.sampling.max_tokens - max(1, len(self.answer))

    @property
    def is_done(self) -> bool:
        return self.finished or len(self.answer) >= self.sampling.max_tokens


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """The keys and values of a layer (texts, heads, tokens, width), as views of tensors that have room for more tokens."""

    _layer_type = None  # transformers makes its own class for such a layer, not this one
    keys: Tensor
    values: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.room = 0
        """The tokens for which room is kept, where room is made."""
        self._kept: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write new keys and values behind the others, and return all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if self._kept is None or self._kept[0].shape[-2] < end:
            held = [(self.keys, self.values)] if start else []
            self._kept = self._make_room(held, start, end, (key_states, value_states))
        for kept, new in zip(self._kept, (key_states, value_states), strict=True):
            kept[..., start:end, :] = new
        self.keys, self.values = (kept[..., :end, :] for kept in self._kept)
        return self.keys, self.values

    def take(self, texts: Tensor, dropped: int) -> None:
        """Go on with some texts, without the first ``dropped`` tokens."""
        if self.get_seq_length():
            self.keys, self.values, self._kept = self.keys[texts, :, dropped:], self.values[texts, :, dropped:], None

    def join(self, other: GrowingLayer) -> None:
        """Put the texts of another layer behind these. Both end at the last token; the shorter ones have zeros before their first."""
        if not self.get_seq_length():  # a layer that the model does not use
            return
        length = max(self.get_seq_length(), other.get_seq_length())
        pieces = [(self.keys, self.values), (other.keys, other.values)]
        self._kept = self._make_room(pieces, length, length, pieces[0])
        self.keys, self.values = (kept[..., :length, :] for kept in self._kept)

    def _make_room(
        self, pieces: Sequence[tuple[Tensor, Tensor]], length: int, most: int, like: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Keys and values of ``pieces``, below each other, each ending at ``length``, with room behind the place ``most``."""
        found = []
        for which in (0, 1):
            texts = sum(piece[which].shape[0] for piece in pieces) or like[which].shape[0]
            kept = like[which].new_zeros((texts, like[which].shape[1], most + self.room, like[which].shape[3]))
            row = 0
            for piece in pieces:
                states = piece[which]
                kept[row : row + len(states), :, length - states.shape[2] : length] = states
                row += len(states)
            found.append(kept)
        return found[0], found[1]


def make_cache(config: PreTrainedConfig) -> DynamicCache:
    """An empty cache. Layers of full attention grow in place, others are those of transformers."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


@contextmanager
def share_keys() -> Iterator[None]:
    """While the context lasts, a single token of each text attends in models with sdpa without a copy of the keys for each query head.

    The heads that share keys take the place of tokens, all of which see the same. transformers copies where there is a mask.
    """
    usual = ALL_ATTENTION_FUNCTIONS["sdpa"]
    ALL_ATTENTION_FUNCTIONS["sdpa"] = partial(_attend, usual)
    try:
        yield
    finally:
        ALL_ATTENTION_FUNCTIONS["sdpa"] = usual


def _attend(
    usual: Callable[..., tuple[Tensor, None]], module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None = None, **others: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    texts, heads, tokens, width = query.shape
    shared = heads // key.shape[1]
    differs = attention_mask is not None and attention_mask.shape[1] != 1  # a mask for each head
    if tokens != 1 or shared == 1 or differs or others.get("position_bias") is not None or others.get("dropout"):
        return usual(module, query, key, value, attention_mask, scaling=scaling, **others)
    folded = query.reshape(texts, key.shape[1], shared, width)
    found = nn.functional.scaled_dot_product_attention(folded, key, value, attn_mask=attention_mask, scale=scaling)
    return found.reshape(texts, 1, heads, value.shape[-1]), None


@dataclass
class Batch:
    """Requests with what the model holds of them; each text of the mask (texts, tokens) ends at the last place."""

    rows: list[Request]
    cache: DynamicCache
    mask: Tensor
    can_grow: bool
    """Whether requests can be added to it."""

    def __post_init__(self) -> None:
        self.make_room()

    def take(self, places: Sequence[int]) -> None:
        """Go on with the requests at some places, of which there is one or more."""
        left = torch.tensor(places, device=self.mask.device, dtype=torch.long)
        self.rows, mask = [self.rows[place] for place in places], self.mask[left]
        dropped = mask.shape[1] - int(mask.sum(1).max()) if self.can_grow else 0
        self.mask = mask[:, dropped:]
        self.make_room()
        for layer in self.cache.layers:
            if isinstance(layer, GrowingLayer):
                layer.take(left, dropped)
            elif hasattr(layer, "recurrent_states"):  # transformers has no selection of texts for these
                layer.reorder_cache(left)
            else:
                layer.batch_select_indices(left)

    def join(self, other: Batch) -> None:
        """Add the requests of another batch."""
        self.rows += other.rows
        self.make_room()
        for ours, theirs in zip(self.cache.layers, other.cache.layers, strict=True):
            ours.join(theirs)
        length = max(self.mask.shape[1], other.mask.shape[1])
        self.mask = torch.cat([nn.functional.pad(mask, (length - mask.shape[1], 0)) for mask in (self.mask, other.mask)])

    def make_room(self) -> None:
        """Room is made until the first request is done. So no text takes more places than the widest request may come to hold."""
        room = min(ROOM, *(row.left for row in self.rows))
        for layer in self.cache.layers:
            if isinstance(layer, GrowingLayer):
                layer.room = room


@dataclass
class Writer:
    """Writes answers with a model: ``read`` has what it is given of prompts, with their mask, and ``ends`` says whether one is finished."""

    model: PreTrainedModel
    moves: Moves
    read: Callable[[Sequence[Request]], tuple[dict[str, Tensor], Tensor]]
    ends: Callable[[Request], bool]

    @cached_property
    def _parameters(self) -> Set[str]:
        """What the model can be given."""
        return inspect.signature(self.model.forward).parameters.keys()

    def write(self, waiting: Sequence[Request], extra: int, tokens: int) -> Iterator[list[Request]]:
        """Answer requests, the widest first, and yield those that are done, after each step, also where there are none.

        The number of requests times the largest width, with ``extra`` tokens, is at most ``tokens``, unless there is one alone.
        """
        queue = sorted(waiting, key=lambda row: row.width, reverse=True)
        batch: Batch | None = None
        while queue or batch:
            count = _count_fitting(batch, queue, extra, tokens)
            if batch is None:
                batch = self._begin(queue[:count])
            elif count and batch.can_grow:
                batch.join(self._begin(queue[:count]))
            else:
                count = 0
                self._step(batch)
            queue = queue[count:]
            done = [row for row in batch.rows if row.is_done]
            left = [place for place, row in enumerate(batch.rows) if not row.is_done]
            if not left:
                batch = None
            elif done:
                batch.take(left)
            yield done

    def _begin(self, rows: Sequence[Request]) -> Batch:
        read, mask = self.read(rows)
        self.moves.read_prompts(*mask.shape)
        cache = make_cache(self.model.config)
        batch = Batch(list(rows), cache, mask, can_grow=self._can_grow(cache))
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        self._choose(batch, read, positions)
        return batch

    def _can_grow(self, cache: DynamicCache) -> bool:
        """Whether a request's answer is the same beside others that are longer: positions are given, and all layers see all tokens."""
        rope = json.dumps(getattr(self.model.config.get_text_config(), "rope_parameters", None) or {}, default=str)
        settled = "position_ids" in self._parameters and not any(kind in rope for kind in BY_LENGTH)
        return settled and bool(cache.layers) and all(isinstance(layer, GrowingLayer) for layer in cache.layers)

    def _step(self, batch: Batch) -> None:
        batch.mask = nn.functional.pad(batch.mask, (0, 1), value=1)
        batch.make_room()
        read = {"input_ids": torch.tensor([[row.answer[-1]] for row in batch.rows], device=self.model.device)}
        self.moves.read_answers(len(batch.rows))
        with share_keys():
            self._choose(batch, read, batch.mask.sum(-1, keepdim=True) - 1)

    def _choose(self, batch: Batch, read: dict[str, Tensor], positions: Tensor) -> None:
        last = {"logits_to_keep": 1} if "logits_to_keep" in self._parameters else {}
        given = {**read, "attention_mask": batch.mask, "position_ids": positions, "past_key_values": batch.cache, "use_cache": True, **last}
        logits = self.model(**given).logits
        for row, token in zip(batch.rows, choose(logits[:, -1].float(), batch.rows), strict=True):
            row.answer.append(token)
            row.finished = self.ends(row)


def _count_fitting(batch: Batch | None, queue: Sequence[Request], extra: int, tokens: int) -> int:
    """How many requests are to begin now. Joining copies what is held, so it waits until a quarter as many fit as are being answered."""
    if not queue:
        return 0
    rows = batch.rows if batch else []
    widest = extra + max([queue[0].width, *(row.width for row in rows)])
    fitting = min(len(queue), max(tokens // widest, 0 if rows else 1) - len(rows))
    return fitting if fitting >= max(1, min(len(queue), len(rows) // 4)) else 0


def choose(logits: Tensor, rows: Sequence[Request]) -> list[int]:
    """The next token of each row from float logits, rows x vocabulary: the largest, or one drawn with the row's own generator."""
    chosen: list[int] = logits.argmax(-1).tolist()
    for index, row in enumerate(rows):
        scores, sampling = logits[index : index + 1], row.sampling
        if sampling.repetition_penalty != 1:
            seen = torch.tensor([row.prompt + row.answer], device=logits.device)
            scores = RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)(seen, scores)
            chosen[index] = int(scores.argmax())
        if sampling.temperature > 0:
            scores = TemperatureLogitsWarper(sampling.temperature)(None, scores)
            if sampling.top_p < 1:
                scores = TopPLogitsWarper(sampling.top_p)(None, scores)
            chosen[index] = int(torch.multinomial(scores.softmax(-1).cpu(), 1, generator=row.generator))
    return chosen
