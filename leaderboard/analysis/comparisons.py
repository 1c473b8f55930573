"""Tables of comparisons: lift, retention and transfer of each method, and its difference from the base on each task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pandas as pd

from xlift.harness.core.errors import UserError
from xlift.harness.core.limits import LEAST_DOCUMENTS
from xlift.leaderboard.analysis.seeds import SeedPool, pool_seeds
from xlift.leaderboard.analysis.statistics import ALPHA, Array, Estimate, compare, correct, detectable, estimate
from xlift.leaderboard.loading.scores import Documents, align
from xlift.tasks.benchmarks import has_articles, is_parallel
from xlift.tasks.entries import Metric

Runs = Sequence[Documents]
"""The seeds of one model on one task."""
Sheet = Mapping[str, Runs]
"""The runs of one model, by task or by language."""
TableRow: TypeAlias = Mapping[Hashable, Any]
"""A row of a table of comparisons, by column."""


K = TypeVar("K", bound=Hashable)

BASE = "base"
"""The label of the model from which all methods start."""
ONE_SEED = "one seed: variance between seeds unknown"
ARTICLES_UNKNOWN = "articles unknown: sentences of one article are taken for independent ones, so that the interval may be too narrow"


@dataclass(frozen=True)
class Comparison:
    """Method minus base: a row of a table, not yet corrected for the other rows."""

    names: Mapping[str, str | tuple[str, ...]]
    """The values of the table's first columns, which say what was compared."""
    estimate: Estimate | None
    """None if the two may not be compared."""
    note: str
    measure: Metric
    """What is known of the metric."""
    is_ranked: bool
    """Whether the benchmark can be averaged with others."""
    one_seed: bool = False
    """Whether one side was trained with a single seed, so that the interval does not contain what another seed would change."""


@dataclass(frozen=True)
class _Pair:
    """What one row compares."""

    names: Mapping[str, str | tuple[str, ...]]
    method: Sheet
    base: Sheet
    label: str


def tabulate_lifts(documents: Iterable[Documents], over: str = BASE) -> pd.DataFrame:
    """Method minus base, or minus the model that ``over`` names, for each suite, method, benchmark, metric and kind: ``lift`` on the
    trained languages, ``retention`` on the pivot, ``transfer`` on the others. Each is an average over ``languages`` with equal weights.
    ``most`` is the highest value that the metric can have; it is missing if there is no bound.

    Differences are turned so that more is better. ``p_corrected`` is corrected by Holm over the ``comparisons`` of the rows that may be
    compared with each other (``group_models``), and ``reason`` says why a difference is not significant although its interval leaves out 0.
    ``one_seed`` is true for intervals that hold for one training alone. ``lacking`` names trained languages in which the benchmark was not
    asked. If the two may not be compared, the numbers are missing; with too few documents, the interval and the test are. ``note`` says
    why.
    """
    given = list(documents)
    return tabulate(compare_languages(given, over), group_documents(given))


def tabulate_tasks(documents: Iterable[Documents], over: str = BASE) -> pd.DataFrame:
    """Method minus base on each task by itself, including tasks of other makers. The columns are those of ``tabulate_lifts``."""
    given = list(documents)
    return tabulate(compare_tasks(given, over), group_documents(given))


