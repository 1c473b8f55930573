"""The scaling law on scores a reader can work out: fit, allocation, errors, pilots from files and runs, and cross_lingual's split."""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from xlift.harness.config.suite import read_suite
from xlift.harness.plugin import Answer, Chat, Plan, Sampling, UserError, load
from xlift.harness.recipes.scaling_law import FittedLaw, Pilot, ScalingLaw, allocate, describe, fit_scaling, judge, write_options

# 100 - 80 / sqrt(D), and 100 - 80 / sqrt(D / 8).
SPANISH = [Pilot("es", 4, 60), Pilot("es", 16, 80), Pilot("es", 64, 90)]
GERMAN = [Pilot("de", 8, 20), Pilot("de", 32, 60), Pilot("de", 128, 80)]
LAW = ScalingLaw(a=80, b=-0.5, similarity={"es": 1, "de": 1 / 8})


def test_exact_points_give_their_coefficients_back() -> None:
    law = fit_scaling([*SPANISH, *GERMAN])
    assert (law.a, law.b) == pytest.approx((80, -0.5))
    assert law.similarity == pytest.approx({"es": 1, "de": 1 / 8})
    assert law.fitted == ("de",)
    assert law.r2 == pytest.approx(1)
    assert (law.residual_sd, law.a_error, law.b_error) == pytest.approx((0, 0, 0), abs=1e-6)
    assert law.degrees_of_freedom == 3


def test_given_similarities_are_kept() -> None:
    # The same points on a scale where Spanish has 0.5: a * (0.5 D)^-0.5 = 80 D^-0.5, so a = 80 / sqrt(2).
    known = [Pilot("es", pilot.rows, pilot.score, 0.5) for pilot in SPANISH]
    law = fit_scaling([*known, *GERMAN])
    assert law.a == pytest.approx(80 / math.sqrt(2))
    assert law.similarity == pytest.approx({"es": 0.5, "de": 0.5 / 8})
    both = fit_scaling([*known, *(Pilot("de", pilot.rows, pilot.score, 0.5 / 8) for pilot in GERMAN)])
    assert both.fitted == ()
    assert (both.a, both.b) == pytest.approx((law.a, law.b))


def test_the_ceiling_is_a_parameter() -> None:
    law = fit_scaling([Pilot("es", rows, score - 40) for rows, score in ((4, 60), (16, 80), (64, 90))], ceiling=60)
    assert (law.a, law.b, law.ceiling) == pytest.approx((80, -0.5, 60))


def test_standard_errors_by_hand() -> None:
    # log2 of the shortfall at log2 D = 0, 1, 2, 3 is 4, 3.5, 2.5, 2: slope -0.7, intercept 4.05, residuals -.05, .15, -.15, .05.
    # Their squares add up to 0.05; over 2 degrees of freedom and sum (x - 1.5)^2 = 5 the slope's error is sqrt(0.025 / 5).
    law = fit_scaling([Pilot("es", 2**x, 100 - 2**y) for x, y in ((0, 4.0), (1, 3.5), (2, 2.5), (3, 2.0))])
    assert law.b == pytest.approx(-0.7)
    assert law.a == pytest.approx(2**4.05)
    assert law.b_error == pytest.approx(math.sqrt(0.005))
    assert law.residual_sd == pytest.approx(math.sqrt(0.025) * math.log(2))
    # The intercept's: sqrt(0.025 * (1/4 + 1.5^2 / 5)) in log2, times ln 2 and a.
    assert law.a_error == pytest.approx(math.sqrt(0.025 * 0.7) * math.log(2) * law.a)
    assert law.r2 == pytest.approx(1 - 0.05 / 2.5)


def simulate(seed: int, noise: float = 0.05) -> FittedLaw:
    chance = np.random.default_rng(seed)
    pilots = []
    for lang, similarity in (("es", 1.0), ("de", 0.5), ("sw", 0.1)):
        for rows in (100, 400, 1600, 6400):
            shortfall = 90 * (similarity * rows) ** -0.2 * math.exp(chance.normal(0, noise))
            pilots.append(Pilot(lang, rows, 100 - shortfall))
    return fit_scaling(pilots)


