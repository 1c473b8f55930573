"""The api backend: an OpenAI-compatible server that holds the weights, and its LoRA adapters under names of their own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import openai

from xlift.harness.config.suite import EngineSettings
from xlift.harness.core import variables
from xlift.harness.core.errors import UserError, name_nearest, one_line
from xlift.harness.core.progress import Bar
from xlift.harness.core.types import Answer, Chat, Likelihood, Message, Sampling
from xlift.harness.core.versions import library_versions
from xlift.harness.engines.base import USAGE, EngineFacts, Keep, Meter, count, require_inside, seeds
from xlift.harness.engines.bounded import BoundedClient, UnboundedError, read_content, read_count, read_thought
from xlift.harness.engines.thinking import take_apart, widen
from xlift.harness.models.adapters import Adapter, check
from xlift.harness.models.bases import Base
from xlift.harness.models.policy import Policy
from xlift.harness.models.profile import InferenceProfile

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM
    from openai.types import Completion
    from openai.types.chat import ChatCompletion

RETRIES = 5
TIMEOUT = 600
"""The most seconds for one answer."""


@dataclass(frozen=True)
class OptionNames:
    """The names of a served model's options in errors: the names that the user wrote."""

    url: str = "engine.url"
    key_variable: str = "engine.key_variable"
    concurrency: str = "engine.concurrency"


class OddReplyError(UserError):
    """A reply that no working server sends: too large, too slow or too deep."""


