"""What a run would do, without doing it: stages, rows, tokens, steps, rough time, memory and disk; and whether a suite can run."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from xlift.harness.config.suite import Suite
from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.papers import WIN_RATES
from xlift.harness.core.times import write_seconds
from xlift.harness.evaluation.foreign_tasks import ForeignTask
from xlift.harness.judging import judgement
from xlift.harness.judging.win_rates import is_judged
from xlift.harness.models import bases
from xlift.harness.models.smollm2 import EMBEDDED
from xlift.harness.pipeline import needs
from xlift.harness.pipeline.earlier import name_results, read_known
from xlift.harness.pipeline.estimates import CARDS, GIB
from xlift.harness.pipeline.forecast import UNSEEN_TOKENS, Forecast, Training
from xlift.harness.pipeline.remarks import find_unmeasured, list_remarks
from xlift.harness.pipeline.row_budget import choose_rows
from xlift.harness.pipeline.run import check_base, check_chosen_tasks, check_curves, check_methods, open_run
from xlift.harness.pipeline.stages import Measured, Round, Run, evaluate_stage, find_prepared, fit_stage
from xlift.harness.recipes import registry
from xlift.harness.training.report import CurvePoint
from xlift.tasks import data, index
from xlift.tasks.benchmarks import find_benchmark, find_metric, find_task
from xlift.tasks.known_rows import known_rows

logger = logging.getLogger(__name__)


class PlannedStage(TypedDict):
    """One stage that a run would go through."""

    stage: Literal["prepare", "fit", "evaluate", "judge"]
    label: str
    state: Literal["done", "to do"]
    rows: int | None
    tokens: int | None
    steps: int | None
    """The number of steps of the optimiser."""
    items: int | None
    seconds: float | None
    """A rough time; None if it is not known, and if the stage is done."""


class RunPlan(TypedDict):
    """The stages of a run in order, their totals under the words that are shown, and the data that they read."""

    stages: list[PlannedStage]
    totals: dict[str, str | int]
    data: list[dict[str, str | int | None]]


def check_suite(suite: Suite) -> list[str]:
    """Raise UserError for everything that is wrong in a suite, as far as it can be found without data and without a base that is not
    here. Returns what a person should know of a suite in which nothing is wrong, as ``list_remarks`` does."""
    from xlift.harness.evaluation.tasks import expand_tasks, require_shots

    check_methods(suite)
    tasks, left_out = expand_tasks(suite)
    judgement.check(suite, tasks)
    check_curves(suite, tasks)
    check_chosen_tasks(suite, tasks)
    require_shots(suite, tasks)
    _check_expected(suite, tasks)
    if bases.is_ready(suite.base) and (suite.base.model != EMBEDDED or _names_parts_of_the_base(suite)):
        check_base(suite, bases.resolve(suite.base, suite.engine))
    return list_remarks(suite, tasks, left_out)


def _names_parts_of_the_base(suite: Suite) -> bool:
    """Whether a suite names layers or modules of its base, or a way to think, so that only the base can say whether they are right."""
    if suite.engine.thinking != "template":
        return True
    for label, chosen in suite.methods.items():
        method, lora = registry.load(chosen.method, chosen.options), suite.training(label).lora or {}
        if (
            method.where
            or method.states
            or method.blocks
            or (method.trains and (lora.get("target_modules", "all-linear") != "all-linear" or "modules_to_save" in lora))
        ):
            return True
    return False


def _check_expected(suite: Suite, tasks: Sequence[str]) -> None:
    """Raise UserError if a paper's number is of a task that does not exist, or of a metric that its task does not have.

    A task that exists and is not asked is no mistake: a part of a suite may be run.
    """
    for one in suite.expected:
        for task in map(one.task_in, one.languages):
            if task not in tasks:
                if find_task(task):
                    continue
                raise UserError(f"expected: {task!r} is not among the suite's tasks{name_nearest(task, tasks)}")
            benchmark = find_benchmark(task)
            known = (*benchmark.metrics, *(WIN_RATES if task in judgement.choose(tasks) else ())) if benchmark else ()
            if known and one.metric not in known:
                raise UserError(f"expected: {task}: no metric {one.metric!r}{name_nearest(one.metric, known)}")
            most = find_metric(one.metric).most
            numbers = [] if one.gain is not None else [one.mean] if one.mean is not None else one.values.values()
            for number in numbers:
                if known and number is not None and most is not None and not 0 <= number <= most:
                    raise UserError(f"expected: {task}: {one.metric} is between 0 and {most:g}, got {number:g}")


def plan_run(suite: Suite, runs: Path, card: str | None = None) -> RunPlan:
    """What a run would do. Methods that only read corpora make their rows here, so that rows, tokens and steps are known. Methods that ask
    a model run up to its first answer, and have upper bounds, as do all whose data would have to be fetched.

    With ``card``, a key of ``estimates.CARDS``, time and memory are those of that GPU. Without it, they are those of this machine, or of
    the usual card if the base needs a GPU and there is none. If the base is not on this machine, template, tokenizer and weights are not
    checked, and its sizes are those of the suite's ``base.sizes``.

    Raises UserError for an unknown card, and for everything that ``run`` would refuse: as ``open_run`` does, if a method lacks a corpus or
    a translator, and if the weights of the base are larger than the free memory.
    """
    if card is not None and card not in CARDS:
        raise UserError(f"--card {card!r}: no such card{name_nearest(card, CARDS)}")
    run = open_run(suite, runs, fetch=False)
    needed = needs.list_needs(suite, run.tasks)
    forecast = Forecast.of(run, needed, card)
    stages: list[PlannedStage] = []
    models = [Measured("base", None, None)]
    for number, (label, chosen) in enumerate(suite.methods.items(), 1):
        method = registry.load(chosen.method, chosen.options)
        prepared = find_prepared(run, Round(label))
        if not prepared:
            logger.info("dry run: the rows of %s (%d of %d)", label, number, len(suite.methods))
        made = None if prepared else forecast.rehearse(label)
        rows = prepared.count if prepared else len(made.rows) if made else forecast.expect_rows(label) if method.trains else 0
        seconds = 0.0 if made or rows == 0 else forecast.prepare(rows)
        stages.append(_row("prepare", label, prepared is not None, rows=rows, seconds=seconds))
        training = forecast.train(label, rows, made)
        for seed in suite.seeds if rows != 0 else (None,):
            found, model = _plan_fits(forecast, label, seed, method.rounds, training)
            stages += found
            models += [model, *_plan_points(suite, model)]
    models += [Measured(name, None, reference) for name, reference in suite.evaluate.adapters.items()]
    left, counts, measured = 0, _count_items(run, forecast.foreign), read_known(run.root)
    for model in models:
        asked, done = run.tasks_of(model), False
        if model.label == "base" or model.adapter is not None:
            stage = evaluate_stage(run, model)
            done = run.store.manifest(stage) is not None
            before = () if done else [task for task, name in name_results(stage.inputs).items() if name in measured]
            asked = tuple(task for task in asked if task not in before)
        items = _choose(counts, asked)
        left += not done
        stages.append(_row("evaluate", model.name, done, items=_sum(items), seconds=forecast.measure(items)))
    answers = 0
    if suite.judge:
        answers = _sum(_choose(counts, judgement.choose(run.tasks))) or 0
        stages.append(_row("judge", suite.judge.name, not left and is_judged(suite.judge, run.root), items=answers))
    totals = _sum_up(forecast, runs, models) | _sum_times(forecast, counts, stages)
    if memory := forecast.write_memory():
        totals["memory of a training, roughly"] = memory
    if suite.judge:
        totals["requests to the judge"] = f"{judgement.count_requests(suite.judge, answers, len(models)):,} at most"
    return {"stages": stages, "totals": totals, "data": needs.summarise(needed)}


def _plan_points(suite: Suite, model: Measured) -> list[Measured]:
    """The points of a model's curve. The steps and tokens of each are not known before the training."""
    points = []
    for share in suite.training(model.label).measure_at if model.seed is not None else ():
        point = CurvePoint(share=share, step=0, tokens_trained=0)
        folder = Path(model.adapter).parent / point.folder if model.adapter else None
        points.append(replace(model, adapter=str(folder) if folder and folder.is_dir() else None, point=point))
    return points


