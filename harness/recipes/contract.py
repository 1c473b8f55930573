"""The contract between a method and the engine: Context in, Plan out."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, Protocol, TypeVar

from pydantic import ConfigDict, Field

from xlift.harness.core.errors import UserError
from xlift.harness.core.settings import Section
from xlift.harness.core.types import Answer, Chat, CorpusRow, Json, Rows, Sampling
from xlift.harness.models.profile import InferenceProfile
from xlift.harness.models.shape import place_layer as place_layer
from xlift.harness.models.steering import Steer

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECIPES_VERSION = 2
"""Of all that methods share between a corpus and their rows: the recipes, the leak guard, the identification of languages.

Raise it with every change that moves a row of some method, so that older rows are not taken for new ones.
tests/methods/test_rows_golden.py fails where a change of rows went unnoticed.
"""


class Options(Section):
    """Base of a method's options: frozen, unknown keys refused by name."""


OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True)
class Sft:
    """Cross-entropy on the responses, averaged over their tokens."""

    kind: Literal["sft"] = field(default="sft", kw_only=True)


@dataclass(frozen=True)
class Dpo:
    """Direct preference optimisation (arXiv:2305.18290), with the likelihood of the chosen answer beside it.

    Loss of a pair: -log sigmoid(beta * (log-ratio of chosen - log-ratio of rejected)) - nll_weight * log p(chosen) / length of chosen.
    The reference of the log-ratios is the model at the start of the round, whatever was trained before.
    """

    kind: Literal["dpo"] = field(default="dpo", kw_only=True)
    beta: float = 0.1
    nll_weight: float = 1.0
    length_normalised: bool = True
    """False leaves the division by the chosen answer's length out."""


@dataclass(frozen=True)
class Term:
    """One part of the loss of ``Align``, on the states of ``Parallel`` rows at some layers.

    ``contrastive``: InfoNCE on cosines, a text's own translation against those of the other rows. ``mse``: mean squared difference of a
    text and its anchor. ``offset``: mean squared difference of a direction and how far a text that is no anchor has moved since the start.
    ``keep``: mean squared difference of an anchor and what it was at the start. Each is a mean over pairs (``keep`` over rows) and layers.
    """

    name: Literal["contrastive", "mse", "offset", "keep"]
    layers: tuple[int | float, ...]
    """A whole number is a state: 0 what goes into the first layer, n what comes out of the n-th, -1 the last one, which stands behind the
    final norm. A number between 0 and 1 is a share of the depth: 0.5 is state 16 of 32."""
    pool: Literal["last", "mean"] = "mean"
    """What a text's state is: the state of its last token, or the mean over its tokens without the first."""
    weight: float = 1.0
    temperature: float = 0.1
    """contrastive: what cosines are divided by."""
    symmetric: bool = False
    """contrastive: the mean of both directions, in place of the anchor's text among its translations."""
    basis: str = ""
    """Name in ``Plan.arrays`` of orthonormal columns, (layers, hidden, rank), on whose space states are projected first."""
    complement: bool = False
    """Project on all that is at right angles to the basis instead."""
    directions: Mapping[str, str] = field(default_factory=dict)
    """offset: by language the name in ``Plan.arrays`` of the direction, (layers, hidden)."""


@dataclass(frozen=True)
class Align:
    """Terms on hidden states of parallel rows, and the cross-entropy of examples where there are any."""

    kind: Literal["align"] = field(default="align", kw_only=True)
    terms: tuple[Term, ...] = ()
    batch: int = 16
    """Most rows whose texts are contrasted with each other; a step of the optimiser that has fewer contrasts those."""
    sft_weight: float = 1.0
    """Weight of the cross-entropy, beside the terms' own weights."""
    alternate: bool = False
    """Parallel rows and examples in steps of their own, by turns, in place of both in every step."""


@dataclass(frozen=True)
class Gap:
    """The gap between two answers is drawn to the gap of their twins in the pivot (MPO, arXiv:2505.16869).

    The gap of a pair is the mean log-probability of the chosen answer's tokens less that of the rejected one's. Loss of a pair:
    (beta * gap - gap of the twin)^2 + keep * mean squared difference of the twin's two mean last states and what they were. The gap of a
    twin, and its states, are those of the model at the start of the round.
    """

    kind: Literal["gap"] = field(default="gap", kw_only=True)
    beta: float = 1.0
    keep: float = 1.0


