"""Tables of comparisons: lift, retention and transfer of each method, its difference on each task, and ranks with ties."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pandas as pd

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import Record
from xlift.leaderboard.analysis.statistics import (
    ALPHA,
    LEAST_DOCUMENTS,
    Array,
    Estimate,
    compare,
    compare_pairs,
    correct,
    detectable,
    estimate,
    rank,
)
from xlift.leaderboard.loading.scores import Documents, align
from xlift.tasks.benchmarks import choose_averaged, has_articles, is_parallel
from xlift.tasks.entries import Metric

Runs = Sequence[Documents]
"""The seeds of one model on one task."""
Sheet = Mapping[str, Runs]
"""One model, by task or by language."""
TableRow: TypeAlias = Mapping[Hashable, Any]
"""A row of a table of comparisons, by column."""


K = TypeVar("K", bound=Hashable)

ONE_SEED = "one seed: variance between seeds unknown"
ONE_SEED_RANK = "one seed: ranked above or below none, as another seed might turn the order"
ARTICLES_UNKNOWN = "articles unknown: sentences of one article are taken for independent ones, so that the interval may be too narrow"


@dataclass(frozen=True)
class Comparison:
    """Method minus base: a row of a table, not yet corrected for the others of the table."""

    names: Mapping[str, str | tuple[str, ...]]
    """What was compared, by the names of the table's first columns."""
    estimate: Estimate | None
    """None where the two may not be compared."""
    note: str
    measure: Metric
    """What is known of the metric."""
    is_ranked: bool
    """Whether the benchmark can be averaged with others."""
    one_seed: bool = False
    """Whether a side was trained with one seed, so that what another would change is not in the interval."""


@dataclass(frozen=True)
class Ranking:
    """What models must share to be ranked with each other."""

    name: str
    """A task or a benchmark."""
    metric: str
    keys: tuple[tuple[str, str], ...]
    """Each task or language with its comparability key."""


def tabulate_lifts(documents: Iterable[Documents]) -> pd.DataFrame:
    """Method minus base for each suite, method, benchmark, metric and kind: ``lift`` on the trained languages, ``retention`` on the
    pivot, ``transfer`` on the others; an average over ``languages`` with equal weights. ``most`` is the highest value that the metric can
    have, missing where there is no bound.

    Differences are turned so that more is better. ``p_corrected`` is Holm's over the ``comparisons`` of the rows that may be compared with
    each other (``group_models``), and ``reason`` says why a difference is not significant where its interval leaves out 0. ``one_seed``
    marks intervals that hold for one training alone. ``lacking`` names trained languages that the benchmark was not asked in. Where the two
    may not be compared the numbers are missing, where there are too few documents the interval and the test, and ``note`` says why.
    """
    given = list(documents)
    return tabulate(compare_languages(given), group_documents(given))


def tabulate_tasks(documents: Iterable[Documents]) -> pd.DataFrame:
    """Method minus base on each task by itself, tasks of other makers included; columns as in ``tabulate_lifts``."""
    given = list(documents)
    return tabulate(compare_tasks(given), group_documents(given))


def group_models(keys: Mapping[K, Mapping[str, str]]) -> dict[K, int]:
    """The number of each model's group, from 1: in a group no task was done under two comparability keys.

    ``keys`` are by model and task. Each model goes to the first group that it shares a task with.
    """
    groups: list[dict[str, str]] = []
    numbers: dict[K, int] = {}
    for model, own in keys.items():
        for number, known in enumerate(groups, 1):
            shared = known.keys() & own.keys()
            if shared and all(known[task] == own[task] for task in shared):
                known |= own
                numbers[model] = number
                break
        else:
            groups.append(dict(own))
            numbers[model] = len(groups)
    return numbers


def group_documents(documents: Iterable[Documents]) -> dict[tuple[str, str], int]:
    """``group_models`` of (suite, label), those with the most tasks first and each base before its methods."""
    keys: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for one in documents:
        keys[one.suite, one.label][one.task] = one.comparability
    return group_models(
        {model: keys[model] for model in sorted(keys, key=lambda model: (-len(keys[model]), model[0], model[1] != "base", model[1]))}
    )


def compare_languages(documents: Iterable[Documents]) -> list[Comparison]:
    """The rows of ``tabulate_lifts`` before they are corrected."""
    rows: list[Comparison] = []
    for (suite, metric), models in _group(documents).items():
        base = models.pop("base", {})
        for label, tasks in models.items():
            model = next(iter(tasks.values()))[0]
            for (benchmark, kind), languages in _split({**base, **tasks}, model).items():
                ours = {language: tasks[task] for language, task in languages.items() if task in tasks}
                theirs = {language: base[task] for language, task in languages.items() if task in base}
                lacking = sorted(set(model.trained) - set(languages)) if kind == "lift" else []
                names: dict[str, str | tuple[str, ...]] = {
                    "suite": suite, "method": label, "benchmark": benchmark, "metric": metric, "kind": kind,
                    "languages": tuple(languages), "lacking": tuple(lacking),
                }  # fmt: skip
                rows.append(_compare(names, ours, theirs, label))
    return rows