def test_error_bars_cover_the_truth() -> None:
    fits = [simulate(seed) for seed in range(80)]
    # 8 degrees of freedom: 2 standard errors hold 92 % of the time.
    for error in ([abs(law.b + 0.2) / law.b_error for law in fits], [abs(law.a - 90) / law.a_error for law in fits]):
        assert 0.84 < np.mean(np.array(error) < 2) < 0.99
    allocations = [allocate(law, 3000, ["es", "de", "sw"]) for law in fits]
    for lang in (0, 1, 2):
        spread = np.std([found.shares[lang].rows for found in allocations])
        told = np.mean([found.shares[lang].rows_error or 0 for found in allocations])
        assert 0.75 < told / spread < 1.33, "the rows of repeated experiments differ as much as one of them says"


def test_errors_of_an_allocation_are_the_same_each_time() -> None:
    assert allocate(simulate(1), 3000, ["es", "sw"]) == allocate(simulate(1), 3000, ["es", "sw"])


@pytest.mark.parametrize(
    ("pilots", "ceiling", "says"),
    [
        ([], 100, "no points"),
        ([Pilot("es", 4, 60), Pilot("de", 8, 20), Pilot("fr", 9, 30)], 100, "one size only"),
        (SPANISH[:2], 100, r"2 points for 2 parameters \(a, b\)"),
        ([*SPANISH[:2], GERMAN[0]], 100, r"3 points for 3 parameters \(a, b and the similarity of de\)"),
        ([*SPANISH, Pilot("es", 90, 100)], 100, "es, 90 rows, score 100: the score must be below the ceiling of 100"),
        ([*SPANISH, Pilot("es", 90, math.nan)], 100, "below the ceiling"),
        ([*SPANISH, Pilot("es", 0, 20)], 100, "rows must be above 0"),
        ([Pilot("es", 4, 0.6), Pilot("es", 9, 0.7), Pilot("es", 16, 0.8)], 100, "no score is above 1"),
        ([Pilot("es", 4, 30), Pilot("es", 9, 30), Pilot("es", 16, 30)], 100, "do not rise with rows"),
        ([Pilot("es", 4, 30), Pilot("es", 9, 25), Pilot("es", 16, 20)], 100, r"do not rise with rows \(b = 0.09"),
        ([Pilot("es", 4, 30), Pilot("es", 9, 30.01), Pilot("de", 4, 90), Pilot("de", 9, 90)], 100, "hardly rise"),
        ([Pilot("es", 4, 60, 1), Pilot("es", 16, 80, 2), Pilot("es", 64, 90)], 100, "two similarities, 1 and 2"),
        ([*SPANISH, Pilot("de", 8, 20, 0)], 100, "similarity must be above 0"),
    ],
)
def test_points_that_carry_no_fit_are_refused(pilots: list[Pilot], ceiling: float, says: str) -> None:
    with pytest.raises(UserError, match=says):
        fit_scaling(pilots, ceiling)


def test_allocation_by_hand() -> None:
    # g^(b / (1 - b)) = (1/8)^(-1/3) = 2: German gets twice the rows of Spanish.
    found = allocate(LAW, 96, ["es", "de"])
    assert found.rows == {"es": 32, "de": 64}
    assert [share.score for share in found.shares] == pytest.approx([100 - 80 / math.sqrt(32), 100 - 80 / math.sqrt(64 / 8)])
    assert found.uniform_score == pytest.approx(100 - 40 / math.sqrt(48) - 40 / math.sqrt(48 / 8))
    assert found.gain == pytest.approx(0.89, abs=0.01)
    assert found.gain_error is None
    # At the maximum one more row is worth the same everywhere: the slope of the score is 40 * g^-0.5 * D^-1.5.
    spanish, german = (40 * LAW.similarity[lang] ** -0.5 * rows**-1.5 for lang, rows in found.rows.items())
    assert spanish == pytest.approx(german)


