"""The trainer on a tiny random model: what it leaves, what it counts, and that a kill does not show in the adapter."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from xlift.harness.config.suite import TrainSettings
from xlift.harness.core import progress
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Example, ask
from xlift.harness.plugin import Plan
from xlift.harness.training import sft
from xlift.harness.training.batching import encode
from xlift.harness.training.checkpoints import find_last, seal
from xlift.harness.training.report import FitReport
from xlift.harness.training.trainer import fit

PROVENANCE = {"method": "test", "base": {"name": "org/tiny", "sha256": "0" * 64}}
SETTINGS: dict[str, Any] = {"batch_tokens": 256, "micro_batch_tokens": 128, "max_length": 96, "epochs": 2, "checkpoint_steps": 3}
LORA = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "lora_dropout": 0.1}


def make_rows(count: int = 40) -> tuple[Example, ...]:
    texts = [("say it again " * (1 + number % 3), f"word {number} " * (1 + number % 4)) for number in range(count)]
    return tuple(Example(ask(prompt), response, "en", f"r{number}", "test") for number, (prompt, response) in enumerate(texts))


def train(base: Path, stage: Path, **changed: Any) -> FitReport:
    settings = TrainSettings(**{**SETTINGS, "lora": LORA, **changed})
    return fit(base, Plan(make_rows()), settings, stage / "adapter", seed=0, provenance=PROVENANCE)


def fingerprint(stage: Path) -> str:
    found = (stage / "adapter" / name for name in ("adapter_model.safetensors", "adapter_config.json"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in found)).hexdigest()


@pytest.fixture(scope="module")
def undisturbed(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FitReport]:
    stage = tmp_path_factory.mktemp("fit")
    return stage, train(tiny_base, stage)


def test_what_is_left(undisturbed: tuple[Path, FitReport]) -> None:
    stage, report = undisturbed
    assert [path.name for path in stage.iterdir()] == ["adapter"]
    assert {path.name for path in (stage / "adapter").iterdir()} == {"adapter_model.safetensors", "adapter_config.json", "xlift.json"}
    config = json.loads((stage / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "org/tiny" and config["target_modules"] == sorted(config["target_modules"])
    card = json.loads((stage / "adapter" / "xlift.json").read_text())
    assert card["method"] == "test" and card["fit"]["tokens_trained"] == report.tokens_trained
    weights = load_file(stage / "adapter" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert any(float(tensor.abs().max()) > 0 for name, tensor in weights.items() if "lora_B" in name)


def test_what_is_counted(undisturbed: tuple[Path, FitReport], tiny_base: Path) -> None:
    from transformers import AutoTokenizer

    report = undisturbed[1]
    rows = encode(make_rows(), AutoTokenizer.from_pretrained(tiny_base), 96).sequences
    assert report.tokens_trained == 2 * sum(len(row.tokens) for row in rows)
    assert report.response_tokens == 2 * sum(len(row.tokens) - row.prompt for row in rows)
    assert (report.rows, report.epochs, report.resumed_from_step) == (40, 2.0, None)
    assert (report.reward_margin, report.reward_accuracy) == (None, None)
    assert 0 <= report.padding_share <= 0.05
    assert report.curve[-1][:2] == (report.steps, report.tokens_trained) and len(report.curve) == report.steps
    assert report.final_loss < report.curve[0][2]
    assert report.seconds > 0 and report.peak_memory_mib > 0 and report.device.startswith(("cpu", "NVIDIA"))


def test_forward_passes_change_nothing_beyond_rounding(undisturbed: tuple[Path, FitReport], tiny_base: Path, tmp_path: Path) -> None:
    settings = {"lora": {**LORA, "lora_dropout": 0.0}, "tokens": 1500}
    whole = train(tiny_base, tmp_path / "whole", **settings, micro_batch_tokens=256)
    small = train(tiny_base, tmp_path / "small", **settings, micro_batch_tokens=96)
    assert [point[:2] for point in small.curve] == [point[:2] for point in whole.curve]
    assert [point[2] for point in small.curve] == pytest.approx([point[2] for point in whole.curve], abs=2e-4)


def test_the_loss_is_that_of_the_model_on_the_responses(tiny_base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # the first step is taken before any weight has changed: LoRA's B starts at 0
    report = train(tiny_base, tmp_path, batch_tokens=100_000, epochs=1, dtype="float32")
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    total, count = 0.0, 0
    for row in encode(make_rows(), AutoTokenizer.from_pretrained(tiny_base), 96).sequences:
        with torch.no_grad():
            scores = model(torch.tensor([row.tokens])).logits[0].log_softmax(-1)
        total -= sum(float(scores[place - 1, row.tokens[place]]) for place in range(row.prompt, len(row.tokens)))
        count += len(row.tokens) - row.prompt
    assert report.steps == 1 and report.curve[0][2] == pytest.approx(total / count, abs=1e-4)


def test_trl_scores_the_same_loss(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trl import SFTTrainer

    from xlift.harness.training.sft import CourseTrainer

    settings = {"lora": {**LORA, "lora_dropout": 0.0}, "tokens": 1000, "dtype": "float32"}
    ours = train(tiny_base, tmp_path / "ours", **settings)
    monkeypatch.setattr(CourseTrainer, "compute_loss", SFTTrainer.compute_loss)
    theirs = train(tiny_base, tmp_path / "theirs", **settings)
    assert [point[2] for point in ours.curve] == pytest.approx([point[2] for point in theirs.curve], abs=2e-4)


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_trainer import train
train(Path(sys.argv[2]), Path(sys.argv[3]))
"""


