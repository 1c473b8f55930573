"""The contract between a method and the engine: a Context goes in, a Plan comes out."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import find
from xlift.harness.core.settings import Section, explain
from xlift.harness.core.types import Answer, Chat, CorpusRow, Json, Rows, Sampling
from xlift.harness.models.module import Module
from xlift.harness.models.policy import Policy
from xlift.harness.models.profile import InferenceProfile
from xlift.harness.models.shape import place_layer as place_layer
from xlift.harness.models.steering import Steer

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECIPES_VERSION = 2
"""The version of everything that methods share between a corpus and their rows: recipes, leak guard, identification of languages.

Raise it with every change that alters a row of some method, so that older rows are not taken for new ones.
tests/methods/test_rows_golden.py fails if a change of rows went unnoticed.
"""


class Options(Section):
    """The base class of a method's options. They are frozen, and unknown keys are refused by name."""

    SHARES: ClassVar[tuple[str, ...]] = ()
    """The options that are shares of one budget. A suite in which they do not add up to 1 is refused before any work."""

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        whole = sum(getattr(self, name) for name in self.SHARES)
        if self.SHARES and abs(whole - 1) > 1e-6:
            raise UserError(f"{', '.join(self.SHARES)}: these shares add up to {whole:.3f}, not 1")
        return self


OptionsT = TypeVar("OptionsT", bound=Options)


def _find_code(text: str) -> str:
    try:
        return find(text).code
    except UserError as error:
        raise explain(str(error)) from None


LanguageCode = Annotated[str, AfterValidator(_find_code)]
"""An option that names a language. It is refused if xlift does not know it, and is kept as its short code."""


@dataclass(frozen=True)
class Sft:
    """Cross-entropy on the responses, averaged over their tokens."""

    kind: Literal["sft"] = field(default="sft", kw_only=True)


@dataclass(frozen=True)
class Dpo:
    """Direct preference optimisation (arXiv:2305.18290), with the likelihood of the chosen answer added to it.

    The loss of a pair is -log sigmoid(beta * (log-ratio of chosen - log-ratio of rejected)) - nll_weight * log p(chosen) / length of
    chosen. The reference of the log-ratios is the model at the start of the round, whatever was trained before.
    """

    kind: Literal["dpo"] = field(default="dpo", kw_only=True)
    beta: float = 0.1
    nll_weight: float = 1.0
    length_normalised: bool = True
    """Whether the likelihood is divided by the chosen answer's length."""


@dataclass(frozen=True)
class Term:
    """One part of the loss of ``Align``, on the states of ``Parallel`` rows at some layers.

    ``contrastive``: InfoNCE on cosines, a text's own translation against those of the other rows. ``mse``: the mean squared difference
    between a text and its anchor. ``offset``: the mean squared difference between a direction and the distance that a text (not an anchor)
    has moved since the start. ``keep``: the mean squared difference between an anchor and what it was at the start. Each is a mean over
    pairs (``keep``: over rows) and layers.
    """

    name: Literal["contrastive", "mse", "offset", "keep"]
    layers: tuple[int | float, ...]
    """A whole number is a state: 0 is what goes into the first layer, n what comes out of the n-th, and -1 the last one, after the final
    norm. A number between 0 and 1 is a share of the depth: 0.5 is state 16 of 32."""
    pool: Literal["last", "mean"] = "mean"
    """The state of a text: that of its last token, or the mean over its tokens without the first."""
    weight: float = 1.0
    temperature: float = 0.1
    """For contrastive: the number by which cosines are divided."""
    symmetric: bool = False
    """For contrastive: the mean of both directions. Otherwise only the anchor's text is compared with its translations."""
    basis: str = ""
    """The name in ``Plan.arrays`` of orthonormal columns, (layers, hidden, rank). States are first projected on the space that they
    span."""
    complement: bool = False
    """Whether states are projected on everything at right angles to the basis instead."""
    directions: Mapping[str, str] = field(default_factory=dict)
    """For offset: for each language the name in ``Plan.arrays`` of the direction, (layers, hidden)."""


