"""Summaries of the verdicts on one model in one language: win rates with their errors, and how far the judge can be believed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from xlift.tasks import language_id
from xlift.tasks.entries import AS_WRITTEN
from xlift.tasks.judge import Outcome, Verdict, combine
from xlift.tasks.language_id import language_scores
from xlift.tasks.length_control import control


def aggregate(verdicts: Sequence[Verdict], difficulty: pd.DataFrame | None = None) -> dict[str, Any]:
    """The scores of one model in one language, as plain data. Shares are between 0 and 1.

    An answer in another language than its instruction's counts as lost, whatever the judge said of it, in the win rates and in ``wins``,
    ``ties`` and ``losses``. ``win_rate_as_written`` and ``length_controlled_as_written`` follow the judge's word alone.

    - ``win_rate``: the mean preference of both orders over the items whose two replies can be read (a verdict counts 1, 0.5 or 0), None if
      there are none. ``win_rate_stderr``: the standard deviation over the root of the number of these items.
    - ``wins``, ``ties``, ``losses``, ``errors``: shares of all items, by PLUG's rule for both orders. ``difference``: wins minus losses.
    - ``flips``: the share of the readable items whose answer wins in one order and loses in the other. ``first``: the mean preference for
      the answer shown first; 0.5 for a judge that ignores the position.
    - ``parse_errors``: the share of all replies that cannot be read.
    - ``off_target`` and ``reference_off_target``: the share of answers off target among those whose language can be told. Some instructions
      ask for another language, so it is not zero for a perfect model. ``language_unknown``: the share of answers whose language cannot be
      told.
    - ``characters`` and ``reference_characters``: mean lengths.
    - ``length_controlled``, ``length_controlled_stderr``, ``length_control``: see ``control``; None and the reason if there is no such
      rate.
    """
    pairs = [verdict.pair for verdict in verdicts]
    replies = [one for verdict in verdicts for one in verdict.preferences]
    languages = [language_scores(pair.answer, pair.lang) for pair in pairs]
    references = [language_scores(pair.reference, pair.lang) for pair in pairs]
    lost = [language.get("off_target") == 1 for language in languages]
    readable = [verdict for verdict in verdicts if verdict.preference is not None]
    first = [p if place == 0 else 1 - p for verdict in verdicts for place, p in enumerate(verdict.preferences) if p is not None]
    as_written = _win_rates(verdicts, [False] * len(verdicts), difficulty)
    return {
        "items": len(verdicts),
        **_win_rates(verdicts, lost, difficulty),
        **{f"{name}{AS_WRITTEN}": as_written[name] for name in ("win_rate", "length_controlled")},
        **_shares(verdicts, lost),
        "flips": _mean([verdict.flipped for verdict in readable]),
        "first": _mean(first),
        "parse_errors": _mean([one is None for one in replies]),
        "off_target": _mean([language["off_target"] for language in languages if "off_target" in language]),
        "language_unknown": _mean([language["language_unknown"] for language in languages]),
        "reference_off_target": _mean([language["off_target"] for language in references if "off_target" in language]),
        "characters": _mean([len(pair.answer) for pair in pairs]),
        "reference_characters": _mean([len(pair.reference) for pair in pairs]),
    }


def _win_rates(verdicts: Sequence[Verdict], lost: Sequence[bool], difficulty: pd.DataFrame | None) -> dict[str, Any]:
    """The win rate and the length-controlled win rate with their errors. The answers in ``lost`` count as lost if their replies can be
    read."""
    preferences = np.array([np.nan if one.preference is None else one.preference for one in verdicts], dtype=float)
    preferences[np.array(lost) & ~np.isnan(preferences)] = 0.0
    deltas = np.array([len(one.pair.answer) - len(one.pair.reference) for one in verdicts], dtype=float)
    read = preferences[~np.isnan(preferences)]
    stderr = float(read.std(ddof=1) / np.sqrt(len(read))) if len(read) > 1 else None
    return {"win_rate": _mean(read), "win_rate_stderr": stderr, **control(preferences, deltas, difficulty)}


def _shares(verdicts: Sequence[Verdict], lost: Sequence[bool]) -> dict[str, float]:
    outcomes = [combine(verdict.preferences) for verdict in verdicts]
    counts = Counter("lose" if gone and outcome != "error" else outcome for outcome, gone in zip(outcomes, lost, strict=True))
    shares = {name: counts[outcome] / len(verdicts) for name, outcome in _NAMES.items()}
    return {**shares, "difference": shares["wins"] - shares["losses"]}


def process_results(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, Any]:
    """lm-eval's hook for X-AlpacaEval with a judge. The filter ``none`` has the scores without the judge, the filter ``judge`` what the
    judge said.

    A verdict that cannot be read has no ``win_rate``, so that the mean is over the others, and counts in ``judge_errors``. An answer in
    another language than asked for counts as lost, except in the scores that end in ``AS_WRITTEN``.
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
    counted = 0.0 if language_id.is_off_target(found["text"], doc["lang"]) else preference
    return {
        "win_rate": counted,
        "length_controlled": [counted, delta],
        f"win_rate{AS_WRITTEN}": preference,
        "flips": float(flipped),
        "judge_errors": 0.0,
    }


def length_controlled(items: Sequence[Sequence[float]]) -> float:
    """lm-eval's aggregation of (preference, characters more than the reference), by the minimal formula; nan if there are too few items."""
    preferences, deltas = np.array(items, dtype=float).T
    found = control(preferences, deltas)["length_controlled"]
    return float("nan") if found is None else float(found)


_NAMES: Mapping[str, Outcome] = {"wins": "win", "ties": "tie", "losses": "lose", "errors": "error"}


def _mean(values: Any) -> float | None:
    return float(np.mean(values)) if len(values) else None
