"""Linguistically diverse prompts for translation (LDP): exemplars from many languages into the pivot, and with their help out of it.

Source: Nguyen et al. 2023 (arXiv:2306.11372), whose text was not available to us: the idea is theirs, numbers and wording are ours.

As in the paper: sentences of other languages with their pivot translations show the model how to translate into the pivot. With this prompt
it translates sentences of a target language, and these pairs, turned round, show it how to translate out of the pivot. No parallel text of
a target language is used, and nothing is trained.
Different: the exemplars are the parallel sentences that are nearest to one length. If the model is too weak to make them, the suite's
translator can.
Missing: whatever else the paper applies the idea to, and its choice of exemplar languages, which have not been read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Literal

from pydantic import Field

from xlift.harness.plugin import (
    Context,
    InferenceProfile,
    LeakError,
    Method,
    Options,
    Pair,
    Plan,
    Reading,
    Sampling,
    UserError,
    ask,
    ask_translation,
    fill,
    find,
    find_flaw,
    find_foreign,
    find_misalignment,
    list_pairs,
    list_reasons,
    read_pairs,
)

SPARE = 4
"""How many sentences are translated for each one that is needed. There are few, and a weak model spoils many."""

Exemplar = tuple[str, str, str, str]
"""A language and a text, then the language and the text of the translation."""


class LinguisticallyDiversePromptsOptions(Options):
    """Which exemplars are shown."""

    exemplars: int = Field(ge=1)
    """The number of exemplars in a prompt."""
    exemplar_languages: tuple[str, ...]
    """The languages of the exemplars into the pivot, in turn. Those that are trained, or have no parallel text, are skipped."""
    corpus: str
    """A corpus of parallel text. Of a target language, only its own side is used."""
    translations: Literal["model", "translator"]
    """Whether the prompted model itself makes the exemplars, or the suite's translator."""
    characters: int = Field(ge=1)
    """Exemplars are the sentences nearest to this number of characters, measured on the pivot's side if it is given."""
    pool: int = Field(ge=1)
    """The number of sentences among which the exemplars are chosen."""
    max_tokens: int = Field(ge=1)
    """The most tokens of a translation that is made. One that is cut off is dropped."""
    max_length_ratio: float = Field(gt=1)
    """Translations whose lengths in characters differ by more than this ratio are dropped."""


