"""What a record that is handed in is refused for."""

import hashlib
import json
import shutil
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from result_folders import write_run, write_training
from typer.testing import CliRunner

import xlift
from xlift.harness.cli.main import app
from xlift.harness.core.errors import UserError

TASK = "xlift_mgsm_direct_es"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run and its record."""
    folder = tmp_path_factory.mktemp("made")
    run = folder / "runs" / "s"
    write_run(run, "base", {TASK: [0.0] * 15 + [1.0] * 5}, items_of=40)
    write_run(run, "better", {TASK: [1.0] * 15 + [0.0] * 5}, seed=0, items_of=40)
    for manifest in run.glob("evaluate-*/manifest.json"):
        edit(manifest, tell_errors)
    write_training(run, "better")
    suite = {"name": "s", "languages": {"train": ["es"], "evaluate": ["es"]}, "evaluate": {"tasks": [TASK]}}
    whole = xlift.load_suite({**suite, "methods": {"better": {"method": "cross_lingual"}}})
    (run / "suite.resolved.json").write_text(json.dumps(whole.model_dump(mode="json")))
    xlift.export_record(run, folder / "record", by="A <lab>")
    return folder


@pytest.fixture
def record(made: Path, tmp_path: Path) -> Path:
    """A record to edit, beside the runs of which it was made."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "record"


def find(record: Path, pattern: str, held: str = "") -> Path:
    return next(path for path in sorted(record.glob(pattern)) if held in path.read_text())


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


def tell_errors(manifest: dict[str, Any]) -> None:
    """Write lm-eval's standard errors of the scores, which are 0 or 1."""
    result = manifest["record"]["tasks"][TASK]
    for score in result["metrics"].values():
        score.update(stderr=sqrt(score["value"] * (1 - score["value"]) / (result["items"] - 1)))


def find_stage(record: Path, label: str) -> Path:
    return find(record, "evaluate-*/manifest.json", f'"label": "{label}"').parent


def test_a_record_as_it_was_made_is_whole(record: Path) -> None:
    assert xlift.check_record(record) == []
    done = CliRunner().invoke(app, ["record", "--check", str(record)])
    assert done.exit_code == 0 and done.stdout.strip() == f"{record}: whole, and may be published"
    assert f"limit: {TASK}: 20 of 40 items, a smoke test" in done.stderr


def test_a_board_says_who_measured(record: Path, tmp_path: Path) -> None:
    xlift.build_site(record, tmp_path / "site")
    for page in ("index.html", "runs/s--better--seed0.html"):
        assert "<bdi>A &lt;lab&gt;</bdi>" in (tmp_path / "site" / page).read_text()


def claim_more(record: Path) -> None:
    edit(
        find(record, "evaluate-*/manifest.json", "better"),
        lambda found: found["record"]["tasks"][TASK]["metrics"]["accuracy"].update(value=0.9),
    )


def cut(record: Path) -> None:
    path = find(record, "evaluate-*/samples_*")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def tell_texts(record: Path) -> None:
    manifest = find(record, "evaluate-*/manifest.json", "better")
    (path,) = manifest.parent.glob("samples_*")
    path.write_text("".join(json.dumps({**json.loads(line), "target": "siete"}) + "\n" for line in path.read_text().splitlines()))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit(manifest, lambda found: found["record"]["tasks"][TASK].update(samples_sha256=digest))


def take_other_data(record: Path) -> None:
    changed = {"comparability": "other", "data_sha256": "e" * 64}
    edit(find(record, "evaluate-*/manifest.json", "better"), lambda found: found["record"]["tasks"][TASK].update(changed))


def add_weights(record: Path) -> None:
    (record / "adapter_model.safetensors").write_bytes(b"weights")


def hold_a_token(record: Path) -> None:
    edit(record / "suite.resolved.json", lambda found: found["base"].update(model="hf_" + "a" * 34))


def write_suite(text: str) -> Callable[[Path], object]:
    return lambda record: (record / "suite.resolved.json").write_text(text)


def measure_another_suite(record: Path) -> None:
    edit(record / "suite.resolved.json", lambda found: found.update(name="t"))


def forget_a_method(record: Path) -> None:
    edit(record / "suite.resolved.json", lambda found: found.update(methods={}))


def misspell_a_key(record: Path) -> None:
    edit(record / "suite.resolved.json", lambda found: found.update(sedes=[0]))


def leave_the_suite_out(record: Path) -> None:
    (record / "suite.resolved.json").unlink()
    edit(record / "record.json", lambda found: found["files"].remove("suite.resolved.json"))


