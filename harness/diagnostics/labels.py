"""Labelled probes: how well a linear classifier reads a label from a model's states, layer by layer and language by language.

Source: arXiv:2409.14459 (2024), which fits linear classifiers to each layer's states in 16 languages and compares their weights. Its data
(cities, opinions) are translated by machine. Here they are SIB-200's, seven topics in 205 languages, translated by people. An accuracy says
little by itself, because a probe with as many numbers as a state learns any labels of few sentences. So there are three controls: the same
probe fitted to shuffled labels, the largest class, and a bag of words, which needs no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import find
from xlift.harness.diagnostics.records import LabelledLanguage, LabelledModel
from xlift.harness.diagnostics.resampling import bootstrap
from xlift.harness.recipes.similarity import tokenise
from xlift.tasks import data

Array = NDArray[np.float64]

CORPUS = "sib200"
SPLITS = ("train", "dev", "test")
MOST_LAYERS = 12
"""The number of layers that are probed, equally spaced, including the embeddings and the last. A fit of each takes about a second."""
PENALTY = 1.0
"""The inverse strength of the classifier's L2 penalty, on standardised states: scikit-learn's default."""


@dataclass(frozen=True)
class Labelled:
    """The same labelled sentences in several languages."""

    texts: Mapping[str, tuple[str, ...]]
    """The sentences of each language: those of the train split, then dev, then test."""
    labels: tuple[int, ...]
    ends: tuple[int, int, int]
    """The position at which each split ends."""
    origins: Mapping[str, data.Origin]
    """The places from which the sentences of the train split come."""

    def cut(self, values: Any, split: str) -> Any:
        """The part of a sequence or an array that belongs to a split."""
        place = SPLITS.index(split)
        return values[self.ends[place - 1] if place else 0 : self.ends[place]]

    @property
    def majority(self) -> float:
        """The share of the test sentences that belong to the class which is largest in train."""
        train = np.bincount(self.cut(self.labels, "train"))
        return float(np.mean(np.array(self.cut(self.labels, "test")) == train.argmax()))


@dataclass(frozen=True)
class States:
    """One model's states on all sentences of one language, at the probed layers: (N, layers, H) each."""

    mean: NDArray[np.float32]
    last: NDArray[np.float32]


@dataclass(frozen=True)
class _Fit:
    weights: Array
    """(classes, H), in standardised states."""
    classifier: Any


def read_labelled(languages: Sequence[str], limit: int | None = None) -> Labelled:
    """SIB-200 in several languages, joined by the sentences' numbers. ``limit`` takes the first sentences of each split.

    Raises UserError if a language cannot be read, if languages have different sentences or labels, and for fewer than two classes.
    """
    codes = list(dict.fromkeys(find(code).code for code in languages))
    parts: dict[str, dict[str, tuple[str, str]]] = {}
    ends: list[int] = []
    order: list[str] = []
    for split in SPLITS:
        rows = {code: data.read(CORPUS, code, split) for code in codes}
        found = {code: {row["id"]: (row["text"], row["answer"]) for row in rows[code]} for code in codes}
        ids = list(found[codes[0]])[:limit]
        for code in codes:
            if [found[code].get(one, ("", ""))[1] for one in ids] != [found[codes[0]][one][1] for one in ids]:
                raise UserError(f"{CORPUS}: {code!r} and {codes[0]!r} have not the same sentences with the same labels in {split}")
            parts.setdefault(code, {}).update({one: found[code][one] for one in ids})
        if set(ids) & set(order):
            raise UserError(
                f"{CORPUS}: sentences of {split} stand in an earlier split too, so a probe would be tested on what it has learnt"
            )
        order += ids
        ends.append(len(order))
    labels = tuple(int(parts[codes[0]][one][1]) for one in order)
    if len(set(labels[: ends[0]])) < 2:
        raise UserError(f"{CORPUS}: the first {ends[0]} sentences have one label alone; raise --limit")
    texts = {code: tuple(parts[code][one][0] for one in order) for code in codes}
    return Labelled(texts, labels, (ends[0], ends[1], ends[2]), {code: data.locate(CORPUS, code, "train") for code in codes})


def choose_layers(count: int, most: int = MOST_LAYERS) -> tuple[int, ...]:
    """At most ``most`` of ``count`` layers, equally spaced, with the first and the last. The embeddings count as a layer."""
    size = min(most, count)
    return tuple(round(place * (count - 1) / (size - 1)) for place in range(size)) if size > 1 else (0,)


def measure_words(labelled: Labelled) -> dict[str, float]:
    """The test accuracy of the same classifier on the counts of words, by language; of characters in scripts without spaces."""
    from sklearn.feature_extraction.text import CountVectorizer

    found = {}
    labels = np.array(labelled.labels)
    for code, texts in labelled.texts.items():
        counter = CountVectorizer(analyzer=tokenise)
        train = counter.fit_transform(labelled.cut(texts, "train"))
        classifier = _make_classifier().fit(train, labelled.cut(labels, "train"))
        found[code] = float(classifier.score(counter.transform(labelled.cut(texts, "test")), labelled.cut(labels, "test")))
    return found


