"""Pairwise judging of answers (X-AlpacaEval): what a judge is asked, how its replies are read, and what both orders together say.

There are two modes. ``weighted`` is that of AlpacaEval 2: one token, and the preference from its log-probabilities. ``verdict`` is that of
MT-Bench as PLUG (arXiv:2311.08711) uses it: an explanation, then [[A]], [[B]] or [[C]]. Both orders are always asked, which AlpacaEval does
not do.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

import regex
import yaml

from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.types import Chat, Sampling, ask
from xlift.tasks.thinking import answer_of

Mode = Literal["weighted", "verdict"]
MODES: tuple[Mode, ...] = get_args(Mode)
Order = Literal["answer first", "reference first"]
ORDERS: tuple[Order, ...] = get_args(Order)
Outcome = Literal["win", "tie", "lose", "error"]

FIRST, SECOND = "m", "M"
"""The two tokens of the weighted mode, for the answers shown first and second."""
TOP_LOGPROBS = 20
"""The number of tokens whose log-probabilities are asked for: the most that OpenAI's interface gives. AlpacaEval 2 asks for five, which
often lack one of the two letters."""
LEAST_MASS = 0.5
"""The least probability on the two letters together. A judge below it wanted to say something else, and its reply cannot be read."""

_VERDICT = regex.compile(r"\[\[([ABC])\]\]")
# A verdict in its place: on a line of its own, or at the line's end behind words such as "Final verdict:".
_PLACED = regex.compile(
    r"^[\s*_#>`-]*(?:[\w ]{0,30}verdict[\w ]{0,12}[:：][\s*_]*)?\[\[([ABC])\]\][\s*_`.!]*$", regex.IGNORECASE | regex.MULTILINE
)
# What looks like a tag of our prompts, in the material.
_TAG = regex.compile(r"<(?=\s*/?\s*(?:instruction|answer))", regex.IGNORECASE)
_WORTH = {"A": 1.0, "B": 0.0, "C": 0.5}


@dataclass(frozen=True)
class Said:
    """One model's answer to one instruction."""

    id: str
    lang: str
    """The language of the instruction, and so of the answer, unless the instruction asks for another."""
    instruction: str
    text: str


@dataclass(frozen=True)
class Pair:
    """One instruction with the answer that is judged and the answer it is compared with."""

    id: str
    lang: str
    instruction: str
    answer: str
    reference: str


@dataclass(frozen=True)
class Reply:
    """What a judge said to one chat."""

    text: str
    logprobs: tuple[tuple[str, float], ...] = ()
    """The likeliest first tokens with the natural logarithm of their probability; empty if the mode does not ask for them, or if they were
    malformed."""
    cut: bool = False
    """Whether the reply ended because it had reached the most tokens allowed."""


@dataclass(frozen=True)
class Verdict:
    """One pair, judged in both orders."""

    pair: Pair
    preferences: tuple[float | None, float | None]
    """How much the judge prefers ``pair.answer``, 0 to 1, first with the answer shown first and then with the reference shown first. None
    if a reply cannot be read."""
    masses: tuple[float | None, float | None] = (None, None)
    """In the weighted mode: how much of its probability the judge put on the two letters, in both orders."""

    @property
    def preference(self) -> float | None:
        """The preference over both orders, 0 to 1; None if either cannot be read."""
        first, second = self.preferences
        return None if first is None or second is None else (first + second) / 2

    @property
    def flipped(self) -> bool:
        """Whether the answer wins in one order and loses in the other: the judge went by the position."""
        first, second = self.preferences
        return first is not None and second is not None and (first - 0.5) * (second - 0.5) < 0


def check_mode(mode: str) -> Mode:
    """The mode of that name. Raises UserError with the nearest name."""
    for known in MODES:
        if mode == known:
            return known
    raise UserError(f"unknown mode {mode!r}{name_nearest(mode, MODES)}")


def pair_up(answers: Sequence[Said], references: Sequence[Said]) -> list[Pair]:
    """Each answer with the reference to the same instruction, in the order of the references, which is the benchmark's.

    Items are matched by id, in whatever order they come, and references without an answer are left out. Raises UserError for an id that
    appears twice, an answer without a reference, and an id whose instruction has two texts.
    """
    said, against = _by_id(answers, "answers"), _by_id(references, "references")
    if not said:
        raise UserError("there are no answers to judge")
    if lacking := [id for id in said if id not in against]:
        raise UserError(f"{len(lacking)} of {len(said)} answers have no reference to be judged against, the first being item {lacking[0]}")
    pairs = []
    for id, reference in against.items():
        if id in said:
            if said[id].instruction.strip() != reference.instruction.strip() or said[id].lang != reference.lang:
                raise UserError(f"item {id}: answer and reference are not to the same instruction; they come from different data")
            pairs.append(Pair(id, reference.lang, reference.instruction, said[id].text, reference.text))
    return pairs


