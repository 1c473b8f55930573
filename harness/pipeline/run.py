"""The pipeline in order: prepare, fit, evaluate, each stage in a process of its own and skipped where it is done."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlift.harness import adapters, base_model, judgement, plugin
from xlift.harness.config import Suite
from xlift.harness.executors import run_apart, run_side_by_side
from xlift.harness.generations import Generations
from xlift.harness.plugin import Dpo, Objective, Plan, Sft
from xlift.harness.results import Record
from xlift.harness.rows import Example, Preference, UserError, read_row
from xlift.harness.shares import share_cache, share_out
from xlift.harness.stages import Measured, Round, Run, describe, evaluate_stage, fit_stage, identify_model, prepare_stage, prepared_by
from xlift.harness.store import explain_disk, read_manifest, write_json
from xlift.tasks import data, index

if TYPE_CHECKING:
    from xlift.harness.engine import Engine

logger = logging.getLogger(__name__)

SUMMED = {"rows", "seconds", "generated_tokens", "steps", "tokens_trained", "response_tokens", "epochs"}


def open_run(suite: Suite, runs: Path, *, write: bool = True) -> Run:
    """Resolve the base and the tasks, and write ``suite.resolved.json``; everything that can be wrong in a suite is found here.

    Raises UserError, before anything is trained.
    """
    from xlift.harness.evaluate import expand_tasks

    loaded = {label: plugin.load(chosen.method, chosen.options) for label, chosen in suite.methods.items()}
    tasks, left_out = expand_tasks(suite)
    judgement.check(suite, tasks)
    for name, reference in suite.evaluate.adapters.items():
        if name == "base" or name in suite.methods:
            raise UserError(f"evaluate.adapters: {name!r} is taken by a row of the suite; choose another name")
        adapters.resolve(reference)
    for task in tasks:
        index.data_of(task, suite.data.samples)
    judgement.check_sources(suite, tasks)
    root = runs / suite.name
    run = Run(suite, root, tasks, left_out, base_model.resolve(suite.base))
    if asking := [label for label, method in loaded.items() if method.system_turn]:
        base_model.check_system_turn(run.base, f"methods.{asking[0]}: {suite.methods[asking[0]].method}")
    if write:
        with explain_disk(root):
            root.mkdir(parents=True, exist_ok=True)
            write_json(root / "suite.resolved.json", suite.model_dump(mode="json"))
    return run


def run_suite(suite: Suite, runs: Path) -> Path:
    """Prepare, fit, evaluate, and judge where the suite names a judge; returns the run folder. The same call resumes."""
    root = measure_suite(suite, runs)
    judgement.judge_suite(suite, root)
    return root


def measure_suite(suite: Suite, runs: Path) -> Path:
    """``run_suite`` without the judge. Finished stages are skipped."""
    run = open_run(suite, runs)
    for line in run.left_out:
        logger.info("left out, the benchmark has no such language: %s", line)
    trained = fit_all(run)
    given = [Measured(name, None, reference) for name, reference in suite.evaluate.adapters.items()]
    evaluate_all(run, [Measured("base", None, None), *trained, *given])
    return run.root


def prepare_all(run: Run) -> dict[str, Path]:
    """The data of every method's first round; returns the folder of each label's rows."""
    turns = [Round(label) for label in run.suite.methods]
    _prepare(run, turns)
    return {turn.label: run.store.folder(prepare_stage(run, turn)) for turn in turns}


def fit_all(run: Run) -> list[Measured]:
    """Rows and adapters of every method and seed, round by round: one engine for the rows of a round, one process for each training."""
    rounds = {label: plugin.load(chosen.method, chosen.options).rounds for label, chosen in run.suite.methods.items()}
    made: dict[tuple[str, int | None], Measured] = {}
    for number in range(max(rounds.values(), default=0)):
        turns = [turn for label in rounds if rounds[label] > number for turn in _turns(run, label, number, made)]
        _prepare(run, turns)
        for turn in turns:
            for seed in _seeds(run, turn):
                made[turn.label, seed] = _fit(run, turn, seed, made.get((turn.label, seed)))
    return sorted(made.values(), key=lambda model: list(rounds).index(model.label))


def _turns(run: Run, label: str, number: int, made: Mapping[tuple[str, int | None], Measured]) -> Iterator[Round]:
    if number == 0:
        yield Round(label)
    else:
        yield from (Round(label, number, seed, made[label, seed].adapter) for seed in run.suite.seeds)


def _seeds(run: Run, turn: Round) -> Sequence[int | None]:
    """The seeds that train on a round's rows; None alone where there is nothing to train."""
    if not prepared_by(run, turn)["rows"]:
        return (None,)
    return run.suite.seeds if turn.seed is None else (turn.seed,)


