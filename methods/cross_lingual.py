"""Cross-lingual instruction tuning: x-LLaMA's CoIT for one language, m-LLaMA's MuIT for many.

Source: Zhu et al. 2023 (arXiv:2308.04948), NJUNLP/x-LLM at 0bc91a2.

As in the paper: there are pivot instructions, the same instructions in the target language, and translation from the pivot into it,
shuffled into one training with cross-entropy on the answers. MuIT splits the translation rows over the languages by a scaling law fitted to
pilots (``xlift fit-scaling``), or evenly, which is the control and the default.
Different: the paper concatenates whole corpora; here each part has a share of one budget, so that methods stay comparable. Alpaca is
translated by the suite's translator, not by the paper's, for languages in which the corpus has nothing (``translated: always`` for all).
French and Chinese have instructions of their own, which are not Alpaca's. Translation is asked for in 10 wordings of ours in turn; the
paper's code has 33. The parallel text is what docs/data.md lists. Long rows, and pairs whose lengths differ too much, are dropped; the
paper cuts them. With second_stage, the method uses PolyLM's curriculum (Wei et al. 2023, arXiv:2307.06018), which is one of pre-training: a
last part of the rows has a larger share of the target languages. PolyLM's stages have 640B tokens, the second of them 97B, and go from 30 %
to 60 % of text that is not English. Its second stage also takes better sources, which is missing here.
Missing: WikiMatrix and News-Commentary, and the paper's coefficients of the scaling law, which are not known to us.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field, model_validator

from xlift.harness.plugin import (
    Context,
    Example,
    Json,
    Method,
    Options,
    Plan,
    Reading,
    RowFilter,
    ScalingLaw,
    UserError,
    allocate,
    has_language,
    list_pairs,
    read_instructions,
    read_translations,
    split_budget,
    split_stages,
    take,
    translate_instructions,
)

Part = tuple[str, str]
"""A kind of rows and a language."""


class CrossLingualOptions(Options):
    """Shares are parts of the budget and must add up to 1; a part with share 0 is off."""

    SHARES = ("pivot_instructions", "target_instructions", "translation")

    rows: int = Field(ge=1)
    """The budget in rows, if the suite sets none."""
    pivot_instructions: float = Field(ge=0, le=1)
    target_instructions: float = Field(ge=0, le=1)
    """The share of instructions in the target languages, split evenly over them."""
    translated: Literal["missing", "always", "never"]
    """Which target languages get the pivot's instructions and answers from the suite's translator: those that the corpus lacks, all, or
    none."""
    spare: float = Field(ge=1)
    """How many instructions are translated for each one that is needed, since some translations fail."""
    translation: float = Field(ge=0, le=1)
    allocation: Literal["uniform", "scaling"]
    """How the translation rows are split over the target languages: evenly, or as the law predicts the best mean score."""
    scaling: ScalingLaw | None
    """The law, with a similarity for every trained language. Only ``allocation: scaling`` uses it."""
    direction: Literal["from_pivot", "to_pivot", "both"]
    instruction_corpus: str
    translation_corpus: str
    max_characters: int = Field(ge=1)
    """Longer rows are dropped and counted."""
    max_length_ratio: float = Field(gt=1)
    """Translation pairs whose lengths in characters differ by more than this ratio are dropped as misaligned."""

    second_stage: float = Field(ge=0, lt=1)
    """The share of the rows that are trained after the others, with more of them in the target languages (PolyLM's curriculum); 0 for
    none."""
    second_stage_targets: float = Field(ge=0, le=1)
    """The share of the second stage's rows that are instructions in a target language, or translations."""

    @model_validator(mode="after")
    def _has_law(self) -> CrossLingualOptions:
        if self.allocation == "scaling" and self.scaling is None:
            raise UserError("allocation: scaling needs the law's coefficients in scaling; xlift fit-scaling prints them")
        return self


class CrossLingual(Method[CrossLingualOptions]):
    """Instructions in two languages and translation between them, as plain supervised rows."""

    Options = CrossLingualOptions

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        options = self.options
        targets = languages if options.target_instructions and options.translated != "always" else ()
        instead = "the pivot's instructions are translated" if options.translated == "missing" else ""
        found = [Reading(options.instruction_corpus, lang, instead, translated=bool(instead)) for lang in targets]
        if options.pivot_instructions or (options.target_instructions and options.translated != "never"):
            found.insert(0, Reading(options.instruction_corpus, pivot))
        return found + (list_pairs(options.translation_corpus, (pivot, *languages)) if options.translation else [])

    def prepare(self, ctx: Context) -> Plan:
        options = self.options
        row_filter = RowFilter(options.max_characters, options.max_length_ratio)
        shares = {("pivot_instructions", ctx.pivot): options.pivot_instructions}
        for lang in ctx.languages:
            shares["target_instructions", lang] = options.target_instructions / len(ctx.languages)
        for lang in ctx.languages:
            shares["translation", lang] = options.translation / len(ctx.languages)
        counts = split_budget(ctx.budget or options.rows, shares)
        translated = self._choose_translated(ctx, counts)
        split, facts = self._split_translations(ctx, counts)
        rows: list[Example] = []
        for (kind, lang), count in {**counts, **split}.items():
            corpus, part = options.instruction_corpus, f"{lang}/{kind}"
            if kind == "translation":
                rows += take(self._translations(ctx, lang, row_filter), count, part, row_filter.drops)
            elif lang in translated:
                rows += translate_instructions(ctx, lang, count, row_filter, corpus=corpus, kind=kind, spare=options.spare)
            else:
                rows += take(read_instructions(ctx, lang, row_filter, corpus=corpus, kind=kind), count, part, row_filter.drops)
        ctx.rng.shuffle(rows)
        facts = {**facts, "translated_instructions": translated}
        if not options.second_stage:
            return Plan(tuple(rows), drops=dict(row_filter.drops), facts=facts)
        staged = split_stages(rows, options.second_stage, options.second_stage_targets, ("target_instructions", "translation"))
        return Plan(staged.rows, drops=dict(row_filter.drops), phases=staged.phases, facts={**facts, **staged.shares})

    def _choose_translated(self, ctx: Context, counts: Mapping[Part, int]) -> list[str]:
        """The languages whose instructions are the pivot's, translated. Raises UserError if one of them has no translator."""
        wanted = [lang for kind, lang in counts if kind == "target_instructions" and self.options.translated != "never"]
        if self.options.translated == "missing":
            wanted = [lang for lang in wanted if not has_language(ctx, self.options.instruction_corpus, lang)]
        for lang in wanted:
            ctx.require_translator(ctx.pivot, lang)
        return wanted

    def _split_translations(self, ctx: Context, counts: Mapping[Part, int]) -> tuple[dict[Part, int], dict[str, Json]]:
        """The translation rows of each language, and what the manifest says of the split."""
        uniform = {part: count for part, count in counts.items() if part[0] == "translation"}
        if self.options.allocation == "uniform" or self.options.scaling is None:
            return uniform, {"allocation": "uniform", "translation_rows": {lang: count for (_, lang), count in uniform.items()}}
        found = allocate(self.options.scaling, sum(uniform.values()), ctx.languages)
        facts: dict[str, Json] = {
            "allocation": "scaling",
            "translation_rows": found.rows,
            "predicted_score": round(found.score, 3),
            "predicted_score_of_uniform": round(found.uniform_score, 3),
        }
        return {("translation", lang): count for lang, count in found.rows.items()}, facts

    def _translations(self, ctx: Context, lang: str, row_filter: RowFilter) -> Iterator[Example]:
        there = self._translations_one_way(ctx, ctx.pivot, lang, row_filter)
        if self.options.direction == "from_pivot":
            return there
        # Both readers walk through the pairs in one order, so taking turns gives each pair one direction.
        counted = replace(row_filter, drops=Counter()) if self.options.direction == "both" else row_filter
        back = self._translations_one_way(ctx, lang, ctx.pivot, counted)
        if self.options.direction == "to_pivot":
            return back
        return (forward if number % 2 == 0 else backward for number, (forward, backward) in enumerate(zip(there, back, strict=True)))

    def _translations_one_way(self, ctx: Context, source: str, target: str, row_filter: RowFilter) -> Iterator[Example]:
        return read_translations(ctx, source, target, row_filter, corpus=self.options.translation_corpus, kind="translation")


METHOD = CrossLingual
