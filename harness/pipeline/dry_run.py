"""What a run would do, without doing it: stages, rows, tokens and disk; and whether a suite can run at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict

from xlift.harness.config.suite import Suite
from xlift.harness.judging import judgement
from xlift.harness.judging.win_rates import is_judged
from xlift.harness.models import bases
from xlift.harness.pipeline import needs
from xlift.harness.pipeline.row_budget import choose_rows
from xlift.harness.pipeline.run import check_base, open_run
from xlift.harness.pipeline.stages import Measured, Round, Run, evaluate_stage, find_prepared, fit_stage
from xlift.harness.recipes import registry
from xlift.tasks import data, index

GIB = 2**30


class PlannedStage(TypedDict):
    """One stage that a run would go through."""

    stage: Literal["prepare", "fit", "evaluate", "judge"]
    label: str
    state: Literal["done", "to do"]
    rows: int | None
    tokens: int | None
    items: int | None


class RunPlan(TypedDict):
    """The stages of a run in order, what they come to, by words that are shown, and the data that they read."""

    stages: list[PlannedStage]
    totals: dict[str, str | int]
    data: list[dict[str, str | int | None]]


def check_suite(suite: Suite) -> None:
    """Raise UserError for whatever is wrong in a suite, as far as it shows without data, and without a model that is not in a folder."""
    from xlift.harness.evaluation.tasks import expand_tasks

    judgement.check(suite, expand_tasks(suite)[0])
    for chosen in suite.methods.values():
        registry.load(chosen.method, chosen.options)
    folder, switched = Path(suite.base.model).expanduser().is_dir(), suite.engine.thinking != "template"
    if folder or (switched and bases.is_here(suite.base)):
        check_base(suite, bases.resolve(suite.base, suite.engine))


def plan_run(suite: Suite, runs: Path) -> RunPlan:
    """What a run would do; rows and tokens are upper bounds until a method's rows are prepared."""
    run = open_run(suite, runs, fetch=False)
    stages: list[PlannedStage] = []
    models = [Measured("base", None, None)]
    for label, chosen in suite.methods.items():
        method = registry.load(chosen.method, chosen.options)
        prepared = find_prepared(run, Round(label))
        rows = prepared.count if prepared else choose_rows(suite, label).expected if method.trains else 0
        stages.append(_row("prepare", label, prepared is not None, rows=rows))
        for seed in suite.seeds if rows != 0 else (None,):
            found, model = _plan_fits(run, label, seed, method.rounds, rows)
            stages += found
            models.append(model)
    models += [Measured(name, None, reference) for name, reference in suite.evaluate.adapters.items()]
    items, left = _count_items(run, run.tasks), 0
    for model in models:
        known = model.label == "base" or model.adapter is not None
        done = known and run.store.manifest(evaluate_stage(run, model)) is not None
        left += not done
        stages.append(_row("evaluate", model.name, done, items=items))
    if suite.judge:
        answers = _count_items(run, judgement.choose(run.tasks)) or 0
        stages.append(_row("judge", suite.judge.name, not left and is_judged(suite.judge, run.root), items=answers))
    weights = sum(path.stat().st_size for path in run.base.folder.glob("*.safetensors"))
    totals: dict[str, str | int] = {
        "run folder": str(run.root),
        "tasks": len(run.tasks),
        "left out": ", ".join(run.left_out) or "nothing",
        "disk needed at most": f"{weights / GIB + 0.2 * len(models):.1f} GiB (a merged copy of the base, adapters, checkpoints, samples)",
        "disk free": f"{free_bytes(runs) / GIB:.1f} GiB",
    }
    if cut := _name_cuts(suite):
        totals["fewer rows, as train.tokens reach no more"] = cut
    if suite.judge:
        totals["requests to the judge"] = f"{judgement.count_requests(suite.judge, answers, len(models)):,} at most"
    return {"stages": stages, "totals": totals, "data": needs.summarise(needs.list_needs(suite, run.tasks))}


