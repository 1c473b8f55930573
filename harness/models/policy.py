"""A profile for each request, chosen by its text: data that lie beside a base like an adapter, applied inside the engine's LM."""

from __future__ import annotations

import math
from itertools import combinations
from zlib import crc32

from pydantic import Field, model_validator

from xlift.harness.core.errors import UserError
from xlift.harness.core.settings import Section
from xlift.harness.models.profile import InferenceProfile

BUCKETS = 32
"""Places that three characters in a row are counted in, by their hash."""
FEATURES = 5 + BUCKETS


class Policy(Section):
    """Which of several profiles a request is asked and read by: the one with the highest score, a weighted sum of ``describe_query``.

    A language without weights is left alone.
    """

    profiles: dict[str, InferenceProfile] = Field(min_length=2)
    """By name; one that changes nothing asks as the task does."""
    weights: dict[str, dict[str, tuple[float, ...]]] = Field(min_length=1)
    """By the language of the expected answer and by profile, one for each feature."""
    draw: bool = False
    """Choose by chance in place of the scores, the same for the same text: a control."""

    @model_validator(mode="after")
    def _fits(self) -> Policy:
        names = list(self.profiles)
        if same := [(one, other) for one, other in combinations(names, 2) if self.profiles[one] == self.profiles[other]]:
            raise UserError(f"profiles {same[0][0]} and {same[0][1]} are the same, so that nothing is chosen between them; leave one out")
        for lang, rows in self.weights.items():
            if {*rows} != {*self.profiles}:
                raise UserError(
                    f"weights for {lang!r}: of {', '.join(sorted(rows))}, and the profiles are {', '.join(sorted(self.profiles))}"
                )
            if wrong := [name for name, row in rows.items() if len(row) != FEATURES or not all(map(math.isfinite, row))]:
                raise UserError(f"weights for {lang!r}: {wrong[0]} must have {FEATURES} finite numbers")
        return self

    def choose(self, lang: str, text: str) -> str:
        """The name of the profile for a request in a language that has weights. Ties go to the first one."""
        rows, names = self.weights[lang], list(self.profiles)
        if self.draw:
            return names[crc32(text.encode()) % len(names)]
        found = describe_query(text)
        return max(names, key=lambda name: sum(weight * value for weight, value in zip(rows[name], found, strict=True)))


def describe_query(text: str) -> tuple[float, ...]:
    """Features of a request: 1, its length, its share of digits, whether it asks, its lines, and counts of hashed triples of characters.

    Counts are scaled to a sum of squares of 1, the others to about 0 to 1.
    """
    counts = [0.0] * BUCKETS
    for start in range(len(text) - 2):
        counts[crc32(text[start : start + 3].casefold().encode()) % BUCKETS] += 1
    size = math.sqrt(sum(count**2 for count in counts)) or 1.0
    digits = sum(sign.isdigit() for sign in text) / max(1, len(text))
    asks = float(any(mark in text for mark in "?？؟"))
    return (1.0, math.log1p(len(text)) / 10, digits, asks, math.log1p(text.count("\n")) / 5, *(count / size for count in counts))
