"""Scores that are measured again, beside those that an adapter on the hub has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from pydantic import ValidationError

from xlift.harness.core.errors import UserError
from xlift.harness.core.store import read_object
from xlift.harness.evaluation.records import ENGINE_FACTS, Record
from xlift.harness.models.adapters import resolve
from xlift.harness.models.smollm2 import EMBEDDED
from xlift.harness.publishing.package import EMBEDDED_HUB_ID, EVALUATION

TOLERANCE = 1e-9
"""Smaller differences come from writing a number as text."""


def read_recorded(folder: Path) -> Record | None:
    """The record that was pushed with an adapter; None if there is none. Raises UserError if it is damaged."""
    path = folder / EVALUATION
    if not path.is_file():
        return None
    try:
        return Record(**read_object(path)["adapter"])
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise UserError(f"{path}: no record of schema version 1 ({str(error).splitlines()[0]})") from None


@dataclass(frozen=True)
class Conditions:
    """How an adapter of the hub was measured."""

    base: str
    """The name of the embedded model, or the base's on the hub."""
    tasks: tuple[str, ...]
    backend: str
    settings: tuple[str, ...]
    """KEY=VALUE, for ``--set``."""


def name_adapter(place: str) -> str:
    """The name of ``hub:ORG/NAME@REVISION`` in a table: NAME."""
    return place.rpartition("/")[2].partition("@")[0]


def recall(place: str) -> Conditions:
    """The conditions of an adapter's recorded scores. Raises UserError if it has none."""
    if not place.startswith("hub:"):
        raise UserError(f"{place}: write hub:ORG/NAME to measure it again; a folder is measured with --adapter NAME={place} and --tasks")
    record = read_recorded(resolve(place).folder)
    if record is None:
        raise UserError(f"{place}: no {EVALUATION} with it, so nothing to measure again; name --adapter NAME={place} and --tasks")
    base = str(record.base.get("name"))
    embedded = base == EMBEDDED_HUB_ID and not _commit(record)
    return Conditions(EMBEDDED if embedded else base, tuple(record.tasks), name_backend(record), tuple(list_settings(record)))


def name_backend(record: Record) -> str:
    """The backend, for ``--backend``."""
    return str(record.engine["backend"]) if record.engine.get("backend") in ("hf", "vllm") else "auto"


def list_settings(record: Record) -> list[str]:
    """Everything else that influenced a record's scores, as KEY=VALUE for ``--set``."""
    engine, limits = record.engine, {task: one.items for task, one in record.tasks.items() if one.items < one.items_of}
    settings = [f"base.revision={commit}"] if (commit := _commit(record)) else []
    settings += [f"base.date={record.base['date']}"] if record.base.get("date") else []
    settings += [f"evaluate.system={json.dumps(record.system)}"] if record.system is not None else []
    settings += [f"engine.dtype={engine['dtype']}"] if engine.get("dtype") else []
    settings += [f"engine.{name}={engine[name]}" for name in ("thinking", "thinking_tokens") if engine.get(name)]
    settings += [f"engine.adapter_form={engine['adapter_form']}"] if engine.get("adapter_form") in ("merged", "lora") else []
    settings += ["evaluate.limits={" + ", ".join(f"{task}: {count}" for task, count in limits.items()) + "}"] if limits else []
    return settings + (["data.samples=always"] if any(one.data_origin == "samples" for one in record.tasks.values()) else [])


def _commit(record: Record) -> str | None:
    """The base's commit on the hub; None if it was not loaded from there."""
    revision = str(record.base.get("revision") or "")
    return revision if re.fullmatch(r"[0-9a-f]{40}", revision) else None


class Reproduced(TypedDict):
    """One metric of one task, as recorded and as measured again."""

    task: str
    metric: str
    recorded: float
    fresh: float
    difference: float
    """The fresh value minus the recorded one."""
    otherwise: str
    """The settings that differ; empty if the comparability keys agree. Only then does a difference mean that the score is not
    reproduced."""


def compare(recorded: Record, fresh: Record) -> list[Reproduced]:
    """One row for each metric of each task that was measured both times."""
    rows: list[Reproduced] = []
    for task, now in fresh.tasks.items():
        before = recorded.tasks.get(task)
        for metric in (name for name in now.metrics if before and name in before.metrics):
            old, new = before.metrics[metric].value if before else 0.0, now.metrics[metric].value
            difference = new - old if abs(new - old) > TOLERANCE else 0.0
            otherwise = "" if before and before.comparability == now.comparability else _name_changes(recorded, fresh, task)
            rows.append(
                {"task": task, "metric": metric, "recorded": old, "fresh": new, "difference": difference, "otherwise": otherwise}
            )  # fmt: skip
    return rows


def summarise(name: str, rows: Sequence[Reproduced]) -> str:
    """One line that says how many of the recorded scores are the same again."""
    fair = [row for row in rows if not row["otherwise"]]
    same = sum(row["difference"] == 0 for row in fair)
    if not rows:
        return f"{name}: no task was measured that its record holds; its card gives the command"
    if not fair:
        return f"{name}: measured otherwise than recorded ({rows[0]['otherwise']}); its card gives the command to repeat it"
    left = f"; {len(rows) - len(fair)} were measured otherwise and say nothing" if len(fair) < len(rows) else ""
    return f"{name}: {same} of {len(fair)} recorded scores reproduced{left}"


def _name_changes(recorded: Record, fresh: Record, task: str) -> str:
    """What differs between two measurements of a task, as far as a record shows it."""
    before, now = recorded.tasks[task], fresh.tasks[task]
    own = ("items", "version", "data_sha256")
    pairs: dict[str, tuple[object, object]] = {key: (getattr(before, key), getattr(now, key)) for key in own}
    pairs |= {key: (recorded.engine.get(key), fresh.engine.get(key)) for key in ENGINE_FACTS}
    pairs["system"] = (recorded.system, fresh.system)
    changed = [f"{key} {_short(old)} -> {_short(new)}" for key, (old, new) in pairs.items() if old != new]
    return ", ".join(changed) or "prompts or generation settings"


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) > 24 else text


def look_back(adapters: Mapping[str, str], fresh: Iterable[Record]) -> list[str]:
    """Lines that say, for each adapter of the hub (name to ``hub:ORG/NAME``), which of its recorded scores are the same again, and which
    are not."""
    measured = {record.label: record for record in fresh}
    lines = []
    for name, place in adapters.items():
        recorded = read_recorded(resolve(place).folder) if place.startswith("hub:") else None
        if recorded is None or name not in measured:
            continue
        rows = compare(recorded, measured[name])
        lines.append(summarise(name, rows))
        for row in rows:
            if row["difference"] and not row["otherwise"]:
                shown = f"{row['recorded']:.6g} recorded, {row['fresh']:.6g} now ({row['difference']:+.3g})"
                lines.append(f"  {row['task']} {row['metric']}: {shown}")
    return lines
