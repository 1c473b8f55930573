"""Self-distillation from the pivot language (SDRRL): the model's own pivot answers, carried into the target languages.

Source: Zhang et al. 2024 (arXiv:2402.12204), of which the abstract and reviews were read; THUNLP-MT/SDRRL could not be read. What they
leave open is ours, and the YAML file says so.

As in the paper: the model answers pivot instructions itself. Questions and answers are translated by another system. Each language of the
question is combined with each language of the answer. Words are code-switched. Parallel text is used for translation and for the completion
of a sentence. Training is cross-entropy on all rows.
Different: the paper concatenates its parts; here each has a share of one budget. Translation and completion rows of a language are made of
the same sentences. Only questions are code-switched, by a published lexicon or by one that is aligned in the translations; the paper has a
tool. Bad answers are dropped, or replaced by published ones if that is asked for. A question whose answer is in another language names that
language.
Missing: the paper's measure for bad answers, the sizes of its parts and the rate of its switching, which have not been read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from pydantic import Field, model_validator

from xlift.harness.plugin import (
    AnswerRule,
    CodeSwitcher,
    Context,
    Direction,
    Example,
    Method,
    Options,
    Plan,
    Prompt,
    Reading,
    RowFilter,
    SwitchOptions,
    UserError,
    answer_prompts,
    ask,
    build_completions,
    build_translations,
    list_pairs,
    read_pairs,
    read_prompts,
    request_language,
    split_budget,
    take,
    translate_prompts,
)

COMBINATIONS = {
    "pivot_to_pivot": (),
    "target_to_target": ("question", "answer"),
    "pivot_to_target": ("answer",),
    "target_to_pivot": ("question",),
}
"""Whether the question and the answer of each kind are in the target language."""
Counts = Mapping[tuple[str, str], int]
"""The number of rows by kind and language."""
Quad = tuple[Prompt, Prompt]
"""One question with its answer in the pivot, and both in another language."""


class SelfDistillationOptions(SwitchOptions, Options):
    """Shares are parts of the budget and must add up to 1; a part with share 0 is off. Code-switching is that of SwitchOptions."""

    SHARES = ("pivot_to_pivot", "target_to_target", "pivot_to_target", "target_to_pivot", "translation", "completion")

    rows: int = Field(ge=1)
    """The budget in rows, if the suite sets none."""
    pivot_to_pivot: float = Field(ge=0, le=1)
    """The share of rows with a pivot question and a pivot answer."""
    target_to_target: float = Field(ge=0, le=1)
    """The share of rows with question and answer in a target language. It is split evenly over the target languages, and so are the next
    four."""
    pivot_to_target: float = Field(ge=0, le=1)
    target_to_pivot: float = Field(ge=0, le=1)
    translation: float = Field(ge=0, le=1)
    """The share of parallel text as requests to translate."""
    completion: float = Field(ge=0, le=1)
    """The share of the target side of parallel text as requests to continue a sentence."""
    prompt_corpus: str
    max_tokens: int = Field(ge=1)
    """The most tokens of an answer. One that is cut off is bad."""
    spare: float = Field(ge=1)
    """How many prompts are asked, and answers translated, for each row that is needed."""
    gold_overlap: float = Field(ge=0, le=1)
    """An answer is bad if its word F1 with the published answer is below this; 0 compares nothing."""
    bad_answers: Literal["drop", "gold"]
    """Whether a bad answer is dropped, or replaced by the published one if there is one."""
    direction: Direction
    """The direction of translation."""
    translation_corpus: str
    max_characters: int = Field(ge=1)
    """Longer rows are dropped and counted."""
    max_length_ratio: float = Field(gt=1)
    """Translations whose lengths in characters differ by more than this ratio are dropped."""

    @model_validator(mode="after")
    def _can_align(self) -> SelfDistillationOptions:
        translated = self.target_to_target or self.pivot_to_target or self.target_to_pivot
        if self.pivot_to_pivot and not translated and self.code_switch != "off" and self.dictionary == "alignment":
            raise UserError(
                "dictionary: alignment learns words from translated pairs, and pivot_to_pivot alone makes none; "
                "set dictionary: lexicon, code_switch: off, or give target_to_target, pivot_to_target or target_to_pivot a share"
            )
        return self


class SelfDistillation(Method[SelfDistillationOptions]):
    """The model's answers in all combinations of question and answer language, with parallel text beside them."""

    Options = SelfDistillationOptions

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        options, found = self.options, list[Reading]()
        if any(getattr(options, kind) for kind in COMBINATIONS):
            found.append(Reading(options.prompt_corpus, pivot))
            if options.code_switch != "off" and options.dictionary == "lexicon":
                found += list_pairs(options.lexicon_corpus, (pivot, *languages))
        if options.translation or options.completion:
            found += list_pairs(options.translation_corpus, (pivot, *languages))
        return found

    def prepare(self, ctx: Context) -> Plan:
        options = self.options
        row_filter = RowFilter(options.max_characters, options.max_length_ratio)
        shares: dict[tuple[str, str], float] = {("pivot_to_pivot", ctx.pivot): options.pivot_to_pivot}
        for kind in ("target_to_target", "pivot_to_target", "target_to_pivot", "translation", "completion"):
            shares |= {(kind, lang): getattr(options, kind) / len(ctx.languages) for lang in ctx.languages}
        counts = split_budget(ctx.budget or options.rows, shares)
        distilled = {key: count for key, count in counts.items() if key[0] in COMBINATIONS}
        for lang in dict.fromkeys(lang for _, lang in distilled if lang != ctx.pivot):
            ctx.require_translator(ctx.pivot, lang)
        rows = self._use_parallel_text(ctx, counts, row_filter)
        if distilled:
            switcher = CodeSwitcher(ctx, options)  # before the model is asked, as a lexicon may be missing
            quads = self._distil(ctx, distilled, row_filter)
            for lang in (lang for lang in quads if lang != ctx.pivot):
                texts = [(getattr(there, part), getattr(own, part)) for there, own in quads[lang] for part in ("question", "answer")]
                switcher.learn(lang, texts)
            for (kind, lang), count in distilled.items():
                rows += take(_combine(ctx, kind, lang, quads[lang], switcher), count, _name_part(ctx, kind, lang), row_filter.drops)
            row_filter.notes.update({f"code-switched {what}": count for what, count in switcher.counts.items()})
        ctx.rng.shuffle(rows)
        return Plan(tuple(rows), drops=dict(row_filter.drops), facts=dict(row_filter.notes))

    def _use_parallel_text(self, ctx: Context, counts: Counts, row_filter: RowFilter) -> list[Example]:
        options, rows = self.options, list[Example]()
        for lang in ctx.languages:
            translations, completions = counts.get(("translation", lang), 0), counts.get(("completion", lang), 0)
            pairs = list(read_pairs(ctx, options.translation_corpus, ctx.pivot, lang)) if translations or completions else []
            if translations:
                found = build_translations(pairs, ctx.pivot, lang, row_filter, kind="translation", direction=options.direction)
                rows += take(found, translations, f"{lang}/translation", row_filter.drops)
            if completions:
                found = build_completions(pairs, lang, row_filter, ctx.rng, kind="completion")
                rows += take(found, completions, f"{lang}/completion", row_filter.drops)
        return rows

    def _distil(self, ctx: Context, counts: Counts, row_filter: RowFilter) -> dict[str, list[Quad]]:
        """Answered and translated prompts of each language, as many as its largest part needs, because its parts share them."""
        options = self.options
        need = {lang: max(count for (_, other), count in counts.items() if other == lang) for _, lang in counts}
        most = max(count if lang == ctx.pivot else math.ceil(count * options.spare) for lang, count in need.items())
        where = _name_part(ctx, *max(counts, key=lambda key: counts[key]))
        prompts = read_prompts(ctx, ctx.pivot, row_filter, corpus=options.prompt_corpus, where=where)
        rule = AnswerRule(options.max_tokens, options.gold_overlap, use_gold=options.bad_answers == "gold")
        answered = answer_prompts(ctx, prompts, most, rule, row_filter, where=where, spare=options.spare)
        quads = {ctx.pivot: [(prompt, prompt) for prompt in answered]}
        for lang in (lang for lang in need if lang != ctx.pivot):
            own = {kind: count for (kind, other), count in counts.items() if other == lang}
            parts = [part for part in ("question", "answer") if any(part in COMBINATIONS[kind] for kind in own)]
            where = _name_part(ctx, max(own, key=lambda kind: own[kind]), lang)
            quads[lang] = translate_prompts(
                ctx, answered, lang, need[lang], row_filter, where=where, spare=options.spare, parts=parts
            )  # fmt: skip
        return quads


def _combine(ctx: Context, kind: str, lang: str, quads: Sequence[Quad], switcher: CodeSwitcher) -> Iterator[Example]:
    for number, (there, own) in enumerate(quads):
        translated = COMBINATIONS[kind]
        question, asked = (own.question, lang) if "question" in translated else (there.question, ctx.pivot)
        answer, given = (own.answer, lang) if "answer" in translated else (there.answer, ctx.pivot)
        # Alignment knows the languages alone that something was translated into, which a small budget may leave out.
        languages = switcher.languages or ctx.languages
        mixed = languages[number % len(languages)] if lang == ctx.pivot else lang
        question, answer = switcher.switch(question, answer, asked, given, mixed)
        if asked != given:
            question = request_language(number, question, given)
        yield Example(ask(question), answer, given, f"{kind}-{lang}-{there.id}", kind)


def _name_part(ctx: Context, kind: str, lang: str) -> str:
    """The part under which a row of this kind is counted, by the language of its answer."""
    return f"{lang if 'answer' in COMBINATIONS[kind] else ctx.pivot}/{kind}"


METHOD = SelfDistillation
