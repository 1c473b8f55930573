"""The sentence that a report ends with."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from xlift.leaderboard.analysis.comparisons import tabulate_tasks
from xlift.leaderboard.analysis.conclusion import conclude, mark_lifts
from xlift.leaderboard.analysis.statistics import compare, count_needed, detectable
from xlift.leaderboard.loading.scores import Columns, Documents
from xlift.tasks.benchmarks import place


def documents(label: str, task: str, right: int, of: int = 100, suite: str = "s") -> Documents:
    """A model that gets the first ``right`` of so many documents right."""
    values = np.array([1.0] * right + [0.0] * (of - right))
    columns = Columns(np.arange(of), np.array([f"{task}{number}" for number in range(of)]), values)
    return Documents(suite, label, None, ("es",), "en", task, *place(task, "en"), "accuracy", "k", columns)


def sheet(*models: tuple[str, int, int]) -> list[Documents]:
    """Label, and documents of 100 right in Spanish, which is trained, and in English."""
    tasks = ("xlift_mgsm_direct_es", "xlift_mgsm_direct_en")
    return [documents(label, task, right) for label, *both in models for task, right in zip(tasks, both, strict=True)]


def test_the_best_supported_method_is_named_with_its_lift_and_what_ties_with_it() -> None:
    (line,) = conclude(sheet(("base", 10, 50), ("a", 40, 50), ("b", 38, 50), ("c", 10, 50)))
    assert line.startswith("The best supported method is a: it lifts MGSM in es by 30.0 points (95 % interval ")
    assert "after correction)" in line and line.endswith("; b cannot be told apart from it there after correction.")


def test_of_two_methods_with_a_benchmark_each_the_surer_one_is_the_best() -> None:
    rights = {"base": (10, 10), "a": (40, 10), "b": (10, 26)}
    few = [documents(label, "xlift_belebele_generated_es", right, of=40) for label, (_, right) in rights.items()]
    (line,) = conclude([*(documents(label, "xlift_mgsm_direct_es", right) for label, (right, _) in rights.items()), *few])
    assert line.startswith("The best supported method is a: it lifts MGSM in es by 30.0 points ")  # though b has 40.0 of 40 items


def test_what_it_costs_in_the_pivot_stands_in_the_same_sentence() -> None:
    (line,) = conclude(sheet(("base", 10, 60), ("a", 40, 30)))
    assert line.endswith("; it lowers MGSM in en by 30.0.")


def test_a_method_of_one_seed_is_not_the_best_beside_methods_of_several() -> None:
    base, *_ = sheet(("base", 10, 50))
    of_two = [replace(documents("a", "xlift_mgsm_direct_es", right), seed=seed) for seed, right in enumerate((40, 41))]
    of_one = replace(documents("b", "xlift_mgsm_direct_es", 70), seed=0)
    (line,) = conclude([base, *of_two, of_one])
    assert line.startswith("The best supported method is a: ") and line.endswith(" Of one seed, and so not counted: lifts of b.")
    (line,) = conclude([base, of_one])
    assert line.startswith("The best supported method is b: ") and "it was trained with one seed" in line


def test_a_control_is_called_one_wherever_it_stands() -> None:
    def mark(found: list[Documents], *labels: str) -> list[Documents]:
        return [replace(one, control=one.label in labels) for one in found]

    found = sheet(("base", 10, 50), ("a", 40, 50), ("b", 38, 50), ("c", 37, 50), ("d", 36, 50))
    (line,) = conclude(mark(found, "c", "d"))
    assert line.startswith("The best supported method is a: ") and "; b and the controls c, d cannot be told apart from it" in line
    (line,) = conclude(mark(found, "a", "d"))
    assert line.startswith("The best supported method is a (a control): ") and "; b, c and the control d cannot be told" in line
    (line,) = conclude(mark(sheet(("base", 10, 50), ("a", 13, 50)), "a"))
    assert "the largest lift is +3.0 points (a, a control, on MGSM in es" in line


def test_where_nothing_can_be_told_apart_the_items_that_would_do_are_named() -> None:
    found = sheet(("base", 10, 50), ("a", 13, 50), ("b", 9, 50))
    (line,) = conclude(found)
    assert line.startswith("No method can be told apart from the base: the largest lift is +3.0 points (a on MGSM in es, 95 % interval ")
    # One comparison for each method and language: four. The items grow with the square of what is detectable over what was seen.
    estimate = compare([found[2].columns.values[None, :]], [found[0].columns.values[None, :]])
    needed = count_needed(estimate.spread, 0.03, comparisons=4)
    assert needed is not None and needed == pytest.approx(100 * (detectable(estimate.parts, 4) / 0.03) ** 2, rel=0.05)
    assert f"about {-(-needed // 10) * 10:,} items in place of 100 would find one of that size four times in five" in line


def test_a_method_that_is_worse_is_not_the_best() -> None:
    (line,) = conclude(sheet(("base", 60, 50), ("a", 20, 50)))
    assert line.startswith("No method lifts anything over the base: the highest is -40.0 points (a on MGSM in es, ")
    assert line.endswith("; significantly worse: a on MGSM in es by 40.0.")


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ([("base", 10, 50)], "no benchmark with a score was asked in a language that a method trains"),
        ([("a", 10, 50)], "compared with the base: MGSM in es (the base has no scores by document on es)."),
        ([("base", 0, 0), ("a", 0, 0)], "No method"),
    ],
)
def test_why_nothing_can_be_compared(models: Sequence[tuple[str, int, int]], says: str) -> None:
    (line,) = conclude(sheet(*models))
    assert says in line and "nan" not in line


def test_what_was_not_compared_is_said_beside_what_was() -> None:
    """Of MGSM the base's samples are there, of XQuAD they are gone: more items of MGSM are not what is wrong with XQuAD."""
    found = [*sheet(("base", 10, 50), ("a", 11, 50)), documents("a", "xlift_xquad_es", 60)]
    found = [replace(one, metric="f1") if one.benchmark == "xquad" else one for one in found]
    (line,) = conclude(found)
    assert line.startswith("No method can be told apart from the base: the largest lift is +1.0 points (a on MGSM in es, ")
    assert line.endswith(" Not compared: XQuAD in es (the base has no scores by document on es).")


def test_each_suite_has_its_own_sentence() -> None:
    two = [*sheet(("base", 10, 50), ("a", 40, 50)), *[documents(label, "xlift_mgsm_direct_es", 10, suite="t") for label in ("base", "a")]]
    first, second = conclude(two)
    assert first.startswith("s: The best supported method is a") and second.startswith("t: No method")


def test_seeds_that_differ_by_more_than_the_lift_need_more_seeds() -> None:
    zeros, ones = np.zeros(50), np.ones(50)
    found = compare([np.stack([zeros + 0.4, ones * 0.8])], [np.stack([ones * 0.5])])
    assert count_needed(found.spread, found.value, found.parts[1:]) is None


def test_marks_are_of_significant_differences_alone() -> None:
    marks = mark_lifts(tabulate_tasks(sheet(("base", 10, 60), ("a", 40, 30), ("b", 11, 60))))
    assert marks == {("s", "a", "xlift_mgsm_direct_es", False): 1, ("s", "a", "xlift_mgsm_direct_en", False): -1}
