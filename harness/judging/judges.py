"""Judges: a model behind an OpenAI-compatible server, a local model on our engine, or any model of lm-eval's, behind one call."""

from __future__ import annotations

import datetime
import json
import logging
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from xlift.harness.config.judge import JudgeSettings
from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.core import variables
from xlift.harness.core.errors import UserError, name_nearest, one_line
from xlift.harness.core.types import Chat
from xlift.tasks.judge import FIRST, SECOND, TOP_LOGPROBS, Mode, Reply, sampling

if TYPE_CHECKING:
    from lm_eval.api.model import LM
    from openai.types.chat.chat_completion import ChoiceLogprobs

    from xlift.harness.engines.base import Engine
    from xlift.harness.engines.openai_api import ApiEngine
    from xlift.harness.models.bases import Base

logger = logging.getLogger(__name__)

Description: TypeAlias = dict[str, str]
"""Everything that identifies a judge. Its replies are kept under it."""

CHUNK = 256
"""The number of chats that a local judge gets at once, which is also the most that a killed run loses."""
DAY = datetime.date(2026, 1, 1)
"""The date that a local judge reads if its template writes one, so that a verdict is the same on every day."""


@dataclass(frozen=True)
class Answered:
    """A judge's reply to one chat."""

    reply: Reply
    tokens: int
    """The tokens of prompt and reply as the server counts them, or ``estimate`` if it does not count; 0 for local judges."""
    served: str
    """The name that the server gives to the model that replied. It may be longer than the one that was asked for."""
    seconds: float = 0.0
    """The seconds since the reply before it, or since the judge was asked. Their sum is the time that was waited."""
    odd: bool = False
    """Whether no working server would send such a reply. It counts as unreadable and is not kept."""


class Judge(Protocol):
    """One judge, ready to be asked."""

    def describe(self) -> Description:
        """Everything that identifies this judge: plain data without keys, addresses and paths on this machine."""

    def answer(self, chats: Sequence[Chat], mode: Mode) -> Iterator[tuple[int, Answered]]:
        """The replies as they come, each with the number of its chat. Raises UserError if the judge fails, after the replies that were
        under way."""

    def close(self) -> None: ...


def open_judge(settings: JudgeSettings) -> Judge:
    """The judge that the settings describe."""
    if settings.kind == "api":
        return ApiJudge(settings)
    return open_engine_judge(settings) if settings.kind == "engine" else open_lm_judge(settings)


def estimate(chat: Chat, mode: Mode) -> int:
    """The most tokens that a request can cost, before it is sent: the bytes of its text, and all the tokens that the reply may have."""
    return sum(len(message["content"].encode()) for message in chat) + sampling(mode).max_tokens


