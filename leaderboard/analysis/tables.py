"""Records as tables: scores by task, lift over the base, and the cost of each adapter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd

from xlift.harness.core.times import write_seconds
from xlift.harness.evaluation.records import Record
from xlift.leaderboard.loading.win_rates import JudgedRate
from xlift.tasks.benchmarks import find_metric
from xlift.tasks.entries import AS_WRITTEN, METRICS

COST = (
    "rows",
    "trained_parameters",
    "tokens_trained",
    "steps",
    "epochs",
    "padding_share",
    "seconds",
    "peak_memory_mib",
    "final_loss",
    "device",
)

ASTRAY = 0.5
"""From this off-target rate on, a task's other scores are doubted."""


UNENDED = 0.05
"""From this share of answers whose thinking never ended on, a task's scores are doubted."""


def warn_off_target(share: float, told: int) -> str:
    """What a score may mean if most answers whose language can be told are in another language: a copied prompt shares names and numbers
    with the reference."""
    return (
        f"{share:.0%} of the {told} answers whose language can be told are in another one than asked for; "
        "a score of such answers can come from copying the prompt"
    )


def name_one_seed(records: Sequence[Record]) -> list[str]:
    """The models that were trained with one seed. Their numbers hold for that one training."""
    seeds = Counter((record.suite, record.label) for record in records if record.seed is not None)
    several = len({record.suite for record in records}) > 1
    return [f"{suite}: {label}" if several else label for (suite, label), count in seeds.items() if count == 1]


def doubt_lifts(scores: pd.DataFrame) -> list[str]:
    """A line for each lift that was measured on answers in another language. ``scores`` are as ``tabulate_scores`` returns them."""
    rows = scores.to_dict("records")
    found = {(row["suite"], row["model"], row["task"], row["metric"]): row["value"] for row in rows}
    lines = []
    for row in rows:
        where = row["suite"], row["model"], row["task"]
        share, unknown = found.get((*where, "off_target"), 0.0), found.get((*where, "language_unknown"), 0.0)
        safe = row["metric"] == "off_target" or f"{row['metric']}{AS_WRITTEN}" in METRICS or row["metric"].endswith(AS_WRITTEN)
        if not safe and pd.notna(row["lift"]) and row["lift"] > 0 and share >= ASTRAY:
            lines.append(f"{row['model']}: {row['task']} rose, but {warn_off_target(share, round(row['items'] * (1 - unknown)))}")
    return lines


def warn_thinking_cut(share: float, tokens: int) -> str:
    """What a score may mean if thinking did not end. ``tokens`` is the allowance that it had."""
    more = f"raise engine.thinking_tokens ({tokens})" if tokens else "set engine.thinking_tokens, or engine.thinking: off"
    return f"{share:.0%} of the answers end while the model still thinks, and count as empty; {more}"


def doubt_thinking(records: Sequence[Record]) -> list[str]:
    """A line for each task in which at least a twentieth of the answers were still being thought about when their tokens were used up."""
    lines = []
    for record in records:
        for task, result in record.tasks.items():
            cut = result.metrics.get("thinking_cut")
            if cut and cut.value >= UNENDED:
                lines.append(f"{record.name}: {task}: {warn_thinking_cut(cut.value, int(record.engine.get('thinking_tokens', 0)))}")
    return lines


def doubt_tokens(records: Sequence[Record]) -> list[str]:
    """A line for each model that did not get some prompts completely, or not the tokens that an answer has after its prompt."""
    lines = []
    for record in records:
        cost = record.cost.get("evaluate", {})
        cut, apart, scored = (int(cost.get(name, 0)) for name in ("truncated_prompts", "tokenised_apart", "scored_answers"))
        if cut:
            lines.append(f"{record.name}: {cut:,} prompts were too long and lost their beginning; engine.max_length is the bound")
        if apart:
            lines.append(
                f"{record.name}: {apart:,} of {scored:,} answers were tokenised apart from their prompt, as a token would have spanned both"
            )
    return lines


