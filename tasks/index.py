"""The tasks by name: which there are, which data each asks for, and FLORES pairs made on demand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.languages import find, languages
from xlift.tasks import data, make_yaml
from xlift.tasks.articles import find_articles
from xlift.tasks.benchmarks import BENCHMARKS, find_task, split_pair
from xlift.tasks.entries import Task
from xlift.tasks.make_yaml import AS_FILED, Asking

Source = tuple[str, str, str]
"""The corpus, language and split of a task's data."""


class _Loader(yaml.SafeLoader):
    """Reads task YAML without importing what ``!function`` names."""


_Loader.add_constructor("!function", lambda loader, node: str(node.value))


def folder() -> Path:
    """The folder for ``lm_eval --include_path``."""
    return Path(__file__).parent


def is_ours(name: str) -> bool:
    """Whether a task or group is xlift's. Others are left to lm-eval."""
    return name.startswith("xlift_")


def names() -> list[str]:
    """All tasks and groups that have a file; FLORES pairs without English are made on demand."""
    return list(_files())


def exists(name: str) -> bool:
    """Whether a task exists: it has a file, or is a FLORES pair that can be written, or is not xlift's (lm-eval's own tasks are not checked
    here)."""
    return not is_ours(name) or name in _files() or find_task(name) is not None


def pairs_with_itself(name: str) -> bool:
    """Whether a task would ask for a translation from a language into itself."""
    pair = split_pair(name)
    return pair is not None and pair[1] == pair[2]


def name_unjudged(name: str) -> str | None:
    """The task that asks for the same answers without a judge; None for a task without a judge."""
    task = find_task(name)
    if task is None or not task.benchmark.judged:
        return None
    plain = next(one for one in BENCHMARKS.values() if one.corpus == task.benchmark.corpus and one.generated and not one.judged)
    return replace(task, benchmark=plain).name


def expand(name: str) -> list[str]:
    """The tasks of a group, or the task itself. Raises UserError with the nearest name."""
    if not exists(name):
        raise UserError(f"evaluate.tasks: unknown task {name!r}{name_nearest(name, _files())}")
    members = _read(name).get("task") if name in _files() else None
    return [one for member in members for one in expand(member)] if isinstance(members, list) else [name]


def require_family(pattern: str) -> None:
    """Raise UserError, with the nearest name, if a pattern with ``{lang}`` or ``{flores}`` matches no task in any language."""
    shape = re.escape(pattern).replace(r"\{lang\}", r"[\w-]+").replace(r"\{flores\}", r"\w+")
    if not any(re.fullmatch(shape, name) for name in _files()):
        example = pattern.format(lang="es", flores="spa_Latn")
        raise UserError(f"evaluate.tasks: no task in any language is named like {pattern!r}{name_nearest(example, _files())}")


def source_of(name: str) -> Source | None:
    """The data that a task reads; None for tasks that are not xlift's. Raises UserError for one that xlift does not know."""
    return _task(name).source if is_ours(name) else None


def shots_of(name: str) -> Source | None:
    """The data from which the examples of a task's prompts come; None if it has none."""
    task = find_task(name)
    if task is None or not task.benchmark.shots:
        return None
    corpus, lang, _ = task.source
    return corpus, lang, task.benchmark.shots


def answer_language(name: str) -> str | None:
    """The short code of the language in which a task's answers are expected: the target of a translation, the context of a cross-lingual
    question.

    None for tasks that are not xlift's.
    """
    task = find_task(name)
    return task.answer_language if task else None


def written_language(name: str) -> str | None:
    """``answer_language`` of a task whose answers are generated; None for a task that takes likelihoods."""
    task = find_task(name)
    return task.answer_language if task and task.benchmark.generated else None


def takes_likelihoods(name: str) -> bool:
    """Whether a task asks how likely given answers are; false for tasks that are not xlift's, of which it is not known."""
    task = find_task(name)
    return task is not None and not task.benchmark.generated


