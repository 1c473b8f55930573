"""Representation alignment (mid-align): task training, and in turn with it a loss that draws translations to each other in a middle layer.

Source: Liu and Niehues 2025 (arXiv:2502.14830, "middle-layer representation alignment"), dannigt/mid-align at c3fa8ef; with other options
AFP (NAACL 2024), chongli17/CrossLingualAlignment at 744a46e.

As in the paper: InfoNCE on mean-pooled states at half the depth, by cosine, temperature 0.1, from one side only, in optimiser steps of its
own between those of the task; LoRA on all linear modules.
Different: the budget is in tokens, half of it in each sort of step; the code takes steps of 32 rows and stops early. Rows are contrasted
with the 16 or so of their own step, and a text that two of them share is no negative example; the code has no such check. The task is
Alpaca's instructions in the pivot; the paper trains slot filling, translation and summaries in English and tests the transfer. The mean
leaves out the first token, whose state is large and always the same.
For AFP: layer 1, the last token, temperature 0.05, ``alternate: false``, ``task_weight: 1.5``.
Missing: AFP's instructions that are answered in another language with a chance of one half, and its training of all weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from xlift.harness.plugin import (
    Align,
    Context,
    Example,
    Method,
    Options,
    Parallel,
    Plan,
    Reading,
    RowFilter,
    Term,
    list_pairs,
    pair_texts,
    read_instructions,
    read_pairs,
    require_batch,
    split_budget,
    take,
)


class RepresentationAlignmentOptions(Options):
    """Shares are parts of the budget in rows and must add up to 1. Without ``task`` the terms are trained alone."""

    SHARES = ("parallel", "task")

    rows: int = Field(ge=1)
    """The budget in rows, if the suite sets none."""
    parallel: float = Field(gt=0, le=1)
    """The share of parallel sentences, split evenly over the languages."""
    task: float = Field(ge=0, le=1)
    """The share of pivot instructions with their answers."""
    parallel_corpus: str
    task_corpus: str
    layer: float
    """A share of the depth, or the number of a state: 1 is what comes out of the first layer, -1 the last state."""
    pool: Literal["last", "mean"]
    temperature: float = Field(gt=0)
    symmetric: bool
    """Whether the contrast goes both ways: the pivot's text among translations, and the translation among the pivot's texts."""
    batch: int = Field(ge=2)
    """The most rows that are contrasted with each other."""
    alternate: bool
    """Whether steps of the optimiser take turns. Otherwise each step has both kinds of rows."""
    align_weight: float = Field(gt=0)
    task_weight: float = Field(gt=0)
    shuffled: bool
    """Whether each text is put beside the translation of another one, as a control."""
    max_characters: int = Field(ge=1)
    max_length_ratio: float = Field(gt=1)


class RepresentationAlignment(Method[RepresentationAlignmentOptions]):
    """Translations near each other in one layer, beside a task in the pivot."""

    Options = RepresentationAlignmentOptions

    @property
    def is_control(self) -> bool:
        return self.options.shuffled

    @property
    def states(self) -> tuple[float, ...]:
        return (self.options.layer,)

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        options = self.options
        task = [Reading(options.task_corpus, pivot)] if options.task else []
        return list_pairs(options.parallel_corpus, (pivot, *languages)) + task

    def prepare(self, ctx: Context) -> Plan:
        options = self.options
        row_filter = RowFilter(options.max_characters, options.max_length_ratio)
        shares = {("parallel", lang): options.parallel / len(ctx.languages) for lang in ctx.languages}
        counts = split_budget(ctx.budget or options.rows, {**shares, ("task", ctx.pivot): options.task})
        rows: list[Parallel | Example] = []
        for (kind, lang), count in counts.items():
            if kind == "task":
                found = read_instructions(ctx, lang, row_filter, corpus=options.task_corpus, kind=kind)
                rows += take(found, count, f"{lang}/{kind}", row_filter.drops)
            else:
                pairs = read_pairs(ctx, options.parallel_corpus, ctx.pivot, lang)
                rows += pair_texts(pairs, ctx.pivot, lang, count, row_filter, kind=kind, shuffled=options.shuffled)
        require_batch(rows, options.batch)
        ctx.rng.shuffle(rows)
        term = Term(
            "contrastive",
            (options.layer,),
            options.pool,
            options.align_weight,
            temperature=options.temperature,
            symmetric=options.symmetric,
        )
        objective = Align((term,), batch=options.batch, sft_weight=options.task_weight, alternate=options.alternate)
        return Plan(tuple(rows), objective, drops=dict(row_filter.drops))


METHOD = RepresentationAlignment
