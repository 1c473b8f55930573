"""Versions of the libraries that can change a number."""

from __future__ import annotations

import importlib.metadata

LIBRARIES = ("xlift", "lm_eval", "torch", "transformers", "peft", "trl", "accelerate", "vllm", "sacrebleu", "py3langid", "datasets")


def library_versions(*names: str) -> dict[str, str]:
    """The versions of the named distributions; ``not installed`` for those that are missing. Without names, those of ``LIBRARIES``."""
    versions = {}
    for name in names or LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
