"""Charts as SVG, drawn when the site is built: one file for light and dark, readable without colour.

They are made without Altair's checks of each part against a schema, which take as long as the drawing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import pandas as pd
from markupsafe import escape

from xlift.harness.core.errors import UserError

try:
    import altair as alt
    import vl_convert
    from altair.utils.schemapi import debug_mode
except ModuleNotFoundError as error:
    raise UserError(f"charts need {error.name}, which is not installed: pip install 'xlift[site]'") from None

INK, MUTED, GRID, MARK = "#1b1f24", "#57606a", "#d5dbe1", "#0b57d0"
DARK = {INK: "#f0f3f6", MUTED: "#9aa4ae", GRID: "#363d46", MARK: "#7fb0ff"}
"""As in assets/site.css, which a picture cannot read."""
DASHES = [[1, 0], [6, 3], [2, 2], [10, 3, 2, 3], [14, 4]]
Points: TypeAlias = Sequence[Mapping[str, object]]
"""The rows of a chart's table."""
Specification: TypeAlias = dict[str, Any]
"""A chart as Vega or Vega-Lite."""
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]


@debug_mode(False)
def draw_lift_curves(points: Points, text: str) -> str:
    """Lift against tokens trained, with a panel for each benchmark: rows of panel, name, tokens, value, low and high in the panel's own
    unit. ``text`` says what it shows. Every line begins at no lift and no tokens."""
    data = pd.DataFrame(points)
    names, panels = list(dict.fromkeys(data["name"])), list(dict.fromkeys(data["panel"]))
    starts = data[["panel", "name"]].drop_duplicates().assign(tokens=0.0, value=0.0, low=0.0, high=0.0)
    base = alt.Chart(pd.concat([starts, data], ignore_index=True))
    x = alt.X("tokens:Q", title="tokens trained")
    dash = alt.StrokeDash("name:N", title=None, sort=names, scale=alt.Scale(range=[DASHES[k % len(DASHES)] for k in range(len(names))]))
    shape = alt.Shape("name:N", title=None, sort=names, scale=alt.Scale(range=[SHAPES[k % len(SHAPES)] for k in range(len(names))]))
    lines = base.mark_line(color=MARK, strokeWidth=1.5).encode(x=x, y=alt.Y("value:Q", title="lift"), strokeDash=dash)
    bars = base.mark_rule(color=MUTED).encode(x=x, y="low:Q", y2="high:Q")
    marks = base.mark_point(color=MARK, filled=True, size=40, opacity=1).encode(x=x, y="value:Q", shape=shape)
    layered = alt.layer(bars, lines, marks).properties(width=220, height=160)
    facets = layered.facet(facet=alt.Facet("panel:N", title=None, sort=panels), columns=2).resolve_scale(y="independent", x="independent")
    return _describe(_write(facets), text)


def draw_curve(points: Points, text: str) -> str:
    """Training loss: rows of seed, tokens and loss; ``text`` says what it shows."""
    compiled = _compile_curve(tuple(dict.fromkeys(point["seed"] for point in points)))
    data = [{**source, "values": points} if source["name"] == "points" else source for source in compiled["data"]]
    return _describe(_adapt(vl_convert.vega_to_svg({**compiled, "data": data})), text)


@lru_cache(maxsize=16)
@debug_mode(False)
def _compile_curve(seeds: tuple[str, ...]) -> Specification:
    """The chart without its points, as Vega: a site has curves by the hundred, and compiling one takes as long as drawing it.

    Vega's own text alternatives are left out, which say of each line where it starts, and take a fifth of the drawing.
    """
    scale = alt.Scale(domain=seeds, range=[DASHES[number % len(DASHES)] for number in range(len(seeds))])
    dash = alt.StrokeDash("seed:N", sort=seeds, scale=scale, legend=alt.Legend() if len(seeds) > 1 else None)
    x = alt.X("tokens:Q", title="tokens trained")
    y = alt.Y("loss:Q", title="loss", scale=alt.Scale(zero=False))
    chart = alt.Chart(alt.NamedData("points")).mark_line(color=MARK).encode(x=x, y=y, strokeDash=dash).properties(width=440, height=200)
    compiled: Specification = vl_convert.vegalite_to_vega(_configure(chart, aria=False))
    return compiled


@debug_mode(False)
def draw_layers(points: Points, text: str) -> str:
    """Shares by layer, two panels in a row: rows of panel, name, layer and value, at most five names; ``text`` says what it shows."""
    data = pd.DataFrame(points)
    names = list(dict.fromkeys(data["name"]))
    y = alt.Y("value:Q", title=None, scale=alt.Scale(domain=[min(0.0, float(data["value"].min())), 1.0]))
    dash = alt.StrokeDash("name:N", title=None, scale=alt.Scale(domain=names, range=DASHES[: len(names)]))
    shade = alt.Color("name:N", title=None, scale=alt.Scale(domain=names, range=[MUTED, *[MARK] * (len(names) - 1)]))
    lines = alt.Chart(data).mark_line(strokeWidth=2).encode(x=alt.X("layer:Q", title="layer"), y=y, strokeDash=dash, color=shade)
    panels = alt.Facet("panel:N", title=None, sort=list(dict.fromkeys(data["panel"])))
    return _describe(_write(lines.properties(width=220, height=140).facet(facet=panels, columns=2)), text)


def _describe(svg: str, text: str) -> str:
    """The SVG with its text alternative inside, for readers that open the file by itself."""
    head, closed, rest = svg.partition(">")
    return f'{head} role="img"{closed}<desc>{escape(text)}</desc>{rest}'


def _write(chart: alt.TopLevelMixin) -> str:
    return _adapt(vl_convert.vegalite_to_svg(_configure(chart)))


def _configure(chart: alt.TopLevelMixin, aria: bool = True) -> Specification:
    """The chart in the site's colours, as Vega-Lite."""
    axis = {"labelColor": INK, "titleColor": INK, "gridColor": GRID, "domainColor": MUTED, "tickColor": MUTED, "labelLimit": 260}
    legend = {"labelColor": INK, "symbolFillColor": MARK, "symbolStrokeColor": MARK, "orient": "bottom"}
    view, header = {"stroke": "transparent"}, {"labelColor": INK}
    made = chart.configure(
        background="transparent", font="system-ui, sans-serif", axis=axis, legend=legend, view=view, header=header, aria=aria
    )
    specification: Specification = made.to_dict(validate=False)
    return specification


def _adapt(svg: str) -> str:
    """The SVG with rules for dark mode. Its colours are attributes, and a rule in its style sheet has precedence over an attribute."""
    rules = "".join(f'[fill="{light}"]{{fill:{dark}}}[stroke="{light}"]{{stroke:{dark}}}' for light, dark in DARK.items())
    head, closed, rest = svg.partition(">")
    return f"{head}{closed}<style>@media (prefers-color-scheme:dark){{{rules}}}</style>{rest}\n"
