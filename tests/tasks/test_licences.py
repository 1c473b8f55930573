"""Licences of what was trained on: which restrict, and what can be said of rows whose sources were not recorded."""

import pytest

from xlift.harness.config.suite import read_suite
from xlift.harness.pipeline.context import RunContext
from xlift.tasks.leaks import Guard
from xlift.tasks.licences import LICENCES, Licence, find_translator, list_possible


@pytest.mark.parametrize(
    ("name", "restrictive"),
    [("alpaca", True), ("alpaca/seed", False), ("gsm8k", False), ("parallel/alma", True), ("qa/squad", False), ("lexicon/xling", True)],
)
def test_what_restricts(name: str, restrictive: bool) -> None:
    assert LICENCES[name].restrictive is restrictive


def test_a_licence_that_is_not_stated_restricts() -> None:
    assert Licence("MIT in part", ("mit", "unknown")).restrictive


def test_all_parts_that_may_have_been_read() -> None:
    assert {source.name for source in list_possible("parallel", "es")} == {key for key in LICENCES if key.startswith("parallel/")}
    assert [source.name for source in list_possible("qa/squad", "en")] == ["qa/squad"]
    parts = {"alpaca", "alpaca/seed", "alpaca/llama3", "alpaca/multialpaca", "alpaca/own"}
    assert {source.name for source in list_possible("alpaca", "en")} == parts
    assert [(source.name, source.licence.tags) for source in list_possible("gsm8k", "es")] == [("gsm8k", ("mit", "unknown"))]


def test_translators_that_are_known() -> None:
    for name in ("facebook/nllb-200-distilled-600M", "/models/NLLB-200/"):
        found = find_translator(name)
        assert found is not None and found.restrictive
    assert find_translator("Helsinki-NLP/opus-mt-en-es") is None


def test_a_run_records_the_licences_of_what_it_read(unplugged: None) -> None:
    values = {
        "name": "small", "languages": {"train": ["es"], "evaluate": ["es"]}, "data": {"samples": "always"},
        "methods": {"m": {"method": "cross_lingual"}}, "evaluate": {"tasks": ["xlift_mgsm_direct_es"]},
    }  # fmt: skip
    context = RunContext(read_suite(values, "test"), "m", Guard([]), lambda chats, sampling: pytest.fail("no engine is needed"))
    context.read("alpaca", "en")
    [source] = context.describe_help()["sources"]
    assert source == {
        "name": "alpaca (bundled samples)", "lang": "en",
        "licence": {"text": "Apache-2.0, written for xlift", "tags": ("apache-2.0",)},
    }  # fmt: skip
