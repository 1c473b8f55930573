"""What a task says to the model: the prompts of ``prompts.yaml``, arranged as lm-eval's ``doc_to_text``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from xlift.harness.core.languages import find
from xlift.tasks.corpus_table import ANSWERS

Languages = tuple[str, ...]
"""The short code of a task's language, or the codes of its two languages."""

Wording = Callable[[str, Languages], tuple[str, str]]
"""Turns the name of a form and a task's languages into its ``doc_to_text`` and the short code of the language of the instruction."""


def ask_number(form: str, languages: Languages) -> tuple[str, str]:
    """A word problem, to be answered with the number alone (``direct``), step by step (``cot``) or in one sentence (``sentence``)."""
    (lang,) = languages
    words = read_prompts()["mgsm"][lang]
    return f"{_field('question')}\n\n{words[form].format(answer=words['answer'])}", lang


def ask_steps_in_text(lang: str) -> tuple[str, str]:
    """MGSM's word problem as its paper asks it of models that are no chat models, and the text with which the next one begins."""
    words = read_prompts()["mgsm"][lang]
    gap = "" if lang in ("ja", "zh") else " "
    return f"{words['question']}{gap}{_field('question')}\n{words['steps']}", words["question"]


def ask_span(form: str, languages: Languages) -> tuple[str, str]:
    """A question about a text, in the language of the question, which is the last of the two."""
    lang = languages[-1]
    words = read_prompts()["qa"][lang]
    return f"{words['instruction']}\n\n{words['text']}{_field('context')}\n\n{words['question']}{_field('question')}", lang


def ask_translation(form: str, languages: Languages) -> tuple[str, str]:
    """A translation, asked for in the source language if prompts.yaml has wording for both languages, else in English."""
    source, target = languages
    wording = read_prompts()["flores"]
    asked_in = source if target in wording.get(source, {}).get("names", {}) else "en"
    name = find(target).name if asked_in == "en" else wording[asked_in]["names"][target]
    instruction = wording[asked_in]["instruction"].format(source=find(source).name, target=name)
    return f"{instruction}\n\n{_field('source')}", asked_in


def ask_choice(form: str, languages: Languages) -> tuple[str, str]:
    """A question about a text with four numbered answers, in the task's language if prompts.yaml has wording for it, else in English."""
    words, asked_in = _find_words("choice", languages)
    options = "\n".join(f"{number}. {_field(f'option_{number}')}" for number in ANSWERS)
    text, question = f"{words['text']}{_field('context')}", f"{words['question']}{_field('question')}"
    return f"{words['instruction']}\n\n{text}\n\n{question}\n\n{options}", asked_in


def ask_cause(form: str, languages: Languages) -> tuple[str, str]:
    """A sentence, and the question what its cause or its effect was."""
    words, asked_in = _find_words("xcopa", languages)
    question = f"{{% if question == 'cause' %}}{words['cause']}{{% else %}}{words['effect']}{{% endif %}}"
    return f"{_field('premise')}\n\n{question}", asked_in


def ask_same(form: str, languages: Languages) -> tuple[str, str]:
    """Whether two sentences mean the same."""
    words, asked_in = _find_words("pawsx", languages)
    return f"{words['instruction']}\n\n1. {_field('context')}\n2. {_field('sentence')}", asked_in


def ask_entailment(form: str, languages: Languages) -> tuple[str, str]:
    """Whether one text follows from another."""
    words, asked_in = _find_words("xnli", languages)
    return f"{words['instruction']}\n\n1. {_field('context')}\n2. {_field('hypothesis')}", asked_in


def ask_topic(form: str, languages: Languages) -> tuple[str, str]:
    """Which of a few topics a text is about."""
    words, asked_in = _find_words("sib200", languages)
    labels = ("、" if asked_in == "zh" else ", ").join(words["labels"])
    return f"{words['instruction'].format(labels=labels)}\n\n{_field('text')}", asked_in


def read_labels(benchmark: str, asked_in: str) -> list[str]:
    """The labels of a benchmark of prompts.yaml, in the order of the labels in the data."""
    return list(read_prompts()[benchmark][asked_in]["labels"])


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


def _find_words(benchmark: str, languages: Languages) -> tuple[dict[str, Any], str]:
    """A benchmark's words in the task's language, or else in English, and the language that was found."""
    (lang,) = languages
    wording = read_prompts()[benchmark]
    asked_in = lang if lang in wording else "en"
    return wording[asked_in], asked_in


def _field(column: str) -> str:
    # some lines of FLORES end in a space, and a prompt that ends in one is cut into tokens unlike other text
    return f"{{{{{column} | trim}}}}"


@cache
def read_prompts() -> dict[str, Any]:
    """The wording of prompts.yaml by benchmark, then by language."""
    wording: dict[str, Any] = yaml.safe_load(files("xlift.tasks").joinpath("prompts.yaml").read_text(encoding="utf-8"))
    return wording
