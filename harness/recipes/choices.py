"""A choice among ways to ask, learnt from what each scored on training items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def fit_ridge(features: NDArray[Any], scores: NDArray[Any], ridge: float) -> NDArray[Any]:
    """Weights (features, profiles) of the scores (items, profiles), the first one, of the constant, without a penalty."""
    penalty = ridge * np.eye(features.shape[1])
    penalty[0, 0] = 0
    found: NDArray[Any] = np.linalg.solve(features.T @ features + penalty, features.T @ scores)
    return found


def fit_static(features: NDArray[Any], scores: NDArray[Any]) -> NDArray[Any]:
    """Weights (features, profiles) of the constant alone: the mean scores, whatever the request."""
    found = np.zeros((features.shape[1], scores.shape[1]))
    found[0] = scores.mean(axis=0)
    return found


def compare_choices(
    features: NDArray[Any], scores: NDArray[Any], names: Sequence[str], ridge: float, folds: int
) -> Mapping[str, float | int]:
    """Mean scores of each profile, and of four ways to choose, of which what is learnt is learnt on the other folds.

    The oracle takes for each item the way that scored best on it, so it looks at what is foretold, and is a bound.
    """
    items = np.arange(len(scores))
    policy, static = np.zeros(len(scores)), np.zeros(len(scores))
    for fold in range(folds):
        held = items % folds == fold
        foretold = features[held] @ fit_ridge(features[~held], scores[~held], ridge)
        policy[held] = scores[held][np.arange(held.sum()), foretold.argmax(axis=1)]
        static[held] = scores[held][:, scores[~held].mean(axis=0).argmax()]
    ways = {"policy": policy, "best single profile": static, "by chance": scores.mean(axis=1), "oracle": scores.max(axis=1)}
    means = {name: round(float(column.mean()), 4) for name, column in [*zip(names, scores.T, strict=True), *ways.items()]}
    return {"items": len(scores), "items on which profiles differ": int((np.ptp(scores, axis=1) > 0).sum()), **means}
