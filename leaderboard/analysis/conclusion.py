"""The end of a report: one sentence for each suite that says which method is supported best, or that none can be told from the base."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from xlift.harness.core.errors import UserError
from xlift.leaderboard.analysis.comparisons import Comparison, compare_languages, compare_runs, pool_sheets, tabulate
from xlift.leaderboard.analysis.statistics import ALPHA, correct, count_needed, round_up
from xlift.leaderboard.loading.scores import Documents
from xlift.tasks.benchmarks import find_metric, name_place

Row = Mapping[str, Any]
"""A comparison with its numbers in points of 100."""


def conclude(documents: Iterable[Documents]) -> list[str]:
    """A sentence for each suite, about its methods' lift over the base in the languages that they train.

    A benchmark supports a method if the method's lift on it is significant after Holm's correction over all comparisons of the suite. The
    best method is supported by the most benchmarks, and at equal numbers has the smallest p. If none is supported, the sentence names
    the largest lift that was seen, and how many items would find a lift of that size with 80 % power. A method with a single seed is not
    the best if others have several: its interval is narrow only because nobody knows how its seeds differ. A control may be the best, and
    is called one: what it gains, the idea that it leaves out did not bring.
    """
    suites: dict[str, list[Documents]] = {}
    for one in documents:
        suites.setdefault(one.suite, []).append(one)
    return [f"{suite}: {_conclude_suite(found)}" if len(suites) > 1 else _conclude_suite(found) for suite, found in suites.items()]


def _conclude_suite(documents: Sequence[Documents]) -> str:
    controls = {one.label for one in documents if one.control}
    rows: list[Row] = [{**row, "control": row["method"] in controls} for row in list_headlines(compare_languages(documents))]
    lifts = [row for row in rows if row["kind"] == "lift"]
    if not lifts:
        return "No method can be compared with the base: no benchmark with a score was asked in a language that a method trains."
    compared = [row for row in lifts if row["value"] is not None]
    missed = _say_not_compared([row for row in lifts if row["value"] is None])
    if not compared:
        return f"No method can be compared with the base: {missed}."
    settled = [row for row in compared if not row["one_seed"]] or compared
    winners: dict[str, list[Row]] = {}
    for row in settled:
        if row["significant"] and row["value"] > 0:
            winners.setdefault(row["method"], []).append(row)
    passed = {_name_method(row): None for row in compared if row["one_seed"] and row["significant"] and row["value"] > 0}
    more = "" if settled is compared or not passed else f" Of one seed, and so not counted: lifts of {', '.join(passed)}."
    more += f" Not compared: {missed}." if missed else ""
    if not winners:
        return _say_nothing_found(settled) + more
    best = max(winners, key=lambda label: (len(winners[label]), -min(row["p_corrected"] for row in winners[label])))
    return _praise(winners[best], rows, documents) + more


def _say_not_compared(rows: Iterable[Row], most: int = 3) -> str:
    """Benchmarks without a comparison, by the reason; empty where there are none."""
    places: dict[str, dict[str, None]] = {}
    for row in rows:
        places.setdefault(row["note"].removeprefix("not comparable: "), {})[_name(row)] = None
    said = [f"{', '.join(list(found)[:most])}{' and more' * (len(found) > most)} ({note})" for note, found in places.items()]
    more = [f"{len(said) - most} more reasons stand in the tables"] if len(said) > most else []
    return "; ".join([*said[:most], *more])


def list_headlines(compared: Sequence[Comparison]) -> list[Row]:
    """The headline comparisons of ranked benchmarks in points, corrected for all comparisons that were made.

    ``value`` is None where there is no interval, and ``seen`` is the difference also there; it is None if nothing could be compared.
    """
    rows: list[Row] = []
    for one, written in zip(compared, tabulate(compared).to_dict("records"), strict=True):
        if not one.is_ranked or one.names["metric"] == "off_target":
            continue
        scale = one.measure.scale
        row = {str(key): value for key, value in written.items()}
        row["seen"] = None if one.estimate is None else scale * row["value"]
        if one.estimate is None or np.isnan(one.estimate.p):
            rows.append({**row, "value": None})
            continue
        points = {name: scale * row[name] for name in ("value", "low", "high", "detectable")}
        comparisons = row["comparisons"]
        found = one.estimate
        rows.append({**row, **points, "needed": count_needed(found.spread, found.value, found.parts[1:], comparisons)})
    return rows


def name_method(label: str, control: bool) -> str:
    """The label of a method, with a word for a control."""
    return f"{label} (a control)" if control else label


def write_number(value: float, digits: int) -> str:
    """A number with its sign; what rounds to 0 has none."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else text[1:]


