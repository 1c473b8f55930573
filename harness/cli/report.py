"""``xlift report``: scores, lifts and costs of finished runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import xlift
from xlift.harness.cli.arguments import RUNS, AsJson, Runs, SuiteName
from xlift.harness.cli.output import print_frame, print_table
from xlift.harness.core.errors import UserError
from xlift.harness.core.limits import LEAST_DOCUMENTS

if TYPE_CHECKING:
    import pandas as pd

    from xlift import Results

Marks = Mapping[tuple[str, str, str, bool], int]
"""The significant lifts, as ``conclusion.mark_lifts`` returns them."""


MANY = 6
"""Above this number of models, base included, a report has one line for each method in place of a column for each training."""


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, such as runs/demo.")],
    everything: Annotated[
        bool, typer.Option("--all", help=f"Print the scores and costs of each training, also of more than {MANY} models.")
    ] = False,
    over: Annotated[
        str | None, typer.Option("--over", metavar="LABEL", help="Print the lifts over this row, such as a control, and nothing else.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the scores, lifts and costs of finished runs."""
    results = xlift.load_results(*folders)
    if over is None:
        print_report(results, as_json, everything=everything)
    else:
        _print_over(results, over, as_json)


def compare_paper(suite: SuiteName, runs: Runs = RUNS, as_json: AsJson = False) -> None:
    """Set what a paper's suite measured beside what the paper reports; before a run, show the paper's numbers alone."""
    chosen = xlift.load_suite(suite)
    folder = runs / chosen.name
    found = (xlift.load_results(folder) if folder.is_dir() else xlift.Results((folder,), ())).compare_paper(chosen)
    if as_json:
        print_frame(found, as_json)
        return
    empty = [name for name in found if name not in ("ours", "difference") and found[name].replace("", None).isna().all()]
    shown = found.drop(columns=[*{"source", "differs", *empty}])
    print_table(shown.assign(**{name: shown[name].round(3) for name in shown.select_dtypes("number").columns}), keys=3)
    for column, title in (("source", "Source"), ("differs", "What differs")):
        metrics: dict[str, list[str]] = {}
        for text, metric in zip(found[column], found["metric"], strict=True):
            metrics.setdefault(text, []).append(metric)
        for text, named in metrics.items():
            if text:
                typer.echo(f"{title} of {', '.join(dict.fromkeys(named))}: {text}")
    if not folder.is_dir():
        typer.echo(f"Nothing of it was measured in {folder} yet.")
    elif absent := int(found["ours"].isna().sum()):
        lacks = f"{folder} lacks their task, metric or language (a mean needs all of its languages)"
        typer.echo(f"Without a number of ours: {absent} of {len(found)} rows; {lacks}.")


def report_on(work: Callable[[], Results], as_json: bool) -> Results:
    """Do the work and print what was measured. If a judge fails, the scores are printed all the same, and its error is raised after the
    tables."""
    try:
        results = work()
    except xlift.JudgeError as error:
        _print_run(error.results, as_json)
        raise
    _print_run(results, as_json)
    return results


def _print_run(results: Results, as_json: bool) -> None:
    print_report(results, as_json)
    for folder in results.folders:
        typer.echo(f"results: {folder}", err=True)


def print_report(results: Results, as_json: bool, *, everything: bool = False) -> None:
    """Print results as tables, or as one JSON object. Raises UserError if no task has a score.

    Of more than ``MANY`` models one line for each method is printed, and each training only with ``everything``.
    """
    from xlift.leaderboard.analysis import tables

    scores = results.scores
    if scores.empty:
        where = ", ".join(map(str, results.folders))
        raise UserError(f"{where}: {len(results.records)} measured models, and no task has a score; evaluate them again")
    sentences, marks = _conclude(results)
    single = tables.name_one_seed(results.records)
    controls = [*dict.fromkeys(record.label for record in results.records if record.control)]
    if as_json:
        found = {
            "scores": scores,
            "lifts": scores.iloc[:0] if marks is None else results.lifts(),
            "costs": results.costs,
            "win_rates": results.win_rates,
            "consistency": results.consistency(),
            "policies": results.policies(),
        }
        written = {name: json.loads(table.to_json(orient="records")) for name, table in found.items()}
        said = {"one_seed": single, "controls": controls, "left_out": [*results.left_out, *results.lost], "conclusion": sentences}
        typer.echo(json.dumps({**written, **said}, indent=1))
        return
    in_short = not everything and len(results.records) > MANY
    lifts = results.overview() if in_short else {}
    if lifts:
        _print_lifts(lifts)
    else:
        title = "Scores (± standard error; lift over the base in brackets, * if significant)"
        print_table(tables.spread_models(scores, marks or {}), title, keys=3, style=_colour(scores, marks or {}))
    _print_more_tables(results)
    _print_costs(results.costs, in_short=bool(lifts))
    for line in _list_losses(results):
        typer.echo(line)
    if controls:
        typer.echo(f"Controls, which leave out the idea of their method: {', '.join(controls)}.")
    if single:
        typer.echo(
            f"One seed: {', '.join(single)}. Errors and lifts are of that one training; what another seed would change is not known."
        )
    for line in [*tables.doubt_lifts(scores), *tables.doubt_thinking(results.records), *tables.doubt_tokens(results.records)]:
        typer.echo(line)
    if small := {task: result.items for record in results.records for task, result in record.tasks.items() if result.is_smoke}:
        least = ", ".join(f"{task} ({items})" for task, items in small.items())
        typer.echo(f"Smoke test: a limit left too few items of {least}.")
    for line in [*results.left_out, *results.lost]:
        typer.echo(f"left out: {line}")
    if lifts:
        typer.echo(f"Each of the {len(results.records)} models by itself: xlift report {' '.join(map(str, results.folders))} --all")
    for line in sentences:
        typer.echo(line)


