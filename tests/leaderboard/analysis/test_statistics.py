"""Hand-computed examples, then simulation: ``python -m pytest tests/test_statistics.py -k "coverage or false" -s`` prints the figures."""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.random import Generator
from scipy import special, stats
from statsmodels.stats.contingency_tables import mcnemar as peer_mcnemar
from statsmodels.stats.power import TTestPower

from xlift.harness.core.errors import UserError
from xlift.leaderboard.analysis.corpus_bootstrap import compare_corpora
from xlift.leaderboard.analysis.statistics import (
    Array,
    Scores,
    compare,
    compare_pairs,
    correct,
    count_needed,
    detectable,
    estimate,
    mcnemar,
    rank,
)
from xlift.leaderboard.loading.scores import join_groups

TABLES = 1000
"""Simulated tables for each figure of single comparisons; half as many for the others."""


def one(*values: float) -> Array:
    """Scores of one seed."""
    return np.array([values], dtype=np.float64)


def difference(wins: int, losses: int, ties: int) -> tuple[list[Array], list[Array]]:
    return [one(*[1] * wins, *[0] * losses, *[1] * ties)], [one(*[0] * wins, *[1] * losses, *[1] * ties)]


def test_mcnemar_by_hand() -> None:
    # 6 discordant documents, one lost: 2 * (C(6,0) + C(6,1)) / 2^6 = 14/64
    assert mcnemar(5, 1) == pytest.approx(14 / 64)
    assert mcnemar(1, 5) == mcnemar(5, 1)
    assert mcnemar(0, 0) == mcnemar(3, 3) == 1
    assert mcnemar(6, 0) == pytest.approx(2 / 64)
    found = compare(*difference(5, 1, 44))
    assert (found.test, found.p, found.value) == ("mcnemar", pytest.approx(14 / 64), pytest.approx(4 / 50))
    assert found.p == pytest.approx(peer_mcnemar([[0, 5], [1, 44]], exact=True).pvalue)


def test_interval_of_0_1_scores_by_hand() -> None:
    # 5 won, 1 lost of 50; with a won and a lost document more: mean 4/52, variance (8 - 16/52)/51, divided by 52
    found = compare(*difference(5, 1, 44))
    assert found.parts[0][0] ** 2 == pytest.approx((8 - 16 / 52) / 51 / 52)
    assert found.low < 0 < found.value < found.high
    nothing = compare(*difference(0, 0, 50))
    assert (nothing.value, nothing.p) == (0, 1)
    assert -0.1 < nothing.low < 0 < nothing.high < 0.1, "no discordant document does not prove that there are none"


def test_other_scores_get_student_s_paired_t_test() -> None:
    method, base = one(*[0.9, 0.5, 0.7, 0.2] * 25), one(*[0.4, 0.5, 0.1, 0.3] * 25)
    found = compare([method], [base])
    # differences 0.5, 0, 0.6, -0.1, each 25 times: mean 0.25, sum of squares about it 25 * 0.37, standard error sqrt(9.25 / 99 / 100)
    assert found.value == pytest.approx(0.25)
    assert found.parts == (pytest.approx(((9.25 / 9900) ** 0.5, 99)),)
    assert found.p == pytest.approx(stats.ttest_rel(method[0], base[0]).pvalue)
    assert found.seed_sd is None and found.seeds == 1


def test_no_p_below_what_swapping_sides_allows() -> None:
    assert compare([one(*[0.5] * 50)], [one(*[0.2] * 50)]).p == 2**-49


