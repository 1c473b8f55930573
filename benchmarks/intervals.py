"""How often 95 % intervals of a mean lift hold the true one, by the number of items and the shape of the differences.

python benchmarks/intervals.py [--tables 1000]
Each figure is the share of simulated tables whose interval holds the true lift, in percent, with the median width of the interval behind
it, in the unit of the differences. Ours is what xlift reports; where it gives none for some tables, the share of those that get one stands
behind it, and the figure is of these. BCa is that of scipy.stats.bootstrap.
"""

import argparse
import warnings
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from scipy import stats

from xlift.leaderboard.analysis.statistics import Array, compare

ITEMS = (12, 25, 40, 50, 100, 200)
RESAMPLES = 2000
Draw = Callable[[Generator, int], tuple[Array, Array, float]]
"""Scores of method and base, (items,), and the true lift."""
Ends = tuple[float, float]


def draw_normal(rng: Generator, items: int) -> tuple[Array, Array, float]:
    """Differences around 2 with a standard deviation of 10."""
    return rng.normal(2, 10, items), np.zeros(items), 2.0


def draw_skewed(rng: Generator, items: int) -> tuple[Array, Array, float]:
    """Log-normal differences: most are small, a few are large."""
    return rng.lognormal(0, 1, items), np.zeros(items), float(np.exp(0.5))


def draw_losses(rng: Generator, items: int) -> tuple[Array, Array, float]:
    """8 % of the lines lose 25 points of chrF, as where an answer runs astray; the others stay where they were, give or take 2."""
    return rng.normal(0, 2, items) - 25.0 * (rng.random(items) < 0.08), np.zeros(items), -2.0


def draw_few(rng: Generator, items: int) -> tuple[Array, Array, float]:
    """6 % of the answers change, for better or worse, as where an adapter hardly differs from its base; the others are the same."""
    base = rng.uniform(0, 100, items)
    return base + rng.normal(10, 30, items) * (rng.random(items) < 0.06), base, 0.6


def draw_binary(rng: Generator, items: int) -> tuple[Array, Array, float]:
    """Right or wrong: the base is right with 0.4, the method with 0.5, and a shared difficulty makes them agree."""
    difficulty, own = rng.standard_normal(items), rng.standard_normal((2, items))
    latent = 0.5**0.5 * difficulty + 0.5**0.5 * own
    right = latent < stats.norm.ppf([[0.5], [0.4]])
    return right[0].astype(float), right[1].astype(float), 0.1


DRAWS: dict[str, Draw] = {
    "normal": draw_normal, "skewed (log-normal)": draw_skewed, "8 % of lines lose 25": draw_losses,
    "6 % of answers change": draw_few, "right or wrong": draw_binary,
}  # fmt: skip


def find_ours(method: Array, base: Array) -> Ends | None:
    found = compare([method[None]], [base[None]])
    return None if np.isnan(found.low) else (found.low, found.high)


def resample(differences: Array, rng: Generator) -> tuple[Array, Array]:
    """Means of resamples and their standard errors."""
    drawn = differences[rng.integers(0, len(differences), (RESAMPLES, len(differences)))]
    return drawn.mean(axis=1), drawn.std(axis=1, ddof=1) / len(differences) ** 0.5


def find_percentile(differences: Array, rng: Generator) -> Ends:
    means, _ = resample(differences, rng)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def find_studentised(differences: Array, rng: Generator) -> Ends:
    """Bootstrap t (Efron and Tibshirani 1993, section 12.5); a resample without spread counts as one at its own mean's end."""
    means, errors = resample(differences, rng)
    mean, error = differences.mean(), differences.std(ddof=1) / len(differences) ** 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.nan_to_num((means - mean) / errors, nan=0.0, posinf=np.inf, neginf=-np.inf)
    upper, lower = np.quantile(scores, [0.975, 0.025], method="nearest")
    return float(mean - upper * error), float(mean - lower * error)


def find_bca(differences: Array, rng: Generator) -> Ends:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of differences that are all equal it has none
        found = stats.bootstrap((differences,), np.mean, n_resamples=RESAMPLES, method="BCa", rng=rng).confidence_interval
    return float(found.low), float(found.high)


def find_t(differences: Array, rng: Generator) -> Ends:
    half = stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / len(differences) ** 0.5
    return float(differences.mean() - half), float(differences.mean() + half)


METHODS: dict[str, Callable[[Array, Generator], Ends]] = {
    "percentile": find_percentile, "BCa": find_bca, "studentised": find_studentised, "Student's t": find_t,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=1000)
    tables = parser.parse_args().tables
    print(f"{tables} tables for each figure: covered in percent (median width)")
    print("| differences | items | " + " | ".join(["ours", *METHODS]) + " |")
    print("|---|---|" + "---|" * (len(METHODS) + 1))
    for name, draw in DRAWS.items():
        for items in ITEMS:
            print(f"| {name} | {items} | " + " | ".join(simulate(draw, items, tables)) + " |", flush=True)


def simulate(draw: Draw, items: int, tables: int) -> list[str]:
    rng = np.random.default_rng(items)
    found: dict[str, list[tuple[bool, float]]] = {name: [] for name in ("ours", *METHODS)}
    for _ in range(tables):
        method, base, lift = draw(rng, items)
        ends: dict[str, Ends | None] = {"ours": find_ours(method, base)}
        ends |= {name: find(method - base, rng) for name, find in METHODS.items()}
        for one, pair in ends.items():
            if pair is not None:
                found[one].append((pair[0] <= lift <= pair[1], pair[1] - pair[0]))
    return [describe(pairs, tables) for pairs in found.values()]


def describe(pairs: list[tuple[bool, float]], tables: int) -> str:
    if not pairs:
        return "none given"
    covered, width = np.mean([hit for hit, _ in pairs]), np.median([width for _, width in pairs])
    given = f", {100 * len(pairs) / tables:.0f} % given" if len(pairs) < tables else ""
    return f"{100 * covered:.1f} ({width:.3g}{given})"


if __name__ == "__main__":
    main()