def _prepare(run: Run, turns: Sequence[Round]) -> None:
    missing = [turn for turn in turns if run.store.manifest(prepare_stage(run, turn)) is None]
    if missing:
        logger.info("prepare: %s", ", ".join(turn.name for turn in missing))
        run_apart("prepare", prepare_wave, run, missing)


def _fit(run: Run, turn: Round, seed: int | None, before: Measured | None) -> Measured:
    stage = fit_stage(run, turn, seed)
    if run.store.manifest(stage) is None:
        logger.info("fit: %s%s", turn.name, "" if seed is None or turn.seed is not None else f", seed {seed}")
        run_apart(f"fit {turn.label}", fit_one, run, turn, seed)
    stages = (*(before.stages if before else ()), prepare_stage(run, turn).name, stage.name)
    return Measured(turn.label, seed, str(run.store.folder(stage) / "adapter"), stages)


def evaluate_all(run: Run, models: Iterable[Measured]) -> None:
    """Every model that is not measured yet, on one engine, or side by side on several."""
    missing = [model for model in models if run.store.manifest(evaluate_stage(run, model)) is None]
    if missing:
        logger.info("evaluate: %s on %d tasks", ", ".join(model.label for model in missing), len(run.tasks))
        shares = share_out(missing, run.suite, run.base)
        run_side_by_side("evaluate", evaluate_wave, [(run, share, len(shares)) for share in shares])


def prepare_wave(run: Run, turns: list[Round]) -> None:
    """In a process of its own: the rows of every method, with one engine where one is asked for."""
    guard = data.guard_of(index.sources(run.tasks), samples=run.suite.data.samples)
    with ExitStack() as stack:
        start = _start_once(run, stack)
        for turn in turns:

            def work(folder: Path, turn: Round = turn) -> Mapping[str, Any]:
                return _write_rows(run, turn, guard, start, folder)

            run.store.write(prepare_stage(run, turn), work)


def _write_rows(run: Run, turn: Round, guard: Any, start: Callable[[adapters.Adapter | None], Engine], folder: Path) -> Mapping[str, Any]:
    from xlift.harness.context import RunContext, find_losses

    started, chosen = time.monotonic(), run.suite.methods[turn.label]
    begun = adapters.resolve(turn.start) if turn.start else None
    answers = Generations(run.root / "generations", identify_model(run, turn.start), lambda: start(begun))
    context = RunContext(run.suite, turn.label, guard, answers.answer, turn.number)
    plan = context.vet(plugin.load(chosen.method, chosen.options).prepare(context))
    text = "".join(json.dumps(row.to_dict(), ensure_ascii=False, sort_keys=True) + "\n" for row in plan.rows)
    (folder / "rows.jsonl").write_text(text, encoding="utf-8")
    kinds, drops = _count_kinds(plan.rows), dict(plan.drops)
    losses = find_losses(kinds, drops, context.rows_read) if plan.rows else {}
    for part, share in losses.items():
        logger.warning("prepare: %s: %s lost %.0f %% of its rows; see drops in %s", turn.name, part, 100 * share, "manifest.json")
    described = {"rows_sha256": hashlib.sha256(text.encode()).hexdigest(), **_describe_plan(plan)}
    cost = {"rows": len(plan.rows), "seconds": round(time.monotonic() - started, 1), **context.describe_help()}
    return {**cost, "plan": described, "kinds": kinds, "drops": drops, "losses": losses, "facts": dict(plan.facts)}