def place_block(layer: int, depth: int) -> int:
    """The number of a layer of the decoder, from 0. Raises UserError for one that the base does not have."""
    if not -depth <= layer < depth:
        raise UserError(f"layer {layer}: the base has {depth} layers, from 0 to {depth - 1}; -1 is the last one")
    return layer % depth


@dataclass(frozen=True)
class Where:
    """Which weights a plan trains, where that is not all that ``train.lora`` targets.

    Nothing below the lowest trained layer gets a gradient, so a training of the last layers alone is cheaper.
    """

    layers: tuple[int, ...] = ()
    """Layers of the base's decoder, from 0; -1 is the last one. Empty means all."""
    modules: tuple[str, ...] = ()
    """Names of modules in the base (``up_proj``), in place of those of ``train.lora``. Empty means those of ``train.lora``."""

    def narrow(self, lora: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """``train.lora`` with these layers and modules alone, for a base of ``depth`` layers.

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
    """One of several adapters that a plan combines: trained from the base by itself, as a plan of its own would be."""

    kinds: tuple[str, ...]
    """Kinds of the rows that it is trained on."""
    share: float
    """Share of ``train.tokens``; the shares of all parts add up to 1. If the budget is in epochs, each part goes through its own rows."""
    languages: tuple[str, ...] = ()
    """Languages of these rows; empty means all."""


@dataclass(frozen=True)
class Mix:
    """The adapters of a plan's parts, added up into one layer by layer.

    What a part changes of the weights is multiplied with its share there and added to that of the others. As the changes are LoRA's, their
    ranks are put side by side, which is exact: the sum of the changes, and one LoRA on the base.
    """

    shares: Mapping[str, float]
    """Share of each part; one that is not named has 0. A share may be negative or above 1."""
    layers: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    """Shares that stand in place of those in some layers of the base's decoder, counted from 0; -1 is the last one."""
    kind: Literal["mix"] = field(default="mix", kw_only=True)


@dataclass(frozen=True)
class Mask:
    """Weights of the base that are put to 0, chosen by numbers that the plan has as arrays; nothing is trained.

    ``products``: of each output of each linear module of which there is an array, the inputs' norms by the module's name, the ``ratio`` of
    its weights whose size times their input's norm is the least (Wanda, arXiv:2306.11695). ``random``: as many of each output at random.
    ``neurons``: what comes out of those neurons of the feed-forward part that the array of their layer, named by its number, has as true.
    """

    rule: Literal["products", "random", "neurons"]
    ratio: float = 0.0
    kind: Literal["mask"] = field(default="mask", kw_only=True)


Edit = Annotated[Mix | Mask, Field(discriminator="kind")]


def place_blocks(layers: Iterable[int], depth: int) -> dict[int, int]:
    """Each layer of the decoder as it was named, by its number from 0. Raises UserError as ``place_block``, and for one named twice."""
    found: dict[int, int] = {}
    for layer in layers:
        place = place_block(layer, depth)
        if place in found:
            raise UserError(f"layer {layer} and layer {found[place]} are one, as the base has {depth} layers; name fewer of them")
        found[place] = layer
    return found


Objective = Annotated[Sft | Dpo | Align | Gap, Field(discriminator="kind")]
"""What is minimised. As plain data, in manifests, ``kind`` says which it is."""


@dataclass(frozen=True)
class Plan:
    """What is trained: rows, the objective, and an honest count of what was left out.

    Without rows nothing is trained: the method is its profile or its moves of states, and the base answers, whole or behind a mask.
    """

    rows: Rows
    """Examples for Sft, preferences for Dpo, preferences with twins for Gap, parallel rows for Align, with examples beside them or not."""
    objective: Objective = Sft()
    drops: Mapping[str, int] = field(default_factory=dict)
    """Rows left out, by reason: ``"es/translation: empty response"``."""
    phases: tuple[tuple[str, ...], ...] = ()
    """Kinds of rows that are trained one group after the other; all rows are mixed where empty."""
    profile: InferenceProfile | None = None
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict, compare=False)
    """Numbers that the terms of Align name, or that a Mask goes by; of Steer those of each language, by its code."""
    steer: Steer | None = None
    """How the states of the base are moved while it answers, without rows."""
    where: Where | None = None
    """Which weights are trained, as ``Method.where`` says it; what ``train.lora`` targets where None."""
    parts: Mapping[str, Part] = field(default_factory=dict)
    """By name: adapters that are trained apart, each with the plan's objective, and put together as ``edit`` says. Each row is of one part
    or of several; there are no phases beside parts, and one round."""
    edit: Edit | None = None
    """How the adapters of the parts become one (Mix), or which of the base's weights are put to 0 in a plan without rows (Mask)."""
    chosen_on: str = ""
    """What numbers of the method were chosen on, such as ``flores dev``: never what is measured on. Empty where nothing was."""
    facts: Mapping[str, Json] = field(default_factory=dict)
    """What else the manifest shall say: a fitted law, lengths, the share of answers in the wrong language."""


