"""What is said of a suite in which nothing is wrong."""

import pytest

from xlift.harness.config.suite import read_suite
from xlift.harness.evaluation.tasks import expand_tasks
from xlift.harness.pipeline.remarks import find_unmeasured, list_remarks


def unmeasured(patterns: list[str], tasks: list[str], evaluate: tuple[str, ...] = ("en", "es")) -> list[str]:
    methods = {"m": {"method": "cross_lingual"}, "n": {"method": "cross_lingual", "languages": ["de", "sw"]}}
    languages = {"train": ["es", "sw"], "evaluate": list(evaluate)}
    values = {"name": "s", "languages": languages, "methods": methods, "evaluate": {"tasks": patterns}}
    return find_unmeasured(read_suite(values, "test"), tasks)


@pytest.mark.parametrize(
    ("patterns", "tasks", "found"),
    [
        (["xlift_xquad_{lang}"], ["xlift_xquad_en", "xlift_xquad_es"], ["sw", "de"]),
        (["xlift_xquad_en"], ["xlift_xquad_en"], ["es", "sw", "de"]),
        (["xlift_flores_deu_Latn_swh_Latn"], ["xlift_flores_deu_Latn_swh_Latn"], ["es"]),
        (["belebele_{flores}"], ["belebele_eng_Latn", "belebele_spa_Latn"], ["sw", "de"]),
        (["xlift_xquad_{lang}", "arc_easy"], ["xlift_xquad_en", "xlift_xquad_es", "arc_easy"], []),
    ],
)
def test_trained_languages_that_no_task_is_in(patterns: list[str], tasks: list[str], found: list[str]) -> None:
    assert unmeasured(patterns, tasks) == found


def test_nothing_is_said_where_all_is_chosen_and_measured() -> None:
    languages = {"train": ["es"], "evaluate": ["en", "es"]}
    evaluate, methods = {"tasks": ["xlift_xquad_{lang}"]}, {"m": {"method": "cross_lingual"}}
    values = {"name": "s", "base": {"model": "org/model"}, "languages": languages, "methods": methods, "evaluate": evaluate}
    suite = read_suite(values, "test")
    assert list_remarks(suite, *expand_tasks(suite)) == []
    usual = read_suite({key: value for key, value in values.items() if key != "base"}, "test")
    assert list_remarks(usual, *expand_tasks(usual)) == ["base: smollm2-135m-instruct, the default, as base.model is not set"]


def test_tasks_of_a_paper_that_are_not_measured_are_named() -> None:
    scores = {
        "label": "m",
        "task": "xlift_xquad_{lang}",
        "metric": "f1",
        "values": dict.fromkeys(("es", "de", "ar", "hi", "ru"), 0.5),
        "source": "a paper",
    }
    values = {
        "name": "s", "base": {"model": "org/model"}, "languages": {"train": ["es"], "evaluate": ["es"]}, "expected": [scores],
        "methods": {"m": {"method": "cross_lingual"}}, "evaluate": {"tasks": ["xlift_xquad_{lang}"]},
    }  # fmt: skip
    suite = read_suite(values, "test")
    (remark,) = list_remarks(suite, *expand_tasks(suite))
    assert remark == (
        "expected: xlift_xquad_de, xlift_xquad_ar, xlift_xquad_hi and 1 more: not among the suite's tasks, so the paper's scores there "
        "will have none of ours beside them"
    )
