"""An engine that says what it is told to, behind lm-eval's model as xlift makes it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from xlift.harness.config.suite import EngineSettings
from xlift.harness.core.types import Answer, Likelihood, Sampling
from xlift.harness.engines.base import USAGE
from xlift.harness.engines.lm_eval_model import EngineLM
from xlift.harness.models.policy import Policy
from xlift.harness.models.profile import InferenceProfile
from xlift.harness.models.steering import Steer

GREEDY = {"until": ["\n"], "max_gen_toks": 10, "do_sample": False}


class Scripted:
    """An engine that says what it is told to, renders chats as JSON, and has the room it is told to have."""

    def __init__(self, profile: InferenceProfile | None, *answers: str, room: Sequence[int] = ()) -> None:
        self.profile, self.answers, self.room = profile, answers, room
        self.settings = EngineSettings()
        self.usage: dict[str, float] = dict.fromkeys(USAGE, 0)
        self.asked: list[tuple[Any, Sampling]] = []
        self.scored: list[tuple[str, str]] = []
        self.policy: Policy | None = None
        self.steering: Steer | None = None
        self.steered: list[tuple[str | None, int]] = []
        self.lang: str | None = None

    def steer(self, lang: str | None) -> None:
        """Remembers the language, and how many requests come for it."""
        self.lang = lang

    def render(self, chat: Sequence[Mapping[str, object]], add_generation_prompt: bool | None = None) -> str:
        return json.dumps([list(chat), add_generation_prompt], ensure_ascii=False)

    def measure_room(self, prompts: Sequence[str]) -> list[int]:
        return list(self.room) or [1000] * len(prompts)

    def complete(self, prompts: Sequence[str], samplings: Sequence[Sampling]) -> list[Answer]:
        self.asked = list(zip(map(json.loads, prompts), samplings, strict=True))
        self.steered.append((self.lang, len(prompts)))
        return [Answer(text, 1, True) for text in self.answers[: len(prompts)]]

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[Likelihood]:
        self.scored = list(pairs)
        self.steered.append((self.lang, len(pairs)))
        return [Likelihood(-1.0, 1, True) for _ in pairs]


class Likely(LM):  # type: ignore[misc]
    """What a backend's own model does."""

    def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        raise AssertionError("not through the engine")

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        return [-1.0 for _ in requests]

    def generate_until(self, requests: Any) -> list[str]:
        raise AssertionError("not through the engine")


class Lm(EngineLM, Likely): ...


def ask_lm(engine: Any, *requests: tuple[str, list[dict[str, str]]], opens: bool = True) -> tuple[Any, list[Instance]]:
    lm = Lm(engine)
    made = [
        Instance("generate_until", {}, (lm.apply_chat_template(turns, opens), dict(GREEDY)), 0, (task, number, 1))
        for number, (task, turns) in enumerate(requests)
    ]
    return lm, made


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def ask_likelihoods(engine: Any, *asked: tuple[str, str, str]) -> tuple[Any, list[Instance]]:
    """Requests of a task for an answer to a user's turn; an empty turn is no turn."""
    lm = Lm(engine)
    made = []
    for number, (task, text, answer) in enumerate(asked):
        prompt = lm.apply_chat_template(user(text)) if text else ""
        made.append(Instance("loglikelihood", {}, (prompt, answer), number, (task, number, 1)))
    return lm, made
