"""A judge within plain lm_eval: one call a task, verdicts in the samples, off with --predict_only, and never a lost answer."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from judges import JudgeServer, serve
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks import TaskManager

from xlift.harness.core.errors import UserError
from xlift.harness.engines import openai_api
from xlift.harness.judging import lm_eval_filter
from xlift.harness.judging.lm_eval_filter import JudgeFilter, read_settings
from xlift.tasks import index

TASK = "xlift_judged_x_alpaca_eval_es"
WRITTEN_BY_0_1 = """
task: xlift_judged_x_alpaca_eval_es
class: !function xlift.harness.judged_task.JudgedTask
custom_dataset: !function xlift.tasks.data.dataset
dataset_kwargs: {corpus: x_alpaca_eval, lang: es, split: instructions}
test_split: instructions
output_type: generate_until
num_fewshot: 0
doc_to_text: '{{instruction | trim}}'
doc_to_target: ''
generation_kwargs: {until: [], do_sample: false, max_gen_toks: 512}
filter_list:
- {name: none, filter: [{function: take_first}]}
- {name: judge, filter: [{function: take_first}, {function: xlift_judge}]}
process_results: !function xlift.tasks.verdicts.process_results
metric_list:
- {metric: off_target, aggregation: mean, higher_is_better: false}
- {metric: characters, aggregation: mean, higher_is_better: null}
- {metric: empty, aggregation: mean, higher_is_better: false}
- {metric: win_rate, aggregation: mean, higher_is_better: true}
- {metric: length_controlled, aggregation: !function xlift.tasks.verdicts.length_controlled, higher_is_better: true}
- {metric: flips, aggregation: mean, higher_is_better: false}
- {metric: judge_errors, aggregation: mean, higher_is_better: false}
metadata: {version: 1.0, instruction_language: es}
"""


class Answering(LM):  # type: ignore[misc]
    """Answers instruction n with n + 1 times z."""

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        return ["z" * (int(request.doc["id"]) + 1) for request in requests]

    def loglikelihood(self, requests: Any) -> Any:
        raise AssertionError("the task generates")

    loglikelihood_rolling = loglikelihood


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unplugged: None, fill_folder: Callable[..., Path]) -> Iterator[JudgeServer]:
    rows = [{"id": n, "dataset": "d", "instruction": f"Instrucción {n}"} for n in range(1, 4)]
    said = [{**row, "output": "z" * 3, "generator": "g"} for row in rows]
    fill_folder(
        **{
            "x_alpacaeval/instructions/es.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
            "x_alpacaeval/outputs/gpt-4o-mini/es.jsonl.gz": "".join(json.dumps(row) + "\n" for row in said),
        }
    )
    monkeypatch.setattr(openai_api, "RETRIES", 0)
    running = JudgeServer()
    told = {"": running.url, "_MODEL": "judge", "_MODE": "verdict", "_AGAINST": "gpt-4o-mini", "_VERDICTS": str(tmp_path / "judges")}
    for name, value in told.items():
        monkeypatch.setenv(f"XLIFT_JUDGE{name}", value)
    lm_eval_filter._open.cache_clear()
    with serve(running):
        yield running


def run(folder: Path | None = None, **options: Any) -> dict[str, Any]:
    manager = TaskManager(include_path=str(folder or index.folder()), include_defaults=False)
    found = simple_evaluate(
        model=Answering(), tasks=[TASK], task_manager=manager, bootstrap_iters=0, random_seed=None, torch_random_seed=None, **options
    )
    assert found is not None
    return dict(found)


@pytest.mark.slow
def test_verdicts_stand_in_the_samples(server: JudgeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(
        lm_eval_filter, "judge_pairs", lambda *given, real=lm_eval_filter.judge_pairs: calls.append(len(given[2])) or real(*given)
    )
    found = run()
    assert calls == [3], "one call for all documents"
    scores = found["results"][TASK]
    # 2, 3 and 4 z against 3: a loss, a tie, a win
    assert (scores["win_rate,judge"], scores["judge_errors,judge"], scores["flips,judge"]) == (0.5, 0, 0)
    assert scores["characters,none"] == 3 and "characters,judge" not in scores and "win_rate,none" not in scores
    samples = {(one["doc_id"], one["filter"]): one for one in found["samples"][TASK]}
    assert len(samples) == 6
    assert [samples[n, "judge"]["win_rate"] for n in range(3)] == [0, 0.5, 1]
    (verdict,) = samples[2, "judge"]["filtered_resps"]
    assert (verdict["text"], verdict["outcome"], verdict["preferences"]) == ("zzzz", "win", [1.0, 1.0])
    assert verdict["replies"] == ["A has 4 z, B has 3.\n[[A]]", "A has 3 z, B has 4.\n[[B]]"]
    assert (verdict["judge"]["served"], verdict["judge"]["against"]) == ("judge-1", "gpt-4o-mini")
    assert verdict["judge"]["calibration"] == "not calibrated"
    json.dumps(found["samples"])
    asked = len(server.seen)
    run()
    assert len(server.seen) == asked == 6, "nothing is asked twice"


def test_task_files_of_xlift_0_1_run_and_name_what_is_new(server: JudgeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / f"{TASK}.yaml").write_text(WRITTEN_BY_0_1, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "xlift.harness.judged_task", raising=False)
    with pytest.warns(DeprecationWarning, match="judged_task is xlift.harness.judging.lm_eval_filter"):
        old = run(folder)["results"][TASK]
    assert (old["win_rate,judge"], old["judge_errors,judge"], old["characters,none"]) == (0.5, 0, 3)


def test_predict_only_asks_no_judge(server: JudgeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XLIFT_JUDGE")
    found = run(predict_only=True)
    assert not server.seen
    assert [(one["filter"], one["filtered_resps"]) for one in found["samples"][TASK]] == [
        ("none", ["zz"]),
        ("none", ["zzz"]),
        ("none", ["zzzz"]),
    ]


def test_lm_eval_applies_filters_with_predict_only(server: JudgeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why the task takes the filter away."""
    monkeypatch.setattr(lm_eval_filter, "_find_arguments", lambda ensemble: [])
    run(predict_only=True)
    assert len(server.seen) == 6


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("", "", "no judge is named, and none is chosen for you: --judge http"),
        ("_MODE", "wieghted", "did you mean 'weighted'?"),
        ("_AGAINST", "gpt-4o", "did you mean 'gpt-4o-mini'?"),
        ("_CONCURENCY", "2", "unknown variable XLIFT_JUDGE_CONCURENCY; did you mean 'XLIFT_JUDGE_CONCURRENCY'?"),
        ("_CONCURRENCY", "0", "concurrency"),
        ("_DIFFICULTY", "x.csv", "use xlift judge for difficulties"),
        ("_AGAINST", "gpt-3.5-turbo-0125", "gpt-3.5-turbo-0125"),
    ],
)
def test_a_mistake_is_found_before_anything_is_generated(
    server: JudgeServer, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(f"XLIFT_JUDGE{variable}", value)
    monkeypatch.setattr(Answering, "generate_until", lambda *given: pytest.fail("generated"))
    with pytest.raises(UserError) as caught:
        run()
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.usefixtures("server")
def test_a_judge_that_fails_loses_no_answer(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("XLIFT_JUDGE", "http://127.0.0.1:9/v1")
    found = run()
    scores = found["results"][TASK]
    assert scores["judge_errors,judge"] == 1 and "win_rate,judge" not in scores and scores["characters,none"] == 3
    faulty = [one["filtered_resps"][0] for one in found["samples"][TASK] if one["filter"] == "judge"]
    assert [one["text"] for one in faulty] == ["zz", "zzz", "zzzz"] and {one["outcome"] for one in faulty} == {"error"}
    assert "0 of 6 replies were kept, and the same command goes on from there" in faulty[0]["fault"]
    assert any("not judged" in message for message in caplog.messages)


def test_the_filter_alone_takes_its_own_arguments(server: JudgeServer) -> None:
    docs = [{"id": "1", "lang": "es", "instruction": "Instrucción 1"}]
    (found,) = JudgeFilter(mode="weighted").apply([["zzzz"]], docs)
    assert found["preference"] == pytest.approx(5 / 9)  # 4 z and 3, each and one more


def test_arguments_stand_over_the_environment() -> None:
    settings = read_settings({"model": "b"}, {"XLIFT_JUDGE": "http://h/v1", "XLIFT_JUDGE_MODEL": "a", "XLIFT_JUDGE_CONCURRENCY": "3"})
    assert (settings.model, settings.concurrency, settings.mode) == ("b", 3, "weighted")


@pytest.mark.slow
def test_plain_lm_eval(server: JudgeServer, tiny_base: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "lm_eval",
        "run",
        "--model",
        "hf",
        "--model_args",
        f"pretrained={tiny_base},dtype=float32",
        "--tasks",
        TASK,
    ]
    command += ["--include_path", str(index.folder()), "--apply_chat_template", "--log_samples", "--output_path", str(tmp_path / "out")]
    command += ["--gen_kwargs", "max_gen_toks=8", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OPENAI_API_KEY": "none"}, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = (tmp_path / "out").rglob("samples_*.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    verdicts = [json.loads(row["filtered_resps"][0]) for row in rows if row["filter"] == "judge"]
    assert [one["judge"]["served"] for one in verdicts] == ["judge-1"] * 3