def damage_a_fit(record: Path) -> None:
    path = find(record, "fit-*/manifest.json")
    path.write_text("[" * 100_000)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (claim_more, "accuracy is 0.9 in the record, and 0.75 by its documents"),
        (cut, "samples_"),
        (tell_texts, "holds target of documents, and a record has no texts"),
        (take_other_data, "was measured on other data than for the base"),
        (add_weights, "adapter_model.safetensors: not listed in record.json"),
        (hold_a_token, "suite.resolved.json: holds what looks like a token"),
        (write_suite('{"name": "s", "meth'), "suite.resolved.json: damaged: not JSON that can be read (Unterminated string"),
        (write_suite(""), "suite.resolved.json: damaged: not JSON that can be read"),
        (write_suite("\0" * 100), "suite.resolved.json: damaged: not JSON that can be read"),
        (write_suite("[]"), "suite.resolved.json: damaged: it holds something else than keys with values"),
        (measure_another_suite, "suite.resolved.json: the suite 't', and the evaluations are of 's'"),
        (forget_a_method, "suite.resolved.json: has no 'better', which was measured"),
        (misspell_a_key, "suite.resolved.json: its methods cannot be run again by it: suite: unknown key 'sedes'; did you mean 'seeds'?"),
        (leave_the_suite_out, "suite.resolved.json: not there, so nobody could run its methods again"),
        (damage_a_fit, "manifest.json: damaged: not JSON that can be read (nested too deeply)"),
        (lambda record: (record / "record.json").write_text('{"files": ["a"'), "record.json: damaged, so nobody knows which files belong"),
        (lambda record: (record / "record.json").write_text("{}"), "record.json: damaged, so nobody knows which files belong"),
    ],
)
def test_a_record_that_was_changed_is_refused_with_the_reason(record: Path, change: Callable[[Path], object], said: str) -> None:
    change(record)
    (fault,) = xlift.check_record(record)
    assert said in fault
    done = CliRunner().invoke(app, ["record", "--check", str(record)])
    assert done.exit_code == 1 and fault in done.stdout


def write(**values: object) -> Callable[[dict[str, Any]], object]:
    """Change keys of the record."""
    return lambda manifest: manifest["record"].update(values)


def write_result(**values: object) -> Callable[[dict[str, Any]], object]:
    """Change keys of the task's result."""
    return lambda manifest: manifest["record"]["tasks"][TASK].update(values)


def write_error(manifest: dict[str, Any]) -> None:
    manifest["record"]["tasks"][TASK]["metrics"]["accuracy"].update(stderr=0.01)


