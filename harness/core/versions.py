"""Versions of the libraries that can move a number."""

from __future__ import annotations

import importlib.metadata


def library_versions() -> dict[str, str]:
    """Versions of the libraries that can move a number."""
    wanted = ("xlift", "lm_eval", "torch", "transformers", "peft", "trl", "accelerate", "vllm", "sacrebleu", "py3langid", "datasets")
    versions = {}
    for name in wanted:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
