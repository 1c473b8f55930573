"""A learnt choice among ways to ask, by hand."""

import numpy as np

from xlift.harness.plugin import compare_choices, fit_ridge, fit_static


def test_a_ridge_regression_by_hand() -> None:
    # x = -1 and 1, scores 0 and 2: the constant is their mean, 1, and the slope 2 / (1 + 1 + 2) = 0.5 with a ridge of 2
    features, scores = np.array([[1.0, -1.0], [1.0, 1.0]]), np.array([[0.0, 3.0], [2.0, 3.0]])
    assert np.allclose(fit_ridge(features, scores, 2.0), [[1.0, 3.0], [0.5, 0.0]])
    assert fit_static(features, scores).tolist() == [[1.0, 3.0], [0.0, 0.0]]


def test_what_is_learnt_on_one_fold_chooses_on_the_other() -> None:
    # Of items 0 and 2 the first way has a mean of 1 and the second of 0; of items 1 and 3 they have 0.5 and 1. So items 0 and 2 get the
    # second way, which scores 0 on both, and items 1 and 3 the first, which scores 0 and 1.
    scores = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    found = compare_choices(np.ones((4, 1)), scores, ("one", "two"), 1.0, 2)
    assert found == {
        "items": 4, "items on which profiles differ": 3, "one": 0.75, "two": 0.5, "policy": 0.25, "best single profile": 0.25,
        "by chance": 0.625, "oracle": 1.0,
    }  # fmt: skip


def test_a_feature_that_tells_which_way_is_better_is_learnt() -> None:
    sign = np.array([1.0, 1.0, -1.0, -1.0] * 5)
    scores = np.stack([sign > 0, sign < 0], axis=1).astype(float)
    found = compare_choices(np.stack([np.ones(20), sign], axis=1), scores, ("up", "down"), 0.1, 5)
    assert found["policy"] == found["oracle"] == 1.0 and found["by chance"] == 0.5 and found["best single profile"] <= 0.5
