"""The transformers backend: batches sized by tokens, the next row where one is finished, weights or LoRA swapped in the one loaded model.

transformers' own continuous batching gave no more tokens per second than ``generate`` on 2 cores (17.9 against 20.1, SmolLM2 in bf16, 32
prompts of 64 tokens, cores shared), sizes its cache by the free memory, and has one sampling setting for a batch, not one for each row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM

from xlift.harness.config.suite import EngineSettings
from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.progress import Bar
from xlift.harness.core.types import Answer, Likelihood, Sampling
from xlift.harness.engines.base import EngineFacts, LocalEngine, Pair
from xlift.harness.engines.decoding import Request, Writer
from xlift.harness.engines.dtypes import route_products
from xlift.harness.engines.lm_eval_model import EngineLM
from xlift.harness.engines.merger import Line, Merger, score_merged
from xlift.harness.engines.scoring import score_pairs
from xlift.harness.engines.steering import Moves, score_moved
from xlift.harness.engines.thinking import cut
from xlift.harness.models.adapters import Adapter
from xlift.harness.models.bases import Base
from xlift.harness.models.encoders import read_weights
from xlift.harness.models.steering import Steer, place_moves, read_arrays

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM
    from numpy.typing import NDArray
    from peft import PeftModel
    from transformers import PreTrainedModel


class HfEngine(LocalEngine):
    """One transformers model in memory. On a GPU it uses the first one; it was not run there so far."""

    backend = "hf"

    def __init__(self, base: Base, settings: EngineSettings) -> None:
        super().__init__(base, settings)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.products = route_products(getattr(torch, self.settings.dtype))
        try:
            self.model = (
                AutoModelForCausalLM.from_pretrained(base.folder, use_safetensors=True, dtype=getattr(torch, self.settings.dtype))
                .to(self.device)
                .eval()
            )
        except (OSError, ValueError) as error:
            raise UserError(f"base model {base.name}: transformers does not load it: {one_line(error)}") from error
        except torch.OutOfMemoryError:
            raise UserError(f"base model {base.name}: too large for the memory of {self.device} in {self.settings.dtype}") from None
        self._tuned: PeftModel | None = None
        self._arrays: dict[str, torch.Tensor] = {}
        self.merger: Merger | None = None
        """What reads prompts beside the base, where the current adapter has an encoder do so."""
        self._lm = _Lm(self)

    def lm(self) -> LM:
        """lm-eval's HFLM on the loaded model; ``generate_until`` goes through ``complete``."""
        return self._lm

    def describe(self) -> EngineFacts:
        """The same as for every backend, and the library of the matrix products."""
        return {**super().describe(), "products": self.products}

    def swap(self, adapter: Adapter | None) -> None:
        """The same as for every backend. An adapter that moves states has its arrays loaded, one with an encoder has the encoder loaded."""
        changes = adapter != self.adapter
        super().swap(adapter)
        if changes:
            self._arrays = _to_tensors(read_arrays(adapter.folder)) if adapter and adapter.steer else {}
            self.merger = None
            if adapter and adapter.module:
                self.merger = Merger(adapter.module, self.model, self.tokenizer, read_weights(adapter.folder))

    @contextmanager
    def try_steering(self, steer: Steer, arrays: Mapping[str, NDArray[Any]], lang: str) -> Iterator[None]:
        """While the context lasts, move states for answers in a language in a way that no adapter has yet."""
        kept, self._arrays, self._moving = self._arrays, _to_tensors(arrays), (steer, lang)
        try:
            yield
        finally:
            self._arrays, self._moving = kept, None

    def close(self) -> None:
        """Free the weights."""
        self.model = self._tuned = self.merger = None
        self._lm._model = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _answer(self, prompts: Sequence[list[int]], samplings: Sequence[Sampling], seeds: Sequence[int]) -> Iterator[Mapping[int, Answer]]:
        rows = [Request(*parts) for parts in zip(prompts, samplings, seeds, strict=True)]
        places = {id(row): place for place, row in enumerate(rows)}
        with Bar(total=len(rows), desc="answers") as bar, self._move() as moves:
            writer = Writer(self.model, moves, self._read_prompts, self._ends)
            try:
                for done in writer.write(rows, self.max_length - self.room, self.settings.batch_tokens):
                    bar.update(len(done)) if done else bar.wait()
                    if done:
                        yield {places[id(row)]: self._to_answer(row) for row in done}
            except torch.OutOfMemoryError:
                raise self._out_of_memory() from None

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _score(self, pairs: Sequence[Pair]) -> Iterator[Mapping[int, Likelihood]]:
        try:
            if self.merger:
                yield from score_merged(self.merger, pairs, self.settings.batch_tokens)
            elif self._moving:
                yield from score_moved(self.model, self._move(), pairs, self.settings.batch_tokens)
            else:
                yield from score_pairs(self.model, pairs, self.settings.batch_tokens)
        except torch.OutOfMemoryError:
            raise self._out_of_memory() from None

    def _move(self) -> Moves:
        """The moves of states that are requested; none for most models."""
        if self._moving is None:
            return Moves(self.model, {})
        steer, lang = self._moving
        depth = self.model.config.get_text_config().num_hidden_layers
        layers = place_moves(steer.layers, depth)
        return Moves(self.model, dict(zip(layers, self._arrays[lang] * steer.strengths[lang], strict=True)), steer.positions)

    def _out_of_memory(self) -> UserError:
        return UserError(f"out of memory on {self.device}; lower engine.batch_tokens ({self.settings.batch_tokens})")

    def _read_prompts(self, rows: Sequence[Request]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """What the model is given of prompts, padded on the left, and the mask."""
        if self.merger:
            lines = [Line(row.prompt, reads_prompt=self.merger.module.reads_prompt) for row in rows]
            embeds, mask = self.merger.embed(lines, "left")
            return {"inputs_embeds": embeds}, mask
        padded = self.tokenizer.pad({"input_ids": [row.prompt for row in rows]}, padding_side="left", return_tensors="pt").to(self.device)
        return {"input_ids": padded.input_ids}, padded.attention_mask

    def _ends(self, row: Request) -> bool:
        if row.answer[-1] in self._end_tokens(row.sampling):
            return True
        if not row.sampling.stop:
            return False
        # A character takes at most four byte tokens.
        tail = row.answer[-4 * max(map(len, row.sampling.stop)) - 4 :]
        text = self.tokenizer.decode(tail, skip_special_tokens=True)
        return any(stop in text for stop in row.sampling.stop)

    def _end_tokens(self, sampling: Sampling) -> set[int]:
        configured = self.model.generation_config.eos_token_id
        listed = configured if isinstance(configured, list) else [configured]
        special = self.tokenizer.get_added_vocab()
        return {self.tokenizer.eos_token_id, *listed, *(special[stop] for stop in sampling.stop if stop in special)}

    def _to_answer(self, row: Request) -> Answer:
        text = self._read_text(row.answer)
        return Answer(text=cut(text, row.sampling.stop), tokens=len(row.answer), finished=row.finished)

    def _load_weights(self, merged: PreTrainedModel | None) -> None:
        if merged is None:
            merged = AutoModelForCausalLM.from_pretrained(self.base.folder, use_safetensors=True, dtype=self.model.dtype)
        self.model.load_state_dict(merged.state_dict())

    def _attach(self, adapter: Adapter | None) -> None:
        from peft import PeftModel

        if self._tuned is not None:
            self._tuned.unload()
            self._tuned = None
            self._load_weights(None)  # an adapter may have brought embeddings along
        if adapter is not None:
            # PEFT puts its layers into the model itself, so lm-eval's reference to it stays right.
            self._tuned = PeftModel.from_pretrained(self.model, str(adapter.folder)).eval()

    def _device(self) -> str:
        return torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu"

    def _batch_policy(self) -> str:
        return f"{self.settings.batch_tokens} tokens, longest first"


def _to_tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    return {lang: torch.from_numpy(array).float() for lang, array in arrays.items()}


class _Lm(EngineLM, HFLM):  # type: ignore[misc]
    engine: HfEngine

    def __init__(self, engine: HfEngine) -> None:
        super().__init__(engine, pretrained=engine.model, tokenizer=engine.tokenizer, batch_size="auto", max_length=engine.max_length)

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[float]:
        if self.engine.merger:
            raise UserError(
                f"task {requests[0].task_name} is scored by the likelihood of whole texts, which have no prompt that the adapter's encoder "
                "could read; leave the task out"
            )
        # lm-eval would probe for a batch size on its own, and print that it does
        self.batch_size_per_gpu = max(1, self.engine.settings.batch_tokens // self.max_length)
        try:
            found: list[float] = super().loglikelihood_rolling(requests, disable_tqdm)
        finally:
            self.batch_size_per_gpu = "auto"
        return found
