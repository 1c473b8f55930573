"""A suite's tasks by name, made ready for lm-eval."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlift.harness.config.suite import Suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import find
from xlift.harness.evaluation.items import draw_items
from xlift.tasks import index


def expand_tasks(suite: Suite) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The suite's tasks by name, and ``benchmark: language`` for each language that a benchmark lacks.

    ``{lang}`` and ``{flores}`` stand for every evaluation language; a pair of a language with itself is left out.
    Raises UserError for a task that does not exist.
    """
    names: dict[str, None] = {}
    lacking: list[str] = []
    for pattern in suite.evaluate.tasks:
        if "{" not in pattern:
            names.update(dict.fromkeys(index.expand(pattern)))
            continue
        for code in suite.languages.evaluate:
            try:
                name = pattern.format(lang=code, flores=find(code).flores)
            except (KeyError, IndexError, ValueError):
                raise UserError(f"evaluate.tasks: {pattern!r}: only {{lang}} and {{flores}} stand for something") from None
            if index.exists(name):
                names[name] = None
            elif not index.pairs_with_itself(name):
                lacking.append(f"{pattern}: {code}")
    for name in names:
        if plain := index.name_unjudged(name):
            raise UserError(f"evaluate.tasks: {name!r} is for plain lm_eval; name {plain!r}, and the judge in the suite's judge block")
    if not names:
        raise UserError(f"evaluate.tasks: no task of {', '.join(suite.evaluate.tasks)} exists for {', '.join(suite.languages.evaluate)}")
    return tuple(names), tuple(lacking)


@dataclass(frozen=True)
class TaskSet:
    """Tasks made ready for lm-eval once, to be run by any number of models."""

    names: tuple[str, ...]
    manager: Any
    """lm-eval's TaskManager, which knows the tasks."""
    items: dict[str, list[int]] | None
    """Item numbers of the tasks that are limited; None where none is."""


@contextmanager
def open_tasks(suite: Suite, names: Sequence[str]) -> Iterator[TaskSet]:
    """Make tasks ready for lm-eval. Raises UserError for a task that neither xlift nor lm-eval has."""
    from lm_eval.tasks import TaskManager

    with tempfile.TemporaryDirectory() as extra:
        index.write_pairs(names, Path(extra))
        foreign = [name for name in names if not index.is_ours(name)]
        # Indexing lm-eval's own 13,000 tasks takes 5 seconds: only where one of them is asked for.
        folders, metadata = [str(index.folder()), extra], {"samples": suite.data.samples}
        manager = TaskManager(include_path=folders, include_defaults=bool(foreign), metadata=metadata)
        if missing := [name for name in foreign if name not in manager.all_tasks]:
            raise UserError(f"unknown task {missing[0]!r}: neither xlift nor lm-eval has it; `xlift ls tasks` lists ours")
        yield TaskSet(tuple(names), manager, _choose_items(manager, suite, names))


def _choose_items(manager: Any, suite: Suite, tasks: Sequence[str]) -> dict[str, list[int]] | None:
    limits = {task: limit for task in tasks if (limit := limit_of(suite, task)) is not None}
    if not limits:
        return None
    loaded = manager.load(list(limits))["tasks"]
    return {task: draw_items(list(loaded[task].eval_docs), limit) for task, limit in limits.items()}


def limit_of(suite: Suite, task: str) -> int | None:
    """How many items of a task the suite asks for: the longest matching key of ``limits``, else ``limit``."""
    fitting = [start for start in suite.evaluate.limits if task.startswith(start)]
    return suite.evaluate.limits[max(fitting, key=len)] if fitting else suite.evaluate.limit
