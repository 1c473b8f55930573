"""What was measured, compared with what a paper reports: a suite's ``expected`` scores, ours, and the lift of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from xlift.harness.core.errors import UserError
from xlift.harness.core.papers import WIN_RATES, PaperScores
from xlift.harness.evaluation.records import Record
from xlift.leaderboard.analysis.comparisons import compare_runs, estimate_runs
from xlift.leaderboard.analysis.statistics import Estimate
from xlift.leaderboard.loading.scores import Documents
from xlift.leaderboard.loading.win_rates import JudgedRate
from xlift.tasks.benchmarks import find_metric

COLUMNS = (
    "model", "task", "language", "metric", "judge", "paper", "ours", "difference", "low", "high", "paper_lift", "our_lift", "lift_low",
    "lift_high", "agrees", "source", "differs",
)  # fmt: skip
Z = 1.96


@dataclass(frozen=True)
class Found:
    """What was measured in some run folders."""

    records: Sequence[Record]
    documents: Sequence[Documents]
    """The scores by document of the metrics that papers report."""
    rates: Sequence[JudgedRate] = ()

    def average(self, label: str, task: str, metric: str) -> float:
        """The mean over the seeds of one model; nan if it was not measured."""
        values = [
            result.metrics[metric].value
            for record in self.records
            if record.label == label and (result := record.tasks.get(task)) and metric in result.metrics
        ]
        return float(np.mean(values)) if values else np.nan

    def runs(self, label: str, task: str, metric: str) -> list[Documents]:
        """The seeds of one model, document by document."""
        return [one for one in self.documents if (one.label, one.task, one.metric) == (label, task, metric)]

    def judges(self, against: str | None) -> list[str]:
        """Who judged against an opponent, and how, each once."""
        return list(dict.fromkeys(one.setting.name for one in self.rates if one.setting.against == against))

    def win_rates(self, label: str, task: str, metric: str, judge: str) -> tuple[float, float]:
        """One model's win rate and its standard error, as means over the seeds; nan if it was not judged."""
        found = [one.rate for one in self.rates if (one.rate.label, one.rate.task, one.setting.name) == (label, task, judge)]
        values = [value for one in found if (value := getattr(one, metric)) is not None]
        errors = [error for one in found if (error := _stderr(one, metric)) is not None]
        return float(np.mean(values)) if values else np.nan, float(np.mean(errors)) if errors else np.nan


def _stderr(rate: object, metric: str) -> float | None:
    found = getattr(rate, f"{metric.removesuffix('_as_written')}_stderr")
    return None if found is None else float(found)


def compare_paper(expected: Sequence[PaperScores], found: Found) -> pd.DataFrame:
    """One row for each model, task, metric and language (or mean over languages) of a paper. Values are in the metric's own unit.

    ``ours`` is the mean over seeds. ``difference`` is ours minus the paper's, with its 95 % interval [``low``, ``high``] over our documents
    and seeds; the paper's number counts as exact. A metric of the whole corpus has no interval. A win rate has a row for each ``judge``. In
    the interval of its mean over languages, their errors count as one, because they answer the same prompts. Lifts are the value minus the
    base's, turned so that more is better: ``paper_lift`` if the paper reports its base too, and ``our_lift`` with its interval if both of
    ours were measured. ``agrees`` says whether the paper's lift is in that interval. What was not measured is missing, so the same table
    can be made before a run; a mean is missing if one of its languages is.

    A ``gain`` is a share of the other model's mean, which counts as exact in the interval.
    """
    rows: list[dict[str, object]] = []
    for one in expected:
        for languages, value in _list_values(one):
            known = _describe(one, languages, value)
            if one.metric in WIN_RATES:
                rows += [known | row for row in _compare_judged(one, languages, value, found)]
                continue
            if one.gain is not None:
                rows.append(known | _compare_gain(one, languages, value, found))
                continue
            row = known | _compare_values(one, languages, value, found)
            theirs = None if one.label == "base" else _find_base(one, languages, expected)
            rows.append(row if theirs is None else row | _compare_lifts(one, languages, value - theirs, found))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _list_values(one: PaperScores) -> list[tuple[tuple[str, ...], float]]:
    """The numbers of a paper, each with its languages."""
    single = one.mean if one.mean is not None else one.gain
    if single is not None:
        return [(one.over, single)]
    return [((language,), value) for language, value in one.values.items()]