class PartRecord(Section):
    """What a manifest keeps of a part."""

    kinds: tuple[str, ...]
    languages: tuple[str, ...]
    share: float
    rows: int
    rows_sha256: str
    """Hash of its rows as JSON lines."""


class PlanRecord(Section):
    """What a manifest keeps of a plan: all that its training needs beside the rows themselves."""

    model_config = ConfigDict(extra="ignore")

    rows_sha256: str
    """Hash of the rows as JSON lines."""
    objective: Objective
    phases: tuple[tuple[str, ...], ...]
    profile: InferenceProfile | None
    where: Where | None = None
    steer: Steer | None = None
    arrays_sha256: str | None = None
    """Hash of the file of arrays; None if there are none."""
    parts: dict[str, PartRecord] | None = None
    edit: Edit | None = None

    def describe(self) -> dict[str, Any]:
        """The plan as plain data, without what older plans had no place for, so that the trainings of older plans keep their hashes."""
        found = self.model_dump(mode="json")
        later = ("where", "steer", "arrays_sha256", "parts", "edit")
        return {key: value for key, value in found.items() if key not in later or value is not None}


UNSAID = "the method decides"
"""What is said of a method that does not say what it reads."""


@dataclass(frozen=True)
class Reading:
    """A corpus in one language that a method will ask for."""

    corpus: str
    lang: str
    instead: str = ""
    """What the method does without it, such as ``translates the pivot's``; empty if the method cannot do without."""


