"""Knowledge alignment: the states of an entity's names in two languages, and of facts and their objects, are drawn to each other.

Source: Hou et al. 2022 (arXiv:2210.13617, "Adapters for Enhanced Modeling of Multilingual Knowledge and Text"), yifan-h/Multilingual_Space
at a0bb48e.

As in the paper: in-batch InfoNCE on mean-pooled last states, of entity pairs (the two names of one entity) and of triples (subject and
relation against the object, in different languages).
Different: the paper trains four adapters separately in encoders such as XLM-R and fuses them by a fifth training; here one LoRA in a causal
model learns both kinds of rows. The temperature of the paper's loss is not known to us, and 0.05 is ours. Names are those of DBP-5L; the
code has those of Wikidata. The languages of object and subject are the pivot and another in turn; the code draws both at random. Only
triples whose object has a name in both languages can be used. Rows that share a name are no negative examples of each other. Pairs whose
names are the same in both languages teach nothing, so they are left out and counted. The last state is the one after the final norm.
The trap of the code: ranks start at 0 and ``hit@k`` counts ranks up to k, so that its hit@1 is hit@2. Nothing here is scored in that way.
In its logs, entity pairs alone align better than the fusion, and triples alone align worst.
Missing: descriptions of entities and sentences of T-REx, the other two adapters, for which there are no data here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from xlift.harness.plugin import (
    Align,
    Context,
    Method,
    Options,
    Pair,
    Parallel,
    Plan,
    Reading,
    RowFilter,
    Term,
    UserError,
    list_pairs,
    pair_texts,
    read_pairs,
    require_batch,
    shuffle_rows,
    split_budget,
)

HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


class KnowledgeAlignmentOptions(Options):
    """Shares are parts of the budget in rows and must add up to 1; a part with share 0 is off."""

    SHARES = ("entities", "triples")

    rows: int = Field(ge=1)
    """The budget in rows, if the suite sets none."""
    entities: float = Field(ge=0, le=1)
    """The share of pairs of an entity's two names, split evenly over the languages."""
    triples: float = Field(ge=0, le=1)
    """The share of facts, subject and relation against the object, split evenly over the languages."""
    entity_corpus: str
    triple_corpus: str
    layer: float
    """A share of the depth, or the number of a state; -1 is the last."""
    pool: Literal["last", "mean"]
    temperature: float = Field(gt=0)
    symmetric: bool
    batch: int = Field(ge=2)
    """The most rows that are contrasted with each other."""
    shuffled: bool
    """Whether each name is put beside that of another entity, as a control."""
    max_characters: int = Field(ge=1)


class KnowledgeAlignment(Method[KnowledgeAlignmentOptions]):
    """Entities and facts across languages, by contrast."""

    Options = KnowledgeAlignmentOptions

    @property
    def is_control(self) -> bool:
        return self.options.shuffled

    @property
    def states(self) -> tuple[float, ...]:
        return (self.options.layer,)

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        options = self.options
        triples = [Reading(options.triple_corpus, lang) for lang in (pivot, *languages)] if options.triples else []
        return list_pairs(options.entity_corpus, (pivot, *languages)) + triples

    def prepare(self, ctx: Context) -> Plan:
        options, row_filter = self.options, RowFilter(self.options.max_characters)
        shares = {
            (kind, lang): share / len(ctx.languages)
            for kind, share in (("entities", options.entities), ("triples", options.triples))
            for lang in ctx.languages
        }
        rows: list[Parallel] = []
        for (kind, lang), count in split_budget(ctx.budget or options.rows, shares).items():
            if kind == "entities":
                pairs = read_pairs(ctx, options.entity_corpus, ctx.pivot, lang)
                rows += pair_texts(pairs, ctx.pivot, lang, count, row_filter, kind=kind, shuffled=options.shuffled)
                continue
            # Half with the question in the pivot, half in the language; an odd one goes to the pivot.
            for asked, answered, part in ((ctx.pivot, lang, count - count // 2), (lang, ctx.pivot, count // 2)):
                if part:
                    facts = self._read_facts(ctx, asked, answered, f"{lang}/{kind}", row_filter)
                    rows += pair_texts(facts, asked, answered, part, row_filter, kind=kind, shuffled=options.shuffled)
        require_batch(rows, options.batch)
        ctx.rng.shuffle(rows)
        term = Term("contrastive", (options.layer,), options.pool, temperature=options.temperature, symmetric=options.symmetric)
        return Plan(tuple(rows), Align((term,), batch=options.batch), drops=dict(row_filter.drops))

    def _read_facts(self, ctx: Context, asked: str, answered: str, where: str, row_filter: RowFilter) -> Iterator[Pair]:
        """Subject and relation in one language, and the object's name in the other. Objects without such a name are counted."""
        names = {pair.source: pair.target for pair in read_pairs(ctx, self.options.entity_corpus, asked, answered)}
        found = False
        for row in shuffle_rows(ctx, self.options.triple_corpus, asked):
            if str(row["tail"]) not in names:
                row_filter.drop(where, "object without a name in both languages")
                continue
            found = True
            relation = HUMP.sub(" ", str(row["relation"])).lower()
            yield Pair(f"{asked}-{row['id']}", f"{row['head']}, {relation}", names[str(row["tail"])])
        if not found:
            raise UserError(f"{self.options.triple_corpus}: no object in {asked!r} has a name in {answered!r}; set triples to 0")


METHOD = KnowledgeAlignment
