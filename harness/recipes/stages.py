"""Stages of a curriculum: a second one in which some kinds of rows have a larger share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Example, Json


@dataclass(frozen=True)
class Staged:
    """Rows in which those of the second stage have kinds of their own (``translation_later``)."""

    rows: tuple[Example, ...]
    phases: tuple[tuple[str, ...], ...]
    shares: Mapping[str, Json]
    """The share of the raised kinds in each stage, for a plan's facts."""


def split_stages(rows: Sequence[Example], second: float, raised_share: float, raised: Collection[str]) -> Staged:
    """Put the last ``second`` of the rows of each sort into a second stage, of which the share ``raised_share`` is of the ``raised`` kinds.

    Raises UserError if there are too few rows, and if the raised kinds would have no larger share than in the first stage.
    """
    size = round(second * len(rows))
    lifted = round(raised_share * size)
    favoured = [at for at, row in enumerate(rows) if row.kind in raised]
    others = [at for at, row in enumerate(rows) if row.kind not in raised]
    if lifted > len(favoured) or size - lifted > len(others):
        raise UserError(
            f"second_stage: needs {lifted} rows of {', '.join(raised)} and {size - lifted} others, and there are {len(favoured)} and "
            f"{len(others)}; lower it"
        )
    first_share = (len(favoured) - lifted) / (len(rows) - size)
    if not size or lifted / size <= first_share:
        raise UserError(
            f"second_stage_targets: {raised_share:.0%} of the second stage ({size} rows) is no more than the {first_share:.0%} of the "
            "first; raise it, or lower the shares of these parts"
        )
    later = {*favoured[len(favoured) - lifted :], *others[len(others) - (size - lifted) :]}
    staged = tuple(replace(row, kind=f"{row.kind}_later") if at in later else row for at, row in enumerate(rows))
    first = dict.fromkeys(row.kind for at, row in enumerate(staged) if at not in later)
    last = dict.fromkeys(row.kind for at, row in enumerate(staged) if at in later)
    shares = {"first_stage_targets": round(first_share, 3), "second_stage_targets": round(lifted / size, 3)}
    return Staged(staged, (tuple(first), tuple(last)), shares)
