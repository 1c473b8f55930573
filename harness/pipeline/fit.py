"""The fit stage: one adapter, in a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from xlift.harness.config.suite import TrainSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.manifests import CodeFacts, PartFacts
from xlift.harness.core.settings import build
from xlift.harness.core.store import write_json
from xlift.harness.core.types import Rows, read_row
from xlift.harness.models import adapters, masks, steering
from xlift.harness.pipeline.ranks import run_ranks
from xlift.harness.pipeline.ready import Fit
from xlift.harness.pipeline.stages import ARRAYS, ROWS, Prepared, Round, Run, part_stage, share_training
from xlift.harness.recipes import registry
from xlift.harness.recipes.contract import Mask, Mix, Plan
from xlift.harness.recipes.parts import select_rows
from xlift.harness.training.report import FitReport, join_reports

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fit_one(run: Run, fit: Fit, wait: bool = True) -> bool:
    """In a process of its own, make one adapter on one GPU. A killed attempt continues from its last checkpoint.

    If another process is making it, this one waits, or with ``wait`` false leaves it to the other. Returns whether the adapter is there.
    """
    turn, prepared, seed = fit.turn, fit.rows, fit.seed
    if run.suite.training(turn.label).processes == 1:
        see_one_gpu(os.environ)
    from xlift.harness.core.versions import library_versions

    chosen, manifest = run.suite.methods[turn.label], prepared.manifest
    provenance: adapters.Provenance = {
        "method": chosen.method,
        "code": cast(CodeFacts, asdict(registry.identify(chosen.method))),
        "label": turn.label,
        "options": registry.load(chosen.method, chosen.options).options.model_dump(mode="json"),
        "languages": list(run.suite.trained(turn.label)),
        "pivot": run.suite.languages.pivot,
        "round": turn.number + 1,
        "base": run.base.facts(),
        "profile": manifest["plan"]["profile"],
        "data": manifest,
        "suite": run.suite.name,
        "settings": cast(adapters.SuiteFacts, run.suite.single(turn.label, seed).model_dump(mode="json")),
        "versions": library_versions(),
    }

    def work(folder: Path) -> Mapping[str, object]:
        match prepared.plan.edit:
            case Mix() as edit:
                return _combine(run, turn, prepared, edit, seed, provenance, folder / "adapter")
            case Mask() as edit:
                return _mask(run, prepared, edit, provenance, folder / "adapter")
        if module := prepared.plan.module:
            provenance["module"] = module.model_dump(mode="json")
        if prepared.count:
            rows, settings = read_rows(prepared), run.suite.training(turn.label)
            return _train(Training(run, turn, prepared, rows, settings, seed, provenance, folder / "adapter"))
        return _keep_as_made(prepared, provenance, folder / "adapter")

    write = run.store.write if wait else run.store.attempt
    return write(fit.stage(run), work, keep_partial=True) is not None


def _keep_as_made(prepared: Prepared, provenance: adapters.Provenance, out: Path) -> Mapping[str, object]:
    """Write an adapter that is only a profile, a choice among profiles, or moves of states, as a stage's work."""
    out.mkdir(exist_ok=True)
    if policy := prepared.plan.policy:
        provenance["policy"] = policy.model_dump(mode="json")
    if steer := prepared.plan.steer:
        provenance["steer"] = steer.model_dump(mode="json")
        read_arrays(prepared)  # which are checked
        shutil.copyfile(prepared.folder / ARRAYS, out / steering.ARRAYS)
    write_json(out / adapters.CARD, provenance)
    return {"report": {}, "adapter_sha256": adapters.resolve(out).sha256}


@dataclass(frozen=True)
class Training:
    """One adapter that is to be trained on the rows of a plan."""

    run: Run
    turn: Round
    prepared: Prepared
    rows: Rows
    settings: TrainSettings
    seed: int | None
    provenance: adapters.Provenance
    out: Path


def _train(asked: Training) -> Mapping[str, object]:
    """Train one adapter, as a stage's work."""
    count = asked.settings.processes
    report = train_here(asked) if count == 1 else run_ranks(f"fit {asked.turn.label}", train_here, (asked,), count)
    return {"report": report.model_dump(mode="json"), "adapter_sha256": adapters.resolve(asked.out).sha256}


