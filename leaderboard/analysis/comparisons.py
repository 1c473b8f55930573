"""Tables of comparisons: lift, retention and transfer of each method, its difference on each task, and ranks with ties."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from xlift.harness.core.errors import UserError
from xlift.leaderboard.analysis.statistics import ALPHA, Array, Estimate, compare, compare_pairs, correct, detectable, rank
from xlift.leaderboard.loading.scores import Documents, align
from xlift.tasks.benchmarks import choose_averaged, is_parallel
from xlift.tasks.entries import Metric

Runs = Sequence[Documents]
"""The seeds of one model on one task."""
Sheet = Mapping[str, Runs]
"""One model, by task or by language."""
TableRow: TypeAlias = Mapping[Hashable, Any]
"""A row of a table of comparisons, by column."""


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

    Differences are turned so that more is better. ``p_corrected`` is Holm's over the whole table. ``lacking`` names trained languages
    that the benchmark was not asked in. Where the two may not be compared the numbers are missing and ``note`` says why.
    """
    return tabulate(compare_languages(documents))


def tabulate_tasks(documents: Iterable[Documents]) -> pd.DataFrame:
    """Method minus base on each task by itself, tasks of other makers included; columns as in ``tabulate_lifts``."""
    return tabulate(compare_tasks(documents))


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


def tabulate(rows: Sequence[Comparison]) -> pd.DataFrame:
    """Rows as a table, with Holm's correction over all of them."""
    table = pd.DataFrame([_to_cells(one) for one in rows])
    if table.empty:
        return table
    table["p_corrected"] = correct(table["p"].to_numpy(dtype=np.float64))
    table["significant"] = table["p_corrected"] < ALPHA
    made = max(int(table["p"].notna().sum()), 1)
    table["detectable"] = [detectable(one.estimate.parts, made) if one.estimate else np.nan for one in rows]
    return table


def tabulate_ranks(documents: Iterable[Documents], *, average: bool = False) -> pd.DataFrame:
    """Models ranked on each task, or with ``average`` on each benchmark, averaged over languages; the base is ranked with the methods.

    Only results with equal comparability keys, and averages over the same languages, meet in one ranking, of whatever suite they are;
    a model that stands alone is ranked 1 of 1. Holm's correction is over all pairs of all rankings. ``value``: higher is better. A model
    whose own runs may not be averaged has no rank, and ``note`` says why.
    """
    column = "benchmark" if average else "task"
    rankings: dict[Ranking, dict[str, Sheet]] = defaultdict(dict)
    unranked: list[dict[str, str]] = []
    for model, label, metric, tasks in _name_models(list(documents)):
        for name, sheet in _boards(tasks) if average else [(task, {task: runs}) for task, runs in tasks.items()]:
            if fault := _find_fault(sheet, label):
                unranked.append({"model": model, column: name, "metric": metric, "note": fault})
            else:
                keys = tuple((part, runs[0].comparability) for part, runs in sheet.items())
                rankings[Ranking(name, metric, keys)][model] = sheet
    compared = [_compare_models(models) for models in rankings.values()]
    _correct_together([pairs for _, pairs in compared])
    tables = []
    for ranking, (values, pairs) in zip(rankings, compared, strict=True):
        table = rank(values, pairs)
        table[column] = ranking.name
        if average:
            table["languages"] = [tuple(language for language, _ in ranking.keys)] * len(table)
        tables.append(table.assign(metric=ranking.metric, of=len(table), note=""))
    return pd.concat([*tables, pd.DataFrame(unranked)], ignore_index=True)


def rank_overall(models: Mapping[str, Sequence[Documents]]) -> tuple[pd.DataFrame, float]:
    """Models ranked on the mean of their benchmarks, each with equal weight and in points of 100, languages equal within a benchmark.

    All models must have the same tasks under the same keys, or UserError is raised; ``off_target`` has no part in it where the benchmark
    has another metric. Holm's correction is over all pairs. Returns a table as ``rank`` does and the largest difference between
    neighbours in it that would have been missed more than one time in five, in points (nan where that is unknown).
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
    pairs = compare_pairs(scores)
    _correct_together([pairs])
    table = rank({name: _mean(found) for name, found in scores.items()}, pairs)
    return table.assign(of=len(table)), _find_largest_missed(scores, list(table["model"]), len(pairs))


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
    return values, compare_pairs(scores, parallel=parallel)


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
    for column in first:
        runs = {(name, one.seed): one for name, sheet in sheets.items() for one in sorted(sheet[column], key=lambda one: one.seed or 0)}
        values = align({f"{name}, {one.task}, seed {seed}": one.columns for (name, seed), one in runs.items()})
        for name in sheets:
            scores[name].append(values[[owner == name for owner, _ in runs]])
    ids = [runs[0].columns.ids for runs in first.values()]
    shared = all(is_parallel(runs[0].benchmark) for runs in first.values())
    return scores, shared and all(np.array_equal(one, ids[0]) for one in ids)


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
    return None


def _compare(names: Mapping[str, str | tuple[str, ...]], method: Sheet, base: Sheet, label: str) -> Comparison:
    """One row's numbers, or the reason why there are none."""
    first = next(iter((method or base).values()))[0]
    try:
        found = compare_runs(method, base, label)
    except UserError as error:
        return Comparison(names, None, str(error), first.measure, first.is_ranked)
    seeded = next(iter(method.values()))[0].seed is not None
    return Comparison(
        names, found, "one seed: variance between seeds unknown" if seeded and found.seeds < 2 else "", first.measure, first.is_ranked
    )


def find_scale(row: TableRow) -> float:
    """What the numbers of a table's row are multiplied with to be in points of 100; 1 where the metric has no bound."""
    return 1.0 if pd.isna(row["most"]) else 100.0 / float(row["most"])


def _to_cells(one: Comparison) -> dict[str, object]:
    """A comparison's cells by column."""
    numbers = ("value", "low", "high", "p", "test", "documents", "seeds", "seed_sd")
    names = {**one.names, "most": one.measure.most}
    if one.estimate is None:
        return {**names, **dict.fromkeys(numbers), "p": np.nan, "item_se": None, "note": one.note}
    found: dict[str, object] = {name: getattr(one.estimate, name) for name in numbers}
    return {**names, **found, "item_se": one.estimate.parts[0][0], "note": one.note}