@dataclass(frozen=True)
class Align:
    """Terms on the hidden states of parallel rows, and the cross-entropy of examples if the plan has any."""

    kind: Literal["align"] = field(default="align", kw_only=True)
    terms: tuple[Term, ...] = ()
    batch: int = 16
    """The most rows whose texts are contrasted with each other. If a step of the optimiser has fewer, those are contrasted."""
    sft_weight: float = 1.0
    """The weight of the cross-entropy, beside the terms' own weights."""
    alternate: bool = False
    """Whether parallel rows and examples take turns in steps of their own. Otherwise every step has both."""


@dataclass(frozen=True)
class Gap:
    """The gap between two answers is drawn to the gap between their twins in the pivot (MPO, arXiv:2505.16869).

    The gap of a pair is the mean log-probability of the chosen answer's tokens minus that of the rejected one's. The loss of a pair is
    (beta * gap - gap of the twin)^2 + keep * the mean squared difference between the twin's two mean last states and what they were. The
    gap and the states of a twin are those of the model at the start of the round.
    """

    kind: Literal["gap"] = field(default="gap", kw_only=True)
    beta: float = 1.0
    keep: float = 1.0


def place_block(layer: int, depth: int) -> int:
    """The number of a layer of the decoder, counted from 0. Raises UserError for a layer that the base does not have."""
    if not -depth <= layer < depth:
        raise UserError(f"layer {layer}: the base has {depth} layers, from 0 to {depth - 1}; -1 is the last one")
    return layer % depth


