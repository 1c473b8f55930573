"""How many rows a method is asked for: as many as the suite allows, and no more than its training goes through."""

from __future__ import annotations

from dataclasses import dataclass

from xlift.harness.config.suite import Suite
from xlift.harness.recipes import registry

ROW_TOKENS = 64
"""Tokens of a short row, such as a translated sentence in a chat template. Other rows are longer, so training reaches none beyond."""


@dataclass(frozen=True)
class RowBudget:
    """Rows of one method's plan."""

    bound: int | None
    """Most rows that the plan may hold; None where the method chooses by itself."""
    own: int | None
    """How many of them the method itself makes; the rest are the suite's ``common`` rows."""
    wanted: int | None
    """Rows by the suite or by the method's own options, before the training's budget is looked at; None where neither says."""

    @property
    def expected(self) -> int | None:
        """Most rows there will be; None where nothing is known before the method has run."""
        return self.wanted if self.bound is None else self.bound

    @property
    def is_cut(self) -> bool:
        """Whether the training's budget asks for fewer rows than suite and method do."""
        return self.bound is not None and self.wanted is not None and self.bound < self.wanted


def choose_rows(suite: Suite, label: str) -> RowBudget:
    """The rows of one method: what ``train.tokens`` can go through once, where that is less than what suite and method ask for."""
    chosen = suite.methods[label]
    wanted = suite.rows or getattr(registry.load(chosen.method, chosen.options).options, "rows", None)
    tokens, bound = suite.training(label).tokens, suite.rows
    if tokens is not None:
        reached = -(-tokens // ROW_TOKENS)
        bound = reached if wanted is None or reached < wanted else suite.rows
    own = bound if bound is None or suite.common is None else max(1, bound - round(bound * suite.common.share))
    return RowBudget(bound, own, wanted)
