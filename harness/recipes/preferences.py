"""Preference pairs from a model's own language imbalance: its answer in the pivot, translated, against its native answer.

Source: Yang et al. 2024 (arXiv:2410.08964, LIDR). Both sides are kept for every language; the released builder keeps the pivot-side
pairs of the last language alone. Pairs are joined by prompt id, not by text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import regex
from pydantic import Field

from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import find, languages
from xlift.harness.core.settings import Section
from xlift.harness.core.types import Answer, Chat, Json, Preference, Sampling, ask

if TYPE_CHECKING:
    from xlift.harness.recipes.contract import Context

FRAME = (
    "Solve the problem below step by step. Write the whole solution in {language}.\n\n### Problem\n{text}\n\n### Solution in {language}\n"
)
"""Without the language's name, twice, native answers drift into English (LIDR); the wording is ours."""

QUESTIONS = {"reasoning": "question", "general": "instruction"}


class PairOptions(Section):
    """Where the prompts come from and how they are answered."""

    track: Literal["general", "reasoning"]
    """general asks the instruction as it stands, reasoning in a frame that names the language."""
    prompt_corpus: str
    """A training corpus that has the same prompts in every language, under the same ids."""
    prompts: int = Field(ge=1)
    """Prompts of one round; each round takes the next ones. Fewer are asked where the suite's row budget needs fewer."""
    max_tokens: int = Field(ge=1)
    """Most tokens of an answer."""
    repetition_penalty: float = Field(gt=0)
    spare: float = Field(ge=1)
    """How many more prompts are asked than the budget needs, as some translations fail."""


@dataclass(frozen=True)
class Pairs:
    """What one round of answering and translating gave."""

    rows: tuple[Preference, ...]
    drops: Mapping[str, int]
    facts: Mapping[str, Json]
    """By language: shares of answers in the wrong language and cut short. By side: mean lengths in characters, and the share of pairs
    whose two answers are in different languages, as DPO may learn that alone."""


def make_pairs(ctx: Context, options: PairOptions) -> Pairs:
    """Pairs on the target and on the pivot side for every target language, mixed, within the row budget.

    Raises UserError where the prompts are not to be had in every language or too few are left for this round.
    """
    prompts = _read_prompts(ctx, options)
    for lang in ctx.languages:
        ctx.require_translator(ctx.pivot, lang)
        ctx.require_translator(lang, ctx.pivot)
    answers = {lang: _answer(ctx, options, lang, [texts[lang] for texts in prompts.values()]) for lang in (ctx.pivot, *ctx.languages)}
    rows: list[Preference] = []
    drops: Counter[str] = Counter()
    for lang in ctx.languages:
        rows += _pair_language(ctx, options, lang, prompts, answers, drops)
    ctx.rng.shuffle(rows)
    rows = rows[: ctx.budget]
    return Pairs(tuple(rows), dict(drops), _describe(ctx, rows, answers))


