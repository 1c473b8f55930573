"""Charts of lines as SVG: inside a page, whose style sheet gives them fonts and colours, or as a file that holds the same rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files

from markupsafe import Markup, escape

from xlift.leaderboard.site.drawings import Scale, list_ticks, write_size, write_tick
from xlift.leaderboard.site.text import clean

WIDTH, HEIGHT = 380.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 14.0, 40.0, 42.0
STYLES = 6
"""Looks of lines that can be told apart, by colour and by dashes; the classes ``l0`` and so on of assets/colours.css."""
MOST_DOTS = 12
"""Points of a line that are drawn as such; with more the line alone is."""
ROW = 22.0
"""Height of a line of the legend in a file."""


@dataclass(frozen=True)
class Point:
    """A point of a line, with its interval where there is one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """One line; lines of one name in several panels look alike."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Panel:
    """Lines in one pair of axes."""

    title: str
    lines: tuple[Line, ...]
    y: str
    """What the vertical axis shows, with its unit."""
    least: float | None = None
    """Where the vertical axis begins and ends; None for the ends of the lines."""
    most: float | None = None


@dataclass(frozen=True)
class Chart:
    """Panels that share their names and their horizontal axis."""

    panels: tuple[Panel, ...]
    x: str
    """What the horizontal axis shows."""
    text: str
    """What the chart says, for those who do not see it."""

    @property
    def names(self) -> list[str]:
        """Of its lines, in their order."""
        return list(dict.fromkeys(line.name for panel in self.panels for line in panel.lines))


def draw_inside(chart: Chart) -> Markup:
    """The chart for a page: a picture for each panel, which stand beside each other where there is room, and a legend below."""
    drawn = [
        f'<svg class="chart lines" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{_plain(_name(chart, panel))}">'
        f"{_draw_panel(chart, panel)}</svg>"
        for panel in chart.panels
    ]
    legend = ""
    if len(chart.names) > 1:
        entries = (f"<li>{_draw_key(number)} {_plain(name)}</li>" for number, name in enumerate(chart.names))
        legend = f'<ul class="legend">{"".join(entries)}</ul>'
    return Markup(f'<div class="panels">{"".join(drawn)}</div>{legend}')


def write_file(chart: Chart) -> str:
    """The chart as a file: its panels two in a row, the legend and the rules for light and dark in it."""
    columns = min(2, len(chart.panels))
    rows = -(-len(chart.panels) // 2)
    wide, high = columns * WIDTH, rows * HEIGHT + ROW * len(chart.names)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart lines" viewBox="0 0 {wide:.0f} {high:.0f}" width="{wide:.0f}" role="img">'
    ]
    parts.append(f"<desc>{_plain(chart.text)}</desc><style>{read_colours()}</style>")
    for number, panel in enumerate(chart.panels):
        parts.append(f'<g transform="translate({number % 2 * WIDTH:.0f} {number // 2 * HEIGHT:.0f})">{_draw_panel(chart, panel)}</g>')
    for number, name in enumerate(chart.names):
        y = rows * HEIGHT + ROW * number
        key = f'<path class="line l{number % STYLES}" d="M{LEFT:.0f} {y + 8:.0f}h28"/>'
        parts.append(f'{key}<text x="{LEFT + 36:.0f}" y="{y + 12:.0f}">{_plain(name)}</text>')
    return "".join([*parts, "</svg>\n"])


def read_colours() -> str:
    """The rules that pages and files of charts share."""
    return files("xlift.leaderboard.site").joinpath("assets/colours.css").read_text(encoding="utf-8")


def _name(chart: Chart, panel: Panel) -> str:
    """The text of a panel: that of the chart, which the first one tells whole."""
    return chart.text if panel is chart.panels[0] else f"{panel.title}, as above"


def _draw_key(number: int) -> str:
    return f'<svg class="chart key" viewBox="0 0 28 10" aria-hidden="true"><path class="line l{number % STYLES}" d="M0 5h28"/></svg>'


def _draw_panel(chart: Chart, panel: Panel) -> str:
    points = [point for line in panel.lines for point in line.points]
    ends = [end for point in points for end in (point.y, point.low, point.high) if end is not None]
    low, high = _widen(min(ends) if panel.least is None else panel.least, max(ends) if panel.most is None else panel.most)
    left, right = _widen(min(point.x for point in points), max(point.x for point in points))

    def across(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (x - left) / (right - left)

    def down(y: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - y) / (high - low)

    parts = [f'<text class="name" x="0" y="13">{_plain(panel.title)}</text><text x="0" y="29">{_plain(panel.y)}</text>']
    for value in list_ticks(low, high):
        y = down(value)
        kind = "zero" if value == 0 else "grid"
        parts.append(f'<path class="{kind}" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{write_tick(value)}</text>')
    for value in list_ticks(left, right, 5):
        parts.append(f'<text x="{across(value):.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{write_size(value)}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{_plain(chart.x)}</text>')
    names = chart.names
    for line in panel.lines:
        parts += _draw_line(line, names.index(line.name) % STYLES, across, down)
    return "".join(parts)


def _draw_line(line: Line, style: int, across: Scale, down: Scale) -> Iterator[str]:
    places = [(across(point.x), down(point.y)) for point in line.points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    yield f'<path class="line l{style}" d="M{path}"/>'
    if len(places) > MOST_DOTS:
        return
    for point, (x, y) in zip(line.points, places, strict=True):
        if point.low is not None and point.high is not None:
            yield f'<path class="span l{style}" d="M{x:.1f} {down(point.low):.1f}V{down(point.high):.1f}"/>'
        yield f'<circle class="l{style}" cx="{x:.1f}" cy="{y:.1f}" r="3.2"/>'


def _widen(low: float, high: float) -> tuple[float, float]:
    """The ends of an axis; of equal ones, one that has them in it."""
    return (low, high) if high > low else (low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2)


def _plain(text: str) -> str:
    return str(escape(clean(text)))


def make_lines(points: Sequence[tuple[str, Point]]) -> tuple[Line, ...]:
    """Lines of named points, in the order in which the names come."""
    found: dict[str, list[Point]] = {}
    for name, point in points:
        found.setdefault(name, []).append(point)
    return tuple(Line(name, tuple(mine)) for name, mine in found.items())
