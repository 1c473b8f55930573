"""Engines: one loaded base model that answers chats, takes adapters in place, and gives lm-eval a model of its current weights."""

from __future__ import annotations

import logging
import math
import time
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Literal, NotRequired, Protocol, TypeAlias, TypedDict, TypeVar

from xlift.harness.config.suite import EngineSettings
from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.hashing import digest
from xlift.harness.core.progress import Bar
from xlift.harness.core.types import Answer, Chat, Likelihood, Sampling
from xlift.harness.core.versions import library_versions
from xlift.harness.engines.thinking import decode, find_marks, take_apart, widen
from xlift.harness.models.adapters import Adapter, check, merge
from xlift.harness.models.bases import Base, load_tokenizer
from xlift.harness.models.policy import Policy
from xlift.harness.models.profile import InferenceProfile
from xlift.harness.models.steering import Steer
from xlift.harness.models.tokens import tokenize, tokenize_pairs
from xlift.tasks.thinking import find_opening

if TYPE_CHECKING:
    from lm_eval.api.model import LM
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Made(Generic[T]):
    """What an engine made of one request."""

    said: T
    took: Mapping[str, float]
    """What the request cost, by the names in ``USAGE``. Its seconds are an equal share of the time since the engine last finished
    requests."""


Keep: TypeAlias = Callable[[Mapping[int, Made[T]]], None]
"""Is called with what an engine has made as soon as it is done, by the places of the requests."""


class EngineFacts(TypedDict):
    """Everything that can change an answer, except weights and prompts."""

    backend: str
    dtype: str
    products: NotRequired[str]
    """For hf: the library that computes matrix products, as ``dtypes.route_products`` names it."""
    adapter_form: str
    batch_policy: str
    device: str
    max_length: int | None
    """None if only a server knows it."""
    chat_template_sha256: str
    thinking: NotRequired[str]
    """``on`` or ``off``, if the suite says so."""
    thinking_tokens: NotRequired[int]
    """The tokens that thinking may take, if it has an allowance of its own."""
    tensor_parallel_size: NotRequired[int]
    """The number of GPUs, if layers are split over several."""
    versions: dict[str, str]


class Engine(Protocol):
    """One loaded base and its current weights. It is a context manager."""

    base: Base
    backend: str
    settings: EngineSettings
    usage: dict[str, float]
    """Sums since the load, by the names in ``USAGE``."""

    @property
    def profile(self) -> InferenceProfile | None:
        """How the current adapter must be asked and read. It is applied only to lm-eval's requests."""

    @property
    def policy(self) -> Policy | None:
        """How the current adapter chooses a profile for each of lm-eval's requests."""

    @property
    def steering(self) -> Steer | None:
        """How the current adapter moves states."""

    def steer(self, lang: str | None) -> None:
        """From now on, move states as for answers in this language. None moves none, which is also the state after each swap."""

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        """The answers of the current weights, in the order of the chats."""

    def complete(
        self, prompts: Sequence[str], samplings: Sequence[Sampling], keep: Keep[Answer] | None = None, numbers: Sequence[int] | None = None
    ) -> list[Answer]:
        """Answers, in order, to prompts in which the chat template is already applied, each with its own sampling.

        The random numbers of a sampled answer depend on its number in ``numbers``, or on its place if there are none.
        """

    def score(self, pairs: Sequence[tuple[str, str]], keep: Keep[Likelihood] | None = None) -> list[Likelihood]:
        """How likely each answer is directly after its prompt, in which the chat template is already applied. Takes and returns pairs in
        order."""

    def render(self, chat: Sequence[Mapping[str, object]], add_generation_prompt: bool | None = None) -> str:
        """The chat as ``complete`` takes it. It is ready for an answer, unless it ends with the assistant's turn."""

    def measure_room(self, prompts: Sequence[str]) -> list[int] | None:
        """The number of tokens that remain for the answer after each prompt, below 1 if there are none; None if only a server knows."""

    def swap(self, adapter: Adapter | None) -> None:
        """Make an adapter, or with None the base, the current weights, and make its profile the current one.

        A profile without weights leaves the base's weights current. Raises UserError if the adapter does not fit or changes nothing.
        """

    def lm(self) -> LM:
        """An ``lm_eval.api.model.LM`` of the current weights; it follows later swaps."""

    def describe(self) -> EngineFacts:
        """Everything that can change an answer, except weights and prompts. It is the same for base and adapters."""

    def close(self) -> None: ...

    def __enter__(self) -> Engine: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


