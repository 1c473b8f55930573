"""``xlift judge``, win rates of finished runs by a judge that is named, and ``xlift fidelity``, the languages of their answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from xlift.harness.core.errors import UserError

JUDGE = "URL|engine:MODEL|lm:TYPE,ARGS"

SHOWN = {
    "label": "model", "seed": "seed", "lang": "lang", "items": "items", "items_of": "of", "win_rate": "win rate", "win_rate_stderr": "±",
    "length_controlled": "length-controlled", "wins": "wins", "ties": "ties", "losses": "losses", "errors": "errors", "flips": "flips",
    "parse_errors": "parse errors", "off_target": "off-target", "characters": "characters", "reference_characters": "reference's",
}  # fmt: skip


def judge(
    runs: Annotated[list[Path] | None, typer.Argument(metavar="RUN...", help="Run folders with X-AlpacaEval answers.")] = None,
    judge: Annotated[str | None, typer.Option("--judge", metavar=JUDGE, help="There is no default.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model's name at the URL.")] = None,
    mode: Annotated[str | None, typer.Option("--mode", help="weighted (AlpacaEval 2, the default) or verdict (MT-Bench, PLUG).")] = None,
    against: Annotated[
        str | None, typer.Option("--against", help="A model of the run, or published answers (gpt-4-turbo-2024-04-09 by default).")
    ] = None,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Put the built-in probes to the judge first.")] = False,
    difficulty: Annotated[Path | None, typer.Option("--difficulty", metavar="CSV", help="AlpacaEval's table, for length control.")] = None,
    limit_tokens: Annotated[int | None, typer.Option("--limit-tokens", help="Most tokens to spend at the URL.")] = None,
    concurrency: Annotated[int | None, typer.Option("--concurrency", help="Requests under way at once (16).")] = None,
    requests_per_minute: Annotated[float | None, typer.Option("--requests-per-minute", help="Most requests a minute.")] = None,
    key_variable: Annotated[str | None, typer.Option("--key-variable", help="Variable that holds the key (OPENAI_API_KEY).")] = None,
    verdicts: Annotated[
        Path | None, typer.Option("--verdicts", help="Where judges' replies are kept, for all runs (runs/judges).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:  # fmt: skip
    """Compare X-AlpacaEval answers of finished runs with others, by a judge; generations are never touched."""
    given = locals()
    from xlift.harness.config.judge import JudgeSettings
    from xlift.harness.core.settings import build
    from xlift.harness.judging import judgement

    # What is not given is left to the settings' own defaults, which a suite has too.
    asked = {name: given[name] for name in JudgeSettings.model_fields if given[name] is not None}
    settings = build(JudgeSettings, asked, "command line")
    if not runs and not calibrate:
        raise UserError("name a run folder, such as runs/demo, or say --calibrate to put the probes to the judge")
    found = judgement.judge(settings, runs or [])
    if as_json:
        typer.echo(json.dumps({"calibration": found.calibration, "results": found.rows}, ensure_ascii=False, indent=1))
        return
    _show(found.calibration, found.rows, settings.against)


def fidelity(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Language and script of the answers of finished runs, mixed languages, refusals, empty and repeated answers."""
    from xlift.harness.cli.output import print_rows
    from xlift.harness.diagnostics.fidelity import report

    rows = report(runs)
    if not as_json:
        rows = [{key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()} for row in rows]
    print_rows(rows, as_json)


def _show(calibration: dict[str, Any] | None, rows: list[dict[str, Any]], against: str) -> None:
    import pandas as pd

    from xlift.harness.cli.output import print_table

    if calibration:
        title = f"What {calibration['judge']['model']} gets right ({calibration['mode']} mode, calibration {calibration['digest']})"
        print_table(pd.DataFrame(calibration["rows"]).round(3), title)
    if not rows:
        return
    shown = pd.DataFrame([{title: row[key] for key, title in SHOWN.items()} for row in rows]).round(4)
    print_table(
        shown.dropna(axis="columns", how="all"), f"Win rates against {against}, judged by {rows[0]['judge']} ({rows[0]['mode']} mode)"
    )
    typer.echo(f"calibration: {rows[0]['calibration']}; length control: {'; '.join(dict.fromkeys(row['length_control'] for row in rows))}")
    if any(row["items"] < row["items_of"] for row in rows):
        typer.echo("Smoke test: not all items of every task were judged.")
