"""The world that a run shows to a method."""

from typing import Any

import pytest

from xlift.harness.config.suite import read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Answer, Sampling
from xlift.harness.pipeline.context import RunContext
from xlift.tasks.leaks import Guard


def open_context(translators: dict[str, Any], number: int = 0) -> RunContext:
    values = {
        "name": "small", "languages": {"train": ["es"], "evaluate": ["es"]}, "data": {"samples": "always"},
        "methods": {"m": {"method": "cross_lingual"}}, "evaluate": {"tasks": ["xlift_mgsm_direct_es"]}, "translators": translators,
    }  # fmt: skip
    return RunContext(read_suite(values, "test"), "m", Guard([]), lambda chats, sampling: pytest.fail("no engine is needed"), number)


def test_a_translator_is_required_without_a_translation() -> None:
    context = open_context({"en-es": {"kind": "command", "command": "cat"}, "es-en": {"kind": "command", "command": "no-such-program"}})
    context.require_translator("en", "es")
    assert context.describe_help()["translated"] == {}, "nothing was asked for"
    for ask in (context.require_translator, lambda source, target: context.translate([], source, target)):
        with pytest.raises(UserError, match="there is no program 'no-such-program'"):
            ask("es", "en")
        with pytest.raises(UserError, match="translators: none for sw-es; add sw-es or default"):
            ask("sw", "es")


def test_rows_take_no_thinking() -> None:
    context = open_context({})
    said = [
        Answer("<think>\nHm.\n</think>\n\n18", 9, finished=True, thinking_tokens=7),
        Answer("<think>\nHm.", 9, finished=True, thinking_tokens=9),
        Answer(" 18", 2, finished=True),
    ]
    context._generate = lambda chats, sampling: said
    answers = context.generate([], Sampling())
    assert [(answer.text, answer.finished) for answer in answers] == [("18", True), ("", False), (" 18", True)]
    told = context.describe_help()
    assert (told["generated_tokens"], told["thinking_tokens"], told["thinking_cut"]) == (20, 16, 1)


def test_translations_are_counted_by_pair_and_kind() -> None:
    context = open_context({"en-es": {"kind": "command", "command": "tr a-z A-Z"}})
    assert context.translate(["bird", ""], "en", "es") == ["BIRD", None]
    assert context.describe_help()["translated"] == {"en-es: command": {"asked": 2, "failed": 1}}


def test_windows_of_a_shuffled_list_are_disjoint_in_all_rounds() -> None:
    windows = []
    for number in range(2):
        context = open_context({}, number)
        prompts = list(range(100))
        context.rng.shuffle(prompts)
        windows.append(set(prompts[50 * context.round :][:50]))
    assert [len(window) for window in windows] == [50, 50]
    assert windows[0] & windows[1] == set(), "a generator seeded by the round gave two windows that share 23"
    assert context.rng.random() == context.rng.random()