def compare_tasks(documents: Iterable[Documents]) -> list[Comparison]:
    """The rows of ``tabulate_tasks`` before they are corrected."""
    rows: list[Comparison] = []
    for (suite, metric), models in _group(documents).items():
        base = models.pop("base", {})
        for label, tasks in models.items():
            for task, runs in tasks.items():
                names = {"suite": suite, "method": label, "task": task, "metric": metric}
                rows.append(_compare(names, {task: runs}, {task: base[task]} if task in base else {}, label))
    return rows


def tabulate(rows: Sequence[Comparison], groups: Mapping[tuple[str, str], int] | None = None) -> pd.DataFrame:
    """Rows as a table, with Holm's correction over those of each group, by (suite, method), or over all of them."""
    table = pd.DataFrame([_to_cells(one) for one in rows])
    if table.empty:
        return table
    family = [groups.get((str(one.names["suite"]), str(one.names["method"])), 0) if groups else 0 for one in rows]
    by_family = table.groupby(family, sort=False)["p"]
    table["p_corrected"] = by_family.transform(lambda p: correct(p.to_numpy(dtype=np.float64)))
    table["significant"] = table["p_corrected"] < ALPHA
    made = by_family.transform(lambda p: p.notna().sum())
    table["comparisons"] = made.astype(int)
    sizes = table["comparisons"].clip(lower=1)
    table["detectable"] = [detectable(one.estimate.parts, size) if one.estimate else np.nan for one, size in zip(rows, sizes, strict=True)]
    table["reason"] = ["" if row["significant"] else explain(row, row["comparisons"]) for row in table.to_dict("records")]
    return table


def explain(row: TableRow, comparisons: int) -> str:
    """Why a difference is not significant although its interval, ``low`` to ``high``, leaves out 0; empty where it holds 0."""
    if row["value"] is None or pd.isna(row["low"]) or row["low"] <= 0 <= row["high"]:
        return ""
    if row["p"] < ALPHA:
        return f"its interval leaves out 0, but it is one of {comparisons} comparisons and does not pass Holm's correction for them"
    return f"its interval leaves out 0, but the test, which is stricter, does not reject (p = {row['p']:.3f})"


def tabulate_ranks(
    documents: Iterable[Documents], *, average: bool = False, lost: Mapping[tuple[str, str], Mapping[str, str]] | None = None
) -> pd.DataFrame:  # fmt: skip
    """Models ranked on each task, or with ``average`` on each benchmark, averaged over languages; the base is ranked with the methods.

    Only results with equal comparability keys, and averages over the same languages, meet in one ranking, of whatever suite they are;
    a model that stands alone is ranked 1 of 1. Holm's correction is over all pairs of the rankings of a group (``group_models``).
    ``value``: higher is better. A model that was trained with one seed is ranked above or below none, as another seed might turn the
    order. A model whose own runs may not be averaged, and one in ``lost``, by model, has no rank; ``note`` says why.
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
            if fault := gone or _find_fault(sheet, label):
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
    """Models ranked on the mean of their benchmarks, each with equal weight and in points of 100, languages equal within a benchmark.

    All models must have the same tasks under the same keys, or UserError is raised; ``off_target`` has no part in it where the benchmark
    has another metric. Holm's correction is over all pairs, and a model with one seed is ranked above or below none. Returns a table as
    ``rank`` does and the largest difference between neighbours in it that would have been missed more than one time in five, in points (nan
    where that is unknown).
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
    """The tasks and benchmarks that a model was measured on and of which scores by document are missing, each with the reason, by suite
    and label: what ``tabulate_ranks`` takes as ``lost``.
    """
    lost: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for record, documents in models:
        there = {one.task for one in documents}
        for task, result in record.tasks.items():
            if result.tested and task not in there:
                for name in (task, result.benchmark):
                    lost[record.suite, record.label][name] = f"no scores by document of {task}: not ranked"
    return lost


