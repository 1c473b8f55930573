"""How similar two rankings of the same candidates are: RankC, the consistency of knowledge across languages.

Source: Qi et al. 2023 (arXiv:2310.10378), Betswish/Cross-Lingual-Consistency, with its softmax weights. For each j, take the share of the
first j candidates that both rankings have; RankC is the weighted mean of these shares over j, in which the first places weigh most. It is 1
for equal rankings. Two random rankings share some candidates by chance, so it is never near 0: read it beside ``expect_by_chance``. It does
not say which candidate is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

RANKED = ("xlift_bmlama",)
"""The benchmarks of the leaderboard whose candidates are in the same order in all languages."""


def measure_consistency(one: Sequence[float], other: Sequence[float]) -> float:
    """RankC of one fact, 0 to 1, from the likelihoods that two models, or one model in two languages, give the same candidates in the same
    order.

    Candidates that are equally likely keep their order in both rankings. Raises ValueError if the numbers of candidates differ.
    """
    if len(one) != len(other) or not one:
        raise ValueError(f"{len(one)} candidates beside {len(other)}")
    rankings = [sorted(range(len(side)), key=lambda place: -side[place]) for side in (one, other)]
    shared = [len({*rankings[0][:first]} & {*rankings[1][:first]}) / first for first in range(1, len(one) + 1)]
    return sum(weight * share for weight, share in zip(_weigh(len(one)), shared, strict=True))


def expect_by_chance(candidates: int) -> float:
    """The mean RankC of two random rankings: of the first j of n candidates, a share of j/n is in both."""
    return sum(weight * first / candidates for first, weight in enumerate(_weigh(candidates), 1))


def _weigh(candidates: int) -> list[float]:
    """The softmax of n, n - 1, ..., 1."""
    raw = [exp(-place) for place in range(candidates)]
    return [weight / sum(raw) for weight in raw]
