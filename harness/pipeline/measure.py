"""The evaluate stage: models on one engine, in a process of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any

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
from xlift.harness.pipeline.ready import find_unasked
from xlift.harness.pipeline.stages import Measured, Run, Share, evaluate_stage, keep_answers, share_stage
from xlift.harness.recipes import registry

if TYPE_CHECKING:
    from xlift.harness.engines.base import Engine

logger = logging.getLogger(__name__)


def evaluate_wave(run: Run, asked: Sequence[Measured | Share], engines: int, wait: bool = True) -> None:
    """In a process of its own, measure models, or ask shares of them, on one engine, swapped in place, in order.

    What another process is working on is waited for, or with ``wait`` false left to that process.
    """
    with Measuring(run, engines) as measuring:
        for one in asked:
            measuring.take(one, wait)


class Measuring:
    """One engine of several that measures models, swapped in place: a context manager."""

    def __init__(self, run: Run, engines: int = 1) -> None:
        self._run, self._known = run, read_known(run.root)
        self._stack, self._engine = ExitStack(), StageEngine(run, engines)
        self._opened: dict[tuple[str, ...], TaskSet] = {}

    def __enter__(self) -> Measuring:
        self._stack.enter_context(self._engine)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)

    def take(self, asked: Measured | Share, wait: bool = True) -> None:
        """Measure a model, or ask it one share. Without ``wait`` it is left to others where they are at it, or at a share of it."""
        run, model = self._run, asked.model if isinstance(asked, Share) else asked
        if asked is model and not wait and find_unasked(run, model):
            return
        adapter = adapters.resolve(model.adapter) if model.adapter else None
        if adapter:
            adapters.check(adapter, run.base)

        def work(folder: Path) -> Mapping[str, object]:
            return self._ask(asked, adapter) if isinstance(asked, Share) else self._measure(asked, adapter, folder)

        stage = share_stage(run, asked) if isinstance(asked, Share) else evaluate_stage(run, asked)
        (run.store.write if wait else run.store.attempt)(stage, work)

    def _measure(self, model: Measured, adapter: adapters.Adapter | None, folder: Path) -> Mapping[str, object]:
        """Measure a model. Tasks on which it was measured before are taken over, and the others go through lm-eval together."""
        started, run, found = time.monotonic(), self._run, self._look(model, adapter)
        self._tell(model, found)
        measured = None
        if found.holding and found.missing:
            measured = evaluate(found.holding, run.suite, self._open(found.missing), folder, keep_answers(run, adapter, found.holding))
        taken = found.taken
        taken.copy_files(folder)
        results = {**taken.read_results(), **(measured.tasks if measured else {})}
        paid = {**(measured.paid if measured else {}), "seconds": round(time.monotonic() - started, 2)}
        said = [*taken.read_whole_answers(), *(measured.whole_answers if measured else ())]
        record = Record(
            **_describe(run, model, adapter),
            extra_parameters=_count_extra(adapter, found.engine),
            engine=dict(found.engine),
            tasks={task: results[task] for task in run.tasks_of(model)},
            cost={"evaluate": _sum_up(results, paid), **sum_costs([run.root / name for name in model.stages], model.point)},
            profile=save_whole_answers(said, folder),
        )
        return {"adapter": adapter.place if adapter else None, "record": record.model_dump(mode="json"), "taken": taken.stages}

    def _ask(self, share: Share, adapter: adapters.Adapter | None) -> Mapping[str, object]:
        """Have the answers to one share kept. Its scores are of no use: the measurement scores all answers together."""
        run, found = self._run, self._look(share.model, adapter)
        paid: Mapping[str, float] = {}
        if found.holding and found.missing:
            tasks, kept = self._open(found.missing).take_share(share.number, share.of), keep_answers(run, adapter, found.holding)
            logger.info("evaluate: %s, share %d of %d", share.model.name, share.number, share.of)
            if tasks.names:
                with TemporaryDirectory() as scratch:
                    paid = evaluate(found.holding, run.suite, tasks, Path(scratch), kept).paid
        return {"paid": {name: value for name, value in paid.items() if value}}

    def _look(self, model: Measured, adapter: adapters.Adapter | None) -> _Found:
        """What a model was measured on before, and the engine that does the rest."""
        known = {task: self._known.get(name, ()) for task, name in name_results(evaluate_stage(self._run, model).inputs).items()}
        facts = find_common_engine(known)
        holding = None if facts else self._engine.hold(adapter)
        engine: Mapping[str, object] = facts or (holding.describe() if holding else {})
        taken = Taken.under(engine, known)
        return _Found(known, holding, engine, taken, tuple(task for task in self._run.tasks_of(model) if task not in taken.origins))

    def _tell(self, model: Measured, found: _Found) -> None:
        name, known, missing = model.name, found.known, found.missing
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


@dataclass(frozen=True)
class _Found:
    """What is there already of a model's measurement."""

    known: Known
    holding: Engine | None
    """None if all is known."""
    engine: Mapping[str, object]
    taken: Taken
    missing: tuple[str, ...]
    """Tasks that the model must be asked."""


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
        "control": registry.load(chosen.method, chosen.options).is_control if chosen else False,
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
