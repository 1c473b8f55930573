"""A short training on preferences: what the tests of the loss and of its starts both do."""

from pathlib import Path
from typing import Any

from xlift.harness.config.suite import TrainSettings
from xlift.harness.core.types import Example, Preference, ask
from xlift.harness.plugin import Dpo, Gap, Plan, Sft
from xlift.harness.training.report import FitReport
from xlift.harness.training.trainer import fit

LORA = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}
SETTINGS: dict[str, Any] = {
    "batch_tokens": 512, "micro_batch_tokens": 256, "max_length": 96, "dtype": "float32", "checkpoint_steps": 2, "lora": LORA,
    "learning_rate": 5e-3,
}  # fmt: skip


def make_pairs(count: int = 24) -> tuple[Preference, ...]:
    texts = [("say it " * (1 + n % 2), f"word {n} " * (1 + n % 4), "no " * (1 + n % 5)) for n in range(count)]
    return tuple(Preference(ask(prompt), chosen, rejected, "en", f"p{n}", "test") for n, (prompt, chosen, rejected) in enumerate(texts))


def train(
    base: Path,
    stage: Path,
    rows: tuple[Example, ...] | tuple[Preference, ...] | None = None,
    objective: Sft | Dpo | Gap | None = None,
    start: Path | None = None,
    phases: tuple[tuple[str, ...], ...] = (),
    **changed: Any,
) -> FitReport:
    plan = Plan(rows or make_pairs(), objective or Dpo(), phases=phases)
    settings, provenance = TrainSettings(**{**SETTINGS, **changed}), {"base": {"name": "org/tiny"}}
    return fit(base, plan, settings, stage / "adapter", seed=0, provenance=provenance, start=start)
