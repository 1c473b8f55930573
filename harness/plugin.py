"""All that the author of a method needs: the plugin contract, and how methods are found.

A method turns a Context into a Plan. It never trains and never loads a model: whatever it may touch comes through the Context.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import getdoc
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import yaml

from xlift.harness.code_switch import (
    CodeSwitcher,
    Lexicon,
    SwitchOptions,
    align_words,
    find_terms,
    find_words,
    read_lexicon,
    switch_words,
    turn_lexicon,
)
from xlift.harness.config import Section, build
from xlift.harness.filters import find_fault, find_flaw, find_foreign, find_misalignment, is_repetitive, list_reasons, measure_overlap
from xlift.harness.imbalance import PairOptions, Pairs, make_pairs
from xlift.harness.languages import Language, find
from xlift.harness.parts import (
    Direction,
    Pair,
    ask_translation,
    build_completions,
    build_constrained,
    build_revisions,
    build_translations,
    collect_wordings,
    find_pair_fault,
    index_by_english,
    orient,
    read_pairs,
    read_translations,
    shuffle_rows,
    split_budget,
    take,
)
from xlift.harness.profile import InferenceProfile
from xlift.harness.prompts import (
    Prompt,
    answer_prompts,
    fill,
    read_instructions,
    read_prompt_pairs,
    read_prompts,
    request_language,
    translate_prompts,
)
from xlift.harness.rows import Answer, Chat, Example, LeakError, Message, Preference, Sampling, UserError, ask, name_nearest
from xlift.harness.scaling import Allocation, ScalingLaw, allocate

__all__ = [
    "Allocation", "Answer", "Chat", "CodeSwitcher", "Context", "Direction", "Dpo", "Example", "InferenceProfile", "Language", "LeakError",
    "Lexicon", "Message", "Method", "Options", "Pair", "PairOptions", "Pairs", "Plan", "Preference", "Prompt", "Sampling", "ScalingLaw",
    "Sft", "SwitchOptions", "UserError", "align_words", "allocate", "answer_prompts", "ask", "ask_translation", "build_completions",
    "build_constrained", "build_revisions", "build_translations", "collect_wordings", "describe", "fill", "find", "find_fault",
    "find_flaw", "find_foreign", "find_method", "find_misalignment", "find_pair_fault", "find_terms", "find_words", "index_by_english",
    "is_repetitive", "list_reasons", "load", "make_pairs", "measure_overlap", "names", "orient", "read_instructions", "read_lexicon",
    "read_pairs", "read_prompt_pairs", "read_prompts", "read_translations", "request_language", "shuffle_rows", "split_budget",
    "switch_words", "take", "translate_prompts", "turn_lexicon",
]  # fmt: skip


class Options(Section):
    """Base of a method's options: frozen, unknown keys refused by name."""


OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True)
class Sft:
    """Cross-entropy on the responses, averaged over their tokens."""


@dataclass(frozen=True)
class Dpo:
    """Direct preference optimisation (arXiv:2305.18290), with the likelihood of the chosen answer beside it.

    Loss of a pair: -log sigmoid(beta * (log-ratio of chosen - log-ratio of rejected)) - nll_weight * log p(chosen) / length of chosen.
    The reference of the log-ratios is the model at the start of the round, whatever was trained before.
    """

    beta: float = 0.1
    nll_weight: float = 1.0
    length_normalised: bool = True
    """False leaves the division by the chosen answer's length out."""


Objective = Sft | Dpo


