"""All that the author of a method needs: the plugin contract, and how methods are found.

A method turns a Context into a Plan. It never trains and never loads a model: whatever it may touch comes through the Context.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import getdoc
from pkgutil import iter_modules
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from xlift.harness.config import Section, build
from xlift.harness.languages import Language, find
from xlift.harness.rows import Answer, Chat, Example, LeakError, Message, Sampling, UserError, ask, name_nearest

__all__ = [
    "Answer", "Chat", "Context", "Example", "Language", "LeakError", "Message", "Method", "Options", "Plan", "Sampling", "Sft", "UserError",
    "ask", "describe", "find", "find_method", "load", "names",
]  # fmt: skip


class Options(Section):
    """Base of a method's options: frozen, unknown keys refused by name."""


OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True)
class Sft:
    """Cross-entropy on the responses, averaged over their tokens."""


@dataclass(frozen=True)
class Plan:
    """What is trained: rows, the objective, and an honest count of what was left out."""

    rows: tuple[Example, ...]
    objective: Sft = Sft()
    drops: Mapping[str, int] = field(default_factory=dict)
    """Rows left out, by reason: ``"es/translation: empty response"``."""


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

    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        """Training rows of a corpus in one language (docs/data.md lists corpora and columns).

        Raises LeakError for an evaluation corpus, UserError where the corpus is not to be had.
        """

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        """The base model's answers, in the order of the chats."""

    def identify(self, texts: Sequence[str]) -> list[str]:
        """Language code of each text, ``und`` where it is too short to tell."""


class Method(ABC, Generic[OptionsT]):
    """One training recipe. A file of ``methods/`` ends with ``METHOD = TheClass``; its docstring names the source."""

    Options: ClassVar[type[Options]]

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    @abstractmethod
    def prepare(self, ctx: Context) -> Plan:
        """The rows to train on: the same for the same options, context and seed.

        Raises UserError where the data cannot serve; never returns an empty plan.
        """


def names() -> list[str]:
    """Methods that can be run: the files of ``methods/`` and the entry points of installed plugins."""
    return sorted({*_built_in(), *_installed()})


def load(name: str, options: Mapping[str, Any]) -> Method[Any]:
    """One method with its options; imports that method's file alone.

    Raises UserError for an unknown name or option, and for a plugin that cannot be imported.
    """
    method = find_method(name)
    return method(build(method.Options, options, f"method {name}"))


def describe(name: str) -> str:
    """The first line of what a method's file, or else its class, says about itself."""
    method = find_method(name)
    text = getdoc(import_module(method.__module__)) or getdoc(method) or ""
    return text.splitlines()[0] if text else ""


def _built_in() -> list[str]:
    return [module.name for module in iter_modules(import_module("xlift.methods").__path__)]


def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="xlift.methods")}


def find_method(name: str) -> type[Method[Any]]:
    """The class of a method; raises UserError for an unknown name and for a plugin that cannot be imported."""
    if name in _built_in():
        if name in _installed():
            raise UserError(f"method {name!r}: an installed plugin ({_installed()[name].value}) has the name of a built-in method")
        return _checked(name, import_module(f"xlift.methods.{name}").METHOD)
    if name not in _installed():
        raise UserError(f"unknown method {name!r}{name_nearest(name, names())}")
    point = _installed()[name]
    try:
        return _checked(name, point.load())
    except (ImportError, AttributeError) as error:
        raise UserError(f"method {name!r}: its plugin {point.value} does not load: {error}") from error


def _checked(name: str, method: Any) -> type[Method[Any]]:
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise UserError(f"method {name!r}: METHOD is {method!r}, not a subclass of xlift.harness.plugin.Method")
    return method
