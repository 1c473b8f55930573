"""A second look at languages that are easily taken for each other, and at answers of a few words.

lingua (github.com/pemistahl/lingua-py) chooses between the expected language, English and the languages that are taken for the expected
one. If lingua does not know one of them, py3langid's scores of the same languages are compared. docs/language-id.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lingua import LanguageDetector

LEAD = 0.25
"""How far lingua's confidence in another language must lead, 0 to 1. With this number at most 2 % of the texts of 3, 8 and 20 words are
wrongly called another language."""
NARROW_MARGIN = 1.2
"""The same for py3langid's scores, in nats over the square root of the bytes."""
MIN_WORDS = 3
"""The fewest words of a short answer that is looked at."""

CLOSE = (
    "cs sk", "bg mk", "da nb", "nn nb", "xh zu", "st tn", "pt es", "pt gl", "es gl", "es ca", "oc ca", "es it", "nl af", "hr sl", "da sv",
    "ru uk",
)  # fmt: skip
"""Pairs of languages that are told apart. Some are not here, because neither identifier can tell them: id and ms; bs, hr and sr; ast and
es; the dialects of Arabic."""
_FREQUENT = ("en", "fr", "es", "de")
"""The languages that short answers in a wrong language are usually in."""


def tell_short(text: str, code: str) -> bool | None:
    """Whether a few words in the right script are in a language; None if lingua does not know the language, or is not sure."""
    if len(text.split()) < MIN_WORDS:
        return None
    others = [other for other in dict.fromkeys((*_FREQUENT, *_rivals(code))) if other != code]
    lead = _lead(text, code, others, others)
    if lead is None:
        return None
    return False if lead > LEAD else True if lead < -LEAD else None


def tell_close(text: str, code: str, scores: Mapping[str, float]) -> bool:
    """Whether a text is in a language, and not in one that is easily taken for it. ``scores`` are py3langid's.

    If both identifiers know both languages, both must say so.
    """
    for other in _rivals(code):
        margin = scores[other] - scores[code] if code in scores and other in scores else None
        if margin is not None and margin <= 0:
            continue
        lead = _lead(text, code, [other], [other, "en"])
        if lead is None and margin is not None and margin > NARROW_MARGIN or lead is not None and lead > LEAD:
            return False
    return True


@cache
def _rivals(code: str) -> tuple[str, ...]:
    return tuple(other for pair in CLOSE if code in pair.split() for other in pair.split() if other != code)


def _lead(text: str, code: str, others: list[str], choices: list[str]) -> float | None:
    """How far the likeliest of ``others`` leads among ``choices``, -1 to 1; None if lingua does not know the language or any of the
    others."""
    known = [other for other in others if other in _known()]
    if code not in _known() or not known:
        return None
    codes = {code, *(choice for choice in choices if choice in _known())}
    values = _detector(tuple(sorted(codes))).compute_language_confidence_values(text)
    confidence = {value.language.iso_code_639_1.name.lower(): value.value for value in values}
    return max(confidence[other] for other in known) - confidence[code]


@cache
def _known() -> frozenset[str]:
    from lingua import Language

    return frozenset(language.iso_code_639_1.name.lower() for language in Language.all())


@cache
def _detector(codes: tuple[str, ...]) -> LanguageDetector:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    return LanguageDetectorBuilder.from_iso_codes_639_1(*(getattr(IsoCode639_1, code.upper()) for code in codes)).build()
