"""xlift push and pull as a user types them: what is shown, which exit code, and that the token shows nowhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Call
from loopback_hub import TOKEN, State
from pushable import BASE, RESTRICTED, SOURCE, TASK, write_run


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def test_a_dry_run_asks_nobody(call: Call, adapter: Path, unplugged: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("socket.socket.connect", lambda *values: pytest.fail("a dry run needs no network"))
    code, out, _ = call("push", adapter, "lab/mine", "--dry-run", "--json", "--private")
    plan = json.loads(out)
    assert (code, plan["repository"], plan["visibility"], plan["base_model"]) == (0, "lab/mine", "private", "org/base")
    assert [file["path"] for file in plan["files"]] == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "evaluation.json", "xlift.json",
    ]  # fmt: skip
    assert all(len(file["sha256"]) == 64 and file["bytes"] > 0 for file in plan["files"])
    assert "+base_model: org/base" in plan["card_diff"] and not plan["card_known"]


def test_after_a_push_the_dry_run_shows_what_changed(call: Call, adapter: Path, loopback: State) -> None:
    code, out, _ = call("push", adapter, "lab/mine")
    assert code == 0 and f"{loopback.url}/lab/mine at " in out and "read back and compared" in out
    code, out, _ = call("push", adapter, "lab/mine", "--dry-run")
    assert code == 0 and "the card is as it was last seen from here" in out
    code, out, _ = call("push", adapter, "lab/mine", "--dry-run", "--leaderboard", "https://board/m")
    assert "+Its row on the leaderboard: https://board/m" in out
    code, out, _ = call("push", adapter, "lab/mine", "--json")
    assert code == 0 and json.loads(out)["sent"] == []


def test_restricted_data_must_be_acknowledged(call: Call, tmp_path: Path, loopback: State) -> None:
    adapter = write_run(tmp_path / "run", data={"rows": 10, "corpora": [], "sources": [SOURCE, RESTRICTED]})
    code, out, err = call("push", adapter, "lab/mine")
    assert (code, out) == (2, "") and "alpaca (en): CC BY-NC 4.0" in err and "--accept-licences" in err
    assert not loopback.log
    code, out, _ = call("push", adapter, "lab/mine", "--dry-run")
    assert code == 0 and "restricted (needs --accept-licences): alpaca (en): CC BY-NC 4.0" in out
    code, out, _ = call("push", adapter, "lab/mine", "--accept-licences")
    assert code == 0 and b"**Restricted use.**" in loopback.files("lab/mine")["README.md"]


def test_mistakes_are_2_and_faults_of_the_hub_3(call: Call, adapter: Path, loopback: State, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments, says in [
        (("push", adapter, "mine"), "ORG/NAME"),
        (("push", "nowhere", "lab/mine"), "no such folder"),
        (("push", adapter, "stranger/mine"), "may not write to stranger (403"),
        (("pull", "lab/none"), "no such repository"),
        (("push", "--all", adapter, "lab"), "not a run folder"),
    ]:
        code, out, err = call(*arguments)
        assert (code, out, len(err.strip().splitlines())) == (2, "", 1) and says in err
    loopback.fail("POST .*/commit", 500)
    code, out, err = call("push", adapter, "lab/mine")
    assert (code, out) == (3, "") and "push again to go on" in err.strip().splitlines()[-1]
    monkeypatch.delenv("HF_TOKEN")
    code, _, err = call("push", adapter, "lab/mine")
    assert code == 2 and "hf auth login" in err


@pytest.mark.slow
def test_every_adapter_of_a_run_and_their_collection(call: Call, tmp_path: Path, loopback: State) -> None:
    run = tmp_path / "run"
    write_run(run)
    for number, seed in enumerate((1, 2)):
        one = write_run(tmp_path / f"other{number}", seed=seed)
        one.parent.rename(run / one.parent.name)
        next((tmp_path / f"other{number}").glob("evaluate-m-*")).rename(run / f"evaluate-m-seed{seed}-dddd")
    code, out, _ = call("push", "--all", run, "lab", "--json")
    assert code == 0
    done = json.loads(out)
    names = ["lab/small-m-seed0", "lab/small-m-seed1", "lab/small-m-seed2"]
    assert [one["repository"] for one in done["pushed"]] == names == sorted(loopback.repositories)
    [collection] = loopback.collections.values()
    assert [item["id"] for item in collection["items"]] == names and done["collection"].endswith(collection["slug"])
    link = json.loads((run / "hub.json").read_text())
    assert [(one["label"], one["seed"], one["url"]) for one in link["adapters"]] == [
        ("m", seed, f"{loopback.url}/lab/small-m-seed{seed}") for seed in range(3)
    ]
    assert len({loopback.files(name)["adapter_model.safetensors"] for name in names}) == 3
    code, out, _ = call("push", "--all", run, "lab", "--json")
    assert code == 0 and not any(one["sent"] for one in json.loads(out)["pushed"]) and len(loopback.collections) == 1


def test_one_bad_adapter_stops_all_before_anything_is_sent(call: Call, tmp_path: Path, loopback: State) -> None:
    run = tmp_path / "run"
    write_run(run)
    one = write_run(tmp_path / "other", seed=1, base={**BASE, "name": "/models/base", "revision": None})
    one.parent.rename(run / one.parent.name)
    next((tmp_path / "other").glob("evaluate-m-*")).rename(run / "evaluate-m-seed1-dddd")
    code, _, err = call("push", "--all", run, "lab")
    assert code == 2 and "base.hub_id" in err and not loopback.log


@pytest.mark.slow
def test_the_token_is_in_no_file_and_no_output(adapter: Path, loopback: State, tmp_path: Path) -> None:
    paths = {
        "HF_HOME": tmp_path / "hf",
        "XLIFT_CACHE": tmp_path / "cache",
        "HF_HUB_CACHE": tmp_path / "hub-cache",
        "HOME": tmp_path / "home",
    }
    switches = {"HF_ENDPOINT": loopback.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_DEBUG": ""}
    environment = {**os.environ, **{key: str(value) for key, value in paths.items()}, **switches}

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "xlift.harness.cli", *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, env=environment, cwd=tmp_path)

    loopback.fail("POST .*/commit", 403, message=f"no, {TOKEN}")
    failed, done = run("push", adapter, "lab/mine"), run("push", adapter, "lab/mine")
    pulled = run("pull", "lab/mine", "--out", "copy")
    assert (failed.returncode, done.returncode, pulled.returncode) == (2, 0, 0), failed.stderr + done.stderr + pulled.stderr
    said = "lab/mine: the token may not write to lab (403: no, [token]); take one that may, or propose the files with --pr"
    assert [line for line in failed.stderr.splitlines() if "sending" not in line] == [f"xlift: {said}"]
    assert TOKEN not in "".join(one.stdout + one.stderr for one in (failed, done, pulled))
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert not any(TOKEN.encode() in body for body in loopback.sent)
    held = json.loads((tmp_path / "copy" / "evaluation.json").read_text())
    assert held["adapter"]["tasks"][TASK]["metrics"]["accuracy"]["value"] == 0.75


def test_recorded_scores_are_looked_back_at(call: Call, adapter: Path, loopback: State, tmp_path: Path) -> None:
    from xlift.harness.evaluation.records import read_records
    from xlift.harness.publishing.reproduction import look_back

    call("push", adapter, "lab/mine")
    for name, scores, says in [("same", (1, 1, 1, 0), "1 of 1 recorded"), ("less", (1, 0, 1, 0), "0.75 recorded, 0.5 now (-0.25)")]:
        write_run(tmp_path / name, scores=scores)
        lines = look_back({"m": "hub:lab/mine", "local": str(adapter)}, read_records([tmp_path / name]).records)
        assert says in "\n".join(lines)
