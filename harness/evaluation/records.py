"""Result records: one for each measured model, read from the manifests of finished evaluate stages. Schema version 1."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

from pydantic import Field, ValidationError

from xlift.harness.config import Section, digest
from xlift.harness.rows import UserError
from xlift.harness.store import read_manifest

HEADLINE = {
    "xlift_mgsm": "accuracy",
    "xlift_xquad": "f1",
    "xlift_mlqa": "f1",
    "xlift_flores": "corpus_chrf",
    "xlift_x_alpaca_eval": "off_target",
}
"""The metric that stands for a benchmark in tables, by the beginning of the task's name."""

LOWER_IS_BETTER = {"off_target", "extraction_failure", "chatter", "empty"}

PROBE = "probe.json"
"""In a run folder: what ``xlift probe`` measured."""

OF_HUNDRED = {"chrf", "spbleu", "corpus_chrf", "corpus_spbleu"}
"""Metrics between 0 and 100; the others are between 0 and 1."""


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


class Alignment(Section):
    """How near sentences lie to their pivot translations, by layer: the embeddings first, after the last layer's norm last."""

    cosine: tuple[float, ...]
    """Mean cosine of the last tokens' states of a sentence and its translation."""
    unrelated: tuple[float, ...]
    """The same for all pairs that are no translations: what the cosine is where nothing is shared."""
    score: float
    """Language Ranker: mean of ``cosine`` over the layers, embeddings left out."""
    to_pivot: tuple[float, ...]
    """Share of sentences whose translation is nearer than every other pivot sentence, by mean states."""
    from_pivot: tuple[float, ...]
    """The same for the pivot's sentences among those of the language."""

    @property
    def retrieval(self) -> tuple[float, ...]:
        """Both directions, averaged."""
        return tuple((one + other) / 2 for one, other in zip(self.to_pivot, self.from_pivot, strict=True))


class LanguageProbe(Section):
    """One model on one language's sentences."""

    sentences: int
    tokens: int
    """Scored: all of a sentence, without the token put before it."""
    characters: int
    bytes: int
    """In UTF-8."""
    perplexity: float
    """Of a token."""
    character_perplexity: float
    bits_per_character: float
    bits_per_byte: float
    bits_per_sentence: float
    characters_per_token: float
    alignment: Alignment | None
    """None for the pivot."""


class ModelProbe(Section):
    label: str
    adapter: dict[str, Any] | None
    """None for the base."""
    languages: dict[str, LanguageProbe]


class Probe(Section):
    """What ``xlift probe`` measured: a base and adapters of it on the same parallel sentences."""

    schema_version: Literal[1] = 1
    base: dict[str, Any]
    engine: dict[str, Any]
    corpus: dict[str, Any]
    """name, split, and by language origin and sha256 of its file."""
    pivot: str
    sentences: int
    sentences_of: int
    """Sentences the corpus has; more than ``sentences`` where a limit or their length kept some out."""
    models: tuple[ModelProbe, ...]
    left_out: tuple[str, ...] = ()
    """Adapters that were not measured, and why."""
    versions: dict[str, str] = Field(default_factory=dict)


def comparability(task: str, parts: dict[str, Any]) -> str:
    """The key of a task result: a hash of everything but the model that can move its numbers."""
    return digest({"task": task, **parts}, length=16)


def headline(task: str) -> str | None:
    """The metric a table shows for a task; None for tasks xlift does not know."""
    return next((metric for start, metric in HEADLINE.items() if task.startswith(start)), None)


def scale(metric: str) -> float:
    """What a metric is multiplied with to be in points of 100; 1 for those that are."""
    return 1.0 if metric.partition("/")[0] in OF_HUNDRED else 100.0


def read(folders: Iterable[Path]) -> list[Record]:
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


def read_probe(folder: Path) -> Probe | None:
    """The ``probe.json`` of a folder; None where there is none. Raises UserError for one that does not follow the schema."""
    path = folder / PROBE
    try:
        return Probe(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: does not follow schema version 1 ({str(error).splitlines()[0]}); run xlift probe again") from None


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
