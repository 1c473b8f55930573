"""The one trainer: a LoRA adapter or the weights themselves, through PEFT, TRL and accelerate, resumable after a kill at any time.

Weights are read in ``train.dtype``; those that are trained are fp32, as bf16 would round small updates away. A CPU without fast bf16
products computes in fp32 on the bf16 weights (dtypes.py, docs/performance.md).
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import is_liger_kernel_available
from transformers.utils import logging as transformers_logging
from trl import SFTConfig

from xlift.harness.config.suite import TrainSettings
from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.hashing import digest
from xlift.harness.core.store import discard, explain_disk, write_json
from xlift.harness.core.types import Example, Parallel, Preference
from xlift.harness.engines.dtypes import choose_arithmetic, route_products
from xlift.harness.models import adapters
from xlift.harness.models.adapters import Provenance
from xlift.harness.models.module import FILE
from xlift.harness.recipes.contract import Align, Dpo, Gap, Plan, Sft
from xlift.harness.training import batching
from xlift.harness.training.align import HiddenTrainer
from xlift.harness.training.batching import Course
from xlift.harness.training.checkpoints import Checkpoint, find_last, unseal
from xlift.harness.training.dpo import PreferenceTrainer
from xlift.harness.training.gap import GapTrainer
from xlift.harness.training.lora import freeze, go_on, read_lora, stop_below
from xlift.harness.training.module import ModuleTrainer, TrainedMerger
from xlift.harness.training.points import KeepPoints, place_points
from xlift.harness.training.reference import ReferenceTrainer
from xlift.harness.training.report import CurvePoint, FitReport
from xlift.harness.training.sft import CourseTrainer, ShowProgress

POINTS = 100
HOURS = 24
"""The hours that processes of a training wait for each other: the first one scores all preferences before the others begin."""


def fit(
    base_folder: Path,
    plan: Plan,
    settings: TrainSettings,
    out: Path,
    *,
    seed: int,
    provenance: Provenance,
    start: Path | None = None,
    chat_template: str | None = None,
) -> FitReport:
    """Train one adapter. ``out`` becomes its folder, with ``provenance`` and the report (under ``fit``) in ``xlift.json``.

    Without ``settings.lora`` the weights themselves are trained, and ``out`` is a model in ``settings.dtype`` with its tokenizer.
    Everything in the plan is used except the profile. Phases are trained one after the other, each with its own learning-rate schedule. If
    ``start``, an adapter's folder, is given, training continues from it (and Dpo compares with it), so the result is one adapter of the
    base.

    Adapters of ``settings.measure_at`` are kept in ``out.parent / "points"``, and checkpoints in ``out.parent / "checkpoints"`` until the
    training is done. After a kill the same call continues from the last whole checkpoint, and the adapter is bit for bit that of an
    undisturbed training (on the same machine, with the same number of threads). ``provenance["base"]["name"]`` is the name that the adapter
    gives its base; ``chat_template`` replaces that of the base folder.

    Raises UserError for rows, phases, settings or a start that cannot be used, for a lack of memory or disk, and for a loss that is NaN.
    """
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    _require_rows(plan)
    begun, checkpoints = _open_start(start, settings, provenance), out.parent / "checkpoints"
    with _explain_failure(out, settings):
        tokenizer = AutoTokenizer.from_pretrained(base_folder)
        tokenizer.chat_template = chat_template or tokenizer.chat_template
        corpus = batching.encode(plan.rows, tokenizer, settings.max_length)
        course = batching.plan(corpus, settings, seed, plan.phases, plan.objective)
        training = _identify(course, plan, settings, seed, provenance, begun)
        points = place_points(course, settings.measure_at)
        arguments, reference = _arguments(settings, len(course.steps), seed, checkpoints), checkpoints / "reference"
        _require_sharing(plan, course, settings, arguments)
        last, seconds = _find_progress(checkpoints, reference, training, arguments)
        shown, kept = ShowProgress(course), Kept(provenance, tokenizer, settings.dtype)
        options: dict[str, object] = {
            "args": arguments,
            **_open_model(base_folder, plan, settings, begun, tokenizer, seed),
            "callbacks": [shown, KeepPoints(points, lambda point: _keep(trainer.model, out.parent, point, kept))],
        }
        trainer = _build(plan, course, training, seconds, tokenizer, options)
        if begun and settings.lora is not None and not plan.module:
            go_on(trainer.model, begun)
        if plan.where:
            stop_below(trainer.bare)
        try:
            _get_ready(trainer, reference, settings)
            trainer.train(resume_from_checkpoint=str(last.folder) if last else None)
        finally:
            shown.close()
        report = _report(trainer, last.step if last else None, points)
        if arguments.process_index == 0:
            _save(trainer.model, out, checkpoints / "adapter", kept, report.model_dump(mode="json"))
            discard(checkpoints)
    return report


def _find_progress(checkpoints: Path, reference: Path, training: str, arguments: SFTConfig) -> tuple[Checkpoint | None, float]:
    """The last whole checkpoint, and the seconds that the training has taken; the first of several processes deletes what is not whole."""
    with arguments.main_process_first(local=False):
        last = find_last(checkpoints, training)
        return last, last.seconds if last else unseal(reference, training) or 0.0


def _get_ready(trainer: CourseTrainer, reference: Path, settings: TrainSettings) -> None:
    """Read what a trainer compares with, which the first of several processes computes, and share the base out among them if asked."""
    if isinstance(trainer, ReferenceTrainer):
        with trainer.args.main_process_first(local=False):
            trainer.read_reference(reference, settings.micro_batch_tokens)
    if settings.strategy == "fsdp2" and trainer.args.world_size > 1:
        trainer.share_base()


def _require_rows(plan: Plan) -> None:
    wanted: dict[type, tuple[type, ...]] = {Sft: (Example,), Dpo: (Preference,), Align: (Parallel, Example), Gap: (Preference,)}
    objective = type(plan.objective)
    for row in plan.rows:
        if not isinstance(row, wanted[objective]):
            named = " and ".join(kind.__name__ for kind in wanted[objective])
            sort = {Example: "an example", Preference: "a preference", Parallel: "a parallel row"}[type(row)]
            raise UserError(f"row {row.id!r} is {sort}, but the objective {objective.__name__} trains on {named} rows")
        if isinstance(row, Preference) and bool(row.twin) != isinstance(plan.objective, Gap):
            raise UserError(f"row {row.id!r} {'has a' if row.twin else 'lacks its'} twin, which the objective Gap alone, and always, needs")
    if isinstance(plan.objective, Align) and not any(isinstance(row, Parallel) for row in plan.rows):
        raise UserError("there are no parallel rows, on whose states the objective Align is")
    if isinstance(plan.objective, Align) and all(term.name == "keep" for term in plan.objective.terms):
        raise UserError("the terms of Align only keep what is there, so nothing would be trained but rounding errors")


def _require_sharing(plan: Plan, course: Course, settings: TrainSettings, arguments: SFTConfig) -> None:
    """Raises UserError for a training that several processes cannot share."""
    if arguments.world_size == 1:
        return
    if not isinstance(plan.objective, Sft | Dpo) or plan.module:
        name = "an encoder's projection" if plan.module else type(plan.objective).__name__
        raise UserError(f"train.processes: several processes share Sft and Dpo alone, and one trains {name}; leave it out")
    if settings.strategy == "fsdp2" and not isinstance(plan.objective, Sft):
        raise UserError(
            "train.strategy: fsdp2 shares the base out, and what preferences are compared with comes from a process that holds it whole; "
            "leave it out"
        )
    for step in course.steps:
        batching.deal(step, course.corpus, arguments.world_size)


def _open_start(start: Path | None, settings: TrainSettings, provenance: Provenance) -> adapters.Adapter | None:
    if start is None:
        return None
    found, base = adapters.resolve(start), provenance["base"].get("sha256")
    wanted, named = ("LORA", "LoRA") if settings.lora is not None else (adapters.FULL, "weights of its own")
    if found.peft_type != wanted:
        raise UserError(f"adapter {start}: holds no {named} ({found.peft_type}), so training cannot go on from it")
    if found.base_sha256 and base and found.base_sha256 != base:
        raise UserError(f"adapter {start}: trained on another base ({found.base_name or 'unnamed'}), so training cannot go on from it")
    return found


def _open_model(
    folder: Path, plan: Plan, settings: TrainSettings, begun: adapters.Adapter | None, tokenizer: PreTrainedTokenizerBase, seed: int
) -> dict[str, object]:
    """The model that is trained, and LoRA's configuration; whole weights that training goes on from stand in for the base's.

    With an encoder it is the projection, whose weights are drawn by the seed.
    """
    if plan.module:
        if begun:
            raise UserError("training of an encoder's projection does not go on from an adapter; take one round")
        base = _load(folder, settings)
        if not settings.quantise:
            base = base.to("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(seed)
        return {"model": TrainedMerger(plan.module, base, tokenizer)}
    if settings.lora is not None:
        model = _load(folder, settings)
        return {"model": model, "peft_config": read_lora(settings.lora, plan.where, model)}
    model = _load(begun.folder if begun else folder, settings)
    if plan.where:
        freeze(model, plan.where)
    return {"model": model}


def _load(folder: Path, settings: TrainSettings) -> PreTrainedModel:
    arithmetic, options = choose_arithmetic(settings.dtype), {"dtype": getattr(torch, settings.dtype)}
    route_products(arithmetic)
    if torch.cuda.is_available():
        # A kill must not show in the adapter, so no sums in an order that differs from run to run.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False
    elif settings.quantise:
        raise UserError(f"train.quantise {settings.quantise!r}: bitsandbytes needs a CUDA GPU and there is none; leave train.quantise out")
    if settings.liger and (trouble := _find_hindrance_to_liger()):
        raise UserError(f"train.liger: {trouble}; leave train.liger out")
    if settings.quantise:
        four = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": arithmetic, "bnb_4bit_use_double_quant": True}
        bits = BitsAndBytesConfig(**four if settings.quantise == "4bit" else {"load_in_8bit": True})
        options |= {"quantization_config": bits, "device_map": {"": 0}}
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, **options)
    except ImportError as error:
        raise UserError(f"base model {folder.name}: a library that it needs is missing: {one_line(error)}") from error
    return model if arithmetic == options["dtype"] else model.to(arithmetic)


def _find_hindrance_to_liger() -> str:
    if not torch.cuda.is_available():
        return "its kernels need a CUDA GPU and there is none"
    return "" if is_liger_kernel_available() else "it is not installed; `pip install liger-kernel`"


def _build(
    plan: Plan, course: Course, training: str, seconds: float, tokenizer: PreTrainedTokenizerBase, options: Mapping[str, object]
) -> CourseTrainer:
    objective = plan.objective
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    with _explain_refusal():
        if isinstance(objective, Dpo):
            return PreferenceTrainer(objective, course, pad, training, seconds, processing_class=tokenizer, **options)
        if isinstance(objective, Gap):
            return GapTrainer(objective, course, pad, training, seconds, processing_class=tokenizer, **options)
        if isinstance(objective, Align):
            arrays = {name: torch.from_numpy(array) for name, array in plan.arrays.items()}
            return HiddenTrainer(objective, arrays, course, pad, training, seconds, processing_class=tokenizer, **options)
        if plan.module:
            return ModuleTrainer(course, pad, training, seconds, processing_class=tokenizer, **options)
        return CourseTrainer(course, pad, training, seconds, processing_class=tokenizer, **options)


class _Elsewhere(SFTConfig):  # type: ignore[misc]  # TRL is untyped
    """For a base that no device holds whole: the Trainer leaves it where it is."""

    @property
    def place_model_on_device(self) -> bool:
        return False


def _arguments(settings: TrainSettings, steps: int, seed: int, checkpoints: Path) -> SFTConfig:
    arguments = (_Elsewhere if settings.strategy == "fsdp2" else SFTConfig)(
        output_dir=str(checkpoints),
        run_name=checkpoints.parent.name,
        max_steps=steps,
        per_device_train_batch_size=1,
        max_length=None,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        gradient_checkpointing=settings.gradient_checkpointing,
        bf16=choose_arithmetic(settings.dtype) == torch.bfloat16,
        use_cpu=not torch.cuda.is_available(),
        torch_compile=settings.compile,
        use_liger_kernel=settings.liger,
        seed=seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_steps=settings.checkpoint_steps,
        save_total_limit=2,
        disable_tqdm=True,
        report_to=list(settings.report_to) or "none",
        average_tokens_across_devices=False,  # CourseTrainer divides by the step's own weight
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
        ddp_timeout=HOURS * 3600,
    )
    if arguments.n_gpu > 1:  # the Trainer would put a copy of the model on each, and divide a step among them
        seen = f"training: {arguments.n_gpu} GPUs are visible"
        raise UserError(f"{seen}, and one training takes one; set CUDA_VISIBLE_DEVICES to one of them")
    return arguments


def _identify(
    course: Course,
    plan: Plan,
    settings: TrainSettings,
    seed: int,
    provenance: Provenance,
    start: adapters.Adapter | None,
) -> str:
    rows = [(row.tokens, row.prompt) for row in course.corpus.sequences]
    how = [asdict(plan.objective), settings.identity(), seed, *([asdict(plan.where)] if plan.where else [])]
    if plan.module:
        how.append(plan.module.model_dump(mode="json"))
    if isinstance(plan.objective, Align):
        how += [[row.lang for row in course.corpus.sequences], {name: array.tolist() for name, array in plan.arrays.items()}]
    return digest([rows, course.steps, course.ends, how, provenance.get("base"), start and start.sha256], 32)


def _report(trainer: CourseTrainer, resumed_from_step: int | None, points: tuple[CurvePoint, ...]) -> FitReport:
    course, cuda = trainer.course, torch.cuda.is_available()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return FitReport(
        steps=len(course.steps),
        trained_parameters=sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad),
        tokens_trained=course.tokens[-1],
        response_tokens=course.response_tokens,
        epochs=round(course.epochs, 4),
        padding_share=round(course.padding_share, 4),
        rows=course.corpus.rows,
        rows_cut=course.corpus.cut,
        rows_dropped=course.corpus.dropped,
        seconds=round(trainer.seconds, 1),
        peak_memory_mib=int(trainer.gather_all(torch.tensor([torch.cuda.max_memory_allocated() if cuda else _peak_bytes()])).max()) >> 20,
        device=torch.cuda.get_device_name() if cuda else f"cpu, {torch.get_num_threads()} threads",
        processes=trainer.args.world_size,
        arithmetic="bfloat16" if trainer.args.bf16 else "float32",
        products=route_products(torch.bfloat16 if trainer.args.bf16 else torch.float32),
        final_loss=_mean(losses[-ceil(len(losses) / 10) :]),
        curve=_thin(losses, course.tokens),
        reward_margin=_reward(trainer, "rewards/margins"),
        reward_accuracy=_reward(trainer, "rewards/accuracies"),
        resumed_from_step=resumed_from_step,
        points=points,
        terms=_read_terms(trainer.state.log_history),
    )


def _reward(trainer: CourseTrainer, key: str) -> float | None:
    means = [entry[key] for entry in trainer.state.log_history if key in entry]
    last = range(len(means) - ceil(len(means) / 10), len(means))
    pairs = trainer.course.rows
    return round(sum(means[step] * pairs[step] for step in last) / sum(pairs[step] for step in last), 5) if means else None


def _read_terms(history: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """The mean of each part of the loss over the first tenth of the logged steps, and over the last."""
    parts: dict[str, list[float]] = {}
    for entry in history:
        for key in entry:
            if key.startswith("terms/"):
                parts.setdefault(key.removeprefix("terms/"), []).append(entry[key])
    return {name: (_mean(found[: ceil(len(found) / 10)]), _mean(found[-ceil(len(found) / 10) :])) for name, found in parts.items()}


def _thin(losses: Sequence[float], tokens: Sequence[int]) -> tuple[tuple[int, int, float], ...]:
    width = ceil(len(losses) / POINTS)
    spans = [range(first, min(first + width, len(losses))) for first in range(0, len(losses), width)]
    return tuple((span.stop, tokens[span.stop - 1], _mean(losses[span.start : span.stop])) for span in spans)


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 5)


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@dataclass(frozen=True)
class Kept:
    """What is written beside the weights of an adapter, and the number format of whole weights."""

    provenance: Provenance
    tokenizer: PreTrainedTokenizerBase
    dtype: str


def _keep(model: PeftModel | PreTrainedModel | TrainedMerger, folder: Path, point: CurvePoint, kept: Kept) -> None:
    """The adapter as it is now, as a point of the curve."""
    out = folder / point.folder
    _save(model, out, out / ".saving", kept, {**point.model_dump(), "steps": point.step})
    discard(out / ".saving")


def _save(model: PeftModel | PreTrainedModel | TrainedMerger, out: Path, staging: Path, kept: Kept, fit: Mapping[str, object]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    provenance = kept.provenance
    if isinstance(model, PeftModel):
        model.save_pretrained(staging)
        _move_adapter(out, staging, provenance)
    elif isinstance(model, TrainedMerger):
        staging.mkdir(parents=True, exist_ok=True)
        save_file(model.state_dict(), staging / FILE)
        (staging / FILE).replace(out / FILE)
    else:
        _move_model(model, out, staging, kept)
    write_json(out / "xlift.json", {**provenance, "fit": fit})


def _move_model(model: PreTrainedModel, out: Path, staging: Path, kept: Kept) -> None:
    """Write whole weights, rounded once, with the tokenizer with which they were trained."""
    numbers = getattr(torch, kept.dtype)
    rounded: dict[str, torch.Tensor] = {}
    made: dict[int, torch.Tensor] = {}  # weights that are tied stay one
    for name, weight in model.state_dict().items():
        rounded[name] = made.setdefault(weight.data_ptr(), weight.to(numbers) if weight.is_floating_point() else weight)
    model.save_pretrained(staging, state_dict=rounded)
    kept.tokenizer.save_pretrained(staging)
    config = json.loads((staging / "config.json").read_text(encoding="utf-8"))
    write_json(staging / "config.json", {**{key: value for key, value in config.items() if key != "_name_or_path"}, "dtype": kept.dtype})
    for path in sorted(staging.iterdir(), key=lambda path: path.name == "config.json"):  # what makes it a model comes last
        path.replace(out / path.name)


def _move_adapter(out: Path, staging: Path, provenance: Provenance) -> None:
    config = json.loads((staging / "adapter_config.json").read_text(encoding="utf-8"))
    for key, value in config.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            config[key] = sorted(value)  # a set in PEFT, whose order differs from process to process
    name = str(provenance["base"]["name"])
    is_path = name.startswith(("/", ".", "~")) or Path(name).is_dir()
    write_json(out / "adapter_config.json", {**config, "base_model_name_or_path": Path(name).name if is_path else name})
    (staging / "adapter_model.safetensors").replace(out / "adapter_model.safetensors")


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)


@contextmanager
def _explain_refusal() -> Iterator[None]:
    try:
        yield
    except (ValueError, RuntimeError, ImportError) as error:
        if _is_memory(error):
            raise
        raise UserError(f"train: PEFT or TRL does not take these settings: {one_line(error)}") from error


@contextmanager
def _explain_failure(out: Path, settings: TrainSettings) -> Iterator[None]:
    try:
        with explain_disk(out.parent):
            yield
    except (RuntimeError, MemoryError, SafetensorError) as error:
        if _is_memory(error):
            line = f"training: memory ran out; lower train.micro_batch_tokens (now {settings.micro_batch_tokens})"
            raise UserError(f"{line} or train.max_length (now {settings.max_length}), or set train.gradient_checkpointing") from error
        if isinstance(error, SafetensorError) or "PytorchStreamWriter" in str(error) or "inline_container" in str(error):
            raise UserError(f"{out.parent}: a checkpoint cannot be written ({one_line(error)}); free space, then run again") from error
        raise
