"""A row of the leaderboard: one method on one base model, its seeds pooled, with its scores and its differences from the base."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import Record, TaskResult
from xlift.leaderboard.analysis.comparisons import Comparison, compare_languages, compare_tasks, say_no_interval
from xlift.leaderboard.analysis.statistics import Array, Estimate, estimate
from xlift.leaderboard.analysis.tables import ASTRAY, doubt_thinking, doubt_tokens, warn_off_target
from xlift.leaderboard.loading.runs import Run
from xlift.leaderboard.loading.scores import align
from xlift.leaderboard.loading.slugs import slug
from xlift.leaderboard.loading.win_rates import Setting
from xlift.tasks.benchmarks import find_metric, headline, is_parallel
from xlift.tasks.entries import AS_WRITTEN, METRICS, Metric


@dataclass(frozen=True)
class Figure:
    """A number in points of 100, or in bits for each byte, with its 95 % interval if there is one."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    have: int = 0
    """The number of benchmarks or languages of which it is an average."""
    of: int = 0
    """The number that it should be an average of. With fewer there is no value."""
    note: str = ""
    metric: str = ""
    measure: Metric | None = None
    """What is known of the metric, if the figure is of one metric."""
    significant: bool | None = None
    """Whether it is significant after Holm's correction; None if no test was made."""
    detectable: float | None = None
    """The smallest true difference that the test would have found with 80 % power."""
    items: int = 0
    items_of: int = 0
    reason: str = ""
    """Why the difference is not significant although its interval leaves out 0."""
    one_seed: bool = False
    """Whether the interval is that of a single training."""
    astray: float | None = None
    """The off-target rate of a task's answers, 0 to 1, if it casts doubt on the score."""

    @property
    def in_bits(self) -> bool:
        """Whether it is of likelihoods, in bits for each byte, and not in points."""
        return find_metric(self.metric).group == "likelihood"

    @property
    def digits(self) -> int:
        """The number of decimals that a reader can use."""
        return 3 if self.in_bits else 1


@dataclass(frozen=True)
class Cost:
    """What it cost to make an adapter; None for what no stage recorded."""

    tokens_trained: float | None
    tokens_generated: float | None
    seconds: float | None
    device: str | None
    help: str | None
    """The translators and corpora from which the training rows came."""
    thinking: float | None = None
    """The tokens of thinking before an answer when it is measured, as a mean over the answers."""
    trained_parameters: float | None = None
    """The number of weights that were trained."""
    tokens_read: float | None = None
    """The tokens of texts whose states were read to make its rows."""