@pytest.mark.parametrize(
    ("label", "change", "said"),
    [
        ("better", write(share=2.0), "its record does not follow schema version 1: share: Input should be less than or equal to 1"),
        ("better", write(share=-1), "its record does not follow schema version 1: share: Input should be greater than 0"),
        ("better", write(trained=[]), "trained on no language, and on es by suite.resolved.json"),
        ("better", write(trained=["es", "fr"]), "trained on es, fr, and on es by suite.resolved.json"),
        ("base", write(trained=["es"]), "trained on es, and on no language by suite.resolved.json"),
        ("better", write(pivot="fr"), "its pivot is 'fr', and 'en' by suite.resolved.json"),
        ("better", write(method="star_alignment"), "its method is 'star_alignment', and 'cross_lingual' by suite.resolved.json"),
        ("base", write(method="cross_lingual"), "its method is 'cross_lingual', and None by suite.resolved.json"),
        ("base", write(control=True), "control is set, and a base has none"),
        ("base", write(adapter={"name": "x"}), "adapter is set, and a base has none"),
        ("better", write_result(benchmark="xlift_belebele"), f"{TASK}: its benchmark is 'xlift_belebele', and 'xlift_mgsm_direct' by its"),
        ("better", write_result(language="sw"), f"{TASK}: its language is 'sw', and 'es' by its name"),
        ("better", write_result(measures={"accuracy": {"name": "accuracy", "most": 100.0}}), f"{TASK}: says what its metrics mean"),
        ("better", write_result(items_of=20), f"{TASK} has 20 items in all, and 40 in evaluate-stage-None-"),
        ("better", write_error, f"{TASK}: the standard error of accuracy is 0.01 in the record, and 0.0993399 by its documents"),
        ("better", write_result(cost={"seconds": "12"}), f"{TASK}: cost.seconds is '12', where a number of at least 0 belongs"),
        ("better", write(cost={"fit": {"tokens_trained": -5}}), "cost.fit.tokens_trained is -5, where a number of at least 0 belongs"),
        ("better", write(cost={"evaluate": {"paid": {"seconds": True}}}), "cost.evaluate.paid.seconds is True, where a number of at least"),
        ("better", write(cost={"fit": {"final_loss": "low"}}), "cost.fit.final_loss is 'low', where a number belongs"),
        ("better", write(extra_parameters=-1), "extra_parameters is -1, where a number of at least 0 belongs"),
        ("better", lambda manifest: manifest.update(finished="yesterday"), "finished is 'yesterday', which is no time like 2026-01-31T"),
        ("better", lambda manifest: manifest.update(finished="2026-13-41T00:00:00Z"), "finished is '2026-13-41T00:00:00Z', which is no"),
        ("better", lambda manifest: manifest.update(asked=5), "asked is 5, which is no time"),
    ],
)  # fmt: skip
def test_an_edit_of_what_was_published_is_refused_with_the_reason(
    record: Path, label: str, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    stage = find_stage(record, label)
    edit(stage / "manifest.json", change)
    (fault,) = xlift.check_record(record)
    assert fault.startswith(f"{stage.name}: {said}") and "\n" not in fault


def test_a_model_that_is_there_twice_is_refused(record: Path) -> None:
    stage, copy = find_stage(record, "better"), record / "evaluate-too"
    shutil.copytree(stage, copy)
    copied = [path.relative_to(record).as_posix() for path in copy.iterdir()]
    edit(record / "record.json", lambda found: found["files"].extend(copied))
    (fault,) = xlift.check_record(record)
    assert fault == f"evaluate-too: better (seed 0) was measured in {stage.name} too, and a record has each model once"


def test_a_second_base_is_refused(record: Path) -> None:
    edit(find_stage(record, "better") / "manifest.json", write(label="base", method=None, seed=None, trained=[], adapter=None))
    (fault,) = xlift.check_record(record)
    first, second = sorted(path.name for path in record.glob("evaluate-*"))
    assert fault == f"{second}: base was measured in {first} too, and a record has each model once"


def test_languages_of_a_method_come_before_those_of_its_suite(record: Path) -> None:
    edit(record / "suite.resolved.json", lambda found: found["methods"]["better"].update(languages=["fr"]))
    (fault,) = xlift.check_record(record)
    assert "trained on es, and on fr by suite.resolved.json" in fault
    edit(find_stage(record, "better") / "manifest.json", write(trained=["fr"]))
    assert xlift.check_record(record) == []


def test_what_an_older_xlift_did_not_write_is_no_fault(record: Path) -> None:
    def forget(manifest: dict[str, Any]) -> None:
        found = manifest["record"]
        for holder, keys in (
            (manifest, ("finished",)),
            (found, ("kind", "control", "extra_parameters", "chosen_on", "share", "profile", "left_out", "versions")),
            (found["tasks"][TASK], ("benchmark", "language", "measures", "cost", "signatures")),
        ):
            for key in keys:
                holder.pop(key)
        found["tasks"][TASK]["metrics"]["accuracy"].update(stderr=None)

    for label in ("base", "better"):
        edit(find_stage(record, label) / "manifest.json", forget)
    edit(record / "suite.resolved.json", lambda found: found["methods"]["better"].pop("languages"))
    assert xlift.check_record(record) == []


def test_numbers_of_a_training_that_may_be_below_zero_and_its_words_are_no_fault(record: Path) -> None:
    fit = {"device": "cpu", "arithmetic": "float32", "final_loss": -0.5, "reward_margin": None, "terms": {"keep": [0.1, -0.2]}}
    edit(find_stage(record, "better") / "manifest.json", write(cost={"fit": fit}))
    assert xlift.check_record(record) == []


def test_a_suite_that_is_gone_is_listed_and_missed(record: Path) -> None:
    (record / "suite.resolved.json").unlink()
    first, second = xlift.check_record(record)
    assert first == "suite.resolved.json: listed in record.json and not there"
    assert second.startswith("suite.resolved.json: not there, so nobody could run its methods again")


def test_a_record_is_not_written_over_one_whose_list_is_damaged(record: Path, tmp_path: Path) -> None:
    (record / "record.json").write_text("{")
    with pytest.raises(UserError, match="record.json: damaged, so nobody knows which files a record of xlift has there"):
        xlift.export_record(tmp_path / "runs" / "s", record)


def test_what_is_no_record_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="so it is no record; make one of a run with: xlift record runs/NAME --out FOLDER"):
        xlift.check_record(tmp_path)