def compare_runs(method: Sheet, base: Sheet, name: str = "the method") -> Estimate:
    """Method minus base over the same languages (or one task), each given as its runs with different seeds.

    Turned so that more is better. Raises UserError where either side lacks a language of the other, where the comparability keys or
    the documents differ, and where a side's seeds are not the same in every language.
    """
    if not base:
        raise UserError(f"not comparable: the base was not measured on {', '.join(method)}")
    for who, missing in ((name, set(base) - set(method)), ("the base", set(method) - set(base))):
        if missing:
            raise UserError(f"not comparable: {who} lacks {', '.join(sorted(missing))}; an average needs the same languages on both sides")
    if fault := _find_fault(method, name) or _find_fault(base, "the base"):
        raise UserError(f"not comparable: {fault}")
    for column, runs in method.items():
        if runs[0].comparability != base[column][0].comparability:
            raise UserError(f"not comparable: {name} and the base were measured under different settings or data on {column}")
    scores, parallel = _align({name: method, "base": base})
    found = compare(scores[name], scores["base"], parallel=parallel)
    if next(iter(method.values()))[0].sign > 0:
        return found
    return replace(found, value=0.0 - found.value, low=0.0 - found.high, high=0.0 - found.low)


def estimate_runs(sheet: Sheet, name: str) -> Estimate:
    """The mean of one model over its languages (or its one task), in the metric's own direction, with its interval.

    Raises UserError where its runs may not be averaged, as ``compare_runs`` does.
    """
    if fault := _find_fault(sheet, name):
        raise UserError(f"not comparable: {fault}")
    scores, parallel = _align({name: sheet})
    return estimate(scores[name], parallel=parallel)


def _group(documents: Iterable[Documents]) -> dict[tuple[str, str], dict[str, dict[str, list[Documents]]]]:
    """Runs by (suite, metric), label and task."""
    groups: dict[tuple[str, str], dict[str, dict[str, list[Documents]]]] = {}
    for one in documents:
        runs = groups.setdefault((one.suite, one.metric), {}).setdefault(one.label, {}).setdefault(one.task, [])
        if any(other.seed == one.seed for other in runs):
            raise UserError(f"{one.name} of suite {one.suite} was given twice on {one.task}: name one run folder of it")
        runs.append(one)
    return groups


def _split(tasks: Sheet, model: Documents) -> dict[tuple[str, str], dict[str, str]]:
    """Tasks by (benchmark, kind) and language. Where nobody knows which languages were trained, all count as lift."""
    groups: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for task, runs in tasks.items():
        language = runs[0].language
        if not model.trained:
            groups[runs[0].benchmark, "lift"][language] = task
        elif language:
            kind = "retention" if language == model.pivot else "lift" if language in model.trained else "transfer"
            groups[runs[0].benchmark, kind][language] = task
    return groups


def _boards(tasks: Sheet) -> list[tuple[str, Sheet]]:
    """One model's runs by benchmark, then by language."""
    boards: dict[str, dict[str, Runs]] = defaultdict(dict)
    for runs in tasks.values():
        boards[runs[0].benchmark][runs[0].language] = runs
    return [(benchmark, dict(sorted(sheet.items()))) for benchmark, sheet in boards.items()]


def _name_models(documents: Sequence[Documents]) -> Iterator[tuple[str, str, str, dict[str, list[Documents]]]]:
    """Name, label, metric and tasks of each model; the name tells suites apart where there are several."""
    several = len({one.suite for one in documents}) > 1
    for (suite, metric), models in _group(documents).items():
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
        if fault := _find_fault(sheet, name):
            raise UserError(fault)
    return boards


def _choose_benchmarks(boards: Mapping[str, Mapping[str, Sheet]]) -> list[str]:
    """The benchmarks that all models are ranked on. Raises UserError where a model lacks one."""
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
    """The scores of one benchmark ``of`` several by model, each column with its weight in a mean in points of 100."""
    first = next(iter(sheets.values()))
    ordered: dict[str, Sheet] = {}
    for name, sheet in sheets.items():
        if set(sheet) != set(first):
            raise UserError(f"not every model was measured in the same languages of {benchmark}")
        ordered[name] = {language: sheet[language] for language in first}
    scores, parallel = _align(ordered)
    one = next(iter(first.values()))[0]
    points = one.sign * one.measure.scale / of
    weighed: dict[str, list[tuple[Array, float]]] = {}
    for name, columns in scores.items():
        joined = [np.mean(np.stack(columns), axis=0)] if parallel else columns
        weighed[name] = [(column, points / len(joined)) for column in joined]
    return weighed


def _find_largest_missed(scores: Mapping[str, Sequence[Array]], order: Sequence[str], comparisons: int) -> float:
    """The largest ``detectable`` difference between neighbours in a ranking; nan where none is known."""
    missed = [detectable(compare(scores[one], scores[other]).parts, comparisons) for one, other in pairwise(order)]
    return max((difference for difference in missed if not math.isnan(difference)), default=math.nan)


