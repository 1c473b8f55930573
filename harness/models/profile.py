"""How a trained or prompted model must be asked and read. A profile is kept in ``xlift.json`` and applied inside the engine's LM."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

from pydantic import Field, field_validator

from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import find
from xlift.harness.core.settings import Section
from xlift.harness.core.types import Chat, Message, Sampling


class InferenceProfile(Section):
    """What a method changes between a task's prompt and the answer that is scored.

    The mappings are by the language of the expected answer. In a language that is not in them, the model is asked and read as the task
    says.
    """

    tasks: tuple[str, ...] = ()
    """Beginnings of the names of the tasks to which it applies; all tasks if there are none."""
    system: dict[str, str] = Field(default_factory=dict)
    """The system turn, in place of the task's own."""
    prompt: dict[str, str] = Field(default_factory=dict)
    """The new text of the user's last turn. ``{prompt}`` in it is replaced by the task's own text; other braces stay as they are."""
    token_factor: float = Field(1.0, ge=1, le=100)
    """The factor by which the most new tokens of a task are multiplied, because the answer holds more than is scored."""
    min_tokens: int = Field(0, ge=0, le=100_000)
    """The least allowance, for answers whose length depends on the prompt's and not on the task's: a short span after a text that is
    repeated."""
    stops: tuple[str, ...] | None = None
    """Stop strings in place of the task's; None keeps the task's."""
    header: dict[str, str] = Field(default_factory=dict)
    """Only the text after the first occurrence of this is scored."""
    without_header: Literal["empty", "whole"] = "empty"
    """What is scored if the header did not come. It is counted either way."""

    @field_validator("system", "prompt", "header")
    @classmethod
    def _sound(cls, value: dict[str, str]) -> dict[str, str]:
        for lang, text in value.items():
            if find(lang).code != lang:
                raise UserError(f"a profile goes by short codes: write {find(lang).code!r} for {lang!r}")
            if not text.strip():
                raise UserError(f"a profile's text for {lang!r} is empty")
        return value

    @field_validator("prompt")
    @classmethod
    def _keeps_the_task(cls, value: dict[str, str]) -> dict[str, str]:
        for lang, text in value.items():
            if text.count("{prompt}") != 1:
                raise UserError(f"a profile's prompt for {lang!r} must hold {{prompt}} once, it does {text.count('{prompt}')} times")
        return value

    @property
    def languages(self) -> frozenset[str]:
        """The languages of answers for which anything is changed."""
        return frozenset().union(self.system, self.prompt, self.header)

    def names(self, task: str) -> bool:
        """Whether it applies to the task."""
        return not self.tasks or task.startswith(self.tasks)

    def covers(self, task: str, lang: str) -> bool:
        """Whether anything is changed for this task's items in this language."""
        return self.names(task) and lang in self.languages

    def ask(self, turns: Chat, lang: str) -> Chat:
        """The turns of a chat with its own system turn and its own wording of the user's last turn."""
        if lang in self.system:
            turns = (Message(role="system", content=self.system[lang]), *(turn for turn in turns if turn["role"] != "system"))
        if lang not in self.prompt:
            return turns
        last = max((at for at, turn in enumerate(turns) if turn["role"] == "user"), default=None)
        if last is None:
            raise UserError("a profile rewords the user's last turn, and a prompt has none")
        asked = Message(role="user", content=self.prompt[lang].replace("{prompt}", turns[last]["content"]))
        return (*turns[:last], asked, *turns[last + 1 :])

    def sample(self, sampling: Sampling) -> Sampling:
        """The task's sampling with the profile's allowance and stop strings."""
        # 10 * 1.1 is a little more than 11 in binary
        grown = math.ceil(round(sampling.max_tokens * self.token_factor, 6))
        stop = sampling.stop if self.stops is None else self.stops
        return replace(sampling, max_tokens=max(grown, self.min_tokens), stop=stop)

    def extract(self, text: str, lang: str) -> str | None:
        """The scored part of an answer; None if its header did not come (then ``without_header`` decides)."""
        header = self.header.get(lang)
        if header is None:
            return text
        _, found, rest = text.partition(header)
        return rest.strip() if found else None
