"""What ``train`` may say of LoRA, schedules and curves, told without PEFT, transformers or torch: in ``xlift validate`` already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil

from xlift.harness.core.errors import UserError, name_nearest

LARGEST_RANK = 256
"""That vLLM is asked to hold beside the weights."""
SCHEDULES = ("linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt")
"""Schedules of transformers that need nothing but the number of steps and of those that warm up."""
ARGUED = ("reduce_lr_on_plateau", "cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay", "greedy")
"""Those that need arguments which a suite does not give, or that go by a measured loss."""

LORA_KEYS = frozenset({
    "alora_invocation_tokens", "alpha_pattern", "arrow_config", "auto_mapping", "base_model_name_or_path", "bias", "corda_config",
    "ensure_weight_tying", "eva_config", "exclude_modules", "fan_in_fan_out", "inference_mode", "init_lora_weights", "kasa_config",
    "layer_replication", "layers_pattern", "layers_to_transform", "loftq_config", "lora_alpha", "lora_bias", "lora_dropout",
    "lora_ga_config", "megatron_config", "megatron_core", "modules_to_save", "monteclora_config", "peft_type", "peft_version",
    "qalora_group_size", "r", "rank_pattern", "revision", "runtime_config", "target_modules", "target_parameters", "task_type",
    "trainable_token_indices", "use_bdlora", "use_dora", "use_qalora", "use_rslora", "velora_config",
})  # fmt: skip
"""Keys of peft.LoraConfig. An older PEFT lacks some of them, which the trainer says."""
OTHER_NAMES = {
    "rank": "r", "lora_r": "r", "lora_rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout", "modules": "target_modules",
    "targets": "target_modules", "dora": "use_dora", "rslora": "use_rslora",
}  # fmt: skip
"""What other trainers call them."""


def check_schedule(name: str) -> str:
    """The name of a schedule. Raises UserError for one that is unknown or needs arguments."""
    if name in ARGUED:
        raise UserError(f"train.schedule: {name!r} needs arguments or a measured loss, which a suite does not give; take {SCHEDULES[1]!r}")
    if name not in SCHEDULES:
        raise UserError(f"train.schedule: unknown schedule {name!r}{name_nearest(name, SCHEDULES)}")
    return name


def check_points(where: str, shares: Iterable[float], steps: int) -> None:
    """Raises UserError for a share of the budget that is below one of a training's steps: its adapter would be that of a larger share."""
    early = [share for share in shares if share * steps < 1]
    if early and steps == 1:
        raise UserError(f"{where}.measure_at: the budget is one step, so nothing is kept before the end; leave it out, or train longer")
    if early:
        least = ceil(1000 / steps) / 1000
        raise UserError(
            f"{where}.measure_at: {early[0]:g} of the budget is less than the first of {steps} steps; name shares from {least:g} on, or "
            "train longer"
        )


ADDABLE = frozenset({
    "exclude_modules", "init_lora_weights", "layers_pattern", "layers_to_transform", "lora_alpha", "lora_dropout", "r", "target_modules",
    "task_type", "use_rslora",
})  # fmt: skip
"""Keys of a LoRA whose change of the weights is a product of two matrices of one rank, so that several can be added up."""


def check_addable(values: Mapping[str, object] | None) -> None:
    """Raises UserError where the changes that several trainings make of the weights could not be added up into one LoRA."""
    if values is None:
        raise UserError("train.lora: the method puts several adapters together, which are LoRA; give train.lora, not null")
    for key, value in sorted(values.items()):
        if key not in ADDABLE and value not in (None, False, "none", {}, []):
            raise UserError(f"train.lora.{key}: the method puts several adapters together, which are plain LoRA; leave it out")


BIASES = ("none", "all", "lora_only")


def check_lora(values: Mapping[str, object]) -> None:
    """Raises UserError for a key that peft.LoraConfig does not have, with the nearest right name, and for values that PEFT refuses."""
    _check_keys(values)
    rank, alpha, dropout = values.get("r", 8), values.get("lora_alpha", 8), values.get("lora_dropout", 0.0)
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise UserError(f"train.lora.r: must be a whole number from 1 on, got {rank!r}")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or alpha <= 0:
        raise UserError(f"train.lora.lora_alpha: must be a number above 0, got {alpha!r}")
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise UserError(f"train.lora.lora_dropout: must be a number from 0 to below 1, got {dropout!r}")
    if (bias := values.get("bias", "none")) not in BIASES:
        raise UserError(f"train.lora.bias: {bias!r}{name_nearest(str(bias), BIASES)}")


def _check_keys(keys: Iterable[str]) -> None:
    for key in keys:
        if key not in LORA_KEYS:
            hint = f"; did you mean {OTHER_NAMES[key]!r}?" if key in OTHER_NAMES else name_nearest(key, LORA_KEYS)
            raise UserError(f"train.lora: unknown key {key!r}{hint}")
