"""Hidden states of whole texts at chosen layers, each text's as one vector: that of its last token, or the mean over its tokens.

State 0 is what goes into the first layer, state n what comes out of the n-th, and the last state is the one after the final norm, as in
transformers. Nothing is computed above the highest state that is needed, and no logits. Texts are padded on the right, where a causal
model's earlier states do not see it. The first token, with which every text begins, enters no mean.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from xlift.harness.core.errors import UserError
from xlift.harness.core.progress import Bar
from xlift.harness.engines.batches import cut_batches

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class _Reached(Exception):
    """The highest state has been reached, so the rest of the model need not run."""


def compute_states(model: PreTrainedModel, ids: Tensor, mask: Tensor, layers: Collection[int]) -> dict[int, Tensor]:
    """The states of a padded batch by layer, each (texts, width, hidden). Gradients flow through them as through the model.

    Raises UserError for a model whose layers cannot be found.
    """
    decoder = model.get_decoder()
    blocks = find_blocks(decoder, model.config.get_text_config().num_hidden_layers)
    highest, found = max(layers), {}

    def keep(layer: int) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            found[layer] = given[0] if given else named["hidden_states"]
            if layer == highest:
                raise _Reached

        return hook

    hooks = [blocks[layer].register_forward_pre_hook(keep(layer), with_kwargs=True) for layer in set(layers) if layer < len(blocks)]
    try:
        found[len(blocks)] = decoder(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    except _Reached:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return found


def pool_states(states: Tensor, mask: Tensor, pool: str) -> Tensor:
    """One vector for each text from its states, (texts, hidden) in float32: ``last`` or ``mean``."""
    ends = mask.sum(dim=1)
    if pool == "last":
        return states[torch.arange(len(states), device=states.device), ends - 1].float()
    counted = mask.bool() & (torch.arange(mask.shape[1], device=mask.device) > 0)
    kept = torch.where((ends > 1)[:, None], counted, mask.bool())[..., None]  # a text of one token has no other
    return (states.float() * kept).sum(dim=1) / kept.sum(dim=1)


@torch.inference_mode()  # type: ignore[untyped-decorator]
def read_states(model: PreTrainedModel, texts: Sequence[Sequence[int]], layers: Sequence[int], pool: str, tokens: int) -> Tensor:
    """The states of texts, which are given as tokens: (texts, layers, hidden), float32 on the CPU, in batches of at most ``tokens`` (texts
    x width)."""
    rows: dict[int, Tensor] = {}
    with Bar(total=len(texts), desc="states of texts") as bar:
        for batch in cut_batches([len(text) for text in texts], tokens):
            ids, mask = pad([texts[number] for number in batch])
            ids, mask = ids.to(model.device), mask.to(model.device)
            found = compute_states(model, ids, mask, layers)
            pooled = torch.stack([pool_states(found[layer], mask, pool) for layer in layers], dim=1).cpu()
            rows.update(zip(batch, pooled, strict=True))
            bar.update(len(batch))
    return torch.stack([rows[number] for number in range(len(texts))])


def pad(texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Tokens and mask, (texts, width), padded on the right."""
    width = max(map(len, texts))
    ids = torch.tensor([[*text, *[0] * (width - len(text))] for text in texts])
    return ids, (torch.arange(width) < torch.tensor([len(text) for text in texts])[:, None]).long()


def find_blocks(decoder: nn.Module, depth: int) -> nn.ModuleList:
    """The layers of a decoder that has ``depth`` of them. Raises UserError if they cannot be found."""
    for module in decoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise UserError(f"the layers of a {type(decoder).__name__} cannot be found, so its states cannot be read")
