"""Control: the preferred answers of LIDR's pairs as plain supervised rows, which shows what the preferences add.

Source: the row "multilingual alignment" of Yang et al. 2024 (arXiv:2410.08964).

As in the paper: the chosen answers of the first round, trained with cross-entropy.
Different: the pairs differ from the paper's as those of dpo_self_improvement do, so answers that were cut off are not learnt. An answer
that is chosen for several languages is one row; what the paper does with it is not known to us. Missing: nothing else that is known to us.
"""

from __future__ import annotations

from collections.abc import Sequence

from xlift.harness.plugin import Context, Example, Method, Options, PairOptions, Plan, Reading, list_prompts, make_pairs


class SftOnChosenOptions(PairOptions, Options):
    """The options of dpo_self_improvement that concern the data."""


class SftOnChosen(Method[SftOnChosenOptions]):
    """Supervised tuning on the chosen side alone; a pivot answer that is chosen for several languages counts once."""

    Options = SftOnChosenOptions
    version = 2

    @property
    def is_control(self) -> bool:
        return True

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        return list_prompts(self.options, pivot, languages)

    def prepare(self, ctx: Context) -> Plan:
        pairs = make_pairs(ctx, self.options)
        rows = {
            (row.messages[-1]["content"], row.chosen): Example(row.messages, row.chosen, row.lang, row.id, row.kind) for row in pairs.rows
        }
        drops = dict(pairs.drops)
        if repeated := len(pairs.rows) - len(rows):
            drops[f"{ctx.pivot}/pivot_side: the same row for another language"] = repeated
        return Plan(tuple(rows.values()), drops=drops, facts=pairs.facts)


METHOD = SftOnChosen
