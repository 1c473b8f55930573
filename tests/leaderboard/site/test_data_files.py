"""The site's data files, and results that others wrote."""

import csv
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from every_eval_ever.eval_types import EvaluationLog
from every_eval_ever.schema import get_schema_version, schema_json
from result_folders import write_run

from xlift.harness.core.errors import UserError
from xlift.leaderboard.analysis import board
from xlift.leaderboard.analysis.pairwise import compare_rows, tabulate
from xlift.leaderboard.loading import foreign, runs
from xlift.leaderboard.site.data_files import EEE_VERSION, TABLES, write_data, write_every_eval_ever

TASK = "xlift_mgsm_direct_es"


@pytest.fixture
def made(tmp_path: Path) -> board.Board:
    root = tmp_path / "runs" / "s"
    write_run(root, "base", {TASK: [0.0] * 9 + [1.0]}, day="02")
    write_run(root, "=cmd()", {TASK: [1.0] * 9 + [0.0]}, seed=0)
    return board.make(runs.collect([root], foreign.read))


@pytest.fixture
def data(made: board.Board) -> dict[str, str]:
    return dict(write_data(made, tabulate(compare_rows(made))))


def test_tables_are_the_same_in_both_formats(data: dict[str, str]) -> None:
    for name in TABLES:
        rows = list(csv.DictReader(io.StringIO(data[f"data/{name}.csv"])))
        plain = json.loads(data[f"data/{name}.json"])
        assert len(rows) == len(plain) and (not rows or list(rows[0]) == list(plain[0]))
        assert rows or name in ("options", "training", "curves", "lift_curves", "win_rates", "agreement", "order")
    lifts = json.loads(data["data/lifts.json"])
    assert [one["value"] for one in lifts if one["metric"] == "accuracy"] == [0.8]
    (pair,) = json.loads(data["data/pairs.json"])
    assert (pair["value"], pair["first"], pair["significant"]) == (pytest.approx(80), "s--cmd-" + pair["first"][-6:], True)


def test_a_base_that_is_ahead_has_its_difference(tmp_path: Path) -> None:
    root = tmp_path / "runs" / "s"
    write_run(root, "base", {TASK: [1.0] * 9 + [0.0]})
    write_run(root, "worse", {TASK: [0.0] * 9 + [1.0]}, seed=0)
    (pair,) = tabulate(compare_rows(board.make(runs.collect([root], foreign.read)))).to_dict("records")
    assert (pair["first"], pair["value"]) == ("s--base", pytest.approx(80))


def test_a_spreadsheet_takes_no_label_for_a_formula(data: dict[str, str]) -> None:
    assert {row["label"] for row in csv.DictReader(io.StringIO(data["data/rows.csv"]))} == {"base", "'=cmd()"}
    assert {row["label"] for row in json.loads(data["data/rows.json"])} == {"base", "=cmd()"}, "JSON needs no quote"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\n", " "])
def test_no_cell_begins_as_a_formula_may(start: str, tmp_path: Path) -> None:
    root = tmp_path / "runs" / "s"
    write_run(root, f"{start}1", {TASK: [1.0, 0.0]}, seed=0)
    made = board.make(runs.collect([root], foreign.read))
    rows = list(csv.DictReader(io.StringIO(dict(write_data(made, tabulate(compare_rows(made))))["data/rows.csv"])))
    assert [row["label"][0] for row in rows] == ["'"]


def test_results_follow_their_schema(data: dict[str, str]) -> None:
    results, schema = json.loads(data["data/results.json"]), json.loads(data["data/results.schema.json"])
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(results, schema)
    assert [run["record"]["tasks"][TASK]["metrics"]["accuracy"]["value"] for run in results["runs"]] == [0.9, 0.1]
    results["rows"][0]["rank"] = "first"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(results, schema)


def test_records_are_valid_for_every_eval_ever(data: dict[str, str]) -> None:
    assert get_schema_version() == EEE_VERSION
    lines = data["data/every_eval_ever.jsonl"].splitlines()
    assert len(lines) == 2
    for line in lines:
        jsonschema.validate(json.loads(line), schema_json())
        EvaluationLog.model_validate_json(line)
    result = json.loads(lines[0])["evaluation_results"][0]
    assert result["score_details"]["score"] == 0.9 and result["metric_config"]["max_score"] == 1.0
    assert result["score_details"]["uncertainty"] == {"num_samples": 10, "standard_error": {"value": 0.1, "method": "analytic"}}


def test_the_feed_names_each_run_once_the_newest_first(data: dict[str, str]) -> None:
    name = "{http://www.w3.org/2005/Atom}"
    feed = ElementTree.fromstring(data["feed.xml"])
    assert [one.text for one in feed.iter(f"{name}title")][1:] == ["base in s", "=cmd() (seed 0) in s"]
    assert feed.findtext(f"{name}updated") == "2026-01-02T00:00:00Z"


LM_EVAL: dict[str, Any] = {
    "results": {
        TASK: {"alias": TASK, "accuracy,none": 0.5, "accuracy_stderr,none": 0.1, "off_target,none": 0.0, "off_target_stderr,none": "N/A"},
        "gsm8k": {"exact_match,strict-match": 0.25, "exact_match_stderr,strict-match": 0.05, "exact_match,flexible-extract": float("nan")},
    },
    "versions": {TASK: 1.0, "gsm8k": 3.0}, "n-shot": {TASK: 0, "gsm8k": 5}, "n-samples": {TASK: {"original": 4, "effective": 2}},
    "task_hashes": {TASK: "abc"}, "config": {"model": "hf"}, "model_name": "org/model", "date": 1795352054.5, "chat_template_sha": None,
}  # fmt: skip

