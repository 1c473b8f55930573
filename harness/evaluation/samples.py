"""The answers that a measurement left, read from lm-eval's samples."""

from __future__ import annotations

import json
from pathlib import Path

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import Record
from xlift.tasks.judge import Said


def read_answers(run: Path, record: Record, task: str) -> list[Said]:
    """A model's answers to a task, in the order of its items. Raises UserError where the samples are gone or damaged."""
    file = record.tasks[task].samples
    path = next(iter(sorted(run.glob(f"evaluate-*/{file}"))), None) if file else None
    if path is None:
        raise UserError(f"{run}: the samples of {task} by {record.name} are gone ({file}); evaluate it again")
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        rows = sorted((row for row in rows if row.get("filter") == rows[0].get("filter")), key=lambda row: row["doc_id"])
        return [Said(str(row["doc"]["id"]), row["doc"]["lang"], row["doc"]["instruction"], row["resps"][0][0].strip()) for row in rows]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise UserError(f"{path}: damaged, or no samples of instructions that are answered; evaluate {record.name} again") from None
