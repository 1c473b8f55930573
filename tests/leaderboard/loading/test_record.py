"""Published records: what of a run they hold, what they must not, and that the site made of them says the same."""

import hashlib
import json
from pathlib import Path

import pytest
from result_folders import write_run, write_training
from typer.testing import CliRunner

from xlift.harness.cli.main import app
from xlift.harness.core.errors import UserError
from xlift.leaderboard.analysis import board
from xlift.leaderboard.loading import foreign, runs
from xlift.leaderboard.loading.record import extract_record, write_record
from xlift.leaderboard.site.builder import build

GOOD, BAD = [1.0] * 18 + [0.0] * 2, [0.0] * 18 + [1.0] * 2
TASKS = ("xlift_mgsm_direct_en", "xlift_mgsm_direct_es")
SECRET = "a licensed sentence"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    root = tmp_path / "runs" / "s"
    write_run(root, "base", dict.fromkeys(TASKS, BAD))
    for seed in (0, 1):
        write_run(root, "better", dict.fromkeys(TASKS, GOOD), seed=seed, adapter=str(seed), answers=[SECRET] * 20)
        write_training(root, "better", seed=seed, adapter=str(seed))
    adapter = next(root.glob("fit-*")) / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    (next(root.glob("prepare-*")) / "rows.jsonl").write_text(json.dumps({"response": SECRET}) + "\n")
    (root / "hub.json").write_text(json.dumps({"collection": None, "adapters": []}))
    judged = root / "judge-m-0123"
    judged.mkdir()
    (judged / "judgements.json").write_text(json.dumps({"schema_version": 1, "results": [{"label": "better", "win_rate": 0.5}]}))
    (judged / "verdicts_x_better_seed0.jsonl").write_text(json.dumps({"id": "1", "preference": 1.0, "replies": [SECRET]}) + "\n")
    return root


