"""The table of benchmarks: it holds every task file, and says what its name means."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import BEYOND_FLORES, languages
from xlift.tasks import benchmarks, index, make_yaml
from xlift.tasks.benchmarks import (
    BENCHMARKS,
    choose_averaged,
    find_benchmark,
    find_metric,
    find_task,
    headline,
    is_parallel,
    is_ranked,
    make_pair,
    measured_group,
    name_place,
    per_document,
    place,
)
from xlift.tasks.corpus_table import CORPORA
from xlift.tasks.entries import METRICS, Metric

FILES = sorted(path.stem for path in index.folder().glob("*/xlift_*.yaml"))


def test_every_task_file_belongs_to_one_benchmark() -> None:
    tasks = [task.name for benchmark in BENCHMARKS.values() for task in benchmark.tasks]
    groups = [name for name in FILES if len(index.expand(name)) > 1]
    assert sorted(tasks) == sorted(set(FILES) - set(groups))
    for path in index.folder().glob("*/xlift_*.yaml"):
        found = find_benchmark(path.stem)
        assert found and found.name == path.parent.name


@pytest.mark.parametrize("name", BENCHMARKS)
def test_an_entry_fits_the_other_tables(name: str) -> None:
    benchmark = BENCHMARKS[name]
    lacking = set()
    if name == "language_confusion_crosslingual":
        lacking = {"en"}
    if name == "x_alpaca_eval_bpb":  # nobody published GPT-4's answers in these
        lacking = {"ar", "it", "ja", "ko"}
    assert set(benchmark.languages) == set(CORPORA[benchmark.corpus].languages) - lacking
    assert benchmark.split in CORPORA[benchmark.corpus].splits and CORPORA[benchmark.corpus].texts
    assert set(benchmark.references) < set(CORPORA[benchmark.corpus].splits)
    assert set(benchmark.metrics) <= set(METRICS)
    assert benchmark.headline is None or benchmark.headline in benchmark.metrics
    assert all(METRICS[metric].per_document in (None, *benchmark.metrics) for metric in benchmark.metrics)
    assert (Path(index.folder()) / name / "template").is_file()


@pytest.mark.parametrize(
    ("task", "found", "answer"),
    [
        ("xlift_mgsm_cot_sw", ("xlift_mgsm_cot", "sw"), "sw"),
        ("xlift_x_alpaca_eval_zh", ("xlift_x_alpaca_eval", "zh"), "zh"),
        ("xlift_judged_x_alpaca_eval_zh", ("xlift_judged_x_alpaca_eval", "zh"), "zh"),
        ("xlift_flores_eng_Latn_spa_Latn", ("xlift_flores_from_en", "es"), "es"),
        ("xlift_flores_zho_Hant_eng_Latn", ("xlift_flores_to_en", "zh-Hant"), "en"),
        ("xlift_flores_deu_Latn_fra_Latn", ("xlift_flores_deu_Latn_fra_Latn", ""), "fr"),
        ("xlift_mlqa_de", ("xlift_mlqa", "de"), "de"),
        ("xlift_mlqa_en_de", ("xlift_mlqa_from_en", "de"), "en"),
        ("xlift_mlqa_es_de", ("xlift_mlqa_es_de", ""), "es"),
        ("xlift_flores_bpb_eng_Latn_spa_Latn", ("xlift_flores_bpb_from_en", "es"), "es"),
        ("xlift_flores_bpb_deu_Latn_fra_Latn", ("xlift_flores_bpb_deu_Latn_fra_Latn", ""), "fr"),
        ("xlift_flores_text_bpb_de", ("xlift_flores_text_bpb", "de"), "de"),
        ("xlift_mgsm_bpb_sentence_sw", ("xlift_mgsm_bpb_sentence", "sw"), "sw"),
        ("xlift_mlqa_bpb_en_de", ("xlift_mlqa_bpb_from_en", "de"), "en"),
        ("xlift_belebele_likelihood_zh-Hant", ("xlift_belebele_likelihood", "zh-Hant"), "zh-Hant"),
        ("xlift_language_confusion_crosslingual_ar", ("xlift_language_confusion_crosslingual", "ar"), "ar"),
        ("xlift_language_confusion_crosslingual_en", ("xlift_language_confusion_crosslingual_en", ""), None),
        ("xlift_mgsm_cot_xx", ("xlift_mgsm_cot_xx", ""), None),
        ("xlift_flores_eng_Latn_eng_Latn", ("xlift_flores_eng_Latn_eng_Latn", ""), None),
        ("arc_easy", ("arc_easy", ""), None),
    ],
)
def test_what_the_name_of_a_task_says(task: str, found: tuple[str, str], answer: str | None) -> None:
    assert place(task, "en") == found
    known = find_task(task)
    assert (known.answer_language if known else None) == answer
    assert known is None or known.name == task


def test_every_name_can_be_read_again() -> None:
    for benchmark in BENCHMARKS.values():
        for task in benchmark.tasks:
            assert find_task(task.name) == task
            assert find_benchmark(task.name) is find_benchmark(place(task.name, "en")[0]) is benchmark


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One more entry in the table: Belebele's questions under another name."""
    entry = replace(BENCHMARKS["belebele_generated"], name="reading", title="Reading", version=2.0)
    with monkeypatch.context() as patch:
        patch.setitem(BENCHMARKS, "reading", entry)
        _forget()
        yield
    _forget()


