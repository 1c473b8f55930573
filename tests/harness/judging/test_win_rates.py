"""``xlift judge`` on finished runs: answers from samples, opponents, what is written, and what is refused."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import Call
from judges import JudgeServer, serve
from result_folders import write_answers

from xlift.harness.core.store import read_manifest
from xlift.harness.engines import openai_api
from xlift.harness.evaluation.records import read_judgements


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setattr(openai_api, "RETRIES", 0)
    running = JudgeServer()
    with serve(running):
        yield running


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    run = tmp_path / "small"
    write_answers(run, "base", None, [("1", "zz"), ("2", ""), ("3", "z")])
    write_answers(run, "m", 0, [("1", "zzz"), ("2", "z"), ("3", "")])
    return run


@pytest.fixture
def ask(call: Call, server: JudgeServer, tmp_path: Path) -> Call:
    def judged(*arguments: object) -> tuple[int, str, str]:
        named = ("--judge", server.url, "--model", "judge", "--verdicts", tmp_path / "judges")
        return call("judge", *named, *arguments)

    return judged


def test_an_adapter_against_its_base(ask: Call, finished: Path) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    code, out, err = ask(finished, "--against", "base", "--mode", "verdict", "--json")
    assert code == 0, err
    (row,) = json.loads(out)["results"]
    assert (row["label"], row["seed"], row["lang"], row["items"], row["items_of"]) == ("m", 0, "es", 3, 805)
    assert (row["wins"], row["losses"], row["calibration"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3), "not calibrated")
    assert before == {path: path.read_bytes() for path in before}, "generations are never touched"
    (folder,) = finished.glob("judge-*")
    saved = json.loads((folder / "judgements.json").read_text())
    assert saved["judge"] == {"kind": "api", "model": "judge", "served": "judge-1", "mode": "verdict",
                              "prompt_sha256": saved["judge"]["prompt_sha256"]}  # fmt: skip
    assert saved["against"] == "base" and saved["cost"]["replies"] == 6 and len(saved["results"]) == 1
    assert " ".join(saved) == "schema_version judge against calibration cost left_out asked results"
    assert " ".join(saved["results"][0]) == (
        "suite label seed task lang against items_of samples comparability items win_rate win_rate_stderr wins ties losses errors "
        "difference length_controlled win_rate_as_written length_controlled_as_written length_controlled_stderr length_control flips "
        "first parse_errors off_target language_unknown reference_off_target "
        "characters reference_characters calibrated verdicts"
    ), "files of 0.1 are read, and 0.1 reads these"
    assert read_judgements(folder / "judgements.json").model_dump(mode="json") == saved
    lines = [json.loads(line) for line in (folder / saved["results"][0]["verdicts"]).read_text().splitlines()]
    assert [(line["id"], line["outcome"]) for line in lines] == [("1", "win"), ("2", "win"), ("3", "lose")]
    assert lines[0]["replies"] == ["A has 3 z, B has 2.\n[[A]]", "A has 2 z, B has 3.\n[[B]]"]


def test_another_judge_stands_beside_the_first(ask: Call, finished: Path, tmp_path: Path) -> None:
    for model in ("judge", "another"):
        assert ask(finished, "--against", "base", "--model", model)[0] == 0
    assert len(list(finished.glob("judge-*"))) == len(list((tmp_path / "judges").iterdir())) == 2


def test_the_table_names_the_calibration(ask: Call, finished: Path) -> None:
    code, out, _ = ask(finished, "--against", "base", "--calibrate")
    assert code == 0
    assert "What judge gets right (weighted mode, calibration " in out and "longer but worse" in out
    assert "not calibrated" not in out and "length control: not computed: 3 items" in out and "Smoke test" in out
    (folder,) = finished.glob("judge-*")
    digest = json.loads((folder / "judgements.json").read_text())["calibration"]
    assert f"calibration: {digest}" in out


def test_answers_against_published_ones(
    ask: Call, server: JudgeServer, tmp_path: Path, unplugged: None, fill_folder: Callable[..., Path]
) -> None:  # fmt: skip
    rows = [{"id": n, "dataset": "d", "instruction": f"Instrucción {n}", "output": "z" * n, "generator": "g"} for n in (1, 2, 3)]
    fill_folder(**{"x_alpacaeval/outputs/gpt-4o-mini/es.jsonl.gz": "".join(json.dumps(row) + "\n" for row in rows)})
    run = tmp_path / "run"
    write_answers(run, "base", None, [("3", "z"), ("1", "zz"), ("2", "zz")])  # in another order than the references
    code, out, err = ask(run, "--against", "gpt-4o-mini", "--mode", "verdict", "--json")
    assert code == 0, err
    (row,) = json.loads(out)["results"]
    assert (row["wins"], row["ties"], row["losses"]) == (pytest.approx(1 / 3),) * 3
    lines = [json.loads(line) for line in next(run.glob("judge-*/verdicts_*")).read_text().splitlines()]
    assert [line["id"] for line in lines] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("answers", "key", "says"),
    [
        ([("1", "z"), ("1", "z")], "k", "item 1 stands twice among the answers"),
        ([("1", "z"), ("4", "z")], "k", "1 of 2 answers have no reference to be judged against, the first being item 4"),
        ([("1", "z")], "other", "base was asked under other conditions"),
    ],
)
def test_answers_that_cannot_be_compared(ask: Call, tmp_path: Path, answers: list[tuple[str, str]], key: str, says: str) -> None:
    run = tmp_path / "run"
    write_answers(run, "base", None, [("1", "zz"), ("2", "")])
    write_answers(run, "m", 0, answers, key)
    code, out, err = ask(run, "--against", "base")
    assert (code, out) == (2, "") and says in err.splitlines()[-1]


def test_another_instruction_under_the_same_id(ask: Call, finished: Path) -> None:
    (path,) = finished.glob("evaluate-m-0/samples*")
    path.write_text(path.read_text().replace("n 2", "n 5"))
    code, _, err = ask(finished, "--against", "base")
    assert code == 2 and "item 2: answer and reference are not to the same instruction" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--judge", ""], "no judge is named, and none is chosen for you"),
        (["--mode", "wieghted"], "did you mean 'weighted'?"),
        (["--against", "bsae"], "neither a model of"),
        (["--difficulty", "nowhere.csv"], "no CSV that can be read"),
        (["--concurrency", "0"], "concurrency"),
    ],
)
def test_a_mistake_is_one_line(ask: Call, finished: Path, arguments: list[str], says: str) -> None:
    code, out, err = ask(finished, *arguments)
    assert (code, out) == (2, "")
    assert says in err and len(err.strip().splitlines()) == 1


def test_missing_and_damaged_samples(ask: Call, finished: Path) -> None:
    (path,) = finished.glob("evaluate-m-0/samples*")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    assert "2 of 3 answers, so it was cut" in ask(finished, "--against", "base")[2]
    path.write_text("{}\n")
    assert "damaged; delete the folder" in ask(finished, "--against", "base")[2]
    path.unlink()
    assert "are gone" in ask(finished, "--against", "base")[2]
    assert (read_manifest(path.parent) or {})["record"]["label"] == "m"


def test_a_run_without_answers_and_no_run(ask: Call, tmp_path: Path) -> None:
    assert "no such run folder" in ask(tmp_path / "none")[2]
    assert "name a run folder" in ask()[2]


def test_names_of_models_lead_to_no_other_file(ask: Call, finished: Path) -> None:
    write_answers(finished, "m_seed0", None, [("1", "z"), ("2", "z"), ("3", "")])
    write_answers(finished, "esc", None, [("1", "z"), ("2", "z"), ("3", "z")])
    (path,) = finished.glob("evaluate-esc*/manifest.json")
    path.write_text(path.read_text().replace('"label": "esc"', '"label": "a/../../esc"'))
    code, out, err = ask(finished, "--against", "base", "--json")
    assert code == 0, err
    (folder,) = finished.glob("judge-*")
    results = json.loads((folder / "judgements.json").read_text())["results"]
    assert len({one["verdicts"] for one in results}) == 3 and all((folder / one["verdicts"]).is_file() for one in results)
    assert not list(finished.parent.glob("esc*"))
