"""Training of an encoder's projection: the loss by hand, what is trained and stored, the control, and a kill."""

from pathlib import Path
from typing import Any

import pytest
import torch
from preference_training import SETTINGS
from safetensors.torch import load_file
from tiny_encoder import write_encoder

from xlift.harness.config.suite import EngineSettings, TrainSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Example, ask
from xlift.harness.engines.hf import HfEngine
from xlift.harness.engines.merger import Line, Merger
from xlift.harness.models.adapters import resolve
from xlift.harness.models.bases import Base, load_tokenizer
from xlift.harness.models.module import Module
from xlift.harness.plugin import Plan
from xlift.harness.training.batching import encode
from xlift.harness.training.report import FitReport
from xlift.harness.training.trainer import fit

ROWS = tuple(Example(ask(f"say {number}"), "word " * (2 + number % 3), "en", f"r{number}", "task") for number in range(8))


def train(base: Base, stage: Path, module: Module, **changed: Any) -> FitReport:
    settings = TrainSettings(**{**SETTINGS, "learning_rate": 1e-2, **changed})
    provenance: Any = {"method": "encoder_merge", "base": {"name": "org/tiny", "sha256": base.sha256}, "module": module.model_dump()}
    return fit(base.folder, Plan(ROWS, module=module), settings, stage / "adapter", seed=0, provenance=provenance)


@pytest.mark.parametrize("alone", [(), ("task",)])
def test_the_first_loss_by_hand(tiny: Base, tmp_path: Path, alone: tuple[str, ...]) -> None:
    module = Module(encoder=str(write_encoder(tmp_path / "t5")), tokens=40, alone=alone)
    report = train(tiny, tmp_path, module, batch_tokens=10**6, micro_batch_tokens=64, epochs=1)
    from transformers import AutoModelForCausalLM

    base, tokenizer = AutoModelForCausalLM.from_pretrained(tiny.folder, dtype=torch.float32), load_tokenizer(tiny)
    torch.manual_seed(0)
    merger, nats, tokens = Merger(module, base, tokenizer), 0.0, 0
    for row in encode(ROWS, tokenizer, 256).sequences:
        prompt, rest = row.tokens[: row.prompt], row.tokens[row.prompt :]
        with torch.no_grad():
            embeds, _ = merger.embed([Line(prompt, rest[:-1], reads_prompt=not alone)], "right")
            scores = base(inputs_embeds=embeds).logits[0].log_softmax(-1)[-len(rest) :]
        nats -= sum(float(scores[at, token]) for at, token in enumerate(rest))
        tokens += len(rest)
    assert report.steps == 1 and report.curve[0][2] == pytest.approx(nats / tokens, abs=1e-4)
    # 16 -> 32 -> 32 with biases, and a boundary of 32
    assert report.trained_parameters == 16 * 32 + 32 + 32 * 32 + 32 + 32


def test_the_projection_alone_is_trained_and_then_serves(tiny: Base, tmp_path: Path) -> None:
    module = Module(encoder=str(write_encoder(tmp_path / "t5")), tokens=40)
    report = train(tiny, tmp_path, module, epochs=40, measure_at=(0.5,))
    assert report.final_loss < report.curve[0][2] - 0.5
    adapter = resolve(tmp_path / "adapter")
    assert sorted(path.name for path in adapter.folder.iterdir()) == ["module.safetensors", "xlift.json"]
    assert sorted(load_file(adapter.folder / "module.safetensors")) == [
        "boundary", "projection.0.bias", "projection.0.weight", "projection.2.bias", "projection.2.weight",
    ]  # fmt: skip
    assert resolve(tmp_path / report.points[0].folder).sha256 != adapter.sha256
    with HfEngine(tiny, EngineSettings(backend="hf", dtype="float32")) as engine:
        pairs = [(engine.render(row.messages), row.response) for row in ROWS]
        before = engine.score(pairs)
        engine.swap(adapter)
        after = engine.score(pairs)
    assert sum(one.nats - other.nats for one, other in zip(after, before, strict=True)) > 0.5 * sum(one.tokens for one in after)


def test_the_control_does_not_see_the_encoder(tiny: Base, tmp_path: Path) -> None:
    made = []
    for seed in (0, 1):
        encoder = write_encoder(tmp_path / f"t5-{seed}", seed)
        for zeroed in (True, False):
            stage = tmp_path / f"{seed}-{zeroed}"
            train(tiny, stage, Module(encoder=str(encoder), tokens=40, zeroed=zeroed))
            made.append(load_file(stage / "adapter" / "module.safetensors"))
    control, real, other_control, other_real = made
    assert all(torch.equal(control[name], other_control[name]) for name in control)
    assert not torch.equal(real["projection.0.weight"], other_real["projection.0.weight"])


def test_a_killed_training_goes_on_to_the_same_projection(tiny: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xlift.harness.training.module import ModuleTrainer

    module = Module(encoder=str(write_encoder(tmp_path / "t5")), tokens=40)
    changed: dict[str, Any] = {"batch_tokens": 100, "epochs": 2, "checkpoint_steps": 2}
    train(tiny, tmp_path / "whole", module, **changed)
    done = ModuleTrainer.compute_loss

    def die(self: ModuleTrainer, *given: Any, **named: Any) -> torch.Tensor:
        if self.state.global_step == 3:
            raise KeyboardInterrupt
        return done(self, *given, **named)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ModuleTrainer, "compute_loss", die)
        train(tiny, tmp_path / "killed", module, **changed)
    assert train(tiny, tmp_path / "killed", module, **changed).resumed_from_step == 2
    whole, killed = (load_file(tmp_path / name / "adapter" / "module.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_a_projection_is_not_gone_on_from(tiny: Base, tmp_path: Path) -> None:
    module = Module(encoder=str(write_encoder(tmp_path / "t5")), tokens=40)
    train(tiny, tmp_path, module)
    provenance: Any = {"base": {"name": "org/tiny", "sha256": tiny.sha256}}
    with pytest.raises(UserError, match="holds no LoRA .MODULE., so training cannot go on from it"):
        fit(
            tiny.folder, Plan(ROWS, module=module), TrainSettings(**SETTINGS), tmp_path / "next", seed=0, provenance=provenance,
            start=tmp_path / "adapter",
        )  # fmt: skip
