"""Separates what a model thinks from what it answers, by the tags that models put around their thinking.

Scorers, language rates, the judge and rows made of generations all read only the answer. If an engine removes special tokens from the text,
tags that are such tokens are gone; then the plain words that were between them are recognised.
"""

from __future__ import annotations

from dataclasses import dataclass

import regex


@dataclass(frozen=True)
class Said:
    """What a model wrote, in its two parts."""

    thinking: str
    answer: str
    """The answer; empty if the thinking never ended and nothing came before it."""
    cut: bool
    """Whether the thinking never ended: the model had no tokens left, or repeated itself."""


MARKS = {
    "<think>": "</think>",  # DeepSeek-R1, Qwen3, GLM, SmolLM3 and most others
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<scratchpad>": "</scratchpad>",
    "<seed:think>": "</seed:think>",  # Seed-OSS
    "<longcat_think>": "</longcat_think>",
    "[THINK]": "[/THINK]",  # Magistral
    "◁think▷": "◁/think▷",  # Kimi
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|START_THINKING|>": "<|END_THINKING|>",  # Command A
    "<|channel|>analysis<|message|>": "<|channel|>final<|message|>",  # gpt-oss
    "<|channel>thought": "<channel|>",  # Gemma 4
    "<unused94>thought": "<unused95>",  # MedGemma
}
"""The tags that open thinking, each with the tag that closes it. A chat template may put the opening tag into the prompt, so that only the
closing tag is in the text."""

_WRAPPINGS = ("begin_of_solution", "end_of_solution", "START_RESPONSE", "END_RESPONSE", "START_TEXT", "END_TEXT", "return")
"""Special tokens around an answer that followed thinking."""

_BEGINNINGS = frozenset(mark[0] for pair in MARKS.items() for mark in pair)
"""Every tag and every wrapping contains one of these characters. Most answers contain none, and need no search."""
_OPENINGS = "|".join(regex.escape(mark) for mark in MARKS)
_CLOSINGS = "|".join(regex.escape(mark) for mark in MARKS.values())
_CLOSED = regex.compile(
    "|".join(f"{regex.escape(opening)}(.*?){regex.escape(closing)}" for opening, closing in MARKS.items()), regex.S | regex.I
)
_OPEN = regex.compile(f"(?:{_OPENINGS})(.*)", regex.S | regex.I)
_ENDED = regex.compile(f"(.*)(?:{_CLOSINGS})", regex.S | regex.I)
_HARMONY = regex.compile(r"\s*analysis(?=[\p{Lu}\p{Lo}])(?P<thinking>.*?)(?:(?:assistant)?final(?P<answer>(?=[^\p{Ll}]).*)|\Z)", regex.S)
"""gpt-oss without its special tokens: ``analysisWe need...assistantfinalParis``."""
_BLOCK = regex.compile(rf"\s*(?:{_OPENINGS})?\s*(?:{_CLOSINGS})\s*", regex.I)
_BLOCK_AT_THE_END = regex.compile(rf"(?:{_OPENINGS})\s*(?:(?:{_CLOSINGS})\s*)?\Z", regex.I)
_AT_THE_END = regex.compile(rf"(?:{_OPENINGS})\s*\Z", regex.I)
_WRAPPED = regex.compile(rf"<\|(?:{'|'.join(_WRAPPINGS)})\|>")


def separate(text: str) -> Said:
    """The thinking and the answer in what a model wrote. A text without any tags is an answer, and is not changed at all."""
    if _BEGINNINGS.isdisjoint(text) and not text.lstrip().startswith("analysis"):
        return Said("", text, False)
    if harmony := _HARMONY.fullmatch(text):
        answer = harmony["answer"]
        return Said(harmony["thinking"].strip(), (answer or "").strip(), answer is None)
    thoughts = [next(part for part in found.groups() if part is not None) for found in _CLOSED.finditer(text)]
    rest = _CLOSED.sub("", text)
    if ended := _ENDED.match(rest):
        thoughts.insert(0, ended[1])
        rest = rest[ended.end() :]
    unfinished = _OPEN.search(rest)
    if unfinished:
        thoughts.append(unfinished[1])
        rest = rest[: unfinished.start()]
    answer = _WRAPPED.sub("", rest)
    thinking = "\n\n".join(thought.strip() for thought in thoughts if thought.strip())
    return Said(thinking, answer if answer == text else answer.strip(), unfinished is not None)


def answer_of(text: str) -> str:
    """What a model wrote, without its thinking."""
    return separate(text).answer


def find_answer(text: str) -> int:
    """The position at which the answer begins in what a model wrote: 0 if it did not think, the text's end if its thinking never ends."""
    if harmony := _HARMONY.fullmatch(text):
        return len(text) if harmony["answer"] is None else harmony.start("answer")
    ended = _ENDED.match(text)
    start = ended.end() if ended else 0
    return len(text) if _OPEN.search(text, start) else start


def find_opening(prompt: str) -> str:
    """The tag at the end of a prompt that opens thinking, with the spaces after it; empty if the prompt ends otherwise."""
    found = _AT_THE_END.search(prompt)
    return found[0] if found else ""


def skip_block(text: str) -> int:
    """The position after an empty block of thinking, or after the tag that closes what its prompt opened, at the beginning of a text; 0 if
    there is neither."""
    found = _BLOCK.match(text)
    return found.end() if found else 0


def strip_block(prompt: str) -> str:
    """A prompt without an empty block of thinking, or the tag that opens thinking, at its end."""
    found = _BLOCK_AT_THE_END.search(prompt)
    return prompt[: found.start()] if found else prompt


def has_marks(template: str) -> bool:
    """Whether a chat template writes or looks for a tag that ends thinking."""
    return any(mark in template for mark in MARKS.values())
