"""Which weights of a base a plan sets to 0, chosen by the plan's numbers and the weights themselves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from xlift.harness.core.errors import UserError
from xlift.harness.engines.activity import find_neurons
from xlift.harness.engines.states import find_blocks
from xlift.harness.models.bases import Base
from xlift.harness.models.masks import write_masks
from xlift.harness.recipes.contract import Mask, place_block


def write_mask(edit: Mask, arrays: Mapping[str, NDArray[Any]], base: Base, out: Path) -> None:
    """Write the mask of a base into the folder ``out``.

    Raises UserError for arrays that do not match the base's modules, and for a mask that would be empty.
    """
    transformers_logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(base.folder, use_safetensors=True)
    found = _mask_neurons(model, arrays) if edit.rule == "neurons" else _mask_weights(model, edit, arrays)
    if not any(mask.any() for mask in found.values()):
        raise UserError("edit: the mask is empty, so the base would stay as it is; raise the ratio")
    write_masks({name: mask.numpy() for name, mask in found.items()}, out)


def _mask_weights(model: PreTrainedModel, edit: Mask, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    modules, chance = dict(model.named_modules()), torch.Generator().manual_seed(0)
    found: dict[str, Tensor] = {}
    for name in sorted(arrays):
        module, norms = modules.get(name), torch.from_numpy(arrays[name])
        if not isinstance(module, nn.Linear) or norms.shape != (module.in_features,):
            raise UserError(f"edit: {name} is no linear module of {len(norms)} inputs here, so the mask is of another base")
        weight = module.weight.detach().float()
        scores = torch.rand(weight.shape, generator=chance) if edit.rule == "random" else weight.abs() * norms
        least = scores.argsort(dim=1, stable=True)[:, : int(edit.ratio * module.in_features)]
        found[f"{name}.weight"] = torch.zeros_like(weight, dtype=torch.bool).scatter_(1, least, True)
    return found


def _mask_neurons(model: PreTrainedModel, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    blocks = find_blocks(model.get_decoder(), model.config.get_text_config().num_hidden_layers)
    place = next(name for name, module in model.named_modules() if module is blocks)
    found: dict[str, Tensor] = {}
    for layer, array in sorted(arrays.items()):
        off = torch.from_numpy(np.asarray(array, dtype=bool))
        number = place_block(int(layer), len(blocks))
        gate, after = find_neurons(blocks[number])
        if off.shape != (gate.out_features,):
            raise UserError(f"edit: layer {layer} has {gate.out_features} neurons, not {len(off)}, so the mask is of another base")
        weight = blocks[number].get_submodule(after).weight
        found[f"{place}.{number}.{after}.weight"] = off.expand(weight.shape).clone()
    return found