Pair = tuple[tuple[int, ...], tuple[int, ...]]
"""The tokens of a prompt and of an answer."""

USAGE = (
    "requests", "prompt_tokens", "generated_tokens", "truncated_prompts", "generate_seconds",
    "thinking_tokens",  # of the generated ones
    "scored_answers", "scored_tokens", "score_seconds",  # answers whose likelihood was taken, their own tokens alone
    "tokenised_apart",  # of them those whose first token would have begun in the prompt
    "header_missing",  # answers without the header that a profile waits for
    "short_allowances",  # answers that could not be given all the tokens that a profile asks for
)  # fmt: skip


def _settle_dtype(settings: EngineSettings) -> EngineSettings:
    if settings.dtype != "auto":
        return settings
    from xlift.harness.engines.dtypes import choose_arithmetic

    return settings.model_copy(update={"dtype": str(choose_arithmetic("bfloat16")).removeprefix("torch.")})


class LocalEngine(ABC):
    """What the backends that hold the weights share: templates, tokens, truncation, swaps and counts."""

    backend: str

    def __init__(self, base: Base, settings: EngineSettings) -> None:
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
        self.base = base
        self.settings = _settle_dtype(settings)
        self.tokenizer = load_tokenizer(base)
        self.max_length = min(settings.max_length + settings.thinking_tokens, base.max_length)
        usual: Literal["merged", "lora"] = "merged" if settings.gpus == 1 else "lora"  # merged weights cannot cross to other processes
        self.form: Literal["merged", "lora"] = usual if settings.adapter_form == "auto" else settings.adapter_form
        self.adapter: Adapter | None = None
        self.usage: dict[str, float] = dict.fromkeys(USAGE, 0)
        self._moving: tuple[Steer, str] | None = None
        self._marks = find_marks(self.tokenizer)

    @abstractmethod
    def lm(self) -> LM: ...

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def _answer(self, prompts: Sequence[list[int]], samplings: Sequence[Sampling], seeds: Sequence[int]) -> Iterator[Mapping[int, Answer]]:
        """Answers by the places of their prompts, some at a time, as they are done."""

    @abstractmethod
    def _score(self, pairs: Sequence[Pair]) -> Iterator[Mapping[int, Likelihood]]:
        """The likelihoods of distinct pairs by their places, some at a time, as they are done.

        Each pair has at least one token of a prompt and one of an answer.
        """

    @abstractmethod
    def _load_weights(self, merged: PreTrainedModel | None) -> None:
        """Load the weights of a transformers model, or with None those of the base."""

    @abstractmethod
    def _attach(self, adapter: Adapter | None) -> None: ...

    @abstractmethod
    def _device(self) -> str: ...

    @abstractmethod
    def _batch_policy(self) -> str: ...

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        """The answers of the current weights, in the order of the chats. A chat that ends with the assistant's turn is continued."""
        return self.complete([self.render(chat) for chat in chats], [sampling] * len(chats))

    def complete(
        self, prompts: Sequence[str], samplings: Sequence[Sampling], keep: Keep[Answer] | None = None, numbers: Sequence[int] | None = None
    ) -> list[Answer]:
        """Answers to rendered prompts, in order. A prompt that leaves no room for its answer loses its beginning, and is counted.

        If a prompt opens thinking, the opening tag is put before the answer's text, so that the thinking can be found even if it never
        ends.
        """
        meter = Meter(self.usage, "generate_seconds")
        wide = [widen(sampling, self.settings.thinking_tokens, self.tokenizer) for sampling in samplings]
        whole = tokenize(self.tokenizer, prompts)
        fitted = [self._fit(ids, sampling) for ids, sampling in zip(whole, wide, strict=True)]
        found: dict[int, Answer] = {}
        for some in self._answer(fitted, wide, seeds(samplings, numbers)) if fitted else ():
            answers = {
                place: take_apart(answer, find_opening(prompts[place]), samplings[place], self.tokenizer) for place, answer in some.items()
            }
            took = {place: count(answer, len(fitted[place]), len(fitted[place]) < len(whole[place])) for place, answer in answers.items()}
            meter.hand_over(answers, took, keep)
            found |= answers
        return [found[place] for place in range(len(prompts))]

    def score(self, pairs: Sequence[tuple[str, str]], keep: Keep[Likelihood] | None = None) -> list[Likelihood]:
        """The likelihoods of answers. Equal pairs are computed once. A prompt that leaves no room for its answer loses its beginning, and
        is counted.

        Raises UserError for an answer that is empty, for one that leaves no room for a token of the prompt, and for a model that gives no
        number.
        """
        meter = Meter(self.usage, "score_seconds")
        whole = tokenize_pairs(self.tokenizer, pairs)
        fitted = [self._fit_answer(tuple(pair.prompt), tuple(pair.rest)) for pair in whole]
        places: defaultdict[Pair, list[int]] = defaultdict(list)
        for place, pair in enumerate(fitted):
            places[pair].append(place)
        distinct = list(places)
        found: dict[Pair, Likelihood] = {}
        with Bar(total=len(distinct), desc="likelihoods") as bar:
            for some in self._score(distinct) if distinct else ():
                bar.update(len(some))
                found |= {distinct[number]: likelihood for number, likelihood in some.items()}
                sound = {distinct[number]: likelihood for number, likelihood in some.items() if math.isfinite(likelihood.nats)}
                likelihoods = {place: likelihood for pair, likelihood in sound.items() for place in places[pair]}
                took = {
                    place: {
                        "scored_answers": 1,
                        "scored_tokens": len(fitted[place][1]),
                        "tokenised_apart": int(whole[place].apart),
                        "truncated_prompts": int(len(fitted[place][0]) < len(whole[place].prompt)),
                    }
                    for place in likelihoods
                }
                meter.hand_over(likelihoods, took, keep)
        if broken := sum(not math.isfinite(one.nats) for one in found.values()):
            raise UserError(
                f"{self.adapter.name if self.adapter else self.base.name}: no likelihood for {broken} of {len(found)} answers: the model "
                "computes numbers that are none (NaN or infinite); set engine.dtype: float32, or leave it out if its training diverged"
            )
        return [found[pair] for pair in fitted]

    def render(self, chat: Sequence[Mapping[str, object]], add_generation_prompt: bool | None = None) -> str:
        """The chat in the base's template. Raises UserError if the template refuses it, as some refuse a system turn."""
        from jinja2 import TemplateError

        ask = chat[-1]["role"] != "assistant" if add_generation_prompt is None else add_generation_prompt
        try:
            text: str = self.tokenizer.apply_chat_template(
                [dict(message) for message in chat], tokenize=False, add_generation_prompt=ask, continue_final_message=not ask
            )
        except TemplateError as error:
            roles = ", ".join(str(message["role"]) for message in chat)
            raise UserError(f"the chat template of {self.base.name} refuses the turns {roles}: {one_line(error)}") from error
        return text

    @property
    def profile(self) -> InferenceProfile | None:
        """The profile of the adapter that was swapped in last; None if it has none."""
        return self.adapter.profile if self.adapter else None

    @property
    def policy(self) -> Policy | None:
        """That of the adapter last swapped in."""
        return self.adapter.policy if self.adapter else None

    @property
    def steering(self) -> Steer | None:
        """How the adapter that was swapped in last moves states; None if it does not."""
        return self.adapter.steer if self.adapter else None

    def steer(self, lang: str | None) -> None:
        """From now on, move states as the current adapter does for answers in this language. None moves none."""
        self._moving = (self.steering, lang) if self.steering and lang else None

    def measure_room(self, prompts: Sequence[str]) -> list[int] | None:
        """The number of tokens that ``max_length`` leaves after each prompt and its thinking."""
        room = self.room - self.settings.thinking_tokens
        return [room - len(ids) for ids in tokenize(self.tokenizer, prompts)]

    def swap(self, adapter: Adapter | None) -> None:
        """Make an adapter, or with None the base, the current weights. Nothing is loaded if they are current already."""
        if adapter == self.adapter:
            return
        if adapter is not None:
            check(adapter, self.base)
            require_inside(adapter, self.backend)
        wanted = _with_weights(adapter)
        if wanted != _with_weights(self.adapter):
            self._make_current(wanted)
        self.adapter, self._moving = adapter, None

    def _make_current(self, adapter: Adapter | None) -> None:
        if self.form == "lora":
            if adapter is not None and adapter.peft_type != "LORA":
                raise UserError(
                    f"adapter {adapter.name}: {adapter.peft_type} cannot stay beside the weights; set engine.adapter_form: merged"
                )
            self._attach(adapter)
        elif adapter is None:
            self._load_weights(None)
        else:
            self._load_weights(merge(adapter, self.base, self.settings.dtype))

    def describe(self) -> EngineFacts:
        """Backend, numerics, batching, template and versions. They are the same for base and adapters."""
        return {
            "backend": self.backend,
            "dtype": self.settings.dtype,
            "adapter_form": self.form,
            "batch_policy": self._batch_policy(),
            "device": self._device(),
            "max_length": self.max_length,
            "chat_template_sha256": self.base.chat_template_sha,
            **self.settings.thinks,  # type: ignore[typeddict-item]
            **self.settings.splits,
            "versions": library_versions("torch", "transformers", "peft", "lm_eval", *([self.backend] if self.backend == "vllm" else [])),
        }

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _read_text(self, ids: Sequence[int]) -> str:
        """The text of an answer without special tokens, except for the tags of thinking."""
        return decode(self.tokenizer, ids, self._marks)

    @property
    def room(self) -> int:
        """Positions for a prompt and its answer: all but those that an encoder may take."""
        module = self.adapter.module if self.adapter else None
        return self.max_length - (module.positions if module else 0)

    def _fit(self, ids: list[int], sampling: Sampling) -> list[int]:
        room = self.room - sampling.max_tokens
        if room < 1:
            own = f" (engine.thinking_tokens {self.settings.thinking_tokens} of them)" if self.settings.thinking_tokens else ""
            raise UserError(
                f"an answer of {sampling.max_tokens} tokens{own} leaves no room for a prompt: engine.max_length is {self.max_length}"
            )
        return ids[-room:]

    def _fit_answer(self, prompt: tuple[int, ...], answer: tuple[int, ...]) -> Pair:
        if not answer:
            raise UserError("an answer whose likelihood is asked for is empty; mend the task's data")
        room = self.room - 1 - len(answer)  # vLLM writes a token behind what it scores
        if room < 1:
            raise UserError(
                f"an answer of {len(answer)} tokens, whose likelihood is asked for, leaves no room for a prompt: engine.max_length is "
                f"{self.max_length}; raise it"
            )
        return prompt[-room:], answer


