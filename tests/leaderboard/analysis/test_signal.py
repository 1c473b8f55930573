"""Signal, noise, reliability, and the items that a difference needs."""

from collections.abc import Sequence

import numpy as np
import pytest

from xlift.leaderboard.analysis.signal import (
    PlannedTask,
    find_floor,
    gather,
    plan_items,
    share_of_order_kept,
    tabulate_agreement,
    tabulate_signal,
)
from xlift.leaderboard.loading.scores import Columns, Documents
from xlift.tasks.benchmarks import find_metric, place

MGSM, FLORES = "xlift_mgsm_direct_es", "xlift_flores_eng_Latn_spa_Latn"


def documents(
    label: str, values: Sequence[float], *, task: str = MGSM, metric: str = "accuracy", seed: int = 0, key: str = "k"
) -> Documents:
    columns = Columns(np.arange(len(values)), np.array([f"{task}{number}" for number in range(len(values))]), np.array(values, dtype=float))
    return Documents("s", label, None if label == "base" else seed, ("es",), "en", task, *place(task, "en"), metric, key, columns)


def chrf(label: str, values: Sequence[float], seed: int = 0) -> Documents:
    return documents(label, values, task=FLORES, metric="chrf", seed=seed)


def test_signal_is_the_spread_of_methods_and_noise_that_of_seeds() -> None:
    """Means over seeds: a 20 and 24, thus 22; b 30 and 30. Spread of 22 and 30: 8 / sqrt(2). Seeds: (4 + 4 + 0 + 0) / 2 = 4."""
    found = tabulate_signal(
        gather(
            [
                chrf("base", [5, 10, 15, 10]),
                chrf("a", [15, 20, 25, 20]),
                chrf("a", [20, 24, 28, 24], seed=1),
                chrf("b", [25, 30, 35, 30]),
                chrf("b", [28, 30, 32, 30], seed=1),
            ]
        )
    )
    [row] = found.to_dict("records")
    assert (row["methods"], row["seeds"], row["items"], row["base"]) == (2, 2, 4, 10.0)
    assert row["signal"] == pytest.approx(8 / 2**0.5) and row["noise"] == pytest.approx(2.0)
    assert row["ratio"] == pytest.approx(8 / 2**0.5 / 2) and row["pairs"] == 3
    assert np.isnan(row["reliability"])  # two methods have no order worth a correlation


def test_one_seed_knows_no_noise() -> None:
    [row] = tabulate_signal(gather([chrf("base", [1, 2, 3]), chrf("a", [4, 5, 7])])).to_dict("records")
    assert np.isnan(row["noise"]) and np.isnan(row["ratio"]) and np.isnan(row["seeds_needed"])


def test_noise_of_late_points_stands_apart_from_that_of_seeds() -> None:
    """Signal: 20 and 30 spread by 10 / sqrt(2)."""
    found = gather([chrf("base", [1, 2, 3]), chrf("a", [19, 20, 21]), chrf("b", [29, 30, 31])])
    [row] = tabulate_signal(found, {("s", FLORES, "chrf"): 2.0}).to_dict("records")
    assert np.isnan(row["noise"]) and row["late_noise"] == 2.0 and row["late_ratio"] == pytest.approx(10 / 2**0.5 / 2)
    [row] = tabulate_signal(found).to_dict("records")
    assert np.isnan(row["late_noise"]) and np.isnan(row["late_ratio"])


def test_models_under_another_key_are_left_out() -> None:
    [one] = gather([documents("base", [0, 1, 1]), documents("a", [1, 1, 1]), documents("b", [0, 0, 0], key="other")])
    assert list(one.models) == ["base", "a"]


def test_a_measure_at_the_floor_is_set_aside() -> None:
    """Floor of generated answers: 5 points. Of 200 items, 2 right leave an interval that holds 5 %, 100 right do not."""
    low = [1.0] * 2 + [0.0] * 198
    high = [1.0] * 100 + [0.0] * 100
    [row] = tabulate_signal(gather([documents("base", low), documents("a", low[::-1])])).to_dict("records")
    assert row["at_floor"]
    [row] = tabulate_signal(gather([documents("base", low), documents("a", high)])).to_dict("records")
    assert not row["at_floor"]


def test_the_floor_of_choices_is_chance() -> None:
    assert find_floor("xlift_belebele_likelihood", find_metric("acc")) == 0.25
    assert find_floor("xlift_mgsm_direct", find_metric("accuracy")) == 0.05
    assert find_floor("xlift_flores_from_en", find_metric("chrf")) == 5.0
    assert find_floor("xlift_mgsm_direct", find_metric("off_target")) is None
    assert find_floor("another", find_metric("acc")) is None


