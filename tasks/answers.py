"""What an answer's own words say about it, in many languages: labels, invented next questions, reasons, and numbers that it rejects.

The words are in answer_words.yaml. All texts are in NFKC, as ``numerals.clean`` returns them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files

import regex
import yaml

BOUNDLESS = frozenset({"bn", "te", "th", "zh", "ja", "ko", "ar", "hi"})
"""Languages whose words are not separated by spaces, take suffixes, or end in vowel signs, which ``re`` does not count as letters."""

_DIGITS = r"(?<![\d.,])\d{1,28}(?:[.,'٬ ]\d{1,28}){0,6}"
_UNITS_AHEAD = r"(?:(?:dola|shilingi|rs\.?|usd|eur)\s)?[$≈~]?\s?-?"
_NUMBER = _UNITS_AHEAD + _DIGITS
MASK = "◌"
"""Replaces a number that the answer rejects."""


@cache
def words() -> Mapping[str, Mapping[str, str]]:
    """The patterns of answer_words.yaml, by language and kind."""
    listed: dict[str, dict[str, str]] = yaml.safe_load(files("xlift.tasks").joinpath("answer_words.yaml").read_text(encoding="utf-8"))
    return {lang: {kind: unicodedata.normalize("NFKC", pattern) for kind, pattern in kinds.items()} for lang, kinds in listed.items()}


def bounded(lang: str, pattern: str) -> str:
    """A pattern that matches whole words only, if the language separates words by spaces; otherwise the pattern as it is."""
    return f"(?:{pattern})" if lang in BOUNDLESS else rf"(?:(?<!\w)(?:{pattern})(?!\w))"


@cache
def any_of(*kinds: str) -> str:
    """A pattern for the words of these kinds in every language, since models answer in English too."""
    found = [bounded(lang, listed[kind]) for lang, listed in words().items() for kind in kinds if kind in listed]
    return f"(?:{'|'.join(found)})"


def first_turn(text: str, answers: Callable[[str], bool]) -> str:
    """The text before an invented next question, another speaker or a special token, if ``answers`` returns true for that text."""
    for cut in _turns().finditer(text):
        if answers(text[: cut.start()]):
            return text[: cut.start()]
    return text


def drop_reasons(text: str, answers: Callable[[str], bool]) -> str:
    """The text without what follows an answer: everything from a heading such as "Explanation:" on, and clauses such as "by selling 9"."""
    for heading in _headings().finditer(text):
        before = text[: heading.start()].rstrip(" \t*_#>(")
        if before.endswith(_ENDS) and answers(before):
            text = before
            break
    kept, place = "", 0
    for because in _because().finditer(text):
        end = _SENTENCE_END.search(text, because.end())
        stop = end.start() if end else len(text)
        sentence = text[max(text.rfind(mark, place, because.start()) for mark in _ENDS) + 1 : because.start()]
        concludes = "=" in text[because.end() : stop] or _so().search(text, because.end(), stop)
        if because.start() >= place and not concludes and answers(sentence.strip() or kept + text[place : because.start()]):
            kept, place = kept + text[place : because.start()], stop
    return kept + text[place:]


def drop_numbering(text: str) -> str:
    """The text without the numbers of steps ("Step 4:") and of lists that begin with 1."""
    text = _steps().sub(lambda step: step["word"], text)
    wanted = 1
    lines = []
    listed = [int(item[1]) for item in map(_ITEM.match, text.split("\n")) if item]
    for line in text.split("\n"):
        item = _ITEM.match(line) if listed[:2] == [1, 2] else None
        if item and int(item[1]) == wanted:
            line, wanted = line[item.end() :], wanted + 1
        lines.append(line)
    return "\n".join(lines)


def mask_rejected(text: str) -> str:
    """The text without the numbers that it rejects (not 18) or does not decide between (18 or 19, between 17 and 18)."""
    text = _negated().sub(lambda found: found["before"] + MASK, text)
    text = _negated_behind().sub(lambda found: MASK + found["behind"], text)
    text = _undecided().sub(lambda found: found[0] if found["one"] == found["two"] else f"{MASK} {MASK}", text)
    for pattern in (_between(), _between_behind()):
        text = pattern.sub(f"{MASK} {MASK}", text)
    return text


_ENDS = ("\n", ".", "!", "?", "。", "।", ")")
_SENTENCE_END = re.compile(r"[\n!?。।]|\.(?!\d)")
_ITEM = re.compile(r"[ \t*_#>-]*(\d{1,2})[.)]\s+(?=\S)")
_SPEAKERS = r"user|human|assistant|system|student|teacher|ai|usuario|utilisateur|nutzer|пользователь|用户|ユーザー|mtumiaji"
_TOKENS = r"<\|[^<>|\n]{2,40}\|>|</?s>|<(?:start|end)_of_turn>|<eos>|\[/?INST\]|<\|im_|<｜[^<>\n]{2,40}｜>"


@cache
def _turns() -> re.Pattern[str]:
    # a question may be numbered, and its label stands in the line or on one of its own
    question = rf"{any_of('question')}[ \t]*#?\d{{0,3}}[ \t*_]*(?::|\n)"
    instruction = r"#{2,}\s?(?:instruction|input|question|user|human|response)s?\b"
    return re.compile(rf"{_TOKENS}|(?:^|\n)[ \t*_>#]*(?:{question}|(?:{_SPEAKERS})[ \t*_]*:|{instruction})", re.IGNORECASE)


@cache
def _headings() -> re.Pattern[str]:
    return re.compile(rf"{any_of('reason')}[\w ]{{0,20}}[*_]{{0,3}}\s?(?::|\n)", re.IGNORECASE)


@cache
def _because() -> re.Pattern[str]:
    return re.compile(any_of("because"), re.IGNORECASE)


@cache
def _so() -> re.Pattern[str]:
    return re.compile(any_of("so"), re.IGNORECASE)


@cache
def _steps() -> re.Pattern[str]:
    return re.compile(rf"(?P<word>{any_of('step')})\s?\d{{1,2}}(?=\s*(?:[:.)*_—-]|步|\n|$))", re.IGNORECASE)


@cache
def _negated() -> re.Pattern[str]:
    found = []
    for lang, listed in words().items():
        if "not" in listed:
            link = rf"(?:\s?(?:{listed['not_link']}))?" if "not_link" in listed else ""
            found.append(bounded(lang, listed["not"]) + link)
    return re.compile(rf"(?P<before>(?:≠|(?:{'|'.join(found)})[\s*_\"'(]{{0,4}})[\s*_]{{0,4}}){_NUMBER}", re.IGNORECASE)


@cache
def _negated_behind() -> re.Pattern[str]:
    found = []
    for lang, listed in words().items():
        if "not_after" in listed:
            unit = r"[^\d.!?。।,،\n]{0,15}?" if lang in BOUNDLESS or lang == "tr" else r"[\s*_\"']{1,4}"
            found.append(unit + bounded(lang, listed["not_after"]))
    return re.compile(rf"{_NUMBER}(?P<behind>{'|'.join(found)})", re.IGNORECASE)


@cache
def _undecided() -> regex.Pattern[str]:
    one, two = (_DIGITS.replace(r"(?<![\d.,])", rf"(?<![\d.,])(?P<{name}>") + ")" for name in ("one", "two"))
    unit = r"[\p{L}\p{M}]{1,20}"
    pattern = rf"{one}(?:\s?(?P<unit>{unit}))?,?\s?{any_of('or')}\s?{_UNITS_AHEAD}{two}(?(unit)\s?(?P=unit))"
    return regex.compile(pattern, regex.IGNORECASE)


@cache
def _between() -> re.Pattern[str]:
    return re.compile(rf"{any_of('between')}\s?{_NUMBER}[^\d\n.。]{{0,20}}?{any_of('and')}\s?{_NUMBER}", re.IGNORECASE)


@cache
def _between_behind() -> re.Pattern[str]:
    return re.compile(
        rf"{_NUMBER}[^\d\n.。।]{{0,20}}?{any_of('and')}\s?{_NUMBER}[^\d\n.。।]{{0,15}}?{any_of('between_after')}", re.IGNORECASE
    )