def _sum_up(forecast: Forecast, runs: Path, models: Sequence[Measured]) -> dict[str, str | int]:
    run, estimates = forecast.run, forecast.estimates
    if run.lacks_base:  # its files in 16 bits will be fetched, and a merged copy is as large
        weights, whose = 4 * estimates.shape.parameters if estimates else 0, "the base" if estimates else "without the base"
    else:
        weights, whose = sum(path.stat().st_size for path in run.base.folder.glob("*.safetensors")), ""
    parts = ", ".join(filter(None, [whose, "a merged copy of the base", "adapters", "checkpoints", "samples"]))
    totals: dict[str, str | int] = {
        "run folder": str(run.root),
        "tasks": len(run.tasks),
        "left out": "; ".join(run.left_out) or "nothing",
        **({"trained, but not measured": ", ".join(unmeasured)} if (unmeasured := find_unmeasured(run.suite, run.tasks)) else {}),
        "disk needed at most": f"{weights / GIB + 0.2 * len(models):.1f} GiB ({parts})",
        "disk free": f"{free_bytes(runs) / GIB:.1f} GiB",
    }
    if cut := _name_cuts(run.suite):
        totals["fewer rows, as train.tokens reach no more"] = cut
    return totals


def _sum_times(forecast: Forecast, counts: Mapping[str, int | None], stages: Sequence[PlannedStage]) -> dict[str, str | int]:
    """The time of all stages that are to be done, and what it leaves out."""
    run, estimates = forecast.run, forecast.estimates
    said: dict[str, str | int] = {}
    if run.lacks_base:
        said["base"] = f"{run.base.name} is not on this machine: template, tokenizer and weights were not looked at, and " + (
            "its sizes are those of base.sizes" if run.suite.base.sizes else
            "its sizes are those of its config.json" if estimates else
            f"its sizes are unknown, and time and memory with them; give base.sizes, or `hf download {run.base.name} config.json` first"
        )  # fmt: skip
    todo = [stage for stage in stages if stage["state"] == "to do" and stage["stage"] != "judge"]
    times = {kind: sum(stage["seconds"] or 0.0 for stage in todo if stage["stage"] == kind) for kind in ("prepare", "fit", "evaluate")}
    total = sum(times.values())
    if estimates is None or total == 0:
        return said
    if forecast.on_paper:
        parts = ", ".join(f"{kind} {seconds / 3600:.1f}" for kind, seconds in times.items())
        rows = f"a row that is not made yet is taken to have {UNSEEN_TOKENS} tokens, and an answer a tenth of its allowance"
        said["GPU hours, on paper"] = f"{total / 3600:.1f} ({parts}) on {estimates.describe()}; {rows}; {_DOUBT}"
    else:
        said["time, roughly"] = f"{write_seconds(total)}, by the speed of one matrix product here; {_DOUBT}"
    stages_left = [f"{stage['stage']} {stage['label']}" for stage in todo if stage["seconds"] is None and stage["rows"] != 0]
    tasks_left = [task for task in run.tasks if counts[task] is None or not forecast.knows_answers(task)]
    if stages_left or tasks_left:
        said["not in this time"] = "; ".join(filter(None, (_shorten("stages", stages_left), _shorten("tasks", tasks_left))))
    return said


