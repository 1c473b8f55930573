"""How a trained or prompted model must be asked and read: data that travels in ``xlift.json`` and is applied inside the engine's LM."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from xlift.harness.config import Section


class InferenceProfile(Section):
    """What a method changes between a task's prompt and the answer that is scored.

    The mappings go by the language of the expected answer; a language that is not in them is asked and read as the task says.
    """

    tasks: tuple[str, ...] = ()
    """Beginnings of the names of the tasks it is for; all where empty."""
    system: dict[str, str] = Field(default_factory=dict)
    """The system turn, in place of the task's own."""
    prompt: dict[str, str] = Field(default_factory=dict)
    """What the user's last turn becomes; ``{prompt}`` in it stands for the task's own text, other braces stay as they are."""
    token_factor: float = Field(1.0, ge=1)
    """By how much the task's allowance of new tokens grows, as the answer holds more than is scored."""
    stops: tuple[str, ...] | None = None
    """Stop strings in place of the task's; None keeps the task's."""
    header: dict[str, str] = Field(default_factory=dict)
    """What is scored is the text after the first of these."""
    without_header: Literal["empty", "whole"] = "empty"
    """What is scored where the header did not come; counted either way."""

    def covers(self, task: str, lang: str) -> bool:
        """Whether anything is done to this task's items in this language."""
        named = not self.tasks or task.startswith(self.tasks)
        return named and any(lang in part for part in (self.system, self.prompt, self.header))

    def extract(self, text: str, lang: str) -> str | None:
        """The part of an answer that is scored; None where its header did not come (then ``without_header`` decides)."""
        header = self.header.get(lang)
        if header is None:
            return text
        _, found, rest = text.partition(header)
        return rest.strip() if found else None
