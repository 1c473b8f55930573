"""Judging as one call, for ``xlift judge`` and for the last step of a suite with a ``judge`` block."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from xlift.harness.config.judge import JudgeSettings
from xlift.harness.config.suite import Suite
from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.judging.judges import check_model, open_judge
from xlift.harness.judging.references import CORPUS, TASK, language_of, published
from xlift.harness.judging.replies import Calibration, calibrate
from xlift.harness.judging.win_rates import is_judged, judge_runs
from xlift.tasks import data

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judgement:
    """What a judge said of some runs."""

    calibration: Calibration | None
    """The calibration, if it was asked for."""
    rows: list[dict[str, Any]]
    """The win rates, one row for each model and language."""


def judge(settings: JudgeSettings, runs: Sequence[Path], verdicts: Path = Path("runs/judges")) -> Judgement:
    """Ask the judge the probes if the settings say so, then judge the answers of runs. Replies are kept in ``verdicts``.

    Raises UserError if the judge fails. What it had said is kept, and the same call continues from there.
    """
    table, kept = _read_table(settings.difficulty), settings.verdicts or verdicts
    opened = open_judge(settings)
    try:
        calibration = calibrate(opened, settings.mode, kept) if settings.calibrate else None
        return Judgement(calibration, judge_runs(opened, settings, runs, kept, table) if runs else [])
    finally:
        opened.close()


def judge_suite(suite: Suite, run: Path) -> None:
    """Judge the answers of a finished run as its suite says; nothing if it names no judge, or if everything is judged already.

    Raises UserError if the judge fails. Scores and answers are not lost, and the same command continues.
    """
    if suite.judge is None or is_judged(suite.judge, run):
        return
    logger.info("judge: %s against %s", suite.judge.name, suite.judge.against)
    judge(suite.judge, [run], run.parent / "judges")


def check(suite: Suite, tasks: Sequence[str]) -> None:
    """Raise UserError for mistakes in a suite's ``judge`` block that can be found without a model and without data."""
    settings = suite.judge
    if settings is None:
        return
    if not choose(tasks):
        raise UserError(f"judge: there is nothing to judge; add {TASK} to evaluate.tasks")
    models = ["base", *suite.methods, *suite.evaluate.adapters]
    if settings.against not in (*models, *published()):
        known = [*models, *published()]
        raise UserError(f"judge.against: {settings.against!r} is neither a model of the suite nor published answers"
                        f"{name_nearest(settings.against, known)}")  # fmt: skip
    if models == [settings.against]:
        raise UserError(
            f"judge.against: {settings.against} is the only model of the suite; name published answers: {', '.join(published())}"
        )


def check_sources(suite: Suite, tasks: Sequence[str]) -> None:
    """Raise UserError if the judge's model, its table or the answers to judge against cannot be found. Nothing is loaded."""
    settings = suite.judge
    if settings is None:
        return
    check_model(settings)
    _read_table(settings.difficulty)
    if settings.against not in published():
        return
    missing = []
    for language in filter(None, map(language_of, tasks)):
        supply = data.survey(CORPUS, language, settings.against)
        if supply.state == "nowhere":
            missing.append(supply.place)
    if len(missing) == len(choose(tasks)):
        raise UserError(f"judge.against: the answers of {settings.against} are nowhere to be found: {missing[0]}")


def count_requests(settings: JudgeSettings, items: int, models: int) -> int:
    """The most requests that judging ``items`` answers of each model can cost, in both orders, without the opponent's own answers and
    probes."""
    return 2 * items * (models - (settings.against not in published()))


def choose(tasks: Sequence[str]) -> list[str]:
    """The tasks among these whose answers can be judged."""
    return [task for task in tasks if language_of(task)]


def _read_table(path: Path | None) -> pd.DataFrame | None:
    if path is None:
        return None
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"--difficulty {path}: no CSV that can be read ({str(error).splitlines()[0]})") from None