def _compare_models(sheets: Mapping[str, Sheet]) -> tuple[dict[str, float], pd.DataFrame]:
    """Each model's mean, turned so that more is better, and the test of every pair."""
    scores, parallel = _align(sheets)
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
    return {name for name, sheet in sheets.items() if _has_one_seed(sheet)}


def _has_one_seed(sheet: Sheet) -> bool:
    runs = next(iter(sheet.values()), ())
    return len(runs) == 1 and runs[0].seed is not None


def _leave_untested(pairs: pd.DataFrame, models: Collection[str]) -> None:
    """Take away p from the pairs that some models have a part in: such pairs are neither corrected for nor told apart."""
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


def _align(sheets: Mapping[str, Sheet]) -> tuple[dict[str, list[Array]], bool]:
    """Scores by model, one array (seeds, documents) for each language, and whether the languages share their documents."""
    scores: dict[str, list[Array]] = {name: [] for name in sheets}
    first = next(iter(sheets.values()))
    ids = [runs[0].columns.ids for runs in first.values()]
    shared = all(is_parallel(runs[0].benchmark) for runs in first.values()) and all(np.array_equal(one, ids[0]) for one in ids)
    columns = [run.columns for sheet in sheets.values() for runs in sheet.values() for run in runs]
    groups = next((one.groups for one in columns if one.groups is not None), None) if shared else None
    for column in first:
        runs = {(name, one.seed): one for name, sheet in sheets.items() for one in sorted(sheet[column], key=lambda one: one.seed or 0)}
        values = align({f"{name}, {one.task}, seed {seed}": one.columns for (name, seed), one in runs.items()}, groups)
        for name in sheets:
            scores[name].append(values[[owner == name for owner, _ in runs]])
    return scores, shared


def _find_fault(sheet: Sheet, name: str) -> str | None:
    """Why one model's runs may not be averaged."""
    seeds = {column: {one.seed for one in runs} for column, runs in sheet.items()}
    first, *others = seeds
    for column in others:
        if odd := seeds[column] ^ seeds[first]:
            return f"{name} was measured with other seeds on {first} than on {column} ({', '.join(map(str, odd))})"
    for column, runs in sheet.items():
        if len({one.comparability for one in runs}) > 1:
            return f"the seeds of {name} were measured under different settings or data on {column}"
    for seed in seeds[first]:
        values = np.concatenate([one.columns.values for runs in sheet.values() for one in runs if one.seed == seed])
        told = len(values) - np.isnan(values).sum()
        if told < min(len(values), LEAST_DOCUMENTS):
            return f"of {len(values)} answers by {name} only {told} can be told, and a comparison needs {LEAST_DOCUMENTS}"
    return None


def _compare(names: Mapping[str, str | tuple[str, ...]], method: Sheet, base: Sheet, label: str) -> Comparison:
    """One row's numbers, or the reason why there are none."""
    first = next(iter((method or base).values()))[0]
    try:
        found = compare_runs(method, base, label)
    except UserError as error:
        return Comparison(names, None, str(error), first.measure, first.is_ranked)
    one_seed = _has_one_seed(method)
    notes = [say_no_interval(found)] if np.isnan(found.p) else []
    notes += [ONE_SEED] if one_seed else []
    columns = [run.columns for sheet in (method, base) for runs in sheet.values() for run in runs]
    notes += [ARTICLES_UNKNOWN] if has_articles(first.task) and not any(one.grouped for one in columns) else []
    return Comparison(names, found, "; ".join(notes), first.measure, first.is_ranked, one_seed)


def say_no_interval(found: Estimate) -> str:
    """Why an estimate has no interval and no test."""
    if found.drawn < LEAST_DOCUMENTS:
        return f"{found.drawn} items: too few for an interval, which needs {LEAST_DOCUMENTS}"
    return f"{found.drawn} items, of which hardly any differ: no interval would hold"


def find_scale(row: TableRow) -> float:
    """What the numbers of a table's row are multiplied with to be in points of 100; 1 where the metric has no bound."""
    return 1.0 if pd.isna(row["most"]) else 100.0 / float(row["most"])


def _to_cells(one: Comparison) -> dict[str, object]:
    """A comparison's cells by column."""
    numbers = ("value", "low", "high", "p", "test", "documents", "seeds", "seed_sd")
    names = {**one.names, "most": one.measure.most, "one_seed": one.one_seed}
    if one.estimate is None:
        return {**names, **dict.fromkeys(numbers), "p": np.nan, "item_se": None, "note": one.note}
    found: dict[str, object] = {name: getattr(one.estimate, name) for name in numbers}
    return {**names, **found, "item_se": one.estimate.parts[0][0], "note": one.note}
