"""Belebele and Language Confusion on the bundled samples, from lm-eval to the page: one by likelihood, the others generated."""

from pathlib import Path

import pytest
from commands import Call

import xlift
from xlift.harness.evaluation.records import read_records

pytestmark = pytest.mark.slow

SAID = {"off_target", "on_target", "language_unknown", "thinking_cut"}
"""What every answer is asked: whether its language is right, can be told at all, and whether its thinking ended."""
TASKS = {
    "xlift_belebele_likelihood_sw": ("xlift_belebele_likelihood", "sw", {"acc", "acc_norm", "margin"}),
    "xlift_belebele_generated_es": ("xlift_belebele_generated", "es", {"accuracy", "extraction_failure", *SAID}),
    "xlift_language_confusion_monolingual_fr": ("xlift_language_confusion_monolingual", "fr", {"line_pass_rate", "empty", *SAID}),
    "xlift_language_confusion_crosslingual_de": ("xlift_language_confusion_crosslingual", "de", {"line_pass_rate", "empty", *SAID}),
}


@pytest.fixture(scope="module")
def measured(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of the tiny model on two items of each."""
    runs = tmp_path_factory.mktemp("runs")
    settings = ["data.samples=always", "engine.backend=hf"]
    xlift.evaluate(str(tiny_base), tasks=list(TASKS), limit=2, runs=runs, settings=settings)
    return runs / "evaluate"


def test_a_record_says_what_was_measured(measured: Path) -> None:
    (record,) = read_records([measured]).records
    assert {task: (result.benchmark, result.language, set(result.metrics)) for task, result in record.tasks.items()} == TASKS
    assert all((result.items, result.data_origin) == (2, "samples") for result in record.tasks.values())


def test_show_names_the_likeliest_number(measured: Path, call: Call) -> None:
    code, out, _ = call("show", measured, "xlift_belebele_likelihood_sw")
    answers = [line.removeprefix("answer: ") for line in out.splitlines() if line.startswith("answer: ")]
    assert code == 0 and len(answers) == 2 and set(answers) <= {"1", "2", "3", "4"}


def test_fidelity_is_of_generated_answers(measured: Path, call: Call) -> None:
    code, out, _ = call("fidelity", measured, "--json")
    assert code == 0
    assert [task in out for task in TASKS] == [False, True, True, True]


def test_the_site_has_a_page_for_each(measured: Path, tmp_path: Path, call: Call) -> None:
    code, _, _ = call("site", measured, "--out", tmp_path / "site")
    assert code == 0
    title = (tmp_path / "site/benchmarks/xlift_belebele_likelihood.html").read_text(encoding="utf-8")
    assert "<h1>Belebele, likelihood</h1>" in title
    assert len(list((tmp_path / "site/samples").rglob("*.html"))) == len(TASKS)
