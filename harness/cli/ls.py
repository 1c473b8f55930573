"""What there is: methods, tasks, languages, suites, and what works on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xlift.harness.config.suite import load_suite, shipped_suites
from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import languages
from xlift.harness.recipes import registry

Rows = list[dict[str, Any]]


def list_methods() -> Rows:
    """Built-in and installed methods with the first line of what they say, or of what is wrong with them."""
    return [{"method": name, "about": _describe_method(name)} for name in registry.names()]


def _describe_method(name: str) -> str:
    try:
        return registry.describe(name)
    except UserError as error:
        return f"cannot be used: {error}"


def list_tasks() -> Rows:
    """Groups, each with its tasks counted, then the single tasks."""
    from xlift.tasks import index

    return index.list_all()


def list_languages() -> Rows:
    """The 204 languages of FLORES-200 and the benchmarks that have them."""
    from xlift.tasks import index

    covered = index.languages_of_benchmarks()
    return [
        {"code": language.code, "flores": language.flores, "name": language.name, "own name": language.own_name,
         "benchmarks": " ".join(covered.get(language.code, ()))}
        for language in languages().values()
    ]  # fmt: skip


def list_suites() -> Rows:
    """Suites that ship, with what they compare."""
    loaded = {name: load_suite(name) for name in shipped_suites()}
    return [{"suite": name, "base": suite.base.model, "methods": ", ".join(suite.methods)} for name, suite in loaded.items()]


LISTS: dict[str, Callable[[], Rows]] = {
    "methods": list_methods,
    "tasks": list_tasks,
    "languages": list_languages,
    "suites": list_suites,
}
