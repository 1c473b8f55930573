"""Choosing a backend and loading a base on it."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, version

from xlift.harness.config.suite import EngineSettings
from xlift.harness.core.errors import UserError, one_line
from xlift.harness.engines.base import Engine
from xlift.harness.engines.weight_check import WrongWeightsError
from xlift.harness.models.bases import Base

logger = logging.getLogger(__name__)


def load_engine(base: Base, settings: EngineSettings) -> Engine:
    """Load a base on the backend that is asked for. ``auto`` is vLLM if it loads, else hf, with the reason in the log.

    If a vLLM that was asked for turns out at its start to load weights wrongly, as happened with a mixture of experts, hf replaces it too:
    its numbers would be wrong, and none was measured yet. Raises UserError if the backend cannot be used.
    """
    if settings.backend == "api":
        from xlift.harness.engines.openai_api import ApiEngine

        return ApiEngine(base, settings)
    if not base.sha256:
        raise UserError(f"base model {base.name!r} is served: set engine.backend: api and engine.url")
    if settings.backend in ("vllm", "auto"):
        try:
            return _load_vllm(base, settings)
        except UserError as error:
            if settings.backend == "vllm" and not isinstance(error, WrongWeightsError):
                raise
            logger.warning("engine: hf in place of vllm: %s", error)
    from xlift.harness.engines.hf import HfEngine

    return HfEngine(base, settings)


def _load_vllm(base: Base, settings: EngineSettings) -> Engine:
    try:
        version("vllm")
    except PackageNotFoundError:
        raise UserError("vllm is not installed; `pip install xlift[vllm]` for a GPU, or set engine.backend: hf") from None
    try:
        from xlift.harness.engines.vllm import VllmEngine

        return VllmEngine(base, settings)
    except (ImportError, OSError, RuntimeError, ValueError, AssertionError) as error:
        raise UserError(f"vllm does not load {base.name}: {type(error).__name__}: {one_line(error)}") from error
