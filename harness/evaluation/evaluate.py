"""One loaded engine through lm-eval: the current weights on a list of tasks, results left beside a record of all that moves them."""

from __future__ import annotations

import importlib.metadata
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlift.harness.config import Suite, digest
from xlift.harness.languages import find
from xlift.harness.results import Score, TaskResult, comparability
from xlift.harness.rows import UserError
from xlift.tasks import index

if TYPE_CHECKING:
    from xlift.harness.engine import Engine

WHOLE_ANSWERS = "whole_answers.jsonl"


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
    if judged := [name for name in names if name.startswith(index.JUDGED)]:
        plain = judged[0].replace(index.JUDGED, "xlift_x_alpaca_eval")
        raise UserError(f"evaluate.tasks: {judged[0]!r} is for plain lm_eval; name {plain!r}, and the judge in the suite's judge block")
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


def evaluate(engine: Engine, suite: Suite, tasks: TaskSet, out: Path) -> dict[str, Any]:
    """Run the engine's current weights through lm-eval; lm-eval's own files go to ``out``.

    Returns ``tasks`` (TaskResult by name), ``engine``, ``cost`` and ``profile``, as plain data.

    Raises UserError where lm-eval saved nothing.
    """
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.loggers import EvaluationTracker

    started, used = time.monotonic(), dict(engine.usage)
    tracker = EvaluationTracker(output_path=str(out / "results.json"))
    results = simple_evaluate(
        model=engine.lm(),
        tasks=list(tasks.names),
        task_manager=tasks.manager,
        samples=tasks.items,
        apply_chat_template=True,
        system_instruction=suite.evaluate.system,
        evaluation_tracker=tracker,
    )
    if results is None:
        raise UserError("lm-eval returned no results (it runs on several processes and this is not the first)")
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task in tasks.names:
        tracker.save_results_samples(task_name=task, samples=samples[task])
    described = engine.describe()
    measured = {task: _read_task(task, results, samples[task], suite, described, out) for task in tasks.names}
    return {
        "tasks": {task: result.model_dump() for task, result in measured.items()},
        "engine": described,
        "profile": save_whole_answers(engine.lm().take_whole_answers(), out),
        "cost": {"seconds": round(time.monotonic() - started, 2), **{key: engine.usage[key] - used.get(key, 0) for key in engine.usage}},
    }


def save_whole_answers(said: Sequence[Mapping[str, Any]], out: Path) -> dict[str, Any] | None:
    """Whole answers of which a profile had a part scored, as JSON lines beside lm-eval's samples, which hold that part alone.

    Returns the answers without the header by task; None where no profile had a say.
    """
    if not said:
        return None
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in said)
    (out / WHOLE_ANSWERS).write_text(lines, encoding="utf-8")
    missing = Counter(one["task"] for one in said if not one["header"])
    return {"answers": len(said), "header_missing": dict(missing), "file": WHOLE_ANSWERS}


def library_versions() -> dict[str, str]:
    """Versions of the libraries that can move a number."""
    wanted = ("xlift", "lm_eval", "torch", "transformers", "peft", "trl", "accelerate", "vllm", "sacrebleu", "py3langid", "datasets")
    versions = {}
    for name in wanted:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _choose_items(manager: Any, suite: Suite, tasks: Sequence[str]) -> dict[str, list[int]] | None:
    limits = {task: limit for task in tasks if (limit := limit_of(suite, task)) is not None}
    if not limits:
        return None
    loaded = manager.load(list(limits))["tasks"]
    return {task: list(range(min(limit, len(loaded[task].eval_docs)))) for task, limit in limits.items()}


def limit_of(suite: Suite, task: str) -> int | None:
    """How many items of a task the suite asks for: the longest matching key of ``limits``, else ``limit``."""
    fitting = [start for start in suite.evaluate.limits if task.startswith(start)]
    return suite.evaluate.limits[max(fitting, key=len)] if fitting else suite.evaluate.limit


def _read_task(
    task: str, results: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], suite: Suite, described: Mapping[str, Any], out: Path
) -> TaskResult:
    saved = sorted(out.glob(f"samples_{task}_2*.jsonl"))
    if not saved or not list(out.glob("results_*.json")):
        raise UserError(f"{out}: lm-eval could not save the results of {task}; is the disk full?")
    counts = results["n-samples"][task]
    data = index.data_of(task, suite.data.samples)
    version = str(results["versions"].get(task))
    generation = results["configs"][task].get("generation_kwargs")
    key = comparability(
        task,
        {
            "version": version,
            "data": data.sha256 if data else None,
            "items": counts["effective"],
            "generation": generation,
            "system": suite.evaluate.system,
            "prompts": digest([sample["doc_hash"] for sample in samples]),
            "engine": {name: described[name] for name in ("backend", "dtype", "adapter_form", "batch_policy", "chat_template_sha256")},
        },
    )
    return TaskResult(
        items=counts["effective"],
        items_of=counts["original"],
        version=version,
        data_sha256=data.sha256 if data else None,
        data_origin=data.origin if data else None,
        metrics=_read_metrics(results["results"][task]),
        comparability=key,
        signatures=index.signatures_of(task),
        samples=saved[-1].name,
    )


def _read_metrics(found: Mapping[str, Any]) -> dict[str, Score]:
    metrics = {}
    for key, value in found.items():
        name, comma, chosen = key.partition(",")
        if not comma or name.endswith("_stderr") or not isinstance(value, int | float):
            continue
        stderr = found.get(f"{name}_stderr,{chosen}")
        label = name if chosen == "none" else f"{name}/{chosen}"
        metrics[label] = Score(value=float(value), stderr=float(stderr) if isinstance(stderr, int | float) else None)
    return metrics
