"""Inference-time intervention (INCLINE): nothing is trained; a language's states are moved towards the pivot's while the base answers.

Source: Wang et al. 2024 (arXiv:2410.12462, "INCLINE"), weixuan-wang123/INCLINE at b1feff1; with other options language vectors, of which no
single source is known to us.

As in the paper: for each layer, the least squares map W from a language's mean states to the pivot's is fitted on 500 parallel lines. At
the last token of a prompt, a state h becomes h + sigma * h W.
Different: sigma is the value with which held-out translations from the pivot are likeliest, and is never chosen on a test; every value may
be worse than no move, which the facts then show. States are what layers put out, as in the paper's text; the code moves what the MLPs put
out. Three layers are moved; the code moves every layer. The language of a request's answer decides which map it gets.
Missing: the paper's other places (attention, embeddings) and its comparison of them.
Traps of the code: sigma is varied from -1 to 1 on the test items. The script for Llama has the opposite sign. "-0.3-0.2" in the list of
sigmas is -0.5. Every second line is followed by the English line on both sides. Accuracy is that of teacher-forced tokens, so that the
answer is shown. With fewer lines than dimensions the fit is an interpolation, exact on its lines.
Language vectors: ``move: vector`` adds the language's mean state minus the pivot's, with ``positions: answer`` to all tokens of the answer.
With ``random: true``, the control, what is added is random and of the same size, with the strength of the real one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from xlift.harness.plugin import (
    Context,
    Method,
    Options,
    Pair,
    Plan,
    Reading,
    RowFilter,
    Steer,
    UserError,
    ask_translation,
    list_pairs,
    read_pairs,
)


class InferenceInterventionOptions(Options):
    """What is moved, where, and from which lines it is learnt."""

    corpus: str
    """Parallel text."""
    sentences: int = Field(ge=2)
    """The number of lines of each language from which maps and vectors are made."""
    held_out: int = Field(ge=1)
    """The number of further lines, on which the strength is chosen."""
    move: Literal["map", "vector"]
    layers: tuple[int | float, ...] = Field(min_length=1)
    """The layers whose states are moved: each a share of the depth, or the number of the layer."""
    positions: Literal["prompt", "answer"]
    """Only the last token of a prompt, or the answer's tokens too."""
    strengths: tuple[float, ...] = Field(min_length=1)
    """The strengths (sigma) among which one is chosen for each language."""
    tasks: tuple[str, ...]
    """Beginnings of the names of the tasks whose states are moved; all tasks if the list is empty."""
    random: bool
    """Whether random moves are made instead, as a control."""
    max_characters: int = Field(ge=1)
    max_length_ratio: float = Field(gt=1)

    @field_validator("strengths")
    @classmethod
    def _move(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if 0 in value:
            raise UserError("strengths: 0 moves nothing, and is looked at anyway")
        return value


class InferenceIntervention(Method[InferenceInterventionOptions]):
    """Maps or vectors of hidden states, by language."""

    Options, trains, backends = InferenceInterventionOptions, False, ("hf",)

    @property
    def is_control(self) -> bool:
        return self.options.random

    @property
    def states(self) -> tuple[int | float, ...]:
        return self.options.layers

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        return list_pairs(self.options.corpus, (pivot, *languages))

    def prepare(self, ctx: Context) -> Plan:
        options = self.options
        row_filter = RowFilter(options.max_characters, options.max_length_ratio)
        chance = np.random.default_rng(ctx.rng.randrange(2**32))
        strengths: dict[str, float] = {}
        arrays: dict[str, NDArray[Any]] = {}
        facts: dict[str, Any] = {}
        for lang in ctx.languages:
            pairs = self._read_lines(ctx, lang, row_filter)
            learnt, held_out = pairs[: -options.held_out], pairs[-options.held_out :]
            pivot = ctx.read_states([pair.source for pair in learnt], options.layers, "mean")
            other = ctx.read_states([pair.target for pair in learnt], options.layers, "mean")
            made = fit_maps(other, pivot) if options.move == "map" else fit_vectors(other, pivot)
            found = self._try_strengths(ctx, lang, made, held_out)
            strengths[lang] = max(options.strengths, key=found.__getitem__)
            arrays[lang] = draw_like(made, chance) if options.random else made
            facts[lang] = {"lines": len(learnt), "held-out log-probability by strength": {f"{at:g}": one for at, one in found.items()}}
        steer = Steer(layers=options.layers, strengths=strengths, positions=options.positions, tasks=options.tasks)
        chosen_on = f"{options.corpus}, {options.held_out} held-out lines of each language"
        return Plan((), drops=dict(row_filter.drops), steer=steer, arrays=arrays, chosen_on=chosen_on, facts=facts)

    def _read_lines(self, ctx: Context, lang: str, row_filter: RowFilter) -> list[Pair]:
        options, found = self.options, list[Pair]()
        for pair in read_pairs(ctx, options.corpus, ctx.pivot, lang):
            if len(found) == options.sentences + options.held_out:
                break
            if reason := row_filter.find_pair_fault(pair.source, pair.target):
                row_filter.drop(f"{lang}/lines", reason)
            else:
                found.append(pair)
        if len(found) < 2 + options.held_out:
            raise UserError(f"{options.corpus}: {len(found)} lines in {lang!r} that can be used; lower held_out ({options.held_out})")
        return found

    def _try_strengths(self, ctx: Context, lang: str, made: NDArray[Any], lines: Sequence[Pair]) -> dict[float, float]:
        """The mean log-probability of held-out translations from the pivot, by strength. Strength 0 is no move."""
        options = self.options
        chats, answers = [ask_translation(0, ctx.pivot, lang, pair.source) for pair in lines], [pair.target for pair in lines]
        found = {0.0: float(np.mean(ctx.score(chats, answers)))}
        for strength in options.strengths:
            steer = Steer(layers=options.layers, strengths={lang: strength}, positions=options.positions)
            found[strength] = float(np.mean(ctx.score(chats, answers, steer, {lang: made}, lang)))
        return found


def fit_maps(states: NDArray[Any], wanted: NDArray[Any]) -> NDArray[Any]:
    """The least squares map of each layer (layers, hidden, hidden) from ``states`` to ``wanted``, both (lines, layers, hidden)."""
    fitted = [np.linalg.lstsq(states[:, at], wanted[:, at], rcond=None)[0] for at in range(states.shape[1])]
    return np.ascontiguousarray(np.stack(fitted), dtype=np.float32)


def fit_vectors(states: NDArray[Any], base: NDArray[Any]) -> NDArray[Any]:
    """How far the mean of ``states`` is from that of ``base`` in each layer (layers, hidden). Both are (lines, layers, hidden)."""
    return np.ascontiguousarray(states.mean(axis=0) - base.mean(axis=0), dtype=np.float32)


def draw_like(made: NDArray[Any], chance: np.random.Generator) -> NDArray[Any]:
    """Random numbers in the shape of an array, with the same norm in each layer."""
    drawn = chance.standard_normal(made.shape)
    sizes = [np.linalg.norm(one) / np.linalg.norm(other) for one, other in zip(made, drawn, strict=True)]
    return np.stack([one * size for one, size in zip(drawn, sizes, strict=True)]).astype(np.float32)


METHOD = InferenceIntervention
