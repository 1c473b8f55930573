"""Which code makes a method's rows: versions, and for an installed plugin its distribution and a hash of its files."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

from xlift.harness.core.errors import UserError
from xlift.harness.core.hashing import hash_files, list_files


@dataclass(frozen=True)
class Plugin:
    """The code of a method that is not xlift's own."""

    distribution: str
    version: str
    sha256: str
    """The hash of the files of its package, including data, because authors forget to raise a version when they change a helper."""


@dataclass(frozen=True)
class Code:
    """The code of a method, as stages identify it. Source text is no part of it, because a comment changes no row."""

    version: int
    """The method's own version."""
    recipes: int
    """RECIPES_VERSION."""
    plugin: Plugin | None
    """The plugin; None for a method of xlift's own, for which the tests' golden rows show whether a change of its code changes rows."""


def identify_plugin(point: EntryPoint) -> Plugin:
    """The code behind an entry point. Raises UserError if no installed distribution has it."""
    if point.dist is None:
        raise UserError(f"method {point.name!r}: no installed distribution has its plugin {point.value}; install it with pip")
    listed = (point.dist.read_text("top_level.txt") or "").split()
    found: dict[str, Path] = {}
    for name in (_find_outermost(point.module), *listed):
        found |= _find_files(name)
    return Plugin(point.dist.name, point.dist.version, hash_files(found))


def _find_outermost(module: str) -> str:
    """The outermost package that contains a module. A namespace package does not count, because other distributions have parts in it."""
    outer = module.rpartition(".")[0]
    spec = find_spec(outer) if outer else None
    return _find_outermost(outer) if spec and spec.origin else module


def _find_files(module: str) -> dict[str, Path]:
    """The files of a package by their names, or a single module and the file of defaults beside it."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return {}
    file = Path(spec.origin)
    inside = list_files(file.parent) if spec.submodule_search_locations else [file, file.with_suffix(".yaml")]
    top = file.parent.parent if spec.submodule_search_locations else file.parent
    return {path.relative_to(top).as_posix(): path for path in inside if path.is_file()}
