"""The load-balancing loss of a mixture of experts over all tokens of an optimiser step, whatever passes they are cut into.

It is that of the Switch Transformer (arXiv:2101.03961, equations 4 to 6), as transformers has it for Mixtral and most others: with E
experts, E times the sum over the experts of f P. Over all tokens and layers, f is how often an expert is chosen and P its mean probability.
Padding does not count. A product of two means is no sum over passes, so the loss of each pass by itself, as transformers computes it,
depends on the cut. But no gradient goes through f. If f is known for the whole step (the "global batch" of arXiv:2501.11873), the loss is a
sum over passes of what each adds to P, and so is its gradient, exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Choices:
    """How often each expert was chosen."""

    counts: torch.Tensor
    """How often each expert was chosen, over all layers."""
    tokens: torch.Tensor
    """A scalar: tokens times layers, without padding."""


@contextmanager
def watch_routers(model: PreTrainedModel) -> Iterator[list[tuple[torch.Tensor, ...]]]:
    """The router logits of all runs through a causal model, as they come. Its configuration is set so that they are returned.

    They are taken after the layers, because TRL's fused scoring on a GPU does not pass them on.
    """
    seen: list[tuple[torch.Tensor, ...]] = []

    def keep(module: torch.nn.Module, inputs: object, outputs: Any) -> None:
        seen.append(outputs.router_logits)

    hook = model.base_model.register_forward_hook(keep)
    try:
        yield seen
    finally:
        hook.remove()


def count_choices(router_logits: Sequence[torch.Tensor], mask: torch.Tensor, chosen: int) -> Choices:
    """The choices of one pass, in which every token takes ``chosen`` experts.

    ``router_logits`` holds a matrix for each layer, with (sequences x width) rows and a column for each expert. ``mask``, sequences x
    width, is 0 at padding.
    """
    kept = mask.flatten().float()
    counts = sum(
        _sum_rows(torch.zeros_like(layer, dtype=torch.float32).scatter(1, layer.topk(chosen, dim=1).indices, 1.0), kept)
        for layer in router_logits
    )
    return Choices(counts.detach(), kept.sum() * len(router_logits))


def add_choices(parts: Iterable[Choices]) -> Choices:
    """The choices of several passes together."""
    first, *others = parts
    counts, tokens = first.counts, first.tokens
    for part in others:
        counts, tokens = counts + part.counts, tokens + part.tokens
    return Choices(counts, tokens)


def balance_loss(router_logits: Sequence[torch.Tensor], mask: torch.Tensor, step: Choices) -> torch.Tensor:
    """What one pass adds to the loss of its whole step, whose choices are given. For the only pass of a step it is the whole loss."""
    kept = mask.flatten().float()
    sums = sum(_sum_rows(layer.float().softmax(dim=1), kept) for layer in router_logits)
    loss: torch.Tensor = len(step.counts) * (step.counts / step.tokens * sums / step.tokens).sum()
    return loss


def _sum_rows(values: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    # No matrix product, which autocast would round to bf16.
    return (values * kept[:, None]).sum(dim=0)
