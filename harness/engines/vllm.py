"""The vLLM backend: continuous batching with prefix caching, with weights or LoRA swapped in the one loaded model."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING

# vLLM reads these when it is imported; its default is to log to standard output.
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
# Its scheduler runs in this process: as a process of its own it outlives a killed parent, with the worker and all their memory.
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")

from lm_eval.models.vllm_causallms import VLLM
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.core_model_loading import revert_weight_conversion
from transformers.modeling_utils import remove_tied_weights_from_state_dict
from vllm import SamplingParams, TokensPrompt
from vllm.lora.request import LoRARequest
from vllm.platforms import current_platform

from xlift.harness.config.lora import LARGEST_RANK
from xlift.harness.config.suite import EngineSettings
from xlift.harness.core.progress import Bar
from xlift.harness.core.types import Answer, Likelihood, Sampling
from xlift.harness.engines.base import LocalEngine, Pair
from xlift.harness.engines.lm_eval_model import EngineLM
from xlift.harness.engines.thinking import cut
from xlift.harness.engines.weight_check import HALF, RELOADED, ROUNDED, TEXT, require_same, score_text
from xlift.harness.models.adapters import Adapter
from xlift.harness.models.bases import Base, has_experts
from xlift.harness.models.tokens import tokenize

if TYPE_CHECKING:
    from lm_eval.api.model import LM
    from transformers import PreTrainedModel
    from vllm.outputs import CompletionOutput, RequestOutput

_READ = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0, flat_logprobs=True, detokenize=False)
"""Parameters for reading a prompt and getting the log-probability of each of its tokens."""

if current_platform.is_cpu():
    from xlift.harness.engines import vllm_cpu

    vllm_cpu.apply()


class VllmEngine(LocalEngine):
    """vLLM behind lm-eval's own VLLM. It was not run on a GPU so far.

    After every load of other weights, the log-probabilities of one text are compared with those that the weights must give. A mixture of
    experts loads its own weights once more at the start, so that a vLLM that cannot do this is known before anything is measured.
    """

    backend = "vllm"

    def __init__(self, base: Base, settings: EngineSettings) -> None:
        super().__init__(base, settings)
        # Beside LoRA, vLLM wants steps that hold a guess of every answer it could run.
        self.guesses = current_platform.is_cpu() and self.form == "merged"
        self._lm = _Lm(self)
        self._lora_ids = count(1)
        self._probe = tokenize(self.tokenizer, [TEXT])[0][: self.max_length - 1]
        self._loaded = self._read_probe()
        if self.form == "merged" and has_experts(base):
            try:
                self._rehearse()
            except BaseException:
                self.close()
                raise

    def lm(self) -> LM:
        """lm-eval's VLLM on the loaded model; ``generate_until`` goes through ``complete``."""
        return self._lm

    def close(self) -> None:
        """End vLLM's processes and free their memory."""
        if self._lm.model is not None:
            self._lm.model.llm_engine.engine_core.shutdown()
            self._lm.model = None

    def _answer(self, prompts: Sequence[list[int]], samplings: Sequence[Sampling], seeds: Sequence[int]) -> Iterator[Mapping[int, Answer]]:
        params = [_to_params(sampling, seed) for sampling, seed in zip(samplings, seeds, strict=True)]
        # Answers that may become long begin first, so that few are left to run by themselves at the end.
        order = sorted(range(len(prompts)), key=lambda number: -samplings[number].max_tokens)
        if self.guesses:
            # Guesses draw random numbers of their own, so that sampled answers would differ from run to run.
            greedy = all(sampling.temperature == 0 for sampling in samplings)
            self._lm.model.collective_rpc(vllm_cpu.switch_guessing, args=(greedy,))
        for outputs in self._run([prompts[number] for number in order], [params[number] for number in order]):
            yield {order[turn]: self._to_answer(output.outputs[0], samplings[order[turn]]) for turn, output in outputs.items()}

    def _score(self, pairs: Sequence[Pair]) -> Iterator[Mapping[int, Likelihood]]:
        if self.guesses:
            self._lm.model.collective_rpc(vllm_cpu.switch_guessing, args=(False,))
        for outputs in self._run([[*prompt, *answer] for prompt, answer in pairs], [_READ] * len(pairs)):
            yield {place: _to_likelihood(output, len(pairs[place][0])) for place, output in outputs.items()}

    def _run(self, prompts: Sequence[list[int]], params: Sequence[SamplingParams]) -> Iterator[dict[int, RequestOutput]]:
        """The same as ``LLM.generate``, but outputs come by the places of the prompts, as soon as some are done."""
        model = self._lm.model
        asked = [TokensPrompt(prompt_token_ids=ids) for ids in prompts]
        names = model.enqueue(asked, list(params), lora_request=self._lm.lora_request, use_tqdm=False)
        places = {name.partition("-")[0]: place for place, name in enumerate(names)}  # vLLM adds to the names that it gives outputs
        with Bar(total=len(prompts), desc="answers") as bar:
            while model.llm_engine.has_unfinished_requests():
                done = {places[output.request_id]: output for output in model.llm_engine.step() if output.finished}
                if done:
                    bar.update(len(done))
                    yield done

    def _to_answer(self, output: CompletionOutput, sampling: Sampling) -> Answer:
        # vLLM takes all special tokens out of a text, those that mark thinking too.
        text = output.text if self._marks.isdisjoint(output.token_ids) else self._read_text(output.token_ids)
        return Answer(text=cut(text, sampling.stop), tokens=len(output.token_ids), finished=output.finish_reason != "length")

    def _read_probe(self) -> list[float]:
        """The log-probability of each token, after the first, of the text that is compared, with the current weights."""
        [output] = [done[0] for done in self._run([self._probe], [_READ])]
        return [output.prompt_logprobs[place][token].logprob for place, token in enumerate(self._probe) if place]

    def _rehearse(self) -> None:
        """Load the base's own weights in both ways in which swaps load weights."""
        self._load_weights(AutoModelForCausalLM.from_pretrained(self.base.folder, use_safetensors=True, dtype=self.settings.dtype))
        self._load_weights(None)

    def _load_weights(self, merged: PreTrainedModel | None) -> None:
        self._reload(merged)
        found = self._read_probe()
        if merged is None:
            require_same(found, self._loaded, RELOADED, "the base's weights once they are loaded again")
        else:
            wanted, limit = score_text(merged, self._probe), ROUNDED.get(self.settings.dtype, HALF)
            require_same(found, wanted, limit, "weights that are swapped in, which transformers has loaded too")

    def _reload(self, merged: PreTrainedModel | None) -> None:
        source = {"weights_path": str(self.base.folder)} if merged is None else {"weights_iterator": _name_as_stored(merged)}
        self._lm.model.collective_rpc("reload_weights", kwargs=source)
        self._lm.model.reset_prefix_cache()

    def _attach(self, adapter: Adapter | None) -> None:
        # An id that was used before serves the adapter it was first used with, whatever the path.
        number = next(self._lora_ids)
        self._lm.lora_request = LoRARequest(f"xlift-{number}", number, str(adapter.folder)) if adapter else None

    def _device(self) -> str:
        return "cpu" if current_platform.is_cpu() else str(current_platform.get_device_name())

    def _batch_policy(self) -> str:
        return "continuous"


