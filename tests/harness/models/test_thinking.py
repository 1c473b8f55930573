"""Which variable of a template turns thinking on and off, and what a finished turn is trained after."""

import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from thinking import ASKED, EMPTY, OPENING, THINKING, thinking_base
from transformers import PreTrainedTokenizerBase

from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.core.errors import UserError
from xlift.harness.models.bases import Base, load_tokenizer, resolve
from xlift.harness.models.thinking import find_options, set_options, split_turn
from xlift.harness.models.trainable import check_trainable

QUESTION = [{"role": "user", "content": "hi"}]
TURNS = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@pytest.fixture(scope="module")
def tokenizer(tiny: Base) -> PreTrainedTokenizerBase:
    return load_tokenizer(tiny)


def ask(tokenizer: PreTrainedTokenizerBase, template: str, **options: Any) -> str:
    tokenizer.chat_template = template
    return str(tokenizer.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True, **options))


@pytest.mark.parametrize(
    ("template", "on", "off"),
    [
        (THINKING, {"enable_thinking": True}, {"enable_thinking": False}),
        (OPENING, {"enable_thinking": True}, {"enable_thinking": False}),
        (TURNS + "{{ '<think>' if thinking else '</think>' }}", {"thinking": True}, {"thinking": False}),  # DeepSeek-V3.1
        (TURNS + "{% set reasoning = reasoning | default(true) %}{{ reasoning }}", {"reasoning": True}, {"reasoning": False}),
        (TURNS + "{{ thinking_budget | default(-1) }}", {"thinking_budget": 512}, {"thinking_budget": 0}),  # Seed-OSS
        (
            TURNS + "{{ '<mm>' if thinking_mode == 'enabled' else '' }}{# 'disabled' #}",
            {"thinking_mode": "enabled"}, {"thinking_mode": "disabled"},
        ),
        (
            TURNS + "{% if reasoning_effort == 'none' %}{{ '</think>' }}{% endif %}{# 'high' #}",
            {"reasoning_effort": "high"}, {"reasoning_effort": "none"},
        ),
        # what moves no prompt is no switch
        (TURNS + "{% if thinking %}{% endif %}{{ 'y' if reasoning }}", {"reasoning": True}, {"reasoning": False}),
    ],
)  # fmt: skip
def test_the_variable_that_turns_thinking_on_and_off(
    tokenizer: PreTrainedTokenizerBase, template: str, on: dict[str, Any], off: dict[str, Any]
) -> None:
    tokenizer.chat_template = template
    assert (find_options(tokenizer, "on", 512), find_options(tokenizer, "off", 0)) == (on, off)


@pytest.mark.parametrize(
    ("template", "mode", "says"),
    [
        (TURNS, "off", "takes none of enable_thinking, thinking, "),
        (TURNS, "on", "leave engine.thinking out, or give a template that does with base.chat_template"),
        (TURNS + "{{ '<think>' }}", "off", "takes none of"),  # DeepSeek-R1, which always thinks
        (
            TURNS + "{{ 'Reasoning: ' + (reasoning_effort or 'medium') }}",
            "off",
            "its reasoning_effort has no value that turns thinking off",
        ),
        (TURNS + "{{ 'x' if thinking else 'x' }}", "on", "its thinking has no value that turns thinking on"),  # it moves no prompt
    ],
)
def test_a_template_without_a_switch_is_refused(tokenizer: PreTrainedTokenizerBase, template: str, mode: Any, says: str) -> None:
    tokenizer.chat_template = template
    with pytest.raises(UserError, match=f"engine.thinking: {mode}: the chat template of the base model does not turn thinking .*{says}"):
        find_options(tokenizer, mode, 8)


