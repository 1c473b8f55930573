"""``xlift signal``, which says which measures of a run tell methods apart, and ``xlift plan-items``, which says how many items a suite
needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import xlift
from xlift.harness.cli.arguments import AsJson, Overrides, SuiteName
from xlift.harness.cli.naming import naming
from xlift.harness.cli.output import list_rows, print_frame, print_table

if TYPE_CHECKING:
    import pandas as pd

Difference = Annotated[float, typer.Option("--difference", help="The difference to find, in points of 100.")]
Bits = Annotated[float, typer.Option("--bits", help="The difference to find in bits per byte.")]


def signal(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, such as runs/methods-small.")],
    difference: Difference = 1.0, bits: Bits = 0.01, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Say which measures of finished runs tell their methods apart, and which cheap measure predicts which expensive one."""
    results = xlift.load_results(*folders)
    found, agreement, order = results.signal(difference, bits), results.agreement(), results.order()
    if as_json:
        tables = {name: list_rows(table) for name, table in {"signal": found, "agreement": agreement, "order": order}.items()}
        typer.echo(json.dumps({**tables, "left_out": results.lost}, ensure_ascii=False, indent=1))
        return
    for line in results.lost:
        typer.echo(f"left out: {line}")
    title = f"What tells methods apart (items and seeds for {difference:g} points of 100, or {bits:g} bits per byte)"
    print_table(_round(_choose_columns(found)), title, keys=2)
    for row in found[found["at_floor"]].to_dict("records"):
        typer.echo(f"set aside: {row['task']} {row['metric']}: no model rises above chance or the floor (base {row['base']:.3g})")
    if agreement.empty:
        typer.echo("No agreement of likelihoods with answers: it takes four methods that were measured by both, and their base.")
    else:
        print_table(_round(agreement.drop(columns="languages")), "How well the lift by one measure foretells that by another", keys=2)
    if (ordered := order.dropna(subset="kept")).empty:
        typer.echo("No order of methods before the end of their training: it takes two methods with train.measure_at.")
    else:
        print_table(_round(ordered), "Pairs of methods in their order of the end, by share of the budget", keys=2)


def _choose_columns(found: pd.DataFrame) -> pd.DataFrame:
    """The measures that are not set aside, with the columns for people. Noise between late points has a column if there is any."""
    firm = found[~found["at_floor"]]
    late = ["late_noise", "late_ratio"] if firm["late_noise"].notna().any() else []
    needed = ["told", "items_needed", "seeds_needed"]
    shown = ["task", "metric", "items", "base", "signal", "noise", "ratio", *late, "reliability", *needed]
    told = firm.assign(told=[f"{told}/{pairs}" for told, pairs in zip(firm["told"], firm["pairs"], strict=True)])
    return told.sort_values(["metric", "task"])[shown]


def plan_items(
    suite: SuiteName, overrides: Overrides = None, difference: Difference = 1.0, bits: Bits = 0.01,
    pilot: Annotated[list[Path] | None, typer.Option("--pilot", help="A finished run that shows the spread of such tasks.")] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Say how many items each task of a suite needs to find a difference, before it runs."""
    with naming(suite):
        found = xlift.plan_items(xlift.load_suite(suite, overrides or []), pilot or [], difference=difference, bits=bits)
    if as_json:
        print_frame(found, as_json)
        return
    print_table(_round(found.drop(columns="source")), keys=2)
    for source, tasks in found.groupby("source", sort=False)["task"]:
        typer.echo(f"spread {source}: {', '.join(tasks)}")


def _round(table: pd.DataFrame) -> pd.DataFrame:
    """Three digits for people."""
    numbers = table.select_dtypes("float").columns
    return table.assign(**{name: [float(f"{value:.3g}") for value in table[name]] for name in numbers})
