"""RankC, by numbers that a reader can redo."""

from math import e

import pytest

from xlift.tasks.consistency import expect_by_chance, measure_consistency


def test_rankc_by_hand() -> None:
    # Three candidates weigh e^2, e and 1 over their sum. Rankings 0 1 2 and 0 2 1 share 1 of 1, 1 of 2 and 3 of 3.
    total = e**2 + e + 1
    assert measure_consistency([-1, -2, -3], [-1, -3, -2]) == pytest.approx((e**2 + e / 2 + 1) / total)
    # 0 1 2 and 2 1 0 share none of 1, 1 of 2 and 3 of 3.
    assert measure_consistency([-1, -2, -3], [-3, -2, -1]) == pytest.approx((e / 2 + 1) / total)
    assert measure_consistency([-5, -2, -9], [-0.3, -0.1, -0.7]) == pytest.approx(1)
    assert measure_consistency([-1, -1], [-2, -2]) == pytest.approx(1), "candidates that are equally likely keep their order"
    assert measure_consistency([-1], [-2]) == pytest.approx(1)
    with pytest.raises(ValueError, match="2 candidates beside 1"):
        measure_consistency([-1, -2], [-1])


def test_chance() -> None:
    # Two candidates weigh e and 1 over their sum; random rankings share half of the first, and both.
    assert expect_by_chance(2) == pytest.approx((e / 2 + 1) / (e + 1))
    assert expect_by_chance(10) == pytest.approx(0.158, abs=0.001)
    pairs = [([0, 1, 2], ranking) for ranking in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])]
    mean = sum(measure_consistency([-one for one in left], [-one for one in right]) for left, right in pairs) / 6
    assert expect_by_chance(3) == pytest.approx(mean)
