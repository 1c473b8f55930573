"""What a card says of an encoder beside a frozen base: it reads a prompt, and a trained projection puts its states before the prompt."""

from __future__ import annotations

from pydantic import Field

from xlift.harness.core.settings import Section

FILE = "module.safetensors"
"""Beside ``xlift.json``: the projection and the boundary."""
BOUNDARY = "boundary"
"""The name of the vector, (hidden of the base), that stands between what the encoder read and the prompt. It is zero before training."""
FIRST = "projection.0.weight"
"""That of the map that reads the encoder's states, (width, hidden of the encoder)."""


class Module(Section):
    """A frozen encoder whose states a projection turns into embeddings, which stand before those of a frozen base's own (MindMerger).

    The encoder reads the text of a prompt without special tokens. The base reads what the projection makes of it, a boundary, and the
    prompt; a token that begins texts (BOS) stays at the beginning.
    """

    encoder: str
    """A folder, or a hub repository ORG/NAME, with safetensors: the encoder of an encoder-decoder, or an encoder."""
    revision: str | None = None
    sha256: str = ""
    """Of the encoder's weights; empty until the rows are there."""
    tokens: int = Field(ge=1)
    """Most tokens that the encoder reads; of a longer text it reads the end."""
    inner: float = Field(2.0, ge=0)
    """Width of the projection between its two linear maps, as a multiple of the encoder's; 0 is one linear map alone."""
    reads_prompt: bool = True
    """False: the base reads the prompt through the encoder alone (LangBridge)."""
    alone: tuple[str, ...] = ()
    """Kinds of rows in whose training the base reads the prompt through the encoder alone."""
    zeroed: bool = False
    """The encoder's states are zero: the control."""

    @property
    def positions(self) -> int:
        """Most positions that it takes before a prompt."""
        return self.tokens + 1

    @property
    def title(self) -> str:
        return f"encoder {self.encoder!r}"
