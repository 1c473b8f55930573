"""Translators that ask a chat model: the model itself, or one behind a server."""

from __future__ import annotations

from collections.abc import Sequence

from xlift.harness.config.suite import BaseSettings, EngineSettings, TranslatorSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.hashing import digest
from xlift.harness.core.languages import find
from xlift.harness.core.types import Answer, Chat, Sampling, ask
from xlift.harness.translators.base import CheckedTranslator, Description, Services
from xlift.tasks.thinking import answer_of

# LIDR's form (tags, and an answer that begins with the opening one) in words of our own.
REQUEST = (
    "Translate the text between the <sentence> tags into {language}. Keep its meaning and its layout, and add nothing to it. "
    "Put the translation between <translated> and </translated>.\n\n<sentence>\n{text}\n</sentence>"
)
OPENING, CLOSING = "<translated>", "</translated>"


def parse_translation(text: str) -> str | None:
    """The text before the first closing tag, from the last opening tag before it if there is one; None if there is no such text.

    An answer without the closing tag was cut off, so nothing of it is used.
    """
    before, closed, _ = text.partition(CLOSING)
    return (before.rpartition(OPENING)[2].strip() or None) if closed else None


class SelfTranslator(CheckedTranslator):
    """The model of the round, asked as in LIDR (arXiv:2410.08964): with tags, greedily, and its answer begins with the opening tag."""

    def __init__(self, settings: TranslatorSettings, ctx: Services) -> None:
        super().__init__(settings)
        self._ctx = ctx

    def describe(self) -> Description:
        """The prompt and the length. The model is the run's own."""
        return {"kind": "self", "prompt_sha256": digest([REQUEST, f"{OPENING}\n"]), "max_tokens": self.settings.max_tokens}

    def _answer(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        chats: list[Chat] = [(*request_translation(text, target), {"role": "assistant", "content": f"{OPENING}\n"}) for text in texts]
        answers = self._ctx.generate(chats, Sampling(max_tokens=self.settings.max_tokens))
        return [_read(text, answer) for text, answer in zip(texts, answers, strict=True)]


class ApiTranslator(CheckedTranslator):
    """A model behind an OpenAI-compatible server, asked with the same tags.

    No beginning of the answer is given, because few servers continue one.
    """

    def __init__(self, settings: TranslatorSettings) -> None:
        super().__init__(settings, settings.model or "")

    def describe(self) -> Description:
        """The model, the prompt and the length, without address and key."""
        return {
            "kind": "api",
            "model": self.settings.model,
            "prompt_sha256": digest([REQUEST]),
            "max_tokens": self.settings.max_tokens,
        }

    def _answer(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        from xlift.harness.engines.openai_api import ApiEngine, OptionNames
        from xlift.harness.models.bases import SERVED, resolve

        settings = EngineSettings(
            backend="api", url=self.settings.url, key_variable=self.settings.key_variable, concurrency=self.settings.concurrency
        )
        names = OptionNames("url", "key_variable", "concurrency")
        chats, sampling = [request_translation(text, target) for text in texts], Sampling(max_tokens=self.settings.max_tokens)
        try:
            with ApiEngine(resolve(BaseSettings(model=f"{SERVED}{self.settings.model}")), settings, names) as engine:
                answers = engine.generate(chats, sampling)
        except UserError as error:
            raise UserError(f"{self.title}: {error}") from None
        return [_read(text, answer) for text, answer in zip(texts, answers, strict=True)]


def request_translation(text: str, target: str) -> Chat:
    """The chat that asks for a translation, without the tag that opens the answer."""
    return ask(REQUEST.format(language=find(target).name, text=text))


def _read(text: str, answer: Answer) -> str | None:
    # A source that holds the closing tag itself would end its translation early.
    return None if CLOSING in text else parse_translation(answer_of(answer.text))
