"""Result records: one for each measured model, read from the manifests of finished evaluate stages. This is schema version 1.

A run folder may hold several measurements of one model, made with different settings. ``choose_newest`` decides which of them count, and
report, site, judge, samples, cards and pushes all ask it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any, Generic, Literal, TypeVar

from pydantic import ConfigDict, Field, JsonValue, ValidationError, ValidationInfo, field_validator, model_validator

from xlift.harness.core.errors import UserError, name_run
from xlift.harness.core.hashing import digest
from xlift.harness.core.limits import is_smoke
from xlift.harness.core.paths import hide_places
from xlift.harness.core.secrets import redact
from xlift.harness.core.settings import Section
from xlift.harness.core.store import MANIFEST, read_manifest
from xlift.tasks.benchmarks import find_metric, headline, is_ranked, per_document, place
from xlift.tasks.entries import AS_WRITTEN, METRICS, Metric
from xlift.tasks.foreign import choose_headline, describe_metrics


class Score(Section):
    """One metric of one task."""

    value: float
    stderr: float | None
    """Standard error of the mean over items; None for corpus-level metrics."""


class TaskResult(Section):
    """The result of one task for one model."""

    items: int = Field(ge=0)
    items_of: int = Field(ge=0)
    """Number of items that the task has."""
    version: str
    data_sha256: str | None
    """Hash of the rows; None for tasks that are not xlift's."""
    data_origin: str | None
    """Where the rows came from: folder, hub or samples."""
    metrics: dict[str, Score]
    signatures: dict[str, str] = Field(default_factory=dict)
    """sacrebleu's signatures of translation metrics, which name the tokeniser that was used."""
    comparability: str
    """The comparability key: two results may be compared only if it is equal."""
    samples: str | None
    """Name of the file of lm-eval's samples, beside the manifest."""
    samples_sha256: str | None = None
    """Hash of that file, so that one that was cut or edited is not read. None if other programs, or an xlift before 0.2, measured."""
    benchmark: str = ""
    """The leaderboard's benchmark, which averages the languages of its tasks. A task that is not xlift's is a benchmark of its own."""
    language: str = ""
    """Short code of the language. It is empty if no language is known, and for a task in two languages of which none is the pivot."""
    measures: dict[str, Metric] = Field(default_factory=dict)
    """What is known about the metrics of a task that is not xlift's. Empty for xlift's own, which ``tasks.entries.METRICS`` describes."""
    cost: dict[str, float] = Field(default_factory=dict)
    """``seconds``, and what the engine counted for the answers when they were made. Empty if an xlift before 0.2 measured."""

    @property
    def is_smoke(self) -> bool:
        """Whether a limit left fewer items than an interval needs."""
        return is_smoke(self.items, self.items_of)

    def find_metric(self, name: str) -> Metric:
        """What is known about one of its metrics."""
        return self.measures.get(name) or find_metric(name)

    @property
    def headline(self) -> str | None:
        """The metric that tables show; None if the task has none."""
        return choose_headline(self.measures) if self.measures else headline(self.benchmark)

    @property
    def tested(self) -> str | None:
        """The metric whose scores by document are used in tests; None if there is none."""
        if not self.measures:
            return per_document(self.benchmark)
        return None if self.find_metric(self.headline or "").whole else self.headline

    @property
    def is_ranked(self) -> bool:
        """Whether the task says how good answers are, on a scale that can be averaged with others."""
        return self.find_metric(self.headline or "").most is not None if self.measures else is_ranked(self.benchmark)

    @property
    def told(self) -> int:
        """Number of answers whose language can be told, which ``off_target`` is a rate of. All answers if an xlift before 0.2 measured."""
        unknown = self.metrics.get("language_unknown")
        return self.items - (round(unknown.value * self.items) if unknown else 0)


