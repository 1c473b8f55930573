"""A model's answers and likelihoods, kept for all suites of a runs folder. None is computed twice, and a kill loses only those under
way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from xlift.harness.core.hashing import digest
from xlift.harness.core.kept_lines import KeptLines
from xlift.harness.core.types import Answer, Json, Likelihood, Sampling
from xlift.harness.engines.base import Keep, Made, number_requests

if TYPE_CHECKING:
    from xlift.harness.engines.base import Engine

T = TypeVar("T")


class KeptAnswers:
    """Everything that one model said with one engine, in one file of JSON lines, with the cost of each answer.

    A request is its prompt, in which the chat template is applied, and its sampling. A greedy request that is asked twice is computed once.
    Sampled requests are distinguished by how often they were asked before; their random numbers do not depend on what else is asked.
    """

    def __init__(self, folder: Path, model: Mapping[str, Json]) -> None:
        """``model`` is everything that can change an answer, except the request: weights, template, and what the engine says of itself."""
        name = digest(model, 32)
        self._answers = KeptLines(folder / f"{name}.jsonl", _read_answer, _write_answer)
        self._likelihoods = KeptLines(folder / f"{name}.scores.jsonl", _read_likelihood, _write_likelihood)

    def complete(
        self, engine: Engine, prompts: Sequence[str], samplings: Sequence[Sampling], lang: str | None = None
    ) -> list[Made[Answer]]:
        """Answers in order. The missing ones are made in one call of the engine. Of equal requests, only the first has a cost.

        ``lang`` is the language for which the engine moves states, if it does.
        """
        numbers = number_requests(prompts, samplings)
        keys = [
            digest([prompt, asdict(sampling), number if sampling.temperature else 0, *([lang] if lang else [])], 32)
            for prompt, sampling, number in zip(prompts, samplings, numbers, strict=True)
        ]

        def make(places: Sequence[int], keep: Keep[Answer]) -> object:
            asked, wanted = [prompts[place] for place in places], [samplings[place] for place in places]
            return engine.complete(asked, wanted, keep, [numbers[place] for place in places])

        return _gather(self._answers, keys, make)

    def score(self, engine: Engine, pairs: Sequence[tuple[str, str]], lang: str | None = None) -> list[Made[Likelihood]]:
        """``complete`` for the likelihoods of answers after prompts."""

        def make(places: Sequence[int], keep: Keep[Likelihood]) -> object:
            return engine.score([pairs[place] for place in places], keep)

        return _gather(self._likelihoods, [digest([*pair, *([lang] if lang else [])], 32) for pair in pairs], make)

    def read(self, texts: Sequence[str], make: Callable[[Sequence[int], Keep[Likelihood]], object]) -> list[Made[Likelihood]]:
        """``complete`` for the likelihoods of whole texts. ``make`` computes those at some places."""
        return _gather(self._likelihoods, [digest(text, 32) for text in texts], make)


def _gather(kept: KeptLines[Made[T]], keys: Sequence[str], make: Callable[[Sequence[int], Keep[T]], object]) -> list[Made[T]]:
    first: dict[str, int] = {}
    for place, key in enumerate(keys):
        first.setdefault(key, place)
    found = kept.find(keys)
    missing = [place for key, place in first.items() if key not in found]
    if missing:
        with kept.adding() as add:

            def keep(made: Mapping[int, Made[T]]) -> None:
                some = {keys[missing[turn]]: one for turn, one in made.items()}
                found.update(some)
                add(some)

            make(missing, keep)
    return [found[key] if first[key] == place else Made(found[key].said, {}) for place, key in enumerate(keys)]


def _read_answer(row: Mapping[str, Any]) -> tuple[str, Made[Answer]]:
    text, tokens, finished, thinking = row["text"], row["tokens"], row["finished"], row["thinking_tokens"]
    _require((text, str), (tokens, int), (finished, bool), (thinking, int))
    return _read_head(row, Answer(text, tokens, finished, thinking))


def _read_likelihood(row: Mapping[str, Any]) -> tuple[str, Made[Likelihood]]:
    nats, tokens, greedy = row["nats"], row["tokens"], row["greedy"]
    _require((nats, float), (tokens, int), (greedy, bool))
    return _read_head(row, Likelihood(nats, tokens, greedy))


def _read_head(row: Mapping[str, Any], said: T) -> tuple[str, Made[T]]:
    key, took = row["key"], row["took"]
    _require((key, str), (took, dict), *((value, int | float) for value in took.values()))
    return key, Made(said, took)


def _require(*known: tuple[object, Any]) -> None:
    if not all(isinstance(value, kind) for value, kind in known):
        raise TypeError(known)


def _write_answer(key: str, made: Made[Answer]) -> dict[str, object]:
    return {"key": key, **asdict(made.said), "took": _round(made)}


def _write_likelihood(key: str, made: Made[Likelihood]) -> dict[str, object]:
    return {"key": key, **asdict(made.said), "took": _round(made)}


def _round(made: Made[Any]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in made.took.items() if value}
