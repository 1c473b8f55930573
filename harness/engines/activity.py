"""What happens inside the layers of a model while it reads texts: norms of the inputs of linear modules, and how often neurons are active.

Padding enters no number, because it is not a token that was read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from xlift.harness.core.errors import UserError
from xlift.harness.core.progress import Bar
from xlift.harness.engines.batches import cut_batches
from xlift.harness.engines.states import find_blocks, pad

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GATES = ("gate_proj", "w1", "fc_in", "fc1", "dense_h_to_4h", "up_proj")
"""The names of the module whose output decides whether a neuron of a feed-forward part is active. The first one that a layer has is
used."""


def read_norms(model: PreTrainedModel, texts: Sequence[Sequence[int]], tokens: int) -> dict[str, Tensor]:
    """The norms of the inputs of each linear module inside the layers, over all tokens of the texts: (inputs,), float32 on the CPU.

    Texts are given as tokens, and go through the model in batches of at most ``tokens`` (texts x width).
    """
    squares: dict[str, Tensor] = {}

    def watch(name: str, kept: Callable[[], Tensor]) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple[Any, ...]) -> None:
            found = given[0].float()[kept()].square().sum(0)
            squares[name] = squares[name] + found if name in squares else found

        return hook

    inside = f"{_name_blocks(model)}."
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear) and name.startswith(inside)}
    _go_through(model, texts, tokens, lambda kept: [one.register_forward_pre_hook(watch(name, kept)) for name, one in linear.items()])
    return {name: found.sqrt().cpu() for name, found in squares.items()}


def read_activity(model: PreTrainedModel, texts: Sequence[Sequence[int]], tokens: int) -> Tensor:
    """The share of the texts' tokens at which each neuron is active: (layers, neurons), float32 on the CPU.

    A neuron is active if the input of its activation function is above 0. Raises UserError for a model whose neurons cannot be found.
    """
    counts: dict[int, Tensor] = {}

    def watch(layer: int, kept: Callable[[], Tensor]) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
            found = (output[kept()] > 0).sum(0)
            counts[layer] = counts[layer] + found if layer in counts else found

        return hook

    gates = [find_neurons(block)[0] for block in find_blocks(model.get_decoder(), model.config.get_text_config().num_hidden_layers)]
    _go_through(model, texts, tokens, lambda kept: [gate.register_forward_hook(watch(layer, kept)) for layer, gate in enumerate(gates)])
    total = sum(map(len, texts))
    return torch.stack([counts[layer] for layer in sorted(counts)]).float().cpu() / total


@torch.inference_mode()  # type: ignore[untyped-decorator]
def _go_through(
    model: PreTrainedModel, texts: Sequence[Sequence[int]], tokens: int, attach: Callable[[Callable[[], Tensor]], list[Any]]
) -> None:
    """Read the texts with hooks attached, which can ask which places of a batch, (texts, width), are tokens."""
    mask = torch.empty(0)
    hooks = attach(lambda: mask)
    try:
        with Bar(total=len(texts), desc="texts read") as bar:
            for batch in cut_batches([len(text) for text in texts], tokens):
                ids, found = pad([texts[number] for number in batch])
                mask = found.bool().to(model.device)
                model.get_decoder()(input_ids=ids.to(model.device), attention_mask=found.to(model.device), use_cache=False)
                bar.update(len(batch))
    finally:
        for hook in hooks:
            hook.remove()


def _name_blocks(model: PreTrainedModel) -> str:
    blocks = find_blocks(model.get_decoder(), model.config.get_text_config().num_hidden_layers)
    return str(next(name for name, module in model.named_modules() if module is blocks))


def find_neurons(block: nn.Module) -> tuple[nn.Linear, str]:
    """The module of a layer whose output decides which neurons are active, and the name, in the layer, of the module that reads the
    neurons.

    Raises UserError if they cannot be found.
    """
    linear = {name: module for name, module in block.named_modules() if isinstance(module, nn.Linear)}
    for wanted in GATES:
        for name, gate in linear.items():
            place, _, last = name.rpartition(".")
            if last != wanted:
                continue
            after = [other for other in linear if other.rpartition(".")[0] == place and linear[other].in_features == gate.out_features]
            if len(after) == 1:
                return gate, after[0]
    raise UserError(f"the neurons of a {type(block).__name__} cannot be found: it has none of {', '.join(GATES)}")
