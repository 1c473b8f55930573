"""The prepare stage: the rows of every method, in a process of its own."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from multiprocessing import parent_process
from pathlib import Path
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from xlift.harness.core.errors import UserError
from xlift.harness.core.manifests import Learned, Manifest
from xlift.harness.core.types import Preference, Row
from xlift.harness.engines.cache import Generations
from xlift.harness.models import adapters, encoders
from xlift.harness.models.module import Module
from xlift.harness.pipeline.common_rows import COMMON, add_common
from xlift.harness.pipeline.engine import StageEngine
from xlift.harness.pipeline.processes import end_children
from xlift.harness.pipeline.stages import (
    ARRAYS,
    ROWS,
    Prepared,
    Round,
    Run,
    check_shares,
    find_prepared,
    identify_model,
    prepare_stage,
    read_prepared,
)
from xlift.harness.pipeline.states import States
from xlift.harness.recipes import registry
from xlift.harness.recipes.contained import MethodError, contain
from xlift.harness.recipes.contract import PartRecord, Plan, PlanRecord
from xlift.harness.recipes.parts import select_rows
from xlift.tasks import data, index
from xlift.tasks.leaks import Guard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xlift.harness.pipeline.context import RunContext

logger = logging.getLogger(__name__)


def prepare_wave(run: Run, turns: Sequence[Round], wait: bool = True) -> list[Prepared]:
    """In a process of its own, make the rows of every method, with one engine if one is needed.

    Rows that another process is making are waited for, or with ``wait`` false left to that process; then they are not among those that are
    returned.
    """
    made: list[Prepared] = []
    store, run = run.store, replace(run, root=run.root.absolute())  # a method may change the current folder
    guard = data.guard_of(index.sources(run.tasks), samples=run.suite.data.samples)
    with StageEngine(run) as engine:
        for turn in turns:

            def work(folder: Path, turn: Round = turn) -> Mapping[str, object]:
                return _write_rows(run, turn, guard, engine, folder)

            def find(turn: Round = turn) -> Manifest | None:
                found = find_prepared(run, turn)
                return found.manifest if found else None

            stage = prepare_stage(run, turn)
            manifest = (run.store.write if wait else run.store.attempt)(stage, work, find=find)
            if manifest is not None:
                made.append(read_prepared(store.folder(replace(stage, learned=manifest["learned"]))))
    if parent_process():
        end_children()  # a method may have left some
    return made


def _write_rows(run: Run, turn: Round, guard: Guard, engine: StageEngine, folder: Path) -> Mapping[str, object]:
    from xlift.harness.pipeline.context import RunContext, find_losses

    started, chosen = time.monotonic(), run.suite.methods[turn.label]
    begun = adapters.resolve(turn.start) if turn.start else None
    answers = Generations(run.root / "generations", identify_model(run, turn.start), lambda: engine.hold(begun))
    states = States(run.root / "states", answers.model, lambda: engine.hold_model(begun))
    context = RunContext(run.suite, turn.label, guard, answers.answer, turn.number, scores=run.root / "scores", inside=states)
    logger.info("prepare: the rows of %s", turn.name)  # what a recipe warns of names the part, not the method
    try:
        with contain(plugin=registry.is_plugin(chosen.method)):
            plan = _make_plan(run, turn, context)
            trained = _keep_plan(plan, folder)
    except UserError as error:
        more = _keep_traceback(error, folder) if isinstance(error, MethodError) else ""
        raise type(error)(f"methods.{turn.label}: {chosen.method}: {error}{more}") from None
    kinds, drops = _count_kinds(plan.rows), dict(plan.drops)
    own = sum(count for part, count in kinds.items() if not part.endswith(f"/{COMMON}"))
    if own and context.budget and own < context.budget:
        percent = 100 * own // context.budget
        logger.warning("prepare: %s: %d of the %d rows of the budget (%d %%)", turn.name, own, context.budget, percent)
    twins = _count_kinds(row.twin for row in plan.rows if isinstance(row, Preference) and row.twin)
    losses = find_losses({**twins, **kinds}, drops, context.rows_read) if plan.rows else {}
    for part, share in losses.items():
        logger.warning("prepare: %s: %s lost %.0f %% of its rows; see drops in %s", turn.name, part, 100 * share, "manifest.json")
    cost = {"rows": len(plan.rows), "seconds": round(time.monotonic() - started, 1), **context.describe_help()}
    counts = {"kinds": kinds, "drops": drops, "losses": losses, "facts": dict(plan.facts), "chosen_on": plan.chosen_on}
    learned: Learned = {"read": context.hashes_read}
    if context.files_read:
        learned["files"] = [(name, one.sha256) for name, one in context.files_read.items()]
    return {"learned": learned, **cost, "plan": trained.describe(), **counts}


def _make_plan(run: Run, turn: Round, context: RunContext) -> Plan:
    """What the method makes, looked at, with the suite's common rows."""
    chosen = run.suite.methods[turn.label]
    method = registry.load(chosen.method, chosen.options)
    plan = context.vet(method.prepare(context))
    check_shares(run.suite.training(turn.label), {name: part.share for name, part in plan.parts.items()})
    if plan.parts and method.rounds > 1:
        raise UserError("parts: a later round goes on from one adapter, and this plan combines several; take one round")
    return add_common(plan, context, run.suite.common) if run.suite.common else plan


