"""Multilingual reasoning: word problems with solutions in every language, translated or sampled from the model (MathOctopus).

Source: Chen et al. 2023 (arXiv:2310.20246), microsoft/MathOctopus at 4d385db; the step phrases are those of mCoT (Lai and Nissim 2024,
arXiv:2406.02301, laihuiyuan/mCoT at 20e9a86).

As in the paper: GSM8K's problems in every language, including the pivot, with solutions in the language of the question (questions: own,
the paper's Parallel) or to the pivot's question (questions: pivot, its Cross). The request names the language of the answer. Or as in mCoT:
"Question:", "Answer:" and a phrase that sets the language and asks for steps (frame: steps).
Different: the paper's solutions in other languages are ChatGPT's, 4 to 40 MB for each language, which are not available here. The suite's
translator makes them (answers: translated), or the model itself (answers: sampled): it draws several solutions in the language, and those
that come to the right number are kept, one for each list of equations. That is rejection sampling without outside help; the settings of the
paper's xRFT are not known to us. Translations that lost the number are dropped. The loss is on the solution alone; the paper's code trains
on all tokens, prompt and padding too. GSM8K's calculator annotations are removed; the paper's rows keep them. All languages have the same
number of rows.
Missing: Bengali and Thai questions, which the corpus lacks: a translator makes them. The paper's preference pairs.
Traps: the paper's LoRA row (20.8 on MGSM) has alpha/r of 1/128 and the learning rate of full tuning, so it says nothing about LoRA. Under
the strategy Cross, its code asks the English question in every language, and its table does not say which strategy measured which row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Literal

from pydantic import Field

from xlift.harness.plugin import (
    Chat,
    Context,
    Draws,
    Example,
    Method,
    Options,
    Plan,
    Prompt,
    Reading,
    RowFilter,
    UserError,
    ask,
    comes_to,
    has_language,
    read_final_answers,
    read_prompts,
    request_language,
    solve_problems,
    split_budget,
    take,
    translate_prompts,
)

KIND = "reasoning"

STEPS = {
    "bn": "আসুন ধাপে ধাপে চিন্তা করি।", "de": "Denken wir Schritt für Schritt.", "en": "Let's think step by step.",
    "es": "Pensemos paso a paso.", "fr": "Réfléchissons étape par étape.", "ja": "段階的に考えてみましょう。",
    "ru": "Давайте думать поэтапно.", "sw": "Hebu fikiria hatua kwa hatua.", "te": "అంచెలంచెలుగా ఆలోచిద్దాం.",
    "th": "ลองคิดทีละขั้นตอน", "zh": "让我们一步步思考。",
}  # fmt: skip
"""mCoT's phrases (data/prompt.txt)."""


class MultilingualReasoningOptions(Options):
    """Where questions and solutions come from, and how they are asked for."""

    rows: int = Field(ge=1)
    """The budget in rows, if the suite sets none."""
    questions: Literal["own", "pivot"]
    """Whether a question is in the language of its solution, or in the pivot."""
    answers: Literal["translated", "sampled"]
    """Whether the solutions in the other languages are translations of the pivot's, or the model's own, drawn and checked."""
    frame: Literal["request", "steps"]
    """Whether the request names the language of the answer, or ends in a phrase of mCoT's, which eleven languages have."""
    problem_corpus: str
    samples: int = Field(ge=1)
    """The number of draws of a problem."""
    temperature: float = Field(gt=0)
    max_tokens: int = Field(ge=1)
    """The most tokens of a draw. One that is cut off is dropped."""
    spare: float = Field(gt=0)
    """How many problems are asked for each row that is needed. A problem gives as many rows as it has different right solutions."""
    max_characters: int = Field(ge=1)
    max_length_ratio: float = Field(gt=1)
    """Translations whose lengths in characters differ by more than this ratio are dropped."""