def tabulate_scores(records: Sequence[Record], metrics: Sequence[str] = ()) -> pd.DataFrame:
    """One row for each record, task and metric: the benchmark's headline metric, the same as written, ``off_target`` and
    ``language_unknown``, or those named.

    ``lift`` is the value minus the base's of the same suite, turned so that more is better, and ``percent`` is the lift in per cent of the
    base's value. Both are missing for the base itself, and if the two results may not be compared.
    """
    bases = {record.suite: record for record in records if record.label == "base"}
    rows = []
    for record in records:
        base = bases.get(record.suite)
        for task, result in record.tasks.items():
            shown = result.headline
            wanted = metrics or [name for name in dict.fromkeys((shown, f"{shown}{AS_WRITTEN}", "off_target", "language_unknown")) if name]
            for metric in [name for name in wanted if name in result.metrics] or list(result.metrics)[:1]:
                score, lift, percent = result.metrics[metric], None, None
                other = base.tasks.get(task) if base and base is not record else None
                better = result.find_metric(metric).higher_is_better
                if other and other.comparability == result.comparability and metric in other.metrics and better is not None:
                    sign = 1 if better else -1
                    before = other.metrics[metric].value
                    lift = sign * (score.value - before) + 0.0  # so that a zero has no minus
                    percent = 100 * lift / before if before else None
                rows.append(
                    {
                        "suite": record.suite,
                        "model": record.name,
                        "task": task,
                        "metric": metric,
                        "higher_is_better": result.find_metric(metric).higher_is_better,
                        "value": score.value,
                        "stderr": score.stderr,
                        "lift": lift,
                        "percent": percent,
                        "items": result.items,
                        "items_of": result.items_of,
                        "data": result.data_origin,
                        "comparability": result.comparability,
                    }
                )
    return pd.DataFrame(rows)


def spread_models(scores: pd.DataFrame, marks: Mapping[tuple[str, str, str, bool], int] = MappingProxyType({})) -> pd.DataFrame:
    """The table for people: a row for each task and metric, a column for each model, ``value ± stderr`` and the lift.

    An arrow shows the direction in which a metric gets better. A significant lift, according to ``marks`` (``conclusion.mark_lifts``), is
    followed by ``*``.
    """
    labels = {name: name.partition(" (seed ")[0] for name in scores["model"].unique()}

    def write(row: pd.Series) -> str:
        in_bits = find_metric(row["metric"]).group == "likelihood"
        digits = 1 if abs(row["value"]) >= 1.5 and not in_bits else 3
        text = f"{row['value']:.{digits}f}"
        if pd.notna(row["stderr"]):
            text += f" ±{row['stderr']:.{digits}f}"
        if pd.isna(row["lift"]):
            return text
        mark = marks.get((row["suite"], labels[row["model"]], row["task"], row["metric"] == "off_target"))
        share = f", {row['percent']:+.1f} %" if in_bits and pd.notna(row["percent"]) else ""
        return f"{text} ({row['lift']:+.{digits}f}{share}{'*' if mark else ''})"

    shown = scores.assign(text=scores.apply(write, axis=1), metric=scores.apply(_point, axis=1))
    order = shown.drop_duplicates(["task", "metric", "items"])[["task", "metric", "items"]]
    wide = shown.pivot_table(index=["task", "metric", "items"], columns="model", values="text", aggfunc="first", sort=False)
    return wide.reindex(pd.MultiIndex.from_frame(order)).reset_index()[["task", "metric", "items", *scores["model"].unique()]]


def _point(row: pd.Series) -> str:
    """A metric with an arrow in the direction in which it gets better; without one if it has no direction."""
    better = row["higher_is_better"]
    return str(row["metric"]) if pd.isna(better) else f"{row['metric']} {'↑' if better else '↓'}"


def tabulate_win_rates(rates: Sequence[JudgedRate]) -> pd.DataFrame:
    """One row for each judge's setting, model and task. Only rows of one ``setting`` may be compared, and nothing is ranked."""
    rows = []
    for one in rates:
        rate = one.rate
        low, high = rate.controlled_interval or (None, None)
        rows.append(
            {
                "setting": one.setting.key,
                "judge": one.setting.judge,
                "served": one.setting.served,
                "mode": one.setting.mode,
                "against": one.setting.against,
                "prompt_sha256": one.setting.prompt,
                "calibration": one.calibration,
                "suite": rate.suite,
                "model": rate.model,
                "task": rate.task,
                "items": rate.items,
                "items_of": rate.items_of,
                "win_rate": rate.win_rate,
                "win_rate_stderr": rate.win_rate_stderr,
                "length_controlled": rate.length_controlled,
                "length_controlled_low": low,
                "length_controlled_high": high,
                "length_control": rate.length_control,
                "win_rate_as_written": rate.win_rate_as_written,
                "length_controlled_as_written": rate.length_controlled_as_written,
                "flips": rate.flips,
                "parse_errors": rate.parse_errors,
            }
        )
    return pd.DataFrame(rows)


