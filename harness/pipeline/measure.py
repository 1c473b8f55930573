"""The evaluate stage: models on one engine, in a process of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from xlift.harness.core.store import read_manifest
from xlift.harness.evaluation.evaluate import Evaluation, evaluate
from xlift.harness.evaluation.records import Record
from xlift.harness.models import adapters
from xlift.harness.pipeline.costs import sum_costs
from xlift.harness.pipeline.engine import StageEngine
from xlift.harness.pipeline.stages import Measured, Run, evaluate_stage

logger = logging.getLogger(__name__)


def evaluate_wave(run: Run, models: list[Measured], engines: int) -> None:
    """In a process of its own: the models on one engine of several, swapped in place, in order."""
    from xlift.harness.core.versions import library_versions
    from xlift.harness.evaluation.tasks import open_tasks

    with ExitStack() as stack:
        opened = {asked: stack.enter_context(open_tasks(run.suite, asked)) for asked in dict.fromkeys(map(run.tasks_of, models))}
        engine = stack.enter_context(StageEngine(run, engines))
        for model in models:
            adapter = adapters.resolve(model.adapter) if model.adapter else None
            if adapter:
                adapters.check(adapter, run.base)

            def work(folder: Path, model: Measured = model, adapter: adapters.Adapter | None = adapter) -> Mapping[str, object]:
                holding = engine.hold(adapter)
                logger.info("evaluate: %s", model.label if model.point is None else model.name)
                measured = evaluate(holding, run.suite, opened[run.tasks_of(model)], folder)
                record = _record(run, model, adapter, measured, library_versions())
                return {"adapter": adapter.place if adapter else None, "record": record.model_dump(mode="json")}

            run.store.write(evaluate_stage(run, model), work)


def _read_kind(run: Run, model: Measured) -> str | None:
    """The objective of the last training that made a model."""
    found = [read_manifest(run.root / name) for name in model.stages]
    prepares = [manifest for manifest in found if manifest and manifest["stage"] == "prepare"]
    if not prepares:
        return None
    return prepares[-1]["plan"]["objective"]["kind"] if prepares[-1]["rows"] else "profile"


def _record(run: Run, model: Measured, adapter: adapters.Adapter | None, measured: Evaluation, versions: dict[str, str]) -> Record:
    suite, chosen = run.suite, run.suite.methods.get(model.label)
    return Record(
        suite=suite.name,
        label=model.label,
        method=chosen.method if chosen else None,
        seed=model.seed,
        kind=_read_kind(run, model),
        trained=suite.trained(model.label) if chosen else (),
        pivot=suite.languages.pivot,
        base=run.base.facts(),
        adapter=adapter.facts() if adapter else None,
        engine=measured.engine,
        system=suite.evaluate.system,
        tasks=measured.tasks,
        share=model.point.share if model.point else 1.0,
        cost={"evaluate": measured.cost, **sum_costs([run.root / name for name in model.stages], model.point)},
        profile=measured.profile,
        left_out=run.left_out,
        versions=versions,
    )
