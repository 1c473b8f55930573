"""Joins an amount that is written in two units: 18 dollars and 50 cents are 18.50. 5 feet 6 inches are no single number.

The units are in measures.yaml.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

_JOINED = r"[\s,]{0,2}(?:(?:and|und|y|e|et|и|na|และ|এবং|ও|మరియు|又|と)\s?)?"


@dataclass(frozen=True)
class _Amounts:
    """Patterns of two numbers with their units."""

    money: tuple[re.Pattern[str], ...]
    """Matches amounts whose second number counts hundredths of the first one's unit."""
    others: tuple[re.Pattern[str], ...]


def join_parts(text: str) -> str:
    """A cleaned text in which 18 dollars and 50 cents are 18.50. Two measures such as 5 feet 6 inches are no longer numbers, because
    neither is the answer by itself."""
    for money in _amounts().money:
        text = money.sub(lambda parts: f" {parts[1]}.{int(parts[2]):02d} $ ", text)
    for measure in _amounts().others:
        text = measure.sub(" ◌ ◌ ", text)
    return text


@cache
def _amounts() -> _Amounts:
    listed = yaml.safe_load(files("xlift.tasks").joinpath("measures.yaml").read_text(encoding="utf-8"))
    money = {size: _either(listed["money"][size]) for size in ("larger", "smaller")}
    in_dollars = re.compile(rf"(?<![\d.,])\$\s?(\d+){_JOINED}(\d{{1,2}})\s?{money['smaller']}", re.IGNORECASE)
    return _Amounts(
        money=(_pair(money["larger"], money["smaller"]), in_dollars),
        others=tuple(_pair(_either(measure["larger"]), _either(measure["smaller"])) for measure in listed["measures"]),
    )


def _either(units: str) -> str:
    return rf"(?:{'|'.join(unicodedata.normalize('NFKC', units).split())})(?![a-zà-ÿа-яё])"


def _pair(larger: str, smaller: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\d.,])(\d+)\s?-?{larger}\.?{_JOINED}(\d{{1,4}})\s?-?{smaller}", re.IGNORECASE)