class Record(Section):
    """Everything that is known about one measured model."""

    schema_version: Literal[1] = 1
    suite: str
    label: str
    """The method's label in the suite, ``base``, or the name given to a further adapter."""
    method: str | None
    seed: int | None
    kind: str | None = None
    """How it was made of others (mix) or of the base (mask, steer, module), or else what was minimised (sft, dpo, align or gap), or
    ``profile`` or ``policy`` if nothing was trained. None for a base, for an adapter that was given, and in older records."""
    control: bool = False
    """Whether its method, with its options, leaves out the idea under test. False for a base, and in older records."""
    extra_parameters: int = 0
    """Number of weights beside those of the base when it answers; 0 if they are merged into the base's, and in older records."""
    chosen_on: str = ""
    """What numbers of the method were chosen on, such as ``flores dev``; empty if nothing was chosen, and in older records."""
    trained: tuple[str, ...]
    """Languages that were trained, without the pivot."""
    pivot: str
    base: dict[str, Any]
    adapter: dict[str, Any] | None
    engine: dict[str, Any]
    system: str | None
    tasks: dict[str, TaskResult]
    share: float = Field(default=1.0, gt=0, le=1)
    """The share of the training's budget that was spent when the adapter was kept. Below 1 it is a point of a curve, and no row of a
    table."""
    cost: dict[str, dict[str, Any]]
    """Seconds, tokens and memory that were measured in each stage."""
    profile: dict[str, Any] | None = None
    """How many answers were scored in part because of an inference profile, how many lacked the header, by task, and how often each of
    several profiles was chosen; None without a profile."""
    left_out: tuple[str, ...] = ()
    """Languages that were asked for and that a benchmark lacks."""
    versions: dict[str, str] = Field(default_factory=dict)

    @field_validator("tasks")
    @classmethod
    def _place(cls, tasks: dict[str, TaskResult], known: ValidationInfo) -> dict[str, TaskResult]:
        """Fill in what results of xlift 0.1 and of other programs do not say: benchmark, language, and what metrics mean.

        Scores of translation that an older xlift took of every line, in whatever language, get the names that such scores have now.
        """
        placed = {}
        for task, result in tasks.items():
            if not result.benchmark:
                benchmark, language = place(task, known.data.get("pivot", ""))
                result = result.model_copy(update={"benchmark": benchmark, "language": language})
            if not result.measures and not task.startswith("xlift_"):
                result = result.model_copy(
                    update={"measures": describe_metrics({name: score.value for name, score in result.metrics.items()})}
                )
            older = find_older_scores(result.metrics)
            metrics = {f"{name}{AS_WRITTEN}" if name in older else name: score for name, score in result.metrics.items()}
            placed[task] = result.model_copy(update={"metrics": metrics}) if older else result
        return placed

    @property
    def name(self) -> str:
        name = self.label if self.seed is None else f"{self.label} (seed {self.seed})"
        return name if self.share == 1 else f"{name} at {self.share:.0%}"

    @property
    def base_key(self) -> str:
        """What distinguishes its base from others: the sha256 of the weights, or the name if only a server has them."""
        return str(self.base.get("sha256") or self.base.get("name") or "unknown")


ENGINE_FACTS = (
    "backend",
    "dtype",
    "adapter_form",
    "batch_policy",
    "chat_template_sha256",
    "thinking",
    "thinking_tokens",
    "tensor_parallel_size",
)
"""The facts about an engine that enter the key of a result. Those about thinking are there only if the suite says something about it."""
_TRANSLATION = tuple(name for name, metric in METRICS.items() if metric.most == 100.0 and f"{name}{AS_WRITTEN}" in METRICS)


def find_older_scores(metrics: Container[str]) -> list[str]:
    """The scores of translation that an xlift before 0.2 took of every line as written, if ``off_target`` tells which of them count."""
    older = [name for name in _TRANSLATION if name in metrics and f"{name}{AS_WRITTEN}" not in metrics]
    return older if "off_target" in metrics else []


def comparability(task: str, parts: Mapping[str, object]) -> str:
    """The comparability key of a task's result: a hash of everything, except the model, that can change its numbers."""
    return digest({"task": task, **parts}, length=16)


