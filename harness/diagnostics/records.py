"""What ``xlift probe`` measured, in the form in which a run folder keeps it. This is schema version 1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from xlift.harness.core.errors import UserError
from xlift.harness.core.settings import Section

PROBE = "probe.json"
"""Name of the file in a run folder that holds what ``xlift probe`` measured."""


class Change(Section):
    """95 % intervals of an adapter minus its base, by layer, from resampling the sentences that both read."""

    cosine: tuple[tuple[float, float], ...]
    retrieval: tuple[tuple[float, float], ...]
    """Intervals of the mean over both directions, by layer. The set of sentences in which one is found stays the same in every resample."""


class Alignment(Section):
    """How near sentences are to their pivot translations, by layer, from the embeddings to the state after the last layer's norm."""

    model_config = ConfigDict(allow_inf_nan=True)

    cosine: tuple[float, ...]
    """The mean cosine of the last tokens' states of a sentence and its translation."""
    unrelated: tuple[float, ...]
    """The same for all pairs that are not translations: the cosine if nothing is shared."""
    score: float
    """Language Ranker: the mean of ``cosine`` over the layers, without the embeddings."""
    to_pivot: tuple[float, ...]
    """The share of sentences whose translation is nearer than every other pivot sentence, by mean states."""
    from_pivot: tuple[float, ...]
    """The same for the pivot's sentences among those of the language."""
    ranker_five: float | None = None
    """Language Ranker's own layers: the mean of ``cosine`` over the fifth, tenth, ... of 32, or at the same share of the depth in another
    model."""
    mexa: tuple[float, ...] = ()
    """The share of sentences that both directions find, by position-weighted means."""
    change: Change | None = None
    """The difference from the base, sentence by sentence; None for the base itself."""

    @property
    def retrieval(self) -> tuple[float, ...]:
        """Both directions, averaged."""
        return tuple((one + other) / 2 for one, other in zip(self.to_pivot, self.from_pivot, strict=True))


class LanguageProbe(Section):
    """One model on one language's sentences. The perplexity of a broken adapter may be infinite."""

    model_config = ConfigDict(allow_inf_nan=True)

    sentences: int
    tokens: int
    """The number of scored tokens: all of a sentence, without the token before it."""
    characters: int
    bytes: int
    """The number of bytes in UTF-8."""
    perplexity: float
    """The perplexity by token."""
    character_perplexity: float
    bits_per_character: float
    bits_per_byte: float
    bits_per_sentence: float
    characters_per_token: float
    alignment: Alignment | None
    """None for the pivot."""


class Source(Section):
    """The places from which sentences come."""

    origin: str
    """folder, hub or samples."""
    sha256: str


class LabelledLanguage(Section):
    """The test accuracy of the probes of one language, by probed layer."""

    mean: tuple[float, ...]
    """Of probes fitted to the mean states of sentences."""
    last: tuple[float, ...]
    """Of probes fitted to the states of their last tokens."""
    shuffled: tuple[float, ...]
    """Of probes fitted to mean states with shuffled labels: what a probe of this size finds if there is nothing to find."""
    change: tuple[float, float] | None
    """The 95 % interval of ``mean`` minus the base's at the layer of transfer, by resampling the test sentences; None for the base."""


class LabelledModel(Section):
    """The labelled probes of a base or an adapter."""

    label: str
    languages: dict[str, LabelledLanguage]
    transfer: dict[str, dict[str, float]]
    """The test accuracy, on the second language, of a probe fitted in the first one. Each language is standardised by its own train
    sentences."""
    weights_cosine: dict[str, dict[str, float]]
    """The mean over classes of the cosine between the weights of two languages' probes."""
    language_identity: tuple[float, ...]
    """The test accuracy of a classifier that names the language of a mean state, by probed layer."""
    variance_between: tuple[float, ...]
    """The share of the variance of mean states that is between languages, by probed layer."""


class Labels(Section):
    """Labelled probes of a base and adapters of it."""

    corpus: str
    files: dict[str, Source]
    train: int
    dev: int
    test: int
    classes: int
    layers: tuple[int, ...]
    """The layers that are probed; 0 is the embeddings."""
    layer: int
    """The layer of transfer, weights and changes: the one at which the base is best on dev, as a mean over languages."""
    majority: float
    """The test accuracy of always naming the largest class."""
    bag_of_words: dict[str, float]
    """The test accuracy of the same classifier on counts of words."""
    models: tuple[LabelledModel, ...]


class ProbedCorpus(Section):
    name: str
    split: str
    files: dict[str, Source]
    """The files of each language."""


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
    """The number of sentences in the corpus. It is more than ``sentences`` if a limit or their length excluded some."""
    models: tuple[ModelProbe, ...]
    left_out: tuple[str, ...] = ()
    """Adapters that were not measured, and why."""
    labels: Labels | None = None
    """The labelled probes, if they were asked for."""
    versions: dict[str, str] = Field(default_factory=dict)


def read_probe(folder: Path) -> Probe | None:
    """The ``probe.json`` of a folder; None if there is none. Raises UserError for one that does not follow the schema."""
    path = folder / PROBE
    try:
        return Probe(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: does not follow schema version 1 ({str(error).splitlines()[0]}); run xlift probe again") from None
