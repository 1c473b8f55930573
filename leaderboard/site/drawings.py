"""Small charts as SVG inside a page, which takes its fonts and colours from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from markupsafe import Markup, escape

from xlift.leaderboard.analysis.rows import Figure
from xlift.leaderboard.site.filters import count, points
from xlift.leaderboard.site.text import clean

Scale: TypeAlias = Callable[[float], float]
"""Turns a value into a position in a chart."""
REACH = 56.0
"""How far an interval bar reaches to each side of its middle, in the bar's own units."""
WIDTH, HEIGHT = 430.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 16.0, 14.0, 44.0
LETTER, LINE = 6.6, 14.0
"""The approximate size of a letter and of a line of names, which are set at 12 units."""
LONGEST = 26
"""The most letters of a name in a chart. The whole name is in its text alternative."""


@dataclass(frozen=True)
class CostPoint:
    """One row in a chart of lift against cost."""

    name: str
    cost: float
    lift: Figure


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        return self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom


def find_reach(figures: Sequence[Figure]) -> float:
    """The largest distance from 0 in some intervals, which is the scale of their bars; 1 if there are none.

    Intervals that reach more than three times as far as three quarters of all do not count: beside them the others could not be seen.
    """
    ends = sorted(max(abs(end) for end in (one.value, one.low, one.high) if end is not None) for one in figures if one.value is not None)
    if not ends:
        return 1.0
    usual = ends[(3 * len(ends) - 1) // 4] or ends[-1]
    return max((end for end in ends if end <= 3 * usual), default=usual) or 1.0


def draw_interval(figure: Figure, reach: float) -> Markup:
    """A lift as a dot, with its interval as a bar about 0, which is in the middle. The numbers are beside it, so screen readers skip it.

    A lift beyond the reach is an arrow at the edge.
    """
    if figure.value is None:
        return Markup("")
    low, high = (figure.value, figure.value) if figure.low is None or figure.high is None else (figure.low, figure.high)
    left, middle, right = (REACH * min(max(end / reach, -1.0), 1.0) for end in (low, figure.value, high))
    point = f'<circle cx="{middle:.1f}" r="4.5"/>'
    if abs(figure.value) > reach:
        tip = math.copysign(4.5, middle)
        point = f'<path class="beyond" d="M{middle + tip:.1f} 0L{middle - tip:.1f}-5V5Z"/>'
    parts = (
        '<path class="zero" d="M0-8V8"/>',
        f'<rect x="{left:.1f}" y="-3" width="{right - left:.1f}" height="6" rx="3"/>',
        point,
    )
    return Markup(f'<svg class="bar {name_sign(figure)}" viewBox="-60 -8 120 16" aria-hidden="true">{"".join(parts)}</svg>')


def name_sign(figure: Figure) -> str:
    """The class of a figure: ``up`` or ``down`` if it is significant, else ``unsure``."""
    if not figure.significant or figure.value is None:
        return "unsure"
    return "up" if figure.value > 0 else "down"


def draw_cost(found: Sequence[CostPoint]) -> Markup:
    """Lift against the tokens that were trained and generated, on a logarithmic scale, with a line through the rows that no cheaper row
    exceeds. Names are placed where they meet no other; a name without such a place is on the point itself and in the text alternative."""
    ordered = sorted(found, key=lambda one: (one.cost, -(one.lift.value or 0)))
    values = [end for one in ordered for end in (one.lift.value, one.lift.low, one.lift.high) if end is not None]
    low, high = min(0.0, *values), max(0.0, *values)
    margin = 0.08 * ((high - low) or 1)
    low, high = low - margin, high + margin
    left, right = (math.log10(max(1.0, one.cost)) for one in (ordered[0], ordered[-1]))
    left, right = left - 0.1 - 0.05 * (right - left), right + 0.1 + 0.05 * (right - left)

    def across(cost: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(max(1.0, cost)) - left) / (right - left)

    def down(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    places = [(across(one.cost), down(one.lift.value or 0)) for one in ordered]
    labels = _place_names([_shorten(one.name) for one in ordered], places)
    parts = [_draw_axes((low, high), (left, right), across, down), _draw_frontier(ordered, places)]
    for one, (x, y), label in zip(ordered, places, labels, strict=True):
        span = ""
        if one.lift.low is not None and one.lift.high is not None:
            span = f'<path class="span" d="M{x:.1f} {down(one.lift.low):.1f}V{down(one.lift.high):.1f}"/>'
        point = f'<title>{_plain(_tell(one))} tokens</title>{span}<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/>{label}'
        parts.append(f'<g class="{name_sign(one.lift)}">{point}</g>')
    unit = "bits per byte" if ordered[0].lift.in_bits else "points"
    parts.append(f'<text class="title" x="{LEFT}" y="{HEIGHT - 6}">tokens trained and generated</text>')
    parts.append(f'<text class="title" transform="rotate(-90)" x="{-TOP}" y="11" text-anchor="end">lift, {unit}</text>')
    about = f"Lift against tokens trained and generated, from the cheapest on: {'; '.join(map(_tell, ordered))}."
    opened = f'<svg class="chart" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{_plain(about)}">'
    return Markup(f"{opened}{''.join(parts)}</svg>")


def _tell(one: CostPoint) -> str:
    return f"{one.name} {points(one.lift.value, True, one.lift.digits)} at {count(one.cost)}"


def _draw_axes(values: tuple[float, float], powers: tuple[float, float], across: Scale, down: Scale) -> str:
    (low, high), (left, right) = values, powers
    lines = []
    for value in list_ticks(low, high):
        y = down(value)
        lines.append(f'<path class="{"grid" if value else "zero"}" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        lines.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{write_tick(value)}</text>')
    steps = (1, 2, 5) if right - left < 2.5 else (1,)
    costs = [step * 10.0**exponent for exponent in range(math.floor(left), math.ceil(right) + 1) for step in steps]
    for cost in costs:
        if left <= math.log10(cost) <= right:
            x, y = across(cost), HEIGHT - BOTTOM
            lines.append(
                f'<path class="grid" d="M{x:.1f} {TOP}V{y}"/><text x="{x:.1f}" y="{y + 16}" text-anchor="middle">{write_size(cost)}</text>'
            )
    return "".join(lines)


def _draw_frontier(ordered: Sequence[CostPoint], places: Sequence[tuple[float, float]]) -> str:
    """A line of steps through the rows that lift more than each cheaper one."""
    best, path = -math.inf, ""
    for one, (x, y) in zip(ordered, places, strict=True):
        value = one.lift.value or 0.0
        if value > best:
            path += f"H{x:.1f}V{y:.1f}" if path else f"M{x:.1f} {y:.1f}"
            best = value
    return f'<path class="frontier" d="{path}H{WIDTH - RIGHT}"/>'


def _place_names(names: Sequence[str], places: Sequence[tuple[float, float]]) -> list[str]:
    """Each name as a text element beside its point, where it meets neither a point nor another name; empty if there is no such place."""
    taken = [_Box(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    made = []
    for name, (x, y) in zip(names, places, strict=True):
        wide = LETTER * len(name)
        starts = [(x + 9, y + 4), (x - 9 - wide, y + 4)]
        for lift in (1.0, 2.0, 3.0):
            starts += [
                (x + 6, y - LINE * lift + 2),
                (x + 6, y + LINE * lift + 6),
                (x - 6 - wide, y - LINE * lift + 2),
                (x - 6 - wide, y + LINE * lift + 6),
            ]
        text = ""
        for at, base in starts:
            box = _Box(at, base - LINE + 3, at + wide, base + 3)
            inside = box.left >= LEFT and box.right <= WIDTH - 2 and box.top >= 2 and box.bottom <= HEIGHT - BOTTOM
            if inside and not any(box.meets(other) for other in taken):
                taken.append(box)
                text = f'<text class="name" x="{at:.1f}" y="{base:.1f}">{_plain(name)}</text>'
                break
        made.append(text)
    return made


def list_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between two ends, including 0 if it is between them."""
    rough = (high - low) / most
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(size * unit for size in (1, 2, 5, 10) if size * unit >= rough)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def write_size(value: float) -> str:
    """A count in about three letters: 1k, 20k, 5M."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.0f}"


def write_tick(value: float) -> str:
    """A number at an axis, with a real minus sign."""
    text = f"{abs(value):.6g}"
    return f"−{text}" if value < 0 else text


def _shorten(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _plain(text: str) -> str:
    return str(escape(clean(text)))
