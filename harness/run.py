"""The pipeline in order: prepare, fit, evaluate, each stage in a process of its own and skipped where it is done."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlift.harness import adapters, base_model, plugin
from xlift.harness.config import Suite, digest
from xlift.harness.executors import run_apart
from xlift.harness.results import Record
from xlift.harness.rows import Example, UserError
from xlift.harness.store import Stage, Store, explain_disk, write_json
from xlift.tasks import data, index

if TYPE_CHECKING:
    from xlift.harness.engine import Engine

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """One model that the last wave measures: the base, a trained adapter, or one that was given."""

    label: str
    seed: int | None
    adapter: str | None
    """Folder or hub reference; None is the base."""


@dataclass(frozen=True)
class Run:
    """A resolved suite and the folder it runs in."""

    suite: Suite
    root: Path
    tasks: tuple[str, ...]
    left_out: tuple[str, ...]
    base: base_model.Base

    @property
    def store(self) -> Store:
        return Store(self.root)


def open_run(suite: Suite, runs: Path, *, write: bool = True) -> Run:
    """Resolve the base and the tasks, and write ``suite.resolved.json``; everything that can be wrong in a suite is found here.

    Raises UserError, before anything is trained.
    """
    from xlift.harness.evaluate import expand_tasks

    for label, chosen in suite.methods.items():
        plugin.load(chosen.method, chosen.options)
        suite.training(label)
    tasks, left_out = expand_tasks(suite)
    for name, reference in suite.evaluate.adapters.items():
        if name == "base" or name in suite.methods:
            raise UserError(f"evaluate.adapters: {name!r} is taken by a row of the suite; choose another name")
        adapters.resolve(reference)
    for task in tasks:
        index.data_of(task, suite.data.samples)
    root = runs / suite.name
    run = Run(suite, root, tasks, left_out, base_model.resolve(suite.base))
    if write:
        with explain_disk(root):
            root.mkdir(parents=True, exist_ok=True)
            write_json(root / "suite.resolved.json", suite.model_dump(mode="json"))
    return run


def run_suite(suite: Suite, runs: Path) -> Path:
    """Prepare, fit and evaluate; returns the run folder. Finished stages are skipped, so the same call resumes."""
    run = open_run(suite, runs)
    for line in run.left_out:
        logger.info("left out, the benchmark has no such language: %s", line)
    trained = fit_all(run)
    given = [Measured(name, None, reference) for name, reference in suite.evaluate.adapters.items()]
    evaluate_all(run, [Measured("base", None, None), *trained, *given])
    return run.root


def fit_all(run: Run) -> list[Measured]:
    """The data of every method, then an adapter for every method and seed."""
    store, labels = run.store, list(run.suite.methods)
    missing = [label for label in labels if store.manifest(prepare_stage(run, label)) is None]
    if missing:
        logger.info("prepare: %s", ", ".join(missing))
        run_apart("prepare", prepare_wave, run, missing)
    trained = []
    for label in labels:
        for seed in run.suite.seeds:
            stage = fit_stage(run, label, seed)
            if store.manifest(stage) is None:
                logger.info("fit: %s, seed %s", label, seed)
                run_apart(f"fit {label}", fit_one, run, label, seed)
            trained.append(Measured(label, seed, str(store.folder(stage) / "adapter")))
    return trained


def evaluate_all(run: Run, models: Iterable[Measured]) -> None:
    """Every model that is not measured yet, on one engine."""
    missing = [model for model in models if run.store.manifest(evaluate_stage(run, model)) is None]
    if missing:
        logger.info("evaluate: %s on %d tasks", ", ".join(model.label for model in missing), len(run.tasks))
        run_apart("evaluate", evaluate_wave, run, missing)


def prepare_stage(run: Run, label: str) -> Stage:
    """All that determines a method's rows."""
    chosen, suite = run.suite.methods[label], run.suite
    inputs = {
        "method": chosen.method,
        "source": _hash_source(chosen.method),
        "options": chosen.options,
        "languages": suite.trained(label),
        "pivot": suite.languages.pivot,
        "rows": suite.rows,
        "data": {**suite.data.model_dump(), "root": data.identify_root(suite.data.samples)},
        "guarded": run.tasks,
        "base": run.base.sha256,
    }
    return Stage("prepare", label, inputs)


def fit_stage(run: Run, label: str, seed: int) -> Stage:
    """All that determines an adapter. Raises UserError where the rows are not prepared yet."""
    prepared = run.store.manifest(prepare_stage(run, label))
    if prepared is None:
        raise UserError(f"{label}: its training rows are not prepared yet")
    inputs = {
        "rows": prepared["rows_sha256"],
        "train": run.suite.training(label).model_dump(mode="json"),
        "seed": seed,
        "base": run.base.sha256,
        "chat_template": run.base.chat_template_sha,
    }
    return Stage("fit", f"{label}-seed{seed}", inputs)


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
        "evaluate": suite.evaluate.model_dump(mode="json", exclude={"adapters", "tasks"}),
        "engine": suite.engine.model_dump(mode="json"),
    }
    return Stage("evaluate", model.label if model.seed is None else f"{model.label}-seed{model.seed}", inputs)


