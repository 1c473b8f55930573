"""A method's rows as far as they can be made without a model. This finds what ``run`` would refuse before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Answer, Chat, Sampling
from xlift.harness.models.steering import Steer
from xlift.harness.pipeline.context import RunContext
from xlift.harness.pipeline.stages import Run
from xlift.harness.recipes import registry
from xlift.harness.recipes.contained import contain
from xlift.harness.recipes.contract import Plan
from xlift.tasks.leaks import Guard

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _ModelNeeded(BaseException):
    """The method asked for an answer or a translation and continues with it. The method's own code cannot catch this exception."""


class _Rehearsed(RunContext):
    """The context of a method that reads corpora but gets no answer: translators are only looked up, and only tables translate."""

    def require_translator(self, source: str, target: str) -> None:
        settings = self._settings.get(f"{source}-{target}") or self._settings.get("default")
        if settings and settings.kind == "seq2seq" and not Path(settings.model or "").expanduser().is_dir():
            return  # nothing is fetched, and only its tokenizer knows its languages
        super().require_translator(source, target)

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        self.require_translator(source, target)
        settings = self._settings.get(f"{source}-{target}") or self._settings["default"]
        if settings.kind != "table":
            raise _ModelNeeded
        return super().translate(texts, source, target)

    def score_translations(self, texts: Sequence[str], translations: Sequence[str], source: str, target: str) -> list[float | None]:
        if texts:
            raise _ModelNeeded
        settings = self._settings.get(f"{source}-{target}") or self._settings.get("default")
        return [] if settings and settings.kind == "seq2seq" else super().score_translations([], [], source, target)

    def read_states(
        self, texts: Sequence[str | Chat], layers: Sequence[int | float], pool: Literal["last", "mean"] = "last"
    ) -> NDArray[Any]:
        raise _ModelNeeded

    def read_norms(self, texts: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        raise _ModelNeeded

    def read_activity(self, texts: Sequence[str]) -> NDArray[Any]:
        raise _ModelNeeded

    def score(
        self, chats: Sequence[Chat], answers: Sequence[str], steer: Steer | None = None, arrays: Mapping[str, NDArray[Any]] | None = None,
        lang: str = "",
    ) -> list[float]:  # fmt: skip
        raise _ModelNeeded


def rehearse(run: Run, label: str, guard: Guard) -> Plan | None:
    """Let a method prepare its rows until it needs a model. Then None is returned.

    Raises UserError, which names the method's label, for what it refuses.
    """

    def refuse(chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        raise _ModelNeeded

    context = _Rehearsed(run.suite, label, guard, refuse)
    chosen = run.suite.methods[label]
    try:
        with contain(plugin=registry.is_plugin(chosen.method)):
            return context.vet(registry.load(chosen.method, chosen.options).prepare(context))
    except _ModelNeeded:
        return None
    except UserError as error:
        raise type(error)(f"methods.{label}: {chosen.method}: {error}") from None
