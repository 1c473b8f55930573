"""What determines each stage of a run: rounds of methods, adapters and measurements, as plain data that is hashed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xlift.harness.config.suite import Suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.store import Stage, Store
from xlift.harness.models import adapters, bases
from xlift.harness.recipes import registry
from xlift.harness.training.batching import TRAINING_VERSION
from xlift.harness.translators.base import TRANSLATORS_VERSION
from xlift.tasks import data, index


@dataclass(frozen=True)
class Run:
    """A resolved suite and the folder it runs in."""

    suite: Suite
    root: Path
    tasks: tuple[str, ...]
    left_out: tuple[str, ...]
    base: bases.Base

    @property
    def store(self) -> Store:
        return Store(self.root)


@dataclass(frozen=True)
class Round:
    """One method before one of its trainings."""

    label: str
    number: int = 0
    seed: int | None = None
    """None in the first round, whose rows serve all seeds."""
    start: str | None = None
    """Folder of the adapter that the round before made."""

    @property
    def name(self) -> str:
        return self.label if self.seed is None else f"{self.label}-seed{self.seed}-round{self.number + 1}"


@dataclass(frozen=True)
class Measured:
    """One model that the last wave measures: the base, a trained adapter, or one that was given."""

    label: str
    seed: int | None
    adapter: str | None
    """Folder or hub reference; None is the base."""
    stages: tuple[str, ...] = ()
    """Folders of the stages that made it, for its costs."""

    @property
    def name(self) -> str:
        return self.label if self.seed is None else f"{self.label}-seed{self.seed}"


def prepare_stage(run: Run, turn: Round) -> Stage:
    """All that determines a method's rows."""
    chosen, suite = run.suite.methods[turn.label], run.suite
    inputs = {
        "method": chosen.method,
        "code": {**asdict(registry.identify(chosen.method)), "translators": TRANSLATORS_VERSION},
        "options": registry.load(chosen.method, chosen.options).options.model_dump(mode="json"),
        "languages": suite.trained(turn.label),
        "pivot": suite.languages.pivot,
        "rows": suite.rows,
        "data": {**suite.data.model_dump(), "root": data.identify_root(suite.data.samples)},
        "guarded": run.tasks,
        "translators": {pair: found.identity() for pair, found in suite.translating(turn.label).items()},
        "model": identify_model(run, turn.start),
        "round": turn.number,
    }
    return Stage("prepare", turn.name, inputs)


def identify_model(run: Run, adapter: str | None) -> dict[str, Any]:
    """All that can move an answer of a model besides chat and sampling."""
    return {
        "base": run.base.sha256,
        "chat_template": run.base.chat_template_sha,
        "adapter": adapters.resolve(adapter).sha256 if adapter else None,
        "engine": run.suite.engine.identity(),
    }


def prepared_by(run: Run, turn: Round) -> dict[str, Any]:
    """The manifest of a round's rows. Raises UserError where they are not prepared."""
    manifest = run.store.manifest(prepare_stage(run, turn))
    if manifest is None:
        raise UserError(f"{turn.name}: its training rows are not prepared, or its code changed since; run the suite again")
    return manifest


def fit_stage(run: Run, turn: Round, seed: int | None) -> Stage:
    """All that determines an adapter. Raises UserError where the rows are not prepared yet."""
    inputs = {
        "code": TRAINING_VERSION,
        "plan": prepared_by(run, turn)["plan"],
        "train": run.suite.training(turn.label).identity(),
        "seed": seed,
        "base": run.base.sha256,
        "chat_template": run.base.chat_template_sha,
        "start": adapters.resolve(turn.start).sha256 if turn.start else None,
    }
    suffix = "" if seed is None else f"-seed{seed}"
    return Stage("fit", f"{turn.label}{suffix}" + (f"-round{turn.number + 1}" if turn.number else ""), inputs)


def evaluate_stage(run: Run, model: Measured) -> Stage:
    """All that determines the scores of one model."""
    suite = run.suite
    found = [index.data_of(task, suite.data.samples) for task in run.tasks]
    inputs = {
        "base": run.base.sha256,
        "chat_template": run.base.chat_template_sha,
        "adapter": adapters.resolve(model.adapter).sha256 if model.adapter else None,
        "tasks": run.tasks,
        "data": [source.sha256 if source else None for source in found],
        "evaluate": suite.evaluate.identity(),
        "engine": suite.engine.identity(),
    }
    return Stage("evaluate", model.name, inputs)