class Context(Protocol):
    """The world as a method sees it."""

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages to train, without the pivot."""

    @property
    def pivot(self) -> str: ...

    @property
    def budget(self) -> int | None:
        """Most rows the plan may hold: the suite's bound, or fewer where the training's tokens reach no more; None without a bound."""

    @property
    def rng(self) -> random.Random:
        """A fresh generator, the same at each call and in each round of a run: the only source of chance.

        A list that it shuffles is in one order in all rounds, so rounds that take windows of it (``round * size`` on) share nothing.
        """

    @property
    def round(self) -> int:
        """0 in the first round; in later ones ``generate`` and self-translation answer with what the rounds before made."""

    def read(self, corpus: str, lang: str) -> Sequence[CorpusRow]:
        """Training rows of a corpus in one language (docs/data.md lists corpora and columns).

        Raises LeakError for an evaluation corpus, UserError where the corpus cannot be read.
        """

    def read_file(self, path: str | Path) -> bytes:
        """A file that came with the method, by its place beside the method's own file (``words.tsv``), else one of the user's.

        Its sha256 stands in the manifest and the card, and rows are made again when it changes. Raises UserError where it cannot be read.
        """

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        """The model's answers, in the order of the chats; greedy and sampled ones are remembered between runs."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Each text in the target language by the suite's translator for the pair; None where it gave nothing that can be used.

        Raises UserError where no translator can serve the pair.
        """

    def score_translations(self, texts: Sequence[str], translations: Sequence[str], source: str, target: str) -> list[float | None]:
        """How likely the suite's translation model finds each given translation: natural log-probabilities, means over its tokens.

        None where a text is longer than the model's positions. Scores are remembered between runs. Without texts nothing is scored, and
        what is raised otherwise is raised all the same: UserError where the pair's translator cannot score.
        """

    def require_translator(self, source: str, target: str) -> None:
        """Raises UserError where no translator can serve the pair, so that a method finds out before it generates for an hour."""

    def read_states(
        self, texts: Sequence[str | Chat], layers: Sequence[int | float], pool: Literal["last", "mean"] = "last"
    ) -> NDArray[Any]:
        """The states of the model that the round starts from, as (texts, layers, hidden) in float32, remembered between runs.

        Layers, pooling, and what is read of a chat and of a text are as in ``Term`` and ``Parallel``.
        """

    def read_norms(self, texts: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """The norms of what goes into each linear module of the layers, over all tokens of the texts: (inputs,) in float32, by its name.

        Of the model that the round starts from, remembered between runs.
        """

    def read_activity(self, texts: Sequence[str]) -> NDArray[Any]:
        """The share of the texts' tokens at which each neuron of the feed-forward parts is active, (layers, neurons) in float32.

        Of the model that the round starts from, remembered between runs. Active is what the activation function is given above 0.
        """

    def score(
        self, chats: Sequence[Chat], answers: Sequence[str], steer: Steer | None = None, arrays: Mapping[str, NDArray[Any]] | None = None,
        lang: str = "",
    ) -> list[float]:  # fmt: skip
        """How likely the model that the round starts from finds each answer behind its chat: natural log-probabilities, means over tokens.

        With ``steer`` its states are moved, by ``arrays``, as for answers in ``lang``. Remembered between runs.
        """

    def identify(self, texts: Sequence[str]) -> list[str]:
        """Language code of each text, ``und`` where it is too short to tell."""


class Method(ABC, Generic[OptionsT]):
    """One training recipe. A file of ``methods/`` ends with ``METHOD = TheClass``; its docstring names the source."""

    Options: ClassVar[type[Options]]
    version: ClassVar[int] = 1
    """Of the rows that the method makes: raise it when they change, so that older ones are made again. Of an installed plugin each change
    of its files counts as well.
    """
    system_turn: ClassVar[bool] = False
    """Whether rows or profile have a system turn, which some chat templates refuse: found out before any work is done."""
    trains: ClassVar[bool] = True
    """Whether there may be rows; without, the method is its profile or its moves, and a plan of a run counts no tokens for it."""
    masks: ClassVar[bool] = False
    """Whether its plans are masks of the base's weights, which nothing but merged weights can show: refused with another adapter form."""
    combines: ClassVar[bool] = False
    """Whether its plans have parts, so that a training whose results cannot be added up is refused before any work."""
    backends: ClassVar[tuple[str, ...]] = ()
    """Backends of the engine that can serve what it makes; all where empty. Others are refused before any work is done."""

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    @property
    def rounds(self) -> int:
        """How often ``prepare`` and training follow each other, each round on the adapter of the one before."""
        return 1

    @property
    def states(self) -> tuple[int | float, ...]:
        """Layers whose states it reads or trains, as ``Term.layers`` names them: checked before any work, as ``where`` is."""
        return ()

    @property
    def blocks(self) -> tuple[int, ...]:
        """Layers of the decoder that ``Mix.layers`` of its plans names, each once: checked before any work, as ``where`` is."""
        return ()

    @property
    def where(self) -> Where | None:
        """Which weights its plans train, so that a base without such layers or modules is refused before any work."""
        return None

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        """What ``prepare`` will read, so that a run without it is refused before any work.

        A method that says nothing is taken to read each corpus that an option names (``corpus``, ``prompt_corpus``) in the pivot and in
        all languages, corpora of pairs with English (``translation_corpus``, ``lexicon_corpus``) in all but English, and to know itself
        what it does without them.
        """
        found: list[Reading] = []
        for name, value in self.options.model_dump().items():
            if isinstance(value, str) and (name == "corpus" or name.endswith("_corpus")):
                with_english = name in ("translation_corpus", "lexicon_corpus")
                found += [Reading(value, lang, UNSAID) for lang in (pivot, *languages) if not (with_english and lang == "en")]
        return found

    @abstractmethod
    def prepare(self, ctx: Context) -> Plan:
        """The rows to train on: the same for the same options, context and seed.

        Raises UserError where the data cannot serve.
        """