def group_models(keys: Mapping[K, Mapping[str, str]]) -> dict[K, int]:
    """The number of each model's group, from 1. In a group no task was done under two comparability keys.

    ``keys`` are by model and task. Each model goes to the first group with which it shares a task.
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
    """``group_models`` of (suite, label). Models with the most tasks come first, and each base before its methods."""
    keys: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for one in documents:
        keys[one.suite, one.label][one.task] = one.comparability
    return group_models(
        {model: keys[model] for model in sorted(keys, key=lambda model: (-len(keys[model]), model[0], model[1] != "base", model[1]))}
    )


def compare_languages(documents: Iterable[Documents], over: str = BASE) -> list[Comparison]:
    """The rows of ``tabulate_lifts`` before they are corrected."""
    rows: list[Comparison] = []
    for (suite, metric), models in group_runs(documents).items():
        base = models.pop(over, {})
        models.pop(BASE, None)
        pairs: list[_Pair] = []
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
                pairs.append(_Pair(names, ours, theirs, label))
        rows += _compare_all(pairs, over)
    return rows


def compare_tasks(documents: Iterable[Documents], over: str = BASE) -> list[Comparison]:
    """The rows of ``tabulate_tasks`` before they are corrected."""
    rows: list[Comparison] = []
    for (suite, metric), models in group_runs(documents).items():
        base = models.pop(over, {})
        models.pop(BASE, None)
        pairs: list[_Pair] = []
        for label, tasks in models.items():
            for task, runs in tasks.items():
                names: dict[str, str | tuple[str, ...]] = {"suite": suite, "method": label, "task": task, "metric": metric}
                pairs.append(_Pair(names, {task: runs}, {task: base[task]} if task in base else {}, label))
        rows += _compare_all(pairs, over)
    return rows


def tabulate(rows: Sequence[Comparison], groups: Mapping[tuple[str, str], int] | None = None) -> pd.DataFrame:
    """Rows as a table, with Holm's correction over those of each group, by (suite, method), or over all of them. Rates off target are no
    scores: they are corrected for each other alone, so that they make no score less certain."""
    table = pd.DataFrame([_to_cells(one) for one in rows])
    if table.empty:
        return table
    group = [groups.get((str(one.names["suite"]), str(one.names["method"])), 0) if groups else 0 for one in rows]
    family = [2 * number + (one.names["metric"] == "off_target") for number, one in zip(group, rows, strict=True)]
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
    """Why a difference is not significant although its interval, ``low`` to ``high``, leaves out 0; empty if the interval contains 0."""
    if row["value"] is None or pd.isna(row["low"]) or row["low"] <= 0 <= row["high"]:
        return ""
    if row["p"] < ALPHA:
        return f"its interval leaves out 0, but it is one of {comparisons} comparisons and does not pass Holm's correction for them"
    return f"its interval leaves out 0, but the test, which is stricter, does not reject (p = {row['p']:.3f})"


def compare_runs(
    method: Sheet, base: Sheet, name: str = "the method", pool: SeedPool | None = None, against: str = "the base"
) -> Estimate:  # fmt: skip
    """Method minus base over the same languages (or one task), each given as its runs with different seeds.

    ``name`` and ``against`` say in errors what is compared. ``pool`` is the variance between seeds as all models that were measured alike
    tell it (``pool_sheets``). The result is turned so that more is better. Raises UserError if one side lacks a language of the other, if
    the comparability keys or the documents differ, and if a side's seeds are not the same in every language.
    """
    if not base:
        raise UserError(f"not comparable: {against} has no scores by document on {', '.join(method)}")
    for who, missing in ((name, set(base) - set(method)), (against, set(method) - set(base))):
        if missing:
            there = f"not comparable: {who} has no scores by document on {', '.join(sorted(missing))}"
            raise UserError(f"{there}; an average needs the same languages on both sides")
    if fault := find_fault(method, name) or find_fault(base, against):
        raise UserError(f"not comparable: {fault}")
    for column, runs in method.items():
        if runs[0].comparability != base[column][0].comparability:
            raise UserError(f"not comparable: {name} and {against} were measured under different settings or data on {column}")
    other = "base" if name != "base" else "the other one"
    scores, parallel = align_sheets({name: method, other: base})
    found = compare(scores[name], scores[other], parallel=parallel, pool=pool)
    if next(iter(method.values()))[0].sign > 0:
        return found
    return replace(found, value=0.0 - found.value, low=0.0 - found.high, high=0.0 - found.low)


def pool_sheets(sheets: Iterable[Sheet]) -> SeedPool | None:
    """The variance between seeds as all models that were measured alike tell it together. Each model is given by task or by language.

    None if too few have several seeds. A model whose seeds differ between languages does not count.
    """
    models = []
    for sheet in sheets:
        seeds = {tuple(sorted(one.seed or 0 for one in runs)) for runs in sheet.values()}
        if len(seeds) == 1:
            means = [[_mean_told(one) for one in sorted(runs, key=lambda one: one.seed or 0)] for runs in sheet.values()]
            models.append([float(mean) for mean in np.mean(means, axis=0)])
    return pool_seeds(models)


def _mean_told(one: Documents) -> float:
    """The mean over the documents that have a score; nan if none has, which pools leave out."""
    told = one.columns.values[~np.isnan(one.columns.values)]
    return float(told.mean()) if len(told) else float("nan")


def estimate_runs(sheet: Sheet, name: str) -> Estimate:
    """The mean of one model over its languages (or its one task), in the metric's own direction, with its interval.

    Raises UserError if its runs may not be averaged, as ``compare_runs`` does.
    """
    if fault := find_fault(sheet, name):
        raise UserError(f"not comparable: {fault}")
    scores, parallel = align_sheets({name: sheet})
    return estimate(scores[name], parallel=parallel)


def group_runs(documents: Iterable[Documents]) -> dict[tuple[str, str], dict[str, dict[str, list[Documents]]]]:
    """Runs by (suite, metric), label and task."""
    groups: dict[tuple[str, str], dict[str, dict[str, list[Documents]]]] = {}
    for one in documents:
        runs = groups.setdefault((one.suite, one.metric), {}).setdefault(one.label, {}).setdefault(one.task, [])
        if any(other.seed == one.seed for other in runs):
            raise UserError(f"{one.name} of suite {one.suite} was given twice on {one.task}: name one run folder of it")
        runs.append(one)
    return groups


def _split(tasks: Sheet, model: Documents) -> dict[tuple[str, str], dict[str, str]]:
    """Tasks by (benchmark, kind) and language. If it is not known which languages were trained, all count as lift."""
    groups: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for task, runs in tasks.items():
        language = runs[0].language
        if not model.trained:
            groups[runs[0].benchmark, "lift"][language] = task
        elif language:
            kind = "retention" if language == model.pivot else "lift" if language in model.trained else "transfer"
            groups[runs[0].benchmark, kind][language] = task
    return groups


def has_one_seed(sheet: Sheet) -> bool:
    """Whether the model was trained with a single seed."""
    runs = next(iter(sheet.values()), ())
    return len(runs) == 1 and runs[0].seed is not None


def align_sheets(sheets: Mapping[str, Sheet]) -> tuple[dict[str, list[Array]], bool]:
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


def find_fault(sheet: Sheet, name: str) -> str | None:
    """Why one model's runs may not be averaged; None if they may."""
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


