"""From sample files to tables of lifts and ranks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.scored import documents, only, some
from xlift.harness.core.errors import UserError
from xlift.harness.core.store import Stage, Store
from xlift.harness.evaluation.records import Record, read_records
from xlift.leaderboard.analysis.comparisons import ARTICLES_UNKNOWN, explain, group_models, tabulate_lifts, tabulate_tasks
from xlift.leaderboard.analysis.rankings import tabulate_ranks
from xlift.leaderboard.loading.runs import collect
from xlift.leaderboard.loading.scores import Documents, align, collect_documents, read_documents, read_pairs


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder as the pipeline leaves it: base and one method on one FLORES pair."""
    for label, scores, written in (("base", (10.0, 20.0), "2026-01-01"), ("m", (40.0, 30.0), "2026-01-02")):
        task, samples = "xlift_flores_eng_Latn_spa_Latn", f"samples_xlift_flores_eng_Latn_spa_Latn_{written}T00-00-00.000001.jsonl"
        metrics = {"chrf": {"value": sum(scores) / 2, "stderr": 1.0}, "corpus_chrf": {"value": 1.0, "stderr": None}}
        result = {
            "items": 2, "items_of": 2, "version": "1", "data_sha256": "0", "data_origin": "samples", "metrics": metrics,
            "comparability": "k", "samples": samples,
        }  # fmt: skip
        record = Record(
            suite="s", label=label, method=None, seed=None if label == "base" else 0, trained=("es",), pivot="en", base={}, adapter=None,
            engine={}, system=None, tasks={task: result}, cost={},
        )  # fmt: skip
        rows = [
            {
                "doc_id": number, "doc_hash": f"h{number}", "filter": "none", "metrics": ["chrf", "corpus_chrf"], "chrf": scores[number],
                "corpus_chrf": [f"referencia {number}", f"{label} {number}"],
            }
            for number in (1, 0)
        ]  # fmt: skip

        def work(folder: Path, record: Record = record, rows: Sequence[Mapping[str, Any]] = rows, samples: str = samples) -> dict[str, Any]:
            (folder / samples).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            return {"record": record.model_dump(mode="json")}

        Store(tmp_path).write(Stage("evaluate", label, {}), work)
    return tmp_path


def test_scores_are_read_from_a_run(run: Path) -> None:
    base, method = read_records([run]).measurements
    table = read_documents(method, "xlift_flores_eng_Latn_spa_Latn", "chrf")
    assert table.to_dict("list") == {"doc_id": [0, 1], "doc_hash": ["h0", "h1"], "value": [40.0, 30.0]}
    assert read_pairs(base, "xlift_flores_eng_Latn_spa_Latn", "corpus_chrf")[0] == ("referencia 0", "base 0")
    found = collect_documents(read_records([run]).measurements)
    assert [(one.name, one.metric) for one in found] == [("base", "chrf"), ("m (seed 0)", "chrf")], "the sentence stands for the corpus"
    lift = only(tabulate_lifts(found), kind="lift")
    assert (lift["value"], lift["benchmark"], lift["languages"], lift["documents"]) == (20, "xlift_flores_from_en", ("es",), 2)


def test_a_line_in_a_wrong_language_counts_as_empty_in_runs_of_an_older_xlift_too(run: Path) -> None:
    for path in run.glob("evaluate-*/samples_*"):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        older = [{**row, "metrics": [*row["metrics"], "off_target"], "off_target": float(row["doc_id"] == 1)} for row in rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in older), encoding="utf-8")
        manifest = path.parent / "manifest.json"
        text = manifest.read_text(encoding="utf-8").replace('"metrics": {', '"metrics": {"off_target": {"value": 0.5, "stderr": 0.1}, ')
        manifest.write_text(text, encoding="utf-8")
    task = "xlift_flores_eng_Latn_spa_Latn"
    base, method = read_records([run]).measurements
    assert method.record.tasks[task].metrics.keys() == {"off_target", "chrf_as_written", "corpus_chrf_as_written"}
    assert read_documents(method, task, "chrf")["value"].tolist() == [40.0, 0.0]
    assert read_documents(method, task, "chrf_as_written")["value"].tolist() == [40.0, 30.0]
    assert read_pairs(base, task, "corpus_chrf") == [("referencia 0", "base 0"), ("referencia 1", "")]
    found = collect([run], lambda path: []).runs[1].record.tasks[task].metrics
    assert (found["chrf"].value, found["chrf_as_written"].value) == (20.0, 35.0)


