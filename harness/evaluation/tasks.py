"""A suite's tasks by name, made ready for lm-eval."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xlift.harness.config.suite import Suite
from xlift.harness.core.errors import LanguageMissingError, UserError, name_nearest
from xlift.harness.core.languages import find
from xlift.harness.evaluation.catalogue import Catalogue, open_catalogue
from xlift.harness.evaluation.items import draw_items
from xlift.tasks import data, index, make_yaml
from xlift.tasks.benchmarks import has_articles
from xlift.tasks.data import Origin
from xlift.tasks.foreign import place_tasks


def expand_tasks(suite: Suite) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The suite's tasks by name, and a line for each language that a benchmark lacks.

    ``{lang}`` and ``{flores}`` are replaced by every evaluation language; a pair of a language with itself is left out. Groups are split
    into their tasks. Raises UserError for a task that does not exist, for one that the engine cannot do, and for a limit of tasks that do
    not exist.
    """
    names: dict[str, None] = {}
    lacking: list[str] = []
    patterns = {pattern: _fill(pattern, suite.languages.evaluate) for pattern in suite.evaluate.tasks}
    foreign = [name for filled in patterns.values() for name in filled if not index.is_ours(name)]
    catalogue = open_catalogue(foreign, suite.evaluate.include_path) if foreign else None
    for pattern, filled in patterns.items():
        if "{" in pattern and index.is_ours(pattern):
            index.require_family(pattern)
        found = {name: _find(name, code, catalogue) for name, code in filled.items()}
        names.update(dict.fromkeys(task for tasks in found.values() for task in tasks))
        absent = [filled[name] for name, tasks in found.items() if not tasks and not index.pairs_with_itself(name)]
        lacking += [f"{pattern}: the benchmark has no {code}" for code in absent]
        if catalogue and not any(found.values()) and not index.is_ours(pattern):
            first = next(iter(filled))
            raise UserError(
                f"evaluate.tasks: {pattern!r} is no task in {', '.join(filled.values())}: neither xlift nor lm-eval has {first!r}"
                f"{name_nearest(first, catalogue.entries)}"
            )
    for name in names:
        if plain := index.name_unjudged(name):
            raise UserError(f"evaluate.tasks: {name!r} is for plain lm_eval; name {plain!r}, and the judge in the suite's judge block")
    scored = [name for name in names if index.takes_likelihoods(name) or (catalogue and catalogue.takes_likelihoods(name))]
    if suite.engine.backend == "api" and scored:
        raise UserError(
            f"evaluate.tasks: {scored[0]!r} asks for likelihoods, which a served model does not give; choose tasks that generate, or set "
            "engine.backend to vllm or hf"
        )
    if not names:
        raise UserError(f"evaluate.tasks: no task of {', '.join(suite.evaluate.tasks)} exists for {', '.join(suite.languages.evaluate)}")
    _check_limits(suite, names)
    return tuple(names), tuple(lacking)


def _check_limits(suite: Suite, names: Iterable[str]) -> None:
    """Raise UserError for a limit of tasks that exist nowhere. Tasks that the suite does not measure may have one."""
    for start in suite.evaluate.limits:
        if any(name.startswith(start) for name in names) or (index.is_ours(start) and index.exists(start)):
            continue
        known = index.names() if index.is_ours(start) else tuple(open_catalogue([start], suite.evaluate.include_path).entries)
        if not any(name.startswith(start) for name in known):
            raise UserError(f"evaluate.limits.{start}: no task's name begins so{name_nearest(start, [*names, *known])}")


def _find(name: str, code: str, catalogue: Catalogue | None) -> list[str]:
    """The tasks of a name; none if it was made for the language ``code``, which the benchmark lacks. Raises UserError as ``expand``
    does."""
    if catalogue is None or index.is_ours(name):
        return index.expand(name) if not code or index.exists(name) else []
    return catalogue.expand(name) if not code or name in catalogue.entries else []


def _fill(pattern: str, languages: Sequence[str]) -> dict[str, str]:
    """The names that a pattern stands for, each with its language; empty if the name is no pattern."""
    if "{" not in pattern:
        return {pattern: ""}
    return {pattern.replace("{lang}", code).replace("{flores}", find(code).flores): code for code in languages}


def identify_foreign(suite: Suite, names: Sequence[str]) -> dict[str, str]:
    """What distinguishes the questions of each task that is not xlift's from others of its name."""
    foreign = [name for name in names if not index.is_ours(name)]
    catalogue = open_catalogue(foreign, suite.evaluate.include_path) if foreign else None
    return {name: catalogue.identify(name) for name in foreign} if catalogue else {}


def locate_data(suite: Suite, names: Sequence[str], *, fetch: bool = True) -> tuple[dict[str, Origin | None], tuple[str, ...]]:
    """Where each task's data come from, and a line for each group in which some languages' data cannot be read.

    Tasks of such a group that are not named by themselves are left out. Without ``fetch``, the origin of data that are not on this machine
    yet is None. Raises UserError if the data of a task that is named are missing, if a group has no data at all, and with ``data.strict``
    for each task whose data are missing.
    """
    groups = _find_groups(suite)
    found: dict[str, Origin | None] = {}
    missing: dict[str, dict[str, LanguageMissingError]] = {}
    for name in names:
        try:
            found[name] = index.data_of(name, suite.data.samples) if fetch or not index.is_away(name, suite.data.samples) else None
        except LanguageMissingError as error:
            if suite.data.strict or name not in groups:
                raise
            missing.setdefault(groups[name], {})[name] = error
    lines = []
    for group, errors in missing.items():
        if not any(groups.get(name) == group for name in found):
            # Of all its languages, say what can be done for one that has bundled samples, if there is one.
            raise max(errors.values(), key=lambda error: "XLIFT_SAMPLES" in str(error))
        lines.append(f"{group}: no data for {', '.join(errors)} ({next(iter(errors.values()))})")
    return found, tuple(lines)