def _find_base(one: PaperScores, languages: Sequence[str], expected: Sequence[PaperScores]) -> float | None:
    """What the paper reports of its base for the same tasks: a number of these languages, or the mean of one for each of them."""
    tasks, told = {one.task_in(language) for language in languages}, {}
    for other in expected:
        if (other.label, other.metric) == ("base", one.metric) and other.gain is None:
            for some, value in _list_values(other):
                told[frozenset(map(other.task_in, some))] = value
    if (whole := told.get(frozenset(tasks))) is not None:
        return whole
    single = [told.get(frozenset({task})) for task in tasks]
    return None if any(value is None for value in single) else float(np.mean([value for value in single if value is not None]))


def _describe(one: PaperScores, languages: Sequence[str], value: float) -> dict[str, object]:
    named = len(one.values) > 0
    return {
        "model": one.label if not named else one.label_in(languages[0]),
        "task": one.task_in(languages[0]) if named else one.task,
        "language": languages[0] if named else f"mean of {' '.join(languages)}",
        "metric": one.metric if one.gain is None else f"{one.metric}, gain over {one.against}",
        "judge": "", "paper": value, "ours": np.nan, "difference": np.nan, "source": one.source, "differs": one.differs,
    }  # fmt: skip


def _sheet(one: PaperScores, languages: Sequence[str], found: Found, label: str | None = None) -> dict[str, list[Documents]]:
    """The runs of one model, or of one for each language, by language."""
    sheet = {}
    for language in languages:
        sheet[language] = found.runs(label or one.label_in(language), one.task_in(language), one.metric)
    return sheet


def _mean(one: PaperScores, languages: Sequence[str], found: Found, label: str | None = None) -> float:
    tasks = [(label or one.label_in(language), one.task_in(language)) for language in languages]
    return float(np.mean([found.average(name, task, one.metric) for name, task in tasks]))


def _compare_values(one: PaperScores, languages: Sequence[str], value: float, found: Found) -> dict[str, object]:
    """Ours, and how far it is from the paper's."""
    ours = _mean(one, languages, found)
    row: dict[str, object] = {"ours": ours, "difference": ours - value}
    sheet = _sheet(one, languages, found)
    if not all(sheet.values()):
        return row
    try:
        spread = estimate_runs(sheet, one.label)
    except UserError:  # seeds of different settings: there is a mean of them, and no interval
        return row
    return {**row, "low": spread.low - value, "high": spread.high - value}


def _compare_lifts(one: PaperScores, languages: Sequence[str], lift: float, found: Found) -> dict[str, object]:
    """The lifts of both, with the interval of ours."""
    turned = (-lift if find_metric(one.metric).lower_is_better else lift) + 0.0  # so that a zero has no minus
    known: dict[str, object] = {"paper_lift": turned}
    ours = _compare(_sheet(one, languages, found), _sheet(one, languages, found, "base"), one.label)
    if ours is None:
        return known
    agrees = None if np.isnan(ours.low) else ours.low <= turned <= ours.high
    return {**known, "our_lift": ours.value, "lift_low": ours.low, "lift_high": ours.high, "agrees": agrees}


def _compare_gain(one: PaperScores, languages: Sequence[str], value: float, found: Found) -> dict[str, object]:
    """How much higher ours is than that of ``against``, as a share of it."""
    theirs = _mean(one, languages, found, one.against)
    if not theirs > 0:
        return {}
    gain = _mean(one, languages, found) / theirs - 1
    row: dict[str, object] = {"ours": gain, "difference": gain - value}
    spread = _compare(_sheet(one, languages, found), _sheet(one, languages, found, one.against), one.label)
    if spread is None:
        return row
    # An estimate is turned so that more is better, and a gain is not.
    ends = sorted(-end if find_metric(one.metric).lower_is_better else end for end in (spread.low, spread.high))
    return {**row, "low": ends[0] / theirs - value, "high": ends[1] / theirs - value}


def _compare(method: Mapping[str, list[Documents]], base: Mapping[str, list[Documents]], name: str) -> Estimate | None:
    """Method minus base; None if one was not measured, or if they were measured under different settings or data."""
    if not all((*method.values(), *base.values())):
        return None
    try:
        return compare_runs(method, base, name)
    except UserError:
        return None


def _compare_judged(one: PaperScores, languages: Sequence[str], value: float, found: Found) -> list[dict[str, object]]:
    """A row for each judge, or one without numbers if none judged."""
    rows: list[dict[str, object]] = []
    for judge in found.judges(one.against):
        tasks = [(one.label_in(language), one.task_in(language)) for language in languages]
        rates = [found.win_rates(label, task, one.metric, judge) for label, task in tasks]
        ours, error = (float(np.mean(column)) for column in zip(*rates, strict=True))
        if not np.isnan(ours):
            away = ours - value
            rows.append({"judge": judge, "ours": ours, "difference": away, "low": away - Z * error, "high": away + Z * error})
    return rows or [{}]
