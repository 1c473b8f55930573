"""Tables of comparisons: lift, retention and transfer of each method, its difference on each task, and ranks with ties."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from xlift.harness.core.errors import UserError
from xlift.leaderboard.analysis.statistics import ALPHA, Array, Estimate, compare, compare_pairs, correct, detectable, rank
from xlift.leaderboard.loading.scores import Documents, align
from xlift.tasks.benchmarks import PARALLEL, PER_DOCUMENT, headline, language_of, scale

Runs = Sequence[Documents]
"""The seeds of one model on one task."""
Sheet = Mapping[str, Runs]
"""One model, by task or by language."""
Comparison = Mapping[str, Any]
"""A row of a table, not yet corrected for the others of the table."""


def tabulate_lifts(documents: Iterable[Documents]) -> pd.DataFrame:
    """Method minus base for each suite, method, benchmark, metric and kind: ``lift`` on the trained languages, ``retention`` on the
    pivot, ``transfer`` on the others; an average over ``languages`` with equal weights.

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
            one = next(iter(tasks.values()))[0]
            for (benchmark, kind), languages in _split({**base, **tasks}, one).items():
                ours, theirs = ({lang: sheet[task] for lang, task in languages.items() if task in sheet} for sheet in (tasks, base))
                lacking = tuple(sorted(set(one.trained) - set(languages))) if kind == "lift" else ()
                row = {"suite": suite, "method": label, "benchmark": benchmark, "metric": metric, "kind": kind}
                rows.append({**row, "languages": tuple(languages), "lacking": lacking, **_compare(ours, theirs, label)})
    return rows


def compare_tasks(documents: Iterable[Documents]) -> list[Comparison]:
    """The rows of ``tabulate_tasks`` before they are corrected."""
    rows: list[Comparison] = []
    for (suite, metric), models in _group(documents).items():
        base = models.pop("base", {})
        for label, tasks in models.items():
            for task, runs in tasks.items():
                row = {"suite": suite, "method": label, "task": task, "metric": metric}
                rows.append({**row, **_compare({task: runs}, {task: base[task]} if task in base else {}, label)})
    return rows


def tabulate(rows: Sequence[Comparison]) -> pd.DataFrame:
    """Rows as a table, with Holm's correction over all of them."""
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    table["p_corrected"] = correct(table["p"].to_numpy(dtype=np.float64))
    table["significant"] = table["p_corrected"] < ALPHA
    made = max(int(table["p"].notna().sum()), 1)
    table["detectable"] = [detectable(parts, made) if isinstance(parts, tuple) else np.nan for parts in table["parts"]]
    return table.drop(columns="parts")


def tabulate_ranks(documents: Iterable[Documents], *, average: bool = False) -> pd.DataFrame:
    """Models ranked on each task, or with ``average`` on each benchmark, averaged over languages; the base is ranked with the methods.

    Only results with equal comparability keys, and averages over the same languages, meet in one ranking, of whatever suite they are;
    a model that stands alone is ranked 1 of 1. Holm's correction is over all pairs of all rankings. ``value``: higher is better. A model
    whose own runs may not be averaged has no rank, and ``note`` says why.
    """
    cells: dict[tuple[Any, ...], dict[str, Sheet]] = defaultdict(dict)
    unranked: list[dict[str, str]] = []
    found = list(documents)
    several = len({one.suite for one in found}) > 1
    for (suite, metric), models in _group(found).items():
        for label, tasks in models.items():
            for name, sheet in _boards(tasks) if average else ((task, {task: runs}) for task, runs in tasks.items()):
                model = f"{suite}: {label}" if several else label
                if fault := _find_fault(sheet, label):
                    unranked.append({"model": model, "benchmark" if average else "task": name, "metric": metric, "note": fault})
                else:
                    cells[name, metric, tuple((column, runs[0].comparability) for column, runs in sheet.items())][model] = sheet
    tables: list[pd.DataFrame] = []
    values: list[dict[str, float]] = []
    for sheets in cells.values():
        scores, parallel = _align(sheets)
        sign = next(iter(next(iter(sheets.values())).values()))[0].sign
        values.append({name: sign * float(np.mean([column.mean() for column in columns])) + 0.0 for name, columns in scores.items()})
        tables.append(compare_pairs(scores, parallel=parallel).assign(cell=len(tables)))
    pairs = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["first", "second", "p", "cell"])
    pairs["p_corrected"] = correct(pairs["p"].to_numpy(dtype=np.float64))
    ranked = []
    for number, (cell, sheets) in enumerate(cells.items()):
        languages = tuple(next(iter(sheets.values())))
        table = rank(values[number], pairs[pairs["cell"] == number])
        keys = {"benchmark": cell[0], "languages": [languages] * len(table)} if average else {"task": cell[0]}
        ranked.append(table.assign(**keys, metric=cell[1], of=len(table), note=""))
    return pd.concat([*ranked, pd.DataFrame(unranked)], ignore_index=True)


