"""Length-controlled win rates: the model of AlpacaEval 2.0 (arXiv:2404.04475, tatsu-lab/alpaca_eval at cd543a1).

The model is a logistic regression without intercept. It explains the judge's preference by tanh(length difference / its standard
deviation), by the difficulty of the instruction if a table gives it, and by a constant for the model. The win rate is what it predicts for
answers of equal length. It has an L1 penalty, whose strength is chosen among ten by five-fold cross-validation of the log loss over items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xlift.harness.core.errors import UserError

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

Array = NDArray[np.float64]

FOLDS = 5
ITEMS = 805
"""The number of AlpacaEval's items. Difficulties are looked up by the place among them."""
STRENGTHS = np.logspace(-4, 4, 10)
RESAMPLES = 100
"""The number of resamples for the standard error."""
WEAK_RIDGE = 1e-4
"""The penalty in the fits of the resamples. It keeps a model that always wins finite, and changes no other coefficient visibly."""
GAMED_WEIGHT = 0.2 / 2
"""The weight of each row of the two gamed baselines that AlpacaEval adds to its full model."""
GAMED = ("preference", "std_delta_len", "instruction_difficulty")


def control(preferences: Array, deltas: Array, difficulty: pd.DataFrame | None = None) -> dict[str, Any]:
    """``length_controlled``, a win rate between 0 and 1, its ``length_controlled_stderr``, and ``length_control``: what it is, or why there
    is none.

    ``preferences`` (items,) are nan if they cannot be read; such items are left out after their places are counted. ``deltas`` (items,) are
    the lengths minus those of the reference, in characters, which compare well within one language. Without a table, AlpacaEval's "minimal"
    formula is used: length and model. ``difficulty`` is a table with one row for each item in the order of the 805 (columns index,
    instruction_difficulty). It may also be AlpacaEval's df_gamed.csv, which has preference, std_delta_len and not_gamed_baseline too; its
    rows then take part with a weight of 0.1 each, as they do there.

    The standard error comes from resampled items. Their fits have almost no penalty: near 50 % the penalty sets the model's term to zero in
    every resample, so that the error would be zero. AlpacaEval gives no error for this figure.

    Raises UserError if a table is given and the items are not the 805.
    """
    readable = np.flatnonzero(~np.isnan(preferences))
    if difficulty is not None and len(preferences) != ITEMS:
        raise UserError(f"the table of difficulties goes by place among {ITEMS} items, and {len(preferences)} were judged; leave it out")
    if len(readable) < 2 * FOLDS:
        return {
            "length_controlled": None,
            "length_controlled_stderr": None,
            "length_control": f"not computed: {len(readable)} items can be read, and it needs {2 * FOLDS}",
        }
    spread = deltas.std(ddof=1)
    lengths = np.tanh(deltas[readable] / spread) if spread > 0 else np.zeros(len(readable))
    columns, formula = [lengths], "minimal: tanh(length difference / sd) + model"
    extra, targets = np.empty((0, 2)), np.empty(0)
    if difficulty is not None:
        hardness, extra, targets = _read_difficulty(difficulty)
        columns = [lengths, hardness[readable]]
        formula = "tanh(length difference / sd) + instruction difficulty + model" + (", with gamed baselines" if len(targets) else "")
    rows = np.column_stack([*columns, np.ones(len(readable))])
    value, stderr = _predict(rows, preferences[readable], extra, targets)
    return {"length_controlled": value, "length_controlled_stderr": stderr, "length_control": formula}


def _predict(rows: Array, preferences: Array, extra: Array, targets: Array) -> tuple[float, float]:
    """The win rate at equal length, and its standard error. The ``extra`` rows have ``targets`` and a small weight, and are not
    resampled."""
    whole, wanted = np.vstack([extra, rows]), np.concatenate([targets, preferences])
    fixed, equal = np.full(len(targets), GAMED_WEIGHT), np.column_stack([np.zeros(len(rows)), rows[:, 1:]])
    strength = choose_strength(whole, wanted, np.concatenate([fixed, np.ones(len(rows))]))

    def predict(coefficients: Array, counts: Array) -> float:
        return float(np.average(_logistic(equal @ coefficients), weights=counts))

    chance = np.random.default_rng(0)
    drawn = chance.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), RESAMPLES).astype(float)
    every = np.ones(len(rows))
    value = predict(fit(whole, wanted, np.concatenate([fixed, every]), strength), every)
    others = [predict(_solve_unpenalised(whole, wanted, np.concatenate([fixed, counts])), counts) for counts in drawn]
    return value, float(np.std(others, ddof=1))


