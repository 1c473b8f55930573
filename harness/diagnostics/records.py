"""What ``xlift probe`` measured, as it is kept in a run folder. Schema version 1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from xlift.harness.core.errors import UserError
from xlift.harness.core.settings import Section

PROBE = "probe.json"
"""In a run folder: what ``xlift probe`` measured."""


class Alignment(Section):
    """How near sentences lie to their pivot translations, by layer: the embeddings first, after the last layer's norm last."""

    model_config = ConfigDict(allow_inf_nan=True)

    cosine: tuple[float, ...]
    """Mean cosine of the last tokens' states of a sentence and its translation."""
    unrelated: tuple[float, ...]
    """The same for all pairs that are no translations: what the cosine is where nothing is shared."""
    score: float
    """Language Ranker: mean of ``cosine`` over the layers, embeddings left out."""
    to_pivot: tuple[float, ...]
    """Share of sentences whose translation is nearer than every other pivot sentence, by mean states."""
    from_pivot: tuple[float, ...]
    """The same for the pivot's sentences among those of the language."""

    @property
    def retrieval(self) -> tuple[float, ...]:
        """Both directions, averaged."""
        return tuple((one + other) / 2 for one, other in zip(self.to_pivot, self.from_pivot, strict=True))


class LanguageProbe(Section):
    """One model on one language's sentences. The perplexity of a broken adapter may be infinite."""

    model_config = ConfigDict(allow_inf_nan=True)

    sentences: int
    tokens: int
    """Scored: all of a sentence, without the token put before it."""
    characters: int
    bytes: int
    """In UTF-8."""
    perplexity: float
    """Of a token."""
    character_perplexity: float
    bits_per_character: float
    bits_per_byte: float
    bits_per_sentence: float
    characters_per_token: float
    alignment: Alignment | None
    """None for the pivot."""


class Source(Section):
    """Where sentences come from."""

    origin: str
    """folder, hub or samples."""
    sha256: str


class ProbedCorpus(Section):
    name: str
    split: str
    files: dict[str, Source]
    """By language."""


class ModelProbe(Section):
    label: str
    adapter: dict[str, str | None] | None
    """None for the base."""
    languages: dict[str, LanguageProbe]


class Probe(Section):
    """What ``xlift probe`` measured: a base and adapters of it on the same parallel sentences."""

    schema_version: Literal[1] = 1
    base: dict[str, str | None]
    engine: dict[str, str]
    corpus: ProbedCorpus
    pivot: str
    sentences: int
    sentences_of: int
    """Sentences the corpus has; more than ``sentences`` where a limit or their length kept some out."""
    models: tuple[ModelProbe, ...]
    left_out: tuple[str, ...] = ()
    """Adapters that were not measured, and why."""
    versions: dict[str, str] = Field(default_factory=dict)


def read_probe(folder: Path) -> Probe | None:
    """The ``probe.json`` of a folder; None where there is none. Raises UserError for one that does not follow the schema."""
    path = folder / PROBE
    try:
        return Probe(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: does not follow schema version 1 ({str(error).splitlines()[0]}); run xlift probe again") from None
