"""Rankings of models on a task, on a benchmark and overall. Models that the tests cannot tell apart are tied."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from xlift.harness.core.errors import UserError
from xlift.harness.core.limits import LEAST_DOCUMENTS
from xlift.harness.evaluation.records import Record
from xlift.leaderboard.analysis.comparisons import Runs, Sheet, align_sheets, find_fault, group_documents, group_runs, has_one_seed
from xlift.leaderboard.analysis.statistics import Array, compare, compare_pairs, correct, detectable, pool_scores, rank
from xlift.leaderboard.loading.scores import Documents
from xlift.tasks.benchmarks import choose_averaged

ONE_SEED_RANK = "one seed: ranked above or below none, as another seed might turn the order"


@dataclass(frozen=True)
class Ranking:
    """What models must have in common to be ranked with each other."""

    name: str
    """A task or a benchmark."""
    metric: str
    keys: tuple[tuple[str, str], ...]
    """Each task or language with its comparability key."""


def tabulate_ranks(
    documents: Iterable[Documents], *, average: bool = False, lost: Mapping[tuple[str, str], Mapping[str, str]] | None = None
) -> pd.DataFrame:  # fmt: skip
    """Models ranked on each task, or with ``average`` on each benchmark, averaged over languages. The base is ranked with the methods.

    Only results with equal comparability keys, and averages over the same languages, are in one ranking, whatever their suites. A model
    that is alone is ranked 1 of 1. Holm's correction is over all pairs of the rankings of a group (``group_models``). A higher ``value`` is
    better. A model that was trained with one seed is ranked above or below none, because another seed might turn the order. A model whose
    own runs may not be averaged, and one in ``lost``, by model, has no rank; ``note`` says why.
    """
    documents = list(documents)
    groups = group_documents(documents)
    column = "benchmark" if average else "task"
    rankings: dict[Ranking, dict[str, Sheet]] = defaultdict(dict)
    unranked: list[dict[str, str]] = []
    families: dict[Ranking, int] = {}
    for model, label, metric, tasks in _name_models(documents):
        suite = next(iter(tasks.values()))[0].suite
        for name, sheet in _boards(tasks) if average else [(task, {task: runs}) for task, runs in tasks.items()]:
            gone = lost.get((suite, label), {}).get(name) if lost else None
            if fault := gone or find_fault(sheet, label):
                unranked.append({"model": model, column: name, "metric": metric, "note": fault})
            else:
                ranking = Ranking(name, metric, tuple((part, runs[0].comparability) for part, runs in sheet.items()))
                rankings[ranking][model] = sheet
                families.setdefault(ranking, groups[suite, label])
    compared = [_compare_models(models) for models in rankings.values()]
    for family in dict.fromkeys(families.values()):
        _correct_together([pairs for ranking, (_, pairs) in zip(rankings, compared, strict=True) if families[ranking] == family])
    tables = []
    for (ranking, models), (values, pairs) in zip(rankings.items(), compared, strict=True):
        table = rank(values, pairs)
        single = _find_single(models)
        table["note"] = [ONE_SEED_RANK if model in single else "" for model in table["model"]]
        table[column] = ranking.name
        if average:
            table["languages"] = [tuple(language for language, _ in ranking.keys)] * len(table)
        tables.append(table.assign(metric=ranking.metric, of=len(table)))
    return pd.concat([*tables, pd.DataFrame(unranked)], ignore_index=True)


def rank_overall(models: Mapping[str, Sequence[Documents]]) -> tuple[pd.DataFrame, float]:
    """Models ranked on the mean of their benchmarks, each with equal weight and in points of 100, with languages equal within a benchmark.

    All models must have the same tasks under the same keys, or UserError is raised. ``off_target`` does not count if the benchmark has
    another metric. Holm's correction is over all pairs, and a model with one seed is ranked above or below none. Returns a table as
    ``rank`` does, and the largest difference between neighbours in it that would have been missed more than one time in five, in points
    (nan if that is not known).
    """
    boards = {name: _headline_boards(documents, name) for name, documents in models.items()}
    benchmarks = _choose_benchmarks(boards)
    columns: dict[str, list[tuple[Array, float]]] = {name: [] for name in boards}
    for benchmark in benchmarks:
        sheets = {name: found[benchmark] for name, found in boards.items()}
        for name, weighed in _weigh(sheets, benchmark, len(benchmarks)).items():
            columns[name] += weighed
    scores: dict[str, list[Array]] = {}
    for name, weighed in columns.items():
        # compare_pairs averages columns with equal weight: the weights go into the scores.
        scores[name] = [column * weight * len(weighed) for column, weight in weighed]
    tested = [one for found in boards.values() for benchmark in benchmarks for runs in found[benchmark].values() for one in runs]
    binary = all(((one.columns.values == 0) | (one.columns.values == 1)).all() for one in tested)
    pairs = compare_pairs(scores, least=0 if binary else LEAST_DOCUMENTS)
    _leave_untested(pairs, {name for name, found in boards.items() if _find_single(found)})
    _correct_together([pairs])
    table = rank({name: _mean(found) for name, found in scores.items()}, pairs)
    return table.assign(of=len(table)), _find_largest_missed(scores, list(table["model"]), len(pairs))


def find_lost(models: Iterable[tuple[Record, Iterable[Documents]]]) -> dict[tuple[str, str], dict[str, str]]:
    """The tasks and benchmarks on which a model was measured and whose scores by document are missing, each with the reason, by suite and
    label. ``tabulate_ranks`` takes them as ``lost``."""
    lost: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for record, documents in models:
        there = {one.task for one in documents}
        for task, result in record.tasks.items():
            if result.tested and task not in there:
                for name in (task, result.benchmark):
                    lost[record.suite, record.label][name] = f"no scores by document of {task}: not ranked"
    return lost


def _boards(tasks: Sheet) -> list[tuple[str, Sheet]]:
    """One model's runs by benchmark, then by language."""
    boards: dict[str, dict[str, Runs]] = defaultdict(dict)
    for runs in tasks.values():
        boards[runs[0].benchmark][runs[0].language] = runs
    return [(benchmark, dict(sorted(sheet.items()))) for benchmark, sheet in boards.items()]


