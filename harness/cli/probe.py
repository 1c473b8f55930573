"""``xlift probe``: how a model and its adapters represent parallel sentences, layer by layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import xlift
from xlift.harness.cli.arguments import AsJson, read_adapters
from xlift.harness.cli.output import print_table

if TYPE_CHECKING:
    from xlift.harness.diagnostics.records import Labels, Probe


def probe(
    model: Annotated[str, typer.Argument(metavar="MODEL|RUN", help="A base model, or a run folder with its adapters.")],
    adapters: Annotated[
        list[str] | None, typer.Option("--adapter", metavar="[NAME=]PATH", help="A PEFT adapter, a folder or hub:ORG/NAME.")
    ] = None,
    languages: Annotated[str | None, typer.Option("--languages",
            help="Codes separated by commas. Without it, the run's languages.")] = None,
    pivot: Annotated[str | None, typer.Option("--pivot",
            help="The language that others are compared with. Without it, the run's pivot, or en.")] = None,
    corpus: Annotated[str, typer.Option("--corpus", help="Corpus of parallel sentences; the dev split of flores.")] = "flores",
    limit: Annotated[int | None, typer.Option("--limit", min=2, help="Number of sentences, from the first on.")] = None,
    labels: Annotated[bool, typer.Option("--labels", help="Also fit linear classifiers to the states of SIB-200, by layer.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for probe.json and probe.svg. Without it, the run's own.")] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Measure cosine and retrieval between translations by layer, and perplexity, for a base and each adapter on one loaded model."""
    from xlift.harness.diagnostics.probe import is_run
    from xlift.harness.diagnostics.records import PROBE
    from xlift.harness.publishing.probe_files import CHART

    given = read_adapters(adapters)
    codes = languages.split(",") if languages else ()
    found = xlift.probe(model, adapters=given, languages=codes, pivot=pivot, corpus=corpus, limit=limit, labels=labels, out=out)
    if as_json:
        typer.echo(json.dumps(found.model_dump(mode="json"), ensure_ascii=False, indent=1))
        return
    _show(found)
    folder = out or Path(model).expanduser()
    if out or is_run(folder):
        for name in (PROBE, CHART):
            if (folder / name).is_file():
                typer.echo(f"written: {folder / name}")


def _show(found: Probe) -> None:
    import pandas as pd

    from xlift.leaderboard.site.probe_charts import best_layer

    rows: list[dict[str, Any]] = []
    for code in found.models[0].languages:
        for model in found.models:
            one = model.languages[code]
            row = {
                "language": code, "model": model.label, "perplexity": one.perplexity, "bits/character": one.bits_per_character,
                "bits/byte": one.bits_per_byte, "bits/sentence": one.bits_per_sentence, "characters/token": one.characters_per_token,
            }  # fmt: skip
            if one.alignment:
                layer, retrieved = best_layer(one.alignment)
                unrelated = one.alignment.unrelated[1:]
                row |= {
                    "cosine": one.alignment.score,
                    "unrelated": sum(unrelated) / len(unrelated),
                    "retrieval": retrieved,
                    "at layer": layer,
                    "mexa": sum(one.alignment.mexa) / len(one.alignment.mexa),
                }
            rows.append({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()})
    origins = "+".join(dict.fromkeys(one.origin for one in found.corpus.files.values()))
    corpus = f"{found.corpus.name} {found.corpus.split} ({origins})"
    print_table(
        pd.DataFrame(rows), f"{found.base['name']}, {found.sentences} of {found.sentences_of} sentences, {corpus}, pivot {found.pivot}"
    )
    if found.labels:
        _show_labels(found.labels)
    for line in found.left_out:
        typer.echo(f"left out: {line}")


def _show_labels(found: Labels) -> None:
    import pandas as pd

    place = found.layers.index(found.layer)
    rows: list[dict[str, Any]] = []
    for code, words in found.bag_of_words.items():
        for model in found.models:
            one = model.languages[code]
            others = [accuracy for other, accuracy in model.transfer[code].items() if other != code]
            cosines = [cosine for other, cosine in model.weights_cosine[code].items() if other != code]
            row = {
                "language": code, "model": model.label, "accuracy": one.mean[place], "last token": one.last[place],
                "shuffled labels": one.shuffled[place], "bag of words": words, "change": _write_interval(one.change),
                "mean on other languages": sum(others) / len(others) if others else None,
                "cosine of weights": sum(cosines) / len(cosines) if cosines else None,
            }  # fmt: skip
            rows.append({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()})
    print_table(
        pd.DataFrame(rows),
        f"Labelled probes, {found.corpus}: {found.classes} classes, {found.train} sentences to fit, {found.test} to test, "
        f"layer {found.layer} (chosen on {found.dev} of dev); always the largest class: {found.majority:.3f}",
    )
    for model in found.models:
        named, between = model.language_identity[place], model.variance_between[place]
        typer.echo(f"{model.label}: a classifier names the language of {named:.1%}; {between:.1%} of the variance lies between languages")


def _write_interval(ends: tuple[float, float] | None) -> str:
    return f"{ends[0]:+.3f} to {ends[1]:+.3f}" if ends else ""
