"""Language neurons (LAPE): neurons that are active in some languages alone are found, and those of chosen languages are switched off.

Source: Tang et al. 2024 (arXiv:2402.16438), RUCAIBox/Language-Specific-Neurons at fdeca23.

As in the paper: for each neuron of the feed-forward parts, the share of tokens at which it is active in each language is counted. These
shares, divided by their sum, have an entropy, which is low for a neuron that few languages use. Neurons that are nowhere active above the
95th percentile of all shares are left out. The 1 % with the lowest entropy are specific, and belong to each language in which they are
above that percentile. A neuron that is switched off gives nothing to the layer.
Different: the texts are the sides of the suite's parallel corpus, so that the languages say the same; the paper reads 100 million tokens of
Wikipedia for each language. The paper switches neurons off to show what they do. Here the pivot's are the default, which asks whether a
model that falls back into the pivot can be kept from it.
Missing: training of these neurons alone, and the published lists, which are pickled.
``random: true`` is the control: as many neurons of each layer, at random.
Trap: with two languages, the pivot and one other, the two lowest shares decide, and "specific" means little. Take several.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from xlift.harness.plugin import Context, Json, LanguageCode, Mask, Method, Options, Plan, Reading, UserError, list_pairs, read_pairs

Array = NDArray[Any]


class LanguageNeuronsOptions(Options):
    """What is read, what counts as specific, and whose neurons are switched off."""

    parallel_corpus: str
    texts: int = Field(ge=1)
    """The number of texts that are read in each language."""
    switch_off: tuple[LanguageCode, ...]
    """The languages whose neurons are switched off; the pivot if the list is empty."""
    specific: float = Field(gt=0, lt=1)
    """The share of neurons that are specific: those of the lowest entropy."""
    active: float = Field(gt=0, lt=1)
    """The quantile of all shares above which a neuron counts as active in a language."""
    random: bool
    """Whether as many neurons of each layer are chosen at random, as a control."""


class LanguageNeurons(Method[LanguageNeuronsOptions]):
    """A mask of the outputs of the neurons of some languages."""

    Options = LanguageNeuronsOptions
    trains = False
    masks = True

    @property
    def is_control(self) -> bool:
        return self.options.random

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        self._choose(pivot, languages)
        return list_pairs(self.options.parallel_corpus, (pivot, *languages))

    def _choose(self, pivot: str, languages: Sequence[str]) -> tuple[str, ...]:
        """The languages whose neurons are switched off. Raises UserError for one that is neither the pivot nor trained."""
        spoken, chosen = (pivot, *languages), self.options.switch_off or (pivot,)
        if unknown := [lang for lang in chosen if lang not in spoken]:
            raise UserError(f"switch_off: {unknown[0]!r} is neither the pivot nor trained; name some of {', '.join(spoken)}")
        return chosen

    def prepare(self, ctx: Context) -> Plan:
        options, spoken = self.options, (ctx.pivot, *ctx.languages)
        chosen = self._choose(ctx.pivot, ctx.languages)
        shares = np.stack([ctx.read_activity(self._read_texts(ctx, lang)) for lang in spoken])
        belongs = find_specific(shares, options.specific, options.active)
        off: Array = np.any(belongs[[spoken.index(lang) for lang in chosen]], axis=0)
        if options.random:
            off = np.array([ctx.rng.sample(layer.tolist(), len(layer)) for layer in off])
        facts: dict[str, Json] = {
            "neurons": {lang: int(found.sum()) for lang, found in zip(spoken, belongs, strict=True)},
            "switched_off": int(off.sum()),
        }
        if not off.any():
            raise UserError(
                f"no neuron is specific to {', '.join(chosen)}, so nothing would be switched off; raise specific, or lower active"
            )
        return Plan((), arrays={str(layer): found for layer, found in enumerate(off)}, edit=Mask("neurons"), facts=facts)

    def _read_texts(self, ctx: Context, lang: str) -> list[str]:
        other = lang if lang != ctx.pivot else ctx.languages[0]
        pairs = islice(read_pairs(ctx, self.options.parallel_corpus, ctx.pivot, other), self.options.texts)
        texts = [text for pair in pairs if (text := (pair.source if lang == ctx.pivot else pair.target).strip())]
        if not texts:
            raise UserError(f"{self.options.parallel_corpus} has no text in {lang!r}, so its neurons cannot be told; name another corpus")
        return texts


def find_specific(shares: Array, specific: float, active: float) -> Array:
    """Whether each neuron belongs to each language (languages, layers, neurons), by how often it is active in it."""
    bar = np.quantile(shares, active)
    sums = shares.sum(axis=0)
    parts = shares / np.where(sums > 0, sums, 1)
    entropy = -(parts * np.log(np.where(parts > 0, parts, 1))).sum(axis=0)
    entropy = np.where((shares > bar).any(axis=0), entropy, np.inf)
    lowest = np.argsort(entropy, axis=None, kind="stable")[: round(specific * entropy.size)]
    among = np.zeros(entropy.size, dtype=bool)
    among[lowest] = True
    return among.reshape(entropy.shape) & (shares > bar)


METHOD = LanguageNeurons
