"""How models are distributed among engines that measure side by side."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from math import ceil
from typing import TypeVar

import psutil

from xlift.harness.config.suite import Suite
from xlift.harness.models.bases import Base

GIB = 2**30
OF_WEIGHTS = 6
"""The memory of an engine for each byte of stored weights: in fp32, packed for the products, and once more while an adapter is merged."""
OF_LIBRARIES = 2 * GIB
SLOWING = 0.77
"""With k engines on the same cores, each takes k ** SLOWING times as long as one that has them all. With two, 1.7 times was measured: 125 s
against 73 s for the 128 prompts of a model (docs/performance.md)."""

T = TypeVar("T")


def share_out(models: Sequence[T], suite: Suite, base: Base) -> list[list[T]]:
    """One list of models for each engine, as equal as possible, in order.

    If ``evaluate.engines`` is not given, it is one engine. For vLLM on a CPU it is the number that finishes first (``SLOWING``) among those
    that the cores and the free memory allow: two with a core each finish four or nine models before one with both cores, but not three.
    """
    wanted = suite.evaluate.engines
    count = min(wanted, len(models)) if wanted else _count_engines(len(models), suite, base)
    return [list(models[first::count]) for first in range(count)]


def _count_engines(models: int, suite: Suite, base: Base) -> int:
    if suite.engine.backend not in ("auto", "vllm") or not _has_vllm_for_cpus():
        return 1
    stored = sum(path.stat().st_size for path in base.folder.glob("*.safetensors"))
    free: float = psutil.virtual_memory().available
    most = min(models, len(os.sched_getaffinity(0)))

    def fits(count: int) -> bool:
        return count * (OF_WEIGHTS * stored + OF_LIBRARIES + share_cache(suite, count) * GIB) <= free

    return min([1, *filter(fits, range(2, most + 1))], key=lambda count: ceil(models / count) * count**SLOWING)


def share_cache(suite: Suite, engines: int) -> float:
    """The GiB of ``engine.kv_cache_gib`` for each of the engines, but at least one, because less may not hold one prompt."""
    return max(1.0, suite.engine.kv_cache_gib / engines)


def _has_vllm_for_cpus() -> bool:
    try:
        return "cpu" in version("vllm")
    except PackageNotFoundError:
        return False