def prepare_wave(run: Run, labels: list[str]) -> None:
    """In a process of its own: the rows of every method, with one engine where one is asked for."""
    from xlift.harness.context import RunContext

    guard = data.guard_of(index.sources(run.tasks), samples=run.suite.data.samples)
    with ExitStack() as stack:
        start = _start_once(run, stack)
        for label in labels:
            chosen = run.suite.methods[label]

            def prepare(folder: Path, label: str = label, method: str = chosen.method) -> Mapping[str, Any]:
                started = time.monotonic()
                context = RunContext(run.suite, label, guard, start)
                plan = context.vet(plugin.load(method, run.suite.methods[label].options).prepare(context))
                text = "".join(json.dumps(row.to_dict(), ensure_ascii=False, sort_keys=True) + "\n" for row in plan.rows)
                (folder / "rows.jsonl").write_text(text, encoding="utf-8")
                rows_sha256 = hashlib.sha256(text.encode()).hexdigest()
                cost = {"rows": len(plan.rows), "seconds": round(time.monotonic() - started, 1)}
                return {**cost, "rows_sha256": rows_sha256, "kinds": _count_kinds(plan.rows), "drops": dict(plan.drops)}

            run.store.write(prepare_stage(run, label), prepare)


def fit_one(run: Run, label: str, seed: int) -> None:
    """In a process of its own: one adapter. A killed attempt goes on from its last checkpoint."""
    from xlift.harness.evaluate import library_versions
    from xlift.harness.trainer import fit

    prepared = prepare_stage(run, label)
    rows = read_rows(run.store.folder(prepared) / "rows.jsonl")
    chosen = run.suite.methods[label]
    provenance = {
        "method": chosen.method,
        "label": label,
        "options": chosen.options,
        "languages": list(run.suite.trained(label)),
        "pivot": run.suite.languages.pivot,
        "base": describe(run.base),
        "data": run.store.manifest(prepared),
        "suite": run.suite.name,
        "versions": library_versions(),
    }

    def work(folder: Path) -> Mapping[str, Any]:
        report = fit(
            run.base.folder,
            rows,
            run.suite.training(label),
            folder / "adapter",
            seed=seed,
            provenance=provenance,
            chat_template=run.base.chat_template,
        )
        return {"report": asdict(report), "adapter_sha256": adapters.resolve(folder / "adapter").sha256}

    run.store.write(fit_stage(run, label, seed), work, keep_partial=True)


def evaluate_wave(run: Run, models: list[Measured]) -> None:
    """In a process of its own: the models on one engine, swapped in place, in order."""
    from xlift.harness.evaluate import evaluate, library_versions, open_tasks

    with ExitStack() as stack:
        tasks, start = stack.enter_context(open_tasks(run.suite, run.tasks)), _start_once(run, stack)
        for model in models:
            adapter = adapters.resolve(model.adapter) if model.adapter else None
            if adapter:
                adapters.check(adapter, run.base)

            def work(folder: Path, model: Measured = model, adapter: adapters.Adapter | None = adapter) -> Mapping[str, Any]:
                engine = start()
                engine.swap(adapter)
                logger.info("evaluate: %s", model.label)
                measured = evaluate(engine, run.suite, tasks, folder)
                record = _record(run, model, adapter, measured, library_versions())
                return {"record": record.model_dump(mode="json")}

            run.store.write(evaluate_stage(run, model), work)


def read_rows(path: Path) -> list[Example]:
    """The training rows that a prepare stage wrote."""
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Example(**{**row, "messages": tuple(row["messages"])}) for row in rows]


def _record(run: Run, model: Measured, adapter: adapters.Adapter | None, measured: Mapping[str, Any], versions: dict[str, str]) -> Record:
    suite, chosen, cost = run.suite, run.suite.methods.get(model.label), {"evaluate": measured["cost"]}
    if chosen and model.seed is not None:
        prepared = run.store.manifest(prepare_stage(run, model.label)) or {}
        fitted = run.store.manifest(fit_stage(run, model.label, model.seed)) or {}
        cost["prepare"] = {key: prepared.get(key) for key in ("rows", "seconds")}
        cost["fit"] = {key: value for key, value in fitted.get("report", {}).items() if not isinstance(value, list | tuple)}
    return Record(
        suite=suite.name,
        label=model.label,
        method=chosen.method if chosen else None,
        seed=model.seed,
        trained=suite.trained(model.label) if chosen else (),
        pivot=suite.languages.pivot,
        base=describe(run.base),
        adapter=describe(adapter) if adapter else None,
        engine=measured["engine"],
        system=suite.evaluate.system,
        tasks=measured["tasks"],
        cost=cost,
        left_out=run.left_out,
        versions=versions,
    )


def describe(model: base_model.Base | adapters.Adapter) -> dict[str, Any]:
    """What a record keeps of a base or an adapter: its identity, no path of this machine."""
    kept = ("name", "revision", "sha256", "chat_template_sha", "peft_type", "base_name")
    return {key: value for key, value in asdict(model).items() if key in kept}


def _start_once(run: Run, stack: ExitStack) -> Callable[[], Engine]:
    started: list[Engine] = []

    def start() -> Engine:
        if not started:
            from xlift.harness import engine

            started.append(stack.enter_context(engine.load(run.base, run.suite.engine)))
        return started[0]

    return start


def _hash_source(method: str) -> str:
    module = import_module(plugin.find_method(method).__module__)
    return digest(Path(str(module.__file__)).read_text(encoding="utf-8"))


def _count_kinds(rows: Iterable[Example]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[f"{row.lang}/{row.kind}"] = counts.get(f"{row.lang}/{row.kind}", 0) + 1
    return dict(sorted(counts.items()))


def free_bytes(folder: Path) -> int:
    """Free space where a run would lie."""
    place = folder
    while not place.exists():
        place = place.parent
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize
