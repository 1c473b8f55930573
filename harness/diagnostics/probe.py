"""How a base and its adapters represent parallel sentences: alignment with the pivot by layer, retrieval by layer, and perplexity.

Nothing is generated and nothing is trained. docs/diagnostics.md says what each number means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.languages import find
from xlift.harness.core.progress import Bar
from xlift.harness.core.settings import build
from xlift.harness.core.store import RESOLVED, read_object
from xlift.harness.diagnostics.labelled import LabelledReader
from xlift.harness.diagnostics.records import Alignment, Change, LanguageProbe, ModelProbe, Probe
from xlift.harness.diagnostics.resampling import bootstrap
from xlift.harness.evaluation.adapters import find_adapter
from xlift.harness.evaluation.records import read_records
from xlift.harness.models import adapters, bases
from xlift.harness.models.adapters import Adapter
from xlift.harness.models.bases import Base
from xlift.tasks import data

if TYPE_CHECKING:
    from xlift.harness.diagnostics.hidden_states import Nearness, Reading
    from xlift.harness.diagnostics.labels import Labelled

SPLITS = {"flores": "dev"}
"""Corpora whose sentences are translations of each other in all languages, and the split that is read, which is never one that is
measured."""


@dataclass(frozen=True)
class Sentences:
    """The same sentences in several languages, the pivot first."""

    corpus: str
    pivot: str
    texts: Mapping[str, tuple[str, ...]]
    """The sentences of each language code; the same position is the same sentence."""
    origins: Mapping[str, data.Origin]
    of: int
    """The number of sentences in the corpus."""


@dataclass(frozen=True)
class Subject:
    """What is probed: a base and adapters of it, by label."""

    base: Base
    adapters: Mapping[str, Adapter]
    left_out: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    """The languages of a run; none for a bare model."""
    pivot: str = "en"


def read_sentences(languages: Sequence[str], pivot: str = "en", corpus: str = "flores", limit: int | None = None) -> Sentences:
    """The first ``limit`` sentences of a corpus in the pivot and other languages.

    The bundled samples are used if the corpus cannot be read. Raises UserError for another corpus, an unknown language, a language that is
    missing, and fewer than two sentences.
    """
    if corpus not in SPLITS:
        raise UserError(f"--corpus {corpus!r}: its sentences are not parallel, or are kept for measuring{name_nearest(corpus, SPLITS)}")
    codes = list(dict.fromkeys(find(code).code for code in (pivot, *languages)))
    if len(codes) < 2:
        raise UserError(f"--languages: name one besides the pivot ({codes[0]})")
    columns = {code: data.read(corpus, code, SPLITS[corpus], samples="missing") for code in codes}
    ids = {code: list(rows["id"]) for code, rows in columns.items()}
    if odd := [code for code in codes if ids[code] != ids[codes[0]]]:
        raise UserError(
            f"{corpus}: not the same sentences in {codes[0]} and {odd[0]} (one from XLIFT_DATA or the hub, one from the samples?)"
        )
    texts = {code: tuple(rows["text"][:limit]) for code, rows in columns.items()}
    if len(texts[codes[0]]) < 2:
        raise UserError(f"{len(texts[codes[0]])} sentence: retrieval needs two at least; raise --limit")
    origins = {code: data.locate(corpus, code, SPLITS[corpus], samples="missing") for code in codes}
    return Sentences(corpus, codes[0], texts, origins, len(ids[codes[0]]))


def is_run(place: Path) -> bool:
    """Whether a path is a run folder, and not a model's."""
    return (place / RESOLVED).is_file()


def open_run(folder: Path) -> Subject:
    """The base and the measured adapters of a run. Raises UserError if the base cannot be found, or is another one now."""
    try:
        suite = read_object(folder / RESOLVED)
        languages = suite["languages"]
        codes = tuple(dict.fromkeys([*languages["train"], *languages["evaluate"]]))
        settings = build(BaseSettings, suite["base"], f"{folder / RESOLVED}: base")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / RESOLVED}: damaged ({type(error).__name__}); run the suite again") from None
    base = bases.resolve(settings)
    found: dict[str, Adapter] = {}
    left_out = []
    for measured in (one for one in read_records([folder]).measurements if one.record.adapter):
        record = measured.record
        label = record.label if record.seed is None else f"{record.label}-seed{record.seed}"
        if record.base.get("sha256") != base.sha256:
            raise UserError(f"{folder}: {record.name} was measured on another base than {base.name} is now; name the model and --adapter")
        adapter = find_adapter(measured)
        if adapter is None:
            left_out.append(f"{label}: its adapter is gone")
        elif not adapter.has_weights:
            left_out.append(f"{label}: no weights, so the states of a text are the base's")
        else:
            found[label] = adapter
    return Subject(base, found, tuple(left_out), codes, languages["pivot"])


def open_model(model: str, references: Mapping[str, str]) -> Subject:
    """A model by name, and adapters by label. Raises UserError for one that cannot be found or has no weights."""
    return Subject(bases.resolve(BaseSettings(model=model)), resolve_adapters(references))


def resolve_adapters(references: Mapping[str, str]) -> dict[str, Adapter]:
    """Adapters by label. Raises UserError for one that cannot be found, and for a profile alone."""
    found = {label: adapters.resolve(reference) for label, reference in references.items()}
    for label, adapter in found.items():
        if label == "base":
            raise UserError("--adapter base=...: 'base' is the model without adapters; choose another name")
        if not adapter.has_weights:
            raise UserError(f"adapter {adapter.name}: has no weights of the base's own modules, so the states of a text are the base's")
    return found