_DOUBT = "it may be a third of that or three times as much"


def _shorten(title: str, names: Sequence[str], most: int = 4) -> str:
    """The first of some names, and how many more there are; empty if there are none."""
    if not names:
        return ""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{title} {', '.join(names[:most])}{more}"


def survey_data(suite: Suite) -> list[dict[str, str | int | None]]:
    """The data that a suite will read, found without the model and without fetching any. Raises UserError as ``check_suite`` does."""
    from xlift.harness.evaluation.tasks import expand_tasks

    return needs.summarise(needs.list_needs(suite, expand_tasks(suite)[0]))


def find_stop(suite: Suite) -> tuple[str, tuple[str, ...]]:
    """Why a run would stop before any work for lack of data, in one line, which is empty if it would not; and a line for each group of
    tasks that is measured in fewer languages for lack of data. Nothing is fetched."""
    from xlift.harness.evaluation.tasks import expand_tasks, locate_data

    try:
        tasks = expand_tasks(suite)[0]
        _, left_out = locate_data(suite, tasks, fetch=False)
        needs.require(needs.list_needs(suite, tasks))
    except UserError as error:
        return str(error), ()
    return "", left_out


def list_supplies(suite: Suite) -> list[data.Supply]:
    """The same as ``survey_data``, but one entry for each corpus and language, without those that are nowhere and that a method can do
    without."""
    from xlift.harness.evaluation.tasks import expand_tasks

    found = needs.list_needs(suite, expand_tasks(suite)[0])
    return [need.supply for need in found if need.supply.state != "nowhere" or not need.instead]


def _name_cuts(suite: Suite) -> str:
    """The methods that get fewer rows than suite or options say, because their training does not reach more."""
    cuts = []
    for label, chosen in suite.methods.items():
        rows = choose_rows(suite, label)
        if rows.is_cut and registry.find_method(chosen.method).trains:
            cuts.append(f"{label} {rows.bound:,} of {rows.wanted:,}")
    return ", ".join(cuts)