def _read_difficulty(table: pd.DataFrame) -> tuple[Array, Array, Array]:
    """Difficulties by place, and the rows and preferences of the gamed baselines, whose model term is 0; none if the table has none."""
    if missing := [name for name in ("index", "instruction_difficulty") if name not in table]:
        raise UserError(f"the table of difficulties has no column {missing[0]!r}; its columns are {', '.join(map(str, table.columns))}")
    hardness = table.drop_duplicates("index").sort_values("index")
    if hardness["index"].tolist() != list(range(ITEMS)) or hardness["instruction_difficulty"].isna().any():
        raise UserError(f"the table of difficulties must hold the places 0 to {ITEMS - 1}, each with a number")
    values = hardness["instruction_difficulty"].to_numpy(dtype=float)
    if not set(GAMED) <= set(table):
        return values, np.empty((0, 3)), np.empty(0)
    # AlpacaEval measures baseline minus model, and takes preferences of 1 to 2 down to 0 to 1 in this table already.
    gamed = table.dropna(subset=list(GAMED))
    rows = np.column_stack([np.tanh(-gamed["std_delta_len"]), gamed["instruction_difficulty"], np.zeros(len(gamed))])
    return values, rows.astype(float), gamed["preference"].to_numpy(dtype=float)


def fit(rows: Array, targets: Array, weights: Array, strength: float | None = None) -> Array:
    """The coefficients of the L1 logistic regression of soft targets. If no strength of the penalty is given, it is chosen.

    Rows have the shape (items, features), targets (between 0 and 1) and weights the shape (items,).
    """
    return _solve(rows, targets, weights, choose_strength(rows, targets, weights) if strength is None else strength)


def choose_strength(rows: Array, targets: Array, weights: Array) -> float:
    """The strength of the penalty with the lowest loss in cross-validation. The arguments are those of ``fit``."""
    from sklearn.model_selection import GroupKFold

    items = np.arange(len(rows))
    # Groups of two and not of one: the folds of AlpacaEval, where each item stands twice, once a label.
    folds = [
        (np.unique(train % len(rows)), np.unique(held % len(rows)))
        for train, held in GroupKFold(FOLDS).split(np.zeros(2 * len(rows)), groups=np.tile(items, 2))
    ]
    losses = [
        np.mean([_measure_loss(_solve(rows[train], targets[train], weights[train], strength), rows[held], targets[held], weights[held])
                 for train, held in folds])
        for strength in STRENGTHS
    ]  # fmt: skip
    return float(STRENGTHS[int(np.argmin(losses))])


def _solve(rows: Array, targets: Array, weights: Array, strength: float) -> Array:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(l1_ratio=1, C=strength, solver="liblinear", fit_intercept=False, random_state=123)
    return _fit_soft(model, rows, targets, weights)


def _solve_unpenalised(rows: Array, targets: Array, weights: Array) -> Array:
    from sklearn.linear_model import LogisticRegression

    return _fit_soft(LogisticRegression(C=1 / WEAK_RIDGE, solver="newton-cholesky", fit_intercept=False), rows, targets, weights)


def _fit_soft(model: LogisticRegression, rows: Array, targets: Array, weights: Array) -> Array:
    labels = np.repeat([1, 0], len(rows))
    targets = np.clip(targets, 1e-6, 1 - 1e-6)  # liblinear must see both labels, also where a model always wins
    # A soft target is the item twice, once with each label, weighted by its probability.
    model.fit(np.vstack([rows, rows]), labels, sample_weight=np.concatenate([targets * weights, (1 - targets) * weights]))
    found: Array = model.coef_[0]
    return found


def _measure_loss(coefficients: Array, rows: Array, targets: Array, weights: Array) -> float:
    chances = np.clip(_logistic(rows @ coefficients), 1e-15, 1 - 1e-15)
    return float(-np.mean(weights * (targets * np.log(chances) + (1 - targets) * np.log(1 - chances))))


def _logistic(values: Array) -> Array:
    found: Array = 1 / (1 + np.exp(-values))
    return found
