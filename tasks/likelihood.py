"""Scores from the likelihoods of given answers: the bits per byte of the right one, and which of several options is the likeliest.

Likelihoods are natural logarithms, summed over the tokens of an answer. docs/likelihood.md says what the scores mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Scores = dict[str, float]


def measure_bits(answers: Sequence[str], right: int, nats: Sequence[float]) -> Scores:
    """Bits for each byte of UTF-8 of an answer. If several are right, the one with the fewest counts. ``right`` is not used."""
    return {"bits_per_byte": min(_count_bits(answer, each) for answer, each in zip(answers, nats, strict=True))}


def measure_choice(options: Sequence[str], right: int, nats: Sequence[float]) -> Scores:
    """Whether the right option, given by its place, is the likeliest as a whole (``acc``) and by the byte (``acc_norm``). If two are equal,
    neither is.

    ``margin`` is the number of bits by which the right option is likelier than the likeliest of the others. It is below zero if one of them
    is likelier.
    """
    wrong = [place for place in range(len(options)) if place != right]
    per_byte = [_count_bits(option, each) for option, each in zip(options, nats, strict=True)]
    margin = (nats[right] - max(nats[place] for place in wrong)) / math.log(2)
    fewest = min(per_byte[place] for place in wrong)
    return {"acc": float(margin > 0), "acc_norm": float(per_byte[right] < fewest), "margin": margin}


def _count_bits(text: str, nats: float) -> float:
    return -nats / math.log(2) / len(text.encode())