def test_what_cannot_be_read_is_named(run: Path) -> None:
    method, task = read_records([run]).measurements[1], "xlift_flores_eng_Latn_spa_Latn"
    path = next(run.glob("evaluate-m-*/samples_*"))
    whole = path.read_text(encoding="utf-8")
    with pytest.raises(UserError, match="no task 'xlift_flores'"):
        read_documents(method, "xlift_flores", "chrf")
    with pytest.raises(UserError, match="no metric 'chrff'; did you mean 'chrf'"):
        read_documents(method, task, "chrff")
    with pytest.raises(UserError, match="whole corpus, not of a document; use 'chrf'"):
        read_documents(method, task, "corpus_chrf")
    with pytest.raises(UserError, match="keeps no texts"):
        read_pairs(method, task, "chrf")
    path.write_text(whole + whole, encoding="utf-8")
    with pytest.raises(UserError, match="document 0 stands in it twice"):
        read_documents(method, task, "chrf")
    path.write_text(whole.replace("40.0", "NaN"), encoding="utf-8")
    with pytest.raises(UserError, match="document 0 has no 'chrf'"):
        read_documents(method, task, "chrf")
    path.write_text(whole[:-20], encoding="utf-8")
    with pytest.raises(UserError, match="damaged; delete the folder"):
        read_documents(method, task, "chrf")
    path.unlink()
    with pytest.raises(UserError, match="are gone"):
        read_documents(method, task, "chrf")


def test_only_the_same_documents_are_paired() -> None:
    whole, short = (documents("m", "xlift_xquad_es", values).columns for values in ([0.1, 0.2, 0.3], [0.1, 0.2]))
    assert align({"a": whole, "b": whole}).tolist() == [[0.1, 0.2, 0.3]] * 2
    with pytest.raises(UserError, match="a and b were not scored on the same documents: 1 differ, b lacks 2"):
        align({"a": whole, "b": short})
    with pytest.raises(UserError, match="a lacks 2"):
        align({"a": short, "b": whole})
    with pytest.raises(UserError, match="document 1 is not the same text"):
        align({"a": whole, "b": replace(whole, hashes=np.array(["xlift_xquad_es0", "other", "xlift_xquad_es2"]))})


def test_lift_retention_and_transfer_by_hand() -> None:
    base = {"es": [0, 0, 0, 1], "fr": [0, 0, 1, 1], "en": [1, 1, 1, 0], "de": [0, 1, 0, 1]}
    ours = {"es": [1, 1, 0, 1], "fr": [1, 0, 1, 1], "en": [1, 0, 1, 0], "de": [0, 1, 0, 1]}
    sheets = [documents("base", f"xlift_mgsm_cot_{lang}", values) for lang, values in base.items()]
    sheets += [documents("m", f"xlift_mgsm_cot_{lang}", values, seed=0) for lang, values in ours.items()]
    table = tabulate_lifts(sheets)
    lift, retention, transfer = (only(table, kind=kind) for kind in ("lift", "retention", "transfer"))
    assert (lift["value"], lift["languages"], lift["documents"]) == (pytest.approx((2 / 4 + 1 / 4) / 2), ("es", "fr"), 8)
    assert (retention["value"], retention["p"], retention["test"]) == (pytest.approx(-1 / 4), 1, "mcnemar")
    assert (transfer["value"], transfer["p_corrected"]) == (0, 1)
    assert lift["note"] == "one seed: variance between seeds unknown"
    assert len(tabulate_tasks(sheets)) == 4


def test_a_control_in_place_of_the_base_by_hand() -> None:
    """Two seeds of each, 48 documents: the method is right on 36 and 40 of them, its control on 24 and 28, the base on none."""
    task = "xlift_mgsm_cot_es"
    sheets = [documents("base", task, [0] * 48)]
    for label, counts in (("m", (36, 40)), ("control", (24, 28))):
        sheets += [documents(label, task, [1] * right + [0] * (48 - right), seed=seed) for seed, right in enumerate(counts)]
    row = only(tabulate_lifts(sheets, over="control"), method="m")
    assert (row["value"], row["one_seed"], row["seeds"]) == (pytest.approx(38 / 48 - 26 / 48), False, 2)
    assert set(tabulate_lifts(sheets, over="control")["method"]) == {"m"}
    assert set(tabulate_tasks(sheets, over="m")["method"]) == {"control"}
    single = [one for one in sheets if one.label != "control" or one.seed == 0]
    assert only(tabulate_lifts(single, over="control"), method="m")["note"] == "one seed: variance between seeds unknown"


