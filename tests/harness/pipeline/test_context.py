"""The world that a run shows to a method."""

from typing import Any

import pytest

from xlift.harness.config.suite import read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.pipeline.context import RunContext
from xlift.tasks.leaks import Guard


def open_context(translators: dict[str, Any]) -> RunContext:
    values = {
        "name": "small", "languages": {"train": ["es"], "evaluate": ["es"]}, "data": {"samples": "always"},
        "methods": {"m": {"method": "cross_lingual"}}, "evaluate": {"tasks": ["xlift_mgsm_direct_es"]}, "translators": translators,
    }  # fmt: skip
    return RunContext(read_suite(values, "test"), "m", Guard([]), lambda chats, sampling: pytest.fail("no engine is needed"))


def test_a_translator_is_required_without_a_translation() -> None:
    context = open_context({"en-es": {"kind": "command", "command": "cat"}, "es-en": {"kind": "command", "command": "no-such-program"}})
    context.require_translator("en", "es")
    assert context.describe_help()["translated"] == {}, "nothing was asked for"
    for ask in (context.require_translator, lambda source, target: context.translate([], source, target)):
        with pytest.raises(UserError, match="there is no program 'no-such-program'"):
            ask("es", "en")
        with pytest.raises(UserError, match="translators: none for sw-es; add sw-es or default"):
            ask("sw", "es")


def test_translations_are_counted_by_pair_and_kind() -> None:
    context = open_context({"en-es": {"kind": "command", "command": "tr a-z A-Z"}})
    assert context.translate(["bird", ""], "en", "es") == ["BIRD", None]
    assert context.describe_help()["translated"] == {"en-es: command": {"asked": 2, "failed": 1}}
