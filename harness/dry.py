"""What a run would do, without doing it: stages, rows, tokens and disk; and whether a suite can run at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xlift.harness import plugin
from xlift.harness import run as pipeline
from xlift.harness.config import Suite

GIB = 2**30


def check(suite: Suite) -> None:
    """Raise UserError for whatever is wrong in a suite, as far as it shows without a model and without data."""
    from xlift.harness.evaluate import expand_tasks

    expand_tasks(suite)
    for chosen in suite.methods.values():
        plugin.load(chosen.method, chosen.options)


def plan_run(suite: Suite, runs: Path) -> dict[str, Any]:
    """``stages`` (one row each) and ``totals`` of a run; rows and tokens are upper bounds until a method's rows are prepared."""
    run = pipeline.open_run(suite, runs, write=False)
    stages: list[dict[str, Any]] = []
    models = [pipeline.Measured("base", None, None)]
    for label in suite.methods:
        prepared = run.store.manifest(pipeline.prepare_stage(run, label))
        rows = prepared["rows"] if prepared else suite.rows
        stages.append(_row("prepare", label, prepared is not None, rows=rows))
        for seed in suite.seeds:
            stage = pipeline.fit_stage(run, label, seed) if prepared else None
            fitted = run.store.manifest(stage) if stage else None
            tokens = fitted["report"]["tokens_trained"] if fitted else suite.training(label).tokens
            stages.append(_row("fit", f"{label}-seed{seed}", fitted is not None, rows=rows, tokens=tokens))
            models.append(pipeline.Measured(label, seed, str(run.store.folder(stage) / "adapter") if stage and fitted else None))
    models += [pipeline.Measured(name, None, reference) for name, reference in suite.evaluate.adapters.items()]
    items = _count_items(run)
    for model in models:
        known = model.label == "base" or model.adapter is not None
        done = known and run.store.manifest(pipeline.evaluate_stage(run, model)) is not None
        name = model.label if model.seed is None else f"{model.label}-seed{model.seed}"
        stages.append(_row("evaluate", name, done, items=items))
    weights = sum(path.stat().st_size for path in run.base.folder.glob("*.safetensors"))
    totals = {
        "run folder": str(run.root),
        "tasks": len(run.tasks),
        "left out": ", ".join(run.left_out) or "nothing",
        "disk needed at most": f"{weights / GIB + 0.2 * len(models):.1f} GiB (a merged copy of the base, adapters, checkpoints, samples)",
        "disk free": f"{pipeline.free_bytes(runs) / GIB:.1f} GiB",
    }
    return {"stages": stages, "totals": totals}


def _count_items(run: pipeline.Run) -> int:
    from xlift.harness.evaluate import limit_of
    from xlift.tasks import data, index

    total = 0
    for task in run.tasks:
        source = index.source_of(task)
        if source is not None:
            rows = len(data.read(*source, samples=run.suite.data.samples))
            total += min(rows, limit_of(run.suite, task) or rows)
    return total


def _row(
    stage: str, label: str, done: bool, rows: int | None = None, tokens: int | None = None, items: int | None = None
) -> dict[str, Any]:
    return {"stage": stage, "label": label, "state": "done" if done else "to do", "rows": rows, "tokens": tokens, "items": items}