class LinguisticallyDiversePrompts(Method[LinguisticallyDiversePromptsOptions]):
    """A profile without rows, only for FLORES: exemplars before each request to translate."""

    Options = LinguisticallyDiversePromptsOptions
    trains = False

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        options = self.options
        shown = [lang for lang in map(_code, options.exemplar_languages) if lang not in (pivot, *languages)]
        passed = list_pairs(options.corpus, shown, "the language is passed over")
        return list_pairs(options.corpus, (pivot, *languages)) + passed

    def prepare(self, ctx: Context) -> Plan:
        drops: Counter[str] = Counter()
        if self.options.translations == "translator":
            for lang in ctx.languages:
                ctx.require_translator(lang, ctx.pivot)
        shown = {ctx.pivot: self._read_exemplars(ctx, drops)}
        shown |= {lang: self._make_exemplars(ctx, lang, _word(shown[ctx.pivot]), drops) for lang in ctx.languages}
        profile = InferenceProfile(tasks=("xlift_flores",), prompt={lang: _word(exemplars) for lang, exemplars in shown.items()})
        facts = {"exemplars": {lang: [source for source, *_ in exemplars] for lang, exemplars in shown.items()}}
        return Plan((), drops=dict(drops), profile=profile, facts=facts)

    def _read_exemplars(self, ctx: Context, drops: Counter[str]) -> list[Exemplar]:
        """One pair of each language in turn, until there are enough."""
        options = self.options
        named = [lang for lang in map(_code, options.exemplar_languages) if lang not in (ctx.pivot, *ctx.languages)]
        readers: dict[str, Iterator[Pair]] = {}
        found: list[Exemplar] = []
        for lang in named * options.exemplars:
            if len(found) == options.exemplars:
                break
            if lang not in readers:  # not before its turn: reading a corpus takes time
                readers[lang] = self._read_pairs(ctx, lang, drops)
            if pair := next(readers[lang], None):
                found.append((lang, pair.source, ctx.pivot, pair.target))
        if len(found) < options.exemplars:
            raise UserError(
                f"{options.corpus}: {len(found)} exemplars into {ctx.pivot!r} instead of {options.exemplars}; name languages with parallel "
                "text that are not trained as exemplar_languages, or lower exemplars"
            )
        return found

    def _read_pairs(self, ctx: Context, lang: str, drops: Counter[str]) -> Iterator[Pair]:
        try:
            pairs = list(islice(read_pairs(ctx, self.options.corpus, lang, ctx.pivot), self.options.pool))
        except LeakError:
            raise
        except UserError:
            return iter(())  # which languages are shown stands in the plan's facts
        return self._keep_fit(self._choose(pairs, [pair.target for pair in pairs]), lang, drops)

    def _choose(self, pairs: Sequence[Pair], texts: Sequence[str]) -> list[Pair]:
        order = sorted(range(len(pairs)), key=lambda at: abs(len(texts[at]) - self.options.characters))
        return [pairs[at] for at in order]

    def _keep_fit(self, pairs: Iterable[Pair], lang: str, drops: Counter[str]) -> Iterator[Pair]:
        for pair in pairs:
            reason = find_misalignment(pair.source, pair.target, self.options.max_length_ratio)
            if any("\n" in text.strip() or "{prompt}" in text for text in (pair.source, pair.target)):
                reason = "no plain line"
            if reason:
                drops[f"{lang}/exemplars: {reason}"] += 1
            else:
                yield pair

    def _make_exemplars(self, ctx: Context, lang: str, template: str, drops: Counter[str]) -> list[Exemplar]:
        where, options = f"{lang}/exemplars", self.options

        def keep(batch: list[Pair]) -> list[Pair]:
            made = self._translate(ctx, lang, [pair.source for pair in batch], template, drops)
            pairs = [Pair(pair.id, pair.source, text) for pair, text in zip(batch, made, strict=True) if text]
            foreign = find_foreign(ctx, [pair.target for pair in pairs], ctx.pivot)
            drops.update({f"{where}: wrong language": sum(foreign)} if any(foreign) else {})
            return list(self._keep_fit((pair for pair, wrong in zip(pairs, foreign, strict=True) if not wrong), lang, drops))

        known = list(islice(read_pairs(ctx, options.corpus, ctx.pivot, lang), options.pool))
        own = [Pair(pair.id, pair.target, "") for pair in known]  # the given translation is not looked at
        pairs = fill(iter(self._choose(own, [pair.source for pair in own])), options.exemplars, SPARE, keep)[: options.exemplars]
        if len(pairs) < options.exemplars:
            raise UserError(
                f"{where}: {len(pairs)} translations into {ctx.pivot!r} can be used instead of {options.exemplars}"
                f"{list_reasons(where, drops)}; set translations: translator, lower exemplars or name another base"
            )
        return [(ctx.pivot, pair.target, lang, pair.source) for pair in pairs]

    def _translate(self, ctx: Context, lang: str, texts: Sequence[str], template: str, drops: Counter[str]) -> list[str]:
        """A translation of each text into the pivot; empty if there is none."""
        where = f"{lang}/exemplars"
        if self.options.translations == "translator":
            translated = ctx.translate(texts, lang, ctx.pivot)
            drops.update({f"{where}: no translation": failed} if (failed := sum(not text for text in translated)) else {})
            return [text or "" for text in translated]
        requests = [ask_translation(0, lang, ctx.pivot, text)[-1]["content"] for text in texts]
        answers = ctx.generate([ask(template.replace("{prompt}", request)) for request in requests], Sampling(self.options.max_tokens))
        made = []
        for answer in answers:
            first, *chatter = answer.text.strip().splitlines() or [""]
            if reason := find_flaw(replace(answer, text=first.strip(), finished=answer.finished or bool(chatter))):
                drops[f"{where}: {reason}"] += 1
            made.append("" if reason else first.strip())
        return made


def _word(exemplars: Iterable[Exemplar]) -> str:
    lines = [f"{find(source).name}: {text.strip()}\n{find(target).name}: {other.strip()}" for source, text, target, other in exemplars]
    return "\n\n".join(["Here are sentences with their translations.", *lines, "{prompt}"])


def _code(lang: str) -> str:
    return find(lang).code


METHOD = LinguisticallyDiversePrompts
