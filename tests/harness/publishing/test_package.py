"""What may be published, and what is refused: paths, tokens, training state, texts, names the hub would not take."""

import json
from pathlib import Path

import numpy as np
import pytest
from pushable import BASE, write_run
from safetensors.numpy import save_file

from xlift.harness.core.errors import UserError
from xlift.harness.publishing.package import File, check_name, find_run, scan
from xlift.harness.publishing.push import prepare_package


def refusal(adapter: Path, repository: str = "lab/mine", run: Path | None = None) -> str:
    with pytest.raises(UserError) as caught:
        prepare_package(adapter, repository, run)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "see /home/me/data/rows",
        "/srv/models/base",
        '"/data/a.txt"',
        "~/models/x",
        "file:///etc/x",
        r"C:\Users\me",
        "(/tmp/x/y.json)",
    ],
)
def test_paths_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^notes.md: names a path of this machine"):
        scan(File("notes.md", text.encode()))


@pytest.mark.parametrize(
    "text",
    [
        "en/pivot/instructions",
        "https://host/a/b.html",
        "</s></a/b>",
        "1/2/3",
        "and/or",
        "Q:\nWhat?",
        "refs/pr/1",
        "a /b",
        "</think>/no_think",
        "${HOME}/bin/translate",
    ],
)
def test_what_only_looks_like_a_path_passes(text: str) -> None:
    scan(File("notes.md", text.encode()))
    scan(File("notes.json", json.dumps({"a": [text]}).encode()))


@pytest.mark.parametrize("text", ["hf_" + "a1" * 17, "sk-" + "x" * 40, "ghp_" + "a" * 36, "AKIA" + "A1" * 8, "Bearer abcdefghij0123456789"])
def test_tokens_are_refused_and_not_shown(text: str) -> None:
    with pytest.raises(UserError, match=r"^xlift.json: holds what looks like a token") as caught:
        scan(File("xlift.json", json.dumps({text: 1}).encode()))
    assert text[8:] not in str(caught.value)


def test_a_secret_of_the_environment_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "correct-horse-battery")
    with pytest.raises(UserError, match="environment variable") as caught:
        scan(File("README.md", b"key correct-horse-battery"))
    assert "correct" not in str(caught.value)


def test_the_header_of_the_weights_is_read(tmp_path: Path) -> None:
    adapter = write_run(tmp_path / "run")
    save_file({"a": np.ones(2, dtype="float32")}, adapter / "adapter_model.safetensors", metadata={"from": "/home/me/x"})
    assert "adapter_model.safetensors: names a path of this machine (/home/me/x)" in refusal(adapter)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("optimizer.pt", "training state"),
        ("checkpoint-3/rng_state.pth", "training state"),
        ("training_args.bin", "pickled"),
        ("samples_x.jsonl", "licence of its own"),
        ("rows.parquet", "licence of its own"),
    ],
)
def test_files_that_do_not_belong_there_are_named(tmp_path: Path, name: str, says: str) -> None:
    adapter = write_run(tmp_path / "run")
    (adapter / name).parent.mkdir(exist_ok=True)
    (adapter / name).write_bytes(b"x")
    said = refusal(adapter)
    assert str(adapter / name) in said and says in said


def test_nothing_of_this_machine_is_in_the_files(tmp_path: Path) -> None:
    translator = {"kind": "seq2seq", "model": str(tmp_path / "nllb")}
    data = {"rows": 10, "corpora": [], "sources": [], "translators": [translator], "note": f"from {tmp_path.name}"}
    adapter = write_run(tmp_path / "run", data=data)
    facts, files = prepare_package(adapter, "lab/mine", None)
    assert [file.path for file in files] == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "evaluation.json",
        "xlift.json",
    ]
    for file in files:
        assert str(tmp_path).encode() not in file.read()
    held = {file.path: json.loads(file.read()) for file in files if file.path.endswith(".json")}
    assert held["adapter_config.json"]["base_model_name_or_path"] == "org/base"
    assert held["adapter_config.json"]["revision"] == BASE["revision"]
    assert held["xlift.json"]["data"]["translators"][0]["model"] == "nllb"
    assert held["xlift.json"]["weights_sha256"] == next(file for file in files if file.path == "adapter_model.safetensors").sha256
    record = held["evaluation.json"]["adapter"]
    assert record["adapter"]["name"] == "lab/mine" and all(task["samples"] is None for task in record["tasks"].values())


def test_the_place_of_a_translator_is_not_published(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "mt"
    program.parent.mkdir()
    program.write_text("cat")
    commands = {"default": {"kind": "self"}, "en-es": {"kind": "command", "command": f"{program} -m /srv/gone/model.bin | sed 's/a/b/'"}}
    adapter = write_run(tmp_path / "run", suite={"translators": commands})
    _, files = prepare_package(adapter, "lab/mine", None)
    for file in files:
        assert str(tmp_path).encode() not in file.read() and b"/srv" not in file.read()
    made = json.loads(next(file for file in files if file.path == "xlift.json").read())
    assert made["settings"]["translators"]["en-es"]["command"] == "mt -m .../model.bin | sed 's/a/b/'"


def test_a_path_inside_a_text_is_refused_with_the_file(tmp_path: Path) -> None:
    adapter = write_run(tmp_path / "run", facts={"note": "rows were read from /home/me/corpus/es.txt"})
    assert "xlift.json: names a path of this machine (/home/me/corpus/es.txt)" in refusal(adapter)


@pytest.mark.parametrize("name", ["mine", "lab/mine/x", "lab/", "lab/a--b", "lab/mine.git", "lab/mi ne", "lab/" + "x" * 97])
def test_names_the_hub_would_not_take(name: str) -> None:
    with pytest.raises(UserError, match="ORG/NAME"):
        check_name(name)


def test_an_adapter_of_another_program_has_no_card(tmp_path: Path) -> None:
    adapter = write_run(tmp_path / "run")
    (adapter / "xlift.json").unlink()
    assert "no xlift.json that names a method, so xlift did not train it; --foreign pushes it" in refusal(adapter)
    assert "no such folder" in refusal(tmp_path / "none")


def test_the_run_is_found_above_the_adapter_or_given(tmp_path: Path) -> None:
    adapter = write_run(tmp_path / "run")
    assert find_run(adapter, None) == tmp_path / "run"
    alone = adapter.rename(tmp_path / "alone")
    assert find_run(alone, None) is None
    facts, _ = prepare_package(alone, "lab/mine", tmp_path / "run")
    assert facts.record is not None and facts.record.label == "m"
    assert "not a run folder" in refusal(alone, run=tmp_path)


def test_of_several_evaluations_the_one_of_these_weights_counts(tmp_path: Path) -> None:
    adapter = write_run(tmp_path / "run")
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8}))
    assert prepare_package(adapter, "lab/mine", None)[0].record is None
