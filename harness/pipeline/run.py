"""The pipeline in order: prepare, fit, evaluate, each stage in a process of its own and skipped if it is done."""

from __future__ import annotations

import datetime
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xlift.harness.config.lora import LARGEST_RANK, check_addable
from xlift.harness.config.suite import BaseSettings, EngineSettings, Suite, TrainSettings
from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.hashing import digest
from xlift.harness.core.leases import refuse_other_versions
from xlift.harness.core.locks import hold
from xlift.harness.core.settings import build
from xlift.harness.core.store import LEASES, RESOLVED, explain_disk, write_json
from xlift.harness.evaluation.records import choose_newest, read_measurements
from xlift.harness.judging import judgement
from xlift.harness.models import adapters, bases, encoders, trainable
from xlift.harness.pipeline import needs
from xlift.harness.pipeline.devices import list_devices
from xlift.harness.pipeline.fit import fit_one
from xlift.harness.pipeline.measure import evaluate_wave
from xlift.harness.pipeline.prepare import prepare_wave
from xlift.harness.pipeline.processes import run_apart, run_side_by_side
from xlift.harness.pipeline.ranks import require_ranks
from xlift.harness.pipeline.ready import find_ready, find_unmeasured, list_models
from xlift.harness.pipeline.scheduling import share_out
from xlift.harness.pipeline.spread import list_needs, spread
from xlift.harness.pipeline.stages import Measured, Prepared, Round, Run, check_shares, evaluate_stage
from xlift.harness.recipes import registry
from xlift.harness.recipes.contract import Method, Options, Part, Where, place_blocks, place_layer
from xlift.harness.translators.load import check_settings
from xlift.tasks.benchmarks import measured_group

logger = logging.getLogger(__name__)


def open_run(suite: Suite, runs: Path, *, fetch: bool = True) -> Run:
    """Resolve the base and the tasks. Everything that can be wrong in a suite is found here, and nothing is written.

    If the base's template writes the date, the run's suite names the day: the suite's own, that of the run's first start, or today. Without
    ``fetch``, data and a base that are not on this machine stay unknown. Raises UserError, before anything is trained.
    """
    from xlift.harness.evaluation.tasks import check_shots, expand_tasks, find_articles, identify_foreign, locate_data

    check_methods(suite)
    tasks, left_out = expand_tasks(suite)
    judgement.check(suite, tasks)
    check_curves(suite, tasks)
    check_chosen_tasks(suite, tasks)
    for name, reference in suite.evaluate.adapters.items():
        if name == "base" or name in suite.methods:
            raise UserError(f"evaluate.adapters: {name!r} is taken by a row of the suite; choose another name")
        if (inside := adapters.resolve(reference).inside) and suite.engine.backend != "hf":
            raise UserError(
                f"evaluate.adapters: {name!r} {inside}, which engine.backend {suite.engine.backend} does not do; set engine.backend: hf"
            )
    check_encoders(suite, fetch=fetch)
    devices = list_devices(suite, os.environ)
    locate_data(suite, tasks, fetch=False)  # what is nowhere is found out before anything is fetched
    needs.require(needs.list_needs(suite, tasks))
    data, without_data = locate_data(suite, tasks, fetch=fetch)
    tasks, left_out = tuple(data), (*left_out, *without_data)
    judgement.check_sources(suite, tasks)
    check_shots(suite, tasks)
    root = runs / suite.name
    suite, base = _resolve_base(suite, root, bases.resolve if fetch else bases.resolve_here)
    here = [task for task, origin in data.items() if origin is not None]
    articles = {task: digest(found) for task, found in find_articles(suite, here, fetch=fetch).items()}
    run = Run(suite, root, tasks, left_out, base, data, identify_foreign(suite, tasks), articles)
    if not run.lacks_base:
        check_base(suite, base)
    if len(devices) > 1:
        list_needs(run, devices)
    return run


@contextmanager
def begin(suite: Suite, runs: Path, *, wait: bool = False) -> Iterator[Run]:
    """``open_run``, with its folder for this process alone and ``suite.resolved.json`` in it. With ``wait``, wait for another process to
    end.

    Raises UserError as ``open_run`` and ``locks.hold`` do, if a launcher started several copies of this process, and if another version of
    xlift works in the folder.
    """
    refuse_launcher(os.environ)
    run = open_run(suite, runs)
    refuse_other_versions(run.root / LEASES)
    with hold(run.root, wait=wait):
        with explain_disk(run.root):
            write_json(run.root / RESOLVED, run.suite.model_dump(mode="json"))
        yield run


def refuse_launcher(environment: Mapping[str, str]) -> None:
    """Raises UserError under torchrun and similar launchers, which start equal processes that share one training: each would run the whole
    suite."""
    count = environment.get("WORLD_SIZE", "1")
    if count.isdecimal() and int(count) > 1:
        raise UserError(
            f"torchrun, accelerate launch or another launcher started {count} copies of xlift (WORLD_SIZE={count}), and each would train "
            "everything; start xlift by itself"
        )


