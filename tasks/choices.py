r"""Finds which of four numbered answers a model names, and scores it (Belebele, generated).

The prompt numbers the answers 1 to 4 and asks for the number alone. Digits of every script count (২, ٢, ๒, 2, ②, Ⅱ), and so do 一 to 四 and
第二 in Chinese and Japanese. The first rule that finds an answer wins:

1. The first line is a label alone: a number, or a letter in the order in which its script letters answers (B, Б, β, ب, ख, 나, 乙).
2. The first line is the text of one answer.
3. The first line begins with a label and a punctuation mark: "2. ...", "(B) ...". This rule does not apply if later lines begin with other
   labels: then the model repeats the list of answers, and those lines count for nothing.
4. The first line that names answers by number names one, or the last of its sentences that names any does. A number within the text of an
   answer names none.
5. The reply contains the text of exactly one answer.
6. The first line ends in a label letter: "The answer is B."

The first line is the first one that is neither empty nor an announcement ("Answer:"). Later text may be a next question that a base model
invents.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import regex

from xlift.tasks.corpus_table import ANSWERS
from xlift.tasks.language_id import language_scores
from xlift.tasks.spans import normalise
from xlift.tasks.thinking import separate

_LETTERS = (
    "ABCD",
    "АБВГ",  # Cyrillic
    "ΑΒΓΔ",  # Greek
    "ԱԲԳԴ",
    "აბგდ",
    "אבגד",
    "أبجد",
    "ابجد",
    "कखगघ",
    "কখগঘ",
    "กขคง",
    "가나다라",
    "アイウエ",
    "甲乙丙丁",
    "一二三四",
)
"""The letters that label four answers, by script."""
_NUMBER = {letter: str(place) for letters in _LETTERS for place, letter in enumerate(letters, 1)}
_OF_SCRIPTS = "".join(_NUMBER)
_LABEL = regex.compile(rf"[\W_]*(?:(?P<digit>[1-4])|(?P<letter>[{_OF_SCRIPTS}]))(?P<mark>[^\w%]*_*)")
_MARKED = regex.compile(r"\s*[).\]:。、\-–—*](?!\d)")
_NAMED = regex.compile(r"(?<![\d\p{Latin}])(?<!\d[.,:/])[1-4](?!\d|[.,:/]\d|\s?%)|(?<=[第是为為选選])[一二三四](?!\p{L})")
_LAST_LETTER = regex.compile(rf"(?<![\p{{L}}\p{{M}}\p{{N}}])(?P<letter>[{_OF_SCRIPTS}])[\W_]*$")
_SENTENCE_END = regex.compile(r"(?<=[.!?;])\s+|(?<=[।؟。])\s*")


def extract_choice(text: str, options: Sequence[str], lang: str) -> str | None:
    """The number, "1" to "4", of the answer that a reply names by the rules of this module; None if it names none."""
    lines = [line for line in (_to_digits(line) for line in text.splitlines()) if line.strip()]
    if not lines:
        return None
    texts = {number: normalise(_to_digits(option), lang) for number, option in zip(ANSWERS, options, strict=True)}
    lines = _drop_list(lines)
    said = [line for line in lines if not line.rstrip(" *_").endswith((":", "："))]
    first = (said or lines)[0]
    return (
        _read_alone(first)
        or _find_equal(first, texts, lang)
        or _read_opening(first)
        or _find_named(said or lines, [_to_digits(option) for option in options])
        or _find_contained("\n".join(lines), texts, lang)
        or _read_last_letter(first)
    )


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """lm-eval's scores of one item: accuracy, extraction_failure, off_target and thinking_cut, each 0 or 1.

    ``doc`` has ``option_1`` to ``option_4``, ``answer`` ("1" to "4") and ``lang``. A reply that names no answer, or several, is wrong and
    also counts as a failure. The text of an answer is in the language, so a reply is off target only if what it adds is in another
    language.
    """
    said = separate(results[0])
    found = extract_choice(said.answer, [doc[f"option_{number}"] for number in ANSWERS], doc["lang"])
    return {
        "accuracy": float(found == doc["answer"]),
        "extraction_failure": float(found is None),
        **language_scores(said.answer, doc["lang"]),
        "thinking_cut": float(said.cut),
    }


def _to_digits(text: str) -> str:
    """The text in NFKC with the digits of other scripts replaced by 0 to 9, and without exponents and indices."""
    return unicodedata.normalize("NFKC", "".join(_to_digit(char) for char in text))


def _to_digit(char: str) -> str:
    if char.isascii():
        return char
    if unicodedata.decomposition(char).startswith(("<super>", "<sub>")):
        return " " if char.isdigit() else char
    value = unicodedata.digit(char, None)
    if value is None and unicodedata.category(char) == "Nl":  # Roman numerals of one character
        value = int(unicodedata.numeric(char))
    return char if value is None else str(value)


def _drop_list(lines: Sequence[str]) -> list[str]:
    """The lines without those that repeat the numbered answers; all lines if no two of them begin with different labels."""
    opening = [_read_opening(line) for line in lines]
    if len({label for label in opening if label}) < 2:
        return list(lines)
    return [line for line, label in zip(lines, opening, strict=True) if label is None] or [""]


def _read_alone(line: str) -> str | None:
    label = _LABEL.fullmatch(line) or _LABEL.fullmatch(line.upper())
    return _number(label) if label else None


def _read_opening(line: str) -> str | None:
    label = _LABEL.match(line)
    return _number(label) if label and _MARKED.match(line, label.start("mark")) else None


def _read_last_letter(line: str) -> str | None:
    label = _LAST_LETTER.search(line)
    return _number(label) if label else None


def _number(label: regex.Match[str]) -> str:
    found = label.groupdict()
    return str(found.get("digit") or _NUMBER[found["letter"]])


def _find_equal(line: str, texts: Mapping[str, str], lang: str) -> str | None:
    tokens = normalise(line, lang)
    found = [number for number, text in texts.items() if text == tokens]
    return found[0] if len(found) == 1 else None


def _find_named(lines: Sequence[str], options: Sequence[str]) -> str | None:
    for line in lines:
        for option in sorted(options, key=len, reverse=True):
            if regex.search(r"\p{L}", option):  # an answer that is a number is not told from one that names it
                line = line.replace(option, " ")
        for part in (line, *reversed(_SENTENCE_END.split(line))):
            named = {_NUMBER.get(found, found) for found in _NAMED.findall(part)}
            if len(named) == 1:
                return str(named.pop())
        if _NAMED.search(line):
            return None
    return None


def _find_contained(reply: str, texts: Mapping[str, str], lang: str) -> str | None:
    tokens = f" {normalise(reply, lang)} "
    found = {number: text for number, text in texts.items() if text and f" {text} " in tokens}
    whole = [number for number, text in found.items() if not any(f" {text} " in f" {other} " for other in _others(found, number))]
    return whole[0] if len(whole) == 1 else None


def _others(texts: Mapping[str, str], number: str) -> Iterator[str]:
    return (text for other, text in texts.items() if other != number)