class _Lm(EngineLM, VLLM):  # type: ignore[misc]
    def __init__(self, engine: VllmEngine) -> None:
        settings = engine.settings
        options: dict[str, object] = {"enable_lora": True, "max_lora_rank": LARGEST_RANK} if engine.form == "lora" else {}
        if current_platform.is_cpu():
            options |= vllm_cpu.choose_options(settings)
        else:
            options["gpu_memory_utilization"] = settings.gpu_memory_utilization
        if settings.gpus > 1:
            options |= {
                "tensor_parallel_size": settings.tensor_parallel_size,
                "pipeline_parallel_size": settings.pipeline_parallel_size,
            }
        if engine.guesses:
            options["speculative_config"] = vllm_cpu.guess_repetitions()
        super().__init__(
            engine,
            pretrained=str(engine.base.folder),
            dtype=settings.dtype,
            max_model_len=engine.max_length,
            batch_size="auto",
            seed=0,
            use_tqdm_on_load=False,
            **options,
        )
        self.tokenizer = engine.tokenizer
        self.hf_chat_template = engine.base.chat_template


def _name_as_stored(model: PreTrainedModel) -> Iterable[tuple[str, Tensor]]:
    """The weights by the names that a checkpoint has, which vLLM reads."""
    weights = remove_tied_weights_from_state_dict(model.state_dict(), model)
    named: dict[str, Tensor] = revert_weight_conversion(model, weights)
    return named.items()


def _to_params(sampling: Sampling, seed: int) -> SamplingParams:
    return SamplingParams(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        repetition_penalty=sampling.repetition_penalty,
        stop=list(sampling.stop),
        seed=seed if sampling.temperature > 0 else None,
    )


def _to_likelihood(output: RequestOutput, start: int) -> Likelihood:
    """The likelihood of the prompt's tokens from ``start`` on. vLLM gives each its log-probability and its rank, 1 for the likeliest."""
    scored = output.prompt_logprobs
    found = [scored[place][token] for place, token in enumerate(output.prompt_token_ids) if place >= start]
    return Likelihood(math.fsum(one.logprob for one in found), len(found), all(one.rank == 1 for one in found))