def _resolve_base(
    suite: Suite, root: Path, resolve: Callable[[BaseSettings, EngineSettings | None], bases.Base]
) -> tuple[Suite, bases.Base]:
    """The base, and the suite with the day that its template writes, if it writes one."""
    settings = suite.base if suite.base.date else suite.base.model_copy(update={"date": _first_day(root / RESOLVED)})
    base = resolve(settings, suite.engine)
    return (suite.model_copy(update={"base": settings.model_copy(update={"date": base.date})}) if base.date else suite), base


def _first_day(resolved: Path) -> datetime.date | None:
    """The day of the run's first start, if the template of its base writes the date."""
    try:
        return build(BaseSettings, json.loads(resolved.read_text(encoding="utf-8"))["base"], f"{resolved}: base").date
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{resolved}: damaged ({type(error).__name__}); delete it and run again") from None


def check_curves(suite: Suite, tasks: Iterable[str]) -> None:
    """Raises UserError for points of a curve that no task would measure."""
    curved = [label for label in suite.methods if suite.training(label).measure_at]
    if curved and not any(measured_group(task) == "likelihood" for task in tasks):
        raise UserError(
            f"train.measure_at of {curved[0]}: points of a curve are measured on likelihood tasks, and evaluate.tasks names none; add one, "
            "such as xlift_flores_bpb_{pivot}_{lang}, or leave train.measure_at out"
        )


def check_chosen_tasks(suite: Suite, tasks: Sequence[str]) -> None:
    """Raises UserError for a method that is to change its answers for tasks that the suite does not ask (an option ``tasks`` of names)."""
    for label, chosen in suite.methods.items():
        beginnings = getattr(registry.load_labelled(label, chosen.method, chosen.options).options, "tasks", ())
        for beginning in beginnings if isinstance(beginnings, tuple) else ():
            if not any(task.startswith(beginning) for task in tasks):
                near = name_nearest(beginning, tasks)
                raise UserError(f"methods.{label}.options.tasks: no task of the suite begins with {beginning!r}{near}")


def check_methods(suite: Suite) -> None:
    """Raises UserError, which names the label, for a method, an option or a translator that is wrong according to the suite alone."""
    for label, chosen in suite.methods.items():
        method = registry.load_labelled(label, chosen.method, chosen.options)
        parts = method.list_parts(suite.trained(label))
        if method.combines:
            _check_parts(suite.training(label), parts, f"methods.{label}")
        if method.trains and method.module is None:
            _check_rank(suite, label, max(1, len(parts)))
        if method.masks and suite.engine.adapter_form == "lora":
            raise UserError(f"methods.{label}: masks the base's weights, which engine.adapter_form: lora does not serve; set merged")
        if method.backends and suite.engine.backend not in method.backends:
            named = " or ".join(method.backends)
            raise UserError(
                f"methods.{label}: {chosen.method} works inside the model, which engine.backend {suite.engine.backend} does not let it; "
                f"set engine.backend: {named}"
            )
        for pair, settings in suite.translating(label).items():
            check_settings(settings, f"methods.{label}: translators.{pair}")


def check_encoders(suite: Suite, *, fetch: bool) -> None:
    """Raises UserError, which names the label, for an encoder that cannot be read or lacks a language. Without ``fetch`` an encoder that is
    not on this machine stays unknown."""
    for label, chosen in suite.methods.items():
        module = registry.load(chosen.method, chosen.options).module
        try:
            encoder = encoders.resolve(module, fetch=fetch) if module else None
            if module and encoder:
                encoders.check_languages(module, encoder, (suite.languages.pivot, *suite.trained(label)))
        except UserError as error:
            raise UserError(f"methods.{label}: {error}") from None


def _check_rank(suite: Suite, label: str, parts: int) -> None:
    """Raises UserError for a LoRA, or several whose ranks stand side by side, if vLLM would not take that rank beside the weights."""
    engine, rank = suite.engine, parts * int((suite.training(label).lora or {}).get("r", 8))
    is_beside = engine.backend in ("auto", "vllm") and (engine.adapter_form == "lora" or engine.gpus > 1)
    if is_beside and rank > LARGEST_RANK:
        sides = f" in {parts} parts, side by side" if parts > 1 else ""
        most = f"is above {LARGEST_RANK}, the most that vllm takes beside the weights"
        raise UserError(f"methods.{label}: rank {rank}{sides} {most}; set engine.adapter_form: merged, or lower train.lora.r")


def _check_parts(settings: TrainSettings, parts: Mapping[str, Part], place: str) -> None:
    """Raises UserError for settings with which the adapters of a plan's parts could not become one, or a part could not be trained."""
    try:
        check_addable(settings.lora)
        check_shares(settings, {name: part.share for name, part in parts.items()})
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    if settings.measure_at:
        raise UserError(f"{place}: train.measure_at: the method's adapter is put together at the end, so it has no curve; leave it out")


