"""What the verdicts on one model in one language come to: win rates with their errors, and how far the judge can be believed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from xlift.tasks import language_id
from xlift.tasks.judge import Outcome, Verdict, combine
from xlift.tasks.language_id import is_off_target
from xlift.tasks.length_control import control, control_length


def aggregate(verdicts: Sequence[Verdict], difficulty: pd.DataFrame | None = None) -> dict[str, Any]:
    """The scores of one model in one language, as plain data. Shares are between 0 and 1.

    - ``win_rate``: mean preference of both orders over the items whose two replies can be read (a verdict counts 1, 0.5 or 0), None where
      there are none; ``win_rate_stderr``: standard deviation over the root of those items.
    - ``wins``, ``ties``, ``losses``, ``errors``: shares of all items, by PLUG's rule for both orders; ``difference``: wins less losses.
    - ``flips``: share of the readable items where the answer wins in one order and loses in the other. ``first``: mean preference for the
      answer shown first; 0.5 for a judge that does not look at the position.
    - ``parse_errors``: share of all replies that cannot be read.
    - ``off_target`` and ``reference_off_target``: share of answers clearly not in the language of the instruction. Some instructions ask
      for another language, so that of a perfect model is not zero.
    - ``characters`` and ``reference_characters``: mean lengths.
    - ``length_controlled``, ``length_controlled_stderr``, ``length_control``: see ``control``; None and the reason where it cannot be had.
    """
    pairs = [verdict.pair for verdict in verdicts]
    replies = [one for verdict in verdicts for one in verdict.preferences]
    outcomes = Counter(combine(verdict.preferences) for verdict in verdicts)
    shares = {name: outcomes[outcome] / len(verdicts) for name, outcome in _NAMES.items()}
    readable = [verdict for verdict in verdicts if verdict.preference is not None]
    preferences = np.array([verdict.preference for verdict in readable], dtype=float)
    first = [p if place == 0 else 1 - p for verdict in verdicts for place, p in enumerate(verdict.preferences) if p is not None]
    controlled = control_length(verdicts, difficulty)
    return {
        "items": len(verdicts),
        "win_rate": _mean(preferences),
        "win_rate_stderr": float(preferences.std(ddof=1) / np.sqrt(len(preferences))) if len(preferences) > 1 else None,
        **shares,
        "difference": shares["wins"] - shares["losses"],
        **controlled,
        "flips": _mean([verdict.flipped for verdict in readable]),
        "first": _mean(first),
        "parse_errors": _mean([one is None for one in replies]),
        "off_target": _mean([is_off_target(pair.answer, pair.lang) for pair in pairs]),
        "reference_off_target": _mean([is_off_target(pair.reference, pair.lang) for pair in pairs]),
        "characters": _mean([len(pair.answer) for pair in pairs]),
        "reference_characters": _mean([len(pair.reference) for pair in pairs]),
    }


def process_results(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, Any]:
    """lm-eval's hook for X-AlpacaEval with a judge: without it under the filter ``none``, what the judge said under the filter ``judge``.

    A verdict that cannot be read has no ``win_rate``, so that the mean is over the others, and counts in ``judge_errors``.
    """
    found = results[0]
    if isinstance(found, str):
        return language_id.process_results(doc, results)
    preference = found["preference"]
    if preference is None:
        return {"judge_errors": 1.0}
    delta = len(found["text"]) - found["reference_characters"]
    first, second = found["preferences"]
    flipped = (first - 0.5) * (second - 0.5) < 0
    return {"win_rate": preference, "length_controlled": [preference, delta], "flips": float(flipped), "judge_errors": 0.0}


def length_controlled(items: Sequence[Sequence[float]]) -> float:
    """lm-eval's aggregation of (preference, characters more than the reference), by the minimal formula; nan with too few items."""
    preferences, deltas = np.array(items, dtype=float).T
    found = control(preferences, deltas)["length_controlled"]
    return float("nan") if found is None else float(found)


_NAMES: Mapping[str, Outcome] = {"wins": "win", "ties": "tie", "losses": "lose", "errors": "error"}


def _mean(values: Any) -> float | None:
    return float(np.mean(values)) if len(values) else None
