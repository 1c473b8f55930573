"""Probes of a judge: pairs in five languages whose better answer is known from how they were made, and the share that a judge gets
right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from xlift.tasks.judge import Pair, Verdict

LANGUAGES = ("en", "es", "de", "fr", "sw")
KINDS: Mapping[str, str] = {
    "identical": "the same answer twice: neither wins, in either order",
    "truncated": "the good answer against its first third",
    "wrong language": "the good answer against its translation into another language",
    "repeated": "the good answer against its first sentence, over and over until it is longer",
    "longer but worse": "the good answer against a longer one that is wrong and vague",
    "swapped order": "of all but the identical ones: the same winner in both orders, right or wrong",
}
"""The kinds of probes, each with what it tests."""
UNDECIDED = 0.1
"""How far from one half a weighted preference between identical answers may be."""


@dataclass(frozen=True)
class Probe:
    """One pair, and what is known of it."""

    kind: str
    pair: Pair
    """The pair to judge. ``answer`` is the better one, if one is better."""


def list_probes() -> list[Probe]:
    """All probes, always in the same order: three items, five languages, five kinds."""
    probes = []
    for name, item in _items().items():
        for place, lang in enumerate(LANGUAGES):
            good, instruction = item[lang]["good"], item[lang]["instruction"]
            other = item[LANGUAGES[(place + 1) % len(LANGUAGES)]]["good"]
            sentence = good.partition(". ")[0] + ". "
            worse = {
                "identical": good,
                "truncated": good[: len(good) // 3],
                "wrong language": other,
                "repeated": (sentence * (2 * len(good) // len(sentence) + 1)).strip(),
                "longer but worse": item[lang]["worse"],
            }
            probes += [Probe(kind, Pair(f"{name}-{kind}", lang, instruction, good, text)) for kind, text in worse.items()]
    return probes


def score_probes(probes: Sequence[Probe], verdicts: Sequence[Verdict]) -> list[dict[str, str | float]]:
    """One row for each kind: the number of pairs, the shares that a judge gets right in all and by language, and the share of replies that
    cannot be read.

    A pair is right if the better answer wins in both orders. A pair of identical answers is right if neither wins in either order (within
    ``UNDECIDED``). Replies that cannot be read are not right.
    """
    right: dict[str, list[tuple[str, bool]]] = {kind: [] for kind in KINDS}
    unread: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for probe, verdict in zip(probes, verdicts, strict=True):
        first, second = verdict.preferences
        missing = first is None or second is None
        unread[probe.kind].append(missing)
        if first is None or second is None:
            right[probe.kind].append((probe.pair.lang, False))
            consistent = False
        else:
            consistent = (first - 0.5) * (second - 0.5) > 0
            even = abs(first - 0.5) <= UNDECIDED and abs(second - 0.5) <= UNDECIDED
            right[probe.kind].append((probe.pair.lang, even if probe.kind == "identical" else min(first, second) > 0.5))
        if probe.kind != "identical":
            right["swapped order"].append((probe.pair.lang, consistent))
            unread["swapped order"].append(missing)
    return [
        {
            "probe": kind,
            "pairs": len(found),
            "right": _share(ok for _, ok in found),
            **{lang: _share(ok for its, ok in found if its == lang) for lang in LANGUAGES},
            "unreadable": _share(unread[kind]),
        }
        for kind, found in right.items()
    ]


def _share(values: Iterable[bool]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


@cache
def _items() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    found: dict[str, dict[str, dict[str, str]]] = yaml.safe_load(
        files("xlift.tasks").joinpath("judge_probes.yaml").read_text(encoding="utf-8")
    )
    return found
