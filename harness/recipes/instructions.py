"""Questions with and without answers: reading them, having the model answer them, translating them, and naming a language for the
answer."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import regex

from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import find
from xlift.harness.core.types import CorpusRow, Example, Sampling, ask
from xlift.harness.recipes.budget import take
from xlift.harness.recipes.filters import (
    RowFilter,
    accept_counter,
    find_flaw,
    find_foreign,
    find_mistranslation,
    list_reasons,
    measure_overlap,
)
from xlift.harness.recipes.translation import Pair, shuffle_rows

if TYPE_CHECKING:
    from xlift.harness.recipes.contract import Context

T = TypeVar("T")
U = TypeVar("U")

ANSWER_IN = ("Answer in {language}.", "Please reply in {language}.", "Write the answer in {language}.", "Respond in {language} only.")

QUESTION_ABOUT = "{context}\n\nQuestion: {question}\nAnswer with words of the text alone."
"""How a question about a text is worded, in the one language in which such corpora are used."""


@dataclass(frozen=True)
class Prompt:
    """A question and its answer; the answer is empty if it is not known."""

    id: str
    question: str
    answer: str = ""


@dataclass(frozen=True)
class AnswerRule:
    """How long the model's own answer may be, and when the published one is better."""

    max_tokens: int
    """The most tokens of an answer. One that is cut off there is bad."""
    gold_overlap: float = 0
    """An answer is bad if its word F1 with the published answer is below this; 0 compares nothing."""
    use_gold: bool = False
    """Whether a published answer replaces a bad one."""


@accept_counter
def read_prompts(ctx: Context, lang: str, row_filter: RowFilter, *, corpus: str, where: str, answered: bool = False) -> Iterator[Prompt]:
    """The questions of a corpus, each id once. The corpus has instructions (``instruction``, ``output``), problems (``question``,
    ``answer``) or questions about a text (``context`` too, which is put above the question; the first of several answers counts).

    GSM8K's calculator annotations are removed from answers, and its ``#### 72`` becomes a sentence. Raises UserError for another corpus.
    """
    seen: set[str] = set()
    for row in shuffle_rows(ctx, corpus, lang):
        if "instruction" in row:
            prompt = Prompt(str(row["id"]), str(row["instruction"] or ""), str(row.get("output") or ""))
        elif "question" in row and "context" in row:
            prompt = Prompt(str(row["id"]), QUESTION_ABOUT.format(**row), _read_span(row))
        elif "question" in row:
            prompt = Prompt(str(row["id"]), str(row["question"] or ""), _read_solution(str(row.get("answer") or "")))
        else:
            raise UserError(
                f"{corpus}: has no prompts (its columns are {', '.join(row)}); name a corpus such as alpaca, alpagasus or gsm8k"
            )
        reason = row_filter.find_fault(prompt.question, prompt.answer if answered else "-")
        if prompt.id in seen:
            reason = "duplicate id"
        elif answered and not prompt.answer.strip():
            reason = "no answer"
        if reason:
            row_filter.drop(where, reason)
            continue
        seen.add(prompt.id)
        yield prompt


@accept_counter
def read_prompt_pairs(ctx: Context, source: str, target: str, row_filter: RowFilter, *, corpus: str, where: str) -> Iterator[Pair]:
    """The same prompts in two languages, joined by id, in random order. Raises UserError if the languages share no id."""
    uncounted = RowFilter(row_filter.max_characters)
    known = {prompt.id: prompt.question for prompt in read_prompts(ctx, target, uncounted, corpus=corpus, where=where)}
    found = False
    for prompt in read_prompts(ctx, source, row_filter, corpus=corpus, where=where):
        if prompt.id in known:
            found = True
            yield Pair(prompt.id, prompt.question, known[prompt.id])
        else:
            row_filter.drop(where, "not in both languages")
    if not found:
        raise UserError(
            f"{corpus}: {source!r} and {target!r} share no prompt; name a corpus with one id in all languages, such as gsm8k or alpagasus"
        )


@accept_counter
def read_instructions(ctx: Context, lang: str, row_filter: RowFilter, *, corpus: str, kind: str) -> Iterator[Example]:
    """Instructions or problems with their published answers."""
    for prompt in read_prompts(ctx, lang, row_filter, corpus=corpus, where=f"{lang}/{kind}", answered=True):
        yield Example(ask(prompt.question), prompt.answer, lang, f"{kind}-{lang}-{prompt.id}", kind)