@dataclass(frozen=True)
class Measurement:
    """One finished evaluate stage: its record, its place, and its age."""

    record: Record
    stage: Path
    """The folder of the manifest and of lm-eval's samples."""
    finished: str = ""
    """ISO 8601. It is in UTC with a Z if it comes from the manifest, else as ``read_sample_time`` finds it; empty if neither has it."""
    asked: str = ""
    """The time, written as in ``finished``, when a command last asked for this measurement and found it done; empty if it was always the
    newest."""
    adapter: str | None = None
    """The place of its adapter when it was measured, a folder or a hub reference; None for the base, and if an older xlift measured."""

    @property
    def key(self) -> tuple[str, str, int | None, float]:
        """What two measurements of one model have in common: suite, label, seed, and the share of its training."""
        return self.record.suite, self.record.label, self.record.seed, self.record.share

    @property
    def written(self) -> str:
        """The time when it was measured, ISO 8601 to the second; empty if it is not known."""
        return f"{self.finished[:19]}Z" if self.finished else ""

    @property
    def age(self) -> tuple[bool, str, str]:
        """Sorts the oldest first. A local time comes from an xlift that wrote no times into manifests, so it sorts before all others."""
        return bool(self.last), self.last or self.finished, self.stage.name

    @property
    def last(self) -> str:
        """The time when it was last measured or asked for, by the manifest's clock; empty if the manifest has no time."""
        last = self.asked or self.finished
        return last if last.endswith("Z") else ""


M = TypeVar("M", bound=Measurement)


@dataclass(frozen=True)
class Newest(Generic[M]):
    """The measurement of each model that counts, ``base`` first, then by label and seed."""

    measurements: tuple[M, ...]
    points: tuple[M, ...] = ()
    """Measurements of adapters that were kept before their training ended, by label, seed and share: the points of curves."""
    left_out: tuple[str, ...] = ()
    """A line for each older measurement."""
    older: tuple[M, ...] = ()
    """The older measurements, the oldest first, without copies of a measurement that counts."""

    @property
    def records(self) -> list[Record]:
        return [one.record for one in self.measurements]


def read_records(folders: Iterable[Path]) -> Newest[Measurement]:
    """The newest measurement of each model in run folders, and what was left out. Raises UserError as ``read_measurements`` does."""
    return choose_newest(read_measurements(folders))


def choose_newest(found: Iterable[M]) -> Newest[M]:
    """Of all measurements of one suite, label and seed, the one that was last made, or asked for again, by the times in the manifests.

    If suites of one name use several bases, the base becomes a part of the name, so that no model is compared with another model's base.
    """
    models: dict[tuple[str, str, int | None, float], list[M]] = {}
    for one in sorted(_name_bases(list(found)), key=lambda one: one.age):
        models.setdefault(one.key, []).append(one)
    newest, left_out, replaced = [], [], []
    for *older, last in models.values():
        newest.append(last)
        left_out += [_say_older(one, last) for one in older]
        replaced += [one for one in older if not _is_copy(one, last)]
    newest.sort(key=lambda one: (one.record.suite, one.record.label != "base", one.record.label, one.record.seed or 0, one.record.share))
    whole = tuple(one for one in newest if one.record.share == 1)
    return Newest(whole, tuple(one for one in newest if one.record.share < 1), tuple(sorted(left_out)), tuple(replaced))


def _is_copy(one: Measurement, other: Measurement) -> bool:
    return (one.stage.name, one.finished) == (other.stage.name, other.finished)


def _say_older(one: Measurement, last: Measurement) -> str:
    if _is_copy(one, last):
        return f"{one.stage}: the same measurement of {one.record.name} is in {last.stage.parent}"
    return f"{one.record.suite}/{one.stage.name}: {one.record.name} has a newer measurement, {last.stage.name}"


def _name_bases(found: Sequence[M]) -> list[M]:
    bases: dict[str, dict[str, str]] = {}
    for one in found:
        bases.setdefault(one.record.suite, {})[one.record.base_key] = PurePath(str(one.record.base.get("name", "unknown"))).name
    named = []
    for one in found:
        known = bases[one.record.suite]
        if len(known) > 1:
            name = known[one.record.base_key]
            mark = f" {one.record.base_key[:8]}" if list(known.values()).count(name) > 1 else ""
            one = replace(one, record=one.record.model_copy(update={"suite": f"{one.record.suite} on {name}{mark}"}))
        named.append(one)
    return named