@dataclass(frozen=True)
class Where:
    """Which weights a plan trains, if they are not all that ``train.lora`` targets.

    Nothing below the lowest trained layer gets a gradient, so a training of only the last layers is cheaper.
    """

    layers: tuple[int, ...] = ()
    """Layers of the base's decoder, from 0; -1 is the last one. Empty means all."""
    modules: tuple[str, ...] = ()
    """Names of modules in the base (``up_proj``), in place of those of ``train.lora``. Empty means those of ``train.lora``."""

    def narrow(self, lora: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """``train.lora`` restricted to these layers and modules, for a base of ``depth`` layers.

        Raises UserError for a layer that the base does not have, and for a ``train.lora`` that chooses layers itself.
        """
        placed = sorted({place_block(layer, depth) for layer in self.layers})
        if self.layers and lora.get("layers_to_transform") is not None:
            raise UserError("train.lora.layers_to_transform: the method chooses the layers; leave one of them out")
        targets = list(self.modules) or lora.get("target_modules", "all-linear")
        if self.layers and isinstance(targets, str) and targets != "all-linear":
            raise UserError("train.lora.target_modules: a pattern cannot be kept to the method's layers; list the names of modules")
        layers = {"layers_to_transform": placed} if placed else {}
        return {**lora, "target_modules": targets, **layers}


@dataclass(frozen=True)
class Part:
    """One of several adapters that a plan combines. It is trained from the base by itself, as a plan of its own would be."""

    kinds: tuple[str, ...]
    """The kinds of the rows on which it is trained."""
    share: float
    """Its share of ``train.tokens``; the shares of all parts add up to 1. If the budget is in epochs, each part goes through its own
    rows."""
    languages: tuple[str, ...] = ()
    """The languages of these rows; empty means all."""


@dataclass(frozen=True)
class Mix:
    """The adapters of a plan's parts, added up into one, layer by layer.

    The change that a part makes to the weights is multiplied by its share, and these products are added up. The changes are LoRA's, so
    their ranks are put side by side, which is exact: the sum of the changes is one LoRA adapter of the base.
    """

    shares: Mapping[str, float]
    """The share of each part. A part that is not named has 0. A share may be negative or above 1."""
    layers: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    """Other shares in some layers of the base's decoder, counted from 0; -1 is the last one. They replace ``shares`` there."""
    kind: Literal["mix"] = field(default="mix", kw_only=True)


@dataclass(frozen=True)
class Mask:
    """Weights of the base that are set to 0, chosen by numbers that the plan has as arrays. Nothing is trained.

    ``products``: the arrays hold the inputs' norms by the name of a linear module. In each output of each such module, the share ``ratio``
    of its weights with the smallest product of size and input's norm is set to 0 (Wanda, arXiv:2306.11695). ``random``: as many of each
    output, at random. ``neurons``: an array for each layer, named by its number, is true for the neurons of the feed-forward part whose
    output is set to 0.
    """

    rule: Literal["products", "random", "neurons"]
    ratio: float = 0.0
    kind: Literal["mask"] = field(default="mask", kw_only=True)


Edit = Annotated[Mix | Mask, Field(discriminator="kind")]


def place_blocks(layers: Iterable[int], depth: int) -> dict[int, int]:
    """The number of each named layer of the decoder, counted from 0. Raises UserError as ``place_block`` does, and for a layer that is
    named twice."""
    found: dict[int, int] = {}
    for layer in layers:
        place = place_block(layer, depth)
        if place in found:
            raise UserError(f"layer {layer} and layer {found[place]} are one, as the base has {depth} layers; name fewer of them")
        found[place] = layer
    return found


Objective = Annotated[Sft | Dpo | Align | Gap, Field(discriminator="kind")]
"""What is minimised. In manifests, ``kind`` says which objective it is."""


@dataclass(frozen=True)
class Plan:
    """What is trained: rows, the objective, and a complete count of what was left out.

    Without rows nothing is trained: the method is its profile or its moves of states, and the base answers, whole or with a mask.
    """

    rows: Rows
    """Examples for Sft, preferences for Dpo, preferences with twins for Gap, parallel rows for Align, which may have examples beside
    them."""
    objective: Objective = Sft()
    drops: Mapping[str, int] = field(default_factory=dict)
    """The number of rows that were left out, by reason: ``"es/translation: empty response"``."""
    phases: tuple[tuple[str, ...], ...] = ()
    """Groups of kinds that are trained one after the other. If there are none, all rows are mixed."""
    profile: InferenceProfile | None = None
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict, compare=False)
    """The numbers that the terms of Align name, or that a Mask uses; for Steer those of each language, by its code."""
    steer: Steer | None = None
    """How the states of the base are moved while it answers, in a plan without rows."""
    policy: Policy | None = None
    """How a profile is chosen for each request, in a plan without rows and without ``profile``."""
    module: Module | None = None
    """The encoder that reads prompts too, as ``Method.module`` says it. Its projection is trained on the rows, with Sft, without LoRA."""
    where: Where | None = None
    """Which weights are trained, as ``Method.where`` names them; None for those that ``train.lora`` targets."""
    parts: Mapping[str, Part] = field(default_factory=dict)
    """Adapters by name that are trained separately, each with the plan's objective, and combined as ``edit`` says. Each row belongs to one
    or several of them. A plan with parts has no phases and one round."""
    edit: Edit | None = None
    """How the adapters of the parts become one (Mix), or which of the base's weights are set to 0 in a plan without rows (Mask)."""
    chosen_on: str = ""
    """The data on which numbers of the method were chosen, such as ``flores dev``, and never what is measured. Empty if nothing was
    chosen."""
    facts: Mapping[str, Json] = field(default_factory=dict)
    """Whatever else the manifest is to say: a fitted law, lengths, the share of answers in the wrong language."""


class PartRecord(Section):
    """What a manifest keeps of a part."""

    kinds: tuple[str, ...]
    languages: tuple[str, ...]
    share: float
    rows: int
    rows_sha256: str
    """The hash of its rows as JSON lines."""


