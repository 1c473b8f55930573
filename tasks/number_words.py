"""Reads numbers that are spelled in words ("eighteen", "achtzehn", "สิบแปด"), in those languages of MGSM that spell numbers with letters.

Chinese numerals are read by ``numerals``. The words are in number_words.yaml.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import regex
import yaml

_THOUSAND = 1_000
_AFTER_DIGIT = regex.compile(r"\d\s?$")
_BEFORE_DIGIT = regex.compile(r"\s?\d")
_LETTER = r"[\p{L}\p{M}]"


@dataclass(frozen=True)
class _Words:
    """One language's words with their values below a hundred, its hundreds, and the units that multiply."""

    small: Mapping[str, int]
    hundreds: Mapping[str, int]
    units: Mapping[str, int]
    doubtful: frozenset[str]
    reversed: bool
    unspaced: bool
    token: regex.Pattern[str]
    first: regex.Pattern[str]
    end: regex.Pattern[str]


@dataclass(frozen=True)
class Spelled:
    """A spelled number and its place in the text."""

    value: int
    start: int
    end: int
    doubtful: bool
    """Whether the word often is no number."""


def to_digits(text: str, lang: str) -> str:
    """A cleaned text with the spelled numbers of ``lang`` and of English as digits. Words that often are no numbers stay."""
    for code in dict.fromkeys([lang, "en"]):
        for found in reversed(_find_all(text, code)):
            if not found.doubtful:
                text = f"{text[: found.start]}{found.value}{text[found.end :]}"
    return text


def read_first(text: str, lang: str) -> Spelled | None:
    """The spelled number with which a cleaned text begins, after spaces and punctuation. A doubtful word counts only if its clause ends
    after it."""
    opening = regex.match(r"[^\p{L}\p{M}\d.!?。।◌]*", text)
    for code in dict.fromkeys([lang, "en"]):
        words = _words().get(code)
        found = _read(text, opening.end(), words) if words and opening else None
        if found and (not found.doubtful or regex.match(r"\W*(?:[.!?।,]|$)", text[found.end :])):
            return found
    return None


def _find_all(text: str, lang: str) -> list[Spelled]:
    words = _words().get(lang)
    found: list[Spelled] = []
    place = 0
    while words and (first := words.first.search(text, place)):
        spelled = _read(text, first.start(), words)
        if _fold(first[0]) in words.units and (_AFTER_DIGIT.search(text[: first.start()]) or _BEFORE_DIGIT.match(text[first.end() :])):
            spelled = None  # 5 thousand, elfu 5: the digits are read with their unit
        place = spelled.end if spelled else first.end()
        found += [spelled] if spelled else []
    return found


def _read(text: str, start: int, words: _Words) -> Spelled | None:
    """The longest number that begins at ``start`` and ends where a word ends."""
    tokens: list[tuple[str, bool, int]] = []  # word, whether a link stands before it, end
    place = start
    best = None
    while match := words.token.match(text, place):
        link = bool(match["link"])
        if not tokens and (link or match.start("word") != start):
            return None
        tokens.append((_fold(match["word"]), link, match.end()))
        place = match.end()
        value = _evaluate([(word, linked) for word, linked, _ in tokens], words)
        if value is None:
            break
        ends = words.end.match(text, place)
        if ends or (words.unspaced and value >= 10):
            doubtful = len(tokens) == 1 and tokens[0][0] in words.doubtful
            best = Spelled(value, start, place, doubtful)
    return best


def _evaluate(tokens: list[tuple[str, bool]], words: _Words) -> int | None:
    """The value of a sequence of words; None if they do not make one number ("two three")."""
    total = section = 0
    limit = 10**9  # each unit of a thousand and more must be below the one before
    place = 0
    while place < len(tokens):
        word, linked = tokens[place]
        place += 1
        if linked and not (total or section):
            return None
        if word in words.small:
            if section % 100 or (section == 0 and place > 1 and not total) or words.small[word] == 0 < place - 1:
                return None
            section += words.small[word]
        elif word in words.hundreds:
            if section:
                return None
            section = words.hundreds[word]
        else:
            unit, times = words.units[word], section
            if words.reversed:
                behind = tokens[place] if place < len(tokens) else ("", True)
                times = words.small.get(behind[0], 0) if not behind[1] else 0
                place += 1 if times else 0
            if unit < _THOUSAND:
                if not words.reversed and section >= 100 or words.reversed and section:
                    return None
                section = (times or 1) * unit
            else:
                if unit >= limit:
                    return None
                total, limit = total + (times or 1) * unit, unit
                section = section if words.reversed else 0
    return total + section


def _fold(word: str) -> str:
    return str(regex.sub(r"[\s-]+", " ", word)).lower()


def _variants(listed: str) -> list[list[str]]:
    plain = unicodedata.normalize("NFKC", listed).lower()
    return [[_fold(form.replace("_", " ")) for form in entry.split("/")] for entry in plain.split()]


@cache
def _words() -> Mapping[str, _Words]:
    listed = yaml.safe_load(files("xlift.tasks").joinpath("number_words.yaml").read_text(encoding="utf-8"))
    return {lang: _compile(entry) for lang, entry in listed.items()}


def _compile(entry: Mapping[str, Any]) -> _Words:
    ones, tens = _variants(entry["ones"]), _variants(entry.get("tens", ""))
    small = {form: value for value, forms in enumerate(ones) for form in forms}
    for ten, forms in enumerate(tens, start=2):
        most = 20 if 10 * ten in entry.get("teens", ()) else 10
        for form in forms:
            small[form] = 10 * ten
            for value in range(1, most):
                joined = (pattern.format(ten=form, one=one) for one in ones[value] for pattern in entry["joined"])
                small.update(dict.fromkeys(joined, 10 * ten + value))
    small.update({_normalise(form): value for form, value in entry.get("extra", {}).items()})
    hundreds = {form: 100 * value for value, forms in enumerate(_variants(entry.get("hundreds", "")), start=1) for form in forms}
    units = {_normalise(form): value for form, value in entry["units"].items()}
    known = sorted([*small, *hundreds, *units], key=len, reverse=True)
    either = "|".join(regex.escape(form).replace(r"\ ", r"[\s-]+") for form in known)
    gap = r",?[\s-]*" if entry.get("adjoin") else r",?[\s-]+"
    link = rf"(?P<link>{entry['link']}(?:{gap}))?" if "link" in entry else "(?P<link>(?!))?"
    suffix = rf"(?:{_normalise(entry['suffix'])})?" if "suffix" in entry else ""
    unspaced = bool(entry.get("unspaced"))
    before = r"(?<!ที่)" if unspaced else rf"(?<!{_LETTER})"
    return _Words(
        small=small,
        hundreds=hundreds,
        units=units,
        doubtful=frozenset(_normalise(word) for word in entry["doubtful"].split()),
        reversed=bool(entry.get("reversed")),
        unspaced=unspaced,
        token=regex.compile(rf"(?:(?:{gap}){link})?(?P<word>{either})", regex.IGNORECASE),
        first=regex.compile(rf"{before}(?:{either})", regex.IGNORECASE),
        end=regex.compile(rf"{suffix}(?!{_LETTER})", regex.IGNORECASE),
    )


def _normalise(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()
