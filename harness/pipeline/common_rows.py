"""Rows of a task in the pivot that every method of a suite trains beside its own, so that all learn the same skill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from xlift.harness.config.suite import CommonRows
from xlift.harness.core.types import Preference
from xlift.harness.recipes.budget import take
from xlift.harness.recipes.contract import Context, Part, Plan
from xlift.harness.recipes.filters import RowFilter
from xlift.harness.recipes.instructions import read_instructions

COMMON = "common"
"""The kind of these rows."""


def add_common(plan: Plan, ctx: Context, settings: CommonRows) -> Plan:
    """The plan with common rows among its own. They are the share ``share`` of all rows, mixed into the last phase, or into the last part
    if the plan has parts.

    Methods get the first rows of one order, so two methods with the same number of rows have the same ones. Beside parallel texts they are
    examples, whose cross-entropy is added to the terms on states. A plan of preferences, or without rows, is not changed. Raises UserError
    if the corpus has nothing that can be used.
    """
    own = [row for row in plan.rows if not isinstance(row, Preference)]
    if not own:
        return plan
    count = max(1, round(len(own) * settings.share / (1 - settings.share)))
    row_filter = RowFilter(settings.max_characters)
    found = read_instructions(ctx, ctx.pivot, row_filter, corpus=settings.corpus, kind=COMMON)
    rows = [*own, *take(found, count, f"{ctx.pivot}/{COMMON}", row_filter.drops)]
    ctx.rng.shuffle(rows)
    phases = (*plan.phases[:-1], (*plan.phases[-1], COMMON)) if plan.phases else ()
    parts = _widen_last(plan.parts, ctx.pivot)
    return replace(plan, rows=tuple(rows), drops={**plan.drops, **row_filter.drops}, phases=phases, parts=parts)


def _widen_last(parts: Mapping[str, Part], pivot: str) -> dict[str, Part]:
    """The parts of a plan, the last of which is also trained on common rows."""
    widened = dict(parts)
    for name in [*parts][-1:]:
        last = parts[name]
        languages = (*last.languages, pivot) if last.languages else ()
        widened[name] = replace(last, kinds=(*last.kinds, COMMON), languages=languages)
    return widened
