"""Sharing a budget of rows between parts of a recipe."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from xlift.harness.core.errors import UserError
from xlift.harness.recipes.filters import list_reasons

logger = logging.getLogger(__name__)


class Numbered(Protocol):
    """Anything that has an id of its own."""

    @property
    def id(self) -> str: ...


K = TypeVar("K")
N = TypeVar("N", bound=Numbered)


def split_budget(total: int, shares: Mapping[K, float]) -> dict[K, int]:
    """Whole rows for each share. They add up to ``total`` if the shares add up to 1; parts without rows are left out.

    Raises UserError if the shares do not add up to 1.
    """
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise UserError(f"the shares add up to {sum(shares.values()):.3f}, not 1")
    counts: dict[K, int] = {}
    due, spent = 0.0, 0
    for key, share in shares.items():
        due += share * total
        if count := round(due) - spent:
            counts[key] = count
            spent += count
    return counts


def take(rows: Iterable[N], count: int, where: str, drops: Counter[str], *, required: bool = True) -> list[N]:
    """The first ``count`` rows, each id once. Missing rows are counted among the drops, with a warning that has the share that is there.

    If there is no row at all and ``required`` is true, raises UserError with the main reasons for drops.
    """
    taken: dict[str, N] = {}
    for row in rows if count else ():
        if row.id in taken:
            drops[f"{where}: duplicate id"] += 1
            continue
        taken[row.id] = row
        if len(taken) == count:
            break
    if required and not taken:
        raise UserError(f"{where}: there are no usable rows{list_reasons(where, drops)}; set its share to 0 or name another corpus")
    if len(taken) < count:
        lost = list_reasons(where, drops)
        logger.warning("%s: %d of %d rows (%d %%)%s: all that could be had", where, len(taken), count, 100 * len(taken) // count, lost)
        drops[f"{where}: corpus too small"] += count - len(taken)
    return list(taken.values())