def _find_groups(suite: Suite) -> dict[str, str]:
    """The group of each task of ours that the suite names only by a group."""
    patterns = [name for pattern in suite.evaluate.tasks for name in _fill(pattern, suite.languages.evaluate) if index.is_ours(name)]
    members = {name: index.expand(name) for name in patterns if index.exists(name)}
    return {task: name for name, tasks in members.items() for task in tasks if task not in patterns}


@dataclass(frozen=True)
class TaskSet:
    """Tasks that were made ready for lm-eval once and can be run by any number of models."""

    names: tuple[str, ...]
    manager: Any
    """lm-eval's TaskManager, which knows the tasks."""
    items: dict[str, list[int]] | None
    """The item numbers of the tasks that are limited; None if none is."""
    articles: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """For tasks whose documents belong to known articles: the article of each document, by its id."""
    places: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The leaderboard's benchmark and language of the tasks that are not xlift's."""

    def take_share(self, number: int, of: int) -> TaskSet:
        """One of ``of`` ranges of each task's items, numbered from 1 and as equal as can be; tasks that have no item in it are left out."""
        items = {}
        for name in self.names:
            places = self.items[name] if self.items and name in self.items else list(range(len(_list_documents(self.manager, name))))
            if share := places[len(places) * (number - 1) // of : len(places) * number // of]:
                items[name] = share
        articles = {name: found for name, found in self.articles.items() if name in items}
        return replace(self, names=tuple(items), items=items, articles=articles)


@contextmanager
def open_tasks(suite: Suite, names: Sequence[str]) -> Iterator[TaskSet]:
    """Make tasks ready for lm-eval. Raises UserError for a task that neither xlift nor lm-eval has."""
    from lm_eval.tasks import TaskManager

    with tempfile.TemporaryDirectory() as extra:
        asking = make_yaml.Asking(suite.evaluate.prompt_style, suite.evaluate.num_fewshot)
        index.write_tasks(names, Path(extra), asking)
        foreign = [name for name in names if not index.is_ours(name)]
        catalogue = open_catalogue(foreign, suite.evaluate.include_path) if foreign else None
        shipped = [index.folder()] if asking == make_yaml.AS_FILED else []  # else all of ours were written
        folders = [str(folder) for folder in (*shipped, extra, *suite.evaluate.include_path)]
        defaults = catalogue is not None and catalogue.defaults
        manager = TaskManager(include_path=folders, include_defaults=defaults, metadata={"samples": suite.data.samples})
        subsets = {name: catalogue.subset(name) for name in foreign} if catalogue else {}
        articles = find_articles(suite, names)
        yield TaskSet(tuple(names), manager, _choose_items(manager, suite, names, articles), articles, place_tasks(subsets))


def require_shots(suite: Suite, names: Sequence[str]) -> list[str]:
    """The tasks of xlift's for which the suite shows examples. Raises UserError for a benchmark that has no split with examples."""
    shown = [name for name in names if suite.evaluate.num_fewshot and index.is_ours(name)]
    for name in shown:
        if index.shots_of(name) is None:
            raise UserError(f"evaluate.num_fewshot: {name!r} has no split that could give examples; leave the task out, or set it to 0")
    return shown


def check_shots(suite: Suite, names: Sequence[str]) -> None:
    """Raise UserError if a benchmark of xlift's has fewer examples than the suite asks for, or they cannot be read."""
    wanted = suite.evaluate.num_fewshot
    for name in require_shots(suite, names):
        source = index.shots_of(name)
        if source and (there := len(data.read(*source, samples=suite.data.samples))) < wanted:
            raise UserError(f"evaluate.num_fewshot: {name!r} has {there} examples, and {wanted} are asked for")


def find_articles(suite: Suite, names: Sequence[str], *, fetch: bool = True) -> dict[str, Mapping[str, str]]:
    """The article of each document by its id, for the tasks that have articles. The languages of one split share them."""
    known: dict[tuple[str, str, bool], Mapping[str, str]] = {}
    found: dict[str, Mapping[str, str]] = {}
    for name in names:
        if not has_articles(name) or (source := index.source_of(name)) is None:
            continue
        corpus, _, split = source
        sampled = index.data_of(name, suite.data.samples)
        key = (corpus, split, sampled is not None and sampled.origin == "samples")
        if key not in known:
            known[key] = index.articles_of(name, suite.data.samples, fetch=fetch)
        if known[key]:
            found[name] = known[key]
    return found


def _choose_items(
    manager: Any, suite: Suite, tasks: Sequence[str], articles: Mapping[str, Mapping[str, str]]
) -> dict[str, list[int]] | None:  # fmt: skip
    limits = {task: limit for task in tasks if (limit := limit_of(suite, task)) is not None}
    if not limits:
        return None
    return {task: draw_items(_list_documents(manager, task), limit, articles.get(task, {})) for task, limit in limits.items()}


def _list_documents(manager: Any, task: str) -> list[dict[str, Any]]:
    return list(manager.load([task])["tasks"][task].eval_docs)


def limit_of(suite: Suite, task: str) -> int | None:
    """The number of items of a task that the suite asks for."""
    return choose_limit(task, suite.evaluate.limit, suite.evaluate.limits)


def choose_limit(task: str, limit: int | None, limits: Mapping[str, int]) -> int | None:
    """The value of the longest key of ``limits`` with which the task's name begins, else ``limit``."""
    fitting = [start for start in limits if task.startswith(start)]
    return limits[max(fitting, key=len)] if fitting else limit
