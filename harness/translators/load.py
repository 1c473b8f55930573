"""Opening the translator that settings describe."""

from __future__ import annotations

from collections.abc import Sequence

from xlift.harness.config.suite import TranslatorSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Answer, Chat, CorpusRow, Sampling
from xlift.harness.translators.base import Services, Translator
from xlift.harness.translators.model import ApiTranslator, SelfTranslator
from xlift.harness.translators.table import TableTranslator


def check_settings(settings: TranslatorSettings, where: str) -> None:
    """Raises UserError for mistakes that show without a model, a server or the programs: a command that cannot be split, a wrong name."""
    try:
        open_translator(settings, _Nothing())
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


class _Nothing:
    """A context for translators that are opened, but not asked anything."""

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        raise NotImplementedError

    def read(self, corpus: str, lang: str) -> Sequence[CorpusRow]:
        raise NotImplementedError


def open_translator(settings: TranslatorSettings, ctx: Services) -> Translator:
    """The translator that the settings describe. Nothing is loaded before it is needed.

    Raises UserError if an option is missing, or belongs to another kind.
    """
    settings.check(f"translator {settings.kind}")
    if settings.kind == "self":
        return SelfTranslator(settings, ctx)
    if settings.kind == "api":
        return ApiTranslator(settings)
    if settings.kind == "table":
        return TableTranslator(settings, ctx)
    if settings.kind == "command":
        from xlift.harness.translators.command import CommandTranslator

        return CommandTranslator(settings)
    from xlift.harness.translators.seq2seq import Seq2SeqTranslator

    return Seq2SeqTranslator(settings)


def identify_translator(settings: TranslatorSettings) -> dict[str, object]:
    """Everything that decides a translator's answers: its settings, and for a command the contents of the programs and files that it
    names."""
    if settings.kind != "command":
        return settings.identity()
    from xlift.harness.translators.command import list_programs

    return {**settings.identity(), "files": list_programs(settings.command or "")}