def allowance_of(name: str) -> int:
    """The most tokens of an answer; 0 for a task that generates none, and for one that is not xlift's."""
    task = find_task(name)
    return max(task.form.tokens) if task and task.form.tokens else 0


def sources(names: Iterable[str]) -> list[Source]:
    """The data that the tasks read, each once."""
    found = (source_of(name) for name in names)
    return list(dict.fromkeys(source for source in found if source))


def version_of(name: str) -> float | None:
    """The version of a task, which is raised when its prompt or its scores change; None for tasks that are not xlift's."""
    return _task(name).benchmark.version if is_ours(name) else None


def data_of(name: str, samples: data.Samples) -> data.Origin | None:
    """Where a task's data come from, with their hash. Raises UserError if they cannot be found."""
    source = source_of(name)
    return data.locate(*source, samples=samples) if source else None


def articles_of(name: str, samples: data.Samples, *, fetch: bool = True) -> dict[str, str]:
    """The article of each of a task's documents, by its id; empty if that is not known, or if the documents belong to no articles.

    Without ``fetch`` nothing is fetched.
    """
    source = source_of(name)
    return find_articles(*source, samples=samples, fetch=fetch) if source else {}


def is_away(name: str, samples: data.Samples) -> bool:
    """Whether a task's data would have to be fetched."""
    source = source_of(name)
    return source is not None and data.survey(*source, samples=samples).state == "to fetch"


def signatures_of(name: str) -> dict[str, str]:
    """sacrebleu's signatures of a translation task's metrics; empty for other tasks."""
    task = find_task(name)
    if task is None or task.benchmark.scorer != "translation":
        return {}
    from xlift.tasks.translation import signatures

    return signatures(task.answer_language)


def write_tasks(names: Iterable[str], out: Path, asking: Asking = AS_FILED) -> None:
    """Write the YAML of the tasks that have no such file: pairs made on demand, and all tasks that are asked otherwise than their files
    say."""
    for name in names:
        if is_ours(name) and asking != AS_FILED:
            make_yaml.write_variant(_task(name), out, asking)
        elif is_ours(name) and name not in _files():
            task = _task(name)
            source, target = task.languages
            make_yaml.write_pair(source, target, out, task.benchmark.name)


def write_pair_file(pair: str, out: Path) -> Path:
    """Write one FLORES pair, ``deu_Latn-fra_Latn`` or ``de-fr``, and return its file."""
    source, dash, target = pair.partition("-")
    if not dash:
        raise UserError(f"--pair {pair!r}: write two languages with '-' between them, such as deu_Latn-fra_Latn")
    return make_yaml.write_pair(find(source).flores, find(target).flores, out)


def write_dev_files(names: Iterable[str], out: Path) -> list[Path]:
    """Write tasks, and the tasks of groups, on the dev split of their benchmarks, and return their files."""
    wanted = list(names)
    for name in wanted:
        if not is_ours(name) or not exists(name):
            raise UserError(f"--dev: unknown task {name!r}{name_nearest(name, _files())}")
    return [make_yaml.write_dev(_task(task), out) for name in wanted for task in expand(name)]


def list_all() -> list[dict[str, Any]]:
    """The groups with their sizes, then the tasks."""
    rows = [
        {"name": name, "tasks": len(expand(name)), "reads": "/".join(source_of(name) or ()) if len(expand(name)) == 1 else ""}
        for name in sorted(_files())
    ]
    return sorted(rows, key=lambda row: (row["tasks"] == 1, row["name"]))


def languages_of_benchmarks() -> dict[str, list[str]]:
    """The corpora of the benchmarks that have a language, by its short code."""
    spoken = {one.corpus: one.languages for one in BENCHMARKS.values()}
    return {code: [corpus for corpus, codes in spoken.items() if code in codes] for code in languages()}


@cache
def _files() -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder().glob("*/xlift_*.yaml"))}


@cache
def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(_files()[name].read_text(encoding="utf-8"), _Loader)
    return found


def _task(name: str) -> Task:
    found = find_task(name)
    if found is None:
        raise UserError(f"unknown task {name!r}{name_nearest(name, _files())}")
    return found