def _plan_fits(forecast: Forecast, label: str, seed: int | None, rounds: int, training: Training) -> tuple[list[PlannedStage], Measured]:
    """A row for each stage after the first rows, as far as the adapters of the rounds before are known."""
    run, expected = forecast.run, forecast.expect_rows(label)
    stages: list[PlannedStage] = []
    turn, adapter = Round(label), None
    for number in range(rounds):
        turn = Round(label, number, seed, adapter) if number else turn
        prepared = find_prepared(run, turn) if number == 0 or adapter is not None else None
        if number:
            stages.append(_row("prepare", turn.name, prepared is not None, rows=expected, seconds=forecast.prepare(expected)))
        stage = fit_stage(run, turn, prepared, seed) if prepared else None
        fitted = run.store.manifest(stage) if stage else None
        adapter = str(run.store.folder(stage) / "adapter") if stage and fitted else None
        rows = prepared.count if prepared else training.rows
        report = fitted["report"] if fitted else {"tokens_trained": training.tokens, "steps": training.steps}
        name = Measured(label, seed, None).name + (f"-round{number + 1}" if number else "")
        stages.append(
            _row(
                "fit",
                name,
                fitted is not None,
                rows=rows,
                tokens=report.get("tokens_trained"),
                steps=report.get("steps"),
                seconds=training.seconds,
            )  # fmt: skip
        )
    return stages, Measured(label, seed, adapter)


@dataclass(frozen=True)
class AskedTask:
    """A task of a suite, as far as it is known before the suite runs."""

    name: str
    items: int | None
    """The number of items that are asked. It and the next one are None if the data are not on this machine."""
    available: int | None
    foreign: ForeignTask | None
    """What is known of a task that is not xlift's."""


def list_tasks_asked(suite: Suite) -> list[AskedTask]:
    """The tasks of a suite, with their items. Data of xlift's own tasks are fetched."""
    from xlift.harness.evaluation.foreign_tasks import survey_foreign
    from xlift.harness.evaluation.tasks import expand_tasks

    names = expand_tasks(suite)[0]
    foreign = survey_foreign(suite, names)
    found = []
    for name in names:
        source, known = index.source_of(name), foreign.get(name)
        rows = known.items if known else len(data.read(*source, samples=suite.data.samples)) if source else None
        found.append(AskedTask(name, _limit(suite, name, rows), rows, known))
    return found


def _limit(suite: Suite, task: str, rows: int | None) -> int | None:
    from xlift.harness.evaluation.tasks import limit_of

    return None if rows is None else min(rows, limit_of(suite, task) or rows)


def _count_items(run: Run, foreign: Mapping[str, ForeignTask]) -> dict[str, int | None]:
    """The number of items that each task asks; None for a task whose data are not on this machine and of which nothing is known."""
    counts: dict[str, int | None] = {}
    for task in run.tasks:
        source, samples = index.source_of(task), run.suite.data.samples
        if source is None:
            rows = foreign[task].items if task in foreign else None
        elif run.data.get(task):
            rows = len(data.read(*source, samples=samples))
        else:
            rows = data.survey(*source, samples=samples).rows or _find_rows(task)
        counts[task] = _limit(run.suite, task, rows)
    return counts


def _find_rows(task: str) -> int | None:
    """The items of a benchmark that are known in another language, if they are the same in all."""
    benchmark = find_benchmark(task)
    if benchmark is None or not benchmark.parallel:
        return None
    found = [one.rows for one in known_rows().values() if (one.corpus, one.split) == (benchmark.corpus, benchmark.split)]
    return max(found, default=None)


def _choose(counts: Mapping[str, int | None], tasks: Sequence[str]) -> dict[str, int | None]:
    """The numbers of items of some of the tasks."""
    return {task: counts[task] for task in tasks}


def _sum(items: Mapping[str, int | None]) -> int | None:
    """The sum; None if the number of one task is not known."""
    known = [count for count in items.values() if count is not None]
    return sum(known) if len(known) == len(items) else None


def _row(
    stage: Literal["prepare", "fit", "evaluate", "judge"],
    label: str,
    done: bool,
    **known: Any,
) -> PlannedStage:
    shown = {"rows": None, "tokens": None, "steps": None, "items": None, "seconds": None, **known}
    if done:
        shown["seconds"] = None
    return cast(PlannedStage, {"stage": stage, "label": label, "state": "done" if done else "to do", **shown})


def free_bytes(folder: Path) -> int:
    """The free space where a run would be written."""
    place = folder
    while not place.exists():
        place = place.parent
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize
