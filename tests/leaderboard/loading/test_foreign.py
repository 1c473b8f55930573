"""Results of other programs beside each other: a base is found or named, lift is shown, and metrics mean what they say of themselves."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import Call
from result_folders import Page

from xlift.leaderboard.analysis import board
from xlift.leaderboard.loading import foreign, runs

SPA, FRA = "belebele_spa_Latn", "belebele_fra_Latn"
GOOD, BAD = [1.0] * 18 + [0.0] * 2, [0.0] * 18 + [1.0] * 2


def write_results(
    out: Path, model_args: Mapping[str, str], tasks: Mapping[str, Mapping[str, Sequence[float]]], *, listed: Sequence[Any] = (),
    directions: Mapping[str, bool] | None = None, samples: bool = True, day: int = 1,
) -> None:  # fmt: skip
    """A results file of plain lm_eval with its samples: scores by task, metric and document."""
    name = "__".join(model_args.values()).replace("/", "__")
    stamp = f"2026-01-0{day}T00-00-00.1"
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, Any]] = {}
    for task, metrics in tasks.items():
        results[task] = {f"{metric},none": sum(values) / len(values) for metric, values in metrics.items()}
        choices = {f"gen_args_{place}": {"arg_0": "¿Cuál?", "arg_1": f" {text}"} for place, text in enumerate("AB")}
        rows = []
        for number in range(len(next(iter(metrics.values())))):
            right = next(iter(metrics.values()))[number] == 1
            scored = [[["-1.5", "True"]], [["-2.5", "False"]]] if right else [[["-3.5", "False"]], [["-2.5", "True"]]]
            rows.append(
                {"doc_id": number, "doc_hash": f"h{number}", "filter": "none", "target": "0", "arguments": choices, "resps": scored,
                 "filtered_resps": [one[0] for one in scored], "doc": {}, "metrics": list(metrics),
                 **{metric: values[number] for metric, values in metrics.items()}}
            )  # fmt: skip
        if samples:
            (folder / f"samples_{task}_{stamp}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = {
        "results": {**results, "belebele": {"acc,none": 0.5}}, "groups": {"belebele": {}}, "group_subtasks": {"belebele": list(tasks)},
        "configs": {task: {"dataset_name": task.partition("_")[2], "metric_list": list(listed)} for task in tasks},
        "higher_is_better": {task: dict(directions or {}) for task in tasks}, "versions": dict.fromkeys(tasks, 0.0),
        "n-samples": {task: {"original": 20, "effective": 20} for task in tasks}, "model_name": next(reversed(model_args.values())),
        "config": {"model": "hf", "model_args": dict(model_args)}, "date": float(day),
    }  # fmt: skip
    (folder / f"results_{stamp}.json").write_text(json.dumps(said))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_results(tmp_path / "out", {"pretrained": "org/base"}, {SPA: {"acc": BAD}, FRA: {"acc": BAD}})
    write_results(tmp_path / "out", {"pretrained": "org/base", "peft": "me/tuned"}, {SPA: {"acc": GOOD}, FRA: {"acc": GOOD}})
    return tmp_path / "out"


def make(out: Path, base: str | None = None) -> board.Board:
    return board.make(runs.collect([out], foreign.read, base))


def test_an_adapter_names_its_base(out: Path) -> None:
    (group,) = make(out).groups
    tuned, base = group.rows
    assert (tuned.label, tuned.suite, base.label) == ("org/base + me/tuned", "lm_eval: org/base", "base")
    # 18 of 20 against 2 of 20 in both languages; a group's own mean is no further task.
    assert (group.benchmarks, tuned.languages) == (("belebele_*",), ("es", "fr"))
    assert tuned.averages["lift"].value == pytest.approx(80) and tuned.scores["belebele_*"].value == pytest.approx(90)
    assert [(row.rank, row.mean) for row in group.rows] == [(1, pytest.approx(90)), (2, pytest.approx(10))]
    assert group.view.note == "" and not any("not ranked" in note for row in group.rows for note in row.notes)


@pytest.mark.slow
def test_a_base_is_named_for_models_that_do_not_say(out: Path, call: Call, tmp_path: Path) -> None:
    write_results(out, {"pretrained": "me/whole"}, {SPA: {"acc": GOOD}, FRA: {"acc": BAD}})
    assert {row.label: row.averages.get("lift") for row in make(out).rows}["me/whole"].value is None
    whole = next(row for row in make(out, "org/base").rows if row.label == "me/whole")
    assert whole.averages["lift"].value == pytest.approx(40) and whole.suite == "lm_eval: org/base"
    code, _, error = call("site", out, "--base", "org/bas", "--out", tmp_path / "site")
    assert code == 2 and "base 'org/bas': no result of another program is of it; did you mean 'org/base'?" in error
    code, _, _ = call("site", out, "--base", "org/base", "--out", tmp_path / "site")
    page = Page((tmp_path / "site/index.html").read_text())
    assert code == 0 and "+40.0" in page.text and "+80.0" in page.text


def test_other_tasks_of_a_model_are_no_newer_measurement(out: Path) -> None:
    write_results(out, {"pretrained": "org/base"}, {"belebele_deu_Latn": {"acc": GOOD}}, day=2)
    write_results(out, {"pretrained": "org/base"}, {FRA: {"acc": GOOD}}, day=3)
    found = runs.collect([out], foreign.read)
    base = found.runs[0].record
    assert found.older == () and {task: one.metrics["acc"].value for task, one in base.tasks.items()} == {
        SPA: 0.1, FRA: 0.9, "belebele_deu_Latn": 0.9,
    }  # fmt: skip
    assert {one.task for one in found.runs[0].documents} == set(base.tasks)


def test_choices_are_shown(out: Path, call: Call) -> None:
    code, shown, _ = call("show", out / "org__base__me__tuned", SPA)
    assert code == 0 and "reference: A" in shown and "answer: A" in shown and "-1.50: A" in shown and "-2.50: B" in shown


def test_without_samples_the_reason_is_told(tmp_path: Path) -> None:
    for adapter in ({}, {"peft": "me/tuned"}):
        write_results(tmp_path, {"pretrained": "org/base", **adapter}, {SPA: {"acc": GOOD}}, samples=False)
    (group,) = make(tmp_path).groups
    assert {row.rank for row in group.rows} == {None}
    assert "no samples" in group.view.note or all(any("no samples" in note for note in row.notes) for row in group.rows)
    assert "not every model was measured" not in group.view.note


def test_less_is_better_where_lm_eval_says_so(tmp_path: Path) -> None:
    listed, said = [{"metric": "toxicity", "aggregation": "mean"}], {"toxicity": False}
    for adapter, values in ({}, [4.0, 6.0] * 30), ({"peft": "me/tuned"}, [2.0, 3.0] * 30):
        write_results(tmp_path, {"pretrained": "b", **adapter}, {SPA: {"toxicity": values}}, listed=listed, directions=said)
    made = make(tmp_path)
    (group,) = made.groups
    # 2.5 against 5.0, where less is better: the lift is +2.5 in the metric's own unit, and the tuned model stands first.
    (lift,) = made.lifts.to_dict("records")
    assert (lift["value"], lift["kind"], lift["languages"]) == (pytest.approx(2.5), "lift", ("es",)) and lift["most"] is None
    assert [(row.label, row.rank) for row in group.rows] == [("b + me/tuned", 1), ("base", 2)]
    assert group.rows[0].scores["belebele_*"].value == pytest.approx(2.5), "no points of 100 without a bound"


def test_a_scale_is_the_same_for_all_models(tmp_path: Path) -> None:
    listed, said = [{"metric": "f1", "aggregation": "mean"}], {"f1": True}
    for adapter, values in ({}, [0.0, 1.0] * 10), ({"peft": "me/tuned"}, [40.0, 60.0] * 10):
        write_results(tmp_path, {"pretrained": "b", **adapter}, {SPA: {"f1": values}}, listed=listed, directions=said)
    scores = {row.label: row.scores["belebele_*"].value for row in make(tmp_path).rows}
    assert scores == {"base": pytest.approx(0.5), "b + me/tuned": pytest.approx(50)}, "0.5 of 100, as the other one's 50 shows"


def test_a_perplexity_differs_without_an_interval(tmp_path: Path, call: Call) -> None:
    listed, said = [{"metric": "perplexity", "aggregation": "perplexity"}], {"perplexity": False}
    for adapter, values in ({}, [30.0] * 20), ({"peft": "me/tuned"}, [24.5] * 20):
        write_results(tmp_path / "out", {"pretrained": "b", **adapter}, {SPA: {"perplexity": values}}, listed=listed, directions=said)
    code, _, error = call("site", tmp_path / "out", "--out", tmp_path / "site")
    assert code == 0, error
    page = Page(next((tmp_path / "site/benchmarks").glob("belebele*")).read_text()).text
    assert "+5.5" in page and "24.5" in page
    (run,) = (tmp_path / "site/runs").glob("*tuned*")
    assert "perplexity is of all documents at once, so no interval and no paired test" in run.read_text()