def require_inside(adapter: Adapter, backend: str) -> None:
    """Raises UserError for an adapter that does something inside the base, if the backend cannot."""
    if adapter.inside and backend != "hf":
        raise UserError(f"adapter {adapter.name}: {adapter.inside}, which the {backend} backend cannot do; set engine.backend: hf")


def _with_weights(adapter: Adapter | None) -> Adapter | None:
    return adapter if adapter and adapter.has_weights else None


class Meter:
    """Adds the cost of requests to an engine's sums, and divides the time among those that were finished together."""

    def __init__(self, usage: dict[str, float], seconds: str) -> None:
        """``seconds`` is the name of the time among the sums."""
        self._usage, self._seconds = usage, seconds
        self._last = time.monotonic()

    def hand_over(self, said: Mapping[int, T], took: Mapping[int, Mapping[str, float]], keep: Keep[T] | None) -> None:
        """Count requests that are done now, and hand them to ``keep``."""
        now = time.monotonic()
        share, self._last = (now - self._last) / max(1, len(said)), now
        made = {place: Made(one, {**took[place], self._seconds: share}) for place, one in said.items()}
        for one in made.values():
            for name, value in one.took.items():
                self._usage[name] += value
        if keep:
            keep(made)


def count(answer: Answer, prompt_tokens: int, truncated: bool) -> dict[str, float]:
    """The cost of an answer, without the time."""
    return {
        "requests": 1,
        "prompt_tokens": prompt_tokens,
        "generated_tokens": answer.tokens,
        "thinking_tokens": answer.thinking_tokens,
        "truncated_prompts": int(truncated),
    }


def seeds(samplings: Sequence[Sampling], numbers: Sequence[int] | None = None) -> list[int]:
    """A seed for each request. Equal prompts that are sampled together get different answers, and the same ones in the next run.

    Without ``numbers`` a request's seed depends on its place, and so its answer depends on what is asked with it.
    """
    return [(each.seed * 1_000_003 + number) % 2**31 for each, number in zip(samplings, numbers or range(len(samplings)), strict=True)]


def number_requests(prompts: Sequence[str], samplings: Sequence[Sampling]) -> list[int]:
    """A number for each request that depends on what it asks and on how often that was asked before, but not on what is asked with it."""
    asked: Counter[str] = Counter()
    numbers = []
    for prompt, sampling in zip(prompts, samplings, strict=True):
        key = digest([prompt, asdict(sampling)], 7)
        numbers.append(int(key, 16) + asked[key])
        asked[key] += 1
    return numbers
