"""Moving the hidden states of a transformers model while it reads and writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from xlift.harness.core.types import Likelihood
from xlift.harness.engines.base import Pair
from xlift.harness.engines.batches import cut_batches
from xlift.harness.engines.scoring import read_off
from xlift.harness.engines.states import find_blocks, pad

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Moves:
    """Hooks on the layers of a model, while the context lasts: where ``places`` is true, a state h becomes h + v, or h + h W.

    ``arrays`` has a vector v (hidden) or a map W (hidden, hidden) for each state, already multiplied by the strength. Sums are in float32.
    """

    def __init__(self, model: PreTrainedModel, arrays: Mapping[int, Tensor], positions: Literal["prompt", "answer"] = "answer") -> None:
        self.model, self.positions = model, positions
        self.arrays = {layer: array.to(model.device, torch.float32) for layer, array in arrays.items()}
        self.places = torch.zeros(1, 1, dtype=torch.bool)
        """(texts, tokens) of the next forward pass."""
        self._hooks: list[Any] = []

    def read_prompts(self, texts: int, width: int) -> None:
        """Announce that prompts come next, all of which end at the last place."""
        self.places = torch.zeros(texts, width, dtype=torch.bool)
        self.places[:, -1] = True

    def read_answers(self, texts: int) -> None:
        """Announce that one token of each answer comes next."""
        self.places = torch.full((texts, 1), self.positions == "answer")

    def read_pairs(self, pairs: Sequence[Pair], width: int) -> None:
        """Announce that prompts with answers come next, which begin at the first place. The last token of an answer is not read."""
        self.places = torch.zeros(len(pairs), width, dtype=torch.bool)
        for row, (prompt, answer) in enumerate(pairs):
            end = len(prompt) + (len(answer) - 1 if self.positions == "answer" else 0)
            self.places[row, len(prompt) - 1 : end] = True

    def __enter__(self) -> Moves:
        blocks = find_blocks(self.model.get_decoder(), self.model.config.get_text_config().num_hidden_layers) if self.arrays else []
        for layer, array in self.arrays.items():
            self._hooks.append(blocks[layer].register_forward_pre_hook(self._make_hook(array), with_kwargs=True))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for hook in self._hooks:
            hook.remove()

    def _make_hook(self, array: Tensor) -> Any:
        def move(states: Tensor) -> Tensor:
            if not self.places.any():
                return states
            wide = states.float()
            by = wide @ array if array.ndim == 2 else array
            return torch.where(self.places.to(states.device)[..., None], wide + by, wide).to(states.dtype)

        def hook(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            if given:
                return (move(given[0]), *given[1:]), named
            return given, {**named, "hidden_states": move(named["hidden_states"])}

        return hook


def score_moved(model: PreTrainedModel, moves: Moves, pairs: Sequence[Pair], batch_tokens: int) -> Iterator[dict[int, Likelihood]]:
    """The likelihoods of pairs by their places. Each pair is read by itself, because what is moved depends on where its answer begins."""
    with moves:
        for batch in cut_batches([len(prompt) + len(answer) - 1 for prompt, answer in pairs], batch_tokens):
            some = [pairs[place] for place in batch]
            ids, mask = pad([(*prompt, *answer[:-1]) for prompt, answer in some])
            moves.read_pairs(some, ids.shape[1])
            logits = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device), use_cache=False).logits
            found = {}
            for row, (place, (prompt, answer)) in enumerate(zip(batch, some, strict=True)):
                begin = len(prompt) - 1
                found[place] = read_off(logits[row, begin : begin + len(answer)].float(), answer)
            yield found
