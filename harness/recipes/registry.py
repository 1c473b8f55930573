"""How methods are found by name: the files of ``methods/`` and the entry points of installed plugins."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import getdoc
from pathlib import Path
from pkgutil import iter_modules

import yaml

from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.settings import build
from xlift.harness.recipes.contained import contain
from xlift.harness.recipes.contract import RECIPES_VERSION, Method, Options
from xlift.harness.recipes.plugins import Code, identify_plugin


def names() -> list[str]:
    """The names of all methods that can be run."""
    return sorted({*list_built_in(), *_installed()})


def load(name: str, options: Mapping[str, object]) -> Method[Options]:
    """One method with its options over the defaults, which are in the YAML file beside its own. Imports only that method's file.

    Raises UserError for an unknown name or option, and for a plugin that cannot be imported.
    """
    method = find_method(name)
    return method(build(method.Options, {**read_defaults(method), **options}, f"method {name}"))


def load_labelled(label: str, name: str, options: Mapping[str, object]) -> Method[Options]:
    """``load``, with the label that a suite gives to the method at the beginning of an error message."""
    try:
        return load(name, options)
    except UserError as error:
        raise UserError(f"methods.{label}: {error}") from None


def read_defaults(method: type[Method[Options]]) -> dict[str, object]:
    """The options in the YAML file with the method's name; none if there is no such file."""
    path = Path(str(import_module(method.__module__).__file__)).with_suffix(".yaml")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}".replace("\n", " ")) from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds no mapping of options")
    return values


def describe(name: str) -> str:
    """The first line of what a method's file, or else its class, says about itself."""
    method = find_method(name)
    text = getdoc(import_module(method.__module__)) or getdoc(method) or ""
    return text.splitlines()[0] if text else ""


def identify(name: str) -> Code:
    """The code of a method. Raises UserError as ``find_method`` does."""
    method = find_method(name)
    plugin = identify_plugin(_installed()[name][0]) if is_plugin(name) else None
    return Code(method.version, RECIPES_VERSION, plugin)


def is_plugin(name: str) -> bool:
    """Whether a method is not xlift's own."""
    return name not in list_built_in()


def list_built_in() -> list[str]:
    """The methods of xlift's own: the files of ``methods/``."""
    return [module.name for module in iter_modules(import_module("xlift.methods").__path__)]


@cache
def _installed() -> dict[str, tuple[EntryPoint, ...]]:
    """The entry points by name. There are several for one name if packages clash."""
    points = entry_points(group="xlift.methods")
    return {name: tuple(dict.fromkeys(point for point in points if point.name == name)) for name in points.names}


def find_method(name: str) -> type[Method[Options]]:
    """The class of a method; raises UserError for an unknown name and for a plugin that cannot be imported."""
    points = _installed().get(name, ())
    if name in list_built_in():
        if points:
            raise UserError(f"method {name!r}: an installed plugin ({points[0].value}) has the name of a built-in method")
        return _checked(name, import_module(f"xlift.methods.{name}").METHOD)
    if not points:
        raise UserError(f"unknown method {name!r}{name_nearest(name, names())}")
    if len(points) > 1:
        places = ", ".join(sorted(point.value for point in points))
        raise UserError(f"method {name!r}: {len(points)} installed plugins have this name ({places}); uninstall all but one")
    try:
        with contain(plugin=True):  # whatever a stranger's module does when it is imported
            found = points[0].load()
    except UserError as error:
        raise UserError(f"method {name!r}: its plugin {points[0].value} does not load: {error}") from error
    return _checked(name, found)


def _checked(name: str, method: object) -> type[Method[Options]]:
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise UserError(f"method {name!r}: METHOD is {method!r}, not a subclass of xlift.harness.plugin.Method")
    return method
