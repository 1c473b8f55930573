"""``xlift show``: the samples behind a score, in the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xlift.leaderboard.loading.samples import Sample
    from xlift.leaderboard.loading.select_samples import Selection

SHOWN = 10
"""The number of samples that are shown if no limit is given."""

NARROW = 72
"""With fewer columns than this, two answers are shown one below the other."""

Field = tuple[str, str]
"""A label and a text."""


def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, such as runs/demo.")],
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task of it, such as xlift_mgsm_direct_es.")],
    model: Annotated[str | None, typer.Option("--model", metavar="LABEL",
            help="LABEL or LABEL-seedN. Without it, the first method.")] = None,
    diff: Annotated[str | None, typer.Option("--diff", metavar="LABEL",
            help="Show another model's answers beside it, such as base.")] = None,
    wrong: Annotated[bool, typer.Option("--wrong", help="Below 50 points on the headline metric.")] = False,
    flipped: Annotated[bool, typer.Option("--flipped", help="Right in one of the two models and wrong in the other.")] = False,
    off_target: Annotated[bool, typer.Option("--off-target", help="Answers in another language than the one asked for.")] = False,
    thinking_cut: Annotated[bool, typer.Option("--thinking-cut", help="Answers whose thinking never ended.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1,
            help="The most samples to show. Without it 10, and all with --json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:  # fmt: skip
    """Show samples with prompt, reference, answer, extraction and scores; several filters leave what passes all of them."""
    from xlift.leaderboard.loading.samples import MARKS
    from xlift.leaderboard.loading.select_samples import select

    marks = [name for name, asked in zip(MARKS, (wrong, flipped, off_target, thinking_cut), strict=True) if asked]
    found = select(run, task, model, diff, marks)
    if as_json:
        # Escapes keep what a model wrote exact, and a terminal safe from it.
        typer.echo(json.dumps(found.to_dict(limit), indent=1))
        return
    shown = found.samples[: limit or SHOWN]
    if sys.stdout.isatty():
        _print(found, shown, marks)
        return
    typer.echo(_head(found, len(shown), marks))
    for sample in shown:
        typer.echo("\n" + "\n".join(_write_plain(found, sample)))


def _head(found: Selection, shown: int, marks: list[str]) -> str:
    from xlift.leaderboard.loading.select_samples import name_model
    from xlift.leaderboard.site.text import clean

    beside = f", beside {name_model(found.beside)}" if found.beside else ""
    of = f"{len(found.samples)} {' and '.join(marks)} of {len(found.sheet.samples)}" if marks else f"{len(found.samples)}"
    first = f"; the first {shown}, more with --limit" if shown < len(found.samples) else ""
    others = [name for name in found.models if name not in (name_model(found.run), found.beside and name_model(found.beside))]
    lines = [f"{found.sheet.task} by {name_model(found.run)}{beside}: {of} documents{first}"]
    return "\n".join(clean(line) for line in [*lines, *([f"also measured: {', '.join(others)}"] if others else [])])


def _write_plain(found: Selection, sample: Sample) -> Iterator[str]:
    """One sample as lines that a program can search: nothing is wrapped, continued lines are indented."""
    yield _title(sample)
    for label, text in [*_common(sample), *_stacked(found, sample)]:
        yield f"{label}: " + text.replace("\n", "\n    ")


def _print(found: Selection, shown: tuple[Sample, ...], marks: list[str]) -> None:
    from rich.console import Console
    from rich.rule import Rule
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(_head(found, len(shown), marks)))
    for sample in shown:
        console.print(Rule(Text(_title(sample), style="bold"), align="left"))
        if found.beside is None or console.width < NARROW:
            console.print(_tabulate([*_common(sample), *_stacked(found, sample)]))
        else:
            console.print(_tabulate(_common(sample)))
            console.print(_compare(found, sample))


def _title(sample: Sample) -> str:
    from xlift.leaderboard.site.text import clean

    return " ".join([clean(sample.id), *(f"[{mark}]" for mark in sample.marks)])


def _common(sample: Sample) -> list[Field]:
    return _spell([("prompt", sample.prompt), ("reference", sample.reference)])


def _stacked(found: Selection, sample: Sample) -> list[Field]:
    from xlift.leaderboard.loading.select_samples import name_model

    theirs = [(f"{name_model(found.beside)}: {label}", text) for label, text in _theirs(sample)] if found.beside else []
    return [*_spell(theirs), *_spell(_ours(sample))]


def _ours(sample: Sample) -> list[Field]:
    extracted = [("extracted", sample.extracted)] if sample.extracted is not None else []
    choices = [("choices", "\n".join(sample.choices))] if sample.choices else []
    return [*_split(sample.answer), *extracted, *choices, *sample.judge.items(), ("scores", _join(sample.scores))]


def _theirs(sample: Sample) -> list[Field]:
    if sample.base is None:
        return [("answer", "no comparable answer")]
    extracted = [("extracted", sample.base_extracted)] if sample.base_extracted is not None else []
    return [*_split(sample.base), *extracted, ("scores", _join(sample.base_scores))]


def _split(text: str) -> list[Field]:
    """What a model wrote, with its thinking separated."""
    from xlift.tasks.thinking import separate

    said = separate(text)
    label = "thinking, never ended" if said.cut else "thinking"
    return [*([(label, said.thinking)] if said.thinking or said.cut else []), ("answer", said.answer)]


def _join(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in scores.items())


def _spell(fields: list[Field]) -> list[Field]:
    from xlift.leaderboard.site.text import clean, spell_out

    return [(clean(label), spell_out(text)) for label, text in fields]


def _tabulate(fields: list[Field]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True, max_width=24, overflow="ellipsis")
    grid.add_column(overflow="fold", ratio=1)
    for label, text in fields:
        grid.add_row(Text(label), Text(text))
    return grid


def _compare(found: Selection, sample: Sample) -> RenderableType:
    """Both models' answers in columns of equal width."""
    from rich.table import Table
    from rich.text import Text

    from xlift.leaderboard.loading.select_samples import name_model
    from xlift.leaderboard.site.text import clean

    ours, theirs = dict(_spell(_ours(sample))), dict(_spell(_theirs(sample)))
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold underline")
    table.add_column(style="bold", no_wrap=True)
    for run in (found.beside, found.run):
        table.add_column(Text(clean(name_model(run)) if run else ""), overflow="fold", ratio=1)
    for label in dict.fromkeys(["answer", "extracted", *ours]):
        if label in ours or label in theirs:
            table.add_row(Text(label), Text(theirs.get(label, "")), Text(ours.get(label, "")))
    return table