class PlanRecord(Section):
    """What a manifest keeps of a plan: everything that its training needs, except the rows themselves."""

    model_config = ConfigDict(extra="ignore")

    rows_sha256: str
    """The hash of the rows as JSON lines."""
    objective: Objective
    phases: tuple[tuple[str, ...], ...]
    profile: InferenceProfile | None
    where: Where | None = None
    steer: Steer | None = None
    policy: Policy | None = None
    module: Module | None = None
    arrays_sha256: str | None = None
    """The hash of the file of arrays; None if there are none."""
    parts: dict[str, PartRecord] | None = None
    edit: Edit | None = None

    def describe(self) -> dict[str, Any]:
        """The plan as plain data. Keys that older plans did not have are left out if they are empty, so that older trainings keep their
        hashes."""
        found = self.model_dump(mode="json")
        later = ("where", "steer", "policy", "module", "arrays_sha256", "parts", "edit")
        return {key: value for key, value in found.items() if key not in later or value is not None}


UNSAID = "the method decides"
"""The text for a method that does not say what it does without a corpus."""


@dataclass(frozen=True)
class Reading:
    """A corpus in one language that a method will read."""

    corpus: str
    lang: str
    instead: str = ""
    """What the method does without it, such as ``translates the pivot's``; empty if the method cannot do without."""
    translated: bool = False
    """Whether ``instead`` is a translation of the pivot's rows by the suite's translator, who is then named with it."""


