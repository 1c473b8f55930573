"""Adapters that xlift did not train: their cards say what is known, and that the rest is not."""

import json
from pathlib import Path

import pytest
import yaml
from commands import Call
from loopback_hub import State
from pushable import COMMIT, TASK, write_run

from xlift.harness.core.errors import UserError
from xlift.harness.publishing.push import prepare_package


def make_foreign(root: Path, base: str = "org/base") -> Path:
    """An adapter of another program, measured in a run; returns its folder."""
    adapter = write_run(root)
    (adapter / "xlift.json").unlink()
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(
        json.dumps({**config, "base_model_name_or_path": base, "lora_alpha": 8, "auto_mapping": None})
    )
    return adapter


def measured(root: Path, base: str = "org/base") -> Path:
    """The same, with the measurement of these very weights."""
    from xlift.harness.models.adapters import resolve

    adapter = make_foreign(root, base)
    manifest = root / "evaluate-m-seed0-cccc" / "manifest.json"
    values = json.loads(manifest.read_text())
    values["record"]["adapter"]["sha256"] = resolve(adapter).sha256
    manifest.write_text(json.dumps(values))
    return adapter


def read_card(adapter: Path, run: Path | None) -> tuple[dict[str, object], str]:
    _, files = prepare_package(adapter, "lab/theirs", run, foreign=True)
    text = next(file.read().decode() for file in files if file.path == "README.md")
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_what_is_known_stands_in_the_card_and_the_rest_is_called_unknown(tmp_path: Path) -> None:
    front, body = read_card(measured(tmp_path / "run"), tmp_path / "run")
    assert front["base_model"] == "org/base" and front["base_model_revision"] == COMMIT
    assert "language" not in front and "license" not in front
    assert "It was not trained by xlift" in body
    assert "## Method\n\nNot known." in body and "## Training data and licences\n\nNot known." in body
    assert '"lora_alpha": 8' in body and "auto_mapping" not in body
    assert f"| {TASK} | accuracy | 4 | 0.25 [" in body and "+0.5 [" in body
    assert "may be too high" in body and "xlift evaluate --base org/base" in body


def test_without_a_measurement_the_base_is_the_one_that_it_names(tmp_path: Path) -> None:
    adapter = make_foreign(tmp_path / "run")
    moved = adapter.rename(tmp_path / "alone")
    front, body = read_card(moved, None)
    assert front["base_model"] == "org/base" and "This adapter was not measured." in body


def test_a_base_that_is_no_repository_is_refused_with_what_to_do(tmp_path: Path) -> None:
    moved = make_foreign(tmp_path / "run", base="/home/me/base").rename(tmp_path / "alone")
    with pytest.raises(UserError, match="names /home/me/base as its base, which is no repository; write the base's name on the hub"):
        prepare_package(moved, "lab/theirs", None, foreign=True)


def test_the_command_asks_for_the_word(call: Call, tmp_path: Path, loopback: State) -> None:
    adapter = measured(tmp_path / "run")
    code, _, err = call("push", adapter, "lab/theirs")
    assert code == 2 and "--foreign pushes it" in err
    code, out, err = call("push", adapter, "lab/theirs", "--foreign")
    assert code == 0, err
    assert "read back and compared" in out
    code, out, _ = call("pull", "lab/theirs")
    assert code == 0
    assert json.loads((Path(out.strip()) / "xlift.json").read_text())["base"]["name"] == "org/base"