def spread_win_rates(rates: Sequence[JudgedRate]) -> pd.DataFrame:
    """The table for people, for one setting: a row for each model and task."""

    def write(value: float | None, interval: tuple[float, float] | None) -> str:
        ends = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
        return "" if value is None else f"{value:.3f}{ends}"

    return pd.DataFrame(
        {
            "model": rate.model,
            "task": rate.task,
            "items": f"{rate.items}/{rate.items_of}",
            "win rate": write(rate.win_rate, rate.interval),
            "length-controlled": write(rate.length_controlled, rate.controlled_interval) or rate.length_control,
            "as written": write(rate.win_rate_as_written, None),
            "flips": write(rate.flips, None),
            "parse errors": write(rate.parse_errors, None),
        }
        for rate in (one.rate for one in rates)
    )


def tabulate_costs(records: Sequence[Record]) -> pd.DataFrame:
    """What training and measuring each model cost, as the stages measured it. ``thinking_tokens`` are part of the ``generated_tokens``.

    ``evaluation_seconds`` is what all its answers cost when they were made, and ``paid_seconds`` what its last measurement cost, to which
    kept answers contributed nothing. ``inference_factor`` is the number of tokens that were read and written for an answer, as a multiple
    of those of the base in the same suite.
    """
    rows = []
    bases = {record.suite: _count_tokens(record) for record in records if record.label == "base"}
    for record in records:
        fit, evaluation = record.cost.get("fit", {}), record.cost.get("evaluate", {})
        row = {"model": record.name, **{key: fit.get(key) for key in COST if key in fit}}
        told = {name: evaluation.get(name) for name in ("generated_tokens", "thinking_tokens")}
        paid = evaluation.get("paid") or {}
        mine, base = _count_tokens(record), bases.get(record.suite)
        more = {
            "extra_parameters": record.extra_parameters,
            "inference_factor": mine / base if mine and base and record.label != "base" else None,
            "chosen_on": record.chosen_on or None,
        }
        rows.append({**row, **more, "evaluation_seconds": evaluation.get("seconds"), "paid_seconds": paid.get("seconds"), **told})
    return pd.DataFrame(rows)


def _count_tokens(record: Record) -> float | None:
    """The tokens that were read and written for an answer of the model, as a mean over its answers; None if it gave none."""
    found = [record.cost.get("evaluate", {}).get(name) for name in ("prompt_tokens", "generated_tokens", "requests")]
    read, written, answers = (value if isinstance(value, int | float) else 0 for value in found)
    return (read + written) / answers if answers else None


COSTS = (
    ("rows", "rows", "{:,.0f}"),
    ("weights trained", "trained_parameters", "{:,.0f}"),
    ("tokens trained", "tokens_trained", "{:,.0f}"),
    ("steps", "steps", "{:,.0f}"),
    ("epochs", "epochs", "{:.3g}"),
    ("padding", "padding_share", "{:.1%}"),
    ("training", "seconds", "seconds"),
    ("peak memory, MiB", "peak_memory_mib", "{:,.0f}"),
    ("final loss", "final_loss", "{:.3f}"),
    ("device", "device", "{}"),
    ("weights beside the base's", "extra_parameters", "{:,.0f}"),
    ("tokens an answer, of the base's", "inference_factor", "{:.2f}"),
    ("chosen on", "chosen_on", "{}"),
    ("measuring", "evaluation_seconds", "seconds"),
    ("of it paid last", "paid_seconds", "seconds"),
    ("tokens generated", "generated_tokens", "{:,.0f}"),
    ("of them thinking", "thinking_tokens", "{:,.0f}"),
)
"""The name of each cost, its column in ``tabulate_costs``, and its format."""


def write_cost(value: Any, form: str) -> str:
    """A cost in one of the formats of ``COSTS``; empty if it is missing."""
    return "" if pd.isna(value) else write_seconds(value) if form == "seconds" else form.format(value)


def spread_costs(costs: pd.DataFrame) -> pd.DataFrame:
    """The table for people: a row for each cost that any model has, a column for each model."""
    rows = []
    for title, column, form in COSTS:
        if column in costs and any(value for value in costs[column] if not pd.isna(value)):
            cells = [write_cost(value, form) for value in costs[column]]
            rows.append({"cost": title, **dict(zip(costs["model"], cells, strict=True))})
    return pd.DataFrame(rows)
