"""How pages write numbers, names and links."""

from __future__ import annotations

import ast
import re
from importlib.resources import files

from xlift.harness.evaluation.records import TaskResult
from xlift.leaderboard.analysis.rows import Figure
from xlift.leaderboard.loading.runs import Run


def win_rate(value: float | None, interval: tuple[float, float] | None) -> Figure:
    """A share of wins in points."""
    low, high = (100 * end for end in interval) if interval else (None, None)
    return Figure(None if value is None else 100 * value, low, high)


def points(value: float | None, signed: bool = False, digits: int = 1) -> str:
    """A number with a real minus sign."""
    if value is None or value != value:
        return ""
    text = f"{abs(value):.{digits}f}"
    sign = "−" if value < 0 and float(text) else "+" if signed and float(text) else ""
    return sign + text


def digits(value: float) -> str:
    """Three digits of a number in its own unit; a dash for None."""
    return "–" if value != value else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def score(result: TaskResult, metric: str) -> str:
    """A score as all pages write it: in points if it has a bound, with its standard error unless that is 0."""
    found, known = result.metrics.get(metric), result.find_metric(metric)
    if found is None:
        return "–"
    places = 1 if known.most is not None else 3
    error = "" if found.stderr is None else f"{known.scale * found.stderr:.{places}f}"
    return f"{points(known.scale * found.value, digits=places)}{f' ± {error}' if error and float(error) else ''}"


def count(value: object) -> str:
    """A number with its thousands separated; empty for None."""
    return "" if value is None else f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def heat(figure: Figure) -> str:
    """The class of a heat-map cell: steps of 2, 5 and 10 points, or of hundredths of a bit. A metric of another maker without a bound has
    one step, for a significant difference."""
    if figure.value is None:
        return "none"
    step = sum(abs(figure.value) * (100 if figure.in_bits else 1) >= edge for edge in (2, 5, 10))
    if figure.measure is not None and figure.measure.most is None and not figure.in_bits:
        step = 1 if figure.significant else 0
    return "h0" if not step else f"{'up' if figure.value > 0 else 'down'}{step}"


def spell(value: object) -> str:
    """Plain data as indented text: what a resolved config or a manifest holds."""
    import json

    return json.dumps(value, ensure_ascii=False, indent=1, default=str)


def hub_link(run: Run) -> str | None:
    """The address of a pushed adapter: the one that its push left in the run folder, or that of the name on the hub under which it was
    measured."""
    if run.link:
        return run.link
    name = str((run.record.adapter or {}).get("name", ""))
    match = re.fullmatch(r"hub:([\w.-]+/[\w.-]+?)(?:@[\w.-]+)?", name, re.ASCII)
    return f"https://huggingface.co/{match[1]}" if match else None


def describe_method(name: str) -> tuple[str, str]:
    """What the file of a method that comes with xlift says about it, and its defaults; empty for others. None of its code is run."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        return "", ""
    folder = files("xlift.methods")
    source, defaults = folder.joinpath(f"{name}.py"), folder.joinpath(f"{name}.yaml")
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) if source.is_file() else None
    return text or "", defaults.read_text(encoding="utf-8") if defaults.is_file() else ""
