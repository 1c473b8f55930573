"""One engine for everything that a stage asks of it, loaded when it is first needed."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from xlift.harness.models.adapters import Adapter
from xlift.harness.pipeline.scheduling import share_cache
from xlift.harness.pipeline.stages import Run

if TYPE_CHECKING:
    from xlift.harness.engines.base import Engine
    from xlift.harness.engines.hf import HfEngine


class StageEngine:
    """The engine of a stage, or of several stages: a context manager that loads it when it is first asked for and closes it at the end."""

    def __init__(self, run: Run, beside: int = 1) -> None:
        """``beside`` is the number of engines that share the memory for the cache."""
        self._base = run.base
        self._settings = run.suite.engine.model_copy(update={"kv_cache_gib": share_cache(run.suite, beside)})
        self._engine: Engine | None = None
        self._stands_in = False

    def hold(self, adapter: Adapter | None) -> Engine:
        """The engine with an adapter, or with None the base, as its current weights."""
        if self._engine is None or self._stands_in:
            from xlift.harness.engines.load import load_engine

            self._close()
            self._engine = load_engine(self._base, self._settings)
        self._engine.swap(adapter)
        return self._engine

    def hold_model(self, adapter: Adapter | None) -> HfEngine:
        """The base with an adapter as a transformers model, inside which can be read. Another engine is closed to make room for it."""
        from xlift.harness.engines.hf import HfEngine

        engine = self._engine
        if not isinstance(engine, HfEngine):
            self._close()
            self._engine = engine = HfEngine(self._base, self._settings.model_copy(update={"backend": "hf"}))
            self._stands_in = True
        engine.swap(adapter)
        return engine

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self._engine, self._stands_in = None, False

    def __enter__(self) -> StageEngine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()
