"""What was measured beside what a paper reports."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from result_folders import write_run
from typer.testing import CliRunner

import xlift
from xlift.harness.cli.main import app
from xlift.harness.config.suite import Suite, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.papers import PaperScores
from xlift.harness.evaluation.records import WinRate
from xlift.leaderboard.analysis.papers import Found, compare_paper
from xlift.leaderboard.loading.win_rates import JudgedRate, Setting

TASK = "xlift_mgsm_direct_es"


def suite(**changes: object) -> Suite:
    expected = [
        {"label": "base", "task": "xlift_mgsm_direct_{lang}", "metric": "accuracy", "values": {"es": 0.5, "de": 0.4}, "source": "table 1"},
        {"label": "m", "task": "xlift_mgsm_direct_{lang}", "metric": "accuracy", "values": {"es": 0.6, "de": 0.5}, "source": "table 1"},
    ]
    values = {
        "name": "paper", "languages": {"train": ["es"], "evaluate": ["es", "de"]}, "methods": {"m": {"method": "cross_lingual"}},
        "evaluate": {"tasks": ["xlift_mgsm_direct_{lang}"]}, "expected": expected, **changes,
    }  # fmt: skip
    return read_suite(values, "test")


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """The base has 8 of 20 right, the method 12, four of them new; German was not measured."""
    root = tmp_path / "paper"
    write_run(root, "base", {TASK: [1.0] * 8 + [0.0] * 12}, suite="paper")
    write_run(root, "m", {TASK: [1.0] * 12 + [0.0] * 8}, suite="paper", seed=0)
    return root


def test_ours_beside_the_papers(measured: Path) -> None:
    """Ours: 0.4 and 0.6, a lift of 0.2; the paper's: 0.5 and 0.6, a lift of 0.1, which the interval of ours holds."""
    rows = xlift.load_results(measured).compare_paper(suite()).to_dict("records")
    assert [(row["model"], row["language"]) for row in rows] == [("base", "es"), ("base", "de"), ("m", "es"), ("m", "de")]
    base, absent, method, _ = rows
    assert (base["paper"], base["ours"]) == (0.5, 0.4) and base["difference"] == pytest.approx(-0.1)
    assert np.isnan(absent["ours"]) and absent["paper"] == 0.4
    assert method["difference"] == pytest.approx(0.0) and method["our_lift"] == pytest.approx(0.2)
    assert method["paper_lift"] == pytest.approx(0.1) and method["lift_low"] < 0.1 < method["lift_high"] and method["agrees"]


def test_the_difference_has_the_interval_of_our_items(measured: Path) -> None:
    """8 of 20 right: by Wilson's formula 0.4 lies between 0.219 and 0.613, so 0.1 below the paper's 0.5 between -0.28 and
    +0.11; ours is resampled, which is near it."""
    base = xlift.load_results(measured).compare_paper(suite()).to_dict("records")[0]
    assert base["difference"] == pytest.approx(-0.1)
    assert base["low"] == pytest.approx(0.219 - 0.5, abs=0.035) and base["high"] == pytest.approx(0.613 - 0.5, abs=0.035)


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """Two languages, with 8 and 12 of 20 right by the base, 12 and 16 by the method."""
    root = tmp_path / "paper"
    for label, seed, right in (("base", None, (8, 12)), ("m", 0, (12, 16))):
        scores = {f"xlift_mgsm_direct_{lang}": [1.0] * n + [0.0] * (20 - n) for lang, n in zip(("es", "de"), right, strict=True)}
        write_run(root, label, scores, suite="paper", seed=seed)
    return root


MEAN: dict[str, object] = {"task": "xlift_mgsm_direct_{lang}", "metric": "accuracy", "over": ["es", "de"], "source": "table 2"}


def test_a_mean_over_languages_is_set_beside_ours(several: Path) -> None:
    """Ours: (8 + 12) / 40 = 0.5 and (12 + 16) / 40 = 0.7; the paper's: 0.55 and 0.6."""
    expected = [{"label": "base", "mean": 0.55, **MEAN}, {"label": "m", "mean": 0.6, **MEAN}]
    base, method = xlift.load_results(several).compare_paper(suite(expected=expected)).to_dict("records")
    assert (method["task"], method["language"]) == ("xlift_mgsm_direct_{lang}", "mean of es de")
    assert (base["ours"], base["difference"]) == (pytest.approx(0.5), pytest.approx(-0.05))
    assert (method["ours"], method["difference"]) == (pytest.approx(0.7), pytest.approx(0.1))
    assert method["low"] < 0.1 < method["high"]
    assert (method["paper_lift"], method["our_lift"]) == (pytest.approx(0.05), pytest.approx(0.2))


