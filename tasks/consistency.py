"""How alike two rankings of the same candidates are: RankC, the consistency of knowledge across languages.

Source: Qi et al. 2023 (arXiv:2310.10378), Betswish/Cross-Lingual-Consistency, with its softmax weights: of the first j candidates of two
rankings the share that both have, averaged over j, the first places weighing most. It is 1 for equal rankings and, as chance finds some
candidates in both, never near 0: read it beside ``expect_by_chance``. It says nothing of which candidate is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

RANKED = ("xlift_bmlama",)
"""Benchmarks of the leaderboard whose candidates stand in one order in all languages."""


def measure_consistency(one: Sequence[float], other: Sequence[float]) -> float:
    """RankC of one fact: two models' or two languages' likelihoods of the same candidates, in the same order; 0 to 1.

    Candidates that are equally likely keep their order, in both rankings. Raises ValueError for different numbers of candidates.
    """
    if len(one) != len(other) or not one:
        raise ValueError(f"{len(one)} candidates beside {len(other)}")
    rankings = [sorted(range(len(side)), key=lambda place: -side[place]) for side in (one, other)]
    shared = [len({*rankings[0][:first]} & {*rankings[1][:first]}) / first for first in range(1, len(one) + 1)]
    return sum(weight * share for weight, share in zip(_weigh(len(one)), shared, strict=True))


def expect_by_chance(candidates: int) -> float:
    """RankC of two random rankings on average: of the first j of n candidates, both have j/n."""
    return sum(weight * first / candidates for first, weight in enumerate(_weigh(candidates), 1))


def _weigh(candidates: int) -> list[float]:
    """The softmax of n, n - 1, ..., 1."""
    raw = [exp(-place) for place in range(candidates)]
    return [weight / sum(raw) for weight in raw]
