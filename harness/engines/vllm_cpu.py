"""vLLM on a CPU: settings that suit one, and the changes to vLLM itself that ``apply`` makes.

It is imported after ``engines/vllm.py`` has set vLLM's environment, and only where vLLM runs on a CPU.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from torch import Tensor
from vllm import ir
from vllm.model_executor.layers.fused_moe.unquantized_fused_moe_method import UnquantizedFusedMoEMethod
from vllm.triton_utils import dispatcher
from vllm.v1.worker.cpu_model_runner import CPUModelRunner

from xlift.harness.config.suite import EngineSettings

if TYPE_CHECKING:
    from vllm.model_executor.layers.fused_moe.routed_experts import RoutedExperts
    from vllm.v1.worker.worker_base import WorkerBase

KERNEL = "xlift"
"""The name by which vLLM knows our choice of kernel."""
GUESSED, FEW_ANSWERS = 4, 16
"""The tokens that are guessed for an answer, and the most answers of a step with which guessing was found to be faster."""
SHORTEST_MATCH, LONGEST_MATCH = 2, 4
"""The fewest and the most tokens by which a repetition is recognised."""

Kernels = Mapping[str, Callable[..., object]]
"""Functions by the names of the Triton kernels that they replace."""


class Guesses(TypedDict):
    """vLLM's ``speculative_config``."""

    method: str
    prompt_lookup_min: int
    prompt_lookup_max: int
    num_speculative_tokens: int
    num_speculative_tokens_per_batch_size: list[tuple[int, int, int]]


class CpuOptions(TypedDict):
    """Options of vLLM's ``LLM``."""

    enforce_eager: bool
    block_size: int
    max_num_batched_tokens: int
    ir_op_priority: dict[str, list[str]]


@cache
def apply() -> None:
    """Change vLLM in this process. A second call changes nothing.

    Its registration of kernels skips llvmlite, its sum with normalisation uses the kernel that vLLM compiles for CPUs, seeded sampling
    draws no numbers for a prompt that is not read completely yet, and experts are packed for their kernel at every load of weights.
    """
    dispatcher.register_kernels = _look_past_llvmlite(dispatcher.register_kernels)
    ir.ops.fused_add_rms_norm.register_impl(KERNEL, supports_args=fits_kernel, inplace=True)(_add_and_normalise)
    CPUModelRunner.sample_tokens = _draw_for_answers_alone(CPUModelRunner.sample_tokens)
    UnquantizedFusedMoEMethod._setup_kernel = _pack_at_every_load(UnquantizedFusedMoEMethod._setup_kernel)


def choose_options(settings: EngineSettings) -> CpuOptions:
    """The options with which vLLM is loaded on a CPU. This also sets the size of its cache, which vLLM takes from the environment alone."""
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, round(settings.kv_cache_gib)))
    # Compiling costs minutes here and gains little; 32 is the smallest block, so that prompts share all but a few tokens of their prefix.
    # A step of few tokens lets answers begin before all prompts are read: both then share one pass over the weights.
    kernels = {"fused_add_rms_norm": [KERNEL]}
    return {"enforce_eager": True, "block_size": 32, "max_num_batched_tokens": 512, "ir_op_priority": kernels}


def guess_repetitions() -> Guesses:
    """Options for guessing: an answer that begins to repeat itself is continued as it went on before, and the guess is checked in one step.

    Source: prompt lookup decoding (Saxena 2023), in vLLM's form.
    """
    return {
        "method": "ngram",
        "prompt_lookup_min": SHORTEST_MATCH,
        "prompt_lookup_max": LONGEST_MATCH,
        "num_speculative_tokens": GUESSED,
        "num_speculative_tokens_per_batch_size": [(1, FEW_ANSWERS, GUESSED), (FEW_ANSWERS + 1, FEW_ANSWERS + 1, 0)],
    }


def switch_guessing(worker: WorkerBase, on: bool) -> None:
    """Let a worker that was loaded with ``guess_repetitions`` guess from now on, or not. It does not, if a match must be longer than the
    longest."""
    worker.model_runner.drafter.min_n = SHORTEST_MATCH if on else LONGEST_MATCH + 1


def fits_kernel(x: Tensor, x_residual: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None) -> bool:
    """Whether the kernel can compute these arguments of ``fused_add_rms_norm``."""
    alike = weight is not None and x.dtype == x_residual.dtype == weight.dtype
    return alike and variance_size is None and x.is_contiguous() and x_residual.is_contiguous()


def _add_and_normalise(
    x: Tensor, x_residual: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """vLLM's kernel for CPUs, which vLLM compiles but calls only on GPUs. Its torch operations take two to six times as long."""
    torch.ops._C.fused_add_rms_norm(x, x_residual, weight, epsilon)
    return x, x_residual


def _look_past_llvmlite(register: Callable[[Kernels], None]) -> Callable[[Kernels], None]:
    """Skip llvmlite when vLLM asks everything in every module for its attributes, at every load.

    Its library has an attribute of every name, on which vLLM stumbles, and it is loaded as soon as an engine has guessed.
    """

    @wraps(register)
    def call(overrides: Kernels) -> None:
        ffi = sys.modules.get("llvmlite.binding.ffi")
        library = vars(ffi).pop("lib", None) if ffi else None
        try:
            register(overrides)
        finally:
            if ffi and library is not None:
                vars(ffi)["lib"] = library

    return call


def _draw_for_answers_alone(sample: Callable[[CPUModelRunner, Any], Any]) -> Callable[[CPUModelRunner, Any], Any]:
    """Sample without their generators for prompts of a step that are not read completely yet.

    vLLM samples for them too, and takes that draw back by the generator's offset, which a CPU's generator does not have.
    """

    @wraps(sample)
    def call(runner: CPUModelRunner, grammar: Any) -> Any:
        batch = runner.input_batch
        unread = runner.discard_request_mask.np[: batch.num_reqs].nonzero()[0]
        held = {place: batch.generators.pop(place) for place in unread.tolist() if place in batch.generators}
        try:
            return sample(runner, grammar)
        finally:
            batch.generators.update(held)

    return call


def _pack_at_every_load(set_up: Callable[..., None]) -> Callable[..., None]:
    """Put the weights of experts into the order of vLLM's kernel for CPUs at every load, and not only at the first.

    Weights that were loaded later stayed in the order of the checkpoint, but were read in that of the kernel.
    """

    @wraps(set_up)
    def call(method: UnquantizedFusedMoEMethod, layer: RoutedExperts, w13: Tensor, w2: Tensor) -> None:
        first = method.moe_kernel is None
        set_up(method, layer, w13, w2)
        if not first:
            method.moe_kernel.fused_experts.process_weights_after_loading(layer)

    return call
