"""How much seeds differ, estimated from all models of one comparison together if each has only a few seeds.

Two or three seeds of one model hardly tell how much its next seed will differ. The other models of the same comparison (same base, budget
and items) add information, as far as their own seeds differ by similar amounts. The variance of each model is moderated by theirs as in
limma (Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3(1), equations 4 to 10), with two changes, which
docs/statistics.md simulates. The pooled variance is the mean of the variances, not their geometric mean. The pool never counts for more
than ``MOST_SHARE`` times the degrees of freedom that the model itself has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

LEAST_MODELS = 4
"""The fewest models with several seeds. With fewer, each model is judged by its own seeds alone."""
MOST_SHARE = 2.0
"""The bound on the pool. Without it, methods whose seeds differ far more than those of others would be found significant too often."""


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
    logs = np.log(found) - special.digamma(dfs / 2) + np.log(dfs / 2)
    # What the logarithms differ by, beyond the chance that their degrees of freedom explain, is how far the models differ.
    excess = float(logs.var(ddof=1) - special.polygamma(1, dfs / 2).mean())
    return SeedPool(float((dfs * found).sum() / dfs.sum()), 2 * _invert_trigamma(excess) if excess > 0 else np.inf)


def _invert_trigamma(value: float) -> float:
    """The x > 0 whose trigamma is ``value`` > 0. It is bracketed, as trigamma(x) lies between 1/x and 1/x + 1/x**2."""
    least, most = 0.5 / value, 1 / value + value**-0.5 + 1.0
    return float(optimize.brentq(lambda x: float(special.polygamma(1, x)) - value, least, most))