def read_measurements(folders: Iterable[Path]) -> list[Measurement]:
    """All finished evaluations in run folders, the oldest first.

    Raises UserError for a folder without results and for a record that does not follow the schema.
    """
    found: list[Measurement] = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: {name_run(folder)}")
        stages = [path for path in sorted(folder.glob("evaluate-*")) if path.is_dir() and path.suffix != ".part"]
        held = [one for one in map(read_measurement, stages) if one]
        if not held:
            raise UserError(f"{folder}: no finished evaluation in it; {_say_what_to_do(folder)}")
        found += held
    return sorted(found, key=lambda one: one.age)


def _say_what_to_do(folder: Path) -> str:
    """The end of an error about a folder without a finished evaluation: the run folder that contains it or that it contains, if there is
    one."""
    if (folder / MANIFEST).is_file():
        return f"it is a stage of a run: name the run's folder, {folder.resolve().parent}"
    inner = sorted(path.parent.parent for path in folder.glob(f"*/evaluate-*/{MANIFEST}"))
    return f"name a run folder in it, such as {inner[0]}" if inner else "run the suite again to finish it"


def read_measurement(stage: Path) -> Measurement | None:
    """The measurement of one evaluate stage; None if it is not finished. Raises UserError as ``read_measurements`` does."""
    manifest = read_manifest(stage)
    if manifest is None:
        return None
    try:
        record = Record(**manifest["record"])
    except (KeyError, TypeError, ValidationError) as error:
        raise UserError(f"{stage}: its record does not follow schema version 1 ({str(error).splitlines()[0]})") from None
    for result in record.tasks.values():
        if result.samples and (Path(result.samples).name != result.samples or "\\" in result.samples):
            raise UserError(f"{stage}: a sample file must lie beside the manifest, {result.samples!r} does not")
    finished, asked = (str(manifest[key]) if _TIME.fullmatch(str(manifest.get(key))) else "" for key in ("finished", "asked"))
    adapter = manifest.get("adapter")
    return Measurement(record, stage, finished or read_sample_time(record), asked, str(adapter) if adapter else None)


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)


def read_sample_time(record: Record) -> str:
    """The time when lm-eval wrote a record's last samples, in the local time of that machine. It is at the end of their names.

    It is for manifests of xlift 0.1, which have no time. It is empty if there are no samples.
    """
    names = [result.samples for result in record.tasks.values() if result.samples]
    found = [re.search(r"_(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d(?:\.\d+)?)\.jsonl$", name, re.ASCII) for name in names]
    return max(("{}T{}:{}:{}".format(*time.groups()) for time in found if time), default="")


JUDGEMENTS = "judgements.json"
"""The name of the file, in a run's folder of a judge, that holds what the judge said about the run's answers."""

Z = 1.96