class Context(Protocol):
    """Everything that a method can see and use."""

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages to train, without the pivot."""

    @property
    def pivot(self) -> str: ...

    @property
    def budget(self) -> int | None:
        """The most rows that the plan may hold: the suite's bound, or fewer if the training's tokens reach no more; None: no bound."""

    @property
    def rng(self) -> random.Random:
        """A fresh generator, the same at each call and in each round of a run. It is the only source of chance.

        A list that it shuffles has the same order in all rounds, so rounds that take windows of it (from ``round * size`` on) share
        nothing.
        """

    @property
    def round(self) -> int:
        """0 in the first round. In later rounds ``generate`` and self-translation use the adapter of the round before."""

    def read(self, corpus: str, lang: str) -> Sequence[CorpusRow]:
        """The rows of a training corpus in one language (docs/data.md lists corpora and columns).

        Raises LeakError for an evaluation corpus, and UserError if the corpus cannot be read.
        """

    def read_file(self, path: str | Path) -> bytes:
        """The bytes of a file that came with the method, by its place beside the method's own file (``words.tsv``), else of a file of the
        user's.

        Its sha256 is in the manifest and the card, and rows are made again when it changes. Raises UserError if it cannot be read.
        """

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        """The model's answers, in the order of the chats. Greedy and sampled answers are remembered between runs."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Each text in the target language, from the suite's translator for the pair; None if it gave nothing that can be used.

        Raises UserError if no translator can serve the pair.
        """

    def score_translations(self, texts: Sequence[str], translations: Sequence[str], source: str, target: str) -> list[float | None]:
        """How likely the suite's translation model finds each given translation: natural log-probabilities, averaged over its tokens.

        None for a text that is longer than the model's positions. Scores are remembered between runs. Raises UserError if the pair's
        translator cannot score; with empty lists nothing is scored, but this error is raised all the same.
        """

    def require_translator(self, source: str, target: str) -> None:
        """Check that a translator can serve the pair, and raise UserError if none can. So a method finds out before it generates for an
        hour."""

    def read_states(
        self, texts: Sequence[str | Chat], layers: Sequence[int | float], pool: Literal["last", "mean"] = "last"
    ) -> NDArray[Any]:
        """The states of the model with which the round starts, as (texts, layers, hidden) in float32, remembered between runs.

        Layers, pooling, and what is read of a chat and of a text are as in ``Term`` and ``Parallel``.
        """

    def read_norms(self, texts: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """The norms of the inputs of each linear module of the layers, over all tokens of the texts: (inputs,) in float32, by the module's
        name.

        They are those of the model with which the round starts, and are remembered between runs.
        """

    def read_activity(self, texts: Sequence[str]) -> NDArray[Any]:
        """The share of the texts' tokens at which each neuron of the feed-forward parts is active, (layers, neurons) in float32.

        A neuron is active if the input of its activation function is above 0. The model is the one with which the round starts, and the
        shares are remembered between runs.
        """

    def score(
        self, chats: Sequence[Chat], answers: Sequence[str], steer: Steer | None = None, arrays: Mapping[str, NDArray[Any]] | None = None,
        lang: str = "",
    ) -> list[float]:  # fmt: skip
        """How likely the model with which the round starts finds each answer to its chat: natural log-probabilities, averaged over its
        tokens.

        With ``steer`` its states are moved by ``arrays``, as for answers in ``lang``. The results are remembered between runs.
        """

    def identify(self, texts: Sequence[str]) -> list[str]:
        """The language code of each text; ``und`` if it is too short to tell."""


class Method(ABC, Generic[OptionsT]):
    """One training recipe. A file of ``methods/`` ends with ``METHOD = TheClass``; its docstring names the source."""

    Options: ClassVar[type[Options]]
    version: ClassVar[int] = 1
    """The version of the rows that the method makes. Raise it when they change, so that older ones are made again. For an installed plugin,
    each change of its files counts as well."""
    system_turn: ClassVar[bool] = False
    """Whether rows or profile have a system turn. Some chat templates refuse one, which is checked before any work is done."""
    trains: ClassVar[bool] = True
    """Whether there may be rows. If not, the method is its profile or its moves, and a plan of a run counts no tokens for it."""
    masks: ClassVar[bool] = False
    """Whether its plans are masks of the base's weights. Only merged weights can show a mask, so another adapter form is refused."""
    combines: ClassVar[bool] = False
    """Whether its plans have parts. If so, a training whose results cannot be added up is refused before any work."""
    backends: ClassVar[tuple[str, ...]] = ()
    """The engine's backends that can serve what it makes; empty for all. Others are refused before any work is done."""

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    @property
    def rounds(self) -> int:
        """How often ``prepare`` and training follow each other, each round with the adapter of the round before."""
        return 1

    @property
    def is_control(self) -> bool:
        """Whether it leaves out the idea under test, for a comparison with what has it. Tables say so beside its label."""
        return False

    @property
    def states(self) -> tuple[int | float, ...]:
        """The layers whose states it reads or trains, named as in ``Term.layers``. They are checked before any work, as ``where`` is."""
        return ()

    @property
    def blocks(self) -> tuple[int, ...]:
        """The layers of the decoder that ``Mix.layers`` of its plans names, each once. They are checked as ``where`` is."""
        return ()

    @property
    def where(self) -> Where | None:
        """Which weights its plans train. A base without such layers or modules is refused before any work."""
        return None

    def list_parts(self, languages: Sequence[str]) -> Mapping[str, Part]:
        """The parts of its plans by name, if they have any, so that a share that no step fits into is refused before any work."""
        return {}

    @property
    def module(self) -> Module | None:
        """The encoder of its plans, so that one that cannot be read or lacks a language is refused before any work."""
        return None

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        """What ``prepare`` will read. A run that lacks it is refused before any work.

        For a method that does not define this, it is guessed from the options: each corpus that an option names (``corpus``,
        ``prompt_corpus``) is read in the pivot and in all languages, corpora of pairs with English (``translation_corpus``,
        ``lexicon_corpus``) in all but English. What the method does without them is then not known.
        """
        found: list[Reading] = []
        for name, value in self.options.model_dump().items():
            if isinstance(value, str) and (name == "corpus" or name.endswith("_corpus")):
                with_english = name in ("translation_corpus", "lexicon_corpus")
                found += [Reading(value, lang, UNSAID) for lang in (pivot, *languages) if not (with_english and lang == "en")]
        return found

    @abstractmethod
    def prepare(self, ctx: Context) -> Plan:
        """The rows to train on. They must be the same for the same options, context and seed.

        Raises UserError if the data do not suffice.
        """
