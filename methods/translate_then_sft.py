"""Control: published pivot instructions and answers, translated into the target languages and trained on as they are.

Source: the translate-then-SFT baseline with which SDRRL compares itself (Zhang et al. 2024, arXiv:2402.12204): its answers are not the
model's own and have the translator's style.

As in the paper: published instructions and answers go through a translator, and are trained with cross-entropy.
Different: the translator is the suite's, so that it has the same help as self_distillation. Bad translations are dropped.
Missing: the paper's corpus and its size, which have not been read.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from xlift.harness.plugin import (
    Context,
    Example,
    Method,
    Options,
    Plan,
    Reading,
    RowFilter,
    read_instructions,
    split_budget,
    take,
    translate_instructions,
)


class TranslateThenSftOptions(Options):
    """Shares are parts of the budget and must add up to 1; a part with share 0 is off."""

    SHARES = ("pivot_instructions", "target_instructions")

    rows: int = Field(ge=1)
    """The budget in rows, if the suite sets none."""
    pivot_instructions: float = Field(ge=0, le=1)
    """The share of the instructions as they are published, beside their translations."""
    target_instructions: float = Field(ge=0, le=1)
    """The share of translated instructions, split evenly over the target languages, which get the same instructions."""
    instruction_corpus: str
    max_characters: int = Field(ge=1)
    """Longer rows are dropped and counted."""
    max_length_ratio: float = Field(gt=1)
    """Translations whose lengths in characters differ by more than this ratio are dropped."""
    spare: float = Field(ge=1)
    """How many rows are translated for each one that is needed, since some translations fail."""


class TranslateThenSft(Method[TranslateThenSftOptions]):
    """Translated instructions with translated answers."""

    Options = TranslateThenSftOptions

    @property
    def is_control(self) -> bool:
        return True

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        return [Reading(self.options.instruction_corpus, pivot)]

    def prepare(self, ctx: Context) -> Plan:
        options = self.options
        row_filter = RowFilter(options.max_characters, options.max_length_ratio)
        shares = {("pivot_instructions", ctx.pivot): options.pivot_instructions}
        shares |= {("target_instructions", lang): options.target_instructions / len(ctx.languages) for lang in ctx.languages}
        counts = split_budget(ctx.budget or options.rows, shares)
        for _, lang in counts:
            if lang != ctx.pivot:
                ctx.require_translator(ctx.pivot, lang)
        rows: list[Example] = []
        for (kind, lang), count in counts.items():
            if lang == ctx.pivot:
                found = read_instructions(ctx, lang, row_filter, corpus=options.instruction_corpus, kind=kind)
                rows += take(found, count, f"{lang}/{kind}", row_filter.drops)
            else:
                corpus, spare = options.instruction_corpus, options.spare
                rows += translate_instructions(ctx, lang, count, row_filter, corpus=corpus, kind=kind, spare=spare)
        ctx.rng.shuffle(rows)
        return Plan(tuple(rows), drops=dict(row_filter.drops))


METHOD = TranslateThenSft
