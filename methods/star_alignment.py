"""Star alignment (BayLing 2): every language tied to one or two hubs by translation both ways, with instructions only in the hubs.

Source: Zhang et al. 2024 (arXiv:2411.16300), ictnlp/BayLing at 8f6ecb9, which publishes neither data nor mix.

As in the paper: instructions in the hubs and none in other languages; translation between each hub and each language, both ways, and
between the hubs; BayLing 1's interactive and constrained translation.
Different: the shares of the mix are ours, and so are the wordings. Constrained and interactive rows are made from parallel text: a word
pair that the lexicon and the sentences have, and a draft that lacks a word. The pivot alone is the hub by default; the paper has English
and Chinese. A language without a lexicon has plain translations in place of the constrained rows. One whose sentences contain too few known
word pairs gets fewer rows, with a warning. Nothing is generated or translated, so a language needs only parallel text.
Missing: the paper's 3.2 million instructions in more than a hundred languages, and any cross-lingual kind of rows beyond translation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from pydantic import Field

from xlift.harness.plugin import (
    Context,
    Direction,
    Example,
    LanguageCode,
    LeakError,
    Lexicon,
    Method,
    Options,
    Plan,
    Reading,
    RowFilter,
    UserError,
    build_constrained,
    build_revisions,
    build_translations,
    collect_wordings,
    index_by_english,
    list_pairs,
    read_instructions,
    read_lexicon,
    read_pairs,
    split_budget,
    take,
)

EDGE_KINDS = ("translation", "constrained", "interactive")
Edge = tuple[str, str]
"""A hub and another language."""


class StarAlignmentOptions(Options):
    """Shares are parts of the budget and must add up to 1; a part with share 0 is off."""

    SHARES = ("instructions", "translation", "constrained", "interactive")

    rows: int = Field(ge=1)
    """The budget in rows, if the suite sets none."""
    hubs: tuple[LanguageCode, ...]
    """The pivot or trained languages; the pivot alone if the list is empty."""
    instructions: float = Field(ge=0, le=1)
    """The share of instructions, split evenly over the hubs."""
    translation: float = Field(ge=0, le=1)
    """The share of plain translations. It is split evenly over the edges, and so are the next two: each hub with each other language, and
    the hubs with each other."""
    constrained: float = Field(ge=0, le=1)
    """The share of translations with a given word pair, which both sentences and the lexicon have."""
    interactive: float = Field(ge=0, le=1)
    """The share of rows in which a draft is revised to contain a given word: another published wording, or else the translation without
    that word."""
    direction: Direction
    """The direction of translation: from the hub, to it, or both in turn."""
    instruction_corpus: str
    translation_corpus: str
    lexicon_corpus: str
    max_characters: int = Field(ge=1)
    """Longer rows are dropped and counted."""
    max_length_ratio: float = Field(gt=1)
    """Pairs whose lengths in characters differ by more than this ratio are dropped as misaligned."""


class StarAlignment(Method[StarAlignmentOptions]):
    """Translation along the edges of a star, and instructions at its centre."""

    Options = StarAlignmentOptions
    version = 2

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        options = self.options
        hubs = self._choose_hubs(pivot, languages)
        found = [Reading(options.instruction_corpus, hub) for hub in hubs] if options.instructions else []
        tied = tuple(dict.fromkeys((*hubs, *languages)))
        if any(getattr(options, kind) for kind in EDGE_KINDS):
            found += list_pairs(options.translation_corpus, tied)
        if options.constrained:
            found += list_pairs(options.lexicon_corpus, tied, "plain translations stand in")
        return found

    def _choose_hubs(self, pivot: str, languages: Sequence[str]) -> tuple[str, ...]:
        """Raises UserError for a hub that is neither the pivot nor trained, or that is named twice."""
        hubs = self.options.hubs or (pivot,)
        if unknown := [hub for hub in hubs if hub not in (pivot, *languages)]:
            raise UserError(f"star_alignment: hubs: {unknown[0]!r} is neither the pivot nor a trained language")
        if len(set(hubs)) < len(hubs):
            raise UserError(f"star_alignment: hubs: {', '.join(hubs)} names one twice")
        return hubs

    def prepare(self, ctx: Context) -> Plan:
        options = self.options
        row_filter = RowFilter(options.max_characters, options.max_length_ratio)
        hubs = self._choose_hubs(ctx.pivot, ctx.languages)
        edges = [*((hub, lang) for lang in ctx.languages if lang not in hubs for hub in hubs), *combinations(hubs, 2)]
        if not edges:
            raise UserError("star_alignment: hubs: no language is left to tie to the hub")
        shares: dict[tuple[str, Edge], float] = {("instructions", (hub, hub)): options.instructions / len(hubs) for hub in hubs}
        shares |= {(kind, edge): getattr(options, kind) / len(edges) for kind in EDGE_KINDS for edge in edges}
        counts = split_budget(ctx.budget or options.rows, shares)
        rows: list[Example] = []
        for hub in hubs:
            if count := counts.get(("instructions", (hub, hub))):
                found = read_instructions(ctx, hub, row_filter, corpus=options.instruction_corpus, kind="instructions")
                rows += take(found, count, f"{hub}/instructions", row_filter.drops)
        linked = any(kind in EDGE_KINDS for kind, _ in counts)
        texts = {hub: index_by_english(ctx, options.translation_corpus, hub) for hub in hubs if hub != "en" and linked}
        for edge in edges:
            wanted = {kind: counts[kind, edge] for kind in EDGE_KINDS if (kind, edge) in counts}
            rows += self._connect(ctx, edge, wanted, texts.get(edge[0]), "en" in hubs, row_filter) if wanted else []
        ctx.rng.shuffle(rows)
        return Plan(tuple(rows), drops=dict(row_filter.drops), facts={"edges": len(edges), "passed over": dict(row_filter.notes)})

    def _connect(
        self, ctx: Context, edge: Edge, wanted: Mapping[str, int], texts: Mapping[str, str] | None, spare: bool, row_filter: RowFilter
    ) -> list[Example]:
        """The rows of one edge. Each pair is used for one of them. With ``spare``, a second hub may share no text with a language."""
        options, (hub, lang), rows = self.options, edge, list[Example]()
        try:
            pairs = list(read_pairs(ctx, options.translation_corpus, hub, lang, texts))
        except LeakError:
            raise
        except UserError:
            if hub == "en" or not spare:
                raise
            for kind, count in wanted.items():
                row_filter.drop(f"{lang}/{kind}", "corpus too small", count)
            row_filter.notes[f"{lang}: no text with {hub}"] += 1
            return []
        lexicon = self._read_lexicon(ctx, edge) if "constrained" in wanted else None
        if lexicon is None and "constrained" in wanted:
            wanted = self._reallocate(wanted, lang, row_filter)
        left, direction = iter(pairs), options.direction
        for kind, count in wanted.items():
            if kind == "translation":
                found = build_translations(left, hub, lang, row_filter, kind=kind, direction=direction)
            elif kind == "interactive":
                wordings = collect_wordings(pairs, hub, lang)
                found = build_revisions(list(left), hub, lang, wordings, row_filter, ctx.rng, kind=kind, direction=direction)
            elif lexicon is not None:
                found = build_constrained(left, hub, lang, lexicon, row_filter, kind=kind, direction=direction)
            else:
                continue
            rows += take(found, count, f"{lang}/{kind}", row_filter.drops, required=kind == "translation")
        return rows

    def _read_lexicon(self, ctx: Context, edge: Edge) -> Lexicon | None:
        """The lexicon of an edge; None if one of its languages has none."""
        try:
            return read_lexicon(ctx, self.options.lexicon_corpus, *edge)
        except LeakError:
            raise
        except UserError:
            return None

    def _reallocate(self, wanted: Mapping[str, int], lang: str, row_filter: RowFilter) -> dict[str, int]:
        """The rows of an edge without a lexicon: its constrained rows become plain translations, if there are to be any."""
        count = wanted["constrained"]
        rest = {kind: rows for kind, rows in wanted.items() if kind != "constrained"}
        if "translation" not in rest:
            row_filter.drop(f"{lang}/constrained", "no lexicon", count)
            return rest
        row_filter.notes[f"{lang}/constrained: no lexicon, plain translations instead"] += count
        return {**rest, "translation": rest["translation"] + count}


METHOD = StarAlignment