@dataclass(frozen=True)
class LeaderboardRow:
    """One method on one base model, its seeds pooled."""

    id: str
    suite: str
    label: str
    runs: tuple[Run, ...]
    keys: Mapping[str, str]
    """The comparability key of each task."""
    scores: Mapping[str, Figure]
    """The score of each benchmark, averaged over its languages."""
    tasks: Mapping[str, Figure]
    averages: Mapping[str, Figure] = field(default_factory=dict)
    """Lift, retention and transfer, averaged over benchmarks."""
    group: int = 0
    rank: int | None = None
    of: int = 0
    tied: tuple[str, ...] = ()
    mean: float | None = None
    notes: tuple[str, ...] = ()
    fooled: tuple[str, ...] = ()
    """Tasks in which most answers are in another language than asked for, if such answers can earn a score."""
    smoke: bool = False
    """Whether a limit left too few items of a task on which the ranking is based."""

    @property
    def record(self) -> Record:
        return self.runs[0].record

    @property
    def marked(self) -> str:
        """The label, with a remark if it is a control."""
        return f"{self.label} (control)" if self.record.control else self.label

    @property
    def one_seed(self) -> bool:
        """Whether it was trained with a single seed."""
        return len(self.runs) == 1 and self.record.seed is not None

    @property
    def base(self) -> str:
        return str(self.record.base.get("name", "unknown"))

    @property
    def method(self) -> str:
        return self.record.method or ("base" if self.label == "base" else "unknown")

    @cached_property
    def results(self) -> Mapping[str, TaskResult]:
        """Results of each task, from the first seed that did it."""
        return {task: result for run in reversed(self.runs) for task, result in run.record.tasks.items()}

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The languages in which it was evaluated."""
        return tuple(sorted({result.language for result in self.results.values() if result.language}))

    @property
    def judges(self) -> tuple[Setting, ...]:
        """The settings under which its answers were judged."""
        return tuple(dict.fromkeys(rate.setting for run in self.runs for rate in run.win_rates))

    @property
    def cost(self) -> Cost:
        """What it cost to make the adapter, as means over seeds; None for what no stage recorded. Of evaluation, only thinking is
        included."""
        fits = [run.record.cost.get("fit", {}) for run in self.runs]
        prepares = [run.record.cost.get("prepare", {}) for run in self.runs]
        seconds: list[float] = []
        for fit, prepare in zip(fits, prepares, strict=True):
            if fit or prepare:
                seconds.append(sum(_find_numbers(stage.get("seconds") for stage in (fit, prepare))))
        return Cost(
            tokens_trained=_mean(_find_numbers(fit.get("tokens_trained") for fit in fits)),
            tokens_generated=_mean(_find_numbers(prepare.get("generated_tokens") for prepare in prepares)),
            seconds=_mean(seconds),
            device=next((str(fit["device"]) for fit in fits if fit.get("device")), None),
            help=_name_help(self.runs[0]),
            trained_parameters=_mean(_find_numbers(fit.get("trained_parameters") for fit in fits)),
            tokens_read=_mean(_find_numbers(prepare.get("tokens_read") for prepare in prepares)),
            thinking=_mean([found for run in self.runs if (found := _measure_thinking(run.record)) is not None]),
        )


def _measure_thinking(record: Record) -> float | None:
    evaluation = record.cost.get("evaluate", {})
    found = _find_numbers((evaluation.get("thinking_tokens"), evaluation.get("requests")))
    return found[0] / found[1] if len(found) == 2 and found[1] else None


@dataclass(frozen=True)
class Languages:
    """The languages of a row's answers, over all its tasks and seeds that check them. Shares are 0 to 1."""

    answers: int
    told: int
    """The number of answers whose language can be told."""
    off_target: float | None
    """The off-target share of those; None if there are none."""
    tasks: int
    """The number of tasks that check the language, out of ``tasks_of``."""
    tasks_of: int

    @property
    def shares(self) -> tuple[float, float, float]:
        """The shares on target, off target and not told, of all answers."""
        off = self.told * (self.off_target or 0.0)
        return tuple(count / max(self.answers, 1) for count in (self.told - off, off, self.answers - self.told))  # type: ignore[return-value]


def describe_languages(results: Iterable[TaskResult]) -> Languages:
    """The languages of the answers to some tasks."""
    every = list(results)
    looked = [result for result in every if result.metrics.keys() & {"off_target", "language_unknown"}]
    told = sum(result.told for result in looked)
    astray = sum(result.told * result.metrics["off_target"].value for result in looked if "off_target" in result.metrics)
    return Languages(sum(result.items for result in looked), told, astray / told if told else None, len(looked), len(every))


def make_rows(runs: Sequence[Run]) -> list[tuple[LeaderboardRow, list[Comparison], list[Comparison]]]:
    """The rows of a suite, each made from runs that differ only in their seeds, with its differences from the base by kind of language and
    by task.

    All rows are compared together, because together they tell how much seeds differ.
    """
    documents = [one for run in runs for one in run.documents]
    by_kind, by_task = (_sort(compared) for compared in (compare_languages(documents), compare_tasks(documents)))
    pooled: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        pooled[run.record.label].append(run)
    return [(_pool(found), by_kind[label], by_task[label]) for label, found in pooled.items()]


def _sort(compared: Iterable[Comparison]) -> dict[str, list[Comparison]]:
    """Comparisons by the label of their method."""
    found: dict[str, list[Comparison]] = defaultdict(list)
    for one in compared:
        found[str(one.names["method"])].append(one)
    return found


