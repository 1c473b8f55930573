"""The sentence at the beginning of a page: which method lifts most in a view, what that costs, and what cannot be told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from xlift.harness.core.languages import name_language
from xlift.harness.core.limits import LEAST_DOCUMENTS
from xlift.leaderboard.analysis.conclusion import name_method
from xlift.leaderboard.analysis.rows import Figure, LeaderboardRow
from xlift.leaderboard.analysis.statistics import round_up
from xlift.leaderboard.analysis.views import Scope, View
from xlift.tasks.benchmarks import name_place

MOST_NAMES = 3
"""The most methods or languages of one list that are named. Of more, the number is given."""
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def summarise(rows: Sequence[LeaderboardRow], view: View, parts: Sequence[View] = ()) -> str:
    """The answer of a view in one or two sentences, from its tests. Lifts that are not significant are not described as gains or losses.

    ``parts`` are the views of single benchmarks that the view averages: if no average is a gain, the gains on them are named.

    As everywhere, a method with one seed is not named as the best beside methods with several, because another seed might turn the order.
    """
    methods = [row for row in rows if row.label != "base"]
    names = _name_rows(methods)
    said = _begin(rows, view.scope)
    if not methods:
        return f"{said} only the base was measured."
    lifts = {row.id: view.figures.get(row.id, {}).get("lift", Figure()) for row in methods}
    tested = [row for row in methods if lifts[row.id].significant is not None]
    if not tested:
        return f"{said} nothing can be told: {_say_untested(lifts.values())}."
    settled = [row for row in tested if not row.one_seed] or tested
    better = sorted((row for row in settled if _is_clear(lifts[row.id], 1)), key=lambda row: -(lifts[row.id].value or 0))
    harmful = [row for row in tested if _is_clear(lifts[row.id], -1)]
    unclear = [row for row in tested if lifts[row.id].significant is False]
    single = [row for row in tested if row not in settled and _is_clear(lifts[row.id], 1)]
    gains = [] if better else list(_list_gains(settled, parts, names))
    none = "no method is seen to lift" if harmful else "nothing can be told apart from the base"
    if better:
        said_of = [_praise(better[0], view, rows[0], names)]
    else:
        said_of = (
            [*gains, "no average over the benchmarks can be told from the base"]
            if gains
            else [f"{none}: {_say_largest(settled, view, names)}"]
        )
    larger = [row for row in unclear if better and (lifts[row.id].value or 0) > (lifts[better[0].id].value or 0)]
    if larger:
        said_of.append(
            f"the larger lift{'s' * (len(larger) > 1)} of {_list(larger, names)} {'is' if len(larger) == 1 else 'are'} not significant"
        )
    if len(better) > 1:
        said_of.append(f"{_list(better[1:], names)} {'lifts' if len(better) == 2 else 'lift'} too")
    if better and unclear:
        said_of.append(f"{_list(unclear, names)} cannot be told from the base")
    if harmful:
        said_of.append(f"{_list(harmful, names)} {'harms' if len(harmful) == 1 else 'harm'}")
    if single:
        said_of.append(f"lifts of {_list(single, names)} are of one seed and not counted")
    return f"{said} {'; '.join(said_of)}."


def write_amount(figure: Figure, value: float | None) -> str:
    """A signed number of a figure, with a real minus sign."""
    text = f"{abs(value or 0):.{figure.digits}f}"
    sign = "" if not float(text) else "−" if (value or 0) < 0 else "+"
    return sign + text


def _begin(rows: Sequence[LeaderboardRow], scope: Scope) -> str:
    bases = {row.base for row in rows}
    parts = [f"On {bases.pop()}"] if len(bases) == 1 else []
    if scope.benchmark:
        parts.append(f"{'on' if parts else 'On'} {name_place(scope.benchmark)}")
    if scope.language:
        parts.append(f"in {name_language(scope.language)}")
    else:
        trained = {row.record.trained for row in rows if row.record.trained}
        if len(trained) == 1:
            parts.append(f"trained for {_join([name_language(code) for code in trained.pop()])}")
    if scope.measure == "likelihood":
        parts.append("by likelihood")
    text = ", ".join(parts)
    return f"{text[:1].upper()}{text[1:]}:" if text else "Here:"


def _praise(best: LeaderboardRow, view: View, first: LeaderboardRow, names: Names) -> str:
    figures = view.figures[best.id]
    lift, kept = figures["lift"], figures.get("retention")
    text = f"{_name(best, names)} lifts most, by {_write(lift)}"
    pivot = name_language(first.record.pivot)
    if kept is None or kept.value is None:
        return text
    if kept.significant:
        return f"{text}, and {pivot} {'rises' if kept.value > 0 else 'falls'} by {write_amount(kept, abs(kept.value)).removeprefix('+')}"
    return f"{text}, and no change of {pivot} can be seen" if kept.significant is False else text


def _say_largest(rows: Sequence[LeaderboardRow], view: View, names: Names) -> str:
    best = max(rows, key=lambda row: view.figures[row.id]["lift"].value or 0)
    lift, named = view.figures[best.id]["lift"], f"{names[best.id]}{', a control' if best.record.control else ''}"
    if (lift.value or 0) <= 0:
        return f"no lift is above 0, the highest is {_write(lift)} ({named})"
    seen = f"the largest lift is {_write(lift)} ({named})"
    if lift.reason:
        seen = f"{seen}; {lift.reason}"
    if view.needed is None:
        return f"{seen}, and more seeds are needed, as no number of items would make up for how much they differ"
    return f"{seen}; about {round_up(view.needed):,} items in place of {view.documents:,} would find one of that size four times in five"


def _list_gains(rows: Sequence[LeaderboardRow], parts: Sequence[View], names: Names) -> Iterator[str]:
    """The largest significant lift on each benchmark, and how many more there are."""
    for view in parts:
        lifts = [(row, view.figures.get(row.id, {}).get("lift", Figure())) for row in rows]
        gains = sorted((one for one in lifts if _is_clear(one[1], 1)), key=lambda one: -(one[1].value or 0))
        if gains:
            row, lift = gains[0]
            more = (
                f", and {_list([other for other, _ in gains[1:]], names)} {'lifts' if len(gains) == 2 else 'lift'} too" if gains[1:] else ""
            )
            yield f"{_name(row, names)} lifts {name_place(view.scope.benchmark)} most, by {_write(lift)}{more}"


def _say_untested(figures: Iterable[Figure]) -> str:
    found = [one for one in figures if one.value is not None]
    if not found:
        return next((one.note for one in figures if one.note), "") or "no method was compared with the base"
    items = max(one.items for one in found)
    if items < LEAST_DOCUMENTS:
        return f"{items} items are too few for an interval, which needs {LEAST_DOCUMENTS}"
    return "there is no interval for any lift"


def _is_clear(figure: Figure, sign: int) -> bool:
    return bool(figure.significant) and sign * (figure.value or 0) > 0


def _write(figure: Figure) -> str:
    unit = " bits per byte" if figure.in_bits else " points"
    return f"{write_amount(figure, figure.value)}{unit} [{write_amount(figure, figure.low)}, {write_amount(figure, figure.high)}]"


Names = Mapping[str, str]
"""Labels by the ids of rows, with the suite where two rows have one label."""


def _name_rows(rows: Sequence[LeaderboardRow]) -> Names:
    labels = [row.label for row in rows]
    return {row.id: row.label if labels.count(row.label) == 1 else f"{row.label} of {row.suite}" for row in rows}


def _name(row: LeaderboardRow, names: Names) -> str:
    return name_method(names[row.id], row.record.control)


def _list(rows: Sequence[LeaderboardRow], names: Names) -> str:
    if len(rows) <= MOST_NAMES:
        return _join([_name(row, names) for row in rows])
    controls = sum(row.record.control for row in rows)
    if controls == len(rows):
        return f"{_write_count(controls)} controls"
    among = f", {_write_count(controls)} of them {'a control' if controls == 1 else 'controls'}," if controls else ""
    return f"{_write_count(len(rows))} methods{among}"


def _write_count(number: int) -> str:
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
