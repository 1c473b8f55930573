"""Preference pairs from a model's own language imbalance: its answer in the pivot, translated, against its native answer.

Source: Yang et al. 2024 (arXiv:2410.08964, LIDR). Both sides are kept for every language; the released program keeps the pivot-side pairs
of the last language alone. Pairs are joined by prompt id, not by text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import regex
from pydantic import Field

from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import find, languages
from xlift.harness.core.settings import Section
from xlift.harness.core.types import Answer, Chat, Json, Preference, Sampling, ask
from xlift.harness.recipes.contract import Reading
from xlift.harness.recipes.filters import find_foreign
from xlift.harness.recipes.translation import has_language

if TYPE_CHECKING:
    from xlift.harness.recipes.contract import Context

FRAME = (
    "Solve the problem below step by step. Write the whole solution in {language}.\n\n### Problem\n{text}\n\n### Solution in {language}\n"
)
"""The frame names the language twice. Without that, native answers drift into English (LIDR). The wording is ours."""

TARGET, PIVOT = SIDES = ("target_side", "pivot_side")
QUESTIONS = {"reasoning": "question", "general": "instruction"}


class PairOptions(Section):
    """Where the prompts come from and how they are answered."""

    track: Literal["general", "reasoning"]
    """``general`` asks the instruction as it is, ``reasoning`` in a frame that names the language."""
    prompt_corpus: str
    """A training corpus with the same prompts in several languages, under the same ids. A language that it lacks gets the pivot's prompts
    from the suite's translator."""
    prompts: int = Field(ge=1)
    """The number of prompts in one round; each round takes the next ones. Fewer are asked if the suite's row budget needs fewer."""
    max_tokens: int = Field(ge=1)
    """The most tokens of an answer. One that is cut off there makes no pair."""
    one_language: bool
    """Whether a pair whose two answers are in different languages is left out, so that no preference is only for a language."""
    repetition_penalty: float = Field(gt=0)
    spare: float = Field(ge=1)
    """How many prompts are asked for each one that the budget needs, since some translations fail."""

    rows_a_prompt: ClassVar[int] = 2
    """Most rows of a prompt in one language: its pair on the language's side, and that on the pivot's."""


@dataclass(frozen=True)
class Pairs:
    """The result of one round of answering and translating."""

    rows: tuple[Preference, ...]
    drops: Mapping[str, int]
    facts: Mapping[str, Json]
    """For each language: where its prompts are from, the shares of answers in the wrong language and cut short, and the share of pairs
    whose two answers are in different languages (DPO may learn nothing but that), with the number of pairs in which both languages can be
    told. For each side: the same share, and mean lengths in characters."""


Prompts = Mapping[str, Mapping[str, str]]
"""The text of each prompt by its id and by language. A language is missing if the prompt could not be translated."""


def list_prompts(options: PairOptions, pivot: str, languages: Sequence[str]) -> list[Reading]:
    """The corpora that ``make_pairs`` reads."""
    translated = [Reading(options.prompt_corpus, lang, "the pivot's prompts are translated", translated=True) for lang in languages]
    return [Reading(options.prompt_corpus, pivot), *translated]


def make_pairs(ctx: Context, options: PairOptions) -> Pairs:
    """Pairs on the target side and on the pivot side for every target language, mixed, within the row budget.

    A pair is made of answers that are complete, and of translations that are in the language that was asked for. Raises UserError if the
    prompts cannot be read in the pivot, or if too few are left for this round.
    """
    drops: Counter[str] = Counter()
    rows, facts = _make_sides(ctx, options, drops, needed=(ctx.budget or 0) / 2)
    ctx.rng.shuffle(rows)
    rows = rows[: ctx.budget]
    for kind in SIDES:
        facts[kind] = _describe_pairs(ctx, [row for row in rows if row.kind == kind])
    return Pairs(tuple(rows), dict(drops), facts)


