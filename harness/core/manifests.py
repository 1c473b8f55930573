"""What stages write about themselves. One type serves all three kinds of stages, because files of older versions lack some keys anyway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict

from xlift.harness.core.types import Json


class PluginFacts(TypedDict):
    """A method that is not part of xlift."""

    distribution: str
    version: str
    sha256: str
    """The hash of its files."""


class CodeFacts(TypedDict, total=False):
    """What is read of a method's code (recipes.plugins.Code)."""

    plugin: PluginFacts | None


class ObjectiveFacts(TypedDict):
    """What is read of an objective."""

    kind: str
    """sft, dpo, align or gap."""


class ProfileFacts(TypedDict, total=False):
    """What is read of a profile (models.profile.InferenceProfile)."""

    prompt: Mapping[str, str]
    """The prompt of each language."""


class PartFacts(TypedDict, total=False):
    """What is read of a part of a plan (recipes.contract.PartRecord), and of its training."""

    kinds: list[str]
    languages: list[str]
    share: float
    rows: int
    sha256: str
    """The hash of its adapter. It and the next keys are there once it is trained."""
    tokens_trained: int
    final_loss: float


class EditFacts(TypedDict, total=False):
    """What is read of the way in which parts are combined (recipes.contract.Mix)."""

    kind: str
    """mix."""
    shares: Mapping[str, float]
    layers: Mapping[str, Mapping[str, float]]


class PlanFacts(TypedDict, total=False):
    """What is read of a plan (recipes.contract.PlanRecord)."""

    rows_sha256: str
    objective: ObjectiveFacts
    profile: ProfileFacts | None
    parts: Mapping[str, PartFacts]
    """Missing if the plan is trained as one."""
    edit: EditFacts
    steer: Mapping[str, Json]
    """Missing if no states are moved."""
    policy: Mapping[str, Json]
    """Missing if no profile is chosen."""
    module: Mapping[str, Json]
    """Missing if no encoder reads the prompts."""


class Inputs(TypedDict, total=False):
    """What is read of a stage's inputs. The others only count for its name."""

    code: CodeFacts
    """In prepare: the method's code."""
    options: Mapping[str, Json]
    """In prepare: the method's options."""
    plan: PlanFacts
    """In fit: the plan, as in the manifest of its rows."""


class Learned(TypedDict, total=False):
    """Inputs that nobody knows before the work is done."""

    read: Mapping[str, str | None]
    """In prepare: the hash of the rows of each ``language/corpus`` in the order of reading; None for one that could not be read."""
    files: list[tuple[str, str]]
    """In prepare: name and sha256 of each file that the method read; missing if it read none."""


class FitFacts(TypedDict, total=False):
    """What is read of a training's report (training.trainer.FitReport); empty where nothing was trained."""

    tokens_trained: int
    steps: int
    seconds: float
    device: str
    curve: list[list[float]]
    """Step, tokens trained and loss."""
    points: list[Mapping[str, Json]]
    """Adapters that were kept on the way (training.report.CurvePoint)."""


class LicenceFacts(TypedDict):
    """tasks.licences.Licence as plain data."""

    text: str
    tags: tuple[str, ...] | list[str]


class SourceFacts(TypedDict):
    """tasks.licences.Source as plain data."""

    name: str
    lang: str
    licence: LicenceFacts
    certain: NotRequired[bool]
    """False if not all of the listed sources need have been read."""


class FileFacts(TypedDict):
    """recipes.files.MethodFile as plain data."""

    name: str
    origin: str
    """package or user."""
    bytes: int
    sha256: str


class Manifest(TypedDict, total=False):
    """The manifest of a stage. ``stage``, ``label``, ``inputs`` and the times are in every manifest, the other keys in those of the kind
    that is named."""

    stage: str
    """prepare, fit, part or evaluate."""
    label: str
    inputs: Inputs
    learned: Learned
    finished: str
    """The time when the stage was finished, ISO 8601 in UTC."""
    asked: str
    """The last time when the stage was asked for although a newer one of the same kind was there, ISO 8601 in UTC."""

    rows: int
    """In prepare: the number of rows. The keys up to ``facts`` are in prepare too."""
    seconds: float
    generated_tokens: int
    thinking_tokens: int
    """How many of the generated tokens were thinking."""
    thinking_cut: int
    """The number of answers whose thinking never ended."""
    tokens_read: int
    """The number of tokens of texts whose states or likelihoods were read."""
    corpora: list[str]
    """``corpus`` or ``corpus/part``, followed by the language."""
    sources: list[SourceFacts]
    files: list[FileFacts]
    """The files that the method read through its context."""
    translators: list[Mapping[str, str | int | None]]
    translated: Mapping[str, Mapping[str, int]]
    """The numbers of texts that were ``asked`` for and that ``failed``, by pair and kind of translator."""
    plan: PlanFacts
    kinds: Mapping[str, int]
    """The number of rows by ``language/kind``."""
    drops: Mapping[str, int]
    """The number of rows that were left out, by ``language/kind: reason``."""
    losses: Mapping[str, float]
    """The lost share of each part that lost much."""
    facts: Mapping[str, Json]
    chosen_on: str
    """In prepare: the data on which numbers of the method were chosen; empty if nothing was."""

    report: FitFacts
    """In fit: the training's report."""
    adapter_sha256: str
    """In fit: the sha256 of the adapter."""
    parts: Mapping[str, PartFacts]
    """In fit: the parts that were put together, if there were any."""

    record: Mapping[str, Json]
    """In evaluate: the record (evaluation.records.Record)."""
    adapter: str | None
    """In evaluate: the place of the adapter, a folder or a place on the hub."""
    taken: Mapping[str, list[str]]
    """In evaluate: tasks whose results were taken over, by the stage in which they were measured."""
