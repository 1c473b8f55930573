"""What a record that is handed in is refused for."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from result_folders import write_run, write_training
from typer.testing import CliRunner

import xlift
from xlift.harness.cli.main import app
from xlift.harness.core.errors import UserError

TASK = "xlift_mgsm_direct_es"


@pytest.fixture
def record(tmp_path: Path) -> Path:
    run = tmp_path / "runs" / "s"
    write_run(run, "base", {TASK: [0.0] * 15 + [1.0] * 5})
    write_run(run, "better", {TASK: [1.0] * 15 + [0.0] * 5}, seed=0, items_of=40)
    write_training(run, "better")
    suite = {"name": "s", "languages": {"train": ["es"], "evaluate": ["es"]}, "evaluate": {"tasks": [TASK]}}
    whole = xlift.load_suite({**suite, "methods": {"better": {"method": "cross_lingual"}}})
    (run / "suite.resolved.json").write_text(json.dumps(whole.model_dump(mode="json")))
    xlift.export_record(run, tmp_path / "record", by="A <lab>")
    return tmp_path / "record"


def find(record: Path, pattern: str, held: str = "") -> Path:
    return next(path for path in sorted(record.glob(pattern)) if held in path.read_text())


def edit(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


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
