"""Views of a group, the sentence that each begins with, and the sum of estimates that they are made of."""

import math
from pathlib import Path

import numpy as np
import pytest
from result_folders import write_run

from xlift.leaderboard.analysis import board
from xlift.leaderboard.analysis.statistics import combine, compare, round_up
from xlift.leaderboard.analysis.summary import summarise
from xlift.leaderboard.analysis.views import Scope, View
from xlift.leaderboard.loading import foreign, runs

GOOD, BAD = [1.0] * 18 + [0.0] * 2, [0.0] * 18 + [1.0] * 2
MGSM = ("xlift_mgsm_direct_en", "xlift_mgsm_direct_es", "xlift_mgsm_direct_de")
BITS = "xlift_flores_bpb_eng_Latn_spa_Latn"


def make(root: Path) -> board.Group:
    return board.make(runs.collect([root], foreign.read)).groups[0]


def find(group: board.Group, *scope: str) -> View:
    return next(view for view in group.views if view.scope == Scope(*scope))


@pytest.fixture
def group(tmp_path: Path) -> board.Group:
    """A method that is right in Spanish, which it trains, and in German, and wrong in English; and one that is the base again."""
    write_run(tmp_path / "s", "base", dict(zip(MGSM, (GOOD, BAD, BAD), strict=True)))
    for seed in (0, 1):
        write_run(tmp_path / "s", "better", dict(zip(MGSM, (BAD, GOOD, GOOD), strict=True)), seed=seed, adapter=str(seed))
        write_run(tmp_path / "s", "same", dict(zip(MGSM, (GOOD, BAD, BAD), strict=True)), seed=seed, adapter=f"c{seed}")
    return make(tmp_path / "s")


def test_a_view_of_a_language_has_its_lift_and_ranks_by_it_alone(group: board.Group) -> None:
    whole, english = group.view, find(group, "answers", "en")
    assert {kind: round(one.value or 0) for kind, one in whole.figures["s--better"].items()} == {
        "lift": 80,
        "retention": -80,
        "transfer": 80,
    }
    assert whole.places["s--better"].rank == 1 and whole.places["s--base"].rank == 2, "two languages against one"
    assert round(english.figures["s--better"]["lift"].value or 0) == -80 and english.figures["s--better"]["lift"].significant
    assert [english.places[row].rank for row in ("s--base", "s--same", "s--better")] == [1, 1, 3]
    assert english.places["s--base"].tied == ("s--same",)
    assert find(group, "answers", "es", "xlift_mgsm_direct").tasks == ("xlift_mgsm_direct_es",)


def test_the_sentence_says_who_lifts_who_harms_and_what_it_costs(group: board.Group) -> None:
    text = summarise(group.rows, group.view)
    assert text.startswith("On tiny, trained for Spanish: better lifts most, by +80.0 points [") and ", and English falls by 80.0" in text
    assert text.endswith("; same cannot be told from the base.")
    assert summarise(group.rows, find(group, "answers", "en")).startswith(
        "On tiny, in English: no method is seen to lift: no lift is above 0, "
    )
    assert "better harms" in summarise(group.rows, find(group, "answers", "en"))


def test_a_suite_of_other_tasks_changes_nothing_for_the_rest(group: board.Group, tmp_path: Path) -> None:
    other = ("xlift_mgsm_direct_en", "xlift_mgsm_direct_sw")
    write_run(tmp_path / "t", "base", dict(zip(other, (GOOD, BAD), strict=True)), suite="t")
    for seed in (0, 1):
        write_run(tmp_path / "t", "swahili", dict(zip(other, (GOOD, GOOD), strict=True)), suite="t", seed=seed, adapter=f"e{seed}")
    both = make(tmp_path)
    assert len(both.rows) == 5 and both.view.tasks == group.view.tasks
    assert both.view.figures["s--better"]["lift"].value == group.view.figures["s--better"]["lift"].value
    assert both.view.places.keys() == {"s--base", "s--better", "s--same"} and both.view.figures["t--swahili"]["lift"].value is None
    (row,) = (row for row in both.rows if row.id == "t--swahili")
    assert row.notes[0] == "1/3 tasks: not ranked"
    swahili = find(both, "answers", "sw")
    assert round(swahili.figures["t--swahili"]["lift"].value or 0) == 80 and swahili.places.keys() == {"t--base", "t--swahili"}


