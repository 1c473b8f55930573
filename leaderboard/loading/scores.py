"""Per-document scores, read from the sample files that lm-eval leaves beside each evaluation's manifest."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.evaluation.records import Measurement, Record, TaskResult
from xlift.harness.evaluation.samples import NO_FILTER, SampleLine, find_samples, read_samples
from xlift.tasks.benchmarks import find_metric, is_ranked, per_document
from xlift.tasks.entries import AS_WRITTEN, METRICS, Metric

HASH = 16
"""The characters of a document's hash that are compared. A published record has no more."""
LARGEST = 1e300
"""No score is larger. A number with more digits than a float has is damage."""
_CORPUS = tuple(name for name, metric in METRICS.items() if metric.per_document)


@dataclass(frozen=True)
class Columns:
    """Scores by document, as arrays. A leaderboard reads each about forty times, and pandas is slow at making and reading tables."""

    ids: NDArray[Any]
    """doc_id, in rising order."""
    hashes: NDArray[Any]
    values: NDArray[np.float64]
    """nan if a document has none, such as the rate off target of an answer whose language cannot be told."""
    groups: NDArray[Any] | None = None
    """What each document shares with others, such as a paragraph; None if none shares anything."""
    grouped: bool = False
    """Whether it is known what documents share, so that ``groups`` of None means that they share nothing."""

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
    known: Metric | None = None
    """What is known of the metric of a task that is not xlift's; None for xlift's own."""
    stands: bool = False
    """Whether tables show this metric for a task that is not xlift's."""
    control: bool = False
    """Whether the model is a control, which leaves out the idea under test."""

    @property
    def measure(self) -> Metric:
        """What is known of the metric."""
        return self.known or find_metric(self.metric)

    @property
    def is_tested(self) -> bool:
        """Whether these are the scores that tests of the benchmark use."""
        return self.stands if self.known else self.metric == per_document(self.benchmark)

    @property
    def is_compared(self) -> bool:
        """Whether these scores stand for the benchmark where two rows are set beside each other; one without tests has others that do."""
        return self.is_tested or (self.known is None and per_document(self.benchmark) is None)

    @property
    def is_ranked(self) -> bool:
        """Whether the benchmark can be averaged with others."""
        return self.known.most is not None if self.known else is_ranked(self.benchmark)

    @property
    def name(self) -> str:
        return self.label if self.seed is None else f"{self.label} (seed {self.seed})"

    @property
    def sign(self) -> int:
        """-1 if less is better."""
        return -1 if self.measure.lower_is_better else 1


def collect_documents(measurements: Iterable[Measurement], metrics: Sequence[str] = ()) -> list[Documents]:
    """The per-document scores of some measurements: each task's headline metric and ``off_target``, or ``metrics``.

    A corpus-level headline is replaced by its sentence-level score. Raises UserError as ``read_documents`` does.
    """
    found = []
    for one in measurements:
        for task, result in one.record.tasks.items():
            path = find_samples(one, task)
            lines = read_samples(path, result.samples_sha256)
            for metric in choose_metrics(result, metrics):
                found.append(name_scores(take_scores(lines, path, one.record, task, metric), one.record, task, metric))
    return found


def collect_scores(measurements: Iterable[Measurement], wanted: Container[tuple[str, str]]) -> list[Documents]:
    """The per-document scores of ``wanted``, pairs of a task and a metric. A sample file that lacks a metric gives none of it, as that of a
    published record, which keeps the headline alone.

    Raises UserError for a sample file that is missing or damaged.
    """
    found = []
    for one in measurements:
        for task, result in one.record.tasks.items():
            asked = [metric for metric in result.metrics if (task, metric) in wanted and not result.find_metric(metric).whole]
            if not asked:
                continue
            path = find_samples(one, task)
            lines = read_samples(path, result.samples_sha256)
            kept = {name for line in lines for name in line.metrics}
            for metric in asked:
                if metric.partition("/")[0] in kept:
                    found.append(name_scores(take_scores(lines, path, one.record, task, metric), one.record, task, metric))
    return found


def read_documents(measured: Measurement, task: str, metric: str) -> pd.DataFrame:
    """One task's scores: a table of doc_id, doc_hash and value, by doc_id.

    ``metric`` is named as in the record, ``name`` or ``name/filter``. Raises UserError for an unknown task or metric, a sample file that is
    missing or damaged, and a document with no score or with two.
    """
    path = find_samples(measured, task)
    lines = read_samples(path, measured.record.tasks[task].samples_sha256)
    return take_scores(lines, path, measured.record, task, metric).table


def name_scores(columns: Columns, record: Record, task: str, metric: str) -> Documents:
    """Scores with what tells them from others."""
    result = record.tasks[task]
    return Documents(
        record.suite, record.label, record.seed, record.trained, record.pivot, task, result.benchmark, result.language, metric,
        result.comparability, columns, result.measures.get(metric), metric == result.tested, record.control,
    )  # fmt: skip


def choose_metrics(result: TaskResult, metrics: Sequence[str] = ()) -> list[str]:
    """The per-document metrics of a task that are compared: its headline and ``off_target``, or ``metrics``, or else the first that it
    has."""
    wanted = metrics or [name for name in (result.tested, "off_target") if name]
    # The samples of an older xlift have what its record lacks: the score with lines in a wrong language counted as empty.
    known = [name for name in wanted if name in result.metrics or f"{name}{AS_WRITTEN}" in result.metrics] or list(result.metrics)[:1]
    return list(dict.fromkeys(name for name in known if not (result.measures and result.find_metric(name).whole)))


