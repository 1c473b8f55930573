"""How requests share a forward pass."""

from hypothesis import given
from hypothesis import strategies as st

from xlift.harness.engines.batches import cut_batches


def test_batches_by_hand() -> None:
    assert list(cut_batches([3, 9, 5, 5, 1, 30], 20)) == [[5], [1, 2], [3, 0, 4]]
    assert list(cut_batches([], 20)) == []


@given(st.lists(st.integers(1, 80), max_size=30), st.integers(1, 200))
def test_batches_hold_every_place_once_within_the_tokens(widths: list[int], tokens: int) -> None:
    made = list(cut_batches(widths, tokens))
    assert sorted(place for batch in made for place in batch) == list(range(len(widths)))
    assert all(len(batch) == 1 or len(batch) * max(widths[place] for place in batch) <= tokens for batch in made)
