"""What several models tell together of the variance between seeds."""

import time

import numpy as np
import pytest

from tests.leaderboard.analysis.test_statistics import TABLES, report
from xlift.leaderboard.analysis.seeds import SeedPool, pool_seeds
from xlift.leaderboard.analysis.statistics import compare, pool_scores


def test_a_pool_by_hand() -> None:
    # two seeds each, so variances of (difference / 2)^2 * 2: 0.5, 2, 0.5 and 4.5, whose mean is 1.875
    pool = pool_seeds([(0.0, 1.0), (0.0, 2.0), (5.0, 6.0), (0.0, 3.0)])
    assert pool is not None and pool.variance == pytest.approx(1.875)
    # logarithms of such variances differ by chance with variance trigamma(1/2) = 4.93, these by 1.2: no sign that the models differ
    assert pool.freedom == np.inf
    # two seeds have one degree of freedom, so the pool counts for two: (2 * 1.875 + 1 * 0.5) / 3
    assert pool.moderate(0.5, 2) == (pytest.approx(4.25 / 3), 3.0)
    assert pool.moderate(0.5, 3) == (pytest.approx((4 * 1.875 + 2 * 0.5) / 6), 6.0)


def test_models_that_differ_widely_are_pooled_less() -> None:
    # 21 seeds each, so variances that are known well, and that differ by a factor of 100 from one to the next
    shape = np.linspace(-1, 1, 21)
    pool = pool_seeds([shape * 10.0**power for power in range(4)])
    assert pool is not None and pool.freedom < 1
    assert pool.moderate(1.0, 3)[1] < 3


def test_two_seeds_that_are_equal_by_chance_do_not_take_the_pool_away() -> None:
    spreads = (1.0, 0.8, 1.2, 0.5, 1.4, 0.9, 1.1)
    models = [(0.0, spread, spread / 2) for spread in spreads]
    alike, chance = pool_seeds(models), pool_seeds([*models, (0.0, 0.002)])
    assert alike is not None and chance is not None
    assert alike.freedom > 4 and chance.freedom > 4


def test_few_models_and_equal_seeds_make_no_pool() -> None:
    several = [(0.0, 1.0), (0.0, 2.0), (0.0, 1.5)]
    assert pool_seeds([*several, (1.0,), (2.0, 2.0), (float("nan"), 1.0)]) is None
    assert pool_seeds([*several, (1.0,), (0.0, 0.5)]) is not None


def test_seeds_that_lie_together_by_chance_are_judged_by_the_others() -> None:
    pool = SeedPool(0.01, 20.0)
    scores, base = np.tile([[0.3, 0.5]], (3, 30)) + np.array([[0.0], [1e-4], [2e-4]]), np.tile([[0.2, 0.3]], (1, 30))
    alone, pooled = compare([scores], [base]), compare([scores], [base], pool=pool)
    assert alone.seed_sd == pooled.seed_sd == pytest.approx(1e-4)
    assert (alone.seed_df, pooled.seed_df) == (2.0, 6.0)
    # (4 * 0.01 + 2 * 1e-8) / 6, over three seeds
    assert pooled.parts[1] == (pytest.approx(((4 * 0.01 + 2e-8) / 6 / 3) ** 0.5), 6.0)
    assert pooled.high - pooled.low > alone.high - alone.low


@pytest.mark.parametrize("spread", [0.0, 0.6])
@pytest.mark.parametrize(("models", "seeds"), [(7, 2), (7, 3), (16, 3)])
def test_coverage_and_false_positives_with_a_pool(models: int, seeds: int, spread: float) -> None:
    """``spread``: standard deviation of the logarithm of the models' own seed deviations, which are three documents' errors on average."""
    rng, hits, lifts, started = np.random.default_rng(models * seeds), [], [], time.perf_counter()
    tables = TABLES // 5
    for _ in range(tables):
        base = rng.random((1, 60))
        own = 3 * 0.2 / 60**0.5 * np.exp(spread * rng.standard_normal((models, 1, 1)))
        made = (
            base
            + rng.normal(0, 0.2, (models, 1, 60))
            + rng.normal(0, 0.1, (models, seeds, 60))
            + own * rng.standard_normal((models, seeds, 1))
        )
        pool = pool_scores([[scores] for scores in made])
        found = [compare([scores], [base], pool=pool, resamples=400) for scores in made]
        hits += [one.low <= 0 <= one.high for one in found]
        lifts.append(min(one.p for one in found) * models < 0.05)
    seconds = time.perf_counter() - started
    name = f"{models} methods, {seeds} seeds, unlike by {spread}"
    assert report(f"coverage with a pool, {name}", hits, seconds) >= 94
    assert report(f"false positives with a pool, {name}: a table with a lift", lifts, 0) <= 5 + 200 * (0.05 * 0.95 / tables) ** 0.5