def test_reliability_is_one_where_all_items_agree_and_low_where_none_do() -> None:
    rng = np.random.default_rng(1)
    agreeing = [chrf(f"m{number}", list(np.full(40, 10.0 * number) + rng.normal(0, 0.1, 40))) for number in range(5)]
    [row] = tabulate_signal(gather([chrf("base", list(rng.normal(0, 1, 40))), *agreeing])).to_dict("records")
    assert row["reliability"] == pytest.approx(1.0)
    noise = [chrf(f"m{number}", list(rng.normal(20, 10, 40))) for number in range(5)]
    [row] = tabulate_signal(gather([chrf("base", list(rng.normal(0, 1, 40))), *noise])).to_dict("records")
    assert row["reliability"] < 0.8


def test_seeds_needed_grow_with_their_noise() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(30, 5, 400)
    calm = [chrf("a", list(base + 2 + rng.normal(0, 2, 400) + shift), seed=seed) for seed, shift in enumerate((0.0, 0.2))]
    wild = [chrf("a", list(base + 2 + rng.normal(0, 2, 400) + shift), seed=seed) for seed, shift in enumerate((-1.0, 1.0))]
    few, many = (tabulate_signal(gather([chrf("base", list(base)), *some]))["seeds_needed"][0] for some in (calm, wild))
    assert few == 1 and many > 10


def test_agreement_is_spearmans_over_methods() -> None:
    """Lifts in bits fall as those in chrF rise, and fewer bits are better: the same order, 1. One pair swapped of four: 0.8."""
    bits = {"base": 2.0, "a": 1.9, "b": 1.8, "c": 1.7, "d": 1.6}
    points = {"base": 10.0, "a": 11.0, "b": 12.0, "c": 14.0, "d": 13.0}
    some = [
        documents(label, [value, value + 0.1], task="xlift_flores_bpb_eng_Latn_spa_Latn", metric="bits_per_byte")
        for label, value in bits.items()
    ]
    others = [chrf(label, [value, value + 1]) for label, value in points.items()]
    [row] = tabulate_agreement(gather(some + others)).to_dict("records")
    assert (row["measure"], row["foretells"], row["methods"]) == ("xlift_flores_bpb_from_en", "xlift_flores_from_en", 4)
    assert row["spearman"] == pytest.approx(0.8) and row["low"] <= 0.8 <= row["high"]
    assert tabulate_agreement(gather([*some[:-1], *others[:-1]])).empty


def test_order_kept_from_early_to_late() -> None:
    early, late = {"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 1.0, "b": 3.0, "c": 2.0}
    assert share_of_order_kept(early, late) == pytest.approx(2 / 3)
    assert share_of_order_kept(early, {"a": 1.0, "b": 1.0}) == 0.5
    assert np.isnan(share_of_order_kept({"a": 1.0}, late))


def test_a_plan_takes_the_spread_of_a_pilot_first() -> None:
    """Differences of the pilot: 0, 2, 4, 6, whose standard deviation is 2.582."""
    pilot = gather([chrf("base", [0, 0, 0, 0]), chrf("a", [0, 2, 4, 6])])
    wanted = [
        PlannedTask(FLORES, "xlift_flores_from_en", find_metric("chrf"), 50, 1012),
        PlannedTask("xlift_flores_eng_Latn_deu_Latn", "xlift_flores_from_en", find_metric("chrf"), 50, 1012),
        PlannedTask(MGSM, "xlift_mgsm_direct", find_metric("accuracy"), 250, 250),
        PlannedTask("xlift_xquad_es", "xlift_xquad", find_metric("f1"), 50, 1190),
    ]
    rows = plan_items(wanted, pilot, difference=1.0).to_dict("records")
    assert [row["source"] for row in rows] == [
        "measured on this task",
        "measured in other languages",
        "assumed: 20% of the items change",
        "unknown: measure a pilot of some 40 items",
    ]
    assert (
        rows[0]["spread"] == pytest.approx(2.582, abs=0.001)
        and rows[0]["items_needed"] == pytest.approx(55, abs=1)
        and not rows[0]["enough"]
    )
    assert rows[2]["spread"] == pytest.approx(0.2**0.5) and rows[2]["step"] == 0.01
    assert np.isnan(rows[3]["items_needed"]) and not rows[3]["enough"]


def test_few_items_are_not_at_the_floor_for_want_of_an_interval() -> None:
    """Three items give chrF no interval; their scores, 2 and 30, say whether they are above the floor of 5."""
    [row] = tabulate_signal(gather([chrf("base", [1, 2, 3]), chrf("a", [29, 30, 31])])).to_dict("records")
    assert not row["at_floor"]
    [row] = tabulate_signal(gather([chrf("base", [1, 2, 3]), chrf("a", [2, 3, 4])])).to_dict("records")
    assert row["at_floor"]


def test_one_item_tells_nothing() -> None:
    [row] = tabulate_signal(gather([chrf("base", [10]), chrf("a", [30])])).to_dict("records")
    assert (row["items"], row["told"], row["pairs"], row["at_floor"]) == (1, 0, 0, False)
    assert np.isnan(row["items_needed"])


def test_equal_methods_have_no_order_to_be_reliable() -> None:
    same = [chrf(label, [0.0] * 40) for label in ("base", "a", "b", "c")]
    assert np.isnan(tabulate_signal(gather(same))["reliability"][0])
