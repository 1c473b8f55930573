"""What is known, before a run, of tasks that are not xlift's: their items and their metric, from data on this machine."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xlift.harness.config.suite import Suite
from xlift.harness.core.errors import one_line
from xlift.harness.evaluation.catalogue import open_catalogue
from xlift.tasks import index
from xlift.tasks.entries import Metric
from xlift.tasks.fetching import without_network
from xlift.tasks.foreign import choose_headline, describe_metrics, place_tasks

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ForeignTask:
    """One task of another maker."""

    benchmark: str
    """Its place on the leaderboard."""
    likelihood: bool
    """Whether the likelihoods of given answers are taken, so that none is generated."""
    items: int | None = None
    """The number of items; None if its data are not on this machine."""
    metric: Metric | None = None
    """Its headline metric; None if its data are not on this machine."""


def survey_foreign(suite: Suite, names: Sequence[str]) -> dict[str, ForeignTask]:
    """The tasks among ``names`` that are not xlift's. Nothing is fetched: lm-eval loads what is in the suite's folders and in caches."""
    foreign = [name for name in names if not index.is_ours(name)]
    if not foreign:
        return {}
    from lm_eval.tasks import TaskManager

    catalogue = open_catalogue(foreign, suite.evaluate.include_path)
    places = place_tasks({name: catalogue.subset(name) for name in foreign})
    manager = TaskManager(include_path=[str(folder) for folder in suite.evaluate.include_path], include_defaults=catalogue.defaults)
    found = {}
    for name in foreign:
        likelihood = catalogue.takes_likelihoods(name)
        try:
            with without_network():
                task = manager.load([name])["tasks"][name]
            found[name] = ForeignTask(places[name][0], likelihood, len(task.eval_docs), _find_headline(task))
        except (OSError, ValueError) as error:
            logger.warning("%s: how many items it has is not known, as its data are not on this machine (%s)", name, one_line(error)[:200])
            found[name] = ForeignTask(places[name][0], likelihood)
    return found


def _find_headline(task: Any) -> Metric | None:
    directions = task.higher_is_better()
    described = describe_metrics(dict.fromkeys(directions, 0.0), task.config.metric_list, directions)
    return described.get(choose_headline(described))