def test_a_template_that_always_thinks_may_be_told_to(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = TURNS + "{% if not reasoning_effort %}{% set reasoning_effort = 'medium' %}{% endif %}{{ reasoning_effort }}"
    assert find_options(tokenizer, "on", 8) == {"reasoning_effort": "medium"}, "gpt-oss"


NAMES = ("qwen3", "qwen3_5_think", "qwen3_5_nothink", "qwen3_8", "glm4moe", "gemma4_v5", "nemotron_3_nano", "gptoss")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", ["on", "off"])
def test_a_variable_set_at_the_head_is_a_variable_given(tokenizer: PreTrainedTokenizerBase, name: str, mode: Any) -> None:
    """On the templates of real models that TRL brings along."""
    template = (files("trl") / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")
    tokenizer.bos_token, tokenizer.chat_template = "<|endoftext|>", template
    options = {"reasoning_effort": "medium"} if name == "gptoss" else find_options(tokenizer, mode, 8)
    assert ask(tokenizer, set_options(template, options)) == ask(tokenizer, template, **options)
    if name != "gptoss":
        assert options == {"enable_thinking": mode == "on"}


@pytest.mark.parametrize("start", ["", "\n", " ", "\n\n"])
def test_what_is_set_adds_nothing_to_a_prompt(tokenizer: PreTrainedTokenizerBase, start: str) -> None:
    template = start + THINKING
    assert ask(tokenizer, set_options(template, {"enable_thinking": True})) == ask(tokenizer, template)


def test_a_base_whose_thinking_is_off(tiny: Base, tmp_path: Path) -> None:
    plain = thinking_base(tiny.folder, tmp_path / "base")
    assert (plain.chat_template, dict(plain.template_options)) == (THINKING, {})
    assert plain.chat_template_sha == hashlib.sha256(THINKING.encode()).hexdigest() and "template_options" not in plain.facts()
    off = resolve(BaseSettings(model=str(plain.folder)), EngineSettings(thinking="off"))
    assert off.chat_template_sha != plain.chat_template_sha and off.sha256 == plain.sha256
    assert off.facts()["template_options"] == {"enable_thinking": False}
    rendered = load_tokenizer(off).apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True)
    assert rendered == ASKED + EMPTY
    with pytest.raises(UserError, match="engine.thinking: on: the chat template"):
        resolve(BaseSettings(model=str(tiny.folder)), EngineSettings(thinking="on", thinking_tokens=64))


def test_a_server_is_told_under_both_names() -> None:
    base = resolve(BaseSettings(model="api:org/name"), EngineSettings(thinking="off"))
    assert base.template_options == {"enable_thinking": False, "thinking": False}


@pytest.mark.parametrize(
    ("asked", "whole", "parts"),
    [
        ("A:", "A:hi.", ("A:", "hi.")),
        ("A:", "A:<think>\n\n</think>\n\nhi.", ("A:<think>\n\n</think>\n\n", "hi.")),  # Qwen3
        ("A:<think>\n", "A:<think>\n\n</think>\n\nhi.", ("A:<think>\n\n</think>\n\n", "hi.")),  # Qwen3.5
        ("A:<think>\n", "A:<think></think>hi.", ("A:<think></think>", "hi.")),  # Nemotron 3
        ("A:<think>\n\n</think>\n\n", "A:<think>\n\n</think>\n\nhi.", ("A:<think>\n\n</think>\n\n", "hi.")),  # off
        ("A:<|channel>thought\n<channel|>", "A:hi.", ("A:<|channel>thought\n<channel|>", "hi.")),  # Gemma 4, off
        ("A:<think>\n", "A:<think>\n13?\n</think>\n\nhi.", ("A:<think>\n", "13?\n</think>\n\nhi.")),  # a row that thinks
        ("A", "A<|channel|>final<|message|>hi.", ("A<|channel|>final<|message|>", "hi.")),  # gpt-oss
        ("A:<think>\n", "A:hi.", None),  # DeepSeek-R1: a finished turn has no thinking, and an open one always does
        ("A:x", "A:hi.", None),
    ],
)
def test_an_empty_block_is_no_part_of_an_answer(asked: str, whole: str, parts: tuple[str, str] | None) -> None:
    assert split_turn(asked, whole) == parts


def test_a_base_that_cannot_be_trained_as_it_is_asked_is_refused(tiny: Base, tmp_path: Path) -> None:
    always = OPENING.replace("{% if message['role'] == 'assistant' and loop.last %}", "{% if false %}")
    check_trainable(thinking_base(tiny.folder, tmp_path / "opening", OPENING), {"m": {}})
    base = thinking_base(tiny.folder, tmp_path / "always", always)
    with pytest.raises(UserError, match="finished turn unlike an open one, .* set engine.thinking: off if it opens thinking, or give"):
        check_trainable(base, {"m": {}})
    check_trainable(resolve(BaseSettings(model=str(base.folder)), EngineSettings(thinking="off")), {"m": {}})