def test_a_mean_is_missing_where_one_of_its_languages_is(measured: Path) -> None:
    (row,) = xlift.load_results(measured).compare_paper(suite(expected=[{"label": "base", "mean": 0.55, **MEAN}])).to_dict("records")
    assert np.isnan(row["ours"]) and np.isnan(row["difference"])


def test_a_gain_is_a_share_of_the_other_models_mean(several: Path) -> None:
    """0.7 is 40 % more than 0.5; the paper's is 30 % more. A label with the language in it names one model for each."""
    expected = [{"label": "m", "gain": 0.3, "against": "base", **MEAN}]
    (row,) = xlift.load_results(several).compare_paper(suite(expected=expected)).to_dict("records")
    assert (row["ours"], row["difference"]) == (pytest.approx(0.4), pytest.approx(0.1))
    assert row["low"] < 0.1 < row["high"] and row["metric"] == "accuracy, gain over base"


def test_a_gain_of_what_is_better_if_low_has_its_interval_around_it(tmp_path: Path) -> None:
    """The base needs 2.0 bits and the method 1.5: its gain is -25 %, 5 % below the paper's -20 %."""
    root, task = tmp_path / "paper", "xlift_flores_bpb_eng_Latn_spa_Latn"
    for label, bits in (("base", 2.0), ("m", 1.5)):
        write_run(root, label, {task: [bits + 0.01 * (place % 5 - 2) for place in range(40)]}, metric="bits_per_byte", adapter=label)
    told = {"label": "m", "task": "xlift_flores_bpb_eng_Latn_{flores}", "metric": "bits_per_byte", "source": "table 3"}
    expected = [{**told, "gain": -0.2, "against": "base", "over": ["es"]}]
    (row,) = xlift.load_results(root).compare_paper(suite(expected=expected)).to_dict("records")
    assert row["difference"] == pytest.approx(-0.05) and row["low"] <= -0.05 <= row["high"] and row["high"] - row["low"] < 0.01


def test_the_papers_base_is_found_however_its_numbers_are_given(several: Path) -> None:
    """0.5 and 0.4 have the mean of 0.45, 0.15 below 0.6; languages in another order are the same languages."""
    values = [{"label": "base", **MEAN, "over": (), "values": {code: value}} for code, value in (("es", 0.5), ("de", 0.4))]
    mean = {"label": "base", **MEAN, "over": ("de", "es"), "mean": 0.45}
    method = {"label": "m", **MEAN, "mean": 0.6}
    for base in (values, [mean]):
        *_, row = xlift.load_results(several).compare_paper(suite(expected=[*base, method])).to_dict("records")
        assert row["paper_lift"] == pytest.approx(0.15) and row["our_lift"] == pytest.approx(0.2)


def test_a_record_that_keeps_one_metric_by_document_is_compared_all_the_same(measured: Path) -> None:
    """Of another metric there is our mean, and no interval."""
    for path in measured.glob("evaluate-*/manifest.json"):
        manifest = json.loads(path.read_text())
        metrics = manifest["record"]["tasks"][TASK]["metrics"]
        metrics["flexible"] = {"value": 0.7, "stderr": 0.1}
        path.write_text(json.dumps(manifest))
    told = {"label": "m", "task": "xlift_mgsm_direct_{lang}", "values": {"es": 0.5}, "source": "table 1"}
    expected = [{**told, "metric": metric} for metric in ("accuracy", "flexible")]
    kept, gone = xlift.load_results(measured).compare_paper(suite(expected=expected)).to_dict("records")
    assert kept["low"] < 0.1 < kept["high"] and gone["ours"] == 0.7 and np.isnan(gone["low"])


def test_one_model_for_each_language_is_averaged_over_their_languages(tmp_path: Path) -> None:
    """m-es has 10 of 20 right in Spanish, m-de 14 of 20 in German: 0.6. What m-es does in German does not count."""
    root = tmp_path / "paper"
    for lang, other, right in (("es", "de", 10), ("de", "es", 14)):
        scores = {f"xlift_mgsm_direct_{lang}": [1.0] * right + [0.0] * (20 - right), f"xlift_mgsm_direct_{other}": [0.0] * 20}
        write_run(root, f"m-{lang}", scores, suite="paper", seed=0)
    methods = {f"m-{lang}": {"method": "cross_lingual", "languages": [lang]} for lang in ("es", "de")}
    chosen = suite(methods=methods, expected=[{"label": "m-{lang}", "mean": 0.5, **MEAN}])
    (row,) = xlift.load_results(root).compare_paper(chosen).to_dict("records")
    assert (row["model"], row["ours"], row["difference"]) == ("m-{lang}", pytest.approx(0.6), pytest.approx(0.1))


