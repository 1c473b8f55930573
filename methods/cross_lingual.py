"""Cross-lingual instruction tuning: x-LLaMA's CoIT for one language, m-LLaMA's MuIT for many.

Source: Zhu et al. 2023 (arXiv:2308.04948), NJUNLP/x-LLM. Pivot instructions, the same kind of instructions in the target language and
translation from the pivot into it, shuffled. The paper concatenates whole corpora; here each part has a share of one budget, so that
methods stay comparable. MuIT splits the translation rows evenly over the languages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from xlift.harness.plugin import Context, Example, Method, Options, Plan, UserError, ask, find

# Wordings of our own; x-LLaMA goes round 33 of its own in the same way.
REQUESTS = (
    "Translate this text from {source} into {target}:\n{text}",
    "Please give me the {target} version of the following {source} sentence.\n\n{text}",
    "How would you say this in {target}?\n{text}",
    "Below is a sentence in {source}. Write it in {target}.\n\n{text}",
    "{text}\n\nRender the sentence above in {target}.",
    "I need a {target} translation of the {source} text that follows. Reply with the translation only.\n\n{text}",
    "Turn this {source} sentence into natural {target}: {text}",
    "What is the {target} for the following?\n\n{text}",
    "Translate into {target}, keeping the meaning exact.\n{source}: {text}",
    "You are a translator working from {source} to {target}. Translate:\n\n{text}",
)


class CrossLingualOptions(Options):
    """Shares are parts of the budget and must add up to 1; a part with share 0 is off."""

    rows: int = Field(3000, ge=1)
    """Budget in rows where the suite sets none."""
    pivot_instructions: float = Field(1 / 3, ge=0, le=1)
    target_instructions: float = Field(1 / 3, ge=0, le=1)
    """Split evenly over the target languages, as is the next."""
    translation: float = Field(1 / 3, ge=0, le=1)
    direction: Literal["from_pivot", "to_pivot", "both"] = "from_pivot"
    """The paper finds the target language on the answer side of translation to help most."""
    instruction_corpus: str = "alpaca"
    translation_corpus: str = "parallel"
    max_characters: int = Field(1500, ge=1)
    """Longer rows are dropped and counted."""
    max_length_ratio: float = Field(3.0, gt=1)
    """Translation pairs further apart in characters are dropped as misaligned."""


class CrossLingual(Method[CrossLingualOptions]):
    """Instructions in two languages and translation between them, as plain supervised rows."""

    Options = CrossLingualOptions

    def prepare(self, ctx: Context) -> Plan:
        shares = self.options.pivot_instructions + self.options.target_instructions + self.options.translation
        if abs(shares - 1) > 1e-6:
            raise UserError(f"cross_lingual: the three shares add up to {shares:.3f}, not 1")
        drops: Counter[str] = Counter()
        rows: list[Example] = []
        for kind, lang, count in self._quotas(ctx):
            part = self._translations(ctx, lang, drops) if kind == "translation" else self._instructions(ctx, kind, lang, drops)
            taken = [row for row, _ in zip(part, range(count), strict=False)]
            if not taken:
                raise UserError(f"cross_lingual: no usable {kind} rows for {lang!r}; set their share to 0 or name another corpus")
            if len(taken) < count:
                drops[f"{lang}/{kind}: corpus too small"] += count - len(taken)
            rows += taken
        ctx.rng.shuffle(rows)
        return Plan(tuple(rows), drops=dict(drops))

    def _quotas(self, ctx: Context) -> Iterator[tuple[str, str, int]]:
        total = ctx.budget or self.options.rows
        parts = [("pivot_instructions", ctx.pivot, self.options.pivot_instructions)]
        for kind, share in (("target_instructions", self.options.target_instructions), ("translation", self.options.translation)):
            parts += [(kind, lang, share / len(ctx.languages)) for lang in ctx.languages]
        spent, due = 0, 0.0
        for kind, lang, share in parts:
            due += share * total
            if count := round(due) - spent:
                spent += count
                yield kind, lang, count

    def _instructions(self, ctx: Context, kind: str, lang: str, drops: Counter[str]) -> Iterator[Example]:
        for row in _shuffled(ctx, self.options.instruction_corpus, lang):
            if reason := self._unfit(row["instruction"], row["output"]):
                drops[f"{lang}/{kind}: {reason}"] += 1
                continue
            yield Example(ask(row["instruction"]), row["output"], lang, f"{kind}-{lang}-{row['id']}", kind)

    def _translations(self, ctx: Context, lang: str, drops: Counter[str]) -> Iterator[Example]:
        if ctx.pivot != "en":
            raise UserError(
                f"cross_lingual: parallel text is to be had with English only, the pivot is {ctx.pivot!r}; set translation to 0"
            )
        directions = {"from_pivot": (True,), "to_pivot": (False,), "both": (True, False)}[self.options.direction]
        kept = 0
        for row in _shuffled(ctx, self.options.translation_corpus, lang):
            pivot, target = str(row["en"]), str(row["text"])
            if reason := self._unfit(pivot, target) or self._misaligned(pivot, target):
                drops[f"{lang}/translation: {reason}"] += 1
                continue
            forward = directions[kept % len(directions)]
            source, answer, answer_lang = (pivot, target, lang) if forward else (target, pivot, ctx.pivot)
            names = find(ctx.pivot).name, find(lang).name
            request = REQUESTS[kept % len(REQUESTS)].format(source=names[not forward], target=names[forward], text=source)
            kept += 1
            yield Example(ask(request), answer, answer_lang, f"translation-{lang}-{row['id']}", "translation")

    def _unfit(self, prompt: str, response: str) -> str | None:
        if not prompt.strip() or not response.strip():
            return "empty"
        if len(prompt) + len(response) > self.options.max_characters:
            return "too long"
        return None

    def _misaligned(self, one: str, other: str) -> str | None:
        if one.strip().casefold() == other.strip().casefold():
            return "not translated"
        if max(len(one), len(other)) > self.options.max_length_ratio * min(len(one), len(other)) + 10:
            return "length ratio"
        return None


def _shuffled(ctx: Context, corpus: str, lang: str) -> Iterator[Mapping[str, Any]]:
    rows = ctx.read(corpus, lang)
    order = list(range(len(rows)))
    ctx.rng.shuffle(order)
    return (rows[index] for index in order)


METHOD = CrossLingual