def test_the_sentence_calls_a_control_one(tmp_path: Path) -> None:
    write_run(tmp_path / "s", "base", dict(zip(MGSM, (GOOD, BAD, BAD), strict=True)))
    for label in ("same", "shuffled"):
        scores = GOOD if label == "shuffled" else BAD
        for seed in (0, 1):
            run = dict(zip(MGSM, (GOOD, scores, BAD), strict=True))
            write_run(tmp_path / "s", label, run, seed=seed, adapter=f"{label}{seed}", control=label == "shuffled")
    group = make(tmp_path / "s")
    assert "shuffled (a control) lifts most, by +80.0 points [" in summarise(group.rows, group.view)


def test_more_rows_than_are_named_are_counted_with_their_controls(tmp_path: Path) -> None:
    write_run(tmp_path / "s", "base", dict(zip(MGSM, (GOOD, BAD, BAD), strict=True)))
    for number, label in enumerate("abcde"):
        for seed in (0, 1):
            run = dict(zip(MGSM, (GOOD, GOOD, BAD), strict=True))
            write_run(tmp_path / "s", label, run, seed=seed, adapter=f"{label}{seed}", control=number > 2)
    group = make(tmp_path / "s")
    assert "; four methods, two of them controls, lift too" in summarise(group.rows, group.view)


def test_rows_of_two_suites_with_one_label_have_the_suite_in_their_names(tmp_path: Path) -> None:
    write_run(tmp_path / "s", "base", dict(zip(MGSM, (GOOD, BAD, BAD), strict=True)))
    for suite in ("s", "t"):
        for seed in (0, 1):
            run = dict(zip(MGSM, (GOOD, BAD, BAD), strict=True))
            write_run(tmp_path / suite, "plain", run, seed=seed, suite=suite, adapter=f"{suite}{seed}")
    write_run(tmp_path / "t", "base", dict(zip(MGSM, (GOOD, BAD, BAD), strict=True)), suite="t")
    group = make(tmp_path)
    assert summarise(group.rows, group.view).endswith("the highest is 0.0 points [−14.0, +14.0] (plain of s).")


def test_where_nothing_is_told_apart_the_items_that_would_do_are_named(tmp_path: Path) -> None:
    write_run(tmp_path / "s", "base", {MGSM[1]: [1.0] * 10 + [0.0] * 90})
    write_run(tmp_path / "s", "m", {MGSM[1]: [1.0] * 13 + [0.0] * 87}, seed=0)
    group = make(tmp_path / "s")
    assert group.view.documents == 100 and group.view.needed is not None
    text = summarise(group.rows, group.view)
    assert "the largest lift is +3.0 points [" in text
    assert f"about {round_up(group.view.needed):,} items in place of 100 would find one of that size four times in five" in text


def test_where_only_the_correction_stands_against_a_lift_the_sentence_says_so(tmp_path: Path) -> None:
    """Nine documents won and one lost: McNemar's p is 0.021, and there are comparisons in other languages."""
    kept = [1.0] * 50 + [0.0] * 50
    base, ours = [0.0] * 9 + [1.0] + [0.0] * 90, [1.0] * 9 + [0.0] * 91
    write_run(tmp_path / "s", "base", dict(zip(MGSM, (kept, base, kept), strict=True)))
    write_run(tmp_path / "s", "m", dict(zip(MGSM, (kept, ours, kept), strict=True)), seed=0)
    group = make(tmp_path / "s")
    lift = group.view.figures["s--m"]["lift"]
    assert lift.low is not None and lift.low > 0 and lift.significant is False
    text = summarise(group.rows, group.view)
    assert "the largest lift is +8.0 points [" in text and "(m); its interval leaves out 0, but it is one of " in text
    assert "does not pass Holm's correction for them; about " in text