def _by_id(said: Sequence[Said], what: str) -> dict[str, Said]:
    found: dict[str, Said] = {}
    for one in said:
        if one.id in found:
            raise UserError(f"item {one.id} stands twice among the {what}")
        found[one.id] = one
    return found


def build_chat(mode: Mode, pair: Pair, order: Order) -> Chat:
    """What the judge is asked about a pair.

    Instruction and answers are put between tags that hold a hash of them, and anything in them that looks like such a tag is escaped. So no
    answer can end itself and add another.
    """
    first, second = (pair.answer, pair.reference) if order == "answer first" else (pair.reference, pair.answer)
    prompt = _prompts()[mode]
    fence = hashlib.sha256("\0".join((pair.instruction, pair.answer, pair.reference)).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    material = {"instruction": pair.instruction, "first": first, "second": second}
    escaped = {name: _TAG.sub("&lt;", text) for name, text in material.items()}
    return ask(prompt["user"].format(fence=fence, **escaped), prompt["system"])


def sampling(mode: Mode) -> Sampling:
    """Greedy decoding, with as many tokens as a reply in this mode needs."""
    return Sampling(max_tokens=int(_prompts()[mode]["max_tokens"]))


def prompt_sha256(mode: Mode) -> str:
    """A hash of everything of ours that can change a verdict: the prompt, its length, and the number of log-probabilities."""
    parts = {**_prompts()[mode], "logprobs": TOP_LOGPROBS if mode == "weighted" else 0}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_reply(mode: Mode, reply: Reply, order: Order) -> float | None:
    """How much a reply prefers the pair's answer to the reference, 0 to 1; None if it cannot be read.

    In the weighted mode it is the probability of the one token over that of both, from the tokens given; spaces around a token do not
    count. A token that is not among them has at most the probability of the least likely one listed, and at most what the listed ones
    leave; this upper bound is used. With less than ``LEAST_MASS`` on both tokens, the reply cannot be read. In the verdict mode it is 1,
    0.5 or 0, by the verdict in its place; a reply that was cut off cannot be read.
    """
    first = _read_logprobs(reply.logprobs) if mode == "weighted" else _read_verdict(reply)
    return first if first is None or order == "answer first" else 1 - first


def read_mass(reply: Reply) -> float | None:
    """How much of its probability a judge put on the two letters, 0 to 1; None if log-probabilities are missing or malformed."""
    masses = _sum_masses(reply.logprobs)
    return None if masses is None else min(1.0, sum(masses.values()))


def _sum_masses(logprobs: Sequence[tuple[str, float]]) -> dict[str, float] | None:
    masses = {FIRST: 0.0, SECOND: 0.0}
    for token, value in logprobs:
        if math.isnan(value) or value > 1e-3:  # no logarithm of a probability
            return None
        if token.strip() in masses:
            masses[token.strip()] += math.exp(value)
    return masses if logprobs else None


def _read_logprobs(logprobs: Sequence[tuple[str, float]]) -> float | None:
    masses = _sum_masses(logprobs)
    if masses is None or sum(masses.values()) < LEAST_MASS:
        return None
    listed = [math.exp(value) for _, value in logprobs]
    most = max(0.0, min(*listed, 1 - sum(listed)))
    bounded = {token: mass or most for token, mass in masses.items()}
    return bounded[FIRST] / sum(bounded.values())


def _read_verdict(reply: Reply) -> float | None:
    """The last verdict on a line of its own, else the one that ends the reply, else the only one that the reply names."""
    if reply.cut:
        return None
    text = answer_of(reply.text)
    placed, named = _PLACED.findall(text), _VERDICT.findall(text)
    if placed:
        return _WORTH[placed[-1].upper()]
    if named and text.rstrip(" \n.*_").endswith(f"[[{named[-1]}]]"):
        return _WORTH[named[-1]]
    return _WORTH[named[0]] if len(set(named)) == 1 else None


def combine(preferences: Sequence[float | None]) -> Outcome:
    """The outcome of both orders by PLUG's rule: a win and a tie make a win, a win and a loss a tie, two ties a tie. With an unreadable
    reply it is an error.

    Weighted preferences above one half count as wins, as in AlpacaEval.
    """
    if any(one is None for one in preferences):
        return "error"
    signs = sum((one > 0.5) - (one < 0.5) for one in preferences if one is not None)
    return "win" if signs > 0 else "lose" if signs < 0 else "tie"


@cache
def _prompts() -> Mapping[str, Mapping[str, Any]]:
    text = files("xlift.tasks").joinpath("judge_prompts.yaml").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return found
