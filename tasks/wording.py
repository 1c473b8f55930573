"""What a task says to the model: the prompts of ``prompts.yaml`` laid out as lm-eval's ``doc_to_text``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from xlift.harness.core.languages import find
from xlift.tasks.corpus_table import ANSWERS

Languages = tuple[str, ...]
"""Short codes of a task's language, or of its two."""

Wording = Callable[[str, Languages], tuple[str, str]]
"""From the name of a form and a task's languages to its ``doc_to_text`` and the short code of the language that the instruction is in."""


def ask_number(form: str, languages: Languages) -> tuple[str, str]:
    """A word problem, to be answered with the number alone (``direct``), step by step (``cot``) or in one sentence (``sentence``)."""
    (lang,) = languages
    words = read_prompts()["mgsm"][lang]
    return f"{_field('question')}\n\n{words[form].format(answer=words['answer'])}", lang


def ask_span(form: str, languages: Languages) -> tuple[str, str]:
    """A question about a text, in the language of the question: the last of the two."""
    lang = languages[-1]
    words = read_prompts()["qa"][lang]
    return f"{words['instruction']}\n\n{words['text']}{_field('context')}\n\n{words['question']}{_field('question')}", lang


def ask_translation(form: str, languages: Languages) -> tuple[str, str]:
    """A translation, asked for in the source language where prompts.yaml has wording for both, else in English."""
    source, target = languages
    wording = read_prompts()["flores"]
    asked_in = source if target in wording.get(source, {}).get("names", {}) else "en"
    name = find(target).name if asked_in == "en" else wording[asked_in]["names"][target]
    instruction = wording[asked_in]["instruction"].format(source=find(source).name, target=name)
    return f"{instruction}\n\n{_field('source')}", asked_in


def ask_choice(form: str, languages: Languages) -> tuple[str, str]:
    """A question about a text with four numbered answers, in the task's language where prompts.yaml has wording for it, else in English."""
    (lang,) = languages
    wording = read_prompts()["choice"]
    asked_in = lang if lang in wording else "en"
    words = wording[asked_in]
    options = "\n".join(f"{number}. {_field(f'option_{number}')}" for number in ANSWERS)
    text, question = f"{words['text']}{_field('context')}", f"{words['question']}{_field('question')}"
    return f"{words['instruction']}\n\n{text}\n\n{question}\n\n{options}", asked_in


def ask_nothing(form: str, languages: Languages) -> tuple[str, str]:
    """No prompt: a text is scored by itself."""
    (lang,) = languages
    return "", lang


def ask_instruction(form: str, languages: Languages) -> tuple[str, str]:
    """The instruction of the item, as it is."""
    (lang,) = languages
    return _field("instruction"), lang


def ask_english_instruction(form: str, languages: Languages) -> tuple[str, str]:
    """The instruction of the item, which is in English and names the language to answer in."""
    return _field("instruction"), "en"


def _field(column: str) -> str:
    # some lines of FLORES end in a space, and a prompt that ends in one is cut into tokens unlike other text
    return f"{{{{{column} | trim}}}}"


@cache
def read_prompts() -> dict[str, Any]:
    """The wording of prompts.yaml by benchmark, then by language."""
    wording: dict[str, Any] = yaml.safe_load(files("xlift.tasks").joinpath("prompts.yaml").read_text(encoding="utf-8"))
    return wording