def _forget() -> None:
    benchmarks._with_file.cache_clear()
    make_yaml.render.cache_clear()


@pytest.mark.usefixtures("reading")
def test_an_entry_is_all_that_a_benchmark_needs(tmp_path: Path) -> None:
    make_yaml.write(tmp_path)
    files = sorted(path.name for path in (tmp_path / "reading").iterdir())
    assert len(files) == 1 + 122 + 1 and {"template", "xlift_reading.yaml", "xlift_reading_zh-Hant.yaml"} <= set(files)
    assert "version: 2.0" in (tmp_path / "reading/xlift_reading_sw.yaml").read_text(encoding="utf-8")
    assert place("xlift_reading_sw", "en") == ("xlift_reading", "sw")
    assert (headline("xlift_reading_sw"), name_place("xlift_reading"), is_ranked("xlift_reading")) == ("accuracy", "Reading", True)
    assert index.source_of("xlift_reading_sw") == ("belebele", "sw", "test")


def test_pairs_of_any_two_languages() -> None:
    task = make_pair(BENCHMARKS["flores"], "deu_Latn", "zh-Hant")
    assert (task.name, task.source) == ("xlift_flores_deu_Latn_zho_Hant", ("flores", "deu_Latn-zho_Hant", "devtest"))
    with pytest.raises(UserError, match="needs two languages, not 'de' twice"):
        make_pair(BENCHMARKS["flores"], "deu_Latn", "de")
    with pytest.raises(UserError, match="FLORES-200 has no 'hi-Latn'"):
        make_pair(BENCHMARKS["flores"], "en", "hin_Latn")


def test_flores_pairs_english_with_every_other_language() -> None:
    assert {form.name: len(form.languages) for form in BENCHMARKS["flores"].forms} == {"from_eng": 203, "to_eng": 203}
    assert set(BENCHMARKS["flores"].languages) == {code for code, language in languages().items() if language.in_flores}


def test_belebele_has_its_122_languages() -> None:
    codes = set(BENCHMARKS["belebele_generated"].languages)
    assert len(codes) == 122
    assert codes - {code for code, language in languages().items() if language.in_flores} == BEYOND_FLORES


def test_headlines() -> None:
    assert headline("xlift_mgsm_cot_es") == per_document("xlift_mgsm_cot") == "accuracy"
    assert (headline("xlift_flores_from_en"), per_document("xlift_flores_from_en")) == ("corpus_chrf", "chrf")
    assert headline("arc_easy") is per_document("arc_easy") is headline("xlift_judged_x_alpaca_eval_es") is None
    assert [is_ranked(name) for name in ("xlift_mlqa_de", "xlift_x_alpaca_eval_de", "xlift_judged_x_alpaca_eval_de", "arc")] == [
        True,
        False,
        False,
        False,
    ]
    assert [is_parallel(name) for name in ("xlift_mgsm_direct_es", "xlift_mlqa_de", "arc")] == [True, False, False]


def test_likelihood_is_a_group_of_its_own() -> None:
    names = ["xlift_mgsm_direct", "xlift_flores_bpb_from_en", "xlift_belebele_likelihood", "xlift_x_alpaca_eval", "arc"]
    assert [measured_group(name) for name in names] == ["answers", "likelihood", "answers", "answers", ""]
    assert choose_averaged(names) == ["xlift_mgsm_direct", "xlift_belebele_likelihood"]
    assert choose_averaged(names[1:2] + names[3:]) == ["xlift_flores_bpb_from_en"] and choose_averaged(names[3:]) == []
    assert headline("xlift_xquad_bpb_es") == per_document("xlift_xquad_bpb") == "bits_per_byte"
    assert find_metric("bits_per_byte").lower_is_better and not find_metric("margin").lower_is_better


def test_metrics() -> None:
    assert [find_metric(name).scale for name in ("accuracy", "corpus_chrf", "characters", "acc_norm")] == [100.0, 1.0, 1.0, 100.0]
    assert [find_metric(name).lower_is_better for name in ("f1", "off_target", "characters", "flips/judge", "acc")] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert find_metric("acc_mutual_info/none") == Metric("acc_mutual_info")


def test_names_for_people() -> None:
    names = (
        "xlift_mgsm_direct",
        "xlift_mgsm_cot",
        "xlift_flores_from_en",
        "xlift_mlqa_to_en",
        "xlift_flores_deu_Latn_fra_Latn",
        "arc_easy",
    )
    assert [name_place(name) for name in names] == [
        "MGSM",
        "MGSM, step by step",
        "FLORES-200 from English",
        "MLQA to English",
        "flores_deu_Latn_fra_Latn",
        "arc_easy",
    ]


def test_the_task_without_a_judge() -> None:
    assert index.name_unjudged("xlift_judged_x_alpaca_eval_es") == "xlift_x_alpaca_eval_es"
    assert index.name_unjudged("xlift_x_alpaca_eval_es") is index.name_unjudged("arc_easy") is None
