"""Hidden states and log-probabilities of whole sentences, and how near the states of translations are to each other.

A sentence is read after one prefix token (the tokenizer's first token, else its end token, which lm-eval uses for rolling log-likelihoods),
so that its first token has a probability too. The state at the prefix, which is the same for every sentence, and the states at padding
enter no mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xlift.harness.training.batching import split

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BATCH_TOKENS = 2048
"""The tokens (sentences x width) of one forward pass. All their states and logits are in memory at once."""


@dataclass(frozen=True)
class Reading:
    """A model's states on N sentences, in float32 on the CPU: S = layers + 1 states, that of the embeddings first, of H numbers each."""

    mean: Tensor
    """(N, S, H): the mean over the tokens of the sentence."""
    last: Tensor
    """(N, S, H): the state at its last token."""
    weighted: Tensor
    """(N, S, H): the mean over the tokens of the sentence in which the first weighs 1, the second 2 and so on (MEXA)."""
    bits: Tensor
    """(N,) float64: minus log2 of the sentence's probability."""


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Each sentence as tokens, after the prefix token."""
    prefix = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return [[prefix, *ids] for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]


@torch.inference_mode()  # type: ignore[untyped-decorator]
def read_states(
    model: PreTrainedModel, sentences: Sequence[Sequence[int]], advance: Callable[[int], object] = lambda count: None
) -> Reading:
    """Send sentences, as ``encode`` returns them, through a causal transformers model. ``advance`` is called with each batch's size.

    Sentences of similar length share a batch and are padded on the right, where a causal model's earlier states do not see it. transformers
    gives the last layer's states after the final norm.
    """
    lengths = [len(one) for one in sentences]
    found: dict[int, tuple[Tensor, Tensor, Tensor, float]] = {}
    for batch in split(range(len(sentences)), lengths, BATCH_TOKENS):
        width = lengths[batch[0]]
        ids = torch.tensor([[*sentences[number], *[0] * (width - lengths[number])] for number in batch])
        ends = torch.tensor([lengths[number] for number in batch])
        places = torch.arange(width)
        attended = places < ends[:, None]
        output = model(
            input_ids=ids.to(model.device), attention_mask=attended.long().to(model.device), output_hidden_states=True, use_cache=False
        )
        states = torch.stack([state.float().cpu() for state in output.hidden_states], dim=1)  # (rows, S, width, H)
        last = states[torch.arange(len(batch)), :, ends - 1]
        states.masked_fill_(~(attended & (places > 0))[:, None, :, None], 0.0)
        means = states.sum(dim=2) / (ends - 1)[:, None, None]
        # The prefix stands at place 0 and weighs nothing; the places of 1 to n add up to n (n + 1) / 2.
        weighted = (states * places[None, None, :, None]).sum(dim=2) / ((ends - 1) * ends / 2)[:, None, None]
        for row, number in enumerate(batch):
            end = lengths[number]
            logits = output.logits[row, : end - 1].float()
            nats = torch.nn.functional.cross_entropy(logits, ids[row, 1:end].to(logits.device), reduction="sum")
            found[number] = means[row], last[row], weighted[row], float(nats) / log(2)
        advance(len(batch))
    means, lasts, weights, bits = zip(*(found[number] for number in range(len(sentences))), strict=True)
    return Reading(torch.stack(means), torch.stack(lasts), torch.stack(weights), torch.tensor(bits, dtype=torch.float64))


@dataclass(frozen=True)
class Nearness:
    """How near N sentences are to their translations, by layer and sentence: (S, N) each, so that two models can be compared in pairs."""

    own: Tensor
    """The cosine with its translation."""
    unrelated: tuple[float, ...]
    """The mean cosine by layer with all sentences that are not its translation."""
    towards: Tensor
    """1 if it is nearer to its translation than to every other pivot sentence, else 0. A tie is a miss."""
    back: Tensor
    """The same for the pivot's sentences among those of the language."""


def measure_nearness(states: Tensor, pivot: Tensor) -> Nearness:
    """Cosines and retrieval between ``states`` and ``pivot``, both (N, S, H), in which the same row is a translation. N is at least 2.

    States of different sentences share large components, so a cosine means something only in comparison with that of unrelated ones.

    Sources: the cosine of the last token's states is that of Language Ranker (Li et al. 2024, arXiv:2404.11553). Sentence retrieval on
    FLORES by layer is that of the analysis of x-LLaMA (Zhu et al. 2023, arXiv:2308.04948) and of MEXA (Kargaran et al. 2024,
    arXiv:2410.05873), which counts a sentence if both directions find it, by position-weighted means.
    """
    own, unrelated, towards, back = [], [], [], []
    for cosines in _cosines(states, pivot):
        count, diagonal = len(cosines), cosines.diagonal()
        own.append(diagonal)
        unrelated.append((float(cosines.sum()) - float(diagonal.sum())) / (count * (count - 1)))
        others = cosines.masked_fill(torch.eye(count, dtype=torch.bool), -torch.inf)
        towards.append((diagonal > others.amax(dim=1)).double())
        back.append((diagonal > others.amax(dim=0)).double())
    return Nearness(torch.stack(own), tuple(unrelated), torch.stack(towards), torch.stack(back))


def choose_ranker_layers(layers: int) -> tuple[int, ...]:
    """The five layers over which Language Ranker averages: 5, 10, 15, 20 and 25 of 32, and layers at the same share of the depth in other
    models."""
    return tuple(max(1, round(5 * place * layers / 32)) for place in range(1, 6))


def _cosines(states: Tensor, pivot: Tensor) -> Iterator[Tensor]:
    """(N, N) for each layer, sentences by pivot sentences, in float64 so that equal states tie."""
    for layer in range(states.shape[1]):
        one, other = (torch.nn.functional.normalize(side[:, layer].double(), dim=-1) for side in (states, pivot))
        yield one @ other.T
