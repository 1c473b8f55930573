"""Translators behind one call: the model itself, a translation model, a served model, a parallel corpus, or a command.

docs/translators.md shows the settings of each kind.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

from xlift.harness.config.suite import TranslatorSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import find
from xlift.harness.core.types import Answer, Chat, CorpusRow, Sampling

Description = dict[str, str | int | None]
"""What a manifest says about a translator: its kind, and the settings that decide its answers."""

TRANSLATORS_VERSION = 1
"""The version of how texts are sent and read back. Raise it with every change that alters a translation, so that rows are made again."""

SILENCE = 20
"""If a translator translates none of this many texts, the translator is at fault, and not the texts."""


class Translator(Protocol):
    """One way to translate."""

    def check(self, source: str, target: str) -> None:
        """Raises UserError if the pair cannot be served. May fetch what is needed to know that."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Each text in the target language, in order; None if nothing usable came, and for blank texts.

        Raises UserError if the pair cannot be served, and if SILENCE texts or more give no translation at all.
        """

    def score(self, texts: Sequence[str], translations: Sequence[str], source: str, target: str) -> list[float | None]:
        """The mean natural log-probability of the tokens of each given translation; None if it cannot be told.

        Raises UserError if this kind of translator cannot score at all.
        """

    def describe(self) -> Description:
        """What a manifest says about it: plain data without keys, and without paths of this machine."""


class Services(Protocol):
    """What translators use of a run's context."""

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]: ...

    def read(self, corpus: str, lang: str) -> Sequence[CorpusRow]: ...


class CheckedTranslator(ABC):
    """What all kinds share: blank texts are not asked for, equal texts are asked for once, and no translation at all is an error."""

    def __init__(self, settings: TranslatorSettings, name: str = "") -> None:
        self.settings = settings
        self.title = f"translator {settings.kind} {name}".rstrip()

    def check(self, source: str, target: str) -> None:
        """Raises UserError if the pair cannot be served."""
        if find(source) == find(target):
            raise UserError(f"{self.title}: a translation from {source!r} into itself was asked for")

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Each text in the target language, in order; None if nothing usable came."""
        self.check(source, target)
        asked = [text for text in texts if text.strip()]
        different = list(dict.fromkeys(asked))
        answers = dict(zip(different, self._answer(different, source, target), strict=True)) if different else {}
        if len(asked) >= SILENCE and not any(answers.values()):
            raise UserError(f"{self.title}: not one of {len(asked)} texts came back translated from {source!r} into {target!r}")
        return [answers.get(text) or None for text in texts]

    def score(self, texts: Sequence[str], translations: Sequence[str], source: str, target: str) -> list[float | None]:
        """The mean natural log-probability of the tokens of each given translation; None if a text is longer than the model's positions.

        Raises UserError if this kind cannot score.
        """
        raise UserError(
            f"{self.title}: cannot say how likely a translation is; translation models alone can, so name one of kind seq2seq for "
            f"{source}-{target}"
        )

    @abstractmethod
    def describe(self) -> Description: ...

    @abstractmethod
    def _answer(self, texts: Sequence[str], source: str, target: str) -> Sequence[str | None]:
        """The translations of texts, none of which is blank or equal to another."""


class LineTranslator(CheckedTranslator):
    """What the kinds share that translate line by line: lines without a letter and indents stay as they are, and a text is complete or
    None.

    A text that comes back unchanged counts as not translated, unless it is as short as names and terms are: three words.
    """

    def _answer(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        lines = list(dict.fromkeys(line.strip() for text in texts for line in split_lines(text) if has_letter(line)))
        found = dict(zip(lines, self._answer_lines(lines, source, target), strict=True)) if lines else {}
        return [_join(text, found) for text in texts]

    @abstractmethod
    def _answer_lines(self, lines: Sequence[str], source: str, target: str) -> Sequence[str | None]:
        """The translations of lines that contain a letter, have no spaces around them, and are all different; None or blank if there is
        none."""


def split_lines(text: str) -> list[str]:
    """The lines of a text, split at every sign that some program takes for the end of a line."""
    return re.split("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", text)


def has_letter(text: str) -> bool:
    """Whether there is anything to translate. Figures, signs and rules of dashes are the same in all languages."""
    return any(sign.isalpha() for sign in text)


def _join(text: str, known: Mapping[str, str | None]) -> str | None:
    lines = split_lines(text)
    for index, line in enumerate(lines):
        if has_letter(line):
            new = (known[line.strip()] or "").strip()
            if not new:
                return None
            lines[index] = line[: len(line) - len(line.lstrip())] + new
    found = "\n".join(lines)
    words = [word for word in text.casefold().split() if has_letter(word)]
    # Some scripts put no spaces, so that a sentence is one word there.
    long = len(words) > 3 or any(len(word) > 20 and not word.isascii() for word in words)
    return None if long and found.casefold().split() == text.casefold().split() else found