@dataclass(frozen=True)
class Plan:
    """What is trained: rows, the objective, and an honest count of what was left out.

    Without rows nothing is trained: the method is its profile, and the base answers.
    """

    rows: tuple[Example, ...] | tuple[Preference, ...]
    """Examples for Sft, preferences for Dpo."""
    objective: Objective = Sft()
    drops: Mapping[str, int] = field(default_factory=dict)
    """Rows left out, by reason: ``"es/translation: empty response"``."""
    phases: tuple[tuple[str, ...], ...] = ()
    """Kinds of rows that are trained one group after the other; all rows are mixed where empty."""
    profile: InferenceProfile | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else the manifest shall say: a fitted law, lengths, the share of answers in the wrong language. Plain data."""


class Context(Protocol):
    """The world as a method sees it."""

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages to train, without the pivot."""

    @property
    def pivot(self) -> str: ...

    @property
    def budget(self) -> int | None:
        """Most rows the plan may hold; None where the suite sets no bound."""

    @property
    def rng(self) -> random.Random:
        """A fresh generator, the same at each call: the only source of chance."""

    @property
    def round(self) -> int:
        """0 in the first round; in later ones ``generate`` and self-translation answer with what the rounds before made."""

    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        """Training rows of a corpus in one language (docs/data.md lists corpora and columns).

        Raises LeakError for an evaluation corpus, UserError where the corpus is not to be had.
        """

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        """The model's answers, in the order of the chats; greedy and sampled ones are remembered between runs."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Each text in the target language by the suite's translator for the pair; None where it gave nothing that can be used.

        Raises UserError, before any work, where no translator can serve the pair: without texts that is all it does, so that a method
        finds out before it generates for an hour.
        """

    def identify(self, texts: Sequence[str]) -> list[str]:
        """Language code of each text, ``und`` where it is too short to tell."""


class Method(ABC, Generic[OptionsT]):
    """One training recipe. A file of ``methods/`` ends with ``METHOD = TheClass``; its docstring names the source."""

    Options: ClassVar[type[Options]]
    system_turn: ClassVar[bool] = False
    """Whether rows or profile have a system turn, which some chat templates refuse: found out before any work is done."""
    trains: ClassVar[bool] = True
    """Whether there may be rows; without, the method is its profile, and a plan of a run counts no tokens for it."""

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    @property
    def rounds(self) -> int:
        """How often ``prepare`` and training follow each other, each round on the adapter of the one before."""
        return 1

    @abstractmethod
    def prepare(self, ctx: Context) -> Plan:
        """The rows to train on: the same for the same options, context and seed.

        Raises UserError where the data cannot serve.
        """


def names() -> list[str]:
    """Methods that can be run: the files of ``methods/`` and the entry points of installed plugins."""
    return sorted({*_built_in(), *_installed()})


def load(name: str, options: Mapping[str, Any]) -> Method[Any]:
    """One method with its options over the defaults, which stand in the YAML file beside its own; imports that method's file alone.

    Raises UserError for an unknown name or option, and for a plugin that cannot be imported.
    """
    method = find_method(name)
    return method(build(method.Options, {**read_defaults(method), **options}, f"method {name}"))


def read_defaults(method: type[Method[Any]]) -> dict[str, Any]:
    """Options as the file of the method's name with the ending .yaml gives them; none where there is no such file."""
    path = Path(str(import_module(method.__module__).__file__)).with_suffix(".yaml")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}".replace("\n", " ")) from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds no mapping of options")
    return values


def describe(name: str) -> str:
    """The first line of what a method's file, or else its class, says about itself."""
    method = find_method(name)
    text = getdoc(import_module(method.__module__)) or getdoc(method) or ""
    return text.splitlines()[0] if text else ""


def _built_in() -> list[str]:
    return [module.name for module in iter_modules(import_module("xlift.methods").__path__)]


@cache
def _installed() -> dict[str, tuple[EntryPoint, ...]]:
    """Entry points by name: more than one where packages clash."""
    points = entry_points(group="xlift.methods")
    return {name: tuple(dict.fromkeys(point for point in points if point.name == name)) for name in points.names}


def find_method(name: str) -> type[Method[Any]]:
    """The class of a method; raises UserError for an unknown name and for a plugin that cannot be imported."""
    points = _installed().get(name, ())
    if name in _built_in():
        if points:
            raise UserError(f"method {name!r}: an installed plugin ({points[0].value}) has the name of a built-in method")
        return _checked(name, import_module(f"xlift.methods.{name}").METHOD)
    if not points:
        raise UserError(f"unknown method {name!r}{name_nearest(name, names())}")
    if len(points) > 1:
        places = ", ".join(sorted(point.value for point in points))
        raise UserError(f"method {name!r}: {len(points)} installed plugins have this name ({places}); uninstall all but one")
    try:
        return _checked(name, points[0].load())
    except UserError:
        raise
    except Exception as error:  # whatever a stranger's module does when it is imported
        reason = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise UserError(f"method {name!r}: its plugin {points[0].value} does not load: {reason}") from error


def _checked(name: str, method: Any) -> type[Method[Any]]:
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise UserError(f"method {name!r}: METHOD is {method!r}, not a subclass of xlift.harness.plugin.Method")
    return method
