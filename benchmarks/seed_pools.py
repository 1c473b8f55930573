"""How often a table without any true lift holds a significant one, by how the variance between seeds is told.

    python benchmarks/seed_pools.py [--tables 2000]

Each table has methods with a few seeds each, whose scores differ by their seeds alone. ``spread`` is the standard deviation of the log
of the methods' own seed deviations. "own" judges each method by its own seeds, "pooled" by the mean variance of all, "moderated" by limma's
moderation without a bound, and "ours" by that of xlift, whose pool is worth at most twice a method's own degrees of freedom.
"""

import argparse

import numpy as np
from scipy import special

from xlift.leaderboard.analysis.seeds import SeedPool, pool_seeds
from xlift.leaderboard.analysis.statistics import ALPHA, Array


def tell(pool: SeedPool, variances: Array, seeds: int) -> dict[str, tuple[Array, Array | float]]:
    """Variance of each method's seeds, and its degrees of freedom, by the way in which they are told."""
    own = seeds - 1.0
    prior = min(pool.freedom, own * (len(variances) - 1))
    ours = np.array([pool.moderate(variance, seeds) for variance in variances])
    return {
        "own": (variances, own),
        "pooled": (np.full(len(variances), pool.variance), own * len(variances)),
        "moderated": ((prior * pool.variance + own * variances) / (prior + own), prior + own),
        "ours": (ours[:, 0], ours[:, 1]),
    }


def simulate(models: int, seeds: int, spread: float, tables: int) -> dict[str, float]:
    """Tables with a significant lift after Holm's correction, in percent."""
    rng = np.random.default_rng([models, seeds])
    found: dict[str, int] = {}
    for _ in range(tables):
        scores = rng.standard_normal((models, seeds)) * np.exp(spread * rng.standard_normal((models, 1)))
        pool = pool_seeds(scores.tolist())
        if pool is None:
            raise SystemExit(f"{models} methods are too few for a pool")
        for name, (variance, freedom) in tell(pool, scores.var(axis=1, ddof=1), seeds).items():
            p = 2 * special.stdtr(freedom, -np.abs(scores.mean(axis=1)) / np.sqrt(variance / seeds))
            found[name] = found.get(name, 0) + bool(p.min() * models < ALPHA)
    return {name: 100 * count / tables for name, count in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=2000)
    tables = parser.parse_args().tables
    print(f"{tables} tables for each figure, those with a significant lift in percent")
    for models in (7, 16):
        for seeds in (2, 3):
            for spread in (0.0, 0.6):
                rates = simulate(models, seeds, spread, tables)
                told = ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items())
                print(f"{models} methods, {seeds} seeds, spread {spread}: {told}", flush=True)


if __name__ == "__main__":
    main()