class MultilingualReasoning(Method[MultilingualReasoningOptions]):
    """Problems and solutions in all languages alike."""

    Options = MultilingualReasoningOptions

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        corpus, own = self.options.problem_corpus, languages if self.options.questions == "own" else ()
        return [Reading(corpus, pivot), *(Reading(corpus, lang, "the pivot's problems are translated", translated=True) for lang in own)]

    def prepare(self, ctx: Context) -> Plan:
        options = self.options
        row_filter = RowFilter(options.max_characters, options.max_length_ratio)
        spoken = (ctx.pivot, *ctx.languages)
        if ctx.pivot != "en" and options.problem_corpus.startswith("gsm8k"):
            raise UserError(f"multilingual_reasoning: gsm8k has English solutions alone and the pivot is {ctx.pivot!r}; set problem_corpus")
        if options.frame == "steps" and (lacking := [lang for lang in spoken if lang not in STEPS]):
            raise UserError(
                f"multilingual_reasoning: no step phrase in {', '.join(lacking)}, only in {', '.join(STEPS)}; set frame: request"
            )
        for lang in ctx.languages:
            if self._list_translated(ctx, lang):
                ctx.require_translator(ctx.pivot, lang)
        numbers = read_final_answers(ctx, options.problem_corpus)
        rows: list[Example] = []
        for lang, count in split_budget(ctx.budget or options.rows, dict.fromkeys(spoken, 1 / len(spoken))).items():
            rows += take(self._make_rows(ctx, lang, count, numbers, row_filter), count, f"{lang}/{KIND}", row_filter.drops)
        ctx.rng.shuffle(rows)
        return Plan(tuple(rows), drops=dict(row_filter.drops), facts=dict(row_filter.notes))

    def _list_translated(self, ctx: Context, lang: str) -> list[str]:
        """The parts of the pivot's problems that have to be translated for a language."""
        own = self.options.questions == "own" and not has_language(ctx, self.options.problem_corpus, lang)
        return [*(["question"] if own else []), *(["answer"] if self.options.answers == "translated" else [])]

    def _make_rows(self, ctx: Context, lang: str, count: int, numbers: Mapping[str, Decimal], row_filter: RowFilter) -> Iterable[Example]:
        options, where = self.options, f"{lang}/{KIND}"
        parts = self._list_translated(ctx, lang) if lang != ctx.pivot else []
        asked_in = ctx.pivot if options.questions == "pivot" or "question" in parts else lang
        problems = read_prompts(ctx, asked_in, row_filter, corpus=options.problem_corpus, where=where, answered=True)
        problems = (problem for problem in problems if problem.id in numbers)
        wanted = math.ceil(count * options.spare)
        if parts:
            pairs = translate_prompts(ctx, problems, lang, wanted, row_filter, where=where, spare=1, parts=parts)
            problems = (Prompt(own.id, own.question or there.question, own.answer or there.answer) for there, own in pairs)
        if lang == ctx.pivot or options.answers == "translated":
            return self._word_rows(lang, problems, numbers, row_filter)
        requests = ((problem, self._ask(problem.question, lang, at)) for at, problem in enumerate(problems))
        draws = Draws(options.samples, options.temperature, options.max_tokens, options.spare)
        solved = solve_problems(ctx, requests, numbers, lang, count, draws, row_filter, where)
        ids = (f"{KIND}-{lang}-{problem.id}-{at}" for at, (problem, _, _) in enumerate(solved))
        return [Example(chat, text, lang, identity, KIND) for identity, (_, chat, text) in zip(ids, solved, strict=True)]

    def _word_rows(self, lang: str, problems: Iterable[Prompt], numbers: Mapping[str, Decimal], row_filter: RowFilter) -> Iterator[Example]:
        for at, problem in enumerate(problems):
            if comes_to(problem.answer, lang, numbers[problem.id]):
                yield Example(self._ask(problem.question, lang, at), problem.answer, lang, f"{KIND}-{lang}-{problem.id}", KIND)
            else:
                row_filter.drop(f"{lang}/{KIND}", "another number")

    def _ask(self, question: str, lang: str, number: int) -> Chat:
        steps = f"Question:\n{question}\nAnswer:\n{STEPS.get(lang)}"
        return ask(steps if self.options.frame == "steps" else request_language(number, question, lang))


METHOD = MultilingualReasoning
