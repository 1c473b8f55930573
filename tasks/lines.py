"""The one line of a model's text that is its answer, without the labels, greetings and code fences around it."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from xlift.tasks.answers import any_of, first_turn
from xlift.tasks.thinking import answer_of

_TAGGED = re.compile(r"<(?P<tag>(?:final_?)?answer)>\s*(?P<inside>.*?)\s*(?:</(?P=tag)>|$)", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"[`~]{3,}\w*")
_COLON = re.compile(r"[:：][\s*_]*$")
_AROUND = " \t*_#>`"
_MARKUP = rf"[\s¡¿{_AROUND}-]*"


def answer_line(text: str) -> str:
    """The first line that is neither empty nor a fence, a greeting ("Sure!") or an announcement ("Here is the answer:"), in NFKC.

    A label before the answer ("Answer: Paris", "**Respuesta:** París") is removed. If there is no such line, the first line is taken.
    """
    text = unicodedata.normalize("NFKC", unwrap(first_turn(answer_of(text), lambda before: bool(before.strip(_AROUND + "\n")))))
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip() and not _FENCE.fullmatch(line.strip())]
    for place, line in enumerate(lines):
        last = place == len(lines) - 1
        said = strip_label(line)
        if said and (last or not (is_greeting(said) or is_announcement(said) or _question().match(said))):
            return said
    return lines[0] if lines else ""


def unwrap(text: str) -> str:
    """The content of the last ``<answer>`` of a text, or the whole text if it has none."""
    found = [match["inside"] for match in _TAGGED.finditer(text)]
    return found[-1] if found else text


def strip_label(line: str) -> str:
    """A line without the label that says that the answer follows; empty if the line is only a label."""
    label = _label().match(line)
    if not label:
        return line
    rest = line[label.end() :].strip()
    return rest.strip("*_ ") if line.startswith(("*", "_")) else rest


def is_greeting(line: str) -> bool:
    """Whether a line says no more than "Sure!"."""
    return _greeting().fullmatch(line) is not None


def is_announcement(line: str) -> bool:
    """Whether a line ends in a colon and says that the answer comes next. A short line that does not say so may be the answer itself."""
    return _COLON.search(line) is not None and (_announce().search(line) is not None or len(line.split()) > 8)


@cache
def _label() -> re.Pattern[str]:
    # "The short answer:", "Respuesta corta:", "Answer - "; a word that belongs to another name ("Answer Me: a song") is no label
    few = r"(?:[^\W\d]+\s){0,2}?"
    name = rf"(?:{few}{any_of('answer')}(?:\s[^\W\d]+)??|a)"
    return re.compile(rf"{_MARKUP}{name}(?:\s?\([^()]{{0,30}}\))?[\s*_]*(?:[:：]|\s[-–—]\s)[\s*_]*", re.IGNORECASE)


@cache
def _greeting() -> re.Pattern[str]:
    return re.compile(rf"{_MARKUP}{any_of('greeting')}\W*(?:{any_of('greeting')}\W*)?", re.IGNORECASE)


@cache
def _announce() -> re.Pattern[str]:
    return re.compile(any_of("answer", "announce", "greeting"), re.IGNORECASE)


@cache
def _question() -> re.Pattern[str]:
    return re.compile(rf"{_MARKUP}{any_of('question')}[\s*_]*[:：]", re.IGNORECASE)