@pytest.mark.slow
def test_killed_and_resumed_equals_undisturbed(undisturbed: tuple[Path, FitReport], tiny_base: Path, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(tiny_base), str(tmp_path)]
    process = subprocess.Popen(arguments, env={**os.environ, "PYTHONHASHSEED": "7"}, stderr=subprocess.DEVNULL)
    seal_file = tmp_path / "checkpoints" / "checkpoint-6" / "seal.json"
    while not seal_file.exists():
        assert process.poll() is None, "the training ended before it could be killed"
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # what lies after the sixth step is made a half-written checkpoint, whatever the kill left of it
    half = tmp_path / "checkpoints" / "checkpoint-9"
    half.mkdir(exist_ok=True)
    (half / "adapter_model.safetensors").write_bytes(b"half")
    report, expected = train(tiny_base, tmp_path), undisturbed[1]
    assert report.resumed_from_step == 6
    assert fingerprint(tmp_path) == fingerprint(undisturbed[0])
    same = ("steps", "tokens_trained", "response_tokens", "epochs", "curve", "final_loss")
    assert all(getattr(report, name) == getattr(expected, name) for name in same)


def test_a_checkpoint_is_used_only_where_it_is_whole_and_of_this_training(tmp_path: Path) -> None:
    for step in (2, 4, 6, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "weights").write_text(f"weights {step}")
        seal(tmp_path / f"checkpoint-{step}", "other" if step == 10 else "this", seconds=float(step))
    (tmp_path / "checkpoint-6" / "weights").write_text("wei")
    (tmp_path / "checkpoint-8").mkdir()
    found = find_last(tmp_path, "this")
    assert found is not None and (found.step, found.seconds) == (4, 4.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-4"]
    assert find_last(tmp_path / "nowhere", "this") is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lora": {"rank": 4}}, "train.lora: unknown key 'rank'; did you mean"),
        ({"lora": {"r": 4, "target_modules": ["q_prj"]}}, "train: PEFT or TRL does not take these settings: .*q_prj"),
        ({"lora": {"r": 4, "init_lora_weights": "pissa"}}, "init_lora_weights 'pissa'"),
        ({"lora": {"r": 0}}, "train.lora.r: must be a whole number from 1 on, got 0"),
        ({"schedule": "cosin"}, "train.schedule: unknown schedule 'cosin'; did you mean 'cosine'"),
        ({"report_to": ("wandbb",)}, "train: PEFT or TRL does not take these settings: .*wandbb"),
        ({"max_length": 16}, "train.max_length 16: none of 40 rows"),
    ],
)
def test_settings_that_cannot_be_trained_with(changed: dict[str, Any], message: str, tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        train(tiny_base, tmp_path, **changed)


def test_quantised_bases_need_cuda(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="bitsandbytes needs a CUDA GPU"):
        train(tiny_base, tmp_path, quantise="4bit")


def test_kernels_of_liger_need_cuda(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="train.liger: its kernels need a CUDA GPU and there is none; leave train.liger out"):
        train(tiny_base, tmp_path, liger=True)


@pytest.mark.slow
def test_a_compiled_model_trains_alike(tiny_base: Path, tmp_path: Path) -> None:
    still = {"lora": {**LORA, "lora_dropout": 0.0}, "tokens": 256}
    plain, compiled = train(tiny_base, tmp_path / "plain", **still), train(tiny_base, tmp_path / "compiled", compile=True, **still)
    assert [point[:2] for point in plain.curve] == [point[:2] for point in compiled.curve]
    assert [point[2] for point in compiled.curve] == pytest.approx([point[2] for point in plain.curve], abs=1e-4)


def test_a_loss_that_is_no_number_stops_the_training(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the loss is .* lower train.learning_rate"):
        train(tiny_base, tmp_path, learning_rate=1e15, warmup=0.0, schedule="constant", epochs=4)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "memory ran out; lower train.micro_batch_tokens .now 128"),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory ran out"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), "a checkpoint cannot be written"),
    ],
)
def test_what_runs_out_is_said_in_one_line(
    error: Exception, message: str, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(sft, "seal", fail)
    with pytest.raises(UserError, match=message) as caught:
        train(tiny_base, tmp_path)
    assert "\n" not in str(caught.value)


def test_adapters_of_other_kinds(tiny_base: Path, tmp_path: Path) -> None:
    lora = {"r": 4, "use_dora": True, "use_rslora": True, "target_modules": ["q_proj", "v_proj"]}
    train(tiny_base, tmp_path, lora=lora, tokens=600, gradient_checkpointing=True)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["use_dora"] and config["use_rslora"] and config["target_modules"] == ["q_proj", "v_proj"]


def test_plain_lines_without_a_terminal(
    tiny_base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FIRST", 3600.0)  # however slow the machine is, the end alone is told
    settings = TrainSettings(**{**SETTINGS, "lora": LORA, "tokens": 600})
    with caplog.at_level("INFO", "xlift"):
        report = fit(tiny_base, Plan(make_rows()), settings, tmp_path / "adapter", seed=0, provenance=PROVENANCE)
    assert [record.message.split(", ")[0] for record in caplog.records if "training" in record.message] == [
        f"training: step {report.steps} of {report.steps}"
    ]
    assert capsys.readouterr().out == ""