def _keep_plan(plan: Plan, folder: Path) -> PlanRecord:
    """Write a plan's rows and arrays; returns what the manifest keeps of it."""
    text = write_rows(plan.rows)
    (folder / ROWS).write_text(text, encoding="utf-8")
    return PlanRecord(
        rows_sha256=hashlib.sha256(text.encode()).hexdigest(),
        objective=plan.objective,
        phases=plan.phases,
        profile=plan.profile,
        where=plan.where,
        steer=plan.steer,
        policy=plan.policy,
        module=_name_encoder(plan.module),
        arrays_sha256=write_arrays(folder, plan.arrays),
        parts=_describe_parts(plan),
        edit=plan.edit,
    )


def write_rows(rows: Iterable[Row]) -> str:
    """Rows as JSON lines."""
    return "".join(json.dumps(row.to_dict(), ensure_ascii=False, sort_keys=True) + "\n" for row in rows)


def _describe_parts(plan: Plan) -> dict[str, PartRecord] | None:
    """What the manifest keeps of the parts of a plan; None if it has none."""
    found: dict[str, PartRecord] = {}
    for name, part in plan.parts.items():
        rows = select_rows(plan.rows, part)
        sha256 = hashlib.sha256(write_rows(rows).encode()).hexdigest()
        found[name] = PartRecord(kinds=part.kinds, languages=part.languages, share=part.share, rows=len(rows), rows_sha256=sha256)
    return found or None


def _name_encoder(module: Module | None) -> Module | None:
    """The encoder of a plan with what tells its weights from others."""
    encoder = encoders.resolve(module) if module else None
    return module.model_copy(update={"sha256": encoder.sha256}) if module and encoder else None


def write_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> str | None:
    """Keep a plan's arrays beside its rows. Returns the sha256 of their file, or None if there are none."""
    from safetensors.numpy import save

    if not arrays:
        return None
    content = save({name: arrays[name] for name in sorted(arrays)})
    (folder / ARRAYS).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _keep_traceback(error: MethodError, folder: Path) -> str:
    """Write what a plugin raised into its stage's folder, for whoever repairs it, and say where."""
    path = folder / "traceback.txt"
    path.write_text("".join(format_exception(error.__cause__ or error)), encoding="utf-8")
    return f" (the traceback is in {path})"


def _count_kinds(rows: Iterable[Row]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[f"{row.lang}/{row.kind}"] = counts.get(f"{row.lang}/{row.kind}", 0) + 1
    return dict(sorted(counts.items()))
