"""A parallel corpus as a translator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from xlift.harness.config.suite import TranslatorSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import find
from xlift.harness.translators.base import CheckedTranslator, Description, Services


class TableTranslator(CheckedTranslator):
    """A parallel corpus with English, in either direction: the first pair with exactly that sentence, without spaces around it."""

    def __init__(self, settings: TranslatorSettings, ctx: Services) -> None:
        super().__init__(settings, settings.corpus)
        self._read_pairs = cache(lambda lang: _read_pairs(ctx, self.title, settings.corpus, lang))

    def check(self, source: str, target: str) -> None:
        """Raises UserError if neither language is English, or if the corpus lacks the other language or cannot be read."""
        super().check(source, target)
        codes = find(source).code, find(target).code
        if "en" not in codes:
            raise UserError(f"{self.title}: holds pairs with English alone, so nothing from {source!r} into {target!r}")
        self._read_pairs(*(code for code in codes if code != "en"))

    def describe(self) -> Description:
        """The corpus. The run's manifest says what the run read of it."""
        return {"kind": "table", "corpus": self.settings.corpus}

    def _answer(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        if find(source).code == "en":
            pairs = self._read_pairs(find(target).code)
        else:
            pairs = [(text, english) for english, text in self._read_pairs(find(source).code)]
        known = dict(reversed(pairs))
        return [known.get(text.strip()) for text in texts]


def _read_pairs(ctx: Services, title: str, corpus: str, lang: str) -> list[tuple[str, str]]:
    rows = ctx.read(corpus, lang)
    if rows and not {"en", "text"} <= rows[0].keys():
        raise UserError(f"{title}: no corpus of pairs with English; its columns are {', '.join(map(str, rows[0]))}")
    return [(str(row["en"]).strip(), str(row["text"]).strip()) for row in rows]
