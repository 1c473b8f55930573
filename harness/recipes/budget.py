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
    """Whatever has an id of its own."""

    @property
    def id(self) -> str: ...


K = TypeVar("K")
N = TypeVar("N", bound=Numbered)


def split_budget(total: int, shares: Mapping[K, float]) -> dict[K, int]:
    """Whole rows for each share, which add up to ``total`` where the shares add up to 1; parts that come to nothing are left out.

    Raises UserError where the shares do not add up to 1.
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
    """The first ``count`` rows, each id once; what is lacking is counted among the drops and warned of, with the share that is there.

    Raises UserError, with the main reasons for drops, where there is none although ``required``.
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
