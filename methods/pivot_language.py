"""Pivot-language guided generation (PLUG): one answer holds the pivot's instruction and answer, then the answer in the target language.

Source: Zhang et al. 2024 (arXiv:2311.08711), ytyz1307zzh/PLUG at 307a35f.

As in the paper: English instructions with published answers, both also in the target language. The response consists of the pivot's
instruction, the pivot's answer and the target's answer, under the headers of the paper's code. Plain instructions in the pivot are mixed
in. The system turn is the same in training and measuring. An answer without the target's header is empty.
Different: the paper translates instruction and answer in one request to GPT-3.5; here the suite's translator gets them one by one, and
instructions that a corpus has in the target language are taken as they are. Alpagasus prompts with their published answers replace
GPT-4-Alpaca's 52k in each language. The system turn is worded by us, and headers in languages beyond the paper's are ours. Every task's
allowance of tokens is multiplied by three; the paper gives 4096. Rows are dropped if their translation is bad or contains a header.
Missing: how many plain pivot rows the paper mixes in is not known to us. The order of target before pivot, which it tries, is not offered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from xlift.harness.plugin import (
    AnswerRule,
    Context,
    Example,
    InferenceProfile,
    Json,
    LeakError,
    Method,
    Options,
    Plan,
    Prompt,
    Reading,
    RowFilter,
    UserError,
    answer_prompts,
    ask,
    find,
    is_repetitive,
    read_instructions,
    read_prompts,
    split_budget,
    take,
    translate_prompts,
)

KIND = "pivot_language"

WORDINGS = {
    "ar": "الإجابة بالعربية:",
    "bn": "বাংলায় উত্তর:",
    "de": "Antwort auf Deutsch:",
    "en": "English response:",
    "es": "Respuesta en español:",
    "fr": "Réponse en français :",
    "it": "Risposta in italiano:",
    "ja": "日本語での回答：",
    "ko": "한국어 응답:",
    "ru": "Ответ на русском языке:",
    "sw": "Jibu kwa Kiswahili:",
    "th": "คำตอบภาษาไทย:",
    "zh": "中文回复：",
}
"""The headers in the language itself. Those of en, es, it, ko and zh are as in the paper's code; those of the other languages of
X-AlpacaEval are in words of ours. All further ones are made of the language's own name and code."""


class PivotLanguageOptions(Options):
    """Shares are parts of the budget and must add up to 1; a part with share 0 is off."""

    SHARES = ("pivot_language", "pivot_instructions")

    rows: int = Field(ge=1)
    """The budget in rows, if the suite sets none."""
    pivot_language: float = Field(gt=0, le=1)
    """The share of rows that answer in two languages, split evenly over the target languages."""
    pivot_instructions: float = Field(ge=0, lt=1)
    """The share of plain instructions in the pivot."""
    restate: bool
    """Whether the response begins with the instruction in the pivot."""
    answers: Literal["corpus", "self"]
    """Whether the pivot's answers are the published ones or the model's own."""
    prompt_corpus: str
    """Its instructions in the target language are used if it has them under the same ids. Otherwise they are translated."""
    pivot_corpus: str
    """The corpus of the plain instructions."""
    max_tokens: int = Field(ge=1)
    """The most tokens of the model's own answer. One that is cut off is dropped."""
    max_characters: int = Field(ge=1)
    """Rows whose blocks together are longer than this are dropped and counted."""
    max_length_ratio: float = Field(gt=1)
    """Translations whose lengths in characters differ by more than this ratio are dropped."""
    spare: float = Field(ge=1)
    """How many rows are made for each one that is needed, since some translations fail."""
    token_factor: float = Field(ge=1)
    """The factor by which the most new tokens of a task are multiplied, because there are three blocks where the task expects one."""
    min_tokens: int = Field(ge=0)
    """The least allowance of new tokens: the restated instruction is as long as the prompt, however short the answer."""