def rank_overall(models: Mapping[str, Sequence[Documents]]) -> tuple[pd.DataFrame, float]:
    """Models ranked on the mean of their benchmarks, each with equal weight and in points of 100, languages equal within a benchmark.

    All models must have the same tasks under the same keys, or UserError is raised; ``off_target`` has no part in it where the benchmark
    has another metric. Holm's correction is over all pairs. Returns a table as ``rank`` does and the largest difference between
    neighbours in it that would have been missed more than one time in five, in points (nan where that is unknown).
    """
    sheets: dict[str, dict[str, Sheet]] = {}
    for name, documents in models.items():
        tasks: dict[str, list[Documents]] = defaultdict(list)
        for one in documents:
            if one.metric == PER_DOCUMENT.get(headline(one.task) or "", headline(one.task)):
                tasks[one.task].append(one)
        boards: dict[str, Sheet] = {}
        for benchmark, sheet in _boards(tasks):
            if fault := _find_fault(sheet, name):
                raise UserError(fault)
            boards[benchmark] = sheet
        sheets[name] = boards
    benchmarks = sorted({benchmark for boards in sheets.values() for benchmark in boards})
    scored = [name for name in benchmarks if headline(name) != "off_target"] or benchmarks
    if not scored or any(benchmark not in boards for boards in sheets.values() for benchmark in scored):
        raise UserError("not every model was measured on every benchmark")
    columns: dict[str, list[tuple[Array, float]]] = {name: [] for name in sheets}
    for benchmark in scored:
        parts = {name: boards[benchmark] for name, boards in sheets.items()}
        first = next(iter(parts.values()))
        if any(set(sheet) != set(first) for sheet in parts.values()):
            raise UserError(f"not every model was measured in the same languages of {benchmark}")
        ordered = {name: {language: sheet[language] for language in first} for name, sheet in parts.items()}
        scores, parallel = _align(ordered)
        one = next(iter(first.values()))[0]
        points = one.sign * scale(one.metric) / len(scored)
        for name, found in scores.items():
            joined = [np.mean(np.stack(found), axis=0)] if parallel else found
            columns[name] += [(array, points / len(joined)) for array in joined]
    # compare_pairs averages columns with equal weight: the weights go into the scores.
    weighted = {name: [array * weight * len(found) for array, weight in found] for name, found in columns.items()}
    pairs = compare_pairs(weighted)
    pairs["p_corrected"] = correct(pairs["p"].to_numpy(dtype=np.float64))
    table = rank({name: float(np.mean([array.mean() for array in found])) for name, found in weighted.items()}, pairs)
    order = list(table["model"])
    missed = [detectable(compare(weighted[one], weighted[other]).parts, len(pairs)) for one, other in pairwise(order)]
    return table.assign(of=len(table)), max((value for value in missed if value == value), default=float("nan"))


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


def _split(tasks: Iterable[str], model: Documents) -> dict[tuple[str, str], dict[str, str]]:
    """Tasks by (benchmark, kind) and language."""
    groups: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for task in tasks:
        if found := language_of(task, model.pivot):
            benchmark, language = found
            kind = "retention" if language == model.pivot else "lift" if language in model.trained else "transfer"
            groups[benchmark, kind][language] = task
    return groups


def _boards(tasks: Sheet) -> list[tuple[str, Sheet]]:
    """One model's runs by benchmark, then by language."""
    boards: dict[str, dict[str, Runs]] = defaultdict(dict)
    for task, runs in tasks.items():
        if found := language_of(task, runs[0].pivot):
            boards[found[0]][found[1]] = runs
    return [(benchmark, dict(sorted(sheet.items()))) for benchmark, sheet in boards.items()]


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
    shared = all(runs[0].task.startswith(PARALLEL) for runs in first.values())
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


def _compare(method: Sheet, base: Sheet, name: str) -> dict[str, Any]:
    """A row's numbers, or the reason why there are none."""
    kept = ("value", "low", "high", "p", "test", "documents", "seeds", "seed_sd")
    try:
        found = compare_runs(method, base, name)
    except UserError as error:
        return {**dict.fromkeys(kept), "p": np.nan, "item_se": None, "parts": None, "note": str(error)}
    note = "one seed: variance between seeds unknown" if found.seeds < 2 and next(iter(method.values()))[0].seed is not None else ""
    return {**{key: getattr(found, key) for key in kept}, "item_se": found.parts[0][0], "parts": found.parts, "note": note}
