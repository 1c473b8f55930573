"""The translator of some settings."""

from __future__ import annotations

from xlift.harness.config.suite import TranslatorSettings
from xlift.harness.core.errors import UserError
from xlift.harness.translators.base import Services, Translator
from xlift.harness.translators.model import ApiTranslator, SelfTranslator
from xlift.harness.translators.table import TableTranslator

NEEDED = {"self": "", "seq2seq": "model", "api": "model url", "table": "corpus", "command": "command"}
ALLOWED = {
    "self": "max_tokens",
    "seq2seq": "revision max_tokens batch_tokens",
    "api": "key_variable concurrency max_tokens",
    "table": "",
    "command": "",
}


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
        from xlift.harness.translators.command import CommandTranslator

        return CommandTranslator(settings)
    from xlift.harness.translators.seq2seq import Seq2SeqTranslator

    return Seq2SeqTranslator(settings)


def _require_fitting(settings: TranslatorSettings) -> None:
    title, needed = f"translator {settings.kind}", NEEDED[settings.kind].split()
    if missing := [name for name in needed if not getattr(settings, name)]:
        raise UserError(f"{title}: give {' and '.join(missing)} too")
    fitting = {"kind", *needed, *ALLOWED[settings.kind].split()}
    changed = [name for name, field in type(settings).model_fields.items() if getattr(settings, name) != field.default]
    if foreign := [name for name in changed if name not in fitting]:
        kinds = [kind for kind in NEEDED if foreign[0] in f"{NEEDED[kind]} {ALLOWED[kind]}".split()]
        raise UserError(f"{title}: {foreign[0]} is an option of kind {' or '.join(kinds)}; name the kind, or take it out")
