"""Exact match and F1 of short answers by the rules that published numbers follow, with all their slips, for comparison with those numbers.

``squad`` is SQuAD 1.1's script, which XQuAD's numbers follow in every language: English articles, ASCII punctuation, tokens between spaces.
``mlqa`` is that of facebookresearch/MLQA, mlqa_evaluation_v1.py. ``spans`` says where ours differs and why.
"""

from __future__ import annotations

import re
import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

Rules = Callable[[str, str], list[str]]
"""Turns a text and the language of the answer (an xlift code) into tokens."""

_SQUAD_ARTICLES = re.compile(r"\b(a|an|the)\b")
_MLQA_ARTICLES = {
    "en": _SQUAD_ARTICLES,
    "es": re.compile(r"\b(un|una|unos|unas|el|la|los|las)\b"),
    "vi": re.compile(r"\b(của|là|cái|chiếc|những)\b"),
    "de": re.compile(r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "ar": re.compile(r"\sال^|ال"),  # out of the middle of words too, as in the script
}
_CHINESE = re.compile(r"[\u4e00-\u9fa5]|[^\u4e00-\u9fa5\s]+")


def squad(text: str, lang: str) -> list[str]:
    """Tokens as SQuAD 1.1's script makes them, whatever the language."""
    plain = "".join(char for char in text.lower() if char not in string.punctuation)
    return _SQUAD_ARTICLES.sub(" ", plain).split()


def mlqa(text: str, lang: str) -> list[str]:
    """Tokens as the MLQA script makes them. A language that the script does not have is only split at spaces."""
    plain = "".join(char for char in text.lower() if char not in _punctuation())
    if lang in _MLQA_ARTICLES:
        plain = _MLQA_ARTICLES[lang].sub(" ", plain)
    return _CHINESE.findall(plain) if lang == "zh" else plain.split()


def exact_match(said: Sequence[str], wanted: Sequence[Sequence[str]]) -> float:
    """1.0 if the tokens are those of a gold answer, else 0.0."""
    return float(any(list(gold) == list(said) for gold in wanted))


def f1(said: Sequence[str], wanted: Sequence[Sequence[str]]) -> float:
    """The harmonic mean of token precision and recall against the best gold answer, 0 to 1."""
    return max((_overlap(said, gold) for gold in wanted), default=0.0)


def _overlap(said: Sequence[str], gold: Sequence[str]) -> float:
    shared = (Counter(said) & Counter(gold)).total()
    return 2 * shared / (len(said) + len(gold)) if shared else 0.0


@cache
def _punctuation() -> frozenset[str]:
    marks = (chr(code) for code in range(sys.maxunicode) if unicodedata.category(chr(code)).startswith("P"))
    return frozenset(marks) | frozenset(string.punctuation)