def take_scores(lines: Iterable[SampleLine], path: Path, record: Record, task: str, metric: str) -> Columns:
    """The scores of ``read_documents`` for the lines of a sample file that was read already. ``path`` names it in errors."""
    name, _, chosen = metric.partition("/")
    found = sorted((line for line in lines if line.filter == (chosen or NO_FILTER)), key=lambda line: line.doc_id)
    known, partial = {known for line in found for known in line.metrics}, find_metric(name).partial
    if name not in known and not partial:
        raise UserError(f"{path.name}: no metric {metric!r}{name_nearest(name, known)}")
    if 0 < len(found) < record.tasks[task].items:
        raise UserError(f"{path.name}: {len(found)} of {record.tasks[task].items} documents, so it was cut; evaluate {record.name} again")
    for line in found:
        value = line.metrics.get(name)
        if isinstance(value, list | dict | str):
            stand_in = find_metric(name).per_document or "another"
            raise UserError(f"{path.name}: {metric!r} is of the whole corpus, not of a document; use {stand_in!r}")
        if isinstance(value, int | float) and abs(value) > LARGEST:
            raise UserError(f"{path.name}: document {line.doc_id}: {metric!r} is without bounds; evaluate {task} by {record.name} again")
        if (value is None or value != value) and not partial:
            raise UserError(f"{path.name}: document {line.doc_id} has no {metric!r}; evaluate {task} by {record.name} again")
        if not line.doc_hash:
            raise UserError(f"{path.name}: document {line.doc_id} has no hash to know it by; evaluate {task} by {record.name} again")
    ids = np.array([line.doc_id for line in found])
    if len(twice := ids[1:][ids[1:] == ids[:-1]]):
        raise UserError(f"{path.name}: document {twice[0]} stands in it twice; evaluate {record.name} again")
    hashes, values = np.array([line.doc_hash[:HASH] for line in found]), np.array([line.metrics.get(name) for line in found], np.float64)
    groups = [line.group or f"document {line.doc_id}" for line in found]
    grouped = any(line.group for line in found)
    return Columns(ids, hashes, values, np.array(groups) if len(set(groups)) < len(groups) else None, grouped)


def read_pairs(measured: Measurement, task: str, metric: str) -> list[tuple[str, str]]:
    """(reference, hypothesis) of each document, by doc_id, as a corpus-level ``metric`` took them. Raises UserError without them."""
    path = find_samples(measured, task)
    lines = read_samples(path, measured.record.tasks[task].samples_sha256)
    texts = [line.metrics.get(metric) for line in sorted(lines, key=lambda line: line.doc_id)]
    if any(not isinstance(pair, list) or len(pair) < 2 for pair in texts):
        raise UserError(f"{path.name}: {metric!r} keeps no texts; the corpus-level metrics are {', '.join(_CORPUS)}")
    return [(pair[0], pair[1]) for pair in texts if pair]


def align(sheets: Mapping[str, Columns], groups: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """The values of several models on the same documents, (models, documents), or (models, groups) if documents share a paragraph.

    ``groups`` are those of the documents if the sheets do not say them. If one sheet says them, they hold for all. Documents without a
    value are filled in by ``fill_in``. Raises UserError for a document that one of them lacks, if the same number has different texts, and
    if none has a value.
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
    values = np.stack([fill_in(sheet.values) for sheet in sheets.values()])
    groups = next((sheet.groups for sheet in sheets.values() if sheet.groups is not None), groups)
    return values if groups is None else join_groups(values, groups)


def fill_in(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values (documents,) in which documents without one are filled in, so that the mean is that of the documents with one.

    A value becomes the mean plus its distance above the mean times documents / documents with a value. A missing value becomes the mean.
    That is the linear form of a ratio of totals (Cochran 1977, section 2.11), whose spread is that of the rate. Raises UserError if all are
    missing.
    """
    there = ~np.isnan(values)
    if there.all():
        return values
    if not there.any():
        raise UserError(f"none of {len(values)} answers can be told, so there is no rate over them")
    mean = values[there].mean()
    return np.where(there, mean + (values - mean) * len(values) / there.sum(), mean)


def join_groups(values: NDArray[np.float64], groups: NDArray[Any]) -> NDArray[np.float64]:
    """One value for each group of documents, (models, groups) from (models, documents), in the order of the groups' first documents.

    A row keeps its mean. A group's value is the mean plus the total by which its documents are above it, over the mean number of documents
    in a group. This is the linear form of a ratio of totals, whose standard error is that of a sample of groups (Cochran 1977, section 6.3;
    cluster sampling with groups of unequal size). Questions to one paragraph are right or wrong together, so resampling them one by one
    would claim more than was measured.
    """
    _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    places = np.argsort(np.argsort(first))[member]
    means = values.mean(axis=1, keepdims=True)
    totals = np.zeros((len(values), len(first)))
    for row, deviations in enumerate(values - means):
        totals[row] = np.bincount(places, weights=deviations, minlength=len(first))
    joined: NDArray[np.float64] = means + totals * len(first) / values.shape[1]
    return joined
