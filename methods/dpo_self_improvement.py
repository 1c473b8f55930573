"""DPO on the model's own language imbalance, in rounds (LIDR).

Source: Yang et al. 2024 (arXiv:2410.08964), ZNLP/Language-Imbalance-Driven-Rewarding. The pivot answer, translated by the model itself, is
preferred to the native answer, and the native pivot answer to the translated foreign one; each round starts from the model that the round
before made, which is also the reference of its log-ratios. The paper trains all weights; here one LoRA adapter goes through all rounds.
"""

from __future__ import annotations

from pydantic import Field

from xlift.harness.plugin import Context, Dpo, Method, Options, PairOptions, Plan, make_pairs


class DpoSelfImprovementOptions(PairOptions, Options):
    """Prompts and answers are those of PairOptions."""

    rounds: int = Field(ge=1)
    beta: float = Field(gt=0)
    nll_weight: float = Field(ge=0)
    """Weight of the chosen answer's likelihood, which is averaged over its tokens."""


class DpoSelfImprovement(Method[DpoSelfImprovementOptions]):
    """Preference pairs from the model's own answers and translations."""

    Options = DpoSelfImprovementOptions

    @property
    def rounds(self) -> int:
        return self.options.rounds

    def prepare(self, ctx: Context) -> Plan:
        pairs = make_pairs(ctx, self.options)
        objective = Dpo(self.options.beta, self.options.nll_weight)
        return Plan(pairs.rows, objective, drops=pairs.drops, facts=pairs.facts)


METHOD = DpoSelfImprovement
