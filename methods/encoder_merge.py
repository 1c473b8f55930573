"""Encoder merge (MindMerger): a multilingual encoder reads the prompt beside a frozen base, and a projection of its states is trained.

Source: Huang et al. 2024 (arXiv:2405.17386, "MindMerger", NeurIPS 2024), CONE-MT/MindMerger at 9b955f9; with other options Yoon et al. 2024
(arXiv:2401.10695, "LangBridge", ACL 2024), kaistAI/LangBridge at 4f43fb2.

As in the paper: encoder and base are frozen; two linear maps with a ReLU between them, and a boundary vector that is zero at the start, are
trained. First translations into the pivot, which the base writes from the encoder's states alone (mapping); then problems in every
language with solutions in the pivot, whose prompt the base reads too (augmentation).
Different: both phases share one budget, where the paper has 100,000 lines a language and three epochs of each. The encoder reads the whole
prompt as the chat template writes it, without its special tokens, where the paper gives it the bare question of a word problem, and has no
chat template. The answer begins behind the assistant's header. Problems are of GSM8K; those that a language lacks are translated.
Missing: the choice of a checkpoint by perplexity on 3,000 rows; encoders that must be told the language of a text (NLLB, M2M100), which the
code has too, and which are refused.
Traps of the code: its README gives ``--augmentation False`` for the second phase, which leaves the prompt's embeddings out, and its script
``True``, which is right; an empty answer counts as 0, which is right where the gold answer is 0.
LangBridge: ``mapping: 0.0``, ``queries: pivot``, ``reads_prompt: false`` and ``inner: 0.0``, so that one linear map is trained on the
pivot's problems alone, and the base reads the encoder's states in place of the prompt.
The encoder counts: its weights are in a record's ``extra_parameters``, and it was made from texts of many languages that the base may never
have seen. With ``zeroed: true``, the control, its states are zero, so that what is left is the trained vectors before the prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from xlift.harness.plugin import (
    Context,
    Example,
    Method,
    Module,
    Options,
    Plan,
    Reading,
    RowFilter,
    UserError,
    ask,
    has_language,
    list_pairs,
    read_pairs,
    read_prompts,
    split_budget,
    take,
    translate_prompts,
)


class EncoderMergeOptions(Options):
    """The encoder, how the base reads it, and the shares of the two phases."""

    encoder: str
    """A folder, or a hub repository ORG/NAME."""
    revision: str | None
    tokens: int = Field(ge=1)
    """Most tokens that the encoder reads of a prompt."""
    inner: float = Field(ge=0)
    """Width between the two linear maps, as a multiple of the encoder's; 0 is one map."""
    reads_prompt: bool
    """Whether the base reads the prompt itself too."""
    zeroed: bool
    """The control."""
    rows: int = Field(ge=1)
    """Budget in rows where the suite sets none."""
    mapping: float = Field(ge=0, lt=1)
    """Share of the first phase; the second has the rest."""
    mapping_corpus: str
    """Parallel text."""
    task_corpus: str
    """Problems with answers in the pivot, under one id in all languages."""
    queries: Literal["all", "pivot"]
    """Languages of the problems of the second phase."""
    spare: float = Field(ge=1)
    max_characters: int = Field(ge=1)
    max_length_ratio: float = Field(gt=1)


class EncoderMerge(Method[EncoderMergeOptions]):
    """The projection of an encoder's states into the embeddings of a frozen base."""

    Options, backends = EncoderMergeOptions, ("hf",)

    @property
    def is_control(self) -> bool:
        return self.options.zeroed

    @property
    def module(self) -> Module:
        options = self.options
        return Module(
            encoder=options.encoder, revision=options.revision, tokens=options.tokens, inner=options.inner,
            reads_prompt=options.reads_prompt, alone=("mapping",), zeroed=options.zeroed,
        )  # fmt: skip

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        options = self.options
        found = list_pairs(options.mapping_corpus, (pivot, *languages)) if options.mapping else []
        others = languages if options.queries == "all" else ()
        return [
            *found,
            Reading(options.task_corpus, pivot),
            *(Reading(options.task_corpus, lang, "the pivot's are translated", translated=True) for lang in others),
        ]

    def prepare(self, ctx: Context) -> Plan:
        options = self.options
        if options.task_corpus.startswith("gsm8k") and ctx.pivot != "en":
            raise UserError(f"encoder_merge: gsm8k has English solutions alone and the pivot is {ctx.pivot!r}; set task_corpus")
        row_filter = RowFilter(options.max_characters, options.max_length_ratio)
        asked = (*ctx.languages, ctx.pivot) if options.queries == "all" else (ctx.pivot,)
        shares = {("mapping", lang): options.mapping / len(ctx.languages) for lang in ctx.languages}
        shares |= {("augmentation", lang): (1 - options.mapping) / len(asked) for lang in asked}
        for lang in asked:
            if lang != ctx.pivot and not has_language(ctx, options.task_corpus, lang):
                ctx.require_translator(ctx.pivot, lang)
        rows: list[Example] = []
        for (kind, lang), count in split_budget(ctx.budget or options.rows, shares).items():
            if kind == "mapping":
                rows += take(self._map(ctx, lang, row_filter), count, f"{lang}/{kind}", row_filter.drops)
            else:
                rows += take(self._augment(ctx, lang, count, row_filter), count, f"{lang}/{kind}", row_filter.drops)
        ctx.rng.shuffle(rows)
        present = {row.kind for row in rows}
        phases = tuple((kind,) for kind in ("mapping", "augmentation") if kind in present)
        return Plan(tuple(rows), drops=dict(row_filter.drops), phases=phases, module=self.module)

    def _map(self, ctx: Context, lang: str, row_filter: RowFilter) -> Iterator[Example]:
        """Sentences with their translations into the pivot."""
        for pair in read_pairs(ctx, self.options.mapping_corpus, lang, ctx.pivot):
            if reason := row_filter.find_pair_fault(pair.source, pair.target):
                row_filter.drop(f"{lang}/mapping", reason)
            else:
                yield Example(ask(pair.source), pair.target, ctx.pivot, f"mapping-{lang}-{pair.id}", "mapping")

    def _augment(self, ctx: Context, lang: str, count: int, row_filter: RowFilter) -> Iterator[Example]:
        """Problems in a language with their answers in the pivot."""
        options, where = self.options, f"{lang}/augmentation"
        published = read_prompts(ctx, ctx.pivot, row_filter, corpus=options.task_corpus, where=where, answered=True)
        if lang == ctx.pivot:
            problems = ((prompt.id, prompt.question, prompt.answer) for prompt in published)
        elif has_language(ctx, options.task_corpus, lang):
            answers = {prompt.id: prompt.answer for prompt in published}
            found = read_prompts(ctx, lang, row_filter, corpus=options.task_corpus, where=where)
            problems = ((prompt.id, prompt.question, answers[prompt.id]) for prompt in found if prompt.id in answers)
        else:
            parts = translate_prompts(ctx, published, lang, count, row_filter, where=where, spare=options.spare, parts=("question",))
            problems = ((own.id, own.question, prompt.answer) for prompt, own in parts)
        for number, question, answer in problems:
            yield Example(ask(question), answer, ctx.pivot, f"augmentation-{lang}-{number}", "augmentation")


METHOD = EncoderMerge
