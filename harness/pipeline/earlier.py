"""Results that a model has already: a task that was measured before is taken over into a new measurement, and not measured again.

A measurement's manifest says what determined it. So it is known what determined the result of each of its tasks, whichever tasks were
measured together with it. Manifests of xlift 0.1 name no versions of tasks, so nothing is taken over from them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from xlift.harness.core.hashing import digest, file_sha256
from xlift.harness.core.store import read_manifest
from xlift.harness.evaluation.evaluate import WHOLE_ANSWERS
from xlift.harness.evaluation.records import Measurement, TaskResult, read_measurement
from xlift.harness.evaluation.samples import read_lines
from xlift.harness.evaluation.tasks import choose_limit

if TYPE_CHECKING:
    from xlift.harness.engines.lm_eval_model import WholeAnswer

Known = Mapping[str, Sequence[Measurement]]
"""Measurements that have a result, the newest first: by what determines the result, or by its task."""


def name_results(inputs: Mapping[str, Any]) -> dict[str, str]:
    """For each task of an evaluate stage, a hash of those of the stage's inputs that determine the task's result; none for malformed
    inputs."""
    tasks, evaluate = inputs.get("tasks"), inputs.get("evaluate")
    if not isinstance(tasks, Mapping) or not isinstance(evaluate, Mapping):
        return {}
    shared = {name: value for name, value in inputs.items() if name not in ("tasks", "evaluate")}
    asked = {name: value for name, value in evaluate.items() if name not in ("limit", "limits")}
    limit, limits = evaluate.get("limit"), evaluate.get("limits") or {}
    return {
        task: digest({**shared, "evaluate": asked, "task": task, "is": about, "limit": choose_limit(task, limit, limits)}, 32)
        for task, about in tasks.items()
    }


def read_known(root: Path) -> Known:
    """All results in a run folder, by what determines them, whose samples are there as they were measured.

    Raises UserError for a record that is damaged.
    """
    known: dict[str, list[Measurement]] = {}
    stages = [path for path in root.glob("evaluate-*") if path.suffix != ".part"]
    for one in sorted(filter(None, map(read_measurement, stages)), key=lambda one: one.age, reverse=True):
        for task, name in name_results((read_manifest(one.stage) or {}).get("inputs", {})).items():
            result = one.record.tasks.get(task)
            if result and _has_samples(one.stage, result):
                known.setdefault(name, []).append(one)
    return known


def _has_samples(stage: Path, result: TaskResult) -> bool:
    path = stage / (result.samples or "none")
    return path.is_file() and result.samples_sha256 in (None, file_sha256(path))


def find_common_engine(known: Known) -> Mapping[str, object] | None:
    """The facts of an engine with which each task has a result; None if there is no such engine."""
    for facts in [one.record.engine for found in known.values() for one in found]:
        if all(any(one.record.engine == facts for one in found) for found in known.values()):
            return facts
    return None


@dataclass(frozen=True)
class Taken:
    """Results of earlier measurements, by task."""

    origins: Mapping[str, Measurement]

    @classmethod
    def under(cls, engine: Mapping[str, object], known: Known) -> Taken:
        """The newest result of each task that was measured with an engine of these facts."""
        same = {task: [one for one in found if digest(one.record.engine) == digest(engine)] for task, found in known.items()}
        return cls({task: found[0] for task, found in same.items() if found})

    @property
    def stages(self) -> dict[str, list[str]]:
        """The tasks that were taken over from each stage, for the manifest."""
        found: dict[str, list[str]] = {}
        for task, one in self.origins.items():
            found.setdefault(one.stage.name, []).append(task)
        return found

    def copy_files(self, out: Path) -> None:
        """Put the samples, and lm-eval's results to which they belong, into a folder. They are linked if the disk can do that."""
        wanted = {one.stage / str(one.record.tasks[task].samples) for task, one in self.origins.items()}
        wanted |= {path for one in self.origins.values() for path in one.stage.glob("results_*.json")}
        for path in sorted(wanted):
            try:
                os.link(path, out / path.name)
            except OSError:  # no file system of all has links
                shutil.copyfile(path, out / path.name)

    def read_results(self) -> dict[str, TaskResult]:
        """The results, each with its cost. If an older xlift counted the cost of all tasks together, it is a share by items."""
        found = {}
        for task, one in self.origins.items():
            result = one.record.tasks[task]
            if not result.cost:
                share = result.items / max(1, sum(other.items for other in one.record.tasks.values()))
                counted = {name: value for name, value in one.record.cost.get("evaluate", {}).items() if isinstance(value, int | float)}
                result = result.model_copy(update={"cost": {name: round(value * share, 4) for name, value in counted.items()}})
            found[task] = result
        return found

    def read_whole_answers(self) -> list[WholeAnswer]:
        """What was said in reply to requests to which a profile applies."""
        said: list[WholeAnswer] = []
        for one in {one.stage: one for one in self.origins.values()}.values():
            path = one.stage / WHOLE_ANSWERS
            lines = read_lines(path) if path.is_file() else []
            said += [cast("WholeAnswer", line) for line in lines if self.origins.get(str(line.get("task"))) is one]
        return said
