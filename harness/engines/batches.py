"""Requests to a model as batches of like width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def cut_batches(widths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Places from the widest down, as many at once as keep count times the widest within ``tokens``, one at least."""
    batch: list[int] = []
    for place in sorted(range(len(widths)), key=lambda place: widths[place], reverse=True):
        if batch and (len(batch) + 1) * widths[batch[0]] > tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