def test_less_is_better_for_off_target() -> None:
    rng = np.random.default_rng(0)
    base, ours = (rng.random(60) < 0.9).astype(float), (rng.random(60) < 0.1).astype(float)
    sheets = [documents(label, "xlift_xquad_es", list(values), metric="off_target") for label, values in (("base", base), ("m", ours))]
    lift = only(tabulate_lifts(sheets), kind="lift")
    assert lift["value"] == pytest.approx(base.mean() - ours.mean()) and lift["low"] > 0.5 and lift["significant"]
    ranks = tabulate_ranks(sheets)
    assert [(row["model"], row["rank"], row["tied"]) for row in ranks.to_dict("records")] == [("m", 1, ()), ("base", 2, ())]
    assert ranks["value"][0] == pytest.approx(-ours.mean())


def test_no_average_over_unequal_language_sets() -> None:
    sheets = [documents("base", "xlift_mgsm_cot_es", [0, 1, 0.5])]
    sheets += [documents("m", f"xlift_mgsm_cot_{lang}", [0, 1, 1]) for lang in ("es", "fr")]
    row = only(tabulate_lifts(sheets), kind="lift")
    assert pd.isna(row["value"])
    assert row["note"] == "not comparable: the base has no scores by document on fr; an average needs the same languages on both sides"
    assert np.isnan(row["p_corrected"]) and not row["significant"]
    ranks = tabulate_ranks(sheets, average=True)
    assert ranks["of"].tolist() == [1, 1], "averages over other languages are ranked apart"


def test_unequal_keys_and_seeds_are_not_compared() -> None:
    base = documents("base", "xlift_mgsm_cot_es", [0, 1, 0.5])
    other = tabulate_tasks([base, documents("m", "xlift_mgsm_cot_es", [0, 1, 1], key="other")])
    assert only(other)["note"].startswith("not comparable: m and the base were measured under different settings")
    mixed = [documents("m", "xlift_mgsm_cot_es", [0, 1, 1], seed=seed, key=str(seed)) for seed in (0, 1)]
    assert "the seeds of m were measured under different settings" in only(tabulate_tasks([base, *mixed]))["note"]
    assert only(tabulate_ranks([base, *mixed]), model="m")["note"].startswith("the seeds of m")
    uneven = [base, documents("base", "xlift_mgsm_cot_fr", [0, 1, 0.5])]
    uneven += [documents("m", f"xlift_mgsm_cot_{lang}", [0, 1, 1], seed=seed) for lang, seed in (("es", 0), ("es", 1), ("fr", 0))]
    assert only(tabulate_lifts(uneven))["note"] == "not comparable: m was measured with other seeds on es than on fr (1)"
    assert only(tabulate_tasks([documents("m", "xlift_mgsm_cot_es", [0, 1, 1])]))["note"] == (
        "not comparable: the base has no scores by document on xlift_mgsm_cot_es"
    )
    with pytest.raises(UserError, match="given twice"):
        tabulate_tasks([base, base])


def test_holm_is_over_the_whole_table_and_seeds_stand_apart() -> None:
    rng = np.random.default_rng(3)
    base = rng.random(80)
    sheets = [documents("base", "xlift_xquad_es", list(base)), documents("base", "xlift_xquad_en", list(base))]
    for seed in range(3):
        sheets.append(documents("m", "xlift_xquad_es", list(base + rng.normal(0.1, 0.1, 80) + 0.02 * seed), seed=seed))
        sheets.append(documents("m", "xlift_xquad_en", list(base + rng.normal(0, 0.1, 80)), seed=seed))
    table = tabulate_lifts(sheets)
    lift, retention = only(table, kind="lift"), only(table, kind="retention")
    assert lift["p_corrected"] == pytest.approx(2 * lift["p"]) and lift["p"] < retention["p"] == retention["p_corrected"]
    means = [sheet.columns.values.mean() for sheet in sheets if sheet.label == "m" and sheet.task == "xlift_xquad_es"]
    assert (lift["seeds"], lift["seed_sd"], lift["note"]) == (3, pytest.approx(np.std(means, ddof=1)), "")
    assert lift["high"] - lift["low"] > 2 * 1.99 * lift["item_se"]
    assert lift["detectable"] > 2.8 * lift["item_se"]