def _read_prompts(ctx: Context, options: PairOptions) -> dict[str, dict[str, str]]:
    column, wanted = QUESTIONS[options.track], options.prompts
    if ctx.budget:
        wanted = min(wanted, -int(-ctx.budget * options.spare // (2 * len(ctx.languages))))
    tables = {}
    for lang in (ctx.pivot, *ctx.languages):
        rows = ctx.read(options.prompt_corpus, lang)
        if rows and column not in rows[0]:
            raise UserError(f"prompt_corpus {options.prompt_corpus!r} has no column {column!r}, which track {options.track!r} asks for")
        tables[lang] = {str(row["id"]): str(row[column]).strip() for row in rows}
    shared = [key for key in tables[ctx.pivot] if all(table.get(key) for table in tables.values())]
    chosen = shared[ctx.round * options.prompts :][:wanted]
    if not chosen:
        raise UserError(
            f"prompt_corpus {options.prompt_corpus!r}: {len(shared)} prompts are there in every language, none is left for round "
            f"{ctx.round + 1} of {options.prompts} each; lower prompts"
        )
    return {key: {lang: table[key] for lang, table in tables.items()} for key in chosen}


def _ask(options: PairOptions, lang: str, text: str) -> Chat:
    return ask(FRAME.format(language=find(lang).name, text=text) if options.track == "reasoning" else text)


def _answer(ctx: Context, options: PairOptions, lang: str, texts: Sequence[str]) -> list[Answer]:
    sampling = Sampling(max_tokens=options.max_tokens, repetition_penalty=options.repetition_penalty)
    return ctx.generate([_ask(options, lang, text) for text in texts], sampling)


def _pair_language(
    ctx: Context, options: PairOptions, lang: str, prompts: Mapping[str, Mapping[str, str]], answers: Mapping[str, Sequence[Answer]],
    drops: Counter[str],
) -> list[Preference]:  # fmt: skip
    pivot, native = [answer.text.strip() for answer in answers[ctx.pivot]], [answer.text.strip() for answer in answers[lang]]
    there, back = ctx.translate(pivot, ctx.pivot, lang), ctx.translate(native, lang, ctx.pivot)
    rows: list[Preference] = []
    for key, texts, own, foreign, forward, backward in zip(prompts, prompts.values(), pivot, native, there, back, strict=True):
        if not own or not foreign or forward is None or backward is None:
            reason = "translation failed" if own and foreign else "empty answer"
            drops.update([f"{lang}/target_side: {reason}", f"{ctx.pivot}/pivot_side: {reason}"])
            continue
        # Translating the answer of "put this into French" would spoil it, so there the pivot answer itself is the better one.
        untouched = asks_for_language(texts[ctx.pivot])
        better, better_lang = (own, ctx.pivot) if untouched else (forward, lang)
        sides = (("target_side", lang, better, better_lang, foreign), ("pivot_side", ctx.pivot, own, ctx.pivot, backward))
        for kind, asked, chosen, answered, rejected in sides:
            if chosen.strip() == rejected.strip():
                drops[f"{asked}/{kind}: both answers alike"] += 1
            else:
                rows.append(Preference(_ask(options, asked, texts[asked]), chosen, rejected, answered, f"{key}-{lang}-{kind}", kind))
    return rows


def asks_for_language(prompt: str) -> bool:
    """Whether an English prompt is itself about translating or names a language to answer in (LIDR lists 88 such ids by hand)."""
    return bool(_LANGUAGE_REQUEST.search(prompt))


_NAMES = "|".join(sorted({regex.escape(language.name.split(" (")[0]) for language in languages().values()}, key=len, reverse=True))
_LANGUAGE_REQUEST = regex.compile(rf"\btranslat(?:e|ed|es|ing|ion|ions)\b|\b(?:in|into|to|from) (?:{_NAMES})\b", regex.IGNORECASE)


def _describe(ctx: Context, rows: Sequence[Preference], answers: Mapping[str, Sequence[Answer]]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for lang, given in answers.items():
        texts = [answer.text for answer in given]
        spoken = ctx.identify(texts)
        found[lang] = {
            "answers": len(texts),
            "off_target": _share(code not in (lang, "und") for code in spoken),
            "cut_short": _share(not answer.finished for answer in given),
        }
    for kind in ("target_side", "pivot_side"):
        of_kind = [row for row in rows if row.kind == kind]
        differ = zip(ctx.identify([row.chosen for row in of_kind]), ctx.identify([row.rejected for row in of_kind]), strict=True)
        found[kind] = {
            "pairs": len(of_kind),
            "languages_differ": _share(one != other for one, other in differ),
            "chosen_characters": round(_mean(len(row.chosen) for row in of_kind), 1),
            "rejected_characters": round(_mean(len(row.rejected) for row in of_kind), 1),
        }
    return found


def _share(flags: Iterable[bool]) -> float:
    return round(_mean(flags), 4)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0
