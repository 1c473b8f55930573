"""The evaluate stage: models on one engine, in a process of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from xlift.harness.core.errors import UserError
from xlift.harness.core.store import read_manifest
from xlift.harness.evaluation.records import Record
from xlift.harness.models import adapters
from xlift.harness.pipeline.engine import start_once
from xlift.harness.pipeline.stages import Measured, Run, evaluate_stage

logger = logging.getLogger(__name__)


SUMMED = {"rows", "seconds", "generated_tokens", "steps", "tokens_trained", "response_tokens", "epochs"}


def evaluate_wave(run: Run, models: list[Measured], engines: int) -> None:
    """In a process of its own: the models on one engine of several, swapped in place, in order."""
    from xlift.harness.core.versions import library_versions
    from xlift.harness.evaluation.evaluate import evaluate
    from xlift.harness.evaluation.tasks import open_tasks

    with ExitStack() as stack:
        tasks, start = stack.enter_context(open_tasks(run.suite, run.tasks)), start_once(run, stack, engines)
        for model in models:
            adapter = adapters.resolve(model.adapter) if model.adapter else None
            if adapter:
                adapters.check(adapter, run.base)

            def work(folder: Path, model: Measured = model, adapter: adapters.Adapter | None = adapter) -> Mapping[str, Any]:
                engine = start(adapter)
                logger.info("evaluate: %s", model.label)
                measured = evaluate(engine, run.suite, tasks, folder)
                record = _record(run, model, adapter, measured, library_versions())
                return {"adapter": adapter.place if adapter else None, "record": record.model_dump(mode="json")}

            run.store.write(evaluate_stage(run, model), work)


def _record(run: Run, model: Measured, adapter: adapters.Adapter | None, measured: Mapping[str, Any], versions: dict[str, str]) -> Record:
    suite, chosen = run.suite, run.suite.methods.get(model.label)
    return Record(
        suite=suite.name,
        label=model.label,
        method=chosen.method if chosen else None,
        seed=model.seed,
        trained=suite.trained(model.label) if chosen else (),
        pivot=suite.languages.pivot,
        base=run.base.facts(),
        adapter=adapter.facts() if adapter else None,
        engine=measured["engine"],
        system=suite.evaluate.system,
        tasks=measured["tasks"],
        cost={"evaluate": measured["cost"], **_sum_costs(run, model)},
        profile=measured["profile"],
        left_out=run.left_out,
        versions=versions,
    )


def _sum_costs(run: Run, model: Measured) -> dict[str, dict[str, Any]]:
    """Costs of a model's prepare and fit stages over its rounds: sums, the largest peak, and the last round's loss, device and shares."""
    costs: dict[str, dict[str, Any]] = {}
    for name in model.stages:
        manifest = read_manifest(run.root / name)
        if manifest is None:
            raise UserError(f"{run.root / name}: this stage, which made {model.name}, is gone; run the suite again")
        kind = manifest["stage"]
        found = (
            {key: manifest.get(key) for key in ("rows", "seconds", "generated_tokens", "translated", "losses")}
            if kind == "prepare"
            else manifest["report"]
        )
        before = costs.setdefault(kind, {})
        for key, value in found.items():
            if isinstance(value, list | tuple):
                continue
            if key in SUMMED and before.get(key) is not None and value is not None:
                value = round(before[key] + value, 4)
            elif key == "peak_memory_mib":
                value = max(value, before.get(key, 0))
            before[key] = value
    return costs