class PivotLanguage(Method[PivotLanguageOptions]):
    """Responses in two languages, and the profile that asks for them and reads the second."""

    Options = PivotLanguageOptions
    version = 2
    system_turn = True

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        options = self.options
        own = [Reading(options.prompt_corpus, lang, "the pivot's instructions are translated", translated=True) for lang in languages]
        plain = [Reading(options.pivot_corpus, pivot)] if options.pivot_instructions else []
        return [Reading(options.prompt_corpus, pivot), *own, *plain]

    def prepare(self, ctx: Context) -> Plan:
        options = self.options
        row_filter = RowFilter(options.max_characters, options.max_length_ratio)
        shares = {("pivot_instructions", ctx.pivot): options.pivot_instructions}
        shares |= {(KIND, lang): options.pivot_language / len(ctx.languages) for lang in ctx.languages}
        parts = split_budget(ctx.budget or options.rows, shares)
        for kind, lang in parts:
            if kind == KIND:
                ctx.require_translator(ctx.pivot, lang)
        rows: list[Example] = []
        sources: dict[str, str] = {}
        known = {str(row["id"]) for row in ctx.read(options.prompt_corpus, ctx.pivot)}
        for (kind, lang), count in parts.items():
            if kind == KIND:
                questions = self._read_questions(ctx, lang, known)
                sources[lang] = "corpus" if questions else "translated"
                rows += self._make_rows(ctx, lang, count, questions, row_filter)
            else:
                found = read_instructions(ctx, lang, row_filter, corpus=options.pivot_corpus, kind=kind)
                rows += take(found, count, f"{lang}/{kind}", row_filter.drops)
        ctx.rng.shuffle(rows)
        facts: dict[str, Json] = {"instructions": sources, **row_filter.notes}
        return Plan(tuple(rows), drops=dict(row_filter.drops), profile=self._profile(ctx), facts=facts)

    def _profile(self, ctx: Context) -> InferenceProfile:
        return InferenceProfile(
            system={lang: self._system(ctx, lang) for lang in ctx.languages},
            header={lang: name_header(lang) for lang in ctx.languages},
            token_factor=self.options.token_factor,
            min_tokens=self.options.min_tokens,
            stops=(),
        )

    def _system(self, ctx: Context, lang: str) -> str:
        pivot, target = find(ctx.pivot).name, find(lang).name
        first = f"Restate the user's message in {pivot}, then answer" if self.options.restate else "Answer"
        return f"{first} it in {pivot}, and after that give the answer in {target}."

    def _read_questions(self, ctx: Context, lang: str, known: set[str]) -> dict[str, str]:
        """Instructions in the target language by those ids that are ``known``; none if the corpus lacks the language."""
        try:
            uncounted = RowFilter(self.options.max_characters)
            found = read_prompts(ctx, lang, uncounted, corpus=self.options.prompt_corpus, where=f"{lang}/{KIND}")
            return {prompt.id: prompt.question for prompt in found if prompt.id in known}
        except LeakError:
            raise
        except UserError:
            return {}

    def _make_rows(self, ctx: Context, lang: str, count: int, questions: Mapping[str, str], row_filter: RowFilter) -> list[Example]:
        options, where = self.options, f"{lang}/{KIND}"
        prompts, wanted = self._read_prompts(ctx, where, questions, row_filter), math.ceil(count * options.spare)
        if options.answers == "self":
            rule = AnswerRule(options.max_tokens)
            prompts = iter(answer_prompts(ctx, prompts, wanted, rule, row_filter, where=where, spare=options.spare))
        parts = ("answer",) if questions else ("question", "answer")
        pairs = translate_prompts(ctx, prompts, lang, wanted, row_filter, where=where, spare=1, parts=parts)
        return take(self._build_rows(ctx, lang, pairs, questions, row_filter), count, where, row_filter.drops)

    def _read_prompts(self, ctx: Context, where: str, questions: Mapping[str, str], row_filter: RowFilter) -> Iterator[Prompt]:
        # each text comes twice, so half the length is the most that can fit
        most, empty = self.options.max_characters // 2, True
        half = replace(row_filter, max_characters=most)
        for prompt in read_prompts(ctx, ctx.pivot, half, corpus=self.options.prompt_corpus, where=where):
            if questions and prompt.id not in questions:
                continue
            if self.options.answers == "corpus" and not prompt.answer.strip():
                continue  # the corpus never had it: no loss
            if len(prompt.question) + len(prompt.answer) > most and self.options.answers == "corpus":
                row_filter.drop(where, "too long")
                continue
            empty = False
            yield prompt
        if empty:
            raise UserError(
                f"{where}: {self.options.prompt_corpus} has no fitting prompt with an answer in {ctx.pivot!r}; set answers: self, "
                "raise max_characters or name another prompt_corpus"
            )

    def _build_rows(
        self, ctx: Context, lang: str, pairs: Iterable[tuple[Prompt, Prompt]], questions: Mapping[str, str], row_filter: RowFilter
    ) -> Iterator[Example]:
        for there, own in pairs:
            question = questions.get(own.id, own.question)
            response = self._word_response(ctx, lang, there, own.answer)
            reason = row_filter.find_fault(question, response)
            if is_repetitive(own.answer):
                reason = "repetitive"
            elif response.count(name_header(lang)) > 1:
                reason = "header in the text"
            if reason:
                row_filter.drop(f"{lang}/{KIND}", reason)
                continue
            yield Example(ask(question, self._system(ctx, lang)), response, lang, f"{KIND}-{lang}-{there.id}", KIND)

    def _word_response(self, ctx: Context, lang: str, there: Prompt, answer: str) -> str:
        """The pivot's instruction (if it is restated) and answer, then the answer in the target language, each under its header."""
        blocks = [(f"{find(ctx.pivot).name} instruction:", there.question)] if self.options.restate else []
        blocks += [(name_header(ctx.pivot), there.answer), (name_header(lang), answer)]
        return "\n\n".join(f"{header}\n{text.strip()}" for header, text in blocks)


def name_header(lang: str) -> str:
    """The header above an answer in a language. It is unique to the language, and is no part of another language's header."""
    language = find(lang)
    return WORDINGS.get(language.code) or f"{language.own_name} ({language.code}):"


METHOD = PivotLanguage