def test_fewer_than_forty_scores_that_are_not_0_or_1_get_a_mean_and_no_interval() -> None:
    some, more = [0.9, 0.5, 0.7] * 13, [0.4] * 39
    few = compare([one(*some)], [one(*more)])
    assert (few.value, few.documents, few.test) == (pytest.approx(0.3), 39, "none")
    assert np.isnan([few.low, few.high, few.p]).all()
    assert np.isnan(compare_pairs({"a": [one(*some)], "b": [one(*more)]})["p"]).all()
    enough = compare([one(*some, 0.5)], [one(*more, 0.2)])
    assert enough.low < 0.3 < enough.high and enough.p < 0.05
    # two languages with other documents are 78 together, two with the same ones are not
    assert not np.isnan(compare([one(*some)] * 2, [one(*more)] * 2).low)
    assert np.isnan(compare([one(*some)] * 2, [one(*more)] * 2, parallel=True).low)
    assert compare(*difference(5, 1, 4)).test == "mcnemar", "0/1 scores are tested exactly, however few"


def test_an_interval_follows_the_skew_and_is_never_inside_student_s() -> None:
    # 8 of 100 lines lose 25 points: mean -2, standard error sqrt((8 * 23^2 + 92 * 2^2) / 99 / 100) = 0.6816, t(0.975, 99) = 1.984
    method, base = one(*[0.0] * 92, *[-25.0] * 8), one(*[0.0] * 100)
    found = compare([method], [base])
    half = 1.9842 * (4600 / 9900) ** 0.5
    assert found.value == -2 and found.high >= -2 + half - 1e-3
    assert found.low < -2 - 1.2 * half, "what few lines lose may be more: the longer end is below"


def test_a_spread_that_few_documents_make_has_few_degrees_of_freedom() -> None:
    # 8 of 100 lose 25: kurtosis (1 - 3 * 0.0736) / 0.0736 = 10.587, and 99 * 2 / 9.587 = 20.65 degrees of freedom
    found = compare([one(*[0.0] * 92, *[-25.0] * 8)], [one(*[0.0] * 100)])
    assert found.parts == (pytest.approx((0.68165, 20.653), rel=1e-4),)
    assert found.p == pytest.approx(2 * stats.t.cdf(-2 / 0.68165, 20.653), rel=1e-3)
    # half of 100 lose 2 and half win 2.2: no kurtosis above the normal one, Student's 99
    even = compare([one(*[2.2] * 50, *[-2.0] * 50)], [one(*[0.0] * 100)])
    assert even.parts[0][1] == 99


@pytest.mark.parametrize("changes", [(), (30.0,), (30.0, -10.0), (30.0, -10.0, 5.0)])
def test_where_hardly_any_document_differs_there_is_no_interval(changes: tuple[float, ...]) -> None:
    base = one(*[50.0] * 100)
    method = base + one(*changes, *[0.0] * (100 - len(changes)))
    found = compare([method], [base])
    assert (found.value, found.test) == (pytest.approx(sum(changes) / 100), "none")
    assert np.isnan([found.low, found.high, found.p]).all() and np.isnan(compare_pairs({"a": [method], "b": [base]})["p"]).all()
    more = base + one(*changes, *[30.0, -10.0, 20.0, 5.0] * 3, *[0.0] * (88 - len(changes)))
    assert compare([more], [base]).low < 0.3 and not np.isnan(compare_pairs({"a": [more], "b": [base]})["p"]).any()


