"""How much seeds differ, estimated from all models of one comparison together if each has only a few seeds.

Two or three seeds of one model hardly tell how much its next seed will differ. The other models of the same comparison (same base, budget
and items) add information, as far as their own seeds differ by similar amounts. The variance of each model is moderated by theirs as in
limma (Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3(1)), with three changes, which docs/statistics.md
simulates. The pooled variance is the mean of the variances, not their geometric mean. How many degrees of freedom the pool is worth is
estimated by maximum likelihood, not from the variance of the logarithms (equation 10), which one model whose two seeds happen to be equal
takes to nothing. The pool never counts for more than ``MOST_SHARE`` times the degrees of freedom that the model itself has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

FloatArray = NDArray[np.float64]

LEAST_MODELS = 4
"""The fewest models with several seeds. With fewer, each model is judged by its own seeds alone."""
MOST_SHARE = 2.0
"""The bound on the pool. Without it, methods whose seeds differ far more than those of others would be found significant too often."""

ENOUGH = 1000.0
"""Degrees of freedom that are as good as any number of them."""


@dataclass(frozen=True)
class SeedPool:
    """The variance between seeds that several models tell together, and how reliable it is."""

    variance: float
    """The variance of the mean score of one seed, in the square of the metric's unit."""
    freedom: float
    """The number of degrees of freedom that the pool is worth: infinite if the models' variances differ no more than by chance."""

    def moderate(self, variance: float, seeds: int) -> tuple[float, float]:
        """The variance of one model with this number of seeds, moderated by the pool, and its degrees of freedom."""
        own = seeds - 1.0
        prior = min(self.freedom, MOST_SHARE * own)
        return (prior * self.variance + own * variance) / (prior + own), prior + own


def pool_seeds(models: Iterable[Sequence[float]]) -> SeedPool | None:
    """The pool of ``models``, each given as the mean scores of its seeds.

    Models with one seed do not count, and neither do those whose seeds are all equal. None if fewer than ``LEAST_MODELS`` are left.
    """
    sizes, variances = [], []
    for means in models:
        variance = float(np.var(means, ddof=1)) if len(means) > 1 else 0.0
        if variance > 0:
            sizes.append(len(means) - 1.0)
            variances.append(variance)
    if len(variances) < LEAST_MODELS:
        return None
    dfs, found = np.array(sizes), np.array(variances)
    return SeedPool(float((dfs * found).sum() / dfs.sum()), _estimate_freedom(found, dfs))


def _estimate_freedom(variances: FloatArray, dfs: FloatArray) -> float:
    """The degrees of freedom at which ``variances / scale``, drawn from F(dfs, freedom), are likeliest, with the best scale there."""
    shares, halves = np.log(variances / np.median(variances)), dfs / 2

    def measure(logs: FloatArray) -> float:
        # Minus the logarithm of F's density, but for what depends on neither. scipy.stats takes a second to import.
        half, ratios = np.exp(logs[1]) / 2, shares - logs[0] + np.log(dfs) - logs[1]
        return float((special.betaln(halves, half) - halves * ratios + (halves + half) * np.log1p(np.exp(ratios))).sum())

    bounds = [(-20.0, 20.0), (np.log(0.05), np.log(ENOUGH))]
    found = float(np.exp(optimize.minimize(measure, [0.0, np.log(4.0)], bounds=bounds, method="L-BFGS-B").x[1]))
    return found if found < 0.9 * ENOUGH else np.inf