def answer_prompts(
    ctx: Context, prompts: Iterator[Prompt], count: int, rule: AnswerRule, row_filter: RowFilter, *, where: str, spare: float
) -> list[Prompt]:
    """``count`` prompts or more (fewer if too many fail), with the model's own greedy answers in place of the published ones.

    An answer is bad if it is empty, cut off, repetitive, too long, in the wrong language, or too unlike the published one. The filter's
    notes say how many were asked and kept. Raises UserError if all are bad.
    """

    def keep(batch: list[Prompt]) -> list[Prompt]:
        answers = ctx.generate([ask(prompt.question) for prompt in batch], Sampling(max_tokens=rule.max_tokens))
        foreign = find_foreign(ctx, [answer.text for answer in answers], ctx.pivot)
        kept = []
        for prompt, answer, wrong in zip(batch, answers, foreign, strict=True):
            reason = "wrong language" if wrong else find_flaw(answer) or row_filter.find_fault(prompt.question, answer.text)
            if not reason and prompt.answer and measure_overlap(answer.text, prompt.answer) < rule.gold_overlap:
                reason = "unlike the published answer"
            if not reason:
                kept.append(replace(prompt, answer=answer.text.strip()))
            elif rule.use_gold and not row_filter.find_fault(prompt.question, prompt.answer):
                kept.append(prompt)
                row_filter.notes[f"published answers used: {reason}"] += 1
            else:
                row_filter.drop(where, reason)
        row_filter.notes.update({"prompts asked": len(batch), "answers kept": len(kept)})
        return kept

    answered = fill(prompts, count, spare, keep)
    if not answered:
        raise UserError(
            f"{where}: the model gave no answer that can be used{list_reasons(where, row_filter.drops)}; raise max_tokens or name other "
            "prompts"
        )
    return answered


@accept_counter
def translate_prompts(
    ctx: Context, prompts: Iterable[Prompt], target: str, count: int, row_filter: RowFilter,
    *, where: str, spare: float, parts: Sequence[str] = ("question", "answer"),
) -> list[tuple[Prompt, Prompt]]:  # fmt: skip
    """``count`` prompts (fewer if too many fail), each with its translation from the pivot. A part that is not asked for is empty in it.

    A prompt is lost if the translator gave nothing, returned the text unchanged or answered in another language, or if the lengths differ
    too much. Raises UserError if all are lost.
    """

    def keep(batch: list[Prompt]) -> list[tuple[Prompt, Prompt]]:
        columns = {part: ctx.translate([getattr(prompt, part) for prompt in batch], ctx.pivot, target) for part in parts}
        foreign = {part: find_foreign(ctx, [text or "" for text in texts], target) for part, texts in columns.items()}
        kept = []
        for number, prompt in enumerate(batch):
            texts = {part: column[number] or "" for part, column in columns.items()}
            reasons = [find_mistranslation(getattr(prompt, part), text, row_filter.max_length_ratio) for part, text in texts.items()]
            reasons += ["wrong language" for part in parts if foreign[part][number]]
            if reason := next(filter(None, reasons), None):
                row_filter.drop(where, reason)
            else:
                kept.append((prompt, Prompt(prompt.id, texts.get("question", ""), texts.get("answer", ""))))
        return kept

    found = fill(iter(prompts), count, spare, keep)[:count]
    if not found:
        raise UserError(
            f"{where}: no translation from {ctx.pivot!r} to {target!r} can be used{list_reasons(where, row_filter.drops)}; "
            "name another translator"
        )
    return found


def translate_instructions(
    ctx: Context, lang: str, count: int, row_filter: RowFilter, *, corpus: str, kind: str, spare: float
) -> list[Example]:
    """The pivot's instructions with their published answers, both translated: ``count`` of them, or fewer if too many fail."""
    where = f"{lang}/{kind}"
    published = read_prompts(ctx, ctx.pivot, row_filter, corpus=corpus, where=where, answered=True)
    pairs = translate_prompts(ctx, published, lang, count, row_filter, where=where, spare=spare)
    found = (Example(ask(own.question), own.answer, lang, f"{kind}-{lang}-{own.id}", kind) for _, own in pairs)
    return take(found, count, where, row_filter.drops)


def fill(items: Iterator[T], count: int, spare: float, keep: Callable[[list[T]], list[U]]) -> list[U]:
    """The items that ``keep`` accepts, ``count`` or more if there are enough, from at most two attempts.

    The first attempt takes ``spare`` times as many as are needed. The second takes as many as are still lacking at the loss of the first,
    but no more than four times that. If the first left nothing, there is no second.
    """
    first = list(islice(items, min(math.ceil(count * spare), sys.maxsize)))
    kept = keep(first) if first else []
    if kept and len(kept) < count:
        share = max(len(kept) / len(first), 0.25)
        more = list(islice(items, math.ceil((count - len(kept)) * spare / share)))
        kept = [*kept, *(keep(more) if more else [])]
    return kept


def request_language(number: int, question: str, lang: str) -> str:
    """The question with the language of the answer named below it. ``number`` chooses the wording."""
    return f"{question}\n\n{ANSWER_IN[number % len(ANSWER_IN)].format(language=find(lang).name)}"


def _read_span(row: CorpusRow) -> str:
    """The answer to a question about a text, from a plain column or the first of SQuAD's answers."""
    answers = row.get("answers")
    if isinstance(answers, Mapping):
        texts = answers.get("text")
        return str(texts[0]) if isinstance(texts, Sequence) and texts else ""
    return str(row.get("answer") or "")


def _read_solution(text: str) -> str:
    """A GSM8K solution as a person would write it: the annotations teach a notation that no benchmark asks for."""
    plain = regex.sub(r"<<[^<>]*>>", "", text).strip()
    return str(regex.sub(r"\n?#### *(\S[^\n]*)$", lambda found: f"\nThe answer is {found[1].strip()}.", plain)).strip()