class ApiJudge:
    """A model behind an OpenAI-compatible server.

    The first request is sent alone, so that a server that cannot judge costs one request. No request is sent that could exceed the limit of
    tokens, if those under way are counted by ``estimate``.
    """

    def __init__(self, settings: JudgeSettings) -> None:
        from xlift.harness.engines.openai_api import ApiEngine, OptionNames
        from xlift.harness.models.bases import SERVED, resolve

        self.settings = settings
        self.spent = 0
        served = EngineSettings(backend="api", url=settings.judge, key_variable=settings.key_variable, concurrency=settings.concurrency)
        names = OptionNames(url="--judge", key_variable="--key-variable", concurrency="--concurrency")
        self._engine: ApiEngine = ApiEngine(resolve(BaseSettings(model=f"{SERVED}{settings.model}")), served, names)
        self._answered = False
        self._next_start = 0.0

    def describe(self) -> Description:
        """The model's name. The same name at another address counts as the same judge."""
        return {"kind": "api", "model": self.settings.name}

    def close(self) -> None:
        """Close the connections."""
        self._engine.close()

    def answer(self, chats: Sequence[Chat], mode: Mode) -> Iterator[tuple[int, Answered]]:
        """The replies as they come, with ``concurrency`` requests at once. Raises UserError if the server fails, and at the limit of
        tokens."""
        waiting: deque[tuple[int, Chat]] = deque(enumerate(chats))
        running: dict[Future[Answered], tuple[int, int]] = {}
        failure: UserError | None = None
        with ThreadPoolExecutor(self.settings.concurrency) as pool:
            while running or (waiting and failure is None):
                while waiting and failure is None and len(running) < (self.settings.concurrency if self._answered else 1):
                    place, chat = waiting[0]
                    cost = estimate(chat, mode)
                    if not self._afford(cost + sum(held for _, held in running.values())):
                        break
                    self._pace()
                    waiting.popleft()
                    running[pool.submit(self._ask, chat, mode)] = place, cost
                if not running:
                    limit = self.settings.limit_tokens
                    raise UserError(f"the limit of {limit} tokens is reached ({self.spent} spent); raise --limit-tokens")
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    place, _ = running.pop(future)
                    try:
                        answered = future.result()
                    except UserError as error:
                        failure = failure or error
                        continue
                    self._answered = True
                    self.spent += answered.tokens
                    yield place, answered
        if failure:
            raise failure

    def _afford(self, tokens: int) -> bool:
        return self.settings.limit_tokens is None or self.spent + tokens <= self.settings.limit_tokens

    def _pace(self) -> None:
        if self.settings.requests_per_minute is None:
            return
        now = time.monotonic()
        time.sleep(max(0.0, self._next_start - now))
        self._next_start = max(now, self._next_start) + 60 / self.settings.requests_per_minute

    def _ask(self, chat: Chat, mode: Mode) -> Answered:
        from xlift.harness.engines.bounded import read_content, read_count
        from xlift.harness.engines.openai_api import OddReplyError

        more: dict[str, object] = {"logprobs": True, "top_logprobs": TOP_LOGPROBS} if mode == "weighted" else {}
        cost = estimate(chat, mode)
        try:
            reply = self._engine.send(json.dumps(chat, ensure_ascii=False), sampling(mode), 0, **more)
        except OddReplyError as error:
            if not self._answered:
                raise UserError(f"judge {self.settings.model}: {error}") from None
            return Answered(Reply(""), cost, "", odd=True)
        except UserError as error:
            raise UserError(f"judge {self.settings.model}: {error}") from None
        choice = reply.choices[0] if getattr(reply, "choices", None) else None
        if choice is None and not self._answered:
            raise UserError(f"judge {self.settings.model}: what {self.settings.judge} replies is no chat completion; does it end with /v1?")
        given = getattr(choice, "logprobs", None)
        if mode == "weighted" and given is None and not self._answered:
            raise UserError(
                f"judge {self.settings.model}: the server gives no log-probabilities, which the weighted mode goes by; use --mode verdict"
            )
        text = read_content(choice)
        logprobs = read_logprobs(given) if mode == "weighted" else ()
        cut = mode == "verdict" and getattr(choice, "finish_reason", None) == "length"
        tokens = read_count(getattr(reply, "usage", None), "total_tokens") or cost
        served = getattr(reply, "model", None)
        return Answered(Reply(text or "", logprobs, cut), tokens, served if isinstance(served, str) else "", odd=text is None)


def read_logprobs(given: ChoiceLogprobs) -> tuple[tuple[str, float], ...]:
    """The likeliest first tokens in a chat completion's ``logprobs``; none if they do not have the documented form."""
    try:
        found = tuple((str(top.token), float(top.logprob)) for top in given.content[0].top_logprobs)
        return found if all(math.isfinite(value) for _, value in found) else ()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return ()


