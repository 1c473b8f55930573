"""A suite's ``judge`` block and ``--judge``: the same settings as ``xlift judge``, found wrong before anything runs, and resumed."""

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import Call
from judges import JudgeServer, serve
from result_folders import write_answers

from xlift.harness.cli import judge
from xlift.harness.config.judge import JudgeSettings
from xlift.harness.config.suite import read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.engines import openai_api
from xlift.harness.judging import judgement
from xlift.harness.pipeline import stages
from xlift.harness.pipeline.dry_run import check_suite
from xlift.harness.pipeline.run import open_run

TASKS = ["xlift_x_alpaca_eval_{lang}"]
JUDGE: dict[str, Any] = {"judge": "http://127.0.0.1:9/v1", "model": "judge", "mode": "verdict", "against": "base"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    monkeypatch.setattr(openai_api, "RETRIES", 0)
    running = JudgeServer()
    with serve(running):
        yield running


def values(judge: dict[str, Any] | None, **changes: Any) -> dict[str, Any]:
    suite = {"name": "small", "languages": {"train": ["es"], "evaluate": ["es"]}, "methods": {"m": {"method": "cross_lingual"}},
             "evaluate": {"tasks": TASKS}, **changes}  # fmt: skip
    return suite if judge is None else {**suite, "judge": judge}


def refusal(judge: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        check_suite(read_suite(values(judge, **changes), "s.yaml"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_command_has_the_suites_keys_and_no_defaults_of_its_own() -> None:
    options = inspect.signature(judge.judge).parameters
    assert set(options) - {"runs", "as_json"} == set(JudgeSettings.model_fields)
    assert all(options[name].default in (None, False) for name in JudgeSettings.model_fields)
    for name in JudgeSettings.model_fields:
        flag = f"--{name.replace('_', '-')}"
        assert flag in options[name].annotation.__metadata__[0].param_decls if hasattr(options[name].annotation, "__metadata__") else flag


@pytest.mark.parametrize(
    ("judge", "says"),
    [
        ({}, "no judge is named, and none is chosen for you: --judge http"),
        ({**JUDGE, "mdoe": "verdict"}, "unknown key 'judge.mdoe'; did you mean 'mode'?"),
        ({**JUDGE, "mode": "wieghted"}, "unknown mode 'wieghted'; did you mean 'weighted'?"),
        ({**JUDGE, "against": "bsae"}, "judge.against: 'bsae' is neither a model of the suite nor published answers; did you mean 'base'?"),
        ({**JUDGE, "model": None}, "(judge.model in a suite)"),
        ({**JUDGE, "judge": "gpt-4"}, "names no judge; choices: "),
        ({"judge": "engine:x", "limit_tokens": 5}, "are for judges behind a URL"),
        ({**JUDGE, "concurrency": 0}, "judge.concurrency"),
    ],
)
def test_mistakes_are_found_by_validate(judge: dict[str, Any], says: str) -> None:
    assert says in refusal(judge)


def test_a_judge_needs_answers_and_an_opponent() -> None:
    assert "there is nothing to judge; add xlift_x_alpaca_eval_{lang}" in refusal(JUDGE, evaluate={"tasks": ["xlift_mgsm_cot_es"]})
    assert "base is the only model of the suite; name published answers" in refusal(JUDGE, methods={})
    tasks = {"tasks": ["xlift_judged_x_alpaca_eval_es"]}
    assert "is for plain lm_eval; name 'xlift_x_alpaca_eval_es'" in refusal(JUDGE, evaluate=tasks)


@pytest.mark.parametrize(
    ("judge", "says"),
    [
        ({"difficulty": "nowhere.csv"}, "no CSV that can be read"),
        ({"against": "gpt-4o-mini"}, "judge.against: the answers of gpt-4o-mini are nowhere to be found"),
        ({"judge": "engine:nowhere/at-all/x", "model": None}, "nowhere"),
        ({"judge": "lm:dumy", "model": None}, "did you mean 'dummy'?"),
    ],
)
@pytest.mark.usefixtures("unplugged")
def test_what_is_not_to_be_had_is_found_before_training(judge: dict[str, Any], says: str, tiny_base: Path, tmp_path: Path) -> None:
    suite = read_suite(values({**JUDGE, **judge}, base={"model": str(tiny_base)}, data={"samples": "always"}), "s.yaml")
    with pytest.raises(UserError) as caught:
        open_run(suite, tmp_path)
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.glob("small"))


def test_a_judge_moves_no_stage(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLIFT_SAMPLES", "always")
    names = []
    for wanted in (None, JUDGE):
        suite = read_suite(values(wanted, base={"model": str(tiny_base)}, data={"samples": "always"}), "s.yaml")
        run = open_run(suite, tmp_path)
        names.append(
            (stages.prepare_stage(run, stages.Round("m")).name, stages.evaluate_stage(run, stages.Measured("base", None, None)).name)
        )
    assert names[0] == names[1]


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    run = tmp_path / "runs" / "small"
    write_answers(run, "base", None, [("1", "zz"), ("2", ""), ("3", "z")])
    write_answers(run, "m", 0, [("1", "zzz"), ("2", "z"), ("3", "")])
    return run


def test_a_finished_judgement_is_not_repeated(server: JudgeServer, finished: Path) -> None:
    suite = read_suite(values({**JUDGE, "judge": server.url}), "s.yaml")
    judgement.judge_suite(suite, finished)
    (path,) = finished.glob("judge-*/judgements.json")
    assert len(server.seen) == 6 and (finished.parent / "judges").is_dir()
    before = path.stat().st_mtime_ns
    judgement.judge_suite(suite, finished)
    assert path.stat().st_mtime_ns == before
    write_answers(finished, "m", 1, [("1", "zzz"), ("2", "zzzz"), ("3", "")])
    judgement.judge_suite(suite, finished)
    assert len(json.loads(path.read_text())["results"]) == 2 and len(server.seen) == 8, "one answer is new, in both orders"


def test_a_failing_judge_leaves_the_scores(call: Call, server: JudgeServer, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xlift.harness.pipeline import run as pipeline

    monkeypatch.setattr(pipeline, "measure_suite", lambda suite, runs, wait: finished)
    path = finished.parent / "s.yaml"
    path.write_text(yaml.safe_dump(values({**JUDGE, "judge": "http://127.0.0.1:9/v1"})))
    code, out, err = call("run", path, "--runs", finished.parent)
    assert code == 2 and out.startswith("Scores")
    assert "0 of 6 replies were kept, and the same command goes on from there" in err.splitlines()[-1]
    code, out, err = call("run", path, "--runs", finished.parent, "--judge", server.url, "--json")
    assert code == 0, err
    (row,) = json.loads(out)["win_rates"]
    assert (row["model"], row["judge"], row["served"], row["win_rate"]) == ("m (seed 0)", "judge", "judge-1", pytest.approx(2 / 3))


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_evaluate_and_judge(
    call: Call, server: JudgeServer, tiny_base: Path, tmp_path: Path, unplugged: None, fill_folder: Callable[..., Path]
) -> None:
    rows = [{"id": n, "dataset": "d", "instruction": f"Instrucción {n}"} for n in (1, 2)]
    said = [{**row, "output": "zz", "generator": "g"} for row in rows]
    instructions, outputs = ("".join(json.dumps(row) + "\n" for row in some) for some in (rows, said))
    fill_folder(**{"x_alpacaeval/instructions/es.jsonl": instructions, "x_alpacaeval/outputs/gpt-4o-mini/es.jsonl.gz": outputs})
    suite = {**values({**JUDGE, "judge": server.url, "against": "gpt-4o-mini"}), "methods": {}, "base": {"model": str(tiny_base)}}
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump({**suite, "engine": {"backend": "hf", "dtype": "float32"}}))
    code, out, err = call("run", path, "--runs", tmp_path / "runs", "--dry-run", "--json")
    assert code == 0, err
    planned = json.loads(out)
    unknown = dict.fromkeys(("rows", "tokens", "steps", "seconds"))
    assert planned["stages"][-1] == {"stage": "judge", "label": "judge", "state": "to do", **unknown, "items": 2}
    assert planned["totals"]["requests to the judge"] == "4 at most"
    code, out, err = call("run", path, "--runs", tmp_path / "runs", "--json")
    assert code == 0, err
    assert json.loads(out)["win_rates"][0]["model"] == "base" and len(server.seen) == 4
    code, out, _ = call("run", path, "--runs", tmp_path / "runs", "--dry-run", "--json")
    assert {row["state"] for row in json.loads(out)["stages"]} == {"done"}
