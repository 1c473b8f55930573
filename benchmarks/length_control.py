"""How often the 95 % interval of the length-controlled win rate holds the true one, for models near their opponent.

python benchmarks/length_control.py [--tables 100] [--items 805]
Preferences are drawn from AlpacaEval's own model: the judge likes longer answers, and at equal length the model wins at the true rate.
"""

import argparse
import time

import numpy as np

from xlift.tasks.length_control import ITEMS, control

RATES = (0.50, 0.53, 0.55, 0.60)
Z = 1.96
LIKES_LENGTH = 0.6
"""Of the logarithm of the odds, for an answer that is longer by some standard deviations."""


def draw(rng: np.random.Generator, rate: float, items: int) -> tuple[np.ndarray, np.ndarray]:
    """Preferences, 0 or 1, and length differences in characters."""
    deltas = rng.normal(100, 400, items)
    odds = np.log(rate / (1 - rate)) + LIKES_LENGTH * np.tanh(deltas / deltas.std(ddof=1))
    return (rng.random(items) < 1 / (1 + np.exp(-odds))).astype(float), deltas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=100)
    parser.add_argument("--items", type=int, default=ITEMS)
    options = parser.parse_args()
    started = time.perf_counter()
    print(f"{options.tables} tables of {options.items} items for each row")
    print("| true win rate | mean estimate | covered | mean width | narrower than 0.01 |")
    print("|---|---|---|---|---|")
    for rate in RATES:
        rng = np.random.default_rng(round(1000 * rate))
        values, widths, hits = [], [], []
        for _ in range(options.tables):
            found = control(*draw(rng, rate, options.items))
            half = Z * found["length_controlled_stderr"]
            values.append(found["length_controlled"])
            widths.append(2 * half)
            hits.append(abs(found["length_controlled"] - rate) <= half)
        narrow = sum(width < 0.01 for width in widths)
        print(f"| {rate:.2f} | {np.mean(values):.3f} | {100 * np.mean(hits):.0f} % | {np.mean(widths):.3f} | {narrow} |", flush=True)
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
