"""Question alignment (QAlign): first translate questions into the pivot, then train the task in the pivot, on one adapter.

Source: Zhu et al. 2024 (arXiv:2401.07817), NJUNLP/QAlign at a65ee63; without the second phase Zhang et al. 2024 (arXiv:2405.13816,
"spontaneous multilingual learners"); with layers and modules SLAM (arXiv:2501.03681, fmm170/SLAM at 6236809), which trains only the
feed-forward part of the first layers.

As in the paper: GSM8K's questions in every language are translated into the pivot, then the task is trained in the pivot alone. Each phase
has a learning-rate schedule of its own.
Different: the papers train on whole corpora, one run after the other; here both phases share one budget, one adapter and one optimiser. A
question is asked in 10 wordings in turn; the paper has one wording. The second phase has GSM8K's own solutions, or instructions. SLAM
trains the weights themselves, as ``train.lora: null`` does; by default a LoRA adapter is trained here. Whether SLAM has two phases is not
known to us.
Missing: MetaMathQA, 395k rows, which is the paper's second phase, and Thai and Bengali questions, which the corpus lacks.
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
    UserError,
    Where,
    build_translations,
    read_instructions,
    read_prompt_pairs,
    split_budget,
    take,
)


class QuestionAlignmentOptions(Options):
    """Shares are parts of the budget and must add up to 1; a part with share 0 is off."""

    SHARES = ("question_translation", "task")

    rows: int = Field(ge=1)
    """The budget in rows, if the suite sets none."""
    question_translation: float = Field(ge=0, le=1)
    """The share of phase 1, questions to translate, split evenly over the languages."""
    task: float = Field(ge=0, le=1)
    """The share of phase 2, pivot questions with their answers."""
    question_corpus: str
    """A corpus with the same questions in every language, under the same ids."""
    task_corpus: str
    max_characters: int = Field(ge=1)
    """Longer rows are dropped and counted."""
    max_length_ratio: float = Field(gt=1)
    """Question pairs whose lengths in characters differ by more than this ratio are dropped as misaligned."""
    layers: tuple[int, ...]
    """The layers that are trained, from 0; -1 is the last. All layers if the list is empty."""
    modules: tuple[str, ...]
    """The modules that are trained; those of ``train.lora`` if the list is empty."""


class QuestionAlignment(Method[QuestionAlignmentOptions]):
    """Questions translated into the pivot, then pivot-language answers."""

    Options = QuestionAlignmentOptions

    @property
    def where(self) -> Where | None:
        chosen = Where(self.options.layers, self.options.modules)
        return chosen if chosen != Where() else None

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        options = self.options
        questions = [Reading(options.question_corpus, lang) for lang in (pivot, *languages)] if options.question_translation else []
        return questions + ([Reading(options.task_corpus, pivot)] if options.task else [])

    def prepare(self, ctx: Context) -> Plan:
        options = self.options
        row_filter = RowFilter(options.max_characters, options.max_length_ratio)
        if options.task and options.task_corpus.startswith("gsm8k") and ctx.pivot != "en":
            raise UserError(
                f"question_alignment: gsm8k has English solutions alone and the pivot is {ctx.pivot!r}; set task to 0 or task_corpus"
            )
        shares = {("question_translation", lang): options.question_translation / len(ctx.languages) for lang in ctx.languages}
        shares["task", ctx.pivot] = options.task
        rows: list[Example] = []
        for (kind, lang), count in split_budget(ctx.budget or options.rows, shares).items():
            if kind == "task":
                found = read_instructions(ctx, lang, row_filter, corpus=options.task_corpus, kind=kind)
                rows += take(found, count, f"{lang}/{kind}", row_filter.drops)
            else:
                rows += self._translate(ctx, kind, lang, count, row_filter)
        ctx.rng.shuffle(rows)
        present = {row.kind for row in rows}
        phases = tuple((kind,) for kind in ("question_translation", "task") if kind in present)
        return Plan(tuple(rows), drops=dict(row_filter.drops), phases=phases, where=self.where)

    def _translate(self, ctx: Context, kind: str, lang: str, count: int, row_filter: RowFilter) -> list[Example]:
        where = f"{ctx.pivot}/{kind}"
        pairs = read_prompt_pairs(ctx, lang, ctx.pivot, row_filter, corpus=self.options.question_corpus, where=where)
        found = build_translations(pairs, lang, ctx.pivot, row_filter, kind=kind)
        return take(found, count, where, row_filter.drops)


METHOD = QuestionAlignment