def test_where_no_average_is_a_gain_the_gains_on_single_benchmarks_are_named(tmp_path: Path) -> None:
    """On MGSM 40 more of 100 are right, on MSVAMP 39 fewer: the average of +0.5 points is nothing."""
    for label, (mgsm, other) in {"base": (10, 60), "m": (50, 21), "n": (35, 60)}.items():
        values = {MGSM[1]: [1.0] * mgsm + [0.0] * (100 - mgsm), "xlift_msvamp_direct_es": [1.0] * other + [0.0] * (100 - other)}
        write_run(tmp_path / "s", label, values, adapter=label, seed=None if label == "base" else 0)
    group = make(tmp_path / "s")
    parts = [find(group, "answers", "", "xlift_mgsm_direct")]
    text = summarise([row for row in group.rows if row.label != "n"], group.view, parts)
    assert text.startswith("On tiny, trained for Spanish: m lifts MGSM most, by +40.0 points [")
    assert "no average over the benchmarks can be told from the base" in text


def test_likelihood_leads_where_answers_are_too_few_for_a_test_and_is_never_averaged_with_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label, seeds, shift in (("base", [None], 0.0), ("m", [0, 1], -0.2)):
        for seed in seeds:
            bits = list(1.5 + shift + rng.normal(0, 0.01, 60))
            write_run(tmp_path / "s", label, {BITS: bits}, seed=seed, metric="bits_per_byte", adapter=str(seed), day="02")
            write_run(tmp_path / "t", label, {"xlift_xquad_es": [0.3, 0.1]}, seed=seed, metric="f1", adapter=str(seed))
    group = make(tmp_path / "s")
    assert group.view.scope == Scope("likelihood")
    lift = group.rows[0].averages["lift"]
    assert group.rows[0].label == "m" and lift.value == pytest.approx(0.2, abs=0.01) and lift.in_bits
    assert summarise(group.rows, group.view).startswith("On tiny, trained for Spanish, by likelihood: m lifts most, by +0.2")
    few = make(tmp_path / "t")
    assert summarise(few.rows, few.view) == (
        "On tiny, trained for Spanish: nothing can be told: 2 items are too few for an interval, which needs 40."
    )


def test_bases_are_ranked_apart(tmp_path: Path) -> None:
    for suite, base in (("s", "small-135m"), ("t", "large-1b")):
        for label, seed, scores in (("base", None, BAD), ("m", 0, GOOD)):
            write_run(tmp_path / suite, label, {MGSM[1]: scores}, seed=seed, suite=suite, base=base, base_sha256=suite * 64)
    groups = board.make(runs.collect([tmp_path], foreign.read)).groups
    assert [(group.base, [row.suite for row in group.rows], {row.of for row in group.rows}) for group in groups] == [
        ("small-135m", ["s", "s"], {2}), ("large-1b", ["t", "t"], {2}),
    ]  # fmt: skip


def test_a_sum_of_estimates_joins_documents_as_independent_and_seeds_as_one() -> None:
    rng = np.random.default_rng(0)
    first, second = [compare([rng.normal(size=(3, 100)) + shift], [np.zeros((1, 100))]) for shift in (1.0, 3.0)]
    made = combine([(0.5, first), (0.5, second)])
    assert made.value == pytest.approx((first.value + second.value) / 2) and made.documents == 200
    assert made.value - made.low == pytest.approx(0.5 * math.hypot(first.value - first.low, second.value - second.low))
    assert made.parts[0][0] == pytest.approx(0.5 * math.hypot(first.parts[0][0], second.parts[0][0]))
    assert made.parts[1] == (pytest.approx(0.5 * (first.parts[1][0] + second.parts[1][0])), 2.0)
    alone = combine([(100.0, first)])
    assert (alone.value, alone.p) == (pytest.approx(100 * first.value), first.p)