def test_bootstrap_agrees_with_scipy_s() -> None:
    rng = np.random.default_rng(5)
    base = rng.beta(2, 5, 300)
    method = base + rng.normal(0.02, 0.1, 300)
    peer = stats.bootstrap((method - base,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(0))
    ours = compare([method[None]], [base[None]], resamples=20000)
    assert (ours.low, ours.high) == pytest.approx((peer.confidence_interval.low, peer.confidence_interval.high), abs=4e-4)


def test_equal_seeds_give_equal_intervals_whatever_ran_before() -> None:
    rng = np.random.default_rng(0)
    method, base = rng.random((2, 1, 60))
    first = compare([method], [base], seed=3)
    compare([base], [method], seed=9)
    assert compare([method], [base], seed=3) == first
    assert compare([method], [base], seed=4) != first


def test_holm_by_hand() -> None:
    # sorted 0.01 * 4, 0.02 * 3, 0.03 * 2 (at least the one before), 0.5 * 1; what was not compared counts for nothing
    assert correct([0.03, np.nan, 0.01, 0.5, 0.02]) == pytest.approx([0.06, np.nan, 0.04, 0.5, 0.06], nan_ok=True)
    assert np.isnan(correct([np.nan])).all()


def test_seed_variance_by_hand() -> None:
    # three seeds of one model that differ by a constant: no noise of documents between them, so all of it is the seeds'
    scores, base = np.tile([[0.1, 0.5], [0.3, 0.7], [0.2, 0.6]], 25), one(*[0.2] * 50)
    found = compare([scores], [base])
    assert found.seed_sd == pytest.approx(0.1)
    # of the documents: 50 that lie 0.2 from their mean
    assert found.parts == (pytest.approx(((50 * 0.04 / 49 / 50) ** 0.5, 49)), pytest.approx((0.1 / 3**0.5, 2)))
    # the seeds' half-width alone: t(0.975, 2) * 0.1 / sqrt(3)
    alone = compare([scores.mean(axis=0, keepdims=True)], [base])
    assert found.high - found.value == pytest.approx(np.hypot(alone.high - alone.value, 4.302653 * 0.1 / 3**0.5))


def test_seed_noise_that_documents_explain_is_not_counted_twice() -> None:
    # means of the seeds are equal although every document flips: nothing is left for the seeds
    found = compare([np.array([[1.0, 0, 1, 0], [0, 1, 0, 1]])], [one(0, 0, 0, 0)])
    assert found.seed_sd == 0
    assert found.parts[1][0] == 0


def test_p_is_the_level_at_which_the_joint_width_reaches_zero() -> None:
    rng = np.random.default_rng(1)
    base = rng.random((1, 200))
    for shift in (0.05, 0.1, 0.2, 0.3):
        found = compare([base + rng.normal(0, 0.1, (3, 200)) + rng.normal(shift, 0.05, (3, 1))], [base])
        width = np.sqrt(sum((stats.t.isf(found.p / 2, df) * se) ** 2 for se, df in found.parts))
        assert width == pytest.approx(found.value, rel=1e-4)
        assert found.low > 0 or found.p >= 0.05, "the test is the stricter of the two"


def test_languages_weigh_the_same_whatever_their_size() -> None:
    found = compare([one(1, 1), one(0, 0, 0, 0, 0, 0)], [one(0, 0), one(0, 0, 0, 0, 0, 0)])
    assert (found.value, found.documents, found.test) == (0.5, 8, "t")
    assert estimate([one(1, 1), one(0, 0, 0, 0, 0, 0)]).value == 0.5


def test_pairs_are_compared_as_one_by_one() -> None:
    rng = np.random.default_rng(2)
    tables: list[tuple[dict[str, Scores], bool]] = [
        ({name: [(rng.random((1, 80)) < 0.5).astype(float)] for name in "abc"}, False),
        ({name: [rng.random((1, 80)), rng.random((1, 60))] for name in "abc"}, False),
        ({name: [(rng.random((1, 80)) < 0.5).astype(float) for _ in range(3)] for name in "abc"}, True),
        ({name: [rng.random((3, 80)) + rng.normal(0, 0.2, (3, 1))] for name in "abc"}, False),
    ]
    for scores, parallel in tables:
        for _, row in compare_pairs(scores, parallel=parallel).iterrows():
            found = compare(scores[row["first"]], scores[row["second"]], parallel=parallel)
            assert (row["difference"], row["p"]) == (pytest.approx(found.value), pytest.approx(found.p, rel=1e-6))


def test_rank_is_one_plus_those_significantly_better() -> None:
    pairs = pd.DataFrame({"first": ["a", "a", "b"], "second": ["b", "c", "c"], "p_corrected": [0.2, 0.01, 0.3]})
    table = rank({"c": 0.1, "a": 0.6, "b": 0.4}, pairs)
    assert table.to_dict("records") == [
        {"model": "a", "value": 0.6, "rank": 1, "tied": ("b",)},
        {"model": "b", "value": 0.4, "rank": 1, "tied": ("a", "c")},
        {"model": "c", "value": 0.1, "rank": 2, "tied": ("b",)},
    ]


def test_detectable_difference_is_what_a_power_analysis_gives() -> None:
    # statsmodels asks the noncentral t; the sum of two quantiles is within a percent of it
    for documents, comparisons in ((100, 1), (250, 20), (1000, 300)):
        peer = TTestPower().solve_power(nobs=documents, alpha=0.05 / comparisons, power=0.8)
        assert detectable([(documents**-0.5, documents - 1)], comparisons) == pytest.approx(peer, rel=0.01)
    assert np.isnan(detectable([(0.0, 9.0)]))


def test_documents_for_a_difference_are_what_a_power_analysis_gives() -> None:
    for step, comparisons in ((1.0, 1), (3.0, 20)):
        peer = TTestPower().solve_power(effect_size=step / 10, alpha=0.05 / comparisons, power=0.8)
        assert count_needed(10.0, step, comparisons=comparisons) == pytest.approx(peer, rel=0.02)
    assert count_needed(1.0, 10.0) == 2  # (12.7 + 1.4) / sqrt(2) = 9.97
    assert count_needed(10.0, 1e-6) is None and count_needed(0.0, 1.0) is None and count_needed(1.0, -1.0) is None


def test_documents_are_never_enough_where_seeds_hide_the_difference() -> None:
    assert count_needed(1.0, 1.0, [(1.0, np.inf)]) is None
    alone, beside = count_needed(10.0, 1.0), count_needed(10.0, 1.0, [(0.2, np.inf)])
    assert alone is not None and beside is not None and beside > alone


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(UserError, match="3 documents against 2"):
        compare([one(1, 2, 3)], [one(1, 2)])
    with pytest.raises(UserError, match="1 document: an interval needs two"):
        compare([one(1)], [one(1)])
    with pytest.raises(UserError, match="2 languages against 1"):
        compare([one(1, 2), one(1, 2)], [one(1, 2)])


def test_corpus_scores_are_resampled_from_counts() -> None:
    from sacrebleu.metrics import CHRF

    rng = np.random.default_rng(0)
    words = ["la", "casa", "roja", "tiene", "una", "puerta", "vieja", "y", "dos", "ventanas"]
    references = [" ".join(rng.choice(words, 8)) for _ in range(60)]
    worse, better = ([" ".join(w if rng.random() > share else "perro" for w in r.split()) for r in references] for share in (0.5, 0.2))
    signature = "nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no|version:2.6.0"
    ours, theirs = (list(zip(references, texts, strict=True)) for texts in (better, worse))
    found = compare_corpora(ours, theirs, signature, resamples=300)
    whole = [CHRF(word_order=2).corpus_score(texts, [references]).score for texts in (better, worse)]
    assert found.value == pytest.approx(whole[0] - whole[1])
    assert found.low < found.value < found.high and found.p < 1e-6
    same = compare_corpora(ours, ours, "nrefs:1|case:mixed|eff:no|tok:intl|smooth:exp|version:2.6.0", resamples=50)
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    with pytest.raises(UserError, match="different references"):
        compare_corpora(ours, [(hypothesis, reference) for reference, hypothesis in ours], signature)
    with pytest.raises(UserError, match="only chrF and BLEU"):
        compare_corpora(ours, theirs, "nrefs:1|case:mixed")


# ---------------------------------------------------------------------------------------------------------------- simulation


def draw_binary(rng: Generator, accuracy: float, lift: float, agreement: float, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Paired 0/1 scores of two models whose answers agree through a shared difficulty (normal copula)."""
    difficulty = rng.standard_normal(shape)
    made = []
    for rate in (accuracy + lift, accuracy):
        latent = agreement**0.5 * difficulty + (1 - agreement) ** 0.5 * rng.standard_normal(shape)
        made.append((latent < special.ndtri(rate)).astype(float))
    return made[0], made[1]


def draw_f1(rng: Generator, documents: int) -> tuple[Array, Array]:
    """Scores between 0 and 1 with much of their mass on both ends; the method's true lift is 0.06."""
    easy = rng.beta(0.5, 0.8, (1, documents))
    made = []
    for lift in (0.06, 0.0):
        partial = rng.beta(2, 2, (1, documents)) * (rng.random((1, documents)) < 0.5)
        full = np.where(rng.random((1, documents)) < easy, 1.0, partial)
        made.append(full + lift * (0.5 * rng.random((1, documents)) + 0.75))
    return made[0], made[1]


def draw_chrf(rng: Generator, documents: int) -> tuple[Array, Array]:
    """Scores between 0 and 100, skewed; the method's true lift is 2."""
    base = 100 * rng.beta(2, 6, (1, documents))
    return base + rng.gamma(2, 3.5, (1, documents)) - 5, base


def report(name: str, hits: list[bool], seconds: float) -> float:
    share = 100 * float(np.mean(hits))
    print(f"{name:68} {share:5.1f} %  of {len(hits)} tables, {seconds:.1f} s")
    return share


@pytest.mark.parametrize("documents", [100, pytest.param(250, marks=pytest.mark.slow)])
@pytest.mark.parametrize("accuracy", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_coverage_of_0_1_differences(accuracy: float, documents: int) -> None:
    rng, hits, started = np.random.default_rng(int(1000 * accuracy) + documents), [], time.perf_counter()
    for _ in range(TABLES):
        lift, agreement = rng.uniform(-0.06, 0.09), rng.uniform(0.2, 0.8)
        method, base = draw_binary(rng, accuracy, lift, agreement, (1, documents))
        found = compare([method], [base])
        hits.append(found.low <= lift <= found.high)
    assert 93 <= report(f"coverage, 0/1 differences, accuracy {accuracy}, {documents} documents", hits, time.perf_counter() - started) <= 97


@pytest.mark.parametrize("documents", [100, pytest.param(250, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("draw", "lift"), [(draw_f1, 0.06), (draw_chrf, 2.0)], ids=["f1", "chrf"])
def test_coverage_of_bounded_differences(draw: Callable[[Generator, int], tuple[Array, Array]], lift: float, documents: int) -> None:
    rng, hits, started = np.random.default_rng(documents), [], time.perf_counter()
    for _ in range(TABLES):
        method, base = draw(rng, documents)
        found = compare([method], [base])
        hits.append(found.low <= lift <= found.high)
    name = f"coverage, differences of {draw.__name__.removeprefix('draw_')}, {documents} documents"
    assert 93 <= report(name, hits, time.perf_counter() - started) <= 97


@pytest.mark.parametrize(("documents", "given"), [(50, 0.42), (100, 0.77), (200, 0.98)])
def test_coverage_where_few_answers_change(documents: int, given: float) -> None:
    """6 % of the answers change: an interval is given where its spread rests on enough of them, and holds then."""
    rng, hits, started = np.random.default_rng(documents), [], time.perf_counter()
    for _ in range(TABLES):
        base = rng.uniform(0, 100, documents)
        method = base + rng.normal(10, 30, documents) * (rng.random(documents) < 0.06)
        found = compare([method[None]], [base[None]])
        hits += [] if np.isnan(found.low) else [found.low <= 0.6 <= found.high]
    assert len(hits) / TABLES == pytest.approx(given, abs=0.05)
    assert 94 <= report(f"coverage, 6 % of the answers change, {documents} documents", hits, time.perf_counter() - started) <= 99.5


@pytest.mark.parametrize("accuracy", [0.1, 0.5, 0.9])
def test_coverage_of_one_accuracy(accuracy: float) -> None:
    rng, hits, started = np.random.default_rng(7), [], time.perf_counter()
    for _ in range(TABLES):
        true = accuracy + rng.uniform(-0.05, 0.05)
        found = estimate([(rng.random((1, 150)) < true).astype(float)])
        hits.append(found.low <= true <= found.high)
    assert 93 <= report(f"coverage, one model's accuracy near {accuracy}, 150 documents", hits, time.perf_counter() - started) <= 97


@pytest.mark.parametrize("icc", [0.1, 0.2])
def test_coverage_where_questions_share_a_paragraph(icc: float) -> None:
    """50 paragraphs of 3 to 7 questions, whose differences are alike to the share ``icc``."""
    rng, hits, blind, started = np.random.default_rng(13), [], [], time.perf_counter()
    paragraphs = np.repeat(np.arange(50), [3, 4, 5, 6, 7] * 10)
    for _ in range(TABLES):
        lift = rng.normal(0, 0.1)
        shared = rng.normal(0, icc**0.5, 50)[paragraphs]
        base = rng.random((1, len(paragraphs)))
        method = base + lift + shared + rng.normal(0, (1 - icc) ** 0.5, len(paragraphs))
        both = join_groups(np.concatenate([method, base]), paragraphs)
        found, apart = compare([both[:1]], [both[1:]]), compare([method], [base])
        hits.append(found.low <= lift <= found.high)
        blind.append(apart.low <= lift <= apart.high)
    assert 93 <= report(f"coverage, questions to paragraphs, intraclass correlation {icc}", hits, time.perf_counter() - started) <= 97
    assert report("the same, resampled question by question", blind, 0.0) < 92.5


@pytest.mark.parametrize("parallel", [False, True], ids=["separate", "parallel"])
def test_coverage_of_macro_averages(parallel: bool) -> None:
    """Four languages of unequal difficulty; parallel ones share half of each document's difficulty."""
    rng, hits, blind, started = np.random.default_rng(11), [], [], time.perf_counter()
    rates, lifts, sizes = (0.1, 0.3, 0.5, 0.8), (0.1, 0.0, 0.05, -0.02), (100, 150, 250, 120)
    for _ in range(TABLES // 2):
        languages = []
        skill = rng.standard_normal((2, 150))
        for rate, lift, size in zip(rates, lifts, sizes, strict=True):
            if parallel:
                latent = 0.7 * skill + 0.51**0.5 * rng.standard_normal((2, 150))
                languages.append([(latent[k : k + 1] < special.ndtri(rate + lift * (k == 0))).astype(float) for k in (0, 1)])
            else:
                languages.append(list(draw_binary(rng, rate, lift, 0.5, (1, size))))
        method, base = zip(*languages, strict=True)
        found, apart = compare(method, base, parallel=parallel), compare(method, base)
        hits.append(found.low <= float(np.mean(lifts)) <= found.high)
        blind.append(apart.low <= float(np.mean(lifts)) <= apart.high)
    name = f"coverage, macro average of 4 {'parallel' if parallel else 'separate'} languages"
    assert 93 <= report(name, hits, time.perf_counter() - started) <= 97
    if parallel:
        assert report("  the same, resampled as if the languages were separate", blind, 0) < 93, "which is why they are resampled jointly"


@pytest.mark.parametrize("share", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_coverage_with_several_seeds(seeds: int, share: float) -> None:
    """``share``: standard deviation of a seed's effect over the standard error that the documents alone give."""
    rng, hits, items, started = np.random.default_rng(seeds), [], [], time.perf_counter()
    for _ in range(TABLES // 2):
        base = rng.random((1, 150))
        method = (
            base + rng.normal(0.02, 0.2, (1, 150)) + rng.normal(0, 0.1, (seeds, 150)) + rng.normal(0, share * 0.2 / 150**0.5, (seeds, 1))
        )
        found = compare([method], [base])
        hits.append(found.low <= 0.02 <= found.high)
        items.append(abs(found.value - 0.02) <= 1.96 * found.parts[0][0])
    covered = report(f"coverage, {seeds} seeds, seed sd {share:.0f} times the documents' error", hits, time.perf_counter() - started)
    # two seeds tell little of a variance: from 92 up, stated in docs/statistics.md
    assert (92 if seeds == 2 else 93) <= covered <= 98
    if share == 3:
        assert report("  the same, from the documents' variance alone", items, 0) < 80


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "tables"), [("0/1", 2 * TABLES), ("bounded", 2 * TABLES), ("seeds", TABLES // 2)])
def test_false_positives_after_holm(kind: str, tables: int) -> None:
    """Tables of 12 methods that all equal the base: how many hold a single significant lift, or two models of different rank."""
    rng, lifts, ranks, started = np.random.default_rng(13), [], [], time.perf_counter()
    for _ in range(tables):
        if kind == "0/1":
            made = (0.6 * rng.standard_normal((1, 120)) + 0.8 * rng.standard_normal((13, 120)) < rng.normal()).astype(float)[:, None]
        elif kind == "bounded":
            easy = rng.beta(0.5, 0.8, (1, 120))
            made = np.where(rng.random((13, 120)) < easy, 1.0, rng.beta(2, 2, (13, 120)))[:, None]
        else:
            shared = rng.random((1, 1, 120))
            made = shared + rng.normal(0, 0.2, (13, 3, 120)) + rng.normal(0, 0.03, (13, 3, 1))
        pairs = compare_pairs({str(number): [scores] for number, scores in enumerate(made)})
        # Holm finds something exactly where its first step does, the least p times the number of comparisons
        lifts.append(bool(pairs["p"][pairs["first"] == "0"].min() * 12 < 0.05))
        ranks.append(bool(pairs["p"].min() * 78 < 0.05))
    assert ranks[-1] == (correct(pairs["p"].to_numpy()) < 0.05).any()
    seconds = time.perf_counter() - started
    noise = 200 * (0.05 * 0.95 / tables) ** 0.5  # two standard errors of a true 5 %
    assert report(f"false positives, {kind}: a table with a lift (12 comparisons)", lifts, seconds) <= 5 + noise
    assert report(f"false positives, {kind}: a table with two ranks (78 comparisons)", ranks, 0) <= 5 + noise


def test_the_detectable_difference_is_detected_four_times_of_five() -> None:
    rng, found, comparisons = np.random.default_rng(17), [], 20
    true = detectable([(0.2 / 250**0.5, 249)], comparisons)
    for _ in range(TABLES // 2):
        base = rng.random((1, 250))
        found.append(compare([base + rng.normal(true, 0.2, (1, 250))], [base]).p < 0.05 / comparisons)
    assert 77 <= report("power at the minimum detectable difference", found, 0) <= 83


@pytest.mark.slow
def test_a_large_board_takes_seconds() -> None:
    """50 runs on 20 tasks of 1,000 items: every lift with its interval, and every pair of every task."""
    rng, started = np.random.default_rng(0), time.process_time()
    for task in range(20):
        scores = rng.random((50, 1, 1, 1000))
        sheets: dict[str, Scores] = {str(number): list(run < 0.5 if task % 2 else run) for number, run in enumerate(scores)}
        sheets = {name: [column.astype(float) for column in sheet] for name, sheet in sheets.items()}
        assert len([compare(sheet, sheets["0"]) for sheet in sheets.values()]) == 50
        assert len(compare_pairs(sheets)) == 1225
    assert time.process_time() - started < 10


def test_sides_may_have_different_numbers_of_seeds() -> None:
    method, base = np.array([[1.0, 0.0, 1.0, 1.0]] * 3), np.array([[0.0, 0.0, 1.0, 0.0]] * 2)
    assert compare([method], [base]).value == pytest.approx(0.5)
