"""A finished run on disk, small and made by hand: a base, one adapter, and what both scored on one task of four items."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from xlift.harness.config.suite import read_suite
from xlift.harness.models.adapters import resolve

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TASK = "xlift_mgsm_direct_es"
SOURCE = {"name": "qa/squad", "lang": "en", "licence": {"text": "CC BY-SA 4.0", "tags": ["cc-by-sa-4.0"]}}
RESTRICTED = {"name": "alpaca", "lang": "en", "licence": {"text": "CC BY-NC 4.0", "tags": ["cc-by-nc-4.0"]}}
SUITE = {
    "name": "small",
    "base": {"model": "org/base", "revision": COMMIT},
    "languages": {"train": ["es"], "evaluate": ["en", "es"]},
    "methods": {"m": {"method": "cross_lingual"}},
    "evaluate": {"tasks": [TASK]},
}
BASE = {"name": "org/base", "revision": COMMIT, "sha256": "b" * 64, "chat_template_sha": "c" * 64}
PROFILE = {"system": {"es": "Answer in English, then in Spanish."}, "header": {"es": "[Spanish]"}}


def write_run(
    root: Path, *, seed: int = 0, suite: dict[str, Any] | None = None, scores: tuple[int, ...] = (1, 1, 1, 0), **made: Any
) -> Path:
    """Write ``root`` as a run folder; returns the adapter's. ``made`` are keys of xlift.json, ``scores`` the adapter's right answers."""
    resolved = read_suite({**SUITE, **(suite or {})}, "test")
    root.mkdir(parents=True, exist_ok=True)
    write(root / "suite.resolved.json", resolved.model_dump(mode="json"))
    adapter = root / f"fit-m-seed{seed}-aaaa" / "adapter"
    data = {"rows": 10, "corpora": ["qa/en"], "sources": [SOURCE], "kinds": {"es/translation": 10}, "plan": {"objective": {"kind": "sft"}}}
    fit = {"rows": 10, "steps": 3, "tokens_trained": 1000, "seconds": 1.5, "device": "cpu"}
    card = {"method": "cross_lingual", "label": "m", "languages": ["es"], "pivot": "en", "base": BASE, "profile": None, "data": data}
    card["settings"] = resolved.single("m", seed).model_dump(mode="json")
    write_adapter(adapter, seed, {**card, "versions": {"xlift": "0.1.0"}, "fit": fit, **made})
    write_evaluation(root / "evaluate-base-bbbb", "base", None, None, (1, 0, 0, 0))
    described = {"name": str(adapter), "revision": None, "sha256": resolve(adapter).sha256, "peft_type": "LORA", "base_name": "org/base"}
    write_evaluation(root / f"evaluate-m-seed{seed}-cccc", "m", seed, described, scores)
    return adapter


def write_adapter(folder: Path, seed: int, card: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    save_file({"base_model.model.lora_B.weight": rng.normal(size=(4, 4)).astype("float32")}, folder / "adapter_model.safetensors")
    write(folder / "adapter_config.json", {"peft_type": "LORA", "r": 4, "base_model_name_or_path": "base", "revision": None})
    write(folder / "xlift.json", card)


def write_evaluation(folder: Path, label: str, seed: int | None, adapter: dict[str, Any] | None, scores: tuple[int, ...]) -> None:
    folder.mkdir()
    lines = [
        {"doc_id": at, "doc_hash": f"h{at}", "filter": "none", "metrics": ["accuracy"], "accuracy": one} for at, one in enumerate(scores)
    ]
    (folder / f"samples_{TASK}_{label}{seed}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    mean, items = sum(scores) / len(scores), len(scores)
    task = {
        "items": items, "items_of": items, "version": "1.0", "data_sha256": "d" * 64, "data_origin": "folder", "comparability": "k" * 16,
        "metrics": {"accuracy": {"value": mean, "stderr": 0.25}}, "samples": f"samples_{TASK}_{label}{seed}.jsonl",
    }  # fmt: skip
    trained = {"method": "cross_lingual", "trained": ["es"]} if adapter else {"method": None, "trained": []}
    cost = {"evaluate": {"seconds": 2.0}, **({"fit": {"tokens_trained": 1000, "device": "cpu"}} if adapter else {})}
    record = {
        "suite": "small", "label": label, **trained, "seed": seed, "pivot": "en", "base": BASE, "adapter": adapter,
        "engine": {"backend": "hf", "dtype": "float32", "device": "cpu"}, "system": None, "tasks": {TASK: task}, "cost": cost,
    }  # fmt: skip
    write(folder / "manifest.json", {"stage": "evaluate", "label": label, "inputs": {}, "record": record})


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
