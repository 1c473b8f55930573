"""Language fidelity: the language and script of an answer, how much of it is in another language, and whether it is a refusal or empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

import regex
import yaml

from xlift.harness.core.languages import find
from xlift.tasks.language_id import count_letters, identify, is_off_target, keep_prose, tell

OPENING = 200
"""The number of characters in which a refusal is looked for: models that refuse do so at once."""
MIXED = (0.1, 0.9)
"""An answer is mixed if its share of foreign letters is between these two. Above the second it is wholly in another language."""

_PARTS = regex.compile(r"(?<=[.!?…。！？।॥؟۔])(?:\s+|(?<=[。！？]))|\n+")


@dataclass(frozen=True)
class Fidelity:
    """What was found in one answer to a task that expects ``lang``."""

    language: str
    """The language that ``identify`` names; ``und`` if it cannot be told."""
    script: str
    """The ISO 15924 code of the script that most of its letters are in; empty without letters."""
    off_target: bool
    untold: bool
    """Whether the language cannot be told."""
    foreign: float
    """The share of the letters in sentences that are clearly not in the expected language, 0 to 1."""
    mixed: bool
    """Whether it is partly in the expected language and partly in another: ``foreign`` is within ``MIXED``."""
    refusal: bool
    empty: bool


@lru_cache(maxsize=2**16)  # models often give each other's answers
def describe(text: str, lang: str) -> Fidelity:
    """Describe an answer to a task that expects ``lang`` (an xlift code). Raises UserError for an unknown ``lang``.

    Sentences that are too short to tell count as in the expected language, so ``foreign`` is a lower bound.
    """
    prose = keep_prose(text)
    letters = count_letters(prose)
    parts = [(part, count_letters(part).total()) for part in _PARTS.split(prose) if part.strip()]
    total = sum(count for _, count in parts)
    foreign = sum(count for part, count in parts if count and is_off_target(part, lang)) / total if total else 0.0
    [language] = identify([text])
    found = tell(text, lang)
    return Fidelity(
        language=language,
        script=letters.most_common(1)[0][0] if letters else "",
        off_target=found is False,
        untold=found is None,
        foreign=foreign,
        mixed=MIXED[0] <= foreign <= MIXED[1],
        refusal=refuses(text, lang),
        empty=not text.strip(),
    )


def refuses(text: str, lang: str) -> bool:
    """Whether an answer begins as refusals do, in the expected language or in English."""
    opening = text.strip()[:OPENING].replace("\u2019", "'")
    return any(pattern.search(opening) for code in dict.fromkeys(["en", find(lang).code]) for pattern in _refusals().get(code, ()))


@cache
def _refusals() -> Mapping[str, tuple[regex.Pattern[str], ...]]:
    listed: dict[str, list[str]] = yaml.safe_load(files("xlift.tasks").joinpath("refusals.yaml").read_text(encoding="utf-8"))
    return {code: tuple(regex.compile(one, regex.IGNORECASE | regex.DOTALL) for one in patterns) for code, patterns in listed.items()}
