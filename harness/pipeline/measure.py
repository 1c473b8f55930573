"""The evaluate stage: models on one engine, in a process of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from xlift.harness.core.manifests import Manifest
from xlift.harness.core.store import read_manifest
from xlift.harness.core.versions import library_versions
from xlift.harness.evaluation.evaluate import evaluate, save_whole_answers
from xlift.harness.evaluation.records import Record, TaskResult
from xlift.harness.evaluation.tasks import TaskSet, open_tasks
from xlift.harness.models import adapters, encoders, steering
from xlift.harness.pipeline.costs import sum_costs
from xlift.harness.pipeline.earlier import Known, Taken, find_common_engine, name_results, read_known
from xlift.harness.pipeline.engine import StageEngine
from xlift.harness.pipeline.stages import Measured, Run, evaluate_stage, keep_answers

logger = logging.getLogger(__name__)


def evaluate_wave(run: Run, models: Sequence[Measured], engines: int, wait: bool = True) -> None:
    """In a process of its own, measure models on one engine, swapped in place, in order.

    A model that another process is measuring is waited for, or with ``wait`` false left to that process.
    """
    known = read_known(run.root)
    with ExitStack() as stack:
        wave = _Wave(run, known, stack.enter_context(StageEngine(run, engines)), stack)
        for model in models:
            adapter = adapters.resolve(model.adapter) if model.adapter else None
            if adapter:
                adapters.check(adapter, run.base)

            def work(folder: Path, model: Measured = model, adapter: adapters.Adapter | None = adapter) -> Mapping[str, object]:
                return wave.measure(model, adapter, folder)

            (run.store.write if wait else run.store.attempt)(evaluate_stage(run, model), work)


class _Wave:
    """What the models of one engine share."""

    def __init__(self, run: Run, known: Known, engine: StageEngine, stack: ExitStack) -> None:
        self._run, self._known, self._engine, self._stack = run, known, engine, stack
        self._opened: dict[tuple[str, ...], TaskSet] = {}

    def measure(self, model: Measured, adapter: adapters.Adapter | None, folder: Path) -> Mapping[str, object]:
        """Measure a model. Tasks on which it was measured before are taken over, and the others go through lm-eval together."""
        started, run = time.monotonic(), self._run
        known = {task: self._known.get(name, ()) for task, name in name_results(evaluate_stage(run, model).inputs).items()}
        facts = find_common_engine(known)
        holding = None if facts else self._engine.hold(adapter)
        engine: Mapping[str, object] = facts or (holding.describe() if holding else {})
        taken = Taken.under(engine, known)
        missing = tuple(task for task in run.tasks_of(model) if task not in taken.origins)
        self._tell(model, known, missing)
        measured = None
        if holding and missing:
            measured = evaluate(holding, run.suite, self._open(missing), folder, keep_answers(run, adapter, holding))
        taken.copy_files(folder)
        results = {**taken.read_results(), **(measured.tasks if measured else {})}
        paid = {**(measured.paid if measured else {}), "seconds": round(time.monotonic() - started, 2)}
        said = [*taken.read_whole_answers(), *(measured.whole_answers if measured else ())]
        record = Record(
            **_describe(run, model, adapter),
            extra_parameters=_count_extra(adapter, engine),
            engine=dict(engine),
            tasks={task: results[task] for task in run.tasks_of(model)},
            cost={"evaluate": _sum_up(results, paid), **sum_costs([run.root / name for name in model.stages], model.point)},
            profile=save_whole_answers(said, folder),
        )
        return {"adapter": adapter.place if adapter else None, "record": record.model_dump(mode="json"), "taken": taken.stages}

    def _tell(self, model: Measured, known: Known, missing: Sequence[str]) -> None:
        name = model.label if model.point is None else model.name
        if len(missing) == len(known):
            logger.info("evaluate: %s", name)
        else:
            logger.info("evaluate: %s: %d of %d tasks, the others were measured before", name, len(missing), len(known))
        if other := [task for task in missing if known[task]]:
            logger.info("evaluate: %s: %s again, as the engine is not as it was", name, ", ".join(other))

    def _open(self, tasks: tuple[str, ...]) -> TaskSet:
        if tasks not in self._opened:
            self._opened[tasks] = self._stack.enter_context(open_tasks(self._run.suite, tasks))
        return self._opened[tasks]


def _sum_up(results: Mapping[str, TaskResult], paid: Mapping[str, float]) -> dict[str, Any]:
    """What all answers cost when they were made, and under ``paid`` what this measurement cost, to which kept answers contribute
    nothing."""
    sums: dict[str, float] = {}
    for result in results.values():
        for name, value in result.cost.items():
            sums[name] = round(sums.get(name, 0) + value, 4)
    return {**sums, "paid": {name: value for name, value in paid.items() if value}}


def _describe(run: Run, model: Measured, adapter: adapters.Adapter | None) -> dict[str, Any]:
    """What a record says of its model and its suite."""
    suite, chosen, rows = run.suite, run.suite.methods.get(model.label), _find_rows(run, model)
    return {
        "suite": suite.name,
        "label": model.label,
        "method": chosen.method if chosen else None,
        "seed": model.seed,
        "kind": _name_kind(rows) if rows else None,
        "chosen_on": rows.get("chosen_on", "") if rows else "",
        "trained": suite.trained(model.label) if chosen else (),
        "pivot": suite.languages.pivot,
        "base": run.base.facts(),
        "adapter": adapter.facts() if adapter else None,
        "system": suite.evaluate.system,
        "share": model.point.share if model.point else 1.0,
        "left_out": run.left_out,
        "versions": library_versions(),
    }


def _find_rows(run: Run, model: Measured) -> Manifest | None:
    """The manifest of the last rows on which a model was trained; None for a base and for an adapter that was given."""
    found = [read_manifest(run.root / name) for name in model.stages]
    prepares = [manifest for manifest in found if manifest and manifest["stage"] == "prepare"]
    return prepares[-1] if prepares else None


def _name_kind(rows: Manifest) -> str:
    """The way in which parts were put together, weights masked, states moved or an encoder read, or else the objective of the training."""
    plan = rows["plan"]
    if "edit" in plan:
        return plan["edit"]["kind"]
    if inside := next((kind for kind in ("steer", "policy", "module") if plan.get(kind)), None):
        return inside
    return plan["objective"]["kind"] if rows["rows"] else "profile"


def _count_extra(adapter: adapters.Adapter | None, engine: Mapping[str, object]) -> int:
    """The number of weights beside those of the base when it answers."""
    if adapter is None:
        return 0
    if adapter.steer:
        return steering.count_numbers(adapter.folder)
    if adapter.module:
        return encoders.count_numbers(adapter.module, adapter.folder)
    return adapters.count_weights(adapter) if engine.get("adapter_form") == "lora" else 0