def train_here(asked: Training) -> FitReport:
    """The training itself, or this process's part of it."""
    from xlift.harness.training.trainer import fit

    planned, start = asked.prepared.plan, asked.turn.start
    plan = Plan(
        asked.rows, planned.objective, phases=planned.phases, where=planned.where, module=planned.module, arrays=read_arrays(asked.prepared)
    )
    return fit(
        asked.run.base.folder,
        plan,
        asked.settings,
        asked.out,
        seed=asked.seed or 0,
        provenance=asked.provenance,
        start=Path(start) if start else None,
        chat_template=asked.run.base.chat_template,
    )


def _combine(
    run: Run, turn: Round, prepared: Prepared, edit: Mix, seed: int | None, provenance: adapters.Provenance, out: Path
) -> Mapping[str, object]:
    """Train the parts of a plan, each as a stage of its own, and put their adapters together, as a stage's work."""
    from xlift.harness.training.mixing import write_mix

    planned, rows, settings = prepared.plan, read_rows(prepared), run.suite.training(turn.label)
    found: dict[str, adapters.Adapter] = {}
    reports: dict[str, FitReport] = {}
    for name, part in (planned.parts or {}).items():
        own, shared = cast(Rows, tuple(select_rows(rows, part))), share_training(settings, part.share)
        said: adapters.Provenance = {**provenance, "part": name, "profile": None}

        def work(place: Path, own: Rows = own, shared: TrainSettings = shared, said: adapters.Provenance = said) -> Mapping[str, object]:
            return _train(Training(run, turn, prepared, own, shared, seed, said, place / "adapter"))

        stage = part_stage(run, turn, prepared, name, seed)
        manifest = run.store.write(stage, work, keep_partial=True)
        found[name] = adapters.resolve(run.store.folder(stage) / "adapter")
        reports[name] = build(FitReport, manifest["report"], f"{run.store.folder(stage)}: manifest: report")
    joined = join_reports(tuple(reports.values()))
    parts = {name: _describe_part(found[name], reports[name]) for name in found}
    write_mix(found, edit, run.base, out)
    write_json(out / adapters.CARD, {**provenance, "parts": parts, "fit": joined.model_dump(mode="json")})
    return {"report": joined.model_dump(mode="json"), "adapter_sha256": adapters.resolve(out).sha256, "parts": parts}


def _mask(run: Run, prepared: Prepared, edit: Mask, provenance: adapters.Provenance, out: Path) -> Mapping[str, object]:
    """Choose the weights that a plan sets to 0, as a stage's work."""
    from xlift.harness.training.masking import write_mask

    write_mask(edit, read_arrays(prepared), run.base, out)
    write_json(out / adapters.CARD, {**provenance, "masked": masks.count_masked(out)})
    return {"report": {}, "adapter_sha256": adapters.resolve(out).sha256}


def _describe_part(adapter: adapters.Adapter, report: FitReport) -> PartFacts:
    return {"rows": report.rows, "sha256": adapter.sha256, "tokens_trained": report.tokens_trained, "final_loss": report.final_loss}


def see_one_gpu(environment: MutableMapping[str, str]) -> None:
    """Leave only the first of the GPUs that may be seen. It must be called before CUDA is started."""
    environment["CUDA_VISIBLE_DEVICES"] = environment.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]


def read_arrays(prepared: Prepared) -> Mapping[str, NDArray[Any]]:
    """The arrays of a plan; none for most plans. Raises UserError if they are no longer those of the manifest."""
    from safetensors.numpy import load

    wanted, path = prepared.plan.arrays_sha256, prepared.folder / ARRAYS
    if wanted is None:
        return {}
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != wanted:
        raise UserError(f"{path}: not the arrays that were prepared (another sha256); delete {prepared.folder} and run again")
    found: dict[str, NDArray[Any]] = load(content)
    return found


def read_rows(prepared: Prepared) -> Rows:
    """The training rows that a prepare stage wrote. Raises UserError if they are no longer those of its manifest."""
    path = prepared.folder / ROWS
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    if hashlib.sha256(data).hexdigest() != prepared.plan.rows_sha256:
        lines = data.count(b"\n")
        found = f"{lines} lines, another sha256"
        raise UserError(f"{path}: not the {prepared.count} rows that were prepared ({found}); delete {prepared.folder} and run again")
    rows = tuple(read_row(json.loads(line)) for line in data.decode().split("\n") if line)
    return cast(Rows, rows)  # the trainer refuses a mixture
