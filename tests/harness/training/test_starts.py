"""What training begins with: rows of phases, an earlier adapter, and what of either is refused."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from preference_training import LORA, make_pairs, train
from safetensors.torch import load_file

from xlift.harness.config.suite import TrainSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Example, Preference, ask
from xlift.harness.models.bases import Base
from xlift.harness.plugin import Dpo, Plan, Sft
from xlift.harness.training.schedule import build_schedule
from xlift.harness.training.trainer import fit


def test_phases_are_trained_one_after_the_other(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, Sequence[int]]] = []

    def build(optimizer: Any, name: str, warmup: float, ends: Sequence[int]) -> Any:
        asked.append((warmup, ends))
        return build_schedule(optimizer, name, warmup, ends)

    monkeypatch.setattr("xlift.harness.training.sft.build_schedule", build)
    rows = tuple(Example(ask("say a"), "b" * 20, "en", f"{kind}{n}", kind) for kind in ("questions", "answers") for n in range(8))
    one = train(tiny_base, tmp_path / "one", rows, Sft(), phases=(("questions",), ("answers",)), batch_tokens=128)
    other = train(tiny_base, tmp_path / "other", rows, Sft(), phases=(("answers",), ("questions",)), batch_tokens=128)
    assert one.steps == other.steps == round(16 * (one.tokens_trained // 16) / 128) and one.tokens_trained == other.tokens_trained
    assert [warmup for warmup, _ in asked] == [TrainSettings().warmup] * 2
    assert all(len(ends) == 2 and 0 < ends[0] < ends[1] == one.steps for _, ends in asked), "each phase has a schedule of its own"
    with pytest.raises(UserError, match="rows of kind 'answers' are in no phase"):
        train(tiny_base, tmp_path / "wrong", rows, Sft(), phases=(("questions",),))


def test_plain_training_goes_on_from_an_adapter(tiny: Base, make_adapter: Callable[..., Path], tmp_path: Path) -> None:
    start, rows = make_adapter(tiny), tuple(Example(ask("say it"), "word " * 3, "en", f"r{number}", "test") for number in range(8))
    train(tiny.folder, tmp_path, rows, Sft(), start=start, learning_rate=1e-9)
    before, after = (load_file(folder / "adapter_model.safetensors") for folder in (start, tmp_path / "adapter"))
    assert before.keys() == after.keys() and all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_starts_that_training_cannot_go_on_from(tiny: Base, make_adapter: Callable[..., Path], tmp_path: Path) -> None:
    start = make_adapter(tiny)
    for lora, message in [
        ({**LORA, "r": 8}, "train.lora: r is 8, but 4 in the adapter"),
        ({**LORA, "lora_alpha": 4}, "train.lora: lora_alpha is 4, but 8"),
        ({**LORA, "target_modules": ["q_proj"]}, "train.lora: .*proj.* differs from the adapter .* same targets"),
    ]:
        with pytest.raises(UserError, match=message):
            train(tiny.folder, tmp_path, start=start, lora=lora)
    with pytest.raises(UserError, match="no such folder"):
        train(tiny.folder, tmp_path, start=tmp_path / "nowhere")
    (start / "xlift.json").write_text(json.dumps({"base": {"sha256": "1" * 64}}))
    with pytest.raises(UserError, match="trained on another base"):
        fit(
            tiny.folder, Plan(make_pairs(), Dpo()), TrainSettings(), tmp_path / "adapter", seed=0, start=start,
            provenance={"base": {"name": "tiny", "sha256": "2" * 64}},
        )  # fmt: skip
    config = json.loads((start / "adapter_config.json").read_text())
    (start / "adapter_config.json").write_text(json.dumps({**config, "peft_type": "IA3"}))
    with pytest.raises(UserError, match="holds no LoRA"):
        train(tiny.folder, tmp_path, start=start)


@pytest.mark.parametrize(
    ("rows", "objective", "message"),
    [
        ((Example(ask("say it"), "word", "en", "r0", "test"),), Dpo(), "row 'r0' is an example, but the objective Dpo trains on Pref"),
        (make_pairs(2), Sft(), "row 'p0' is a preference, but the objective Sft trains on Example rows"),
        ((Preference(ask("say it"), "no", "no", "en", "p0", "test"),), Dpo(), "row 'p0': the chosen and the rejected answer are the same"),
        ((Preference(ask("say it"), "", "no", "en", "p0", "test"),), Dpo(), "row 'p0': the chosen answer is empty"),
        ((Preference(ask("say it " * 20), "yes", "no", "en", "p0", "test"),), Dpo(), "train.max_length 96: none of 1 rows"),
    ],
)
def test_rows_that_cannot_be_trained_on(rows: Any, objective: Sft | Dpo, message: str, tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        train(tiny_base, tmp_path, rows, objective)


def test_several_gpus_are_refused(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trl import SFTConfig

    monkeypatch.setattr(SFTConfig, "n_gpu", 2)
    with pytest.raises(UserError, match="2 GPUs are visible, and one training takes one; set CUDA_VISIBLE_DEVICES"):
        train(tiny_base, tmp_path, (Example(ask("say a"), "b", "en", "r", "test"),), Sft())


def test_trl_is_told_to_send_no_telemetry() -> None:
    code = "import xlift.harness; from huggingface_hub import constants; print(constants.HF_HUB_DISABLE_TELEMETRY)"
    bare = {name: value for name, value in os.environ.items() if name != "HF_HUB_DISABLE_TELEMETRY"}
    done = [
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout.strip()
        for environment in (bare, {**bare, "HF_HUB_DISABLE_TELEMETRY": "0"})
    ]
    assert done == ["True", "False"], "who says otherwise is heard"
