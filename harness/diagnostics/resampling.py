"""Intervals of paired differences by resampling sentences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000


def bootstrap(differences: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of the mean of paired differences, one for each sentence: percentiles of the means of resampled sentences."""
    drawn = np.random.default_rng(0).integers(0, len(differences), (RESAMPLES, len(differences)))
    low, high = np.quantile(differences[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)
