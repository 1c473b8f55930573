"""Per-document scores, read from the sample files that lm-eval leaves beside each evaluation's manifest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.evaluation.records import Record, TaskResult, read_records
from xlift.tasks.benchmarks import METRICS, find_metric, per_document

HASH = 16
"""Characters of a document's hash that are compared: a published record has no more."""
_CORPUS = tuple(name for name, metric in METRICS.items() if metric.per_document)


@dataclass(frozen=True)
class Columns:
    """Scores by document, as arrays: a leaderboard reads each some forty times, and pandas is slow to make tables and to read them."""

    ids: NDArray[Any]
    """doc_id, rising."""
    hashes: NDArray[Any]
    values: NDArray[np.float64]

    @property
    def table(self) -> pd.DataFrame:
        """doc_id, doc_hash and value."""
        return pd.DataFrame({"doc_id": self.ids, "doc_hash": self.hashes, "value": self.values})


@dataclass(frozen=True)
class Documents:
    """One metric of one task as one model did it, document by document."""

    suite: str
    label: str
    seed: int | None
    trained: tuple[str, ...]
    pivot: str
    task: str
    benchmark: str
    language: str
    metric: str
    comparability: str
    columns: Columns

    @property
    def name(self) -> str:
        return self.label if self.seed is None else f"{self.label} (seed {self.seed})"

    @property
    def sign(self) -> int:
        """-1 where less is better."""
        return -1 if find_metric(self.metric).lower_is_better else 1


def collect_documents(folders: Iterable[Path], metrics: Sequence[str] = ()) -> list[Documents]:
    """The per-document scores of all finished evaluations in run folders: each task's headline metric and ``off_target``, or ``metrics``.

    A corpus-level headline is replaced by its sentence-level score. Raises UserError as ``read_records`` and ``read_documents`` do.
    """
    found: dict[tuple[Any, ...], Documents] = {}
    for folder in folders:
        for record in read_records([folder]).records:
            for task, result in record.tasks.items():
                for metric in choose_metrics(result, metrics):
                    columns = take_scores(*_read_samples(folder, record, task), record, task, metric)
                    key = folder, record.suite, record.label, record.seed, task, metric
                    found[key] = name_scores(columns, record, task, metric)
    return list(found.values())


def read_documents(folder: Path, record: Record, task: str, metric: str) -> pd.DataFrame:
    """One task's scores: a table of doc_id, doc_hash and value, by doc_id.

    ``folder`` is the run that ``record`` was read from; ``metric`` is named as in the record, ``name`` or ``name/filter``. Raises UserError
    for an unknown task or metric, a sample file that is missing or damaged, and a document without a score or with two.
    """
    return take_scores(*_read_samples(folder, record, task), record, task, metric).table


def _read_samples(folder: Path, record: Record, task: str) -> tuple[list[dict[str, Any]], Path]:
    if task not in record.tasks:
        raise UserError(f"{record.name}: no task {task!r}{name_nearest(task, record.tasks)}")
    file = record.tasks[task].samples
    path = next(iter(folder.glob(f"evaluate-*/{file}")), None) if file else None
    if path is None:
        raise UserError(f"{folder}: the samples of {task} by {record.name} are gone ({file}); evaluate it again")
    return read_lines(path), path


def name_scores(columns: Columns, record: Record, task: str, metric: str) -> Documents:
    """Scores with what tells them from others."""
    result = record.tasks[task]
    return Documents(
        record.suite, record.label, record.seed, record.trained, record.pivot, task, result.benchmark, result.language, metric,
        result.comparability, columns,
    )  # fmt: skip


def choose_metrics(result: TaskResult, metrics: Sequence[str] = ()) -> list[str]:
    """The per-document metrics of a task that are compared: its headline and ``off_target``, or ``metrics``; else the first it has."""
    wanted = metrics or [name for name in (per_document(result.benchmark), "off_target") if name]
    return list(dict.fromkeys([name for name in wanted if name in result.metrics] or list(result.metrics)[:1]))


def take_scores(lines: Iterable[dict[str, Any]], path: Path, record: Record, task: str, metric: str) -> Columns:
    """The scores of ``read_documents`` for the rows of a sample file that was read already; ``path`` names it in errors."""
    name, _, chosen = metric.partition("/")
    rows = [row for row in lines if row.get("filter", "none") == (chosen or "none")]
    known = set().union(*(row.get("metrics", ()) for row in rows))
    if name not in known:
        raise UserError(f"{path.name}: no metric {metric!r}{name_nearest(name, known)}")
    values = [row.get(name) for row in rows]
    for row, value in zip(rows, values, strict=True):
        if isinstance(value, list | dict | str):
            stand_in = find_metric(name).per_document or "another"
            raise UserError(f"{path.name}: {metric!r} is of the whole corpus, not of a document; use {stand_in!r}")
        if value is None or value != value:
            raise UserError(f"{path.name}: document {row.get('doc_id')} has no {metric!r}; evaluate {task} by {record.name} again")
    order = sorted(range(len(rows)), key=lambda number: rows[number]["doc_id"])
    ids = np.array([rows[number]["doc_id"] for number in order])
    if len(twice := ids[1:][ids[1:] == ids[:-1]]):
        raise UserError(f"{path.name}: document {twice[0]} stands in it twice; evaluate {record.name} again")
    hashes = np.array([str(rows[number]["doc_hash"])[:HASH] for number in order])
    return Columns(ids, hashes, np.array(values, dtype=np.float64)[order])


def read_pairs(folder: Path, record: Record, task: str, metric: str) -> list[tuple[str, str]]:
    """(reference, hypothesis) of each document, by doc_id, as a corpus-level ``metric`` took them. Raises UserError without them."""
    file = record.tasks[task].samples if task in record.tasks else None
    path = next(iter(folder.glob(f"evaluate-*/{file}")), None) if file else None
    if path is None:
        raise UserError(f"{folder}: no samples of {task} by {record.name}; evaluate it again")
    rows = sorted(read_lines(path), key=lambda row: row["doc_id"])
    if any(not isinstance(row.get(metric), list) for row in rows):
        raise UserError(f"{path.name}: {metric!r} keeps no texts; the corpus-level metrics are {', '.join(_CORPUS)}")
    return [(row[metric][0], row[metric][1]) for row in rows]


def align(sheets: Mapping[str, Columns]) -> NDArray[np.float64]:
    """The values of several models on the same documents, (models, documents).

    Raises UserError for a document that one of them lacks, and where the same number stands for different texts.
    """
    first, *_ = sheets
    ids, hashes = sheets[first].ids, sheets[first].hashes
    for name, sheet in sheets.items():
        if not np.array_equal(sheet.ids, ids):
            odd = sorted(set(sheet.ids) ^ set(ids))
            who = name if odd[0] in ids else first
            raise UserError(f"{first} and {name} were not scored on the same documents: {len(odd)} differ, {who} lacks {odd[0]}")
        if (wrong := sheet.hashes != hashes).any():
            raise UserError(f"{first} and {name}: document {ids[wrong][0]} is not the same text in both; evaluate both on the same data")
    return np.stack([sheet.values for sheet in sheets.values()])


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a sample file. Raises UserError where it is damaged."""
    with path.open(encoding="utf-8") as file:
        try:
            return [json.loads(line) for line in file if line.strip()]
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise UserError(f"{path}: damaged; delete the folder {path.parent} and run again") from None
