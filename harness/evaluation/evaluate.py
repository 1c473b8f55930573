"""Running the current weights of a loaded engine through lm-eval on a list of tasks, and recording everything that influences the
results."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from xlift.harness.config.suite import Suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.hashing import digest
from xlift.harness.core.types import Json
from xlift.harness.evaluation.records import ENGINE_FACTS, Score, TaskResult, comparability
from xlift.harness.evaluation.samples import name_group
from xlift.harness.evaluation.tasks import TaskSet
from xlift.tasks import index
from xlift.tasks.benchmarks import place
from xlift.tasks.data import locate
from xlift.tasks.foreign import describe_metrics

if TYPE_CHECKING:
    from xlift.harness.engines.base import Engine, EngineFacts
    from xlift.harness.engines.kept_answers import KeptAnswers
    from xlift.harness.engines.lm_eval_model import WholeAnswer

WHOLE_ANSWERS = "whole_answers.jsonl"


@dataclass(frozen=True)
class Evaluation:
    """The results of one model, the engine that answered, and the cost."""

    tasks: dict[str, TaskResult]
    """The results by task, with what their answers cost when they were made."""
    engine: EngineFacts
    paid: dict[str, float]
    """The seconds that the measurement took, and what the engine counted meanwhile; answers that were kept already cost nothing."""
    whole_answers: Sequence[WholeAnswer] = ()
    """Everything that was said, if an inference profile had only a part of it scored."""


def evaluate(engine: Engine, suite: Suite, tasks: TaskSet, out: Path, kept: KeptAnswers) -> Evaluation:
    """Run the engine's current weights through lm-eval, which asks for all results that are not ``kept`` together. Its own files go to
    ``out``.

    Raises UserError if lm-eval saved nothing.
    """
    from lm_eval import evaluator
    from lm_eval.loggers import EvaluationTracker

    started, used = time.monotonic(), dict(engine.usage)
    tracker = EvaluationTracker(output_path=str(out / "results.json"))
    evaluator.get_git_commit_hash = _name_commit  # lm-eval's own lets git complain on the terminal
    lm = engine.lm()
    lm.kept = kept
    results = evaluator.simple_evaluate(
        model=lm,
        tasks=list(tasks.names),
        task_manager=tasks.manager,
        samples=tasks.items,
        apply_chat_template=suite.evaluate.prompt_style == "chat",
        num_fewshot=suite.evaluate.num_fewshot or None,  # for tasks of others; ours say it themselves
        system_instruction=suite.evaluate.system,
        evaluation_tracker=tracker,
    )
    if results is None:
        raise UserError("lm-eval returned no results (it runs on several processes and this is not the first)")
    samples = results.pop("samples")
    for task, articles in tasks.articles.items():
        for sample in samples[task]:
            sample["group"] = name_group(sample["doc"], articles)
    tracker.save_results_aggregated(results=results, samples=samples)
    for task in tasks.names:
        tracker.save_results_samples(task_name=task, samples=samples[task])
    described = engine.describe()
    measured = {}
    for task in tasks.names:
        found = _read_task(task, results, samples[task], suite, described, out)
        if not index.is_ours(task):
            directions = results.get("higher_is_better", {}).get(task)
            found = _describe(found, results["configs"][task], directions, samples[task], tasks.places[task])
        measured[task] = found
    paid = {"seconds": round(time.monotonic() - started, 2), **{key: engine.usage[key] - used.get(key, 0) for key in engine.usage}}
    return Evaluation(_add_costs(measured, lm.take_costs(), paid), described, paid, lm.take_whole_answers())


def _add_costs(
    measured: Mapping[str, TaskResult], took: Mapping[str, Mapping[str, float]], paid: Mapping[str, float]
) -> dict[str, TaskResult]:  # fmt: skip
    """The results with the cost of their answers, and with their share, by items, of the time in which the engine did not work."""
    idle = max(0.0, paid["seconds"] - paid["generate_seconds"] - paid["score_seconds"])
    items = sum(result.items for result in measured.values())
    found = {}
    for task, result in measured.items():
        counted = {name: round(value, 4) for name, value in took.get(task, {}).items()}
        worked = counted.get("generate_seconds", 0) + counted.get("score_seconds", 0)
        seconds = round(worked + idle * result.items / max(1, items), 2)
        found[task] = result.model_copy(update={"cost": {"seconds": seconds, **counted}})
    return found


def _name_commit() -> str | None:
    """The commit of the current folder, as git describes it; None outside of a repository, and without git."""
    try:
        done = subprocess.run(["git", "describe", "--always"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def save_whole_answers(said: Sequence[WholeAnswer], out: Path) -> dict[str, Json] | None:
    """Save whole answers of which a profile had only a part scored, as JSON lines beside lm-eval's samples, which hold that part.

    Returns the number of answers without the header, by task, and how often each profile was chosen; None if no profile was used.
    """
    if not said:
        return None
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in said)
    (out / WHOLE_ANSWERS).write_text(lines, encoding="utf-8")
    missing = Counter(one["task"] for one in said if not one["header"])
    chosen = Counter(one["profile"] for one in said if "profile" in one)
    counts: dict[str, Json] = {"answers": len(said), "header_missing": dict(missing), "file": WHOLE_ANSWERS}
    return {**counts, **({"chosen": dict(chosen)} if chosen else {})}


def _read_task(
    task: str, results: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], suite: Suite, described: EngineFacts, out: Path
) -> TaskResult:
    saved = sorted(out.glob(f"samples_{task}_2*.jsonl"))
    if not saved or not list(out.glob("results_*.json")):
        raise UserError(f"{out}: lm-eval could not save the results of {task}; is the disk full?")
    counts = results["n-samples"][task]
    data = index.data_of(task, suite.data.samples)
    version = str(results["versions"].get(task))
    generation = results["configs"][task].get("generation_kwargs")
    asked: dict[str, Json] = {**suite.evaluate.asked}
    if suite.evaluate.num_fewshot and (shots := index.shots_of(task)):
        asked["shots"] = locate(*shots, samples=suite.data.samples).sha256
    key = comparability(
        task,
        {
            "version": version,
            "data": data.sha256 if data else None,
            "items": counts["effective"],
            "generation": generation,
            "system": suite.evaluate.system,
            **asked,
            "prompts": digest([sample["doc_hash"] for sample in samples]),
            # The version of a task of ours stands for its wording.
            **({} if index.is_ours(task) else {"wording": digest([sample["prompt_hash"] for sample in samples])}),
            "engine": _name_numerics(described),
        },
    )
    benchmark, language = place(task, suite.languages.pivot)
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
        samples_sha256=hashlib.sha256(saved[-1].read_bytes()).hexdigest(),
        benchmark=benchmark,
        language=language,
    )


def _describe(
    result: TaskResult, config: Mapping[str, Any], directions: object, samples: Sequence[Mapping[str, Any]], placed: tuple[str, str]
) -> TaskResult:  # fmt: skip
    """A result with what lm-eval's settings say of a task that is not xlift's, and what its scores by document show."""
    highest = {}
    for name, score in result.metrics.items():
        values = [sample.get(name.partition("/")[0]) for sample in samples]
        highest[name] = max([score.value, *(float(value) for value in values if isinstance(value, int | float))])
    measures = describe_metrics(highest, config.get("metric_list"), directions)
    return result.model_copy(update={"benchmark": placed[0], "language": placed[1], "measures": measures})


def _name_numerics(described: EngineFacts) -> dict[str, Json]:
    """The facts about an engine that can change a number. oneDNN's fp32 products are among them if they were chosen, because their last
    bits differ."""
    named = {name: cast(Json, value) for name, value in described.items() if name in ENGINE_FACTS}
    if described["dtype"] == "float32" and described.get("products") == "onednn":
        named["products"] = "onednn"
    return named


def _read_metrics(found: Mapping[str, Any]) -> dict[str, Score]:
    metrics = {}
    for key, value in found.items():
        name, comma, chosen = key.partition(",")
        if not comma or name.endswith("_stderr") or not _is_number(value):
            continue
        stderr = found.get(f"{name}_stderr,{chosen}")
        label = name if chosen == "none" else f"{name}/{chosen}"
        metrics[label] = Score(value=float(value), stderr=float(stderr) if _is_number(stderr) else None)
    return metrics


def _is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number that can be compared. lm-eval writes ``N/A``, or NaN if there is nothing to average."""
    return isinstance(value, int | float) and math.isfinite(value)