def check_base(suite: Suite, base: bases.Base) -> None:
    """Raises UserError if the base cannot be used for a method of the suite, because of its template, its tokenizer or its
    configuration, and for an adapter that was made for another base."""
    for reference in suite.evaluate.adapters.values() if base.sha256 else ():
        adapters.check(adapters.resolve(reference), base)
    methods = {label: registry.load(chosen.method, chosen.options) for label, chosen in suite.methods.items()}
    if trained := {label: suite.training(label).lora or {} for label, method in methods.items() if method.trains}:
        trainable.check_trainable(base, trained)
    for label, method in methods.items():
        if method.where or method.states or method.blocks:
            _check_layers(base, method, f"methods.{label}", suite.training(label).lora or {})
    if asking := [label for label, method in methods.items() if method.system_turn]:
        bases.check_system_turn(base, f"methods.{asking[0]}: {suite.methods[asking[0]].method}")


def _check_layers(base: bases.Base, method: Method[Options], place: str, lora: Mapping[str, Any]) -> None:
    """Raises UserError if the base lacks what a method trains or combines, or a state that it reads."""
    depth, where = trainable.count_layers(base), method.where or Where()
    option = next((f".options.{name}" for name in ("layers", "layer") if name in type(method.options).model_fields), "")
    try:
        where.narrow(lora, depth)
        for layer in method.states:
            place_layer(layer, depth)
        place_blocks(method.blocks, depth)
    except UserError as error:
        raise UserError(f"{place}{option}: {error}") from None
    if where.modules:
        trainable.check_modules(base, where.modules, f"{place}.options.modules")


def run_suite(suite: Suite, runs: Path) -> Path:
    """Prepare, fit, evaluate, and judge if the suite names a judge. Returns the run folder. The same call resumes."""
    root = measure_suite(suite, runs)
    judgement.judge_suite(suite, root)
    return root


def measure_suite(suite: Suite, runs: Path, *, wait: bool = False) -> Path:
    """``run_suite`` without the judge. Finished stages are skipped. With ``wait``, wait for another process in the folder to end."""
    with begin(suite, runs, wait=wait) as run:
        for line in run.left_out:
            logger.warning("left out: %s", line)
        _check_processes(run.suite)
        _spread(run, measure=True)
        evaluate_all(run, list_models(run, tuple(fit_all(run))))
        return run.root


def train_all(run: Run) -> list[Measured]:
    """``fit_all``, on all devices of this machine."""
    _check_processes(run.suite)
    _spread(run, measure=False)
    return fit_all(run)


def _check_processes(suite: Suite) -> None:
    """Raises UserError, before rows are made, for a training of more processes than this machine has places for."""
    for label, chosen in suite.methods.items():
        count = suite.training(label).processes if registry.find_method(chosen.method).trains else 1
        if count > 1:
            require_ranks(os.environ, count)


def _spread(run: Run, *, measure: bool) -> None:
    """Do everything that several devices can do at once, if there are several."""
    devices = list_devices(run.suite, os.environ)
    if len(devices) > 1:
        spread(run, devices, measure=measure)


def prepare_all(run: Run) -> dict[str, Path]:
    """The data of every method's first round. Returns the folder of each label's rows."""
    known: dict[Round, Prepared] = {}
    known.update(_prepare(run, [turn for turn in find_ready(run, known).rows if not turn.number]))
    return {label: known[Round(label)].folder for label in run.suite.methods}


def fit_all(run: Run) -> list[Measured]:
    """The rows and adapters of every method and seed, round by round, with one engine for the rows of a round and one process for each
    training."""
    known: dict[Round, Prepared] = {}
    while (ready := find_ready(run, known)).rows or ready.fits:
        known.update(_prepare(run, ready.rows))
        for fit in () if ready.rows else ready.fits:
            logger.info("fit: %s", fit.name)
            run_apart(f"fit {fit.turn.label}", fit_one, run, fit)
    return list(ready.trained)


def _prepare(run: Run, turns: Sequence[Round]) -> dict[Round, Prepared]:
    """The rows of rounds that are not there yet."""
    if not turns:
        return {}
    logger.info("prepare: %s", ", ".join(turn.name for turn in turns))
    made = run_apart("prepare", prepare_wave, run, turns)
    return dict(zip(turns, made, strict=True))


def evaluate_all(run: Run, models: Iterable[Measured]) -> None:
    """Measure every model that is not measured yet, on one engine, or side by side on several. Afterwards all of them are the newest."""
    models = list(models)
    missing = find_unmeasured(run, models)
    if missing:
        logger.info("evaluate: %s on %d tasks", ", ".join(model.name for model in missing), len(run.tasks))
        shares = share_out(missing, run.suite, run.base)
        run_side_by_side("evaluate", evaluate_wave, [(run, share, len(shares)) for share in shares])
    measured = read_measurements([run.root])
    found = choose_newest(measured)
    newest = {one.stage.name for one in (*found.measurements, *found.points)}
    for stage in (evaluate_stage(run, model) for model in models):
        if stage.name not in newest:
            run.store.ask_again(stage, after=max(one.last for one in measured))
