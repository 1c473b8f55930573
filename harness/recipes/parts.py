"""Plans of several adapters, and masks of the base: the rows of each part, and whether the sum or the mask changes anything."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from xlift.harness.config.suite import LABEL
from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.types import Row
from xlift.harness.recipes.contract import Mask, Part, PartRecord, Plan

RowT = TypeVar("RowT", bound=Row)


def select_rows(rows: Iterable[RowT], part: Part | PartRecord) -> list[RowT]:
    """The rows of one part, in their order."""
    return [row for row in rows if row.kind in part.kinds and (not part.languages or row.lang in part.languages)]


def check_parts(plan: Plan) -> None:
    """Raises UserError for parts that do not fit each other, the rows, or the way they are combined; for a combination that is one part
    alone, or nothing; and for a mask that is empty or has rows beside it."""
    if not plan.parts and plan.edit is None:
        return
    if isinstance(plan.edit, Mask):
        _check_mask(plan, plan.edit)
        return
    if len(plan.parts) < 2 or plan.edit is None:
        raise UserError("parts: several adapters are combined by edit, so a plan has two parts or more and an edit, or neither")
    if plan.phases:
        raise UserError("parts: each is trained apart, so there are no phases; leave phases out")
    _check_rows(plan)
    _check_shares(plan.parts, [plan.edit.shares, *plan.edit.layers.values()])


def _check_mask(plan: Plan, edit: Mask) -> None:
    if plan.rows or plan.parts:
        raise UserError("edit: a mask is of the base's own weights, so there are neither rows nor parts beside it")
    if edit.rule != "neurons" and not 0 < edit.ratio < 1:
        raise UserError(f"edit: the ratio of weights that are put to 0 is above 0 and below 1, not {edit.ratio:g}")
    if not any(array.any() for array in plan.arrays.values()):
        raise UserError("edit: the mask is empty, so the base would stay as it is")


def _check_rows(plan: Plan) -> None:
    total = sum(part.share for part in plan.parts.values())
    if not abs(total - 1) <= 1e-6 or not all(part.share > 0 for part in plan.parts.values()):  # nan is neither
        raise UserError(f"parts: their shares of the training are above 0 and add up to 1, not to {total:.3f}")
    taken: set[str] = set()
    for name, part in plan.parts.items():
        if not LABEL.fullmatch(name):
            raise UserError(f"part {name!r}: names a folder, so it is made of letters, digits, '.', '_' and '-'")
        found = select_rows(plan.rows, part)
        if not found:
            raise UserError(f"part {name!r}: there are no rows of {', '.join(part.kinds)} in {', '.join(part.languages) or 'any language'}")
        taken |= {row.id for row in found}
    if left := [row for row in plan.rows if row.id not in taken]:
        raise UserError(f"parts: row {left[0].id!r} ({left[0].lang}/{left[0].kind}) is of none, so nothing would be trained on it")


def _check_shares(parts: Mapping[str, Part], settings: Sequence[Mapping[str, float]]) -> None:
    for shares in settings:
        for name, share in shares.items():
            if name not in parts:
                raise UserError(f"edit: no part {name!r}{name_nearest(name, parts)}")
            if not math.isfinite(share):
                raise UserError(f"edit: the share of {name} is no number")
    effects = [{name: share for name, share in shares.items() if share} for shares in settings]
    if not any(effects):
        raise UserError("edit: all shares are 0, so the base would stay as it is")
    if effects[0] in [{name: 1} for name in parts] and all(one == effects[0] for one in effects):
        raise UserError(f"edit: the sum is the part {next(iter(effects[0]))!r} alone; train that by itself, or give another part a share")
