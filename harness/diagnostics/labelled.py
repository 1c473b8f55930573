"""Reads labelled sentences with each model of a probe, and puts the probes of all models together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from xlift.harness.core.errors import UserError
from xlift.harness.diagnostics.labels import CORPUS, Labelled, States, choose_layers, measure_words, probe_model
from xlift.harness.diagnostics.records import LabelledModel, Labels, Source

if TYPE_CHECKING:
    from xlift.harness.diagnostics.labels import Array
    from xlift.harness.engines.hf import HfEngine


class LabelledReader:
    """The labelled probes of one model after the other. The first is the base, whose best layer on dev is used for all."""

    def __init__(self, labelled: Labelled) -> None:
        self._labelled = labelled
        self._models: list[LabelledModel] = []
        self._layers: tuple[int, ...] = ()
        self._place: int | None = None
        self._base: dict[str, Array] | None = None

    @property
    def size(self) -> int:
        """The number of sentences that are read with each model."""
        return sum(map(len, self._labelled.texts.values()))

    def read(self, label: str, engine: HfEngine, advance: Callable[[int], object]) -> None:
        """Fit the probes of the model that is loaded now. Raises UserError for a sentence that is too long for it."""
        from xlift.harness.diagnostics.hidden_states import encode, read_states

        states = {}
        for code, texts in self._labelled.texts.items():
            tokens = encode(engine.tokenizer, texts)
            if (longest := max(map(len, tokens))) > engine.max_length:
                raise UserError(f"{CORPUS} in {code!r}: a sentence has {longest} tokens, the model takes {engine.max_length}; leave it out")
            reading = read_states(engine.model, tokens, advance)
            self._layers = choose_layers(reading.mean.shape[1])
            chosen = list(self._layers)
            states[code] = States(reading.mean[:, chosen].numpy(), reading.last[:, chosen].numpy())
        model, self._place, right = probe_model(label, states, self._labelled, self._place, self._base)
        self._base = self._base or right
        self._models.append(model)

    def summarise(self) -> Labels:
        """The probes of all models that were read."""
        labelled = self._labelled
        train, dev, test = (len(labelled.cut(labelled.labels, split)) for split in ("train", "dev", "test"))
        return Labels(
            corpus=CORPUS,
            files={code: Source(origin=one.origin, sha256=one.sha256) for code, one in labelled.origins.items()},
            train=train,
            dev=dev,
            test=test,
            classes=len(set(labelled.labels)),
            layers=self._layers,
            layer=self._layers[self._place or 0],
            majority=labelled.majority,
            bag_of_words=measure_words(labelled),
            models=tuple(self._models),
        )
