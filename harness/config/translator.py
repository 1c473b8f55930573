"""Who translates for a method, as a suite says it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from xlift.harness.core.errors import UserError
from xlift.harness.core.settings import Section, WithoutSecrets

NEEDED = {"self": "", "seq2seq": "model", "api": "model url", "table": "corpus", "command": "command"}
ALLOWED = {
    "self": "max_tokens",
    "seq2seq": "revision max_tokens batch_tokens",
    "api": "key_variable concurrency max_tokens",
    "table": "",
    "command": "",
}
"""The options of each kind of translator: those that it needs, and those that it may have."""


class TranslatorSettings(Section):
    UNHASHED = frozenset({"key_variable", "concurrency"})
    """The key and the number of requests at once. ``batch_tokens`` is hashed: padding changes the last bits, and with them the beams."""

    kind: Literal["self", "seq2seq", "api", "table", "command"] = "self"
    """What translates: the model itself, a translation model of transformers, a served model, a parallel corpus, or a command."""
    model: str | None = None
    """For seq2seq: folder or hub repository (NLLB, M2M, Marian). For api: the model's name at the server."""
    revision: str | None = None
    """For seq2seq: commit of the hub repository."""
    url: WithoutSecrets | None = None
    """For api: address of an OpenAI-compatible server, up to /v1."""
    key_variable: str = "OPENAI_API_KEY"
    """For api: name of the environment variable that holds the key."""
    concurrency: int = Field(16, ge=1)
    """For api: how many requests are sent at once."""
    corpus: str = "parallel"
    """For table: a training corpus of pairs with English, in which the exact sentence is looked up."""
    command: WithoutSecrets | None = None
    """For command: programs joined by ``|`` that read lines and write as many. No shell runs them; ``${NAME}`` is an environment
    variable."""
    max_tokens: int = Field(1024, ge=1)
    """The most tokens of one translation. A translation that is cut off counts as failed."""
    batch_tokens: int = Field(4096, ge=64)
    """For seq2seq: the most tokens (rows x width) of one batch."""

    @property
    def who(self) -> str:
        """Who translates, for people."""
        named = {"seq2seq": self.model, "api": f"{self.model} at a server", "table": f"a look-up in {self.corpus}", "command": "a command"}
        return str(named.get(self.kind, "the base itself"))

    def check(self, title: str) -> None:
        """Raises UserError if an option is missing, or belongs to another kind."""
        needed = NEEDED[self.kind].split()
        if missing := [name for name in needed if not getattr(self, name)]:
            raise UserError(f"{title}: give {' and '.join(missing)} too")
        fitting = {"kind", *needed, *ALLOWED[self.kind].split()}
        changed = [name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default]
        if foreign := [name for name in changed if name not in fitting]:
            kinds = [kind for kind in NEEDED if foreign[0] in f"{NEEDED[kind]} {ALLOWED[kind]}".split()]
            raise UserError(f"{title}: {foreign[0]} is an option of kind {' or '.join(kinds)}; name the kind, or take it out")
