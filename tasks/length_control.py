"""Length-controlled win rates: the model of AlpacaEval 2.0 (arXiv:2404.04475, tatsu-lab/alpaca_eval at cd543a1).

A logistic regression without intercept of the judge's preference on tanh(length difference / its standard deviation), on the difficulty of
the instruction where a table gives it, and on a constant for the model; the win rate is what it predicts for answers of equal length.
L1 penalty, its strength chosen among ten by five-fold cross-validation of the log loss over items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xlift.harness.rows import UserError
from xlift.tasks.judge import Verdict

Array = NDArray[np.float64]

FOLDS = 5
ITEMS = 805
"""Of AlpacaEval; the difficulties are looked up by place among them."""
STRENGTHS = np.logspace(-4, 4, 10)
GAMED_WEIGHT = 0.2 / 2
"""Of each row of the two gamed baselines that AlpacaEval adds to its full model."""
GAMED = ("preference", "std_delta_len", "instruction_difficulty")


def control_length(verdicts: Sequence[Verdict], difficulty: pd.DataFrame | None = None) -> dict[str, Any]:
    """``length_controlled``, a win rate between 0 and 1, and ``length_control``, which says what it is or why there is none.

    Without a table it is AlpacaEval's "minimal" formula: length and model. ``difficulty`` is a table with one row an item in the order of
    the 805 (columns index, instruction_difficulty), or AlpacaEval's df_gamed.csv, which has preference, std_delta_len and
    not_gamed_baseline too and then takes part with a weight of 0.1 a row, as it does there. Lengths are characters: good within one
    language. Items that cannot be read are left out after their places are counted.

    Raises UserError where a table is given and the items are not the 805.
    """
    readable = [place for place, verdict in enumerate(verdicts) if verdict.preference is not None]
    deltas = np.array([len(verdict.pair.answer) - len(verdict.pair.reference) for verdict in verdicts], dtype=float)
    if difficulty is not None and len(verdicts) != ITEMS:
        raise UserError(f"the table of difficulties goes by place among {ITEMS} items, and {len(verdicts)} were judged; leave it out")
    if len(readable) < 2 * FOLDS:
        return {"length_controlled": None, "length_control": f"not computed: {len(readable)} items can be read, and it needs {2 * FOLDS}"}
    spread = deltas.std(ddof=1)
    preferences = np.array([verdicts[place].preference for place in readable], dtype=float)
    lengths = np.tanh(deltas[readable] / spread) if spread > 0 else np.zeros(len(readable))
    columns, formula = [lengths], "minimal: tanh(length difference / sd) + model"
    extra, targets, weights = np.empty((0, 2)), np.empty(0), np.empty(0)
    if difficulty is not None:
        hardness, extra, targets = _read_difficulty(difficulty)
        columns, weights = [lengths, hardness[readable]], np.full(len(targets), GAMED_WEIGHT)
        formula = "tanh(length difference / sd) + instruction difficulty + model" + (", with gamed baselines" if len(targets) else "")
    rows = np.column_stack([*columns, np.ones(len(readable))])
    weights = np.concatenate([weights, np.ones(len(readable))])
    coefficients = fit(np.vstack([extra, rows]), np.concatenate([targets, preferences]), weights)
    equal = np.column_stack([np.zeros(len(readable)), rows[:, 1:]])
    return {"length_controlled": float(_logistic(equal @ coefficients).mean()), "length_control": formula}


def _read_difficulty(table: pd.DataFrame) -> tuple[Array, Array, Array]:
    """Difficulties by place, and the rows and preferences of gamed baselines, whose model term is 0; none where the table has none."""
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


def fit(rows: Array, targets: Array, weights: Array) -> Array:
    """Coefficients of the L1 logistic regression of soft targets, with the strength of the penalty that loses least in cross-validation.

    Rows (items, features), targets between 0 and 1 and weights (items,).
    """
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
    return _solve(rows, targets, weights, float(STRENGTHS[int(np.argmin(losses))]))


def _solve(rows: Array, targets: Array, weights: Array, strength: float) -> Array:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(l1_ratio=1, C=strength, solver="liblinear", fit_intercept=False, random_state=123)
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