def test_another_suite_takes_no_significance_away() -> None:
    # 6 documents won and none lost: 2 / 2^6 = 0.03125 by McNemar's exact test
    alone = tabulate_tasks([some("base", 20), some("m", 26, seed=0), some("n", 20, seed=0)])
    assert only(alone, method="m")["p_corrected"] == pytest.approx(2 * 0.03125) and only(alone, method="m")["comparisons"] == 2
    other = [some("base", 20, suite="t", key="q"), *(some(f"o{number}", 20, suite="t", key="q") for number in range(9))]
    both = tabulate_tasks([some("base", 20), some("m", 26, seed=0), some("n", 20, seed=0), *other])
    assert only(both, method="m")["p_corrected"] == pytest.approx(2 * 0.03125), "another suite is another group"
    assert {row["comparisons"] for row in both.to_dict("records")} == {2, 9}


def test_rates_off_target_take_no_significance_from_scores() -> None:
    scores = [some("base", 20), some("m", 26, seed=0)]
    rates = [replace(some(label, 20, seed=seed), metric="off_target") for label, seed in (("base", None), ("m", 0))]
    table = tabulate_tasks([*scores, *rates])
    assert {row["metric"]: row["comparisons"] for row in table.to_dict("records")} == {"accuracy": 1, "off_target": 1}


def test_groups_hold_what_was_done_under_one_key() -> None:
    keys = {"a": {"x": "1", "y": "1"}, "b": {"x": "1"}, "c": {"x": "2"}, "d": {"z": "1"}, "e": {"y": "1", "z": "2"}}
    assert group_models(keys) == {"a": 1, "b": 1, "c": 2, "d": 3, "e": 1}


def test_a_difference_that_is_not_told_apart_beside_its_interval_says_why() -> None:
    table = tabulate_tasks([some("base", 20), some("m", 27, seed=0), *(some(f"n{number}", 20, seed=0) for number in range(9))])
    row = only(table, method="m")
    # 7 of 7: p = 2 / 2^7 = 0.0156, ten times that after correction; the interval of 7/60 is above 0
    assert (row["p"], row["p_corrected"], row["significant"]) == (pytest.approx(0.015625), pytest.approx(0.15625), False)
    assert row["low"] > 0
    assert row["reason"] == "its interval leaves out 0, but it is one of 10 comparisons and does not pass Holm's correction for them"
    strict = explain({"value": 0.1, "low": 0.01, "high": 0.2, "p": 0.062}, 3)
    assert strict == "its interval leaves out 0, but the test, which is stricter, does not reject (p = 0.062)"
    assert explain({"value": 0.1, "low": -0.01, "high": 0.2, "p": 0.3}, 3) == only(table, method="n0")["reason"] == ""


def test_methods_of_a_suite_share_what_they_tell_of_seeds() -> None:
    # three methods and two seeds each are too few for a pool: one degree of freedom each; with a fourth they count for up to two more
    rng = np.random.default_rng(0)
    base = rng.random(60)
    sheets = [documents("base", "xlift_xquad_es", list(base))]
    for label in "abcd":
        sheets += [
            documents(label, "xlift_xquad_es", list(base + rng.normal(0.2, 0.1, 60) + rng.normal(0, 0.02)), seed=seed) for seed in (0, 1)
        ]
    pair, four = only(tabulate_tasks(sheets[:7]), method="a"), only(tabulate_tasks(sheets), method="a")
    assert (pair["value"], pair["seed_sd"], pair["seed_df"]) == (four["value"], four["seed_sd"], 1.0)
    assert 1 < four["seed_df"] <= 3 and four["p"] < pair["p"]
    single = only(tabulate_tasks([*sheets, documents("e", "xlift_xquad_es", list(base + 0.1), seed=0)]), method="e")
    assert single["one_seed"] and pd.isna(single["seed_df"]), "one seed stays one seed"