def make_twins(ctx: Context, options: PairOptions) -> Pairs:
    """Like ``make_pairs``, but both sides of a prompt and language are one row: the target's pair, with the pivot's as its twin.

    If one side of a prompt makes no pair, the prompt has no row.
    """
    drops: Counter[str] = Counter()
    sides, facts = _make_sides(ctx, options, drops, needed=ctx.budget or 0)
    known = {row.id.removesuffix(f"-{row.kind}"): row for row in sides if row.kind == PIVOT}
    rows = []
    for row in (row for row in sides if row.kind == TARGET):
        name = row.id.removesuffix(f"-{row.kind}")
        if name in known:
            rows.append(replace(row, id=f"{name}-twins", kind="twins", twin=known[name]))
        else:
            drops[f"{row.lang}/twins: no pair in the pivot"] += 1
    # What was lost of the target's pairs was lost of the twins; the pivot's pairs are counted by themselves.
    drops = Counter({where.replace(f"/{TARGET}: ", "/twins: "): count for where, count in drops.items()})
    ctx.rng.shuffle(rows)
    rows = rows[: ctx.budget]
    facts[TARGET] = _describe_pairs(ctx, rows)
    facts[PIVOT] = _describe_pairs(ctx, [row.twin for row in rows if row.twin])
    return Pairs(tuple(rows), dict(drops), facts)


def _make_sides(ctx: Context, options: PairOptions, drops: Counter[str], needed: float) -> tuple[list[Preference], dict[str, Json]]:
    """The pairs of both sides in every language, language by language, and their facts. ``needed`` is the number of pairs of each side; 0
    for all."""
    for lang in ctx.languages:
        ctx.require_translator(ctx.pivot, lang)
        ctx.require_translator(lang, ctx.pivot)
    prompts, translated = _read_prompts(ctx, options, drops, needed)
    answers = {lang: _answer(ctx, options, lang, prompts) for lang in (ctx.pivot, *ctx.languages)}
    rows: list[Preference] = []
    facts: dict[str, Json] = {}
    for lang in (ctx.pivot, *ctx.languages):
        pairs = _pair_language(ctx, options, lang, prompts, answers, drops) if lang != ctx.pivot else []
        source = "translated" if lang in translated else "corpus"
        facts[lang] = {"prompts": source, **_describe_answers(ctx, lang, answers[lang].values()), **_compare_languages(ctx, pairs)}
        rows += _keep_one_language(ctx, pairs, drops) if options.one_language else pairs
    return rows, facts


