"""Knowledge triples: facts in each language, and the names of one entity in two, learnt as text (Prix-LM).

Source: Zhou et al. 2022 (arXiv:2110.08443). Its evaluation is luka-group/prix-lm at b244481; its training code was never released.

As in the paper: rows of two sorts, monolingual triples and cross-lingual links of entities, are learnt by causal language modelling. The
head and the relation of a triple are given, and the model learns to write the tail.
Different: the paper makes XLM-R causal and uses special tokens of its own around the parts of a row ([S], [P], [O]); here a chat model
reads "head - relation:" and "name in Language:". DBP-5L's training facts in five languages are used instead of DBpedia's in 87; relations
are DBpedia's English names of properties, split into words. A link whose two names are written alike teaches nothing, so such pairs are
left out, and their share is in the facts of the manifest. Wikipedia's brackets ("(film)") are removed from an answer. Facts that a task of
the suite asks for are left out.
Missing: the paper's own data and constrained decoding; its result tables are not known to us. BMLAMA-17 measures such knowledge here.
Trap: responses are names, so a model may come to answer everything with a name. Watch MGSM and the length of chat answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import regex
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
    ask,
    find,
    list_pairs,
    orient,
    read_pairs,
    shuffle_rows,
    split_budget,
    take,
)


class KnowledgeTriplesOptions(Options):
    """Shares are parts of the budget and must add up to 1; a part with share 0 is off."""

    SHARES = ("triples", "links")

    rows: int = Field(ge=1)
    """The budget in rows, if the suite sets none."""
    triples: float = Field(ge=0, le=1)
    """The share of facts, split evenly over the pivot and the target languages."""
    links: float = Field(ge=0, le=1)
    """The share of links: names of the pivot's entities in a target language and back, in turn, split evenly over the target languages."""
    equal_names: bool
    """Whether links whose two names are written alike are trained on."""
    triple_corpus: str
    link_corpus: str
    """A corpus of pairs with English."""
    max_characters: int = Field(ge=1)
    """Longer rows are dropped and counted."""


class KnowledgeTriples(Method[KnowledgeTriplesOptions]):
    """Facts and names as short questions with short answers."""

    Options = KnowledgeTriplesOptions

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        options = self.options
        triples = [Reading(options.triple_corpus, lang) for lang in (pivot, *languages)] if options.triples else []
        return triples + (list_pairs(options.link_corpus, (pivot, *languages)) if options.links else [])

    def prepare(self, ctx: Context) -> Plan:
        options = self.options
        row_filter = RowFilter(options.max_characters)
        spoken = (ctx.pivot, *ctx.languages)
        shares = {("triples", lang): options.triples / len(spoken) for lang in spoken}
        shares |= {("links", lang): options.links / len(ctx.languages) for lang in ctx.languages}
        rows: list[Example] = []
        for (kind, lang), count in split_budget(ctx.budget or options.rows, shares).items():
            found = self._read_triples(ctx, lang, row_filter) if kind == "triples" else self._read_links(ctx, lang, row_filter)
            rows += take(found, count, f"{lang}/{kind}", row_filter.drops)
        ctx.rng.shuffle(rows)
        return Plan(tuple(rows), drops=dict(row_filter.drops), facts=dict(row_filter.notes))

    def _read_triples(self, ctx: Context, lang: str, row_filter: RowFilter) -> Iterator[Example]:
        for row in shuffle_rows(ctx, self.options.triple_corpus, lang):
            if not {"head", "relation", "tail"} <= row.keys():
                raise UserError(
                    f"{self.options.triple_corpus}: has no facts (its columns are {', '.join(row)}); name a corpus such as triples"
                )
            head, relation, tail = (str(row[column] or "") for column in ("head", "relation", "tail"))
            answer = drop_brackets(tail)
            if reason := row_filter.find_fault(head if relation else "", answer):
                row_filter.drop(f"{lang}/triples", reason)
                continue
            yield Example(ask(f"{head} - {spell_relation(relation)}:"), answer, lang, f"triples-{lang}-{row['id']}", "triples")

    def _read_links(self, ctx: Context, lang: str, row_filter: RowFilter) -> Iterator[Example]:
        pairs = read_pairs(ctx, self.options.link_corpus, ctx.pivot, lang)
        for _, asked, given, pair in orient(pairs, ctx.pivot, lang, "both"):
            answer = drop_brackets(pair.target)
            row_filter.notes[f"{lang}/links: names read"] += 1
            alike = drop_brackets(pair.source).casefold() == answer.casefold()
            row_filter.notes[f"{lang}/links: names written alike"] += alike
            if reason := row_filter.find_fault(pair.source, answer):
                row_filter.drop(f"{lang}/links", reason)
            elif self.options.equal_names or not alike:
                request = ask(f"{pair.source} in {find(given).name}:")
                yield Example(request, answer, given, f"links-{asked}-{given}-{pair.id}", "links")


def spell_relation(name: str) -> str:
    """A property's name as words: ``birthPlace`` becomes ``birth place``."""
    return str(regex.sub(r"(?<=\p{Ll})(?=\p{Lu})", " ", name)).lower()


def drop_brackets(name: str) -> str:
    """A name without what Wikipedia adds to tell it from others: ``Chicago (film)`` becomes ``Chicago``. A name that is only brackets
    stays."""
    return str(regex.sub(r"(?<=\S)\s*\([^()]*\)$", "", name.strip()))


METHOD = KnowledgeTriples