def probe_model(
    label: str, states: Mapping[str, States], labelled: Labelled, layer: int | None, base: Mapping[str, Array] | None
) -> tuple[LabelledModel, int, dict[str, Array]]:
    """The probes of one model, the position of the layer for transfer, and which test sentences were right there, by language.

    ``layer`` is the base's. For the base itself it is None: then it is the one with the best mean accuracy on dev. ``base`` says which
    sentences the base had right, for paired intervals.
    """
    labels = np.array(labelled.labels)
    shuffled = np.random.default_rng(0).permutation(labelled.cut(labels, "train"))
    layers = next(iter(states.values())).mean.shape[1]
    fits: dict[str, list[_Fit]] = {code: [] for code in states}
    scores: dict[str, dict[str, list[float]]] = {code: {"mean": [], "last": [], "shuffled": [], "dev": []} for code in states}
    for code, own in states.items():
        for place in range(layers):
            mean, last = (_standardise(one[:, place], labelled) for one in (own.mean, own.last))
            fit = _fit(mean, labelled, labelled.cut(labels, "train"))
            fits[code].append(fit)
            scores[code]["mean"].append(_score(fit, mean, labelled, "test"))
            scores[code]["dev"].append(_score(fit, mean, labelled, "dev"))
            scores[code]["last"].append(_score(_fit(last, labelled, labelled.cut(labels, "train")), last, labelled, "test"))
            scores[code]["shuffled"].append(_score(_fit(mean, labelled, shuffled), mean, labelled, "test"))
    if layer is None:
        layer = int(np.argmax([np.mean([scores[code]["dev"][place] for code in states]) for place in range(layers)]))
    at_layer = {code: _standardise(own.mean[:, layer], labelled) for code, own in states.items()}
    right = {code: _find_right(fits[code][layer], at_layer[code], labelled, "test") for code in states}
    found = {
        code: LabelledLanguage(
            mean=tuple(scores[code]["mean"]), last=tuple(scores[code]["last"]), shuffled=tuple(scores[code]["shuffled"]),
            change=bootstrap(right[code] - base[code]) if base else None,
        )
        for code in states
    }  # fmt: skip
    transfer = {one: {two: _score(fits[one][layer], at_layer[two], labelled, "test") for two in states} for one in states}
    cosine = {one: {two: compare_weights(fits[one][layer].weights, fits[two][layer].weights) for two in states} for one in states}
    named, between = zip(*(_name_languages(states, labelled, place) for place in range(layers)), strict=True)
    model = LabelledModel(
        label=label, languages=found, transfer=transfer, weights_cosine=cosine,
        language_identity=tuple(named), variance_between=tuple(between),
    )  # fmt: skip
    return model, layer, right


def compare_weights(one: Array, other: Array) -> float:
    """The mean over classes of the cosine between the weights of two classifiers, (classes, H) each."""
    products = (one * other).sum(axis=1)
    sizes = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(np.mean(np.divide(products, sizes, out=np.zeros_like(products), where=sizes > 0)))


def share_between(groups: Sequence[Array]) -> float:
    """The share of the variance of all states that is between the groups' means, 0 to 1. Groups are (N, H)."""
    everything = np.concatenate(groups)
    centre = everything.mean(axis=0)
    total = float(((everything - centre) ** 2).sum())
    between = sum(len(group) * float(((group.mean(axis=0) - centre) ** 2).sum()) for group in groups)
    return between / total if total else 0.0


def _name_languages(states: Mapping[str, States], labelled: Labelled, place: int) -> tuple[float, float]:
    """Test accuracy of a classifier that names a state's language, and the share of variance between languages."""
    train = [np.asarray(labelled.cut(own.mean, "train")[:, place], dtype=np.float64) for own in states.values()]
    test = [np.asarray(labelled.cut(own.mean, "test")[:, place], dtype=np.float64) for own in states.values()]
    if len(states) < 2:
        return 1.0, 0.0
    joined = np.concatenate(train)
    centre, spread = joined.mean(axis=0), joined.std(axis=0)
    spread[spread == 0] = 1
    classifier = _make_classifier().fit((joined - centre) / spread, np.repeat(np.arange(len(train)), [len(one) for one in train]))
    names = np.repeat(np.arange(len(test)), [len(one) for one in test])
    return float(classifier.score((np.concatenate(test) - centre) / spread, names)), share_between(train)


def _standardise(states: NDArray[np.float32], labelled: Labelled) -> Array:
    """Each number with mean 0 and variance 1 over the train sentences of this language."""
    exact = states.astype(np.float64)
    train = labelled.cut(exact, "train")
    spread = train.std(axis=0)
    spread[spread == 0] = 1
    found: Array = (exact - train.mean(axis=0)) / spread
    return found


def _make_classifier() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=PENALTY, max_iter=500)


def _fit(states: Array, labelled: Labelled, labels: Any) -> _Fit:
    classifier = _make_classifier().fit(labelled.cut(states, "train"), labels)
    weights = classifier.coef_ if len(classifier.classes_) > 2 else np.concatenate([-classifier.coef_, classifier.coef_])
    return _Fit(weights, classifier)


def _find_right(fit: _Fit, states: Array, labelled: Labelled, split: str) -> Array:
    said = fit.classifier.predict(labelled.cut(states, split))
    right: Array = (said == np.array(labelled.cut(labelled.labels, split))).astype(np.float64)
    return right


def _score(fit: _Fit, states: Array, labelled: Labelled, split: str) -> float:
    return float(_find_right(fit, states, labelled, split).mean())
