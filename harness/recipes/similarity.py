"""How similar texts are by their longest common subsequence of words: ROUGE-L, as Self-Instruct compares tasks."""

from __future__ import annotations

import regex
from rapidfuzz import process
from rapidfuzz.distance import Indel

_TOKEN = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]|\w+|[^\w\s]+")


def tokenise(text: str) -> list[str]:
    """Words, single characters of scripts without spaces, and runs of other signs, in lower case."""
    return [str(token) for token in _TOKEN.findall(text.casefold())]


def measure_rouge_l(one: str, other: str) -> float:
    """ROUGE-L's F1 of two texts, 0 to 1: twice the longest common subsequence of their tokens by the sum of their lengths."""
    return float(Indel.normalized_similarity(tokenise(one), tokenise(other))) if one.strip() and other.strip() else 0.0


class Pool:
    """Texts from which a new text must differ."""

    def __init__(self) -> None:
        self._texts: list[list[str]] = []

    def add(self, text: str) -> None:
        """Add a text to the pool."""
        self._texts.append(tokenise(text))

    def has_like(self, text: str, least: float) -> bool:
        """Whether the ROUGE-L F1 with some text of the pool is ``least`` or more."""
        found = process.extractOne(tokenise(text), self._texts, scorer=Indel.normalized_similarity, score_cutoff=least)
        return found is not None