def fit_one(run: Run, turn: Round, seed: int | None) -> None:
    """In a process of its own: one adapter. A killed attempt goes on from its last checkpoint."""
    from xlift.harness.evaluate import library_versions

    prepared, manifest = prepare_stage(run, turn), prepared_by(run, turn)
    chosen = run.suite.methods[turn.label]
    provenance = {
        "method": chosen.method,
        "label": turn.label,
        "options": plugin.load(chosen.method, chosen.options).options.model_dump(mode="json"),
        "languages": list(run.suite.trained(turn.label)),
        "pivot": run.suite.languages.pivot,
        "round": turn.number + 1,
        "base": describe(run.base),
        "profile": manifest["plan"]["profile"],
        "data": manifest,
        "suite": run.suite.name,
        "versions": library_versions(),
    }

    def train(folder: Path) -> Mapping[str, Any]:
        from xlift.harness.trainer import fit

        report = fit(
            run.base.folder,
            read_rows(run.store.folder(prepared) / "rows.jsonl"),
            run.suite.training(turn.label),
            folder / "adapter",
            seed=seed or 0,
            provenance=provenance,
            objective=read_objective(manifest["plan"]["objective"]),
            phases=tuple(map(tuple, manifest["plan"]["phases"])),
            start=Path(turn.start) if turn.start else None,
            chat_template=run.base.chat_template,
        )
        return {"report": asdict(report), "adapter_sha256": adapters.resolve(folder / "adapter").sha256}

    def keep_profile(folder: Path) -> Mapping[str, Any]:
        (folder / "adapter").mkdir(exist_ok=True)
        write_json(folder / "adapter" / adapters.CARD, provenance)
        return {"report": {}, "adapter_sha256": adapters.resolve(folder / "adapter").sha256}

    run.store.write(fit_stage(run, turn, seed), train if manifest["rows"] else keep_profile, keep_partial=True)


def evaluate_wave(run: Run, models: list[Measured], engines: int) -> None:
    """In a process of its own: the models on one engine of several, swapped in place, in order."""
    from xlift.harness.evaluate import evaluate, library_versions, open_tasks

    with ExitStack() as stack:
        tasks, start = stack.enter_context(open_tasks(run.suite, run.tasks)), _start_once(run, stack, engines)
        for model in models:
            adapter = adapters.resolve(model.adapter) if model.adapter else None
            if adapter:
                adapters.check(adapter, run.base)

            def work(folder: Path, model: Measured = model, adapter: adapters.Adapter | None = adapter) -> Mapping[str, Any]:
                engine = start(adapter)
                logger.info("evaluate: %s", model.label)
                measured = evaluate(engine, run.suite, tasks, folder)
                record = _record(run, model, adapter, measured, library_versions())
                return {"record": record.model_dump(mode="json")}

            run.store.write(evaluate_stage(run, model), work)


def read_rows(path: Path) -> list[Example] | list[Preference]:
    """The training rows that a prepare stage wrote."""
    with path.open(encoding="utf-8") as lines:
        rows: Any = [read_row(json.loads(line)) for line in lines]
    found: list[Example] | list[Preference] = rows
    return found


def read_objective(values: Mapping[str, Any]) -> Objective:
    """An objective from a manifest's plain data."""
    kinds = {"sft": Sft, "dpo": Dpo}
    found: Objective = kinds[values["kind"]](**{key: value for key, value in values.items() if key != "kind"})
    return found


def _describe_plan(plan: Plan) -> dict[str, Any]:
    return {
        "objective": {"kind": type(plan.objective).__name__.lower(), **asdict(plan.objective)},
        "phases": [list(phase) for phase in plan.phases],
        "profile": plan.profile.model_dump(mode="json") if plan.profile else None,
    }


def _record(run: Run, model: Measured, adapter: adapters.Adapter | None, measured: Mapping[str, Any], versions: dict[str, str]) -> Record:
    suite, chosen = run.suite, run.suite.methods.get(model.label)
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
        cost={"evaluate": measured["cost"], **_sum_costs(run, model)},
        profile=measured["profile"],
        left_out=run.left_out,
        versions=versions,
    )


def _sum_costs(run: Run, model: Measured) -> dict[str, dict[str, Any]]:
    """Costs of a model's prepare and fit stages over its rounds: sums, the largest peak, and the last round's loss, device and shares."""
    costs: dict[str, dict[str, Any]] = {}
    for name in model.stages:
        manifest = read_manifest(run.root / name) or {}
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


def _start_once(run: Run, stack: ExitStack, beside: int = 1) -> Callable[[adapters.Adapter | None], Engine]:
    started: list[Engine] = []

    def start(adapter: adapters.Adapter | None) -> Engine:
        if not started:
            from xlift.harness import engine

            settings = run.suite.engine.model_copy(update={"kv_cache_gib": share_cache(run.suite, beside)})
            started.append(stack.enter_context(engine.load(run.base, settings)))
        started[0].swap(adapter)
        return started[0]

    return start


def _count_kinds(rows: Iterable[Example | Preference]) -> dict[str, int]:
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
