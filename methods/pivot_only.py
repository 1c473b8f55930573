"""Control: pivot-language instructions alone, which shows what fine-tuning does to the target languages by itself.

Source: the pivot-only row of PLUG's and SDRRL's comparisons (arXiv:2311.08711, arXiv:2402.12204).

As in the papers: published pivot instructions with their published answers, and nothing in another language.
Different: the instructions are Alpaca's, with the budget and the trainer that all methods share; PLUG has GPT-4-Alpaca's 52k rows.
Missing: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from xlift.harness.plugin import Context, Method, Options, Plan, Reading, RowFilter, read_instructions, take


class PivotOnlyOptions(Options):
    """Where the instructions come from."""

    rows: int = Field(ge=1)
    """The budget in rows, if the suite sets none."""
    instruction_corpus: str
    max_characters: int = Field(ge=1)
    """Longer rows are dropped and counted."""


class PivotOnly(Method[PivotOnlyOptions]):
    """Published pivot instructions with their published answers."""

    Options = PivotOnlyOptions

    @property
    def is_control(self) -> bool:
        return True

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        return [Reading(self.options.instruction_corpus, pivot)]

    def prepare(self, ctx: Context) -> Plan:
        options, kind = self.options, "instructions"
        row_filter = RowFilter(options.max_characters)
        found = read_instructions(ctx, ctx.pivot, row_filter, corpus=options.instruction_corpus, kind=kind)
        rows = take(found, ctx.budget or options.rows, f"{ctx.pivot}/{kind}", row_filter.drops)
        return Plan(tuple(rows), drops=dict(row_filter.drops))


METHOD = PivotOnly
