"""DPO on the model's own language imbalance, in rounds (LIDR).

Source: Yang et al. 2024 (arXiv:2410.08964), ZNLP/Language-Imbalance-Driven-Rewarding at bd9764e. The pivot answer, translated by the model
itself, is preferred to the native answer, and the native pivot answer to the translated foreign one.

As in the paper's code: every language has the same prompts, the next thousand in each round. Answers are greedy with a repetition penalty
of 1.1. The model itself translates between tags, and its answer begins with the opening tag. If a translation of a prompt failed, the
prompt gives no pair on either side. Prompts that are about a language keep the pivot's answer. Training is DPO with the likelihood of the
chosen answer, with the model at the start of the round as the reference. There are two rounds.
Different: one LoRA adapter goes through all rounds; the paper trains all weights. The system turn is the chat template's own; the paper's
code sets one of a helpful assistant. The reasoning frame and the translation request are worded by us. Prompts about languages are found by
their words, not by a list of 88 ids. The pivot side is kept for every language; the released program overwrites all but the last. Answers
that were cut off, and translations in a wrong language, make no pair; the code takes both. Answers and translations may have 512 and 1024
tokens, not 2400 and 4096. A language that the prompt corpus lacks gets translated prompts.
Missing: nothing that is known to us. Neither the code nor the abstract has beta, nll_weight and the learning rate.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from xlift.harness.plugin import Context, Dpo, Method, Options, PairOptions, Plan, Reading, list_prompts, make_pairs


class DpoSelfImprovementOptions(PairOptions, Options):
    """The options of prompts and answers are those of PairOptions."""

    rounds: int = Field(ge=1)
    beta: float = Field(gt=0)
    nll_weight: float = Field(ge=0)
    """The weight of the chosen answer's likelihood, which is averaged over its tokens."""


class DpoSelfImprovement(Method[DpoSelfImprovementOptions]):
    """Preference pairs from the model's own answers and translations."""

    Options = DpoSelfImprovementOptions
    version = 2

    @property
    def rounds(self) -> int:
        return self.options.rounds

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        return list_prompts(self.options, pivot, languages)

    def prepare(self, ctx: Context) -> Plan:
        pairs = make_pairs(ctx, self.options)
        objective = Dpo(self.options.beta, self.options.nll_weight)
        return Plan(pairs.rows, objective, drops=pairs.drops, facts=pairs.facts)


METHOD = DpoSelfImprovement
