"""Lift against tokens, from adapters that were kept on the way."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from xlift.harness.evaluation.records import Record
from xlift.leaderboard.analysis.curves import Kept, measure_late_noise, tabulate_curves, tabulate_order
from xlift.leaderboard.loading.scores import Columns, Documents
from xlift.tasks.benchmarks import place

TASK = "xlift_flores_bpb_eng_Latn_spa_Latn"


def kept(label: str, some: Sequence[float], share: float = 1.0, tokens: int = 0) -> Kept:
    bits = 20 * list(some)  # an interval needs 40 documents
    columns = Columns(np.arange(len(bits)), np.array([f"d{number}" for number in range(len(bits))]), np.array(bits, dtype=float))
    seed = None if label == "base" else 0
    record = Record(
        suite="s", label=label, method=None, seed=seed, trained=("es",), pivot="en", base={}, adapter=None, engine={}, system=None,
        tasks={}, share=share, cost={"fit": {"tokens_trained": tokens}, "prepare": {"generated_tokens": 7}} if tokens else {},
    )  # fmt: skip
    found = Documents("s", label, seed, ("es",), "en", TASK, *place(TASK, "en"), "bits_per_byte", "k", columns)
    return Kept(record, (found,))


MODELS = [
    kept("base", [2.0, 2.0, 2.2]),
    kept("a", [1.9, 2.0, 2.0], 0.25, 250),
    kept("a", [1.5, 1.6, 1.7], tokens=1000),
    kept("b", [2.0, 2.0, 2.1], 0.25, 260),
    kept("b", [1.7, 1.8, 1.8], tokens=1000),
    kept("c", [1.0, 1.0, 1.0], tokens=1000),
]


def test_lift_by_share_with_fewer_bits_as_more() -> None:
    """Means: base 6.2 / 3; a 5.9 / 3 at a quarter, 4.8 / 3 at the end: lifts 0.1 and 1.4 / 3. A method without points has no curve."""
    curves = tabulate_curves(MODELS)
    found = {(row["method"], row["share"]): row for row in curves.to_dict("records")}
    assert set(found) == {("a", 0.25), ("a", 1.0), ("b", 0.25), ("b", 1.0)}
    assert found["a", 0.25]["value"] == pytest.approx(0.1) and found["a", 1.0]["value"] == pytest.approx(1.4 / 3)
    assert (found["a", 0.25]["tokens_trained"], found["a", 0.25]["tokens_generated"]) == (250, 7)
    assert found["a", 1.0]["kind"] == "lift" and found["a", 1.0]["low"] <= 1.4 / 3 <= found["a", 1.0]["high"]


def test_no_points_no_curves() -> None:
    assert tabulate_curves([one for one in MODELS if one.record.share == 1]).empty


def test_order_at_a_quarter_against_the_end() -> None:
    """a leads b at a quarter, by 0.1 to 0.033, and at the end."""
    [row] = tabulate_order(tabulate_curves(MODELS)).to_dict("records")
    assert (row["share"], row["kept"], row["methods"]) == (0.25, 1.0, 2)


def test_late_noise_is_the_spread_of_the_last_points_of_each_training() -> None:
    """a: 2.0 and 1.8 about 1.9, b: 1.5 and 1.9 about 1.7: squares 0.02 and 0.08, one degree of freedom each."""
    late = [kept("a", [2.0], 0.8, 800), kept("a", [1.8], tokens=1000), kept("b", [1.5], 0.75, 750), kept("b", [1.9], tokens=1000)]
    early = [kept("a", [9.0], 0.5, 500), kept("c", [7.0], 0.5, 500), kept("c", [1.0], tokens=1000), kept("base", [2.0])]
    found = measure_late_noise([*late, *early])
    assert found == {("s", TASK, "bits_per_byte"): pytest.approx((0.1 / 2) ** 0.5)}
    assert measure_late_noise(early) == {}, "half of the budget is not its end"


def test_lifts_that_are_missing_have_no_order() -> None:
    place = {"suite": "s", "benchmark": "b", "metric": "m", "kind": "lift"}
    rows = [{**place, "method": method, "share": share, "value": None} for method in ("a", "b") for share in (0.5, 1.0)]
    assert tabulate_order(pd.DataFrame(rows)).empty
    rows = [{**row, "value": 1.0 if row["method"] == "a" else 0.0} for row in rows]
    assert tabulate_order(pd.DataFrame(rows))["kept"].tolist() == [1.0]
