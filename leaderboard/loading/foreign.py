"""Other people's results as records: folders of plain lm_eval, results files of the Open LLM Leaderboard, and Every Eval Ever records.

What they do not say stays unknown. A key is made of everything that they do say and of their format, so such a result is compared only with
results of the same format that say the same. A number of items that is not known is 0.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, TypeAlias

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import Record, Score, TaskResult, comparability
from xlift.leaderboard.loading.runs import Origin, Run
from xlift.tasks.entries import Metric
from xlift.tasks.foreign import describe_metrics, place_tasks
from xlift.tasks.index import is_ours

UNKNOWN = "unknown"

Foreign: TypeAlias = Mapping[str, Any]
"""A file of another program, as it was read. Any part of it may be missing or malformed, which shows as one of ``UNREADABLE``."""


def read(path: Path) -> list[Run]:
    """The runs of one results file. Raises UserError if its format is not known, and any exception that a damaged file causes."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise UserError("damaged: not JSON") from None
    if not isinstance(data, dict):
        raise UserError("not a results file: a JSON object was expected")
    if "evaluation_results" in data:
        return [_read_every_eval_ever(data, path)]
    if isinstance(data.get("results"), dict):
        return [_read_open_llm(data, path) if "config_general" in data else _read_lm_eval(data, path)]
    if "schema_version" in data or "record" in data:
        raise UserError(f"schema version {data.get('schema_version')!r} is not known; this xlift reads version 1 in its run folders")
    raise UserError("not a results file of xlift, lm_eval, the Open LLM Leaderboard or Every Eval Ever")


def _read_lm_eval(data: Foreign, path: Path) -> Run:
    hashes, configs = data.get("task_hashes") or {}, data.get("configs") or {}
    members, directions = data.get("group_subtasks") or {}, data.get("higher_is_better") or {}
    # A group's own score is a mean of results that stand beside it.
    names = [task for task in data["results"] if not any(member in data["results"] for member in members.get(task) or ())]
    samples = {task: found for task in names if (found := _find_samples(path, task))}
    places = place_tasks({task: (configs.get(task) or {}).get("dataset_name") for task in names})
    tasks = {}
    for task in names:
        config = configs.get(task) or {}
        version, items = str((data.get("versions") or {}).get(task, UNKNOWN)), (data.get("n-samples") or {}).get(task) or {}
        said = {
            "format": "lm_eval",
            "version": version,
            "documents": hashes.get(task),
            "items": items,
            "shots": (data.get("n-shot") or {}).get(task),
            "generation": config.get("generation_kwargs"),
            "template": data.get("chat_template_sha"),
            "system": data.get("system_instruction"),
        }
        done, of = (int(items.get(name) or 0) for name in ("effective", "original"))
        result = _result(task, said, _metrics(data["results"][task]), done, of, version, samples.get(task))
        tasks[task] = _describe(task, result, places[task], config.get("metric_list"), directions.get(task))
    config = data.get("config") or {}
    engine = {"backend": str(config.get("model") or UNKNOWN), "versions": {"lm_eval": data.get("lm_eval_version")}}
    base, adapter = _name_parts(config)
    name = " + ".join(part for part in (base, adapter) if part) or _shorten(str(data.get("model_name") or path.parent.name or UNKNOWN))
    run = _run(path, "lm_eval", name, tasks, engine, data.get("system_instruction"), _when(data.get("date")))
    known = {"base": {"name": base or name}, "adapter": {"name": adapter} if adapter else None}
    return replace(run, record=run.record.model_copy(update=known))


def _name_parts(config: Foreign) -> tuple[str, str]:
    """Base and adapter from the arguments of the model, because lm-eval itself may file both under one name; empty if they do not say."""
    given = config.get("model_args")
    if isinstance(given, str):
        given = dict(part.partition("=")[::2] for part in given.split(","))
    if not isinstance(given, Mapping):
        return "", ""
    base = given.get("base") or ("smollm2-135m-instruct" if config.get("model") == "xlift" else given.get("pretrained"))
    adapter = next((given[key] for key in ("adapter", "peft", "lora_local_path", "delta") if given.get(key)), None)
    return _shorten(str(base or "")), _shorten(str(adapter or ""))


def _shorten(name: str) -> str:
    """A path on this machine reduced to its last two folders, because an adapter of a run is in the folder "adapter" of its stage."""
    return name if name.startswith("hub:") or not name else PurePath(*PurePath(name).parts[-2:]).as_posix()


def _read_open_llm(data: Foreign, path: Path) -> Run:
    general = data["config_general"]
    tasks = {}
    for task, scores in data["results"].items():
        if task in ("all", "leaderboard"):
            continue
        version = str((data.get("versions") or {}).get(task, UNKNOWN))
        said = {
            "format": "open_llm",
            "version": version,
            "shots": (data.get("n-shot") or {}).get(task),
            "code": general.get("lighteval_sha"),
        }
        result = _result(task, said, _metrics(scores), 0, 0, version, None)
        tasks[task] = _describe(task, result, place_tasks({task: None})[task])
    engine = {"backend": UNKNOWN, "dtype": str(general.get("model_dtype") or UNKNOWN)}
    return _run(path, "open_llm", str(general.get("model_name") or UNKNOWN), tasks, engine, None, _when(data.get("date")))


