"""Which weights a training changes: LoRA's configuration, the weights of an adapter from which it continues, or the base's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from torch.nn import Linear, Module
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from xlift.harness.core.errors import UserError, name_nearest, one_line
from xlift.harness.engines.states import find_blocks
from xlift.harness.models.adapters import PREFIX, WEIGHTS, Adapter, tensor_shapes
from xlift.harness.recipes.contract import Where

LINEAR = (Linear, Conv1D)
LAYER = re.compile(r".*?\.[^.]*\.\d+\.")
"""The beginning of the name of a module inside a numbered layer."""
STARTS = (True, False, "gaussian", "orthogonal")
# Keys that the names and shapes of the weights show, however they are written, and keys that change nothing about what the weights mean.
TARGETS = {"target_modules", "exclude_modules", "modules_to_save", "layers_to_transform", "layers_pattern", "target_parameters"}
NOTES = {"lora_dropout", "init_lora_weights", "inference_mode", "base_model_name_or_path", "revision", "peft_version", "auto_mapping"}


def read_lora(values: Mapping[str, object], where: Where | None, model: PreTrainedModel) -> LoraConfig:
    """PEFT's configuration for a model from ``train.lora``, restricted to ``where`` if a plan says so.

    Raises UserError for an unknown key, for values that PEFT refuses, and for layers that the model does not have.
    """
    if where:
        values = where.narrow(values, model.config.get_text_config().num_hidden_layers)
        if where.layers and values["target_modules"] == "all-linear":  # PEFT keeps only names that are listed to some layers
            values = {**values, "target_modules": _list_linear(model)}
    known = [field.name for field in fields(LoraConfig) if field.init]
    for key in values:
        if key not in known:
            raise UserError(f"train.lora: unknown key {key!r}{name_nearest(key, known)}")
    start = values.get("init_lora_weights", True)
    if start not in STARTS:
        raise UserError(f"train.lora.init_lora_weights {start!r}: would change the base's weights too; take one of {STARTS}")
    try:
        return LoraConfig(**{"task_type": "CAUSAL_LM", **values})
    except (TypeError, ValueError) as error:
        raise UserError(f"train.lora: {one_line(error)}") from error


def _list_linear(model: PreTrainedModel) -> list[str]:
    """The names of the linear modules inside the layers."""
    found = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, LINEAR) and LAYER.match(name)}
    return sorted(found)


def stop_below(model: PreTrainedModel) -> None:
    """Let no gradient go below the lowest layer with a trained weight, if none outside the layers is trained.

    By itself it would not, but with gradient checkpointing TRL and transformers both make the embeddings require one.
    """
    found = [LAYER.match(name) for name, weight in model.named_parameters() if weight.requires_grad]
    numbers = [int(one[0].split(".")[-2]) for one in found if one]
    if not numbers or len(numbers) < len(found):
        return

    def detach(module: Module, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if given:
            return (given[0].detach(), *given[1:]), named
        return given, {**named, "hidden_states": named["hidden_states"].detach()}

    blocks = find_blocks(model.get_decoder(), model.config.get_text_config().num_hidden_layers)
    blocks[min(numbers)].register_forward_pre_hook(detach, with_kwargs=True)


def freeze(model: PreTrainedModel, where: Where) -> None:
    """Freeze all weights except those of these layers and modules. A model's embeddings and norms outside its layers are never among them.

    Raises UserError for a layer or a module that the model does not have.
    """
    chosen = where.narrow({}, model.config.get_text_config().num_hidden_layers).get("layers_to_transform")
    trained = 0
    for name, weight in model.named_parameters():
        inside, parts = LAYER.match(name), name.split(".")
        at = inside is not None and (chosen is None or int(inside[0].split(".")[-2]) in chosen)
        weight.requires_grad = bool(at and (not where.modules or set(parts) & set(where.modules)))
        trained += weight.requires_grad
    if not trained:
        raise UserError(f"the model has no weights in {', '.join(where.modules) or 'these layers'}, so that nothing would be trained")


def go_on(model: PeftModel, start: Adapter) -> None:
    """Load the weights of an adapter in place of the fresh ones. Raises UserError if they mean something else under ``train.lora``."""
    where = f"the adapter that training goes on from ({start.folder})"
    ours, theirs = model.peft_config["default"].to_dict(), PeftConfig.from_pretrained(str(start.folder)).to_dict()
    for key in sorted(ours.keys() - TARGETS - NOTES):
        if ours[key] != theirs.get(key):
            raise UserError(f"train.lora: {key} is {ours[key]!r}, but {theirs.get(key)!r} in {where}; every round has the same LoRA")
    expected = {name: tuple(tensor.shape) for name, tensor in get_peft_model_state_dict(model).items()}
    found = tensor_shapes(start.folder / WEIGHTS)
    if found != expected:
        name, _ = min(found.items() ^ expected.items())
        raise UserError(f"train.lora: {name.removeprefix(PREFIX)} differs from {where}; every round has the same targets and ranks")
    set_peft_model_state_dict(model, load_file(start.folder / WEIGHTS))