def test_one_document_tells_nobody_apart() -> None:
    both = [documents("base", "xlift_mgsm_direct_es", [0.0]), documents("m", "xlift_mgsm_direct_es", [1.0])]
    found = {row["model"]: (row["value"], row["rank"], row["tied"]) for row in tabulate_ranks(both, average=True).to_dict("records")}
    assert found == {"m": (1.0, 1, ("base",)), "base": (0.0, 1, ("m",))}
    assert "an interval needs two at least" in only(tabulate_tasks(both), method="m")["note"]


def test_the_rate_off_target_is_compared_over_the_answers_that_can_be_told() -> None:
    # of 80 answers 60 can be told: 6 of them off target by the base, 30 by the method, so 40 points more
    untold = [np.nan] * 20
    base = documents("base", "xlift_mgsm_direct_es", [1.0] * 6 + [0.0] * 54 + untold, metric="off_target")
    method = documents("m", "xlift_mgsm_direct_es", [1.0] * 30 + [0.0] * 30 + untold, seed=0, metric="off_target")
    row = only(tabulate_tasks([base, method]), method="m")
    assert row["value"] == pytest.approx(-0.4) and row["high"] < 0 and row["test"] == "t"
    few = documents("m", "xlift_mgsm_direct_es", [1.0] * 30 + [np.nan] * 50, seed=0, metric="off_target")
    row = only(tabulate_tasks([base, few]), method="m")
    assert row["note"] == "not comparable: of 80 answers by m only 30 can be told, and a comparison needs 40"


def test_too_few_scores_get_a_mean_and_the_reason() -> None:
    few = [documents(label, "xlift_xquad_es", values, seed=seed, metric="f1") for label, values, seed in (
        ("base", [0.2, 0.4] * 12, None), ("m", [0.5, 0.3] * 12, 0),
    )]  # fmt: skip
    row = only(tabulate_tasks(few), method="m")
    assert row["value"] == pytest.approx(0.1) and np.isnan(row["low"]) and np.isnan(row["p"]) and not row["significant"]
    assert row["note"] == "24 items: too few for an interval, which needs 40; one seed: variance between seeds unknown"
    assert row["comparisons"] == 0 and row["reason"] == ""


def sentences(label: str, values: Sequence[float], articles: Sequence[str] | None, target: str = "spa_Latn") -> Documents:
    made = documents(label, f"xlift_flores_eng_Latn_{target}", values, metric="chrf")
    known = articles is not None
    groups = np.array(articles) if articles is not None and len(set(articles)) < len(articles) else None
    return replace(made, columns=replace(made.columns, groups=groups, grouped=known))


def test_sentences_are_resampled_by_article_and_where_that_is_not_known_the_note_says_so() -> None:
    rng = np.random.default_rng(0)
    articles = [f"a{number // 4}" for number in range(240)]
    base = rng.uniform(20, 60, 240)
    ours = base + np.repeat(rng.normal(1, 5, 60), 4)  # what an article gains, all its sentences gain
    known, unknown = (
        only(tabulate_tasks([sentences("base", list(base), given), sentences("m", list(ours), given)])) for given in (articles, None)
    )
    assert known["value"] == pytest.approx(unknown["value"]) == pytest.approx((ours - base).mean())
    assert (known["documents"], unknown["documents"]) == (60, 240)
    ratio = (known["high"] - known["low"]) / (unknown["high"] - unknown["low"])
    assert ratio == pytest.approx(2, abs=0.2), "four times as many documents would be taken for independent ones"
    assert known["note"] == "" and unknown["note"] == ARTICLES_UNKNOWN
    apart = [str(number) for number in range(240)]
    assert only(tabulate_tasks([sentences("base", list(base), apart), sentences("m", list(ours), apart)]))["note"] == ""


def test_articles_that_one_language_knows_hold_for_the_same_sentences_of_another() -> None:
    articles = [f"a{number // 2}" for number in range(100)]
    sheets = [
        sentences(label, list(np.arange(100.0) + gain), given, target)
        for label, gain in (("base", np.zeros(100)), ("m", np.arange(100) % 3))
        for target, given in (("spa_Latn", articles), ("fra_Latn", None))
    ]
    lift = only(tabulate_lifts(sheets), kind="lift")
    assert (lift["value"], lift["documents"], lift["note"]) == (pytest.approx(0.99), 100, "")
