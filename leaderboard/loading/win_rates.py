"""Win rates by judges, as judging leaves them beside a run's evaluations.

A judge, its mode and prompt, and the opponent make a setting. Win rates of two settings are never on one scale: they share no column and
no rank.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import Measurement, Record
from xlift.harness.evaluation.samples import read_lines

Z = 1.96


@dataclass(frozen=True, order=True)
class Setting:
    """Who judged, how, and against whom."""

    judge: str
    mode: str
    against: str
    served: str
    """The name the server gave to the model; empty for local judges."""
    prompt: str
    """Sha256 of the judge's prompt."""
    key: str
    """Hash of all that describes the judge, and of the opponent."""

    @property
    def name(self) -> str:
        return f"{self.judge}, {self.mode} mode, against {self.against}"


@dataclass(frozen=True)
class WinRate:
    """One model's win rate on one task; shares are between 0 and 1, None where nothing could be read."""

    setting: Setting
    calibration: str
    """Digest of what the judge got right of the probes, or "not calibrated"."""
    suite: str
    label: str
    seed: int | None
    task: str
    items: int
    items_of: int
    value: float | None
    stderr: float | None
    controlled: float | None
    """At equal length."""
    controlled_stderr: float | None
    control: str
    """The formula, or why there is no length-controlled one."""
    flips: float | None
    parse_errors: float | None
    verdicts: Path

    @property
    def model(self) -> str:
        return self.label if self.seed is None else f"{self.label} (seed {self.seed})"

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % of the win rate, by the normal approximation."""
        return _spread(self.value, self.stderr)

    @property
    def controlled_interval(self) -> tuple[float, float] | None:
        """95 % of the length-controlled win rate."""
        return _spread(self.controlled, self.controlled_stderr)


def _spread(value: float | None, stderr: float | None) -> tuple[float, float] | None:
    if value is None or stderr is None:
        return None
    return max(0.0, value - Z * stderr), min(1.0, value + Z * stderr)


def read_win_rates(measurements: Iterable[Measurement]) -> list[WinRate]:
    """The win rates beside some measurements that belong to their answers; those of older answers are left out.

    Raises UserError for a damaged file.
    """
    runs: dict[Path, list[Record]] = {}
    for one in measurements:
        runs.setdefault(one.stage.parent, []).append(one.record)
    found = [rate for run, records in runs.items() for rate in _read_run(run, records)]
    return sorted(found, key=lambda one: (one.setting, one.suite, one.label != "base", one.label, one.seed or 0, one.task))


def _read_run(run: Path, records: Sequence[Record]) -> list[WinRate]:
    found = []
    for path in sorted(run.glob("judge-*/judgements.json")):
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            judge = said["judge"]
            named = json.dumps([judge, said["against"]], sort_keys=True).encode()
            setting = Setting(
                str(judge["model"]), str(judge["mode"]), str(said["against"]), str(judge.get("served") or ""),
                str(judge["prompt_sha256"]), hashlib.sha256(named).hexdigest()[:12],
            )  # fmt: skip
            rows = [_take(row, setting, str(said["calibration"]), path) for row in said["results"] if _belongs(row, records)]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{path}: damaged; delete it and judge the run again") from None
        found += rows
    return found


def _belongs(row: Mapping[str, Any], records: Sequence[Record]) -> bool:
    """Whether a record's task has the answers that were judged: judgements of older answers stay in the run folder."""
    results = [record.tasks.get(row["task"]) for record in records if (record.label, record.seed) == (row["label"], row["seed"])]
    return any(
        result is not None and result.comparability == row["comparability"] and row.get("samples", result.samples) == result.samples
        for result in results
    )


def _take(row: Mapping[str, Any], setting: Setting, calibration: str, path: Path) -> WinRate:
    def share(name: str) -> float | None:
        return None if row.get(name) is None else float(row[name])

    file = str(row["verdicts"])
    if Path(file).name != file:
        raise ValueError(file)
    return WinRate(
        setting, calibration, str(row["suite"]), str(row["label"]), row["seed"], str(row["task"]), int(row["items"]), int(row["items_of"]),
        share("win_rate"), share("win_rate_stderr"), share("length_controlled"), share("length_controlled_stderr"),
        str(row["length_control"]), share("flips"), share("parse_errors"), path.parent / file,
    )  # fmt: skip


def group_settings(rates: Sequence[WinRate]) -> dict[Setting, list[WinRate]]:
    """Win rates by setting: what may stand in one table."""
    grouped: dict[Setting, list[WinRate]] = {}
    for one in rates:
        grouped.setdefault(one.setting, []).append(one)
    return grouped


def read_verdicts(rate: WinRate) -> dict[str, str]:
    """What the judge said of each item, as text by the item's id. Raises UserError for a damaged file."""
    found = {}
    try:
        for line in read_lines(rate.verdicts):
            preference = line["preference"]
            worth = "cannot be read" if preference is None else f"{preference:.2f} for the answer"
            found[str(line["id"])] = f"{line['outcome']}: {worth}"
            if replies := line.get("replies"):  # a published record lacks them
                found[str(line["id"])] += f"\nanswer first: {replies[0]}\nopponent first: {replies[1]}"
    except (OSError, LookupError, TypeError, ValueError, AttributeError):
        raise UserError(f"{rate.verdicts.name}: damaged or gone; judge the run again") from None
    return found
