"""RankC of each pair of languages in which a model was asked the same facts, with its difference from the base."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import Measurement
from xlift.harness.evaluation.samples import Choice, SampleLine, read_samples
from xlift.leaderboard.analysis.statistics import compare, estimate
from xlift.tasks.consistency import RANKED, expect_by_chance, measure_consistency

COLUMNS = (
    "suite",
    "model",
    "benchmark",
    "languages",
    "items",
    "rankc",
    "low",
    "high",
    "by_byte",
    "chance",
    "lift",
    "lift_low",
    "lift_high",
)

Facts = Mapping[str, tuple[Choice, ...]]
"""The candidates of each fact, by its id."""


@dataclass(frozen=True)
class Pair:
    """One model's facts in two languages."""

    ids: tuple[str, ...]
    values: NDArray[np.float64]
    """RankC of each fact, by the likelihood of the whole sentence."""
    by_byte: NDArray[np.float64]
    """The same by likelihoods for each byte, so that long names are at no disadvantage."""
    chance: float


def tabulate_consistency(measurements: Iterable[Measurement]) -> pd.DataFrame:
    """One row for each suite, method, benchmark and pair of languages that were both measured, on the facts that both have.

    ``rankc`` has a 95 % interval over facts and seeds. ``lift`` is method minus base, paired by fact, if the base was asked the same facts.
    ``chance`` is the RankC of two random rankings. It is empty if no two languages were measured, and for published records, which keep no
    likelihoods. Raises UserError for samples that are damaged.
    """
    found: defaultdict[tuple[str, str, str, str], list[Pair]] = defaultdict(list)
    for measured in measurements:
        for benchmark in RANKED:
            for languages, pair in _compare_languages(_read_facts(measured, benchmark)).items():
                found[measured.record.suite, measured.record.label, benchmark, languages].append(pair)
    rows = []
    for (suite, label, benchmark, languages), pairs in found.items():
        base = found.get((suite, "base", benchmark, languages), []) if label != "base" else []
        rows.append({"suite": suite, "model": label, "benchmark": benchmark, "languages": languages, **_estimate(pairs, base)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _read_facts(measured: Measurement, benchmark: str) -> dict[str, Facts]:
    """The facts of each language, without languages whose samples are missing or have no likelihoods."""
    found: dict[str, Facts] = {}
    for result in measured.record.tasks.values():
        path = measured.stage / (result.samples or "")
        if result.benchmark == benchmark and result.language and result.samples and path.is_file():
            lines = read_samples(path, result.samples_sha256)
            facts = {str(line.doc.get("id")): line.choices for line in lines if _is_fact(line)}
            if facts:
                found[result.language] = facts
    return found


def _is_fact(line: SampleLine) -> bool:
    return len(line.choices) > 1 and "id" in line.doc


def _compare_languages(facts: Mapping[str, Facts]) -> dict[str, Pair]:
    found = {}
    for one, other in combinations(sorted(facts), 2):
        ids = [fact for fact, choices in facts[one].items() if len(facts[other].get(fact, ())) == len(choices)]
        if len(ids) > 1:
            sides = [[facts[lang][fact] for fact in ids] for lang in (one, other)]
            chance = sum(expect_by_chance(len(choices)) for choices in sides[0]) / len(ids)
            found[f"{one}-{other}"] = Pair(tuple(ids), _rank(sides, by_byte=False), _rank(sides, by_byte=True), chance)
    return found


def _rank(sides: Sequence[Sequence[tuple[Choice, ...]]], *, by_byte: bool) -> NDArray[np.float64]:
    def list_likelihoods(choices: tuple[Choice, ...]) -> list[float]:
        return [choice.likelihood / (len(choice.text.encode()) if by_byte else 1) for choice in choices]

    return np.array([measure_consistency(list_likelihoods(one), list_likelihoods(other)) for one, other in zip(*sides, strict=True)])


def _estimate(pairs: Sequence[Pair], base: Sequence[Pair]) -> dict[str, object]:
    if any(pair.ids != pairs[0].ids for pair in pairs):
        raise UserError("the seeds of a method were asked different facts; evaluate them on the same items")
    values = np.stack([pair.values for pair in pairs])
    own = estimate([values])
    row: dict[str, object] = {"items": len(pairs[0].ids), "rankc": own.value, "low": own.low, "high": own.high}
    row |= {"by_byte": float(np.mean([pair.by_byte for pair in pairs])), "chance": pairs[0].chance}
    if base and base[0].ids == pairs[0].ids:
        lift = compare([values], [np.stack([pair.values for pair in base])])
        row |= {"lift": lift.value, "lift_low": lift.low, "lift_high": lift.high}
    return row