def probe(subject: Subject, sentences: Sentences, dtype: str = "auto", labelled: Labelled | None = None) -> Probe:
    """Measure the base, then each adapter in its place, on one loaded model. With ``labelled`` sentences, probe those too.

    Sentences that are too long for the model in one language are left out in all. Raises UserError for an adapter that does not fit the
    base, and if fewer than two sentences are left.
    """

    from xlift.harness.core.versions import library_versions
    from xlift.harness.diagnostics.hidden_states import Nearness, encode, read_states
    from xlift.harness.engines.hf import HfEngine

    form = "lora" if all(one.peft_type == "LORA" for one in subject.adapters.values()) else "merged"
    engine = HfEngine(subject.base, build(EngineSettings, {"backend": "hf", "dtype": dtype, "adapter_form": form}, "probe"))
    with engine:
        tokens = {code: encode(engine.tokenizer, texts) for code, texts in sentences.texts.items()}
        kept = [
            row for row in range(len(tokens[sentences.pivot])) if all(1 < len(one[row]) <= engine.max_length for one in tokens.values())
        ]
        if len(kept) < 2:
            raise UserError(f"{subject.base.name}: fewer than two sentences fit its {engine.max_length} tokens in every language")
        models, before = [], dict[str, Nearness]()
        marked = LabelledReader(labelled) if labelled else None
        total = (len(kept) * len(tokens) + (marked.size if marked else 0)) * (1 + len(subject.adapters))
        with Bar(total=total, desc="sentences") as bar:
            for label, adapter in (("base", None), *subject.adapters.items()):
                engine.swap(adapter)
                pivot: Reading | None = None
                found = {}
                for code, texts in sentences.texts.items():
                    reading = read_states(engine.model, [tokens[code][row] for row in kept], bar.update)
                    alignment = None
                    if pivot:
                        alignment, near = align(reading, pivot, before.get(code))
                        before.setdefault(code, near)
                    found[code] = describe([texts[row] for row in kept], [len(tokens[code][row]) - 1 for row in kept], reading, alignment)
                    pivot = pivot or reading
                models.append(ModelProbe(label=label, adapter=_identify(adapter) if adapter else None, languages=found))
                if marked:
                    marked.read(label, engine, bar.update)
        described = engine.describe()
    return Probe(
        base=_identify(subject.base),
        engine={name: described[name] for name in ("backend", "dtype", "adapter_form", "device")},
        corpus={
            "name": sentences.corpus,
            "split": SPLITS[sentences.corpus],
            "files": {code: {"origin": one.origin, "sha256": one.sha256} for code, one in sentences.origins.items()},
        },
        pivot=sentences.pivot,
        sentences=len(kept),
        sentences_of=sentences.of,
        models=tuple(models),
        left_out=subject.left_out,
        labels=marked.summarise() if marked else None,
        versions=library_versions("torch", "transformers", "peft"),
    )


def describe(texts: Sequence[str], tokens: Sequence[int], reading: Reading, alignment: Alignment | None) -> LanguageProbe:
    """The numbers of one language: totals over all sentences, never means of their means. ``alignment`` is None for the pivot itself.

    ``tokens`` are those of each sentence, without the prefix.
    """
    bits, count = float(reading.bits.sum()), sum(tokens)
    characters, size = sum(map(len, texts)), sum(len(text.encode("utf-8")) for text in texts)
    return LanguageProbe(
        sentences=len(texts),
        tokens=count,
        characters=characters,
        bytes=size,
        perplexity=2 ** (bits / count),
        character_perplexity=2 ** (bits / characters),
        bits_per_character=bits / characters,
        bits_per_byte=bits / size,
        bits_per_sentence=bits / len(texts),
        characters_per_token=characters / count,
        alignment=alignment,
    )


def align(reading: Reading, pivot: Reading, base: Nearness | None) -> tuple[Alignment, Nearness]:
    """How near sentences are to the pivot's, and the numbers of each sentence. ``base`` has those of the base, for paired intervals."""
    from dataclasses import replace

    from xlift.harness.diagnostics.hidden_states import choose_ranker_layers, measure_nearness

    last, mean = measure_nearness(reading.last, pivot.last), measure_nearness(reading.mean, pivot.mean)
    weighted = measure_nearness(reading.weighted, pivot.weighted)
    near = replace(mean, own=last.own)
    cosine = tuple(last.own.mean(dim=1).tolist())
    found = Alignment(
        cosine=cosine,
        unrelated=last.unrelated,
        score=sum(cosine[1:]) / len(cosine[1:]),
        to_pivot=tuple(mean.towards.mean(dim=1).tolist()),
        from_pivot=tuple(mean.back.mean(dim=1).tolist()),
        ranker_five=sum(cosine[layer] for layer in choose_ranker_layers(len(cosine) - 1)) / 5,
        mexa=tuple((weighted.towards * weighted.back).mean(dim=1).tolist()),
        change=_compare(near, base) if base else None,
    )
    return found, near


def _compare(near: Nearness, base: Nearness) -> Change:
    hits = (near.towards + near.back - base.towards - base.back) / 2
    return Change(
        cosine=tuple(map(bootstrap, (near.own - base.own).numpy())),
        retrieval=tuple(map(bootstrap, hits.numpy())),
    )


def _identify(model: Base | Adapter) -> dict[str, str | None]:
    """The name and hash, without the folders of this machine."""
    name = Path(model.name).name if Path(model.name).is_absolute() else model.name
    kind = {"peft_type": model.peft_type} if isinstance(model, Adapter) else {}
    return {"name": name, "revision": model.revision, "sha256": model.sha256, **kind}
