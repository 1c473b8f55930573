"""Query policy (LEAP): for each request that prompt is taken which is expected to serve it best; nothing is trained but the choice.

Source: Nambi et al. 2023 (arXiv:2305.17740, "LEAP"; COLING 2025), of which no code was published; the abstract and summaries were read.

As in the paper: several ways to prompt; a learner that foretells from a query what each would score, so that the best one is taken for each
query; it learns from the scores of training items.
Different: the ways are the profiles below, where the paper also chooses the embedding model and the language model. Features are the text's
length, digits, question mark, lines and hashed triples of characters, where the paper embeds query and context, so that the choice works on
every backend and costs nothing. The learner is a ridge regression for each language and profile, where the paper has a small convolutional
one. What is foretold is ROUGE-L with the published answer. The language is that of the expected answer.
Missing: retrieval, prompts through a similar language, and aggregation; adaptation to feedback in use, as the order of items would then
change scores; and answers that a stronger model adds to the published ones (GPTAnnotator).
Where all profiles score alike on an item, nothing can be learnt from it; a language without other items is left alone, and facts say so.
They hold, from folds of the training items, what the policy, the best single profile, chance and the oracle, the best profile of each item,
would score. Controls: ``choose: static`` takes in each language the profile that is best on the training items, ``random`` any, and
the name of a profile that one. With these beside it the report has the oracle on the benchmark too (``Results.policies``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, Literal

import numpy as np
from pydantic import Field

from xlift.harness.plugin import (
    Context,
    Example,
    InferenceProfile,
    Method,
    Options,
    Plan,
    Policy,
    Reading,
    RowFilter,
    Sampling,
    UserError,
    compare_choices,
    describe_query,
    find,
    fit_ridge,
    fit_static,
    has_language,
    measure_rouge_l,
    read_instructions,
    translate_instructions,
)

HEADER = "Final answer:"
NAMED = "{prompt}\n\nAnswer in LANGUAGE."
PIVOT_FIRST = f'{{prompt}}\n\nAnswer in PIVOT first. Then write "{HEADER}" on a new line, and behind it the answer in LANGUAGE.'


class QueryPolicyOptions(Options):
    """Between what is chosen, and on what the choice is learnt."""

    corpus: str
    """Training questions with answers; translated from the pivot for languages that it lacks."""
    items: int = Field(ge=10)
    """Of each language."""
    max_tokens: int = Field(ge=1)
    profiles: tuple[Literal["plain", "named", "pivot_first"], ...] = Field(min_length=2)
    """``plain`` asks as the task does, ``named`` names the language of the answer, ``pivot_first`` has an answer in the pivot first."""
    choose: Literal["learnt", "static", "random", "named", "pivot_first"]
    """By what is learnt; or a control."""
    ridge: float = Field(gt=0)
    folds: int = Field(ge=2)
    spare: float = Field(ge=1)
    max_characters: int = Field(ge=1)
    max_length_ratio: float = Field(gt=1)


class QueryPolicy(Method[QueryPolicyOptions]):
    """A profile for each request."""

    Options, trains = QueryPolicyOptions, False

    @property
    def is_control(self) -> bool:
        return self.options.choose != "learnt"

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        if self.options.choose in ("named", "pivot_first"):
            return []
        corpus = self.options.corpus
        return [Reading(corpus, pivot), *(Reading(corpus, lang, "the pivot's items are translated", translated=True) for lang in languages)]

    def prepare(self, ctx: Context) -> Plan:
        options = self.options
        if options.choose in ("named", "pivot_first"):
            return Plan((), profile=make_profile(options.choose, ctx))
        profiles = {name: make_profile(name, ctx) for name in options.profiles}
        row_filter = RowFilter(options.max_characters, options.max_length_ratio)
        weights: dict[str, dict[str, tuple[float, ...]]] = {}
        facts: dict[str, Any] = {}
        for lang in ctx.languages:
            if not has_language(ctx, options.corpus, lang):
                ctx.require_translator(ctx.pivot, lang)
        for lang in ctx.languages:
            items = self._read_items(ctx, lang, row_filter)
            features = np.array([describe_query(item.messages[-1]["content"]) for item in items])
            scores = np.array([self._score(ctx, lang, items, profile) for profile in profiles.values()]).T
            facts[lang] = compare_choices(features, scores, options.profiles, options.ridge, options.folds)
            if np.ptp(scores, axis=1).any():
                fitted = fit_static(features, scores) if options.choose == "static" else fit_ridge(features, scores, options.ridge)
                weights[lang] = {name: tuple(round(float(one), 6) for one in fitted[:, at]) for at, name in enumerate(profiles)}
        if not weights:
            raise UserError(f"{options.corpus}: the profiles score alike on each item in each language, so there is nothing to choose by")
        policy = Policy(profiles=profiles, weights=weights, draw=options.choose == "random")
        chosen_on = f"{options.corpus}, {options.items} training items of each language"
        return Plan((), drops=dict(row_filter.drops), policy=policy, chosen_on=chosen_on, facts=facts)

    def _read_items(self, ctx: Context, lang: str, row_filter: RowFilter) -> list[Example]:
        options = self.options
        if has_language(ctx, options.corpus, lang):
            found = list(islice(read_instructions(ctx, lang, row_filter, corpus=options.corpus, kind="items"), options.items))
        else:
            found = translate_instructions(ctx, lang, options.items, row_filter, corpus=options.corpus, kind="items", spare=options.spare)
        if len(found) < 2 * options.folds:
            raise UserError(f"{options.corpus}: {len(found)} items in {lang!r} that can be used; {options.folds} folds need two each")
        return found

    def _score(self, ctx: Context, lang: str, items: Sequence[Example], profile: InferenceProfile) -> list[float]:
        """ROUGE-L of what one profile has the model answer to each item."""
        chats = [profile.ask(item.messages, lang) for item in items]
        answers = ctx.generate(chats, profile.sample(Sampling(max_tokens=self.options.max_tokens)))
        said = [profile.extract(answer.text, lang) or answer.text for answer in answers]
        return [measure_rouge_l(text, item.response) for text, item in zip(said, items, strict=True)]


def make_profile(name: str, ctx: Context) -> InferenceProfile:
    """A profile for the trained languages; the plain one changes nothing."""
    if name == "plain":
        return InferenceProfile()
    text = {"named": NAMED, "pivot_first": PIVOT_FIRST}[name].replace("PIVOT", find(ctx.pivot).name)
    prompt = {lang: text.replace("LANGUAGE", find(lang).name) for lang in ctx.languages}
    if name == "named":
        return InferenceProfile(prompt=prompt)
    header = dict.fromkeys(ctx.languages, HEADER)
    return InferenceProfile(prompt=prompt, header=header, without_header="whole", token_factor=2.0, min_tokens=128, stops=())


METHOD = QueryPolicy