class ApiEngine:
    """A served model. The server applies its own chat template, so prompts travel as JSON turns."""

    backend = "api"

    def __init__(self, base: Base, settings: EngineSettings, names: OptionNames = OptionNames()) -> None:
        if not settings.url:
            raise UserError(
                f"{names.url}: the api backend needs the address of an OpenAI-compatible server, such as http://localhost:8000/v1"
            )
        self.base = base
        self.settings = settings
        self._names = names
        self.usage: dict[str, float] = dict.fromkeys(USAGE, 0)
        self._model = base.name
        self._adapter: Adapter | None = None
        self._length_key = "max_tokens"
        # Servers without keys still want one to be sent.
        key = variables.read_key(settings.key_variable) or "none"
        address = urlsplit(variables.expand_address(settings.url, names.url))
        # The client puts the path of a request behind all of the address, so a query is given on its own.
        self._client = openai.OpenAI(
            base_url=urlunsplit(address._replace(query="", fragment="")), default_query=dict(parse_qsl(address.query)), api_key=key,
            max_retries=RETRIES, timeout=TIMEOUT, http_client=BoundedClient(TIMEOUT),
        )  # fmt: skip

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        """The served model's answers, in the order of the chats, with ``concurrency`` requests at once."""
        return self.complete([self.render(chat) for chat in chats], [sampling] * len(chats))

    def complete(
        self, prompts: Sequence[str], samplings: Sequence[Sampling], keep: Keep[Answer] | None = None, numbers: Sequence[int] | None = None
    ) -> list[Answer]:
        """Answers to prompts in order. JSON turns go to the chat endpoint, any other text to plain completion."""
        meter = Meter(self.usage, "generate_seconds")
        found: dict[int, Answer] = {}
        with ThreadPoolExecutor(self.settings.concurrency) as pool:
            asked = zip(prompts, samplings, seeds(samplings, numbers), strict=True)
            futures = {pool.submit(self._ask, *parts): place for place, parts in enumerate(asked)}
            try:
                with Bar(total=len(futures), desc="answers of the server") as bar:
                    for future in as_completed(futures):
                        (answer, tokens), place = future.result(), futures[future]
                        meter.hand_over({place: answer}, {place: count(answer, tokens, truncated=False)}, keep)
                        found[place] = answer
                        bar.update()
            except UserError:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [found[place] for place in range(len(prompts))]

    @property
    def profile(self) -> InferenceProfile | None:
        """The profile of the adapter that was swapped in last; None if it has none."""
        return self._adapter.profile if self._adapter else None

    @property
    def policy(self) -> Policy | None:
        """That of the adapter last swapped in."""
        return self._adapter.policy if self._adapter else None

    @property
    def steering(self) -> None:
        """None, because no adapter that moves states is accepted."""

    def steer(self, lang: str | None) -> None:
        """Does nothing."""

    def score(self, pairs: Sequence[tuple[str, str]], keep: Keep[Likelihood] | None = None) -> NoReturn:
        """Raises UserError, because a chat endpoint gives no likelihood of an answer that it did not write."""
        raise UserError("the api backend gives no log-likelihoods; choose tasks that generate, or the vllm or hf backend")

    def measure_room(self, prompts: Sequence[str]) -> list[int] | None:
        """Not known: tokenizer and length are the server's, which refuses what is too long."""
        return None

    def render(self, chat: Sequence[Mapping[str, object]], add_generation_prompt: bool | None = None) -> str:
        """The turns as JSON."""
        return json.dumps([dict(message) for message in chat], ensure_ascii=False)

    def swap(self, adapter: Adapter | None) -> None:
        """From now on, use the server's LoRA with that name (the last part of the folder or repository), or the base for a profile without
        weights.

        Raises UserError if the server does not list it.
        """
        if adapter is not None:
            require_inside(adapter, self.backend)
            if self.base.sha256:
                check(adapter, self.base)
        self._model = self._find_served(adapter) if adapter and adapter.has_weights else self.base.name
        self._adapter = adapter

    def _find_served(self, adapter: Adapter) -> str:
        name = Path(adapter.name.removeprefix("hub:").partition("@")[0]).name
        with self._errors():
            served = [model.id for model in self._client.models.list()]
        if name not in served:
            raise UserError(
                f"adapter {adapter.name}: the server at {self.settings.url} serves no {name!r}{name_nearest(name, served)}; "
                f"start it with --lora-modules {name}=FOLDER, or use the vllm or hf backend"
            )
        return name

    def lm(self) -> LM:
        """An LM for tasks that generate; a server gives no log-likelihoods."""
        return _lm(self)

    def describe(self) -> EngineFacts:
        """What is known from this side. Numerics, batching and template are the server's."""
        return {
            "backend": self.backend,
            "dtype": "server",
            "adapter_form": "server",
            "batch_policy": "server",
            "device": "server",
            "max_length": None,
            "chat_template_sha256": "server",
            **self.settings.thinks,  # type: ignore[typeddict-item]
            "versions": library_versions("openai", "lm_eval"),
        }

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> ApiEngine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def send(self, prompt: str, sampling: Sampling, seed: int, **more: object) -> ChatCompletion | Completion:
        """The server's whole reply to one prompt, as the openai client returns it. ``more`` has further fields of the request.

        Raises UserError if a few tries did not succeed, and OddReplyError for a reply that no working server sends.
        """
        turns = _read_turns(prompt)
        # no part of OpenAI's own interface; vLLM's and others take it
        extra: dict[str, object] = {}
        if sampling.repetition_penalty != 1:
            extra["repetition_penalty"] = sampling.repetition_penalty
        if self.base.template_options and turns is not None:
            extra["chat_template_kwargs"] = dict(self.base.template_options)
        options: dict[str, object] = {
            "model": self._model,
            self._length_key: sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": seed,
            "stop": list(sampling.stop) or openai.omit,
            "extra_body": extra or None,
            **more,
        }
        with self._errors():
            if turns is None:
                return self._client.completions.create(prompt=prompt, **options)
            try:
                return self._client.chat.completions.create(messages=turns, **options)
            except openai.BadRequestError as error:
                if self._length_key != "max_tokens" or "max_completion_tokens" not in str(error):
                    raise
                # Models that think before they answer take the longest reply under a newer name alone.
                self._length_key = "max_completion_tokens"
                options[self._length_key] = options.pop("max_tokens")
                return self._client.chat.completions.create(messages=turns, **options)

    def _ask(self, prompt: str, sampling: Sampling, seed: int) -> tuple[Answer, int]:
        reply = self.send(prompt, widen(sampling, self.settings.thinking_tokens), seed)
        choice = reply.choices[0] if getattr(reply, "choices", None) else None
        text = read_content(choice)
        if choice is None or text is None:
            raise UserError(f"the server at {self.settings.url} answers with what is no text; does the address end with /v1?")
        said = Answer(read_thought(choice) + text, read_count(reply.usage, "completion_tokens"), choice.finish_reason != "length")
        answer = take_apart(said, "", sampling)
        if told := read_count(getattr(reply.usage, "completion_tokens_details", None), "reasoning_tokens"):
            answer = replace(answer, thinking_tokens=told)
        return answer, read_count(reply.usage, "prompt_tokens")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        at, variable, names = f"the server at {self.settings.url}", self.settings.key_variable, self._names
        try:
            yield
        except (openai.AuthenticationError, openai.PermissionDeniedError):
            state = "is wrong" if os.environ.get(variable) else "is not set"
            raise UserError(f"{at} refuses the key: {variable} {state}; set it, or another variable as {names.key_variable}") from None
        except openai.NotFoundError as error:
            raise UserError(f"{at} has no model {self._model!r}, or {names.url} is wrong ({one_line(error)})") from None
        except openai.APITimeoutError:
            raise UserError(f"{at} did not answer in time; lower {names.concurrency} ({self.settings.concurrency})") from None
        except openai.APIConnectionError as error:
            raise UserError(f"{at} cannot be reached ({one_line(error.__cause__ or error)}); is it running?") from None
        except openai.APIStatusError as error:
            raise UserError(f"{at} answers {error.status_code} after {RETRIES} retries: {one_line(error)}") from None
        except json.JSONDecodeError as error:
            raise UserError(f"{at} answers with what is no JSON ({one_line(error)}); is something else there, or between?") from None
        except UnboundedError as error:
            raise OddReplyError(f"{at} sends {one_line(error)}") from None
        except RecursionError:
            raise OddReplyError(f"{at} sends JSON that is nested too deeply") from None
        except openai.OpenAIError as error:
            raise UserError(f"{at}: {one_line(error)}") from error


def _read_turns(prompt: str) -> list[Message] | None:
    if not prompt.startswith("[{"):
        return None
    try:
        turns = json.loads(prompt)
    except ValueError:
        return None
    return turns if all(isinstance(turn, dict) and {"role", "content"} <= turn.keys() for turn in turns) else None


def _lm(engine: ApiEngine) -> LM:
    from xlift.harness.engines.lm_eval_model import EngineLM

    class ServedLM(EngineLM):
        tokenizer_name = engine.base.name.replace("/", "__")

        def loglikelihood(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> NoReturn:
            engine.score([])

        loglikelihood_rolling = loglikelihood

    return ServedLM(engine)
