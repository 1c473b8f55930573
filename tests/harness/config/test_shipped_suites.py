"""Suites that ship: every key, method, option, task and language is right, and their chat templates can be trained with."""

from importlib.resources import files
from pathlib import Path

import pytest

from xlift.harness.config.suite import load_suite, shipped_suites
from xlift.harness.core.types import Example, ask
from xlift.harness.models.bases import Base
from xlift.harness.pipeline.dry_run import check_suite
from xlift.harness.training.batching import encode

SUITES = Path(str(files("xlift.harness.config"))) / "suites"


@pytest.mark.parametrize("name", shipped_suites())
def test_every_shipped_suite_is_valid(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    check_suite(suite)


def test_a_template_lies_beside_its_suite() -> None:
    assert load_suite("plug-llama2-13b").base.chat_template == SUITES / "plug.jinja"


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        ("alpaca.jinja", "Here is an instruction. Write an answer that does what it asks.\n\n### Instruction:\nHi\n\n### Response:\n"),
        ("plug.jinja", "<|user|>\nHi\n<|assistant|>\n"),
    ],
)
def test_a_finished_turn_begins_as_an_open_one(template: str, prompt: str, tiny: Base) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny.folder)
    tokenizer.chat_template = (SUITES / template).read_text(encoding="utf-8")
    assert tokenizer.apply_chat_template(list(ask("Hi")), tokenize=False, add_generation_prompt=True) == prompt
    (row,) = encode([Example(ask("Hi"), "Hello", "en", "a", "k")], tokenizer, 200).sequences
    assert tokenizer.decode(row.tokens[row.prompt :]) == "Hello<|im_end|>"