def _print_over(results: Results, over: str, as_json: bool) -> None:
    """The lifts over one row. Raises UserError if nothing can be compared with it."""
    from xlift.leaderboard.analysis.overview import mark_label

    if as_json:
        print_frame(results.lifts(over=over), as_json)
    elif lifts := results.overview(over):
        suites = list(dict.fromkeys(record.suite for record in results.records))
        _print_lifts(lifts, mark_label(over, [record for record in results.records if record.label == over]), several=len(suites) > 1)
        for suite in suites:
            if suite not in lifts:
                typer.echo(f"{suite}: nothing to compare with {over}.")
    else:
        raise UserError(f"--over {over}: nothing can be compared with it, as no benchmark has {LEAST_DOCUMENTS} items of both")


def _print_lifts(lifts: Mapping[str, pd.DataFrame], over: str = "the base", several: bool = False) -> None:
    title = f"Lift over {over}, in points or bits per byte (95 % interval over items and seeds; * if significant)"
    for suite, table in lifts.items():
        print_table(table, f"{suite}: {title}" if several or len(lifts) > 1 else title, keys=1, style=_colour_lifts(table))


def _colour_lifts(table: pd.DataFrame) -> Callable[[int, str], str | None]:
    def colour(number: int, column: str) -> str | None:
        text = str(table[column].iloc[number])
        return None if not text.endswith("*") else "red" if text.startswith("-") else "green"

    return colour


def _print_more_tables(results: Results) -> None:
    """What only some runs have: win rates, consistency across languages, and choices among profiles."""
    from xlift.leaderboard.analysis import tables
    from xlift.leaderboard.loading.win_rates import group_settings, name_calibrations, read_win_rates

    for setting, some in group_settings(read_win_rates(results.measurements)).items():
        judged = f"judged by {setting.name} (calibration: {name_calibrations(some)})"
        title = f"Win rates {judged}; not comparable with other judges, modes, opponents"
        print_table(tables.spread_win_rates(some), title, keys=2)
    if not (consistency := results.consistency()).empty:
        title = "Consistency of knowledge across languages (RankC; 95 % intervals over facts)"
        print_table(consistency.drop(columns=["benchmark"]).round(3), title, keys=3)
    if not (policies := results.policies()).empty:
        title = "Choices among profiles (best_single and oracle look at the benchmark's answers, and are bounds)"
        print_table(policies.round(3), title, keys=3)


def _print_costs(costs: pd.DataFrame, *, in_short: bool) -> None:
    from xlift.leaderboard.analysis import overview, tables

    if in_short:
        print_table(overview.summarise_costs(costs), "Cost of one training and of its measuring, as means over seeds", keys=1)
    elif not (spread := tables.spread_costs(costs)).empty:
        print_table(spread, "Cost", keys=1)


def _list_losses(results: Results) -> list[str]:
    """A line for each part that lost as large a share of its rows, with the models that share it."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for record in results.records:
        losses = record.cost.get("prepare", {}).get("losses")
        for part, share in losses.items() if isinstance(losses, dict) else ():
            found.setdefault((part, f"{share:.0%}"), {})[record.label] = None
    where = "the drops by reason are in the prepare stage's manifest.json"
    return [f"{', '.join(labels)}: {part} lost {share} of its rows; {where}" for (part, share), labels in found.items()]


def _conclude(results: Results) -> tuple[list[str], Marks | None]:
    """The last sentences, and which lifts are significant. If nothing can be compared, the sentence is the reason, and marks are None."""
    from xlift.leaderboard.analysis.conclusion import mark_lifts

    try:
        return results.conclude(), mark_lifts(results.lifts(by="task"))
    except UserError as error:
        return [f"No method can be compared with the base: {error}"], None


def _colour(scores: pd.DataFrame, marks: Marks) -> Callable[[int, str], str | None]:
    """Green for a lift that is significantly better than the base, red for one that is worse, by row and column of ``spread_models``."""
    rows = list(dict.fromkeys(zip(scores["task"], scores["metric"], scores["items"], strict=True)))
    models = {row["model"]: (row["suite"], row["model"].partition(" (seed ")[0]) for row in scores.to_dict("records")}

    def colour(number: int, column: str) -> str | None:
        task, metric, _ = rows[number]
        mark = marks.get((*models[column], task, metric == "off_target"), 0) if column in models else 0
        return {1: "green", -1: "red"}.get(mark)

    return colour
