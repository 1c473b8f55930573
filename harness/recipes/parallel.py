"""Rows of texts that say the same in two languages, and their control: each text beside the translation of another one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Parallel, Row, ask
from xlift.harness.recipes.budget import take
from xlift.harness.recipes.filters import RowFilter
from xlift.harness.recipes.translation import Pair


def pair_texts(
    pairs: Iterable[Pair],
    anchor: str,
    lang: str,
    count: int,
    row_filter: RowFilter,
    *,
    kind: str,
    chats: bool = False,
    shuffled: bool = False,
) -> list[Parallel]:
    """The first ``count`` pairs that are fit, as rows whose anchor is the source. With ``chats`` each text is a question to the model.

    ``shuffled`` puts the translation of the next row beside each text, and that of the first beside the last. Pairs that are the same in
    both languages are left out, because they are trivial. Raises UserError if no pair is fit.
    """
    where = f"{lang}/{kind}"
    taken = take(_keep_fit(pairs, where, row_filter), count, where, row_filter.drops)
    others = [pair.target for pair in taken]
    if shuffled:
        others = [*others[1:], *others[:1]]
    rows = []
    for pair, other in zip(taken, others, strict=True):
        texts = {anchor: ask(pair.source), lang: ask(other)} if chats else {anchor: pair.source, lang: other}
        rows.append(Parallel(texts, anchor, f"{kind}-{lang}-{pair.id}", kind))
    return rows


def require_batch(rows: Sequence[Row], batch: int) -> None:
    """Raises UserError if there are fewer parallel rows than are to be contrasted with each other."""
    found = sum(isinstance(row, Parallel) for row in rows)
    if found < batch:
        raise UserError(f"{found} parallel rows are fewer than the {batch} that are contrasted with each other; lower batch, or raise rows")


def _keep_fit(pairs: Iterable[Pair], where: str, row_filter: RowFilter) -> Iterable[Pair]:
    for pair in pairs:
        if reason := row_filter.find_pair_fault(pair.source, pair.target):
            row_filter.drop(where, reason)
        else:
            yield pair
