"""Answers that are kept for all suites: what is missing is asked in one call, and sampled answers do not go by what is asked with them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from xlift.harness.core.types import Answer, Likelihood, Sampling
from xlift.harness.engines.base import Keep, Made, number_requests, seeds
from xlift.harness.engines.kept_answers import KeptAnswers

GREEDY = Sampling(max_tokens=9)
WARM = Sampling(max_tokens=9, temperature=1.0)


class Telling:
    """An engine that repeats prompts with the seeds that it would draw by, two at a time, and ends before the request ``killed_at``."""

    def __init__(self, killed_at: int | None = None) -> None:
        self.calls: list[list[str]] = []
        self.killed_at = killed_at

    def complete(
        self, prompts: Sequence[str], samplings: Sequence[Sampling], keep: Keep[Answer] | None = None, numbers: Sequence[int] | None = None
    ) -> list[Answer]:
        self.calls.append(list(prompts))
        drawn = seeds(samplings, numbers)
        warm = [sampling.temperature > 0 for sampling in samplings]
        said = [Answer(f"{prompt} {seed if hot else 0}", 3, True) for prompt, seed, hot in zip(prompts, drawn, warm, strict=True)]
        self._hand_over(said, keep)
        return said

    def score(self, pairs: Sequence[tuple[str, str]], keep: Keep[Likelihood] | None = None) -> list[Likelihood]:
        self.calls.append([prompt + answer for prompt, answer in pairs])
        said = [Likelihood(-float(len(answer)), len(answer), False) for _, answer in pairs]
        self._hand_over(said, keep)
        return said

    def _hand_over(self, said: Sequence[Any], keep: Any) -> None:
        for start in range(0, len(said), 2):
            if self.killed_at is not None and start >= self.killed_at:
                raise KeyboardInterrupt
            made: Mapping[int, Made[Any]] = {
                start + turn: Made(one, {"requests": 1, "generate_seconds": 0.5}) for turn, one in enumerate(said[start : start + 2])
            }
            keep(made)


def ask(folder: Path, engine: Telling, prompts: str, sampling: Sampling = GREEDY, **model: Any) -> list[Made[Answer]]:
    return KeptAnswers(folder, {"base": "b", **model}).complete(cast(Any, engine), list(prompts), [sampling] * len(prompts))


def texts(made: Sequence[Made[Answer]]) -> list[str]:
    return [one.said.text for one in made]


def test_what_is_missing_is_asked_in_one_call(tmp_path: Path) -> None:
    engine = Telling()
    first = ask(tmp_path, engine, "abca")
    assert texts(first) == ["a 0", "b 0", "c 0", "a 0"] and engine.calls == [["a", "b", "c"]]
    assert [one.took.get("requests", 0) for one in first] == [1, 1, 1, 0], "the second a took nothing"
    later = ask(tmp_path, engine, "cxay")
    assert texts(later) == ["c 0", "x 0", "a 0", "y 0"] and engine.calls[1:] == [["x", "y"]]
    assert [one.took["generate_seconds"] for one in later] == [0.5] * 4, "what was kept says what it took when it was made"
    assert ask(tmp_path, engine, "abcxy") and len(engine.calls) == 2


def test_a_kill_loses_what_was_under_way_alone(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        ask(tmp_path, Telling(killed_at=4), "abcdefg")
    again = Telling()
    assert texts(ask(tmp_path, again, "abcdefg")) == texts(ask(tmp_path / "undisturbed", Telling(), "abcdefg"))
    assert again.calls == [["e", "f", "g"]]


def test_other_weights_engines_and_samplings_are_others(tmp_path: Path) -> None:
    engine = Telling()
    ask(tmp_path, engine, "a")
    ask(tmp_path, engine, "a", adapter="x")
    ask(tmp_path, engine, "a", described={"dtype": "float32"})
    ask(tmp_path, engine, "a", Sampling(max_tokens=8))
    assert engine.calls == [["a"]] * 4


def test_sampled_answers_to_equal_prompts_differ_and_are_the_same_in_other_company(tmp_path: Path) -> None:
    whole = texts(ask(tmp_path / "whole", Telling(), "aabab", WARM))
    assert len(set(whole)) == 5
    engine = Telling()
    assert texts(ask(tmp_path, engine, "ab", WARM)) == [whole[0], whole[2]]
    assert texts(ask(tmp_path, engine, "baa", WARM)) == [whole[2], whole[0], whole[1]]
    assert engine.calls == [["a", "b"], ["a"]]
    assert number_requests(["a", "b"], [WARM, WARM]) == [number_requests([one], [WARM])[0] for one in "ab"]


def test_likelihoods_are_kept_beside_answers(tmp_path: Path) -> None:
    engine, kept = Telling(), KeptAnswers(tmp_path, {})
    found = kept.score(cast(Any, engine), [("p", "ab"), ("p", "c"), ("pa", "b")])
    assert [one.said.nats for one in found] == [-2.0, -1.0, -1.0]
    later = KeptAnswers(tmp_path, {}).score(cast(Any, engine), [("p", "c"), ("p", "d")])
    assert [one.said for one in later] == [Likelihood(-1.0, 1, False)] * 2
    assert engine.calls == [["pab", "pc", "pab"], ["pd"]]
    text = Made(Likelihood(-3.0, 0, False), {})
    assert kept.read(["t", "u"], lambda places, keep: keep(dict.fromkeys(places, text))) == [text, text]
    assert KeptAnswers(tmp_path, {}).read(["u"], lambda places, keep: pytest.fail("it is kept")) == [text]
