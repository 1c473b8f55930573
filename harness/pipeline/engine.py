"""One engine for all that a stage asks of it, loaded at the first need."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from xlift.harness.models import adapters
from xlift.harness.pipeline.scheduling import share_cache
from xlift.harness.pipeline.stages import Run

if TYPE_CHECKING:
    from xlift.harness.engines.base import Engine


def start_once(run: Run, stack: ExitStack, beside: int = 1) -> Callable[[adapters.Adapter | None], Engine]:
    """A function that makes an adapter, or the base, current on an engine, which it loads at its first call."""
    started: list[Engine] = []

    def start(adapter: adapters.Adapter | None) -> Engine:
        if not started:
            from xlift.harness.engines.load import load_engine

            settings = run.suite.engine.model_copy(update={"kv_cache_gib": share_cache(run.suite, beside)})
            started.append(stack.enter_context(load_engine(run.base, settings)))
        started[0].swap(adapter)
        return started[0]

    return start
