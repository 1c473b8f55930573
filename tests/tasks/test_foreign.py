"""Tasks of other makers: which language their settings name, and what their metrics mean."""

import pytest

from xlift.tasks.foreign import choose_headline, describe_metrics, place_tasks, raise_bound


@pytest.mark.parametrize(
    ("task", "subset", "placed"),
    [
        ("belebele_spa_Latn", "spa_Latn", ("belebele_*", "es")),
        ("belebele_zho_Hant", "zho_Hant", ("belebele_*", "zh-Hant")),
        ("multiblimp_spa", "spa", ("multiblimp_*", "es")),
        ("multiblimp_arb", "arb", ("multiblimp_*", "ar")),
        ("xstorycloze_sw", "sw", ("xstorycloze_*", "sw")),
        ("include_base_44_spanish_stem", "Spanish", ("include_base_44_*_stem", "es")),
        ("global_mmlu_full_es_anatomy", "es", ("global_mmlu_full_*_anatomy", "es")),
        ("global_piqa_parallel_cloze_spa_latn_mexi", "spa_latn_mexi", ("global_piqa_parallel_cloze_*_mexi", "es")),
        ("mmmlu_pt_br_anatomy", "PT_BR", ("mmmlu_*_anatomy", "pt")),
        ("my_task_zh", "zh-TW", ("my_task_zh", "zh-Hant")),
        ("xquad_es", "xquad.es", ("xquad_*", "es")),
        ("norbelebele_p0", "nob_Latn", ("norbelebele_p0", "nb")),
        ("belebele_swh_Latn", None, ("belebele_*", "sw")),
        # What is not a language, or not one of ours, or more than one.
        ("hellaswag", None, ("hellaswag", "")),
        ("arc_easy", "ARC-Easy", ("arc_easy", "")),
        ("agieval_lsat_ar", None, ("agieval_lsat_ar", "")),
        ("csatqa_li", "LI", ("csatqa_li", "")),
        ("mlqa_ar_vi", "mlqa.ar.vi", ("mlqa_ar_vi", "")),
        ("flores_en-es", "all", ("flores_en-es", "")),
        ("ntrex_spa_Latn-eng_Latn", None, ("ntrex_spa_Latn-eng_Latn", "")),
        ("multiblimp_abk", "abk", ("multiblimp_abk", "")),
        ("kmmlu_korean_history", "Korean-History", ("kmmlu_korean_history", "")),
    ],
)
def test_a_language_is_read_where_the_settings_name_it(task: str, subset: str | None, placed: tuple[str, str]) -> None:
    assert place_tasks({task: subset}) == {task: placed}


def test_two_tasks_never_share_a_place() -> None:
    assert place_tasks({"a_spa": "spa", "a_es": "es", "a_fr": "fr"}) == {
        "a_spa": ("a_spa", "es"),
        "a_es": ("a_es", "es"),
        "a_fr": ("a_*", "fr"),
    }


def test_what_lm_eval_says_of_metrics_counts() -> None:
    listed = [
        {"metric": "perplexity", "aggregation": "perplexity"}, {"metric": "acc", "aggregation": "mean"},
        {"metric": "toxicity", "aggregation": "mean"}, {"metric": "f1", "aggregation": "mean"}, "junk", {"metric": None},
    ]  # fmt: skip
    directions = {"perplexity": False, "acc": True, "toxicity": False, "f1": None}
    known = describe_metrics({"perplexity": 31.5, "acc": 0.25, "toxicity": 0.5, "f1": 61.0, "chrf/first": 40.0}, listed, directions)
    # A perplexity has no bound and is of all documents at once; nobody knows the bound of a toxicity; an F1 of 61 is out of 100.
    assert {name: (one.most, one.higher_is_better, one.whole) for name, one in known.items()} == {
        "perplexity": (None, False, True), "acc": (1.0, True, False), "toxicity": (None, False, False), "f1": (100.0, True, False),
        "chrf/first": (100.0, True, True),
    }  # fmt: skip
    assert choose_headline(known) == "acc"
    assert choose_headline(describe_metrics({"perplexity": 31.5})) == "perplexity" and choose_headline({}) == ""


@pytest.mark.parametrize(("highest", "most"), [(0.4, 1.0), (1.0, 1.0), (1.5, 100.0), (100.0, 100.0), (101.0, None)])
def test_a_share_above_its_bound_has_another(highest: float, most: float | None) -> None:
    assert raise_bound(describe_metrics({"acc_norm": 0.2})["acc_norm"], highest).most == most