def _compare_all(pairs: Sequence[_Pair], over: str) -> list[Comparison]:
    """The rows of one suite and metric. Methods that are compared on the same tasks share a pool of seeds, with what they are compared
    with."""
    alike: dict[tuple[str, ...], list[Sheet]] = defaultdict(list)
    for pair in pairs:
        sheets = alike[_name_tasks(pair.method)]
        sheets += [pair.method] if sheets or not pair.base else [pair.base, pair.method]
    pools = {tasks: pool_sheets(sheets) for tasks, sheets in alike.items()}
    name = "the base" if over == BASE else over
    return [_compare(pair, pools[_name_tasks(pair.method)], name) for pair in pairs]


def _name_tasks(sheet: Sheet) -> tuple[str, ...]:
    return tuple(sorted(runs[0].task for runs in sheet.values()))


def _compare(pair: _Pair, pool: SeedPool | None, other: str) -> Comparison:
    """One row's numbers, or the reason why there are none."""
    names, method, base = pair.names, pair.method, pair.base
    first = next(iter((method or base).values()))[0]
    try:
        found = compare_runs(method, base, pair.label, pool, other)
    except UserError as error:
        return Comparison(names, None, str(error), first.measure, first.is_ranked)
    one_seed = has_one_seed(method) or has_one_seed(base)
    notes = [say_no_interval(found)] if np.isnan(found.p) else []
    notes += [ONE_SEED] if one_seed else []
    columns = [run.columns for sheet in (method, base) for runs in sheet.values() for run in runs]
    notes += [ARTICLES_UNKNOWN] if has_articles(first.task) and not any(one.grouped for one in columns) else []
    return Comparison(names, found, "; ".join(notes), first.measure, first.is_ranked, one_seed)


def say_no_interval(found: Estimate) -> str:
    """Why an estimate has no interval and no test."""
    if found.drawn < LEAST_DOCUMENTS:
        return f"{found.drawn} items: too few for an interval, which needs {LEAST_DOCUMENTS}"
    return f"{found.drawn} items, a few of which make up nearly all of the difference: no interval would hold"


def find_scale(row: TableRow) -> float:
    """The factor that turns the numbers of a table's row into points of 100; 1 if the metric has no bound."""
    return 1.0 if pd.isna(row["most"]) else 100.0 / float(row["most"])


def _to_cells(one: Comparison) -> dict[str, object]:
    """A comparison's cells by column."""
    numbers = ("value", "low", "high", "p", "test", "documents", "seeds", "seed_sd", "seed_df")
    names = {**one.names, "most": one.measure.most, "one_seed": one.one_seed}
    if one.estimate is None:
        return {**names, **dict.fromkeys(numbers), "p": np.nan, "item_se": None, "note": one.note}
    found: dict[str, object] = {name: getattr(one.estimate, name) for name in numbers}
    return {**names, **found, "item_se": one.estimate.parts[0][0], "note": one.note}
