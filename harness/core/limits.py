"""How many items of a task are enough."""

LEAST_DOCUMENTS = 40
"""Fewest documents for an interval and a test of scores other than 0/1, which may be skewed (benchmarks/intervals.py). A limit that leaves
fewer makes a smoke test."""


def is_smoke(items: int, items_of: int) -> bool:
    """Whether a limit left fewer of some items than an interval needs, so that their score only shows that things run."""
    return items < min(items_of, LEAST_DOCUMENTS)