def test_a_record_has_numbers_and_no_texts(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "s"
    done = CliRunner().invoke(app, ["record", str(run), "--out", str(out)])
    assert (done.exit_code, done.stdout.strip()) == (0, str(out))
    files = {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*") if path.is_file()}
    assert not any(text in found for text in (SECRET, "¿0?", "siete", str(tmp_path)) for found in files.values())
    assert {name.split("-")[0] for name in files if "/" in name} == {"prepare", "fit", "evaluate", "judge"}
    assert not any("adapter_model" in name or "rows.jsonl" in name for name in files)
    sheets = [json.loads(text.splitlines()[0]) for name, text in files.items() if "samples_xlift_mgsm_direct_es" in name]
    assert sorted(sheets, key=lambda line: line["accuracy"])[0] == {
        "doc_id": 0, "doc_hash": "h0", "filter": "none", "metrics": ["accuracy", "off_target"], "accuracy": 0.0, "off_target": 1.0,
    }  # fmt: skip
    assert json.loads(next(text for name, text in files.items() if "verdicts" in name)) == {"id": "1", "preference": 1.0}


def test_the_site_of_a_record_says_what_that_of_the_run_says(run: Path, tmp_path: Path) -> None:
    write_record(extract_record(run), tmp_path / "results" / "s")
    made = [board.make(runs.collect([place], foreign.read)) for place in (run, tmp_path / "results")]
    shown = [[(row.label, row.rank, row.mean, row.averages, row.scores, row.cost, row.notes) for row in one.rows] for one in made]
    assert shown[0] == shown[1]
    assert made[1].rows[0].cost.help == "translator apertium -u eng-spa, corpus alpaca/en"
    build([tmp_path / "results"], tmp_path / "site")
    page = (tmp_path / "site/runs/s--better--seed0.html").read_text()
    assert "not published with this record" in page and "too long" in page and "Training loss against tokens trained" in page
    assert not (tmp_path / "site/samples").exists()


def test_points_of_a_curve_are_published_with_their_scores(run: Path, tmp_path: Path) -> None:
    write_run(run, "better", dict.fromkeys(TASKS, BAD), seed=0, adapter="half", share=0.5, answers=[SECRET] * 20)
    files = extract_record(run)
    assert not any(SECRET in text for text in files.values())
    write_record(files, tmp_path / "results" / "s")
    found = runs.collect([tmp_path / "results"], foreign.read)
    assert [(one.record.label, one.record.seed, one.record.share) for one in found.points] == [("better", 0, 0.5)]
    assert found.points[0].documents, "its scores by document are there"


def test_sentences_of_corpora_in_a_profile_stay_at_home(run: Path) -> None:
    profile = {"prompt": {"es": f"{SECRET}: {{prompt}}"}, "header": {"es": "Respuesta:"}}
    for path in [*run.glob("prepare-*/manifest.json"), *run.glob("fit-*/manifest.json")]:
        manifest = json.loads(path.read_text())
        manifest.get("inputs", {}).get("plan", manifest.get("plan"))["profile"] = profile
        path.write_text(json.dumps(manifest))
    files = extract_record(run)
    assert not any(SECRET in text for text in files.values())
    made = [json.loads(text) for name, text in files.items() if name.startswith(("prepare", "fit"))]
    plans = [one["inputs"].get("plan") or one["plan"] for one in made]
    assert len(plans) == 3 and all(plan["profile"] == plans[0]["profile"] for plan in plans), "a fit still finds its rows"
    assert plans[0]["profile"]["header"] == profile["header"]
    digest = hashlib.sha256(profile["prompt"]["es"].encode()).hexdigest()
    assert plans[0]["profile"]["prompt"] == {"es": f"withheld, sha256 {digest}"}


def test_a_record_is_made_anew_in_its_place_and_nowhere_else(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    write_record(extract_record(run), out)
    first = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    write_record(extract_record(run), out)
    assert first == {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    (run / "hub.json").unlink()
    write_record(extract_record(run), out)
    assert not (out / "hub.json").exists()
    with pytest.raises(UserError, match="not a record of xlift"):
        write_record(extract_record(run), run)


def test_a_record_is_whole_or_is_not_made(run: Path, tmp_path: Path) -> None:
    stage = next(path.parent for path in run.glob("evaluate-*/samples_*"))
    next(stage.glob("samples_*")).unlink()
    with pytest.raises(UserError, match="its samples are gone; evaluate it again"):
        extract_record(run)
    (stage / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="damaged.*a record is made of whole runs alone"):
        extract_record(run)


def test_secrets_of_an_older_suite_are_hidden_in_its_record(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_LLM", "hunter2-hunter2")
    judge = {"judge": "lm:x,api_key=hunter3-hunter3", "key_variable": "MY_LLM"}
    suite = {"name": "s", "key": "hf_" + "a1" * 17, "engine": {"url": "http://me:hunter4@host/v1"}, "judge": judge}
    (run / "suite.resolved.json").write_text(json.dumps(suite))
    done = CliRunner().invoke(app, ["record", str(run), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0
    text = "".join(path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert "hunter" not in text and "hf_a1" not in text and "http://[secret]@host/v1" in text


def test_the_value_of_a_variable_that_a_suite_names_stops_record_and_site(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("MY_LLM", "hunter2-hunter2")
    (run / "suite.resolved.json").write_text(json.dumps({"name": "s", "judge": {"key_variable": "MY_LLM"}}))
    verdicts = next(run.glob("judge-*/verdicts_*.jsonl"))
    verdicts.write_text(json.dumps({"id": "key is hunter2-hunter2", "preference": 1.0}) + "\n")
    done = CliRunner().invoke(app, ["record", str(run), "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, UserError) and not (tmp_path / "out").exists()
    assert str(done.exception).endswith("holds the value of the environment variable MY_LLM; it is not published")
    with pytest.raises(
        UserError, match=r"verdicts_x_better_seed0.jsonl: holds the value of the environment variable MY_LLM, which the site"
    ):
        build([run], tmp_path / "site")
    assert not (tmp_path / "site").exists()
