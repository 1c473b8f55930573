"""Which measures can tell the methods of a run apart, with how many items, and which cheap measure predicts which expensive one.

Signal and noise follow Heineman et al. 2025 (arXiv 2508.13144), who divide the spread of models' scores by the spread of one model's last
checkpoints. Here the noise between seeds and the noise between the last points of a training are separate, because they need not agree. A
high ratio alone proves nothing: a measure may order methods firmly and wrongly, so read ``tabulate_agreement`` beside ``tabulate_signal``.
docs/signal.md explains each column.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, inf, isnan

import numpy as np
import pandas as pd

from xlift.harness.core.errors import UserError
from xlift.leaderboard.analysis.statistics import ALPHA, Array, compare_pairs, correct, count_needed, detectable, estimate
from xlift.leaderboard.loading.scores import Documents, align
from xlift.tasks.benchmarks import find_benchmark
from xlift.tasks.entries import Metric

FLOOR = 5.0
"""A generated score below this number of points of 100 is at its floor: what is right there is right by chance or by a quirk of the
scorer."""
DIFFERENCE, BITS = 1.0, 0.01
"""The difference for which a plan is made if none is named: points of 100, and bits per byte."""
LEAST_DIFFERENCE, LEAST_BITS, MOST = 0.001, 0.00001, 100.0
"""The differences that may be asked for. No score differs by more than all of its points."""
COLUMNS = (
    "suite", "task", "benchmark", "language", "metric", "items", "methods", "seeds", "base", "at_floor", "signal", "noise", "ratio",
    "late_noise", "late_ratio", "reliability", "told", "pairs", "step", "items_needed", "seeds_needed",
)  # fmt: skip
AGREEMENT = ("suite", "measure", "foretells", "metric", "languages", "methods", "spearman", "low", "high")
_HALVES = 200
_RESAMPLES = 2000
_CHANGED = 0.2


@dataclass(frozen=True)
class Measured:
    """All models of one suite on one task by one metric, on the same items."""

    suite: str
    task: str
    benchmark: str
    language: str
    metric: Metric
    models: Mapping[str, Array]
    """Scores by label, of shape (seeds, items). The base is among them if it was measured."""

    @property
    def methods(self) -> dict[str, Array]:
        return {label: scores for label, scores in self.models.items() if label != "base"}

    @property
    def sign(self) -> int:
        return -1 if self.metric.lower_is_better else 1


Place = tuple[str, str, str]
"""Suite, task and metric."""


@dataclass(frozen=True)
class PlannedTask:
    """A task of a suite that has not run."""

    name: str
    benchmark: str
    metric: Metric | None
    """The headline, or the score of a document that replaces it; None if it is not known. The next two can be None too."""
    items: int | None
    available: int | None


def gather(documents: Iterable[Documents]) -> list[Measured]:
    """Scores by suite, task and metric. Models whose comparability key is not the base's (or the first model's) are left out.

    Raises UserError if the models of one key were scored on different items.
    """
    found: dict[Place, dict[str, list[Documents]]] = defaultdict(lambda: defaultdict(list))
    for one in documents:
        found[one.suite, one.task, one.metric][one.label].append(one)
    measured = []
    for (suite, task, _), labels in found.items():
        key = (labels.get("base") or next(iter(labels.values())))[0].comparability
        runs = {
            (label, one.seed): one
            for label, some in labels.items()
            for one in sorted(some, key=lambda one: one.seed or 0)
            if one.comparability == key
        }
        values = align({f"{one.name} on {task}": one.columns for one in runs.values()})
        models = {label: values[[owner == label for owner, _ in runs]] for label in dict.fromkeys(label for label, _ in runs)}
        first = next(iter(runs.values()))
        measured.append(Measured(suite, task, first.benchmark, first.language, first.measure, models))
    return measured


def tabulate_signal(
    measures: Iterable[Measured], late: Mapping[Place, float] | None = None, *, difference: float = DIFFERENCE, bits: float = BITS
) -> pd.DataFrame:
    """One row for each suite, task and metric. Scores are in the metric's own unit.

    ``base`` is the base's score. ``at_floor`` says that no model rises above chance or the floor, so that an order would be chance.
    ``signal`` is the standard deviation of the methods' means, ``noise`` that of one method's seeds (missing with one seed), ``ratio``
    signal over noise. ``late_noise`` is the standard deviation of one training's last points, as ``late`` has it
    (``curves.measure_late_noise``), and ``late_ratio`` signal over that; both are missing if no adapter was kept so late. ``reliability``
    says how well the order of the methods on half of the items agrees with that on the other half, stepped up to all items (Spearman-Brown;
    1 is the same order, 0 none). ``told`` out of ``pairs`` of models are told apart after Holm's correction within the row. ``step`` is the
    difference that is to be found. ``items_needed`` and ``seeds_needed`` are what it takes to find it between a method and the base at 80 %
    power and the 5 % level: items with the present seeds, and seeds with the present items. They are missing if no number is enough or if
    the spread is not known. Raises UserError for a difference that nobody could find.
    """
    _require_sizes(difference, bits)
    known = late or {}
    rows = []
    for one in measures:
        step = bits if one.metric.most is None else difference / one.metric.scale
        rows.append(_describe(one, step, known.get((one.suite, one.task, one.metric.name), np.nan)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def tabulate_agreement(measures: Iterable[Measured]) -> pd.DataFrame:
    """How well the lift by one measure predicts the lift by another, over the methods of a suite: one row for each ordered pair of
    benchmarks, of which the first is a likelihood and the second is not.

    Lifts are averages over the languages in which both were measured. ``spearman`` is the rank correlation over ``methods``, with the 95 %
    interval [``low``, ``high``] from methods drawn with replacement. With fewer than four methods there is no row.
    """
    by_suite: dict[str, dict[tuple[str, str], list[Measured]]] = defaultdict(lambda: defaultdict(list))
    for one in measures:
        if "base" in one.models and one.metric.name != "off_target":
            by_suite[one.suite][one.benchmark, one.metric.name].append(one)
    rows = []
    for suite, boards in by_suite.items():
        cheap = [board for board, found in boards.items() if found[0].metric.most is None]
        for first in cheap:
            for second in (board for board in boards if board not in cheap):
                if row := _agree(boards[first], boards[second]):
                    rows.append({"suite": suite, "measure": first[0], "foretells": second[0], "metric": second[1], **row})
    return pd.DataFrame(rows, columns=list(AGREEMENT))


def plan_items(
    wanted: Iterable[PlannedTask], measured: Iterable[Measured] = (), *, difference: float = DIFFERENCE, bits: float = BITS
) -> pd.DataFrame:
    """How many items each task of a suite needs, before it runs.

    ``spread`` is the standard deviation of an item's difference between a method and the base. It comes from the same task in ``measured``,
    or else from the same benchmark and metric in other languages, or else, for shares, from the assumption that one item in five changes
    its outcome; ``source`` says which. ``items`` out of ``available`` ones will be asked. ``found`` is the smallest difference that they
    find with one seed at 80 % power and the 5 % level, and ``items_needed`` what ``step`` needs. Differences are in the metric's own unit,
    and missing if nothing is known of the spread. Raises UserError for a difference that nobody could find.
    """
    _require_sizes(difference, bits)
    pilots = list(measured)
    rows = []
    for task in wanted:
        spread, source = _find_spread(task, pilots)
        step = bits if task.metric is None or task.metric.most is None else difference / task.metric.scale
        needed = count_needed(spread, step)
        rows.append(
            {
                "task": task.name,
                "metric": task.metric.name if task.metric else "",
                "items": task.items,
                "available": task.available,
                "spread": spread,
                "source": source,
                "step": step if task.metric else np.nan,
                "items_needed": np.nan if needed is None else needed,
                "found": _find_least(spread, task.items or 0),
                "enough": needed is not None and task.items is not None and needed <= task.items,
            }
        )
    table = pd.DataFrame(rows)
    return table.astype(dict.fromkeys({"items", "available"} & {*table.columns}, "Int64"))


def _require_sizes(difference: float, bits: float) -> None:
    for name, size, least in (("difference", difference, LEAST_DIFFERENCE), ("bits", bits, LEAST_BITS)):
        if not least <= size <= MOST:  # nan is neither
            raise UserError(f"--{name} {size:g}: name a number from {least:.10g} to {MOST:g}")


def find_floor(benchmark: str, metric: Metric) -> float | None:
    """The score of a model without knowledge: chance among the choices, ``FLOOR`` points for generated answers; None if it is not known."""
    if metric.most is None:
        return None
    known = find_benchmark(benchmark)
    if known is None or metric.higher_is_better is not True:
        return None
    return 1 / len(known.choices) if known.choices else FLOOR / metric.scale


def _describe(one: Measured, step: float, late_noise: float) -> dict[str, object]:
    methods = one.methods
    means = np.array([scores.mean() for scores in methods.values()])
    noise = pool_spread(scores.mean(axis=1) for scores in methods.values())
    signal = float(means.std(ddof=1)) if len(means) > 1 else np.nan
    items = next(iter(one.models.values())).shape[1]
    pairs = compare_pairs({label: [scores] for label, scores in one.models.items()}) if len(one.models) > 1 and items > 1 else None
    told = 0 if pairs is None else int((correct(pairs["p"].to_numpy(dtype=np.float64)) < ALPHA).sum())
    needed, seeds = _size(one, step, noise)
    return {
        "suite": one.suite,
        "task": one.task,
        "benchmark": one.benchmark,
        "language": one.language,
        "metric": one.metric.name,
        "items": items,
        "methods": len(methods),
        "seeds": max((len(scores) for scores in methods.values()), default=0),
        "base": float(one.models["base"].mean()) if "base" in one.models else np.nan,
        "at_floor": _is_at_floor(one),
        "signal": signal,
        "noise": noise,
        "ratio": signal / noise if noise > 0 else np.nan,
        "late_noise": late_noise,
        "late_ratio": signal / late_noise if late_noise > 0 else np.nan,
        "reliability": _split(methods),
        "told": told,
        "pairs": 0 if pairs is None else len(pairs),
        "step": step,
        "items_needed": needed,
        "seeds_needed": seeds,
    }


def _is_at_floor(one: Measured) -> bool:
    """Whether no model rises above the floor."""
    floor = find_floor(one.benchmark, one.metric)
    return floor is not None and not any(_rises(scores, floor) for scores in one.models.values())


def _rises(scores: Array, floor: float) -> bool:
    """Whether scores rise above the floor, by the lower end of the interval, or by the score itself if the items are too few for one."""
    if scores.mean() <= floor or scores.shape[1] < 2:
        return bool(scores.mean() > floor)
    found = estimate([scores])
    return (found.value if isnan(found.low) else found.low) > floor


def pool_spread(courses: Iterable[Sequence[float]]) -> float:
    """The standard deviation within series of numbers, each about its own mean, pooled over them; nan if none has two numbers."""
    squares, freedom = 0.0, 0
    for course in courses:
        squares += float(((np.asarray(course) - np.mean(course)) ** 2).sum())
        freedom += len(course) - 1
    return float((squares / freedom) ** 0.5) if freedom else np.nan


def _split(methods: Mapping[str, Array]) -> float:
    """Mean rank correlation of the methods' means on two halves of the items, stepped up to all items; nan below three methods."""
    means = np.stack([scores.mean(axis=0) for scores in methods.values()]) if methods else np.empty((0, 0))
    count, items = means.shape
    if count < 3 or items < 4 or np.ptp(means.mean(axis=1)) == 0:
        return np.nan
    rng = np.random.default_rng(0)
    orders = np.stack([rng.permutation(items) for _ in range(_HALVES)])
    first, second = (means[:, half].mean(axis=2).T for half in (orders[:, : items // 2], orders[:, items // 2 :]))
    found = _correlate(first, second)
    if np.isnan(found).all():
        return np.nan
    half = float(np.nanmean(found))
    return 2 * half / (1 + half) if half > -1 else -1.0


def _find_spread(task: PlannedTask, pilots: Sequence[Measured]) -> tuple[float, str]:
    """The spread of an item's difference from the base, and where it comes from."""
    if task.metric is None:
        return np.nan, "unknown: its data are not on this machine"
    alike = [one for one in pilots if one.benchmark == task.benchmark and one.metric.name == task.metric.name]
    same = [one for one in alike if one.task == task.name]
    for some, source in ((same, "measured on this task"), (alike, "measured in other languages")):
        spreads = [found for one in some if not isnan(found := _spread(one))]
        if spreads:
            return float(np.median(spreads)), source
    if task.metric.share:
        return _CHANGED**0.5, f"assumed: {_CHANGED:.0%} of the items change"
    return np.nan, "unknown: measure a pilot of some 40 items"


def _spread(one: Measured) -> float:
    """The median over methods of the standard deviation of an item's difference from the base; nan where it is unknown or none."""
    if "base" not in one.models or not one.methods or one.models["base"].shape[1] < 2:
        return np.nan
    base = one.models["base"].mean(axis=0)
    found = float(np.median([(scores.mean(axis=0) - base).std(ddof=1) for scores in one.methods.values()]))
    return found if found > 0 else np.nan


def _size(one: Measured, step: float, noise: float) -> tuple[float, float]:
    """Items and seeds needed to find a difference of ``step`` between a method and the base."""
    spread = _spread(one)
    if isnan(spread):
        return np.nan, np.nan
    items, seeds = one.models["base"].shape[1], max(len(scores) for scores in one.methods.values())
    error = 0.0 if isnan(noise) else noise
    needed = count_needed(spread, step, [(error / seeds**0.5, inf)])
    one_seed = detectable([(error, inf)]) if error > 0 else 0.0
    room = step**2 - _find_least(spread, items) ** 2
    enough = inf if room <= 0 else max(1, ceil(one_seed**2 / room))
    return np.nan if needed is None else needed, np.nan if isnan(noise) or enough == inf else enough


def _find_least(spread: float, items: int) -> float:
    """The smallest difference that this number of items finds; nan for one item."""
    return detectable([(spread / items**0.5, items - 1)]) if items > 1 else np.nan


def _agree(cheap: Sequence[Measured], dear: Sequence[Measured]) -> dict[str, object] | None:
    """The agreement of two benchmarks' lifts; None if they share no language or fewer than four methods."""
    languages = {one.language for one in cheap} & {one.language for one in dear}
    lifts = [_average_lifts([one for one in some if one.language in languages]) for some in (cheap, dear)]
    methods = [label for label in lifts[0] if label in lifts[1]]
    if len(methods) < 4:
        return None
    first, second = (np.array([found[label] for label in methods]) for found in lifts)
    chosen = np.random.default_rng(0).integers(0, len(methods), (_RESAMPLES, len(methods)))
    drawn = _correlate(first[chosen], second[chosen])
    low, high = (np.nan, np.nan) if np.isnan(drawn).all() else np.nanquantile(drawn, [0.025, 0.975])
    return {
        "languages": tuple(sorted(languages)),
        "methods": len(methods),
        "spearman": float(_correlate(first[None], second[None])[0]),
        "low": float(low),
        "high": float(high),
    }


def _average_lifts(measures: Sequence[Measured]) -> dict[str, float]:
    """Method minus base, turned so that more is better, averaged over languages. Methods that lack a language are left out."""
    found: dict[str, list[float]] = defaultdict(list)
    for one in measures:
        for label, scores in one.methods.items():
            found[label].append(one.sign * float(scores.mean() - one.models["base"].mean()))
    return {label: sum(lifts) / len(lifts) for label, lifts in found.items() if len(lifts) == len(measures)}


def _correlate(first: Array, second: Array) -> Array:
    """Spearman's rank correlation of each two rows. Ties get their mean rank; nan for a row of equal numbers."""
    ranks = [pd.DataFrame(side).rank(axis=1).to_numpy() for side in (first, second)]
    ours, theirs = (one - one.mean(axis=1, keepdims=True) for one in ranks)
    sizes = np.sqrt((ours**2).sum(axis=1) * (theirs**2).sum(axis=1))
    found: Array = np.full(len(sizes), np.nan)
    np.divide((ours * theirs).sum(axis=1), sizes, out=found, where=sizes > 0)
    return found


def share_of_order_kept(early: Mapping[str, float], late: Mapping[str, float]) -> float:
    """The share of pairs of methods that are in the same order early in training as at its end (decision accuracy); nan without a pair.

    A pair that is equal at either time counts half.
    """
    pairs = list(combinations([label for label in early if label in late], 2))
    kept = [0.5 + 0.5 * np.sign(early[one] - early[other]) * np.sign(late[one] - late[other]) for one, other in pairs]
    return float(np.mean(kept)) if kept else np.nan
