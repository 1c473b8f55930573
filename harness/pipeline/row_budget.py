"""How many rows a method makes: as many as the suite allows, and no more than its training reaches."""

from __future__ import annotations

from dataclasses import dataclass

from xlift.harness.config.suite import Suite
from xlift.harness.recipes import registry

ROW_TOKENS = 64
"""The tokens of a short row, such as a translated sentence in a chat template. Other rows are longer, so training reaches no more rows than
this implies."""


@dataclass(frozen=True)
class RowBudget:
    """The number of rows in one method's plan."""

    bound: int | None
    """The most rows that the plan may hold; None if the method decides."""
    own: int | None
    """How many of them the method itself makes. The rest are the suite's ``common`` rows."""
    wanted: int | None
    """The number of rows by the suite or by the method's own options, before the training's budget is considered; None if neither says."""

    @property
    def expected(self) -> int | None:
        """The most rows that there will be; None if nothing is known before the method has run."""
        return self.wanted if self.bound is None else self.bound

    @property
    def is_cut(self) -> bool:
        """Whether the training's budget allows fewer rows than suite and method ask for."""
        return self.bound is not None and self.wanted is not None and self.bound < self.wanted


def choose_rows(suite: Suite, label: str) -> RowBudget:
    """The rows of one method: as many as ``train.tokens`` can go through once, if that is fewer than suite and method ask for."""
    chosen = suite.methods[label]
    wanted = suite.rows or getattr(registry.load(chosen.method, chosen.options).options, "rows", None)
    tokens, bound = suite.training(label).tokens, suite.rows
    if tokens is not None:
        reached = -(-tokens // ROW_TOKENS)
        bound = reached if wanted is None or reached < wanted else suite.rows
    own = bound if bound is None or suite.common is None else max(1, bound - round(bound * suite.common.share))
    return RowBudget(bound, own, wanted)
