"""A small suite for several processes that share a run folder, and what of a run must be the same whoever made it."""

import json
import multiprocessing
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

TASK = "xlift_flores_bpb_eng_Latn_spa_Latn"


def suite_of(base: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "shared",
        "base": {"model": str(base)},
        "data": {"samples": "always"},
        "languages": {"train": ["es"], "evaluate": ["es"]},
        "rows": 8,
        "methods": {"m": {"method": "cross_lingual"}, "q": {"method": "cross_lingual", "options": {"direction": "both"}}},
        "seeds": [0, 1],
        "train": {"tokens": 1536, "batch_tokens": 768, "micro_batch_tokens": 768, "max_length": 384, "learning_rate": 1.0e-2,
                  "dtype": "float32", "checkpoint_steps": 1, "lora": {"r": 2, "target_modules": ["q_proj", "v_proj"]}},
        "engine": {"backend": "hf", "dtype": "float32", "max_length": 2048},
        "evaluate": {"tasks": [TASK], "limit": 2},
        **changes,
    }  # fmt: skip


def list_stages(root: Path) -> dict[str, Any]:
    """The finished stages by name: sha256 of adapters, plans of rows, and scores."""
    found = {}
    for path in sorted(root.glob("*/manifest.json")):
        manifest = json.loads(path.read_text())
        tasks = manifest.get("record", {}).get("tasks", {})
        scores = {task: result["metrics"] for task, result in tasks.items()}
        found[path.parent.name] = [manifest.get("adapter_sha256"), manifest.get("plan"), scores]
    return found


def open_forks() -> BaseContext:
    """For processes that find torch and the rest loaded already, as each would load them for seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["xlift.harness.pipeline.worker", "xlift.harness.training.trainer", "xlift.harness.engines.hf", "lm_eval.evaluator"]
    )
    return context
