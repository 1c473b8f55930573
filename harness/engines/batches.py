"""Requests to a model as batches of similar width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def cut_batches(widths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Places from the widest down, grouped so that the number of places times the largest width is at most ``tokens``, with at least one in
    each."""
    batch: list[int] = []
    for place in sorted(range(len(widths)), key=lambda place: widths[place], reverse=True):
        if batch and (len(batch) + 1) * widths[batch[0]] > tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
