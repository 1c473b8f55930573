"""Preference gap (MPO): the model learns how much better the better answer is from the same two answers in the pivot.

Source: Zhao et al. 2025 (arXiv:2505.16869, "MPO"), circle-hit/MPO at 7d2a9b0.

As in the paper's code: a row holds a pair in the target language and the same pair in the pivot. The gap is the mean log-probability of the
chosen answer's tokens minus that of the rejected one's. The loss is the squared difference between beta times the target's gap and the gap
that the untouched model has in the pivot, plus the mean squared difference between the pivot's mean last states and what they were.
Different: the paper's pairs are harmful requests that are refused or granted, which do not come with xlift. The pairs here are those of
LIDR (dpo_self_improvement): the pivot's answer, translated, over the native one, and in the pivot the native answer over the translated
one. So what is carried over is a preference for the pivot's content, not safety. LoRA is trained in place of all weights. Rows are drawn
into steps by tokens, and all four answers count in the budget.
Missing: harmful data and the paper's safety benchmarks, so none of its numbers can be compared.
Traps of the code: the mean of the last states includes the padding, so it depends on the other rows of the batch; here it is over a text's
own tokens without the first. Its configurations name the loss "sigmoid", which is not used.
With ``shuffled: true``, the control, each pair has the twin of another prompt: the same gaps in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from xlift.harness.plugin import (
    Context,
    Gap,
    Method,
    Options,
    PairOptions,
    Plan,
    Preference,
    Reading,
    UserError,
    list_prompts,
    make_twins,
)


class PreferenceGapOptions(PairOptions, Options):
    """Prompts and answers are those of PairOptions."""

    beta: float = Field(gt=0)
    keep: float = Field(ge=0)
    """The weight of the term that keeps the pivot's last states as they were; 0 leaves it out."""
    shuffled: bool
    """Whether each pair is put beside the twin of another prompt of its language, as a control."""

    rows_a_prompt: ClassVar[int] = 1


class PreferenceGap(Method[PreferenceGapOptions]):
    """Preference pairs whose gaps are drawn to those of the same pairs in the pivot."""

    Options = PreferenceGapOptions

    @property
    def is_control(self) -> bool:
        return self.options.shuffled

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        return list_prompts(self.options, pivot, languages)

    def prepare(self, ctx: Context) -> Plan:
        pairs = make_twins(ctx, self.options)
        rows = shuffle_twins(pairs.rows, ctx.languages) if self.options.shuffled else pairs.rows
        return Plan(rows, Gap(self.options.beta, self.options.keep), drops=pairs.drops, facts=pairs.facts)


def shuffle_twins(rows: Sequence[Preference], languages: Sequence[str]) -> tuple[Preference, ...]:
    """The rows, each with the twin of the next one of its language. Raises UserError for a language with a single row."""
    found = list(rows)
    for lang in languages:
        places = [at for at, row in enumerate(rows) if row.id.endswith(f"-{lang}-twins")]
        if len(places) == 1:
            raise UserError(f"shuffled: {lang} has one pair, which has no other twin; raise prompts")
        for at, place in enumerate(places):
            found[place] = replace(rows[place], twin=rows[places[(at + 1) % len(places)]].twin)
    return tuple(found)


METHOD = PreferenceGap