class LmJudge:
    """A model of lm-eval's; our engines are among them. Log-probabilities are exact: those of the two tokens after the prompt."""

    def __init__(self, lm: LM, described: Description, engine: Engine | None = None) -> None:
        self._lm, self._described, self._engine = lm, described, engine

    def describe(self) -> Description:
        """The model, with its weights and numerics if they are known."""
        return self._described

    def close(self) -> None:
        """Free the model."""
        if self._engine is not None:
            self._engine.close()

    def answer(self, chats: Sequence[Chat], mode: Mode) -> Iterator[tuple[int, Answered]]:
        """The replies chunk by chunk. A chat that is too long for the model gets an empty reply, which cannot be read and is counted as
        such."""
        for start in range(0, len(chats), CHUNK):
            prompts = [self._lm.apply_chat_template([dict(message) for message in chat]) for chat in chats[start : start + CHUNK]]
            room = self._engine.measure_room(prompts) if self._engine is not None else None
            fitting = [place for place in range(len(prompts)) if room is None or room[place] > sampling(mode).max_tokens]
            replies = dict(zip(fitting, self._reply([prompts[place] for place in fitting], mode), strict=True))
            if len(fitting) < len(prompts):
                logger.warning("judge: %d of %d chats are too long for the model", len(prompts) - len(fitting), len(prompts))
            for place in range(len(prompts)):
                yield start + place, Answered(replies.get(place, Reply("")), 0, "")

    def _reply(self, prompts: Sequence[str], mode: Mode) -> list[Reply]:
        from lm_eval.api.instance import Instance

        if not prompts:
            return []
        if mode == "weighted":
            asked = [
                Instance("loglikelihood", {}, (prompt, token), place) for place, prompt in enumerate(prompts) for token in (FIRST, SECOND)
            ]
            values = [float(value) for value, _ in self._lm.loglikelihood(asked)]
            pairs = zip(values[::2], values[1::2], strict=True)
            return [Reply(FIRST if first >= second else SECOND, ((FIRST, first), (SECOND, second))) for first, second in pairs]
        wanted = {"until": [], "max_gen_toks": sampling(mode).max_tokens, "do_sample": False}
        asked = [Instance("generate_until", {}, (prompt, wanted), place) for place, prompt in enumerate(prompts)]
        return [Reply(text) for text in self._lm.generate_until(asked)]


def check_model(settings: JudgeSettings) -> None:
    """Raise UserError if there is no such local judge, or if a variable that it names is not set. Nothing is loaded, and a server is not
    asked."""
    variables.expand(settings.judge, "--judge")
    if settings.kind == "engine":
        find_base(settings)
    elif settings.kind == "lm":
        find_class(settings)


def find_base(settings: JudgeSettings) -> Base:
    """The files of a judge on xlift's engine."""
    from xlift.harness.models.bases import resolve

    base = resolve(BaseSettings(model=settings.name, date=DAY))
    if not base.sha256:
        raise UserError(f"--judge {settings.judge}: a served model; give its server as --judge URL and its name as --model")
    return base


def find_class(settings: JudgeSettings) -> type[LM]:
    """The class of a judge among lm-eval's models."""
    import lm_eval.models  # noqa: F401  (fills the registry)
    from lm_eval.api.registry import get_model, model_registry

    kind = settings.name.partition(",")[0]
    try:
        found: type[LM] = get_model(kind)
    except (ValueError, KeyError):
        known = name_nearest(kind, model_registry.keys(), 50)
        raise UserError(f"--judge {settings.judge}: lm-eval has no model {kind!r}{known}") from None
    return found


def open_engine_judge(settings: JudgeSettings) -> LmJudge:
    """A local folder, a hub repository or the embedded model on xlift's engine, with its full length, up to 16,384 tokens."""
    from xlift.harness.engines.load import load_engine

    base = find_base(settings)
    engine = load_engine(base, EngineSettings(max_length=max(64, min(base.max_length, 16384))))
    told = engine.describe()
    numerics = {"backend": told["backend"], "dtype": told["dtype"], "chat_template_sha256": told["chat_template_sha256"]}
    name = settings.name.rstrip("/").rpartition("/")[2]
    return LmJudge(engine.lm(), {"kind": "engine", "model": name, "sha256": base.sha256, **numerics}, engine)


def open_lm_judge(settings: JudgeSettings) -> LmJudge:
    """A model of lm-eval's, as ``TYPE,key=value,...``: its name and the arguments of ``--model_args``."""
    kind, _, arguments = settings.name.partition(",")
    try:
        lm = find_class(settings).create_from_arg_string(variables.expand(arguments, "--judge"))
    except (ValueError, TypeError, KeyError, OSError, ImportError) as error:
        raise UserError(f"--judge {settings.judge}: lm-eval does not load it: {one_line(error)}") from None
    return LmJudge(lm, {"kind": "lm", "model": kind, "arguments": arguments})
