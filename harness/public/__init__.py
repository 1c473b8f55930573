"""xlift: train, measure and compare methods that lift a language model's multilingual ability.

    import xlift
    suite = xlift.load_suite("my-suite.yaml", train={"tokens": 2_000_000})
    results = xlift.run(suite)
    results.lifts()

Each name is loaded when it is first used: ``import xlift`` itself loads no library. docs/api.md shows them all.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlift.api import (
        JudgeError,
        build_site,
        calibrate,
        evaluate,
        fit_scaling,
        list_languages,
        list_methods,
        list_suites,
        list_tasks,
        load_suite,
        merge,
        plan,
        plan_items,
        prepare,
        probe,
        pull,
        push,
        push_all,
        push_site,
        run,
        submit,
        train,
        validate,
        work,
    )
    from xlift.data import add_data, build_data, check_data, get_data, list_corpora, survey
    from xlift.harness import plugin
    from xlift.harness.config.suite import Suite
    from xlift.harness.core.errors import UserError
    from xlift.harness.evaluation.records import Record
    from xlift.harness.publishing.hub import Pushed, PushPlan, Target
    from xlift.records import check_record, export_record, reproduce
    from xlift.results import Results, load_results

    __version__: str

__all__ = [
    "JudgeError", "PushPlan", "Pushed", "Record", "Results", "Suite", "Target", "UserError", "__version__", "add_data", "build_data",
    "build_site", "calibrate", "check_data", "check_record", "evaluate", "export_record", "fit_scaling", "get_data", "list_corpora",
    "list_languages", "list_methods", "list_suites", "list_tasks", "load_results", "load_suite", "merge", "plan", "plan_items", "plugin",
    "prepare", "probe", "pull", "push", "push_all", "push_site", "reproduce", "run", "submit", "survey", "train", "validate", "work",
]  # fmt: skip

PLACES = {
    **dict.fromkeys(("check_record", "export_record", "reproduce"), "xlift.records"),
    **dict.fromkeys(("add_data", "build_data", "check_data", "get_data", "list_corpora", "survey"), "xlift.data"),
    "PushPlan": "xlift.harness.publishing.hub",
    "Pushed": "xlift.harness.publishing.hub",
    "Record": "xlift.harness.evaluation.records",
    "Results": "xlift.results",
    "Suite": "xlift.harness.config.suite",
    "Target": "xlift.harness.publishing.hub",
    "UserError": "xlift.harness.core.errors",
    "load_results": "xlift.results",
}
"""The modules of the names that are not in ``xlift.api``."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        found: Any = version("xlift")
    elif name == "plugin":
        found = import_module("xlift.harness.plugin")
    elif name in __all__:
        found = getattr(import_module(PLACES.get(name, "xlift.api")), name)
    else:
        raise AttributeError(f"module 'xlift' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