def _read_prompts(ctx: Context, options: PairOptions, drops: Counter[str], needed: float) -> tuple[Prompts, frozenset[str]]:
    """The prompts of this round, and the languages whose prompts were translated."""
    column, wanted = QUESTIONS[options.track], options.prompts
    if needed:
        wanted = min(wanted, -int(-needed * options.spare // len(ctx.languages)))
    tables: dict[str, dict[str, str]] = {}
    for lang in (ctx.pivot, *ctx.languages):
        if lang != ctx.pivot and not has_language(ctx, options.prompt_corpus, lang):
            continue
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
    prompts = {key: {lang: table[key] for lang, table in tables.items()} for key in chosen}
    lacking = [lang for lang in ctx.languages if lang not in tables]
    for lang in lacking:
        _translate_prompts(ctx, lang, prompts, drops)
    return prompts, frozenset(lacking)


def _translate_prompts(ctx: Context, lang: str, prompts: Mapping[str, dict[str, str]], drops: Counter[str]) -> None:
    """Add the prompts of the pivot in a language that the corpus lacks, translated."""
    found = [text or "" for text in ctx.translate([texts[ctx.pivot] for texts in prompts.values()], ctx.pivot, lang)]
    for texts, text, foreign in zip(prompts.values(), found, find_foreign(ctx, found, lang), strict=True):
        if text.strip() and not foreign:
            texts[lang] = text.strip()
        else:
            drops.update(f"{place}: prompt not translated" for place in (f"{lang}/target_side", f"{ctx.pivot}/pivot_side"))


def _ask(options: PairOptions, lang: str, text: str) -> Chat:
    return ask(FRAME.format(language=find(lang).name, text=text) if options.track == "reasoning" else text)


def _answer(ctx: Context, options: PairOptions, lang: str, prompts: Prompts) -> dict[str, Answer]:
    """The model's answers to the prompts of one language, by the ids of the prompts."""
    sampling = Sampling(max_tokens=options.max_tokens, repetition_penalty=options.repetition_penalty)
    asked = {key: _ask(options, lang, texts[lang]) for key, texts in prompts.items() if lang in texts}
    return dict(zip(asked, ctx.generate(list(asked.values()), sampling), strict=True))


def _pair_language(
    ctx: Context, options: PairOptions, lang: str, prompts: Prompts, answers: Mapping[str, Mapping[str, Answer]], drops: Counter[str]
) -> list[Preference]:
    keys = list(answers[lang])
    pivot, native = ([answers[spoken][key].text.strip() for key in keys] for spoken in (ctx.pivot, lang))
    there, back = ctx.translate(pivot, ctx.pivot, lang), ctx.translate(native, lang, ctx.pivot)
    astray = find_foreign(ctx, [text or "" for text in there], lang), find_foreign(ctx, [text or "" for text in back], ctx.pivot)
    rows: list[Preference] = []
    for place, key in enumerate(keys):
        own, foreign, forward, backward = pivot[place], native[place], there[place], back[place]
        # Translating the answer of "put this into French" would spoil it, so there the pivot answer itself is the better one.
        untouched = asks_for_language(prompts[key][ctx.pivot])
        reason = None
        if not own or not foreign:
            reason = "empty answer"
        elif not (answers[ctx.pivot][key].finished and answers[lang][key].finished):
            reason = "cut off"
        elif forward is None or backward is None:
            reason = "translation failed"
        elif (astray[0][place] and not untouched) or astray[1][place]:
            reason = "translation in the wrong language"
        if reason or forward is None or backward is None:
            drops.update([f"{lang}/target_side: {reason}", f"{ctx.pivot}/pivot_side: {reason}"])
            continue
        better, better_lang = (own, ctx.pivot) if untouched else (forward, lang)
        sides = ((TARGET, lang, better, better_lang, foreign), (PIVOT, ctx.pivot, own, ctx.pivot, backward))
        for kind, asked, chosen, answered, rejected in sides:
            if chosen.strip() == rejected.strip():
                drops[f"{asked}/{kind}: both answers alike"] += 1
            else:
                asking = _ask(options, asked, prompts[key][asked])
                rows.append(Preference(asking, chosen, rejected, answered, f"{key}-{lang}-{kind}", kind))
    return rows


def asks_for_language(prompt: str) -> bool:
    """Whether an English prompt is itself about translating, or names a language to answer in (LIDR lists 88 such ids by hand)."""
    return bool(_LANGUAGE_REQUEST.search(prompt))


_NAMES = "|".join(sorted({regex.escape(language.name.split(" (")[0]) for language in languages().values()}, key=len, reverse=True))
_LANGUAGE_REQUEST = regex.compile(rf"\btranslat(?:e|ed|es|ing|ion|ions)\b|\b(?:in|into|to|from) (?:{_NAMES})\b", regex.IGNORECASE)


def _describe_answers(ctx: Context, lang: str, answers: Iterable[Answer]) -> dict[str, Json]:
    given = list(answers)
    spoken = ctx.identify([answer.text for answer in given])
    return {
        "answers": len(given),
        "off_target": _share(code not in (lang, "und") for code in spoken),
        "cut_short": _share(not answer.finished for answer in given),
    }


def _describe_pairs(ctx: Context, pairs: Sequence[Preference]) -> dict[str, Json]:
    return {
        "pairs": len(pairs),
        **_compare_languages(ctx, pairs),
        "chosen_characters": round(_mean(len(row.chosen) for row in pairs), 1),
        "rejected_characters": round(_mean(len(row.rejected) for row in pairs), 1),
    }


def _compare_languages(ctx: Context, pairs: Sequence[Preference]) -> dict[str, Json]:
    """Of the pairs in which both languages can be told, the share whose answers are in different languages; nothing without pairs."""
    told = [differs for differs in _tell_apart(ctx, pairs) if differs is not None]
    return {"languages_differ": _share(told), "languages_told": len(told)} if pairs else {}


def _tell_apart(ctx: Context, pairs: Sequence[Preference]) -> list[bool | None]:
    """Whether the two answers of each pair are in different languages; None if one of them cannot be told."""
    spoken = zip(ctx.identify([row.chosen for row in pairs]), ctx.identify([row.rejected for row in pairs]), strict=True)
    return [None if "und" in (one, other) else one != other for one, other in spoken]


def _keep_one_language(ctx: Context, pairs: Sequence[Preference], drops: Counter[str]) -> list[Preference]:
    kept = []
    for row, differs in zip(pairs, _tell_apart(ctx, pairs), strict=True):
        if differs:
            drops[f"{row.lang}/{row.kind}: answers in different languages"] += 1
        else:
            kept.append(row)
    return kept


def _share(flags: Iterable[bool]) -> float:
    return round(_mean(flags), 4)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0
