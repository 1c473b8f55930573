"""With a model: the hub's copy of an adapter has the local one's logits, and its recorded scores come out again."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback_hub import State
from pushable import write, write_run

from xlift.harness.cli.main import main
from xlift.harness.config.suite import BaseSettings, read_suite
from xlift.harness.models.bases import Base
from xlift.harness.pipeline.run import run_suite
from xlift.harness.publishing import hub

TASK = "xlift_mgsm_direct_es"


@pytest.fixture
def trained(tiny_base: Path, make_adapter: Callable[..., Path]) -> tuple[Base, Path]:
    """An adapter as the trainer leaves it, on a base that lies in a folder."""
    from xlift.harness.models.bases import resolve

    base = resolve(BaseSettings(model=str(tiny_base)))
    folder = make_adapter(base, scale=0.5)
    (folder / "README.md").unlink(missing_ok=True)
    data = {"rows": 1, "corpora": [], "sources": []}
    card = {
        "method": "cross_lingual",
        "label": "m",
        "languages": ["es"],
        "pivot": "en",
        "base": base.facts(),
        "profile": None,
        "data": data,
    }
    write(folder / "xlift.json", card)
    return base, folder


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_scores_of_the_hubs_copy_are_those_that_were_recorded(
    loopback: State, trained: tuple[Base, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base, folder = trained
    values = {
        "name": "first", "base": {"model": base.name, "hub_id": "org/tiny"}, "data": {"samples": "always"}, "engine": {"backend": "hf"},
        "languages": {"evaluate": ["es"]}, "evaluate": {"tasks": [TASK], "limit": 2, "adapters": {"m": str(folder)}},
    }  # fmt: skip
    run = run_suite(read_suite(values, "test"), tmp_path / "runs")

    def call(*arguments: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["xlift", *arguments])
        main.__globals__["app"](standalone_mode=False, args=list(arguments))
        out, err = capsys.readouterr()
        return out, err

    out, _ = call("push", str(folder), "lab/mine", "--suite", str(run), "--check")
    assert "loaded from the hub, its logits are the local ones" in out
    assert b"base_model: org/tiny" in loopback.files("lab/mine")["README.md"]
    _, err = call(
        "evaluate", "--base", base.name, "--adapter", "m=hub:lab/mine", "--tasks", TASK, "--limit", "2", "--backend", "hf",
        "--languages", "es", "--set", "data.samples=always", "--runs", str(tmp_path / "again"),
    )  # fmt: skip
    _, short = call("evaluate", "hub:lab/mine", "--base", base.name, "--languages", "es", "--runs", str(tmp_path / "short"))
    held = json.loads(loopback.files("lab/mine")["evaluation.json"])["adapter"]["tasks"][TASK]["metrics"]
    assert f"m: {len(held)} of {len(held)} recorded scores reproduced" in err
    assert f"mine: {len(held)} of {len(held)} recorded scores reproduced" in short


def test_other_weights_have_other_logits(trained: tuple[Base, Path], make_adapter: Callable[..., Path]) -> None:
    base, folder = trained
    assert hub.compare_logits(base, folder, folder) == 0.0
    assert hub.compare_logits(base, folder, make_adapter(base, seed=2, scale=0.5)) > 0.01


def test_profiles_alone_are_compared_as_they_are(trained: tuple[Base, Path], tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "other")]
    for folder, header in zip(folders, ("[ES]", "[ES]", "[DE]"), strict=True):
        folder.mkdir()
        write(folder / "xlift.json", {"profile": {"header": {"es": header}}})
    assert hub.compare_logits(trained[0], folders[0], folders[1]) == 0.0
    with pytest.raises(hub.UserError, match="profile"):
        hub.compare_logits(trained[0], folders[0], folders[2])


def test_a_profile_alone_is_pushed_without_weights(tmp_path: Path) -> None:
    from xlift.harness.publishing.push import prepare_package

    adapter = write_run(tmp_path / "run", profile={"header": {"es": "[ES]"}}, data={"rows": 0})
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (adapter / name).unlink()
    facts, files = prepare_package(adapter, "lab/prompts", None)
    card = next(file for file in files if file.path == "README.md").read().decode()
    assert [file.path for file in files] == ["README.md", "xlift.json"]
    assert "library_name: xlift" in card and "There are no weights" in card and "base_model_relation" not in card
    assert "An inference profile for" in card and "no training data" in card
