"""Tasks that are not xlift's, by name: those in a suite's folders (``evaluate.include_path``), and lm-eval's own."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.hashing import hash_files, list_files


@dataclass(frozen=True)
class Catalogue:
    """The tasks, groups and tags in some folders of task files, and with ``defaults`` those of lm-eval too."""

    folders: tuple[Path, ...]
    defaults: bool
    entries: dict[str, Any]
    """lm-eval's index: kind, file and settings by name."""

    def expand(self, name: str) -> list[str]:
        """The tasks of a group or a tag, or the task itself.

        Raises UserError with the nearest name, and for a group that cannot be split.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise UserError(f"evaluate.tasks: unknown task {name!r}{name_nearest(name, self.entries)}; neither xlift nor lm-eval has it")
        if entry.kind.name == "TAG":
            return sorted(entry.tags)
        if entry.kind.name != "GROUP":
            return [name]
        members = (entry.cfg or {}).get("task") or []
        found: dict[str, None] = {}
        for member in members if isinstance(members, list) else [members]:
            found.update(dict.fromkeys(self._expand_member(name, member)))
        return list(found)

    def _expand_member(self, group: str, member: object) -> Iterable[str]:
        if isinstance(member, str):
            return self.expand(member)
        inner = member.get("task") if isinstance(member, dict) else None
        if isinstance(member, dict) and isinstance(inner, list):
            return [task for one in inner for task in self._expand_member(group, one)]
        if isinstance(member, dict) and isinstance(inner, str) and member.keys() <= {"task", "task_alias"}:
            return self.expand(inner)
        raise UserError(
            f"evaluate.tasks: the group {group!r} changes settings of its tasks, so it cannot be split; name the tasks themselves"
        )

    def subset(self, task: str) -> object:
        """The subset of the data that a task's settings name (``dataset_name``)."""
        return (self.entries[task].cfg or {}).get("dataset_name") if task in self.entries else None

    def takes_likelihoods(self, task: str) -> bool:
        """Whether a task asks how likely given answers are, and has none generated."""
        entry = self.entries.get(task)
        return entry is not None and (entry.cfg or {}).get("output_type", "generate_until") != "generate_until"

    def identify(self, task: str) -> str:
        """What distinguishes the questions of a task from others of its name: lm-eval's version, or a hash of the folder in which the task
        is."""
        file = self.entries[task].yaml_path
        for folder in self.folders:
            if file is not None and Path(file).resolve().is_relative_to(folder.resolve()):
                return hash_files({path.relative_to(folder).as_posix(): path for path in list_files(folder)})
        return f"lm_eval {version('lm_eval')}"


def open_catalogue(names: Iterable[str], folders: Sequence[Path]) -> Catalogue:
    """A catalogue of the folders, and of lm-eval's own tasks if the folders lack one of ``names``.

    To index lm-eval's own 13,000 tasks takes 5 seconds; it is done once in a process. Raises UserError for a folder that does not exist.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"evaluate.include_path: {folder}: no such folder")
    own = _index(tuple(folders), False)
    return own if all(name in own.entries for name in names) else _index(tuple(folders), True)


@cache
def _index(folders: tuple[Path, ...], defaults: bool) -> Catalogue:
    from lm_eval.tasks import TaskManager

    with _quiet():
        manager = TaskManager(include_path=[str(folder) for folder in folders], include_defaults=defaults)
    return Catalogue(folders, defaults, dict(manager.task_index))


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress lm-eval's warnings about names that occur twice among its own tasks."""
    logger = logging.getLogger("lm_eval.tasks._index")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