OPEN_LLM = {
    "config_general": {"model_name": "org/model", "model_dtype": "bfloat16", "lighteval_sha": "494ee"},
    "results": {"harness|arc:challenge|25": {"acc": 0.5, "acc_stderr": 0.01, "acc_norm": 0.6}, "all": {"acc": 0.5}},
    "versions": {"harness|arc:challenge|25": 0},
}


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def test_a_folder_of_plain_lm_eval(tmp_path: Path) -> None:
    write(tmp_path / "out/org__model/results_2026-01-01T00-00-00.1.json", LM_EVAL)
    rows = [{"doc_id": n, "doc_hash": f"h{n}", "filter": "none", "metrics": ["accuracy"], "accuracy": n, "off_target": 0.0} for n in (0, 1)]
    for row in rows:
        row["metrics"] = ["accuracy", "off_target"]
    (tmp_path / f"out/org__model/samples_{TASK}_2026-01-01T00-00-00.1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run,) = runs.collect([tmp_path / "out"], foreign.read).runs
    record = run.record
    assert (run.origin, record.label, record.method, run.written) == ("lm_eval", "org/model", None, "2026-11-22T12:54:14Z")
    assert {name: (one.value, one.stderr) for name, one in record.tasks[TASK].metrics.items()} == {
        "accuracy": (0.5, 0.1), "off_target": (0.0, None),
    }  # fmt: skip
    assert list(record.tasks["gsm8k"].metrics) == ["exact_match/strict-match"]
    assert (record.tasks[TASK].items, record.tasks[TASK].items_of, record.tasks["gsm8k"].items) == (2, 4, 0)
    assert [one.task for one in run.documents] == [TASK, TASK] and "compared only with its like" in run.notes[0]


def test_models_of_xlift_are_known_by_base_and_adapter(tmp_path: Path) -> None:
    # lm-eval finds none of the arguments that it names a model by, and makes a name up
    for number, adapter in enumerate((None, "/runs/demo/fit-m-seed0-abc/adapter", "hub:org/mine"), 1):
        given = {"base": "org/base", **({"adapter": adapter} if adapter else {})}
        said = {**LM_EVAL, "model_name": "shiny_otter", "date": float(number), "config": {"model": "xlift", "model_args": given}}
        write(tmp_path / f"out/shiny_otter/results_2026-01-0{number}T00-00-00.1.json", said)
    found = runs.collect([tmp_path / "out"], foreign.read)
    assert [run.record.label for run in found.runs] == ["base", "org/base + fit-m-seed0-abc/adapter", "org/base + hub:org/mine"]
    assert {run.record.suite for run in found.runs} == {"lm_eval: org/base"}
    assert found.older == (), "none is taken for an older measurement of another"


def test_other_settings_make_another_key(tmp_path: Path) -> None:
    def key(**changes: Any) -> str:
        (run,) = foreign.read(write(tmp_path / "results_x.json", {**LM_EVAL, **changes}))
        return run.record.tasks[TASK].comparability

    assert key() == key(model_name="another/model", date=1.0)
    changes: list[dict[str, Any]] = [{"n-shot": {TASK: 5}}, {"task_hashes": {}}, {"system_instruction": "Be brief."}, {"n-samples": {}}]
    assert len({key(), *(key(**change) for change in changes)}) == 1 + len(changes)


def test_results_of_the_open_llm_leaderboard(tmp_path: Path) -> None:
    (run,) = foreign.read(write(tmp_path / "results_2023.json", OPEN_LLM))
    (task,) = run.record.tasks
    assert (run.origin, run.record.label, task) == ("open_llm", "org/model", "harness|arc:challenge|25")
    assert {name: (one.value, one.stderr) for name, one in run.record.tasks[task].metrics.items()} == {
        "acc": (0.5, 0.01), "acc_norm": (0.6, None),
    }  # fmt: skip


def test_what_we_export_to_every_eval_ever_is_read_again(made: board.Board, tmp_path: Path) -> None:
    record = write_every_eval_ever(made.runs[0])
    (run,) = foreign.read(write(tmp_path / "results_eee.json", record))
    assert (run.origin, run.written) == ("every_eval_ever", "2026-01-01T00:00:00Z")
    assert run.record.tasks[TASK].metrics["accuracy"].value == 0.9 and run.record.tasks[TASK].items == 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "a JSON object was expected"),
        ("[" * 100_000, "not JSON"),
        ('{"a": 1}', "not a results file of"),
        ('{"schema_version": 7, "record": {}}', "schema version 7 is not known"),
        ('{"results": {}}', "no task in it has a score"),
        ('{"results": {"t": {"acc,none": "N/A"}}}', "no task in it has a score"),
    ],
)
def test_foreign_files_are_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "results_1.json"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        foreign.read(path)
    good = write(tmp_path / "good/results_2.json", LM_EVAL)
    found = runs.collect([path, good.parent], foreign.read)
    assert len(found.runs) == 1 and said in found.unread[0] and "results_1.json" in found.unread[0]


@pytest.mark.parametrize(
    "data", ['{"results": {"t": 3}}', '{"results": {"t": {"a,none": 1}}, "configs": 4}', '{"evaluation_results": [1]}']
)
def test_odd_shapes_are_left_out(tmp_path: Path, data: str) -> None:
    path = tmp_path / "results_1.json"
    path.write_text(data)
    good = write(tmp_path / "good/results_2.json", LM_EVAL)
    found = runs.collect([path, good.parent], foreign.read)
    assert len(found.runs) == 1 and found.unread == (f"results_1.json: {found.unread[0].partition(': ')[2]}",)
