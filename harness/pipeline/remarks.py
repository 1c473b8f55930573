"""What a person should know of a suite before it runs, although nothing of it is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from xlift.harness.config.suite import Suite
from xlift.tasks.benchmarks import find_task
from xlift.tasks.index import is_ours

MOST_NAMES = 3
"""The most tasks of one remark that are named."""


def list_remarks(suite: Suite, tasks: Sequence[str], left_out: Sequence[str]) -> list[str]:
    """A line for a base that was not chosen, for what is left out, for trained languages in which nothing is measured, and for tasks of a
    paper's scores that are not measured.

    ``tasks`` and ``left_out`` are what ``expand_tasks`` found.
    """
    remarks = []
    if "model" not in suite.base.model_fields_set:
        remarks.append(f"base: {suite.base.model}, the default, as base.model is not set")
    remarks += [f"left out: {line}" for line in left_out]
    if unmeasured := find_unmeasured(suite, tasks):
        remarks.append(
            f"warning: no task measures {', '.join(unmeasured)}, which the methods train; add what is missing to languages.evaluate and "
            "evaluate.tasks, unless you want to see only what other languages gain"
        )
    given = dict.fromkeys(one.task_in(code) for one in suite.expected for code in one.languages)
    if unasked := [task for task in given if task not in tasks]:
        named = ", ".join(unasked[:MOST_NAMES]) + (f" and {len(unasked) - MOST_NAMES} more" if len(unasked) > MOST_NAMES else "")
        remarks.append(f"expected: {named}: not among the suite's tasks, so the paper's scores there will have none of ours beside them")
    return remarks


def find_unmeasured(suite: Suite, tasks: Sequence[str]) -> list[str]:
    """Trained languages in which no task is. Tasks of other makers are in the languages that replace ``{lang}``; where such a task is named
    as it is, its language is not known, so all may be measured and none is returned."""
    foreign = [pattern for pattern in suite.evaluate.tasks if not is_ours(pattern)]
    if any("{" not in pattern for pattern in foreign):
        return []
    measured = set(suite.languages.evaluate if foreign else ())
    for name in tasks:
        if found := find_task(name):
            measured.update(found.languages)
    trained = dict.fromkeys(code for label in suite.methods for code in suite.trained(label))
    return [code for code in trained if code not in measured]
