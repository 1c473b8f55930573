"""Translators behind one call: the model itself, a translation model, a served model, a parallel corpus, or a command.

docs/translators.md shows the settings of each kind.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol

from xlift.harness.config import BaseSettings, EngineSettings, TranslatorSettings, digest
from xlift.harness.languages import find
from xlift.harness.rows import Answer, Chat, Sampling, UserError, ask

SILENCE = 20
"""From so many texts on, a translator that translates none of them is at fault, not the texts."""

# LIDR's form (tags, and an answer that begins with the opening one) in words of our own.
REQUEST = (
    "Translate the text between the <sentence> tags into {language}. Keep its meaning and its layout, and add nothing to it. "
    "Put the translation between <translated> and </translated>.\n\n<sentence>\n{text}\n</sentence>"
)
OPENING, CLOSING = "<translated>", "</translated>"

NEEDED = {"self": "", "seq2seq": "model", "api": "model url", "table": "corpus", "command": "command"}
ALLOWED = {
    "self": "max_tokens",
    "seq2seq": "revision max_tokens batch_tokens",
    "api": "key_variable concurrency max_tokens",
    "table": "",
    "command": "",
}


class Translator(Protocol):
    """One way to translate."""

    def check(self, source: str, target: str) -> None:
        """Raises UserError where the pair cannot be served; may fetch what is needed to know."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Each text in the target language, in order; None where nothing usable came, and for blank texts.

        Raises UserError where the pair cannot be served, and where SILENCE texts or more give no translation at all.
        """

    def describe(self) -> dict[str, Any]:
        """What a manifest says about it: plain data without keys, and without places on this machine."""


class Services(Protocol):
    """What translators take from a run's context."""

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]: ...

    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]: ...


def open_translator(settings: TranslatorSettings, ctx: Services) -> Translator:
    """The translator of some settings; nothing is loaded before it is needed.

    Raises UserError where an option is missing, or belongs to another kind.
    """
    _require_fitting(settings)
    if settings.kind == "self":
        return SelfTranslator(settings, ctx)
    if settings.kind == "api":
        return ApiTranslator(settings)
    if settings.kind == "table":
        return TableTranslator(settings, ctx)
    if settings.kind == "command":
        from xlift.harness.translate_command import CommandTranslator

        return CommandTranslator(settings)
    from xlift.harness.translate_seq2seq import Seq2SeqTranslator

    return Seq2SeqTranslator(settings)


def parse_translation(text: str) -> str | None:
    """What stands before the first closing tag, from the last opening one before it on where there is one; None where nothing does.

    An answer without the closing tag was broken off, so nothing of it is used.
    """
    before, closed, _ = text.partition(CLOSING)
    return (before.rpartition(OPENING)[2].strip() or None) if closed else None


