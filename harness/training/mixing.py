"""The LoRA adapters of a plan's parts, combined into one: their changes of the weights are added up, layer by layer.

A part changes a weight by ``scaling * B @ A``. With A1 above A2, and ``share1 * scaling1 * B1`` beside ``share2 * scaling2 * B2``, the
product is the sum of both, so one LoRA adapter with both ranks expresses it exactly. All scaling is in B, and ``lora_alpha`` is the rank. A
part without a share in a layer takes no rank there. Zeros fill layers up to the rank of the widest, because vLLM needs a single rank.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from xlift.harness.core.errors import UserError
from xlift.harness.core.store import write_json
from xlift.harness.models import trainable
from xlift.harness.models.adapters import CONFIG, WEIGHTS, Adapter
from xlift.harness.models.bases import Base
from xlift.harness.recipes.contract import Mix, place_block, place_blocks
from xlift.harness.training.lora import LAYER

HALVES = (".lora_A.weight", ".lora_B.weight")


@dataclass(frozen=True)
class _Lora:
    """One part: the change that it makes to each weight, and its configuration."""

    config: Mapping[str, Any]
    halves: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    """For each module A, (rank, in), and B, (out, rank), with the scaling in B."""


def write_mix(parts: Mapping[str, Adapter], edit: Mix, base: Base, out: Path) -> None:
    """Write the combined adapter of the parts into the folder ``out``.

    Raises UserError for a part that was trained on another base, for one that is more than plain LoRA, for layers that the base does not
    have, and if nothing is left.
    """
    loras = {name: _read(name, adapter, base) for name, adapter in parts.items()}
    modules = sorted({module for lora in loras.values() for module in lora.halves})
    depth = trainable.count_layers(base)
    placed = place_blocks(edit.layers, depth)
    stacked = {}
    for module in modules:
        inside = LAYER.match(module)
        layer = place_block(int(inside[0].split(".")[-2]), depth) if inside else None
        shares = edit.layers[placed[layer]] if layer in placed else edit.shares
        stacked[module] = _stack(module, loras, shares)
    rank = max(first.shape[0] for first, _ in stacked.values())
    if rank == 0:
        raise UserError("edit: no part has a share in a layer that it changes, so the base would stay as it is")
    tensors = {}
    for module, (first, second) in stacked.items():
        room = rank - first.shape[0]
        tensors[module + HALVES[0]] = torch.nn.functional.pad(first, (0, 0, 0, room))
        tensors[module + HALVES[1]] = torch.nn.functional.pad(second, (0, room)).contiguous()
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / WEIGHTS, metadata={"format": "pt"})
    config = {**next(iter(loras.values())).config, "r": rank, "lora_alpha": rank, "use_rslora": False}
    write_json(out / CONFIG, config)


def _stack(module: str, loras: Mapping[str, _Lora], shares: Mapping[str, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """A and B of one module, with the ranks of those parts that have a share in it."""
    firsts, seconds = [], []
    for name, lora in loras.items():
        if module not in lora.halves:
            raise UserError(f"part {name!r}: does not train {module}, which another part does; all parts have the same train.lora")
        first, second = lora.halves[module]
        share = shares.get(name, 0)
        kept = len(first) if share else 0
        firsts.append(first[:kept])
        seconds.append(share * second[:, :kept])
    return torch.cat(firsts), torch.cat(seconds, 1)


def _read(name: str, adapter: Adapter, base: Base) -> _Lora:
    if adapter.base_sha256 and adapter.base_sha256 != base.sha256:
        raise UserError(
            f"part {name!r}: trained on another base (sha256 {adapter.base_sha256[:12]}), not on {base.name} ({base.sha256[:12]}), so "
            "what it changes cannot be added to the others'"
        )
    config = json.loads((adapter.folder / CONFIG).read_text(encoding="utf-8"))
    tensors = {key: tensor.float() for key, tensor in load_file(adapter.folder / WEIGHTS).items()}
    if others := [key for key in sorted(tensors) if not key.endswith(HALVES)]:
        raise UserError(f"part {name!r}: is more than LoRA beside linear modules ({others[0]}), which cannot be added up")
    halves = {}
    for module in [key.removesuffix(HALVES[0]) for key in tensors if key.endswith(HALVES[0])]:
        first, second = tensors[module + HALVES[0]], tensors[module + HALVES[1]]
        scaling = config["lora_alpha"] / (len(first) ** 0.5 if config.get("use_rslora") else len(first))
        halves[module] = (first, scaling * second)
    return _Lora(config, halves)
