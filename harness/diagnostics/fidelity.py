"""Language fidelity of finished runs: read from lm-eval's samples of all generation tasks, one row a model and task."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import Record, read_records
from xlift.harness.recipes.filters import is_repetitive
from xlift.tasks import index
from xlift.tasks.fidelity import describe


def report(runs: Iterable[Path]) -> list[dict[str, Any]]:
    """Shares of answers, 0 to 1, by run, model and task; tasks that are not xlift's, and so expect no language, are left out.

    Raises UserError for a run without results and for samples that are gone or damaged.
    """
    rows = []
    for run in runs:
        for record in read_records([run]).records:
            for task in record.tasks:
                lang = index.answer_language(task)
                if lang is not None:
                    rows.append({"suite": record.suite, "model": record.name, "task": task, **summarise(_read(run, record, task), lang)})
    if not rows:
        raise UserError("no task of xlift's in these runs: the language of an answer is not known for others")
    return rows


def summarise(answers: Sequence[str], lang: str) -> dict[str, Any]:
    """Shares of one model's answers where ``lang`` is expected.

    ``languages`` and ``scripts`` are those named most often, with their shares; ``foreign`` is the mean share of letters in sentences of
    another language, ``mixed`` the share of answers that are partly in one.
    """
    found = [describe(answer, lang) for answer in answers]
    count = max(len(found), 1)
    return {
        "lang": lang,
        "items": len(found),
        "off_target": sum(one.off_target for one in found) / count,
        "mixed": sum(one.mixed for one in found) / count,
        "foreign": sum(one.foreign for one in found) / count,
        "refusal": sum(one.refusal for one in found) / count,
        "empty": sum(one.empty for one in found) / count,
        "repeated": sum(map(is_repetitive, answers)) / count,
        "languages": _name_shares([one.language for one in found]),
        "scripts": _name_shares([one.script or "none" for one in found]),
    }


def _name_shares(values: Sequence[str], most: int = 3) -> str:
    return " ".join(f"{value} {times / len(values):.2f}" for value, times in Counter(values).most_common(most))


def _read(run: Path, record: Record, task: str) -> list[str]:
    file = record.tasks[task].samples
    path = next(iter(sorted(run.glob(f"evaluate-*/{file}"))), None) if file else None
    if path is None:
        raise UserError(f"{run}: the samples of {task} by {record.name} are gone ({file}); evaluate it again")
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        return [row["resps"][0][0] for row in rows if row.get("filter") == rows[0].get("filter")]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise UserError(f"{path}: damaged; evaluate {record.name} again") from None
