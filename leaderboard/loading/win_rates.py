"""Win rates by judges, as judging leaves them beside a run's evaluations.

A judge, its mode and prompt, and the opponent make a setting. Win rates of two settings are never on one scale, so they share no column and
no rank.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import JUDGEMENTS, Judgements, Measurement, Record, WinRate, read_judgements
from xlift.harness.evaluation.samples import read_lines


@dataclass(frozen=True, order=True)
class Setting:
    """Who judged, how, and against whom."""

    judge: str
    mode: str
    against: str
    served: str
    """The name that the server gave to the model; empty for local judges."""
    prompt: str
    """The sha256 of the judge's prompt."""
    key: str
    """The hash of everything that describes the judge and the opponent."""

    @property
    def name(self) -> str:
        return f"{self.judge}, {self.mode} mode, against {self.against}"


@dataclass(frozen=True)
class JudgedRate:
    """A win rate and who gave it."""

    setting: Setting
    digest: str
    """Digest of what the judge got right of the probes, or "not calibrated"."""
    rate: WinRate
    verdicts: Path

    @property
    def calibration(self) -> str:
        """What the calibration says of the judge in the language of the task, with its digest."""
        said = self.rate.calibrated
        return f"{said} ({self.digest})" if said and said != self.digest else self.digest


def name_calibrations(rates: Iterable[JudgedRate]) -> str:
    """What is known of the judges of some win rates, each statement once."""
    return "; ".join(dict.fromkeys(one.calibration for one in rates))


def read_win_rates(measurements: Iterable[Measurement]) -> list[JudgedRate]:
    """The win rates beside some measurements that belong to their answers. Those of older answers are left out.

    Raises UserError for a damaged file.
    """
    runs: dict[Path, list[Record]] = {}
    for one in measurements:
        runs.setdefault(one.stage.parent, []).append(one.record)
    found = [rate for run, records in runs.items() for rate in _read_run(run, records)]
    return sorted(found, key=_order)


def _order(one: JudgedRate) -> tuple[Setting, str, bool, str, int, str]:
    rate = one.rate
    return one.setting, rate.suite, rate.label != "base", rate.label, rate.seed or 0, rate.task


def _read_run(run: Path, records: Sequence[Record]) -> list[JudgedRate]:
    found = []
    for path in sorted(run.glob(f"judge-*/{JUDGEMENTS}")):
        said = read_judgements(path)
        setting = _name_setting(said)
        for rate in said.results:
            if any(rate.belongs_to(record) for record in records):
                found.append(JudgedRate(setting, said.calibration, rate, path.parent / rate.verdicts))
    return found


def _name_setting(said: Judgements) -> Setting:
    judge, named = said.judge, json.dumps([said.judge, said.against], sort_keys=True).encode()
    return Setting(
        judge=str(judge["model"]),
        mode=str(judge["mode"]),
        against=said.against,
        served=str(judge.get("served") or ""),
        prompt=str(judge["prompt_sha256"]),
        key=hashlib.sha256(named).hexdigest()[:12],
    )


def group_settings(rates: Sequence[JudgedRate]) -> dict[Setting, list[JudgedRate]]:
    """Win rates by setting, each of which may be one table."""
    grouped: dict[Setting, list[JudgedRate]] = {}
    for one in rates:
        grouped.setdefault(one.setting, []).append(one)
    return grouped


def read_verdicts(judged: JudgedRate) -> dict[str, str]:
    """What the judge said of each item, as text by the item's id. Raises UserError for a damaged file."""
    found = {}
    try:
        for line in read_lines(judged.verdicts):
            preference = line["preference"]
            worth = "cannot be read" if preference is None else f"{preference:.2f} for the answer"
            found[str(line["id"])] = f"{line['outcome']}: {worth}"
            if replies := line.get("replies"):  # a published record lacks them
                found[str(line["id"])] += f"\nanswer first: {replies[0]}\nopponent first: {replies[1]}"
    except (OSError, LookupError, TypeError, ValueError, AttributeError):
        raise UserError(f"{judged.verdicts.name}: damaged or gone; judge the run again") from None
    return found