class WinRate(Section):
    """How one model's answers to one task compare with an opponent's. Shares are between 0 and 1, None if nothing could be read."""

    model_config = ConfigDict(extra="ignore")

    suite: str
    label: str
    seed: int | None
    task: str
    lang: str = ""
    against: str = ""
    items_of: int = Field(ge=0)
    samples: str | None = None
    """The file of the answers that were judged."""
    comparability: str
    items: int = Field(ge=0)
    win_rate: float | None
    """The mean preference of both orders, over the items whose replies can be read."""
    win_rate_stderr: float | None
    wins: float | None = None
    ties: float | None = None
    losses: float | None = None
    errors: float | None = None
    difference: float | None = None
    """Wins minus losses."""
    length_controlled: float | None
    """The win rate at equal length."""
    win_rate_as_written: float | None = None
    """The win rate by the judge's word alone. ``win_rate`` counts an answer in another language than asked for as lost."""
    length_controlled_as_written: float | None = None
    length_controlled_stderr: float | None
    length_control: str
    """The formula, or the reason why there is no length-controlled win rate."""
    flips: float | None
    """The share of the readable items that the answer wins in one order and loses in the other."""
    first: float | None = None
    """The mean preference for the answer shown first."""
    parse_errors: float | None
    """Share of the replies that cannot be read."""
    off_target: float | None = None
    """The share of answers in another language than the instruction's, of those whose language can be told."""
    language_unknown: float | None = None
    """Share of answers whose language cannot be told."""
    reference_off_target: float | None = None
    """The same share of the opponent's answers."""
    characters: float | None = None
    """Mean length of an answer; ``reference_characters`` is the opponent's."""
    reference_characters: float | None = None
    calibrated: str = ""
    """The result of the judge's calibration in this language; empty if an xlift judged that did not record it."""
    verdicts: str = Field(pattern=r"^[^/\\]+$")
    """File of the verdicts, beside the judgements."""

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, found: Any) -> Any:
        """Read what an xlift before 0.2 wrote. It wrote the judge's word alone as ``win_rate``; the rate without wrong languages is then
        not known."""
        if not isinstance(found, Mapping) or f"win_rate{AS_WRITTEN}" in found:
            return found
        moved = {f"{name}{AS_WRITTEN}": found.get(name) for name in ("win_rate", "length_controlled")}
        unknown = dict.fromkeys(("win_rate", "win_rate_stderr", "length_controlled", "length_controlled_stderr"))
        return {**found, **unknown, **moved, "length_control": "not known with wrong languages counted as lost: judge the run again"}

    @property
    def model(self) -> str:
        return self.label if self.seed is None else f"{self.label} (seed {self.seed})"

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the win rate, by the normal approximation."""
        return _spread(self.win_rate, self.win_rate_stderr)

    @property
    def controlled_interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the length-controlled win rate."""
        return _spread(self.length_controlled, self.length_controlled_stderr)

    def belongs_to(self, record: Record) -> bool:
        """Whether the answers that were judged are those of ``record``, and not those of an older measurement."""
        result = record.tasks.get(self.task)
        if result is None or (record.label, record.seed, result.comparability) != (self.label, self.seed, self.comparability):
            return False
        return self.samples is None or self.samples == result.samples


def _spread(value: float | None, stderr: float | None) -> tuple[float, float] | None:
    if value is None or stderr is None:
        return None
    return max(0.0, value - Z * stderr), min(1.0, value + Z * stderr)


class Judgements(Section):
    """All win rates of a run by one judge, asked in one way, against one opponent: what ``judgements.json`` holds."""

    model_config = ConfigDict(extra="ignore")

    schema_version: Literal[1] = 1
    judge: dict[str, JsonValue]
    """What identifies the judge, including ``model``, ``mode``, ``served`` (the server's name for it) and ``prompt_sha256``."""
    against: str
    calibration: str
    """A digest of what the judge got right of the probes, or "not calibrated"."""
    cost: dict[str, int | float] = Field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    asked: str = ""
    """The hash of the settings and of the answers that were judged."""
    results: tuple[WinRate, ...]

    @model_validator(mode="after")
    def _described(self) -> Judgements:
        if missing := [key for key in ("model", "mode", "prompt_sha256") if key not in self.judge]:
            raise ValueError(f"judge has no {missing[0]}")
        return self


def read_judgements(path: Path) -> Judgements:
    """What one judge said of a run. Raises UserError if the file is damaged."""
    try:
        return Judgements(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        raise UserError(f"{path}: damaged; delete it and judge the run again") from None


def make_public(value: Any) -> Any:
    """Plain data as others may read it: a path is cut to its last part, and secrets are hidden, also in what an older xlift wrote."""
    if isinstance(value, Mapping):
        command = value.get("command")
        known = {**value, "command": hide_places(command)} if isinstance(command, str) else value
        return {key: make_public(inner) for key, inner in known.items()}
    if isinstance(value, list):
        return [make_public(inner) for inner in value]
    if isinstance(value, str) and "\n" not in value:
        if value.startswith(("/", "~/", "./", "../")) and len(Path(value).parts) > 1:
            return Path(value).name
        if re.match(r"[A-Za-z]:\\", value):
            return PureWindowsPath(value).name
        return redact(value)
    return value
