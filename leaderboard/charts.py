"""Charts as SVG, drawn when the site is built: one file for light and dark, readable without colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

INK, MUTED, GRID, MARK = "#1f2328", "#59636e", "#d1d9e0", "#0b57d0"
DARK = {INK: "#f0f6fc", MUTED: "#9198a1", GRID: "#3d444d", MARK: "#7fb0ff"}
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]


def draw_forest(points: Sequence[dict[str, Any]], title: str) -> str:
    """Lifts with intervals: rows of name, part, value, low and high, in points; a line at no lift."""
    data = pd.DataFrame(points)
    names = list(dict.fromkeys(data["name"]))
    y = alt.Y("name:N", sort=names, title=None)
    shape = alt.Shape("part:N", title=None, scale=alt.Scale(range=SHAPES))
    offset = alt.YOffset("part:N", sort=list(dict.fromkeys(data["part"])))
    base = alt.Chart(data)
    zero = alt.Chart(pd.DataFrame({"zero": [0]})).mark_rule(color=MUTED, strokeDash=[4, 3]).encode(x="zero:Q")
    lines = base.mark_rule(color=MARK).encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y, yOffset=offset)
    marks = base.mark_point(color=MARK, filled=True, size=50, opacity=1).encode(x="value:Q", y=y, yOffset=offset, shape=shape)
    return _write(alt.layer(zero, lines, marks).properties(width=440, height=alt.Step(16)))


def draw_cost(points: Sequence[dict[str, Any]], title: str, cost: str) -> str:
    """Lift against cost: rows of name, cost, value. Names that would lie on each other are moved apart."""
    data = pd.DataFrame(points).sort_values("value", ignore_index=True)
    data["label"] = _part(list(data["value"]), max(data["value"].max() - min(0, data["value"].min()), 1) / 18)
    x = alt.X("cost:Q", title=cost, scale=alt.Scale(zero=True, nice=True))
    base = alt.Chart(data).encode(x=x, y=alt.Y("value:Q", title=title))
    marks = base.mark_point(color=MARK, filled=True, size=60, opacity=1)
    names = base.mark_text(align="left", baseline="middle", dx=7, color=INK, limit=180).encode(y="label:Q", text="name:N")
    return _write(alt.layer(marks, names).properties(width=440, height=260))


def _part(values: Sequence[float], least: float) -> list[float]:
    """Rising values, moved up where they lie closer together than ``least``."""
    placed: list[float] = []
    for value in values:
        placed.append(max(value, placed[-1] + least) if placed else value)
    return placed


def draw_curve(points: Sequence[dict[str, Any]]) -> str:
    """Training loss: rows of tokens and loss."""
    x = alt.X("tokens:Q", title="tokens trained")
    y = alt.Y("loss:Q", title="loss", scale=alt.Scale(zero=False))
    return _write(alt.Chart(pd.DataFrame(points)).mark_line(color=MARK).encode(x=x, y=y).properties(width=440, height=200))


def _write(chart: Any) -> str:
    axis = {"labelColor": INK, "titleColor": INK, "gridColor": GRID, "domainColor": MUTED, "tickColor": MUTED, "labelLimit": 260}
    legend = {"labelColor": INK, "symbolFillColor": MARK, "symbolStrokeColor": MARK, "orient": "bottom"}
    # Colours are attributes in the SVG, and a rule in its style sheet is stronger than an attribute.
    spec = chart.configure(background="transparent", font="sans-serif", axis=axis, legend=legend, view={"stroke": "transparent"}).to_dict()
    svg = str(vl_convert.vegalite_to_svg(spec))
    rules = "".join(f'[fill="{light}"]{{fill:{dark}}}[stroke="{light}"]{{stroke:{dark}}}' for light, dark in DARK.items())
    head, closed, rest = svg.partition(">")
    return f"{head}{closed}<style>@media (prefers-color-scheme:dark){{{rules}}}</style>{rest}\n"
