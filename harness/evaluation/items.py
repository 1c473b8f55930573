"""Which items of a task a limited evaluation asks: the same for every model and language, spread over paragraphs and articles."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from xlift.harness.evaluation.samples import name_group


def draw_items(documents: Sequence[Mapping[str, object]], limit: int, articles: Mapping[str, str] = MappingProxyType({})) -> list[int]:
    """The places of ``limit`` documents, in rising order; all documents if there are no more.

    The order is given by a hash of a document's id. So every model and every language of a parallel benchmark gets the same items, and a
    larger limit contains all items of a smaller one. No group (``name_group``) gives a second item before every group has given one.
    """
    turns = [_hash(str(document.get("id", place))) for place, document in enumerate(documents)]
    order = sorted(range(len(documents)), key=turns.__getitem__)
    taken: dict[str, int] = {}
    rounds: dict[int, int] = {}
    for place in order:
        group = name_group(documents[place], articles) or f"place {place}"
        rounds[place] = taken.get(group, 0)
        taken[group] = rounds[place] + 1
    chosen = sorted(order, key=lambda place: (rounds[place], turns[place]))[:limit]
    return sorted(chosen)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