def _praise(won: Sequence[Row], rows: Sequence[Row], documents: Sequence[Documents]) -> str:
    strongest = min(won, key=lambda row: row["p_corrected"])
    label, named = strongest["method"], _name_method(strongest)
    others = [f"{_name(row)} by {_write(row)}" for row in won if row is not strongest]
    interval = f"{_write(strongest, 'low')} to {_write(strongest, 'high')}"
    text = (
        f"The best supported method is {named}: it lifts {_name(strongest)} by {_write(strongest, unit=' points')} "
        f"(95 % interval {interval}, p = {_write_p(strongest['p_corrected'])} after correction)"
    )
    text += f", and {', '.join(others)}" if others else ""
    harmed = [row for row in rows if row["method"] == label and row["value"] is not None and row["significant"] and row["value"] < 0]
    if harmed:
        listed = [f"{_name(row)} by {_write(row).removeprefix('-')}" for row in harmed]
        text += f"; it lowers {', '.join(listed)}"
    if like := _find_like(strongest, rows, documents):
        text += f"; {_list_methods(like)} cannot be told apart from it there after correction"
    if strongest["one_seed"]:
        text += "; it was trained with one seed, and what another would change is not known"
    return f"{text}."


def _list_methods(rows: Sequence[Row]) -> str:
    """``a, b and the controls c, d``."""
    methods = ", ".join(row["method"] for row in rows if not row["control"])
    controls = [row["method"] for row in rows if row["control"]]
    named = [methods] if methods else []
    named += [f"the control{'s' * (len(controls) > 1)} {', '.join(controls)}"] if controls else []
    return " and ".join(named)


def _find_like(row: Row, rows: Sequence[Row], documents: Sequence[Documents]) -> list[Row]:
    """The lifts of methods that did the same benchmark in the same languages, and were not significantly worse."""
    label = row["method"]
    rivals = [
        other
        for other in rows
        if other["method"] != label and all(other[key] == row[key] for key in ("benchmark", "metric", "kind", "languages"))
    ]
    sheets = {name: _take(documents, name, row) for name in (label, *(rival["method"] for rival in rivals))}
    pool = pool_sheets(sheets.values())
    found, p = [], []
    for rival in rivals:
        try:
            difference = compare_runs(sheets[label], sheets[rival["method"]], label, pool)
        except UserError:
            continue
        found.append(rival)
        p.append(difference.p)
    return [rival for rival, corrected in zip(found, correct(p) if p else [], strict=True) if not corrected < ALPHA]


def _take(documents: Sequence[Documents], label: str, row: Row) -> dict[str, list[Documents]]:
    """One method's runs of a row by language."""
    sheet: dict[str, list[Documents]] = {}
    for one in documents:
        if (one.label, one.benchmark, one.metric) == (label, row["benchmark"], row["metric"]) and one.language in row["languages"]:
            sheet.setdefault(one.language, []).append(one)
    return sheet


def _say_nothing_found(compared: Sequence[Row]) -> str:
    best = max(compared, key=lambda row: row["value"])
    worse = [
        f"{_name_method(row)} on {_name(row)} by {_write(row).removeprefix('-')}"
        for row in compared
        if row["significant"] and row["value"] < 0
    ]
    tail = f"; significantly worse: {', '.join(worse)}" if worse else ""
    if np.isnan(best["detectable"]):
        return f"No method can be told apart from the base: no answer's score differs{tail}."
    sign = "+" if best["value"] >= 0 else ""
    interval = f"{_write(best, 'low')} to {_write(best, 'high')}"
    named = f"{best['method']}, a control," if best["control"] else best["method"]
    seen = f"{sign}{_write(best, unit=' points')} ({named} on {_name(best)}, 95 % interval {interval})"
    least = f"lifts below {_write(best, 'detectable', ' points')} are missed more than one time in five"
    if best["value"] <= 0:
        return f"No method lifts anything over the base: the highest is {seen}, and {least} with these {best['documents']:.0f} items{tail}."
    if best["needed"] is None:
        wanted = "more seeds are needed to find one of that size, as seeds differ by more than that"
    else:
        wanted = (
            f"about {round_up(best['needed']):,} items in place of {best['documents']:.0f} would find one of that size four times in five"
        )
    return f"No method can be told apart from the base: the largest lift is {seen}, and {wanted}{tail}."


def _name_method(row: Row) -> str:
    return name_method(row["method"], row["control"])


def _name(row: Row) -> str:
    return f"{name_place(row['benchmark'])} in {', '.join(row['languages'])}"


def _write(row: Row, key: str = "value", unit: str = "") -> str:
    """A number of a row. A number in bits has its unit, except at the ends of an interval."""
    if find_metric(row["metric"]).group == "answers":
        return f"{row[key]:.1f}{unit}"
    return f"{row[key]:.3f}{'' if key in ('low', 'high') else ' bits per byte'}"


def _write_p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def mark_lifts(differences: pd.DataFrame) -> dict[tuple[str, str, str, bool], int]:
    """1 for a difference from the base that is significantly better, -1 for one that is worse, by suite, method, task and whether the
    metric is ``off_target``. ``differences`` are as ``tabulate_tasks`` returns them."""
    marks = {}
    for row in differences.to_dict("records"):
        if row["significant"]:
            marks[row["suite"], row["method"], row["task"], row["metric"] == "off_target"] = 1 if row["value"] > 0 else -1
    return marks
