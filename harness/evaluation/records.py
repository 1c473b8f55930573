"""Result records: one for each measured model, read from the manifests of finished evaluate stages. Schema version 1."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

from pydantic import Field, ValidationError

from xlift.harness.core.errors import UserError
from xlift.harness.core.hashing import digest
from xlift.harness.core.settings import Section
from xlift.harness.core.store import read_manifest


class Score(Section):
    """One metric of one task."""

    value: float
    stderr: float | None
    """Standard error of the mean over items; None for corpus-level metrics."""


class TaskResult(Section):
    """One task as one model did it."""

    items: int
    items_of: int
    """Items the task has; more than ``items`` makes it a smoke test."""
    version: str
    data_sha256: str | None
    """None for tasks that are not xlift's."""
    data_origin: str | None
    """folder, hub or samples."""
    metrics: dict[str, Score]
    signatures: dict[str, str] = Field(default_factory=dict)
    """sacrebleu's signatures of translation metrics, which name the tokeniser that was really used."""
    comparability: str
    """Two results may be compared only where this is equal."""
    samples: str | None
    """File of lm-eval's samples, beside the manifest."""


class Record(Section):
    """All that is known of one measured model."""

    schema_version: Literal[1] = 1
    suite: str
    label: str
    """The method's label in the suite, ``base``, or the name given to a further adapter."""
    method: str | None
    seed: int | None
    trained: tuple[str, ...]
    """Languages trained, without the pivot."""
    pivot: str
    base: dict[str, Any]
    adapter: dict[str, Any] | None
    engine: dict[str, Any]
    system: str | None
    tasks: dict[str, TaskResult]
    cost: dict[str, dict[str, Any]]
    """Measured seconds, tokens and memory by stage."""
    profile: dict[str, Any] | None = None
    """Answers that an inference profile had a part scored of, and those without the header by task; None where none had a say."""
    left_out: tuple[str, ...] = ()
    """Languages a benchmark lacks."""
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.label if self.seed is None else f"{self.label} (seed {self.seed})"


def comparability(task: str, parts: dict[str, Any]) -> str:
    """The key of a task result: a hash of everything but the model that can move its numbers."""
    return digest({"task": task, **parts}, length=16)


def read_records(folders: Iterable[Path]) -> list[Record]:
    """The records of all finished evaluations in run folders, ``base`` first, then by label and seed.

    Raises UserError for a folder without results and for a record that does not follow the schema.
    """
    records = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such run folder")
        found = [read_record(path) for path in sorted(folder.glob("evaluate-*")) if path.suffix != ".part"]
        if not any(found):
            raise UserError(f"{folder}: no finished evaluation in it; run the suite again to finish it")
        records += [record for record in found if record]
    return sorted(records, key=lambda record: (record.suite, record.label != "base", record.label, record.seed or 0))


def read_record(stage: Path) -> Record | None:
    """The record of one evaluate stage; None where it is not finished. Raises UserError as ``read`` does."""
    manifest = read_manifest(stage)
    if manifest is None:
        return None
    try:
        return Record(**manifest["record"])
    except (KeyError, TypeError, ValidationError) as error:
        raise UserError(f"{stage}: its record does not follow schema version 1 ({str(error).splitlines()[0]})") from None


def strip_paths(value: Any) -> Any:
    """Plain data as others may read it: a path stands as its last part alone."""
    if isinstance(value, Mapping):
        return {key: strip_paths(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [strip_paths(inner) for inner in value]
    if isinstance(value, str) and "\n" not in value:
        if value.startswith(("/", "~/", "./", "../")) and len(Path(value).parts) > 1:
            return Path(value).name
        if re.match(r"[A-Za-z]:\\", value):
            return PureWindowsPath(value).name
    return value