def _read_every_eval_ever(data: Foreign, path: Path) -> Run:
    tasks: dict[str, TaskResult] = {}
    for one in data["evaluation_results"]:
        task, config, details = str(one["evaluation_name"]), one["metric_config"], one["score_details"]
        metric = str(config.get("metric_id") or config.get("metric_name") or "score")
        uncertainty = details.get("uncertainty") or {}
        error = (uncertainty.get("standard_error") or {}).get("value")
        said = {
            "format": "every_eval_ever",
            "library": data.get("eval_library"),
            "source": one.get("source_data"),
            "config": one.get("generation_config"),
        }
        items = int(uncertainty.get("num_samples") or 0)
        before = tasks.get(task)
        metrics = {**(before.metrics if before else {}), metric: _score(details["score"], error)}
        result = _describe(task, _result(task, said, metrics, items, items, UNKNOWN, None), place_tasks({task: None})[task])
        if result.measures:
            known = {**(before.measures if before else {}), metric: _bound(result.measures[metric], config)}
            result = result.model_copy(update={"measures": known})
        tasks[task] = result
    library = data.get("eval_library") or {}
    model = data["model_info"]
    engine = {"backend": UNKNOWN, "versions": {str(library.get("name")): library.get("version")}}
    return _run(
        path, "every_eval_ever", str(model.get("id") or model.get("name")), tasks, engine, None, _when(data.get("evaluation_timestamp"))
    )


def _run(
    path: Path, origin: Origin, name: str, tasks: dict[str, TaskResult], engine: Mapping[str, object], system: object, finished: str
) -> Run:
    tasks = {task: result for task, result in sorted(tasks.items()) if result.metrics}
    if not tasks:
        raise UserError("no task in it has a score")
    record = Record(
        suite=f"{origin}: {path.parent.name}", label=name, method=None, seed=None, trained=(), pivot="en", base={"name": name},
        adapter=None, engine=dict(engine), system=None if system is None else str(system), tasks=tasks, cost={},
    )  # fmt: skip
    unknown = f"written by {origin.replace('_', ' ')}: training, seeds and data are unknown, so it is compared only with its like"
    return Run(record, path.parent, finished, origin=origin, notes=(unknown,))


def _result(
    task: str, said: Mapping[str, object], metrics: dict[str, Score], items: int, items_of: int, version: str, samples: str | None
) -> TaskResult:
    return TaskResult(
        items=items, items_of=max(items, items_of), version=version, data_sha256=None, data_origin=None, metrics=metrics,
        comparability=comparability(task, said), samples=samples,
    )  # fmt: skip


def _describe(
    task: str, result: TaskResult, placed: tuple[str, str], listed: object = None, directions: object = None
) -> TaskResult:  # fmt: skip
    """The result with its place and what its metrics mean. The name of a task of xlift's own says both."""
    if is_ours(task):
        return result
    measures = describe_metrics({name: score.value for name, score in result.metrics.items()}, listed, directions)
    return result.model_copy(update={"benchmark": placed[0], "language": placed[1], "measures": measures})


def _bound(metric: Metric, config: Foreign) -> Metric:
    """A metric as Every Eval Ever describes it."""
    lower, least, most = config.get("lower_is_better"), config.get("min_score"), config.get("max_score")
    if isinstance(lower, bool):
        metric = replace(metric, higher_is_better=not lower)
    if isinstance(most, int | float) and not isinstance(most, bool) and least == 0 and most > 0:
        metric = replace(metric, most=float(most) if math.isfinite(most) else None)
    return metric


def _metrics(scores: Mapping[str, object]) -> dict[str, Score]:
    """lm-eval's ``name,filter`` keys as ``name`` or ``name/filter``. Values that are not numbers are left out."""
    found = {}
    for key, value in scores.items():
        name, _, chosen = key.partition(",")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            continue
        if name.endswith("_stderr") or name in ("sample_len", "alias", "name"):
            continue
        error = scores.get(f"{name}_stderr,{chosen}" if chosen else f"{name}_stderr")
        found[name if chosen in ("", "none") else f"{name}/{chosen}"] = _score(value, error)
    return found


def _score(value: float, error: object) -> Score:
    return Score(value=float(value), stderr=float(error) if isinstance(error, int | float) and math.isfinite(error) else None)


def _find_samples(path: Path, task: str) -> str | None:
    """The sample file that lm_eval wrote with this results file, which has the same time in its name."""
    time = path.stem.removeprefix("results").lstrip("_")
    if not re.fullmatch(r"[\w.:-]+", task) or not time:
        return None
    name = f"samples_{task}_{time}.jsonl"
    return name if (path.parent / name).is_file() else None


def _when(date: object) -> str:
    """An ISO 8601 time from seconds since 1970 or from ISO text; empty for anything else."""
    try:
        found = datetime.fromtimestamp(float(str(date)), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        text = str(date or "")
        return text[:19] + "Z" if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text) else ""
    return found.strftime("%Y-%m-%dT%H:%M:%SZ")