def test_a_win_rate_is_that_of_the_judge_with_its_interval(tmp_path: Path) -> None:
    """0.3 with a standard error of 0.02 in Spanish, 0.2 with 0.02 in German: 0.25, 0.05 above the paper's 0.2, give or take 0.0392."""
    task = "xlift_x_alpaca_eval_{lang}"
    rates = [judged(task.format(lang="es"), 0.3), judged(task.format(lang="de"), 0.2)]
    expected = PaperScores(label="m", task=task, metric="win_rate", mean=0.2, over=("es", "de"), against="base", source="table 3")
    (row,) = compare_paper([expected], Found((), (), rates)).to_dict("records")
    assert row["judge"] == "judge-1, verdict mode, against base"
    assert (row["ours"], row["difference"]) == (pytest.approx(0.25), pytest.approx(0.05))
    assert (row["low"], row["high"]) == (pytest.approx(0.0108), pytest.approx(0.0892))


def judged(task: str, rate: float) -> JudgedRate:
    found = WinRate(
        suite="paper", label="m", seed=0, task=task, items_of=805, comparability="k", items=805, win_rate=rate, win_rate_stderr=0.02,
        win_rate_as_written=rate,
        length_controlled=None, length_controlled_stderr=None, length_control="", flips=None, parse_errors=None, verdicts="v.jsonl",
    )  # fmt: skip
    return JudgedRate(Setting("judge-1", "verdict", "base", "", "", "1"), "", found, Path("v.jsonl"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mean": 0.5, "values": {"es": 0.5}}, "give one of values, mean and gain, got values and mean"),
        ({}, "give one of values, mean and gain, got none"),
        ({"mean": 0.5, "over": []}, "over names the languages of a mean or a gain"),
        ({"gain": 0.5}, "against names the label that a gain is over"),
        ({"gain": 0.5, "against": "m"}, "a gain is over another label"),
        ({"gain": 0.5, "against": "base", "metric": "win_rate"}, "a gain is over another label, and of no win rate"),
        ({"mean": 0.5, "over": ["es", "es"]}, "over names a language twice"),
        ({"mean": 0.5, "task": "xlift_mgsm_direct_es"}, "it names one task, and 2 languages; put {lang} or {flores} in it"),
        ({"mean": 0.5, "task": "xlift_mgsm_direct_{language}"}, "only {lang} and {flores} stand for a language in it"),
        ({"mean": 0.5, "task": "xlift_mgsm_direct_{lang"}, "only {lang} and {flores} stand for a language in it"),
        ({"mean": 0.5, "task": "xlift_mgsm_direct_{lang:>3000000000}"}, "only {lang} and {flores} stand for a language in it"),
        ({"values": {"es": True}, "over": []}, "values: es: must be a number, got True"),
        ({"mean": 0.5, "source": ""}, "source"),
    ],
)
def test_what_a_paper_says_is_said_in_one_way(change: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        suite(expected=[{"label": "m", **MEAN, **change}])


def test_a_number_of_a_paper_is_given_once() -> None:
    with pytest.raises(UserError, match="accuracy of es is given twice"):
        values = {"label": "m", **MEAN, "over": (), "values": {"es": 0.5}}
        suite(expected=[values, {**values, "values": {"de": 0.4, "es": 0.6}}])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"task": "xlift_mgsm_cto_{lang}"}, "expected: 'xlift_mgsm_cto_es' is not among the suite's tasks"),
        ({"mean": 45.3}, "expected: xlift_mgsm_direct_es: accuracy is between 0 and 1, got 45.3"),
        ({"metric": "acuracy"}, "expected: xlift_mgsm_direct_es: no metric 'acuracy'; did you mean 'accuracy'"),
    ],
)
def test_tasks_and_metrics_of_a_paper_are_checked_before_a_run(change: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        xlift.validate(suite(expected=[{"label": "m", "mean": 0.5, **MEAN, **change}]))


def test_expected_scores_of_no_method_are_refused() -> None:
    odd = [{"label": "mm", "task": "t", "metric": "accuracy", "values": {"es": 0.5}, "source": "x"}]
    with pytest.raises(UserError, match=r"expected: 'mm' is no method of the suite; did you mean 'm'"):
        suite(expected=odd)


def test_a_suite_without_expected_scores_is_one_line(measured: Path) -> None:
    with pytest.raises(UserError, match="this suite has no expected scores"):
        xlift.load_results(measured).compare_paper(suite(expected=[]))


def test_before_a_run_the_command_shows_the_papers_numbers(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["compare-paper", "lidr-llama3-8b", "--runs", str(tmp_path)])
    assert found.exit_code == 0, found.output
    assert "0.72" in found.output and "arXiv:2410.08964" in found.output and "Nothing of it was measured" in found.output
