"""``lm_eval --model xlift``: an engine from the arguments of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lm_eval.models  # noqa: F401  (the built-in models must stand in the registry before ours)
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, CacheHook
from lm_eval.api.registry import model_registry, register_model

from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.core.settings import build
from xlift.harness.engines.base import require_inside
from xlift.harness.engines.load import load_engine
from xlift.harness.models import adapters, bases
from xlift.harness.models.adapters import HUB
from xlift.harness.models.smollm2 import EMBEDDED
from xlift.tasks.faults import show_in_one_line

OF_BASE = ("revision", "chat_template", "date")
"""The arguments, beside ``base``, that are keys of a suite's ``base`` section."""


class XliftLM(LM):  # type: ignore[misc]
    """``lm_eval --model xlift --model_args base=...,adapter=...``: an engine from arguments, the same one that ``xlift evaluate`` uses.

    ``base``, ``revision``, ``chat_template`` and ``date`` are those of a suite's ``base`` section, ``adapter`` is a folder or
    ``hub:ORG/NAME``, and all others are those of its ``engine`` section. An adapter's profile needs ``--apply_chat_template``. The engine
    chooses the sizes of its batches, so ``batch_size`` and ``device`` are ignored. So is ``model``, the name that lm-eval gives to the
    folder of ``--output_path``.
    """

    def __init__(
        self,
        base: str = EMBEDDED,
        adapter: str | None = None,
        batch_size: Any = None,
        max_batch_size: Any = None,
        device: str | None = None,
        model: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        show_in_one_line()
        of_base = {key: settings.pop(key) for key in OF_BASE if key in settings}
        chosen = build(EngineSettings, settings, "--model_args")
        wanted = build(BaseSettings, {"model": base, **of_base}, "--model_args")
        found = adapters.resolve(adapter) if adapter else None
        if found and found.inside:
            if chosen.backend == "auto":
                chosen = chosen.model_copy(update={"backend": "hf"})
            require_inside(found, chosen.backend)
        self.engine = load_engine(bases.resolve(wanted, chosen), chosen)
        self.engine.swap(found)
        self._adapter = found
        self._lm = self.engine.lm()

    @classmethod
    def create_from_arg_obj(cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None) -> XliftLM:
        """The same as for every model of lm-eval's. If the arguments name no ``model``, it is set to base and adapter.

        After this call lm-eval reads the name of the results from the same arguments. If it finds none, it makes a random name.
        """
        made: XliftLM = super().create_from_arg_obj(arg_dict, additional_config)
        arg_dict.setdefault("model", made.name)
        return made

    @property
    def name(self) -> str:
        """Base and adapter, such as ``SmolLM2-135M-Instruct+fit-x-llama-seed0-0f3a``. Folders are named without their path."""
        base, adapter = self.engine.base, self._adapter
        names = [Path(base.name).name if Path(base.name).is_dir() else base.name]
        names += [adapter.short_name.removeprefix(HUB).removesuffix("/adapter")] if adapter else []
        return "+".join(names)

    def __getattr__(self, name: str) -> Any:
        if name == "_lm":  # not there yet, while __init__ runs
            raise AttributeError(name)
        return getattr(self._lm, name)

    @property
    def tokenizer_name(self) -> str:
        """Name of the loaded base, because lm-eval names request caches by it."""
        return str(self._lm.tokenizer_name)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """The same as the backend's own model does."""
        found: list[tuple[float, bool]] = self._lm.loglikelihood(requests)
        return found

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """The same as the backend's own model does."""
        found: list[float] = self._lm.loglikelihood_rolling(requests)
        return found

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """All requests at once on the engine."""
        found: list[str] = self._lm.generate_until(requests)
        return found

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Apply the base's template, or the one that was given."""
        return str(self._lm.apply_chat_template(chat_history, add_generation_prompt))

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The template's text, for lm-eval's record."""
        found: str | None = self._lm.chat_template(chat_template)
        return found

    def set_cache_hook(self, cache_hook: CacheHook) -> None:
        """The hook goes to the model that answers."""
        super().set_cache_hook(cache_hook)
        self._lm.set_cache_hook(cache_hook)


if "xlift" not in model_registry:  # releases after 0.4.13 may have read the entry point
    register_model("xlift")(XliftLM)