class CheckedTranslator(ABC):
    """What all kinds share: blank texts are not asked for, equal texts are asked for once, silence is an error."""

    def __init__(self, settings: TranslatorSettings, name: str = "") -> None:
        self.settings = settings
        self.title = f"translator {settings.kind} {name}".rstrip()

    def check(self, source: str, target: str) -> None:
        """Raises UserError where the pair cannot be served."""
        if find(source) == find(target):
            raise UserError(f"{self.title}: a translation from {source!r} into itself was asked for")

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Each text in the target language, in order; None where nothing usable came."""
        self.check(source, target)
        asked = [text for text in texts if text.strip()]
        different = list(dict.fromkeys(asked))
        answers = dict(zip(different, self._answer(different, source, target), strict=True)) if different else {}
        if len(asked) >= SILENCE and not any(answers.values()):
            raise UserError(f"{self.title}: not one of {len(asked)} texts came back translated from {source!r} into {target!r}")
        return [answers.get(text) or None for text in texts]

    @abstractmethod
    def describe(self) -> dict[str, Any]: ...

    @abstractmethod
    def _answer(self, texts: Sequence[str], source: str, target: str) -> Sequence[str | None]:
        """The translations of texts that are not blank and all different."""


class LineTranslator(CheckedTranslator):
    """What kinds that translate line by line share: lines without a letter and indents stay as they are, and a text is whole or None.

    A text that comes back as it was counts as not translated, unless it is as short as names and terms are: three words.
    """

    def _answer(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        lines = list(dict.fromkeys(line.strip() for text in texts for line in split_lines(text) if has_letter(line)))
        found = dict(zip(lines, self._answer_lines(lines, source, target), strict=True)) if lines else {}
        return [_join(text, found) for text in texts]

    @abstractmethod
    def _answer_lines(self, lines: Sequence[str], source: str, target: str) -> Sequence[str | None]:
        """The translations of lines without spaces around them that hold a letter each and are all different; None or blank for none."""


def split_lines(text: str) -> list[str]:
    """The lines of a text, by every sign that some program takes for the end of one."""
    return re.split("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", text)


def has_letter(text: str) -> bool:
    """Whether there is anything to translate: figures, signs and rules of dashes are the same in all languages."""
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


class SelfTranslator(CheckedTranslator):
    """The model of the round, asked as LIDR asks it (arXiv:2410.08964): tags, the opening one put in its mouth, greedy."""

    def __init__(self, settings: TranslatorSettings, ctx: Services) -> None:
        super().__init__(settings)
        self._ctx = ctx

    def describe(self) -> dict[str, Any]:
        """Prompt and length; the model is the run's own."""
        return {"kind": "self", "prompt_sha256": digest([REQUEST, f"{OPENING}\n"]), "max_tokens": self.settings.max_tokens}

    def _answer(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        chats: list[Chat] = [(*_request(text, target), {"role": "assistant", "content": f"{OPENING}\n"}) for text in texts]
        answers = self._ctx.generate(chats, Sampling(max_tokens=self.settings.max_tokens))
        return [_read(text, answer) for text, answer in zip(texts, answers, strict=True)]


class ApiTranslator(CheckedTranslator):
    """A model behind an OpenAI-compatible server, asked with the same tags.

    No part of the answer is given, as few servers go on from one.
    """

    def __init__(self, settings: TranslatorSettings) -> None:
        super().__init__(settings, settings.model or "")

    def describe(self) -> dict[str, Any]:
        """Model, prompt and length; neither address nor key."""
        return {
            "kind": "api",
            "model": self.settings.model,
            "prompt_sha256": digest([REQUEST]),
            "max_tokens": self.settings.max_tokens,
        }

    def _answer(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        from xlift.harness.base_model import SERVED, resolve
        from xlift.harness.engine_api import ApiEngine

        settings = EngineSettings(
            backend="api", url=self.settings.url, key_variable=self.settings.key_variable, concurrency=self.settings.concurrency
        )
        try:
            with ApiEngine(resolve(BaseSettings(model=f"{SERVED}{self.settings.model}")), settings) as engine:
                answers = engine.generate([_request(text, target) for text in texts], Sampling(max_tokens=self.settings.max_tokens))
        except UserError as error:
            # The options have the same names here, in another section.
            raise UserError(f"{self.title}: {re.sub(r'engine[.](?=url|key_variable|concurrency)', '', str(error))}") from None
        return [_read(text, answer) for text, answer in zip(texts, answers, strict=True)]


class TableTranslator(CheckedTranslator):
    """A parallel corpus with English, either way: the first pair with exactly that sentence, spaces around it aside."""

    def __init__(self, settings: TranslatorSettings, ctx: Services) -> None:
        super().__init__(settings, settings.corpus)
        self._read_pairs = cache(lambda lang: _read_pairs(ctx, self.title, settings.corpus, lang))

    def check(self, source: str, target: str) -> None:
        """Raises UserError where neither language is English, and where the corpus lacks the other or is not to be had."""
        super().check(source, target)
        codes = find(source).code, find(target).code
        if "en" not in codes:
            raise UserError(f"{self.title}: holds pairs with English alone, so nothing from {source!r} into {target!r}")
        self._read_pairs(*(code for code in codes if code != "en"))

    def describe(self) -> dict[str, Any]:
        """The corpus; what the run read of it, the run's manifest says."""
        return {"kind": "table", "corpus": self.settings.corpus}

    def _answer(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        if find(source).code == "en":
            pairs = self._read_pairs(find(target).code)
        else:
            pairs = [(text, english) for english, text in self._read_pairs(find(source).code)]
        known = dict(reversed(pairs))
        return [known.get(text.strip()) for text in texts]


def _request(text: str, target: str) -> Chat:
    return ask(REQUEST.format(language=find(target).name, text=text))


def _read(text: str, answer: Answer) -> str | None:
    # A source that holds the closing tag itself would end its translation early.
    return None if CLOSING in text else parse_translation(answer.text)


def _read_pairs(ctx: Services, title: str, corpus: str, lang: str) -> list[tuple[str, str]]:
    rows = ctx.read(corpus, lang)
    if rows and not {"en", "text"} <= rows[0].keys():
        raise UserError(f"{title}: no corpus of pairs with English; its columns are {', '.join(map(str, rows[0]))}")
    return [(str(row["en"]).strip(), str(row["text"]).strip()) for row in rows]


def _require_fitting(settings: TranslatorSettings) -> None:
    title, needed = f"translator {settings.kind}", NEEDED[settings.kind].split()
    if missing := [name for name in needed if not getattr(settings, name)]:
        raise UserError(f"{title}: give {' and '.join(missing)} too")
    fitting = {"kind", *needed, *ALLOWED[settings.kind].split()}
    changed = [name for name, field in type(settings).model_fields.items() if getattr(settings, name) != field.default]
    if foreign := [name for name in changed if name not in fitting]:
        kinds = [kind for kind in NEEDED if foreign[0] in f"{NEEDED[kind]} {ALLOWED[kind]}".split()]
        raise UserError(f"{title}: {foreign[0]} is an option of kind {' or '.join(kinds)}; name the kind, or take it out")