def _pool(runs: Sequence[Run]) -> LeaderboardRow:
    record = runs[0].record
    keys = {task: result.comparability for run in runs for task, result in run.record.tasks.items()}
    benchmarks = {task: result.benchmark for run in runs for task, result in run.record.tasks.items()}
    boards: dict[str, list[str]] = defaultdict(list)
    for task in keys:
        boards[benchmarks[task]].append(task)
    astray = _find_astray(runs, list(keys))
    fooled = {task: found for task, found in astray.items() if _is_fooled(benchmarks[task])}
    notes = [note for run in runs for note in run.notes]
    notes += [f"{task}: {warn_off_target(found.off_target or 0.0, found.told)}" for task, found in fooled.items()]
    records = [run.record for run in runs]
    notes += [*doubt_thinking(records), *doubt_tokens(records)]
    return LeaderboardRow(
        id=slug(record.suite, record.label),
        suite=record.suite,
        label=record.label,
        runs=tuple(runs),
        keys=keys,
        scores={benchmark: _score(runs, tasks) for benchmark, tasks in boards.items()},
        tasks={task: replace(_score(runs, [task]), astray=astray[task].off_target if task in astray else None) for task in keys},
        notes=tuple(dict.fromkeys(notes)),
        fooled=tuple(fooled),
    )


def _find_astray(runs: Sequence[Run], tasks: Sequence[str]) -> dict[str, Languages]:
    """The languages of the answers of each task in which they cast doubt on the score, over all seeds."""
    found = {task: describe_languages(run.record.tasks[task] for run in runs if task in run.record.tasks) for task in tasks}
    return {task: languages for task, languages in found.items() if (languages.off_target or 0.0) >= ASTRAY}


def _is_fooled(benchmark: str) -> bool:
    """Whether answers in a wrong language can earn a score."""
    shown = headline(benchmark)
    return shown != "off_target" and f"{shown}{AS_WRITTEN}" not in METRICS


def _score(runs: Sequence[Run], tasks: Sequence[str]) -> Figure:
    """The headline score over tasks and seeds, with its interval if every document has a score."""
    results = [run.record.tasks[task] for run in runs for task in tasks if task in run.record.tasks]
    metric = results[0].tested or (results[0].measures and results[0].headline) or next(iter(results[0].metrics), "")
    known = results[0].find_metric(metric)
    values = [result.metrics[metric].value for result in results if metric in result.metrics]
    if len(values) < len(results) or not values:
        return Figure(have=len(values), of=len(results), note="no score", metric=metric)
    points = known.scale
    figure = Figure(
        points * sum(values) / len(values),
        have=len(tasks),
        of=len(tasks),
        metric=metric,
        measure=known,
        items=sum(result.items for result in results) // len(runs),
        items_of=sum(result.items_of for result in results) // len(runs),
        one_seed=len(runs) == 1 and runs[0].record.seed is not None,
    )
    if len(results) < len(runs) * len(tasks):
        return replace(figure, value=None, note="not every seed did every language")
    try:
        whole = _estimate(runs, tasks, metric)
    except UserError as error:
        return replace(figure, note=str(error))
    if math.isnan(whole.low):
        return replace(figure, note=say_no_interval(whole))
    low, high = points * whole.low, points * whole.high
    if known.most is None:
        return replace(figure, low=low, high=high)
    # The t interval of few seeds knows no bounds, a score does.
    return replace(figure, low=max(0.0, low), high=min(100.0, high))


def _estimate(runs: Sequence[Run], tasks: Sequence[str], metric: str) -> Estimate:
    """The mean of a metric over tasks and seeds. Raises UserError if a document's score is missing."""
    found = {(one.seed, one.task): one for run in runs for one in run.documents if one.metric == metric}
    if any((run.record.seed, task) not in found for run in runs for task in tasks):
        raise UserError("no samples: no interval")
    scores: list[Array] = []
    for task in tasks:
        scores.append(align({str(run.record.seed): found[run.record.seed, task].columns for run in runs}))
    same_length = len({array.shape[1] for array in scores}) == 1
    parallel = len(tasks) > 1 and same_length and is_parallel(found[runs[0].record.seed, tasks[0]].benchmark)
    return estimate(scores, parallel=parallel)


def _name_help(run: Run) -> str | None:
    """The translators and corpora from which the training rows came; None if the run does not say."""
    manifest = run.stages.get("prepare", {})
    translated = {**(run.record.cost.get("prepare", {}).get("translated") or {}), **(manifest.get("translated") or {})}
    corpora = manifest.get("corpora") or []
    if "corpora" not in manifest and "translated" not in run.record.cost.get("prepare", {}):
        return None
    return ", ".join([*(f"translator {name}" for name in translated), *(f"corpus {name}" for name in corpora)]) or "none"


def _find_numbers(values: Iterable[object]) -> list[float]:
    return [float(value) for value in values if isinstance(value, int | float)]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