def test_closed_form_agrees_with_the_papers_solver() -> None:
    law, budget = ScalingLaw(a=60, b=-0.13, similarity={"es": 1, "de": 0.7, "sw": 0.02, "th": 0.11}), 40_000
    languages = list(law.similarity)

    def lose(shares: Any) -> float:
        return -sum(law.predict(lang, share * budget) for lang, share in zip(languages, shares, strict=True))

    solved = minimize(
        lose, [1 / 4] * 4, method="SLSQP", bounds=[(1e-6, 1)] * 4, options={"ftol": 1e-12, "maxiter": 500},
        constraints={"type": "eq", "fun": lambda shares: sum(shares) - 1},
    )  # fmt: skip
    assert solved.success
    found = allocate(law, budget, languages)
    assert [found.rows[lang] / budget for lang in languages] == pytest.approx(list(solved.x), abs=2e-3)
    assert -solved.fun / 4 == pytest.approx(found.score, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(
    b=st.floats(-4, -0.01),
    similarity=st.dictionaries(st.sampled_from(["es", "de", "fr", "sw", "th", "zh"]), st.floats(1e-3, 1e3), min_size=1),
    budget=st.integers(6, 200_000),
)
@example(b=-1.0, similarity={"es": 1.0, "de": 1.0, "fr": 1 / 64, "sw": 1 / 64}, budget=7)
def test_allocations_add_up_and_favour_the_less_similar(b: float, similarity: dict[str, float], budget: int) -> None:
    law = ScalingLaw(a=50, b=b, similarity=similarity)
    found = allocate(law, budget, list(similarity))
    assert sum(found.rows.values()) == budget
    assert sum(share.uniform_rows for share in found.shares) == budget
    assert min(found.rows.values()) >= 1
    ordered = sorted(similarity, key=lambda lang: similarity[lang])
    assert all(found.rows[less] >= found.rows[more] for less, more in zip(ordered, ordered[1:], strict=False))
    assert found.rows == allocate(ScalingLaw(a=7, b=b, similarity=similarity, ceiling=60), budget, list(similarity)).rows


def test_every_language_gets_a_row() -> None:
    law = ScalingLaw(a=50, b=-5, similarity={"es": 1, "de": 1e-9, "fr": 1})
    assert allocate(law, 4, ["es", "de", "fr"]).rows == {"es": 1, "de": 2, "fr": 1}


@pytest.mark.parametrize(
    ("budget", "languages", "says"),
    [(1, ["es", "de"], "1 rows cannot be split over 2"), (9, [], "over 0 languages"), (9, ["es", "fr"], "none for 'fr'.*known: de, es")],
)
def test_impossible_allocations_are_refused(budget: int, languages: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        allocate(LAW, budget, languages)


def test_a_table_of_the_allocation() -> None:
    spanish, german, total = describe(LAW, allocate(LAW, 96, ["es", "de"]))
    assert (spanish["rows"], spanish["score"], spanish["uniform_score"], spanish["gain"]) == (32, 85.858, 88.453, -2.595)
    assert (german["similarity"], german["rows"], german["rows_sd"], german["gain"]) == (0.125, 64, None, 4.376)
    assert (total["language"], total["rows"], total["uniform_rows"], total["gain"]) == ("all", 96, 96, 0.89)
    fitted = simulate(0)
    rows = describe(fitted, allocate(fitted, 3000, ["es", "sw"]))
    assert rows[0]["rows_sd"] == pytest.approx(rows[1]["rows_sd"]), "two languages share one budget"
    assert rows[2]["gain_sd"] > 0


def test_doubts_are_said() -> None:
    good = simulate(0, noise=0.001)
    assert judge(good, allocate(good, 3000, ["es", "sw"])) == []
    fair = simulate(0, noise=0.01)
    # A residual of 0.47 % of 22.6 points, in the mean of two languages: 0.106 / sqrt(2).
    assert judge(fair, allocate(fair, 3000, ["es", "de"])) == [
        "the gain, 0.009 points, is below the noise of one model's mean score, about 0.075"
    ]
    noisy = simulate(3, noise=1.0)
    assert noisy.b_error > -noisy.b / 2
    assert any("not clearly below 0" in doubt for doubt in judge(noisy, allocate(noisy, 3000, ["es", "sw"])))
    alike = fit_scaling([Pilot("es", 10, 50), Pilot("es", 100, 60), Pilot("de", 10, 50.5), Pilot("de", 100, 59)])
    doubts = judge(alike, allocate(alike, 100, ["es", "de"]))
    assert any("split uniformly" in doubt for doubt in doubts)
    assert any("1 degrees of freedom" in doubt for doubt in doubts)


class FakeContext:
    """Four hundred rows a corpus and language."""

    pivot, budget, round = "en", 144, 0

    def __init__(self, languages: tuple[str, ...] = ("es", "de")) -> None:
        self.languages = languages

    @property
    def rng(self) -> random.Random:
        return random.Random(7)

    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        if corpus == "parallel":
            return [{"id": str(n), "en": f"the bird {n}", "text": f"{lang} word {n}"} for n in range(400)]
        return [{"id": str(n), "instruction": f"{lang} question {n}", "output": f"{lang} answer {n}"} for n in range(400)]

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        return list(texts)

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        return [Answer("yes", 1, True) for _ in chats]

    def identify(self, texts: Sequence[str]) -> list[str]:
        return ["und"] * len(texts)


def prepare(languages: tuple[str, ...] = ("es", "de"), **options: Any) -> Plan:
    shares = {"pivot_instructions": 1 / 3, "target_instructions": 0, "translation": 2 / 3}
    return load("cross_lingual", {**shares, **options}).prepare(FakeContext(languages))


def test_cross_lingual_splits_by_the_law() -> None:
    # 144 rows: 48 English ones and 96 pairs, 32 and 64 of them as above.
    plan = prepare(**yaml.safe_load(write_options(LAW)))
    assert Counter((row.kind, row.lang) for row in plan.rows) == {
        ("pivot_instructions", "en"): 48, ("translation", "es"): 32, ("translation", "de"): 64,
    }  # fmt: skip
    assert plan.facts == {
        "allocation": "scaling", "translation_rows": {"es": 32, "de": 64},
        "predicted_score": 78.787, "predicted_score_of_uniform": 77.897,
        "translated_instructions": [],
    }  # fmt: skip


def test_the_uniform_split_is_the_control() -> None:
    plan = prepare()
    assert plan.facts == {"allocation": "uniform", "translation_rows": {"es": 48, "de": 48}, "translated_instructions": []}
    assert prepare(scaling=LAW.model_dump()) == plan, "a law that is not asked for changes nothing"
    assert Counter(row.lang for row in plan.rows if row.kind == "translation") == plan.facts["translation_rows"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"allocation": "scaling"}, "needs the law's coefficients in scaling; xlift fit-scaling prints them"),
        ({"allocation": "even"}, "allocation"),
        ({"scaling": {"a": 80, "b": 0.5, "similarity": {}}}, "scaling.b: Input should be less than 0, got 0.5"),
        ({"scaling": {"a": 80, "b": -0.5, "similarity": {"es": 0}}}, "scaling.similarity.es: Input should be greater than 0"),
        ({"scaling": {"a": 80, "b": -0.5, "similarity": {}, "celing": 1}}, "unknown key 'scaling.celing'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        prepare(**options)


def test_a_trained_language_without_similarity_is_refused() -> None:
    with pytest.raises(UserError, match="scaling.similarity: none for 'fr'.*add it or run pilots in it"):
        prepare(("es", "fr"), allocation="scaling", scaling=LAW.model_dump())


def test_pasted_options_give_the_fitted_allocation() -> None:
    law = simulate(0)
    pasted = ScalingLaw(**yaml.safe_load(write_options(law))["scaling"])
    assert allocate(pasted, 3000, ["es", "de", "sw"]).rows == allocate(law, 3000, ["es", "de", "sw"]).rows


def test_the_suites_of_the_manual_are_valid() -> None:
    text = (Path(__file__).parents[3] / "docs" / "scaling.md").read_text(encoding="utf-8")
    pilots, final = (yaml.safe_load(block.split("```")[0]) for block in text.split("```yaml")[1:])
    suite = read_suite(pilots, "docs/scaling.md")
    sizes = [load(chosen.method, chosen.options).options.rows for chosen in suite.methods.values()]
    assert suite.rows is None
    assert sum(sizes) * len(suite.seeds) == 21_000
    assert [load(chosen["method"], chosen.get("options", {})).options.allocation for chosen in final["methods"].values()] == [
        "scaling",
        "uniform",
    ]