def survey_data(suite: Suite) -> list[dict[str, str | int | None]]:
    """The data that a suite will ask for, without the model and without fetching any. Raises UserError as ``check_suite`` does."""
    from xlift.harness.evaluation.tasks import expand_tasks

    return needs.summarise(needs.list_needs(suite, expand_tasks(suite)[0]))


def list_supplies(suite: Suite) -> list[data.Supply]:
    """As ``survey_data``, each corpus and language for itself, without those that are nowhere and that a method can do without."""
    from xlift.harness.evaluation.tasks import expand_tasks

    found = needs.list_needs(suite, expand_tasks(suite)[0])
    return [need.supply for need in found if need.supply.state != "nowhere" or not need.instead]


def _name_cuts(suite: Suite) -> str:
    """The methods that get fewer rows than suite or options say, as their training does not reach them."""
    cuts = []
    for label, chosen in suite.methods.items():
        rows = choose_rows(suite, label)
        if rows.is_cut and registry.find_method(chosen.method).trains:
            cuts.append(f"{label} {rows.bound:,} of {rows.wanted:,}")
    return ", ".join(cuts)


def _plan_fits(run: Run, label: str, seed: int | None, rounds: int, most: int | None) -> tuple[list[PlannedStage], Measured]:
    """A row for each stage after the first rows, as far as the adapters of the rounds before are known."""
    stages: list[PlannedStage] = []
    turn, adapter = Round(label), None
    for number in range(rounds):
        turn = Round(label, number, seed, adapter) if number else turn
        prepared = find_prepared(run, turn) if number == 0 or adapter is not None else None
        if number:
            stages.append(_row("prepare", turn.name, prepared is not None, rows=choose_rows(run.suite, label).expected))
        stage = fit_stage(run, turn, prepared, seed) if prepared else None
        fitted = run.store.manifest(stage) if stage else None
        adapter = str(run.store.folder(stage) / "adapter") if stage and fitted else None
        rows = prepared.count if prepared else most
        tokens = fitted["report"].get("tokens_trained") if fitted else run.suite.training(label).tokens if rows != 0 else 0
        name = Measured(label, seed, None).name + (f"-round{number + 1}" if number else "")
        stages.append(_row("fit", name, fitted is not None, rows=rows, tokens=tokens))
    return stages, Measured(label, seed, adapter)


def list_tasks_asked(suite: Suite) -> list[tuple[str, int, int]]:
    """xlift's own tasks of a suite, each with the items that are asked and those that there are."""
    from xlift.harness.evaluation.tasks import expand_tasks

    return _list_items(suite, expand_tasks(suite)[0])


def _list_items(suite: Suite, tasks: Sequence[str]) -> list[tuple[str, int, int]]:
    from xlift.harness.evaluation.tasks import limit_of

    found = []
    for task in tasks:
        source = index.source_of(task)
        if source is not None:
            rows = len(data.read(*source, samples=suite.data.samples))
            found.append((task, min(rows, limit_of(suite, task) or rows), rows))
    return found


def _count_items(run: Run, tasks: Sequence[str]) -> int | None:
    """Items of the tasks; None where one has data that are not on this machine, and that nothing is known of."""
    from xlift.harness.evaluation.tasks import limit_of

    here = [task for task in tasks if run.data.get(task)]
    total = sum(items for _, items, _ in _list_items(run.suite, here))
    for task in tasks:
        source = index.source_of(task)
        if source is not None and task not in here:
            rows = data.survey(*source, samples=run.suite.data.samples).rows
            if rows is None:
                return None
            total += min(rows, limit_of(run.suite, task) or rows)
    return total


def _row(
    stage: Literal["prepare", "fit", "evaluate", "judge"],
    label: str,
    done: bool,
    rows: int | None = None,
    tokens: int | None = None,
    items: int | None = None,
) -> PlannedStage:
    return {"stage": stage, "label": label, "state": "done" if done else "to do", "rows": rows, "tokens": tokens, "items": items}


def free_bytes(folder: Path) -> int:
    """Free space where a run would lie."""
    place = folder
    while not place.exists():
        place = place.parent
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize
