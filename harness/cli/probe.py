"""``xlift probe``: what a model and its adapters make of parallel sentences, layer by layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlift.harness.core.errors import UserError

if TYPE_CHECKING:
    from xlift.harness.diagnostics.records import Probe

CHART = "probe.svg"


def probe(
    model: Annotated[str, typer.Argument(metavar="MODEL|RUN", help="A base model, or a run folder with its adapters.")],
    adapters: Annotated[
        list[str] | None, typer.Option("--adapter", metavar="[NAME=]PATH", help="A PEFT adapter, a folder or hub:ORG/NAME.")
    ] = None,
    languages: Annotated[str | None, typer.Option("--languages", help="Codes separated by commas; else the run's.")] = None,
    pivot: Annotated[str | None, typer.Option("--pivot", help="The language compared with; en, or the run's.")] = None,
    corpus: Annotated[str, typer.Option("--corpus", help="Parallel sentences; of flores the dev split.")] = "flores",
    limit: Annotated[int | None, typer.Option("--limit", min=2, help="Sentences, the first ones.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for probe.json and probe.svg; a run's own is the default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:  # fmt: skip
    """Measure cosine and retrieval between translations by layer, and perplexity, for a base and each adapter on one loaded model."""
    from dataclasses import replace

    from xlift.harness.cli.arguments import split_adapter
    from xlift.harness.diagnostics import probe

    given = [split_adapter(text) for text in adapters or []]
    if twice := [name for number, (name, _) in enumerate(given) if name in dict(given[:number])]:
        raise UserError(f"--adapter: two are called {twice[0]!r}; name them apart with NAME=PATH")
    place = Path(model).expanduser()
    run = place if probe.is_run(place) else None
    if run:
        subject = probe.open_run(run)
        subject = replace(subject, adapters={**subject.adapters, **probe.resolve_adapters(dict(given))})
    else:
        subject = probe.open_model(model, dict(given))
    codes = tuple(languages.split(",")) if languages else subject.languages
    if not codes:
        raise UserError("--languages: name at least one besides the pivot, such as es,sw")
    found = probe.probe(subject, probe.read_sentences(codes, pivot or subject.pivot, corpus, limit))
    folder = out or run
    written = _write(found, folder) if folder else []
    if as_json:
        typer.echo(json.dumps(found.model_dump(mode="json"), ensure_ascii=False, indent=1))
        return
    _show(found)
    for path in written:
        typer.echo(f"written: {path}")


def _write(found: Probe, folder: Path) -> list[Path]:
    from xlift.harness.core.store import write_json
    from xlift.harness.diagnostics.records import PROBE
    from xlift.leaderboard.site.probe_charts import draw_probe

    drawn = draw_probe(found)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / PROBE, found.model_dump(mode="json"))
        if drawn:
            (folder / CHART).write_text(drawn.svg, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot be written ({error.strerror}); choose another folder with --out") from None
    return [folder / PROBE, *([folder / CHART] if drawn else [])]


def _show(found: Probe) -> None:
    import pandas as pd

    from xlift.harness.cli.output import print_table
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
                }
            rows.append({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()})
    origins = "+".join(dict.fromkeys(one["origin"] for one in found.corpus["files"].values()))
    corpus = f"{found.corpus['name']} {found.corpus['split']} ({origins})"
    print_table(
        pd.DataFrame(rows), f"{found.base['name']}, {found.sentences} of {found.sentences_of} sentences, {corpus}, pivot {found.pivot}"
    )
    for line in found.left_out:
        typer.echo(f"left out: {line}")
