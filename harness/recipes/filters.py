"""The reasons for which methods leave texts out, and their counts."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

import regex

from xlift.harness.core.languages import find
from xlift.harness.core.types import Answer

if TYPE_CHECKING:
    from xlift.harness.recipes.contract import Context

P = ParamSpec("P")
R = TypeVar("R")

_HAN = regex.compile(r"\p{Han}")
_SYLLABIC = regex.compile(r"[\p{Hiragana}\p{Katakana}\p{Hangul}]")


@dataclass(frozen=True)
class RowFilter:
    """Decides which rows are fit, and counts those that are left out. All parts of a recipe share one filter."""

    max_characters: float = math.inf
    """The most characters of a prompt and its response together."""
    max_length_ratio: float = math.inf
    """The highest ratio of the lengths of a text and its translation (see find_misalignment)."""
    drops: Counter[str] = field(default_factory=Counter)
    """The number of rows that were left out, under ``language/kind: reason``, for a plan's ``drops``."""
    notes: Counter[str] = field(default_factory=Counter)
    """Counts that are no loss, such as prompts asked and pairs skipped, for a plan's ``facts``."""

    def find_fault(self, prompt: str, response: str) -> str | None:
        """Why nothing can be learnt from a row; None if it is fit."""
        return find_fault(prompt, response, self.max_characters)

    def find_pair_fault(self, one: str, other: str) -> str | None:
        """Why two texts are no translation to learn from; None if they may be one."""
        return find_fault(one, other, self.max_characters) or find_misalignment(one, other, self.max_length_ratio)

    def drop(self, where: str, reason: str, count: int = 1) -> None:
        """Count rows that are left out. ``where`` is the part of the recipe, ``language/kind``."""
        self.drops[f"{where}: {reason}"] += count


def accept_counter(function: Callable[P, R]) -> Callable[P, R]:
    """Deprecated since 0.2, removed in 0.3: accepts calls as 0.1 had them, with a Counter of drops and the limits in place of a
    RowFilter."""

    @wraps(function)
    def call(*given: object, **options: object) -> R:
        if options.keys() & {"max_characters", "max_length_ratio"}:
            name = getattr(function, "__name__", "it")
            warnings.warn(f"{name} takes a RowFilter since xlift 0.2; a Counter of drops goes with 0.3", DeprecationWarning, stacklevel=2)
            most, ratio = (cast(float, options.pop(limit, math.inf)) for limit in ("max_characters", "max_length_ratio"))
            given = tuple(RowFilter(most, ratio, each) if isinstance(each, Counter) else each for each in given)
        return cast(Callable[..., R], function)(*given, **options)

    return call


def find_fault(prompt: str, response: str, max_characters: float) -> str | None:
    """Why nothing can be learnt from a row; None if it is fit."""
    if not prompt.strip() or not response.strip():
        return "empty"
    if len(prompt) + len(response) > max_characters:
        return "too long"
    return None


def find_misalignment(one: str, other: str, max_length_ratio: float) -> str | None:
    """Why two texts are no translation of each other; None if they may be.

    Lengths are in characters. A Chinese one counts three times, kana and hangul twice: a sentence of FLORES dev has on average 102 letters
    in English, 35 in Chinese, 50 in Japanese, 46 in Korean.
    """
    if one.strip().casefold() == other.strip().casefold():
        return "not translated"
    shorter, longer = sorted(map(_measure, (one, other)))
    if longer > max_length_ratio * shorter + 10:
        return "length ratio"
    return None


def find_mistranslation(text: str, translation: str, max_length_ratio: float) -> str | None:
    """Why a translation cannot be used; None if it may be. A name or a number may stay as it is."""
    if not translation.strip():
        return "no translation"
    reason = find_misalignment(text, translation, max_length_ratio)
    return None if reason == "not translated" and len(text.split()) <= 3 else reason


def find_foreign(ctx: Context, texts: Sequence[str], lang: str) -> list[bool]:
    """Whether each text is in a wrong language: in another one of the run, or in one of another script.

    If the identifier does not know ``lang``, it may take it for any other language of the same script, so such languages pass.
    """
    others = {ctx.pivot, *ctx.languages} - {lang}
    # An identifier cannot be trusted with the two ways to write Chinese.
    script = find(lang).script.replace("Hant", "Hans")
    found = ctx.identify(texts) if texts else []
    return [code != "und" and (code in others or find(code).script.replace("Hant", "Hans") != script) for code in found]


def find_flaw(answer: Answer) -> str | None:
    """What is wrong with a model's answer by itself; None if nothing is."""
    if not answer.text.strip():
        return "empty answer"
    if not answer.finished:
        return "cut off"
    return "repetitive" if is_repetitive(answer.text) else None


def is_repetitive(text: str, times: int = 5, width: int = 3) -> bool:
    """Whether a text repeats itself: a line occurs ``times`` times, or its last ``width`` words (or 12 characters) come that often in a
    row."""
    lines = Counter(line.strip() for line in text.splitlines() if line.strip())
    if lines and max(lines.values()) >= times:
        return True
    words = text.split()
    for unit in range(1, width + 1):
        tail = words[-unit * times :]
        if len(tail) == unit * times and tail == tail[:unit] * times:
            return True
    return any(len(text) >= unit * times * 2 and text.endswith(text[-unit:] * times * 2) for unit in range(1, 13) if text[-unit:].strip())


def measure_overlap(one: str, other: str) -> float:
    """The F1 of the words that two texts share, or of characters if words have no spaces: 1 for the same words in any order, 0 for none."""
    words, others = (Counter(regex.findall(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|\w+", text.casefold())) for text in (one, other))
    shared = (words & others).total()
    return 2 * shared / (words.total() + others.total()) if shared else 0.0


def list_reasons(where: str, drops: Mapping[str, int]) -> str:
    """The end of an error message: why a part lost its rows, with the main reasons first; empty if it lost none."""
    found = Counter({key.removeprefix(f"{where}: "): count for key, count in drops.items() if key.startswith(f"{where}: ")})
    return f" (left out: {', '.join(f'{reason} {count}' for reason, count in found.most_common(3))})" if found else ""


def _measure(text: str) -> int:
    return len(text) + 2 * len(_HAN.findall(text)) + len(_SYLLABIC.findall(text))