def _name_models(documents: Sequence[Documents]) -> Iterator[tuple[str, str, str, dict[str, list[Documents]]]]:
    """Name, label, metric and tasks of each model. The name contains the suite if there are several."""
    several = len({one.suite for one in documents}) > 1
    for (suite, metric), models in group_runs(documents).items():
        for label, tasks in models.items():
            yield f"{suite}: {label}" if several else label, label, metric, tasks


def _headline_boards(documents: Iterable[Documents], name: str) -> dict[str, Sheet]:
    """One model's headline scores by benchmark, then by language."""
    tasks: dict[str, list[Documents]] = defaultdict(list)
    for one in documents:
        if one.is_tested:
            tasks[one.task].append(one)
    boards = dict(_boards(tasks))
    for sheet in boards.values():
        if fault := find_fault(sheet, name):
            raise UserError(fault)
    return boards


def _choose_benchmarks(boards: Mapping[str, Mapping[str, Sheet]]) -> list[str]:
    """The benchmarks on which all models are ranked. Raises UserError if a model lacks one."""
    found: dict[str, Documents] = {}
    for sheets in boards.values():
        found |= {benchmark: next(iter(sheet.values()))[0] for benchmark, sheet in sheets.items()}
    chosen = choose_averaged(sorted(found), {name for name, one in found.items() if one.known and one.is_ranked}) or sorted(found)
    if not chosen:
        raise UserError("no model has the scores of all tasks by document")
    if any(benchmark not in sheets for sheets in boards.values() for benchmark in chosen):
        raise UserError("not every model was measured on every benchmark")
    return chosen


def _weigh(sheets: Mapping[str, Sheet], benchmark: str, of: int) -> dict[str, list[tuple[Array, float]]]:
    """The scores of one benchmark among ``of`` by model, each column with its weight in a mean in points of 100."""
    first = next(iter(sheets.values()))
    ordered: dict[str, Sheet] = {}
    for name, sheet in sheets.items():
        if set(sheet) != set(first):
            raise UserError(f"not every model was measured in the same languages of {benchmark}")
        ordered[name] = {language: sheet[language] for language in first}
    scores, parallel = align_sheets(ordered)
    one = next(iter(first.values()))[0]
    points = one.sign * one.measure.scale / of
    weighed: dict[str, list[tuple[Array, float]]] = {}
    for name, columns in scores.items():
        joined = [np.mean(np.stack(columns), axis=0)] if parallel else columns
        weighed[name] = [(column, points / len(joined)) for column in joined]
    return weighed


def _find_largest_missed(scores: Mapping[str, Sequence[Array]], order: Sequence[str], comparisons: int) -> float:
    """The largest ``detectable`` difference between neighbours in a ranking; nan where none is known."""
    pool = pool_scores(scores.values())
    missed = [detectable(compare(scores[one], scores[other], pool=pool).parts, comparisons) for one, other in pairwise(order)]
    return max((difference for difference in missed if not math.isnan(difference)), default=math.nan)


def _compare_models(sheets: Mapping[str, Sheet]) -> tuple[dict[str, float], pd.DataFrame]:
    """Each model's mean, turned so that more is better, and the test of every pair."""
    scores, parallel = align_sheets(sheets)
    sign = next(iter(next(iter(sheets.values())).values()))[0].sign
    values = {name: sign * _mean(columns) + 0.0 for name, columns in scores.items()}  # so that a zero has no minus
    if min(column.shape[1] for columns in scores.values() for column in columns) < 2:  # one document tells nobody apart
        untested = [(one, other, values[one] - values[other], math.nan) for one, other in combinations(values, 2)]
        return values, pd.DataFrame(untested, columns=["first", "second", "difference", "p"])
    pairs = compare_pairs(scores, parallel=parallel)
    _leave_untested(pairs, _find_single(sheets))
    return values, pairs


def _find_single(sheets: Mapping[str, Sheet]) -> set[str]:
    """The sheets of models that were trained with one seed."""
    return {name for name, sheet in sheets.items() if has_one_seed(sheet)}


def _leave_untested(pairs: pd.DataFrame, models: Collection[str]) -> None:
    """Remove p from the pairs that contain some models. Such pairs are neither corrected for nor told apart."""
    pairs.loc[pairs["first"].isin(models) | pairs["second"].isin(models), "p"] = np.nan


def _correct_together(tables: Sequence[pd.DataFrame]) -> None:
    """Give each table of ``compare_pairs`` its ``p_corrected``: Holm's over all of them."""
    corrected = correct([p for table in tables for p in table["p"]])
    start = 0
    for table in tables:
        table["p_corrected"] = corrected[start : start + len(table)]
        start += len(table)


def _mean(columns: Sequence[Array]) -> float:
    return float(np.mean([column.mean() for column in columns]))
