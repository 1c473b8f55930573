"""What stages write about themselves, by its keys: one type for the three kinds, as files of older versions lack some of them anyway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict

from xlift.harness.core.types import Json


class PluginFacts(TypedDict):
    """A method that is no part of xlift."""

    distribution: str
    version: str
    sha256: str
    """Of its files."""


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
    """By language."""


class PartFacts(TypedDict, total=False):
    """What is read of a part of a plan (recipes.contract.PartRecord), and of its training."""

    kinds: list[str]
    languages: list[str]
    share: float
    rows: int
    sha256: str
    """Of its adapter; once it is trained, as are the next."""
    tokens_trained: int
    final_loss: float


class EditFacts(TypedDict, total=False):
    """What is read of how parts are combined (recipes.contract.Mix)."""

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
    """Not there where the plan is trained as one."""
    edit: EditFacts
    steer: Mapping[str, Json]
    """Not there where no states are moved."""


class Inputs(TypedDict, total=False):
    """What is read of a stage's inputs; the others only count for its name."""

    code: CodeFacts
    """prepare."""
    options: Mapping[str, Json]
    """prepare: the method's."""
    plan: PlanFacts
    """fit: as in the manifest of its rows."""


class Learned(TypedDict, total=False):
    """Inputs that nobody knows before the work is done."""

    read: Mapping[str, str | None]
    """prepare: hash of the rows of each ``language/corpus`` in the order of reading; None for one that could not be read."""
    files: list[tuple[str, str]]
    """prepare: name and sha256 of each file that the method read; not there where it read none."""


class FitFacts(TypedDict, total=False):
    """What is read of a training's report (training.trainer.FitReport); empty where nothing was trained."""

    tokens_trained: int
    steps: int
    seconds: float
    device: str
    curve: list[list[float]]
    """Step, tokens trained and loss."""


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
    """False where not all sources that are listed need have been read."""


class FileFacts(TypedDict):
    """recipes.files.MethodFile as plain data."""

    name: str
    origin: str
    """package or user."""
    bytes: int
    sha256: str


class Manifest(TypedDict, total=False):
    """The manifest of a stage: ``stage``, ``label``, ``inputs`` and the times are every stage's, the others those of the kind named."""

    stage: str
    """prepare, fit, part or evaluate."""
    label: str
    inputs: Inputs
    learned: Learned
    finished: str
    """ISO 8601 in UTC."""
    asked: str
    """The same of the last time that the stage was asked for when a newer one of its like stood there."""

    rows: int
    """prepare; so are all that follow up to ``facts``."""
    seconds: float
    generated_tokens: int
    thinking_tokens: int
    """Of the generated ones."""
    thinking_cut: int
    """Answers whose thinking never ended."""
    tokens_read: int
    """Tokens of texts whose states, or whose likelihoods, were read."""
    corpora: list[str]
    """``corpus`` or ``corpus/part``, with the language behind it."""
    sources: list[SourceFacts]
    files: list[FileFacts]
    """That the method read through its context."""
    translators: list[Mapping[str, str | int | None]]
    translated: Mapping[str, Mapping[str, int]]
    """Numbers of texts that were ``asked`` for and that ``failed``, by pair and kind of translator."""
    plan: PlanFacts
    kinds: Mapping[str, int]
    """Rows by ``language/kind``."""
    drops: Mapping[str, int]
    """Rows left out by ``language/kind: reason``."""
    losses: Mapping[str, float]
    """Share lost of the parts that lost much."""
    facts: Mapping[str, Json]
    chosen_on: str
    """prepare: what numbers of the method were chosen on; empty where nothing was."""

    report: FitFacts
    """fit."""
    adapter_sha256: str
    """fit."""
    parts: Mapping[str, PartFacts]
    """fit: what was put together, where it was."""

    record: Mapping[str, Json]
    """evaluate: evaluation.records.Record."""
    adapter: str | None
    """evaluate: where the adapter was, a folder or a place on the hub."""
    taken: Mapping[str, list[str]]
    """evaluate: tasks whose results were taken over, by the stage that they were measured in."""
