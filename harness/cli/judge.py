"""``xlift judge``, win rates of finished runs by a judge that you name, and ``xlift fidelity``, the languages of their answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import xlift
from xlift.harness.cli.arguments import JUDGE, AsJson
from xlift.harness.cli.output import print_frame, print_table
from xlift.harness.core.errors import UserError
from xlift.harness.core.limits import is_smoke

if TYPE_CHECKING:
    from xlift.harness.judging.replies import Calibration

SHOWN = {
    "label": "model", "seed": "seed", "lang": "lang", "items": "items", "items_of": "of", "win_rate": "win rate", "win_rate_stderr": "±",
    "length_controlled": "length-controlled", "win_rate_as_written": "as written", "wins": "wins", "ties": "ties", "losses": "losses",
    "errors": "errors", "flips": "flips", "parse_errors": "parse errors", "calibrated": "judge here",
    "off_target": "off-target", "characters": "characters", "reference_characters": "reference's",
}  # fmt: skip


def judge(
    runs: Annotated[list[Path] | None, typer.Argument(metavar="RUN...", help="Run folders with X-AlpacaEval answers.")] = None,
    judge: Annotated[str | None, typer.Option("--judge", metavar=JUDGE, help="The judge. There is no default.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model's name at the URL.")] = None,
    mode: Annotated[str | None, typer.Option("--mode", help="weighted (AlpacaEval 2, the default) or verdict (MT-Bench, PLUG).")] = None,
    against: Annotated[
        str | None, typer.Option("--against", help="A model of the run, or published answers (gpt-4-turbo-2024-04-09 by default).")
    ] = None,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Ask the judge the built-in probes first.")] = False,
    difficulty: Annotated[Path | None, typer.Option("--difficulty", metavar="CSV",
            help="AlpacaEval's table of difficulties, for length control.")] = None,
    limit_tokens: Annotated[int | None, typer.Option("--limit-tokens", help="The most tokens to spend at the URL.")] = None,
    concurrency: Annotated[int | None, typer.Option("--concurrency", help="How many requests are sent at once (16).")] = None,
    requests_per_minute: Annotated[float | None, typer.Option("--requests-per-minute", help="The most requests in a minute.")] = None,
    key_variable: Annotated[str | None, typer.Option("--key-variable",
            help="Environment variable that holds the key (OPENAI_API_KEY).")] = None,
    verdicts: Annotated[
        Path | None, typer.Option("--verdicts", help="Folder of judges' replies, for all runs (judges beside the first run).")
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Compare X-AlpacaEval answers of finished runs with others, by a judge; generations are never touched."""
    if not runs and not calibrate:
        raise UserError("name a run folder, such as runs/demo, or say --calibrate to put the probes to the judge")
    asked = {
        "model": model, "mode": mode, "against": against, "calibrate": calibrate, "difficulty": difficulty, "limit_tokens": limit_tokens,
        "concurrency": concurrency, "requests_per_minute": requests_per_minute, "key_variable": key_variable, "verdicts": verdicts,
    }  # fmt: skip
    # What is not given is left to the settings' own defaults, which a suite has too.
    settings = {name: value for name, value in asked.items() if value is not None}
    who = judge or ""
    found = xlift.load_results(*runs).judge(who, **settings) if runs else xlift.calibrate(who, **settings)
    if as_json:
        typer.echo(json.dumps({"calibration": found.calibration, "results": found.rows}, ensure_ascii=False, indent=1))
        return
    _show(found.calibration, found.rows)


def fidelity(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    as_json: AsJson = False,
) -> None:
    """Language and script of the answers of finished runs, mixed languages, refusals, empty and repeated answers."""
    found = xlift.load_results(*runs).fidelity()
    print_frame(found if as_json else found.round(3), as_json)


def _show(calibration: Calibration | None, rows: list[dict[str, Any]]) -> None:
    import pandas as pd

    if calibration:
        title = f"What {calibration['judge']['model']} gets right ({calibration['mode']} mode, calibration {calibration['digest']})"
        print_table(pd.DataFrame(calibration["rows"]).round(3), title)
    if not rows:
        return
    shown = pd.DataFrame([{title: row[key] for key, title in SHOWN.items()} for row in rows]).round(4).dropna(axis="columns", how="all")
    first = rows[0]
    print_table(shown, f"Win rates against {first['against']}, judged by {first['judge']} ({first['mode']} mode)")
    typer.echo(f"calibration: {first['calibration']}; length control: {'; '.join(dict.fromkeys(row['length_control'] for row in rows))}")
    if any(is_smoke(row["items"], row["items_of"]) for row in rows):
        typer.echo("Smoke test: too few items of a task were judged.")
