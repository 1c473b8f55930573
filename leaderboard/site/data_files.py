"""The site's data as files: tables as CSV and JSON, records with their schema, Every Eval Ever records, a feed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import PurePath
from typing import Literal
from xml.etree import ElementTree

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from xlift.harness.core.types import Json
from xlift.harness.evaluation.records import Record
from xlift.leaderboard.analysis.board import Board
from xlift.leaderboard.analysis.rows import LeaderboardRow, describe_languages
from xlift.leaderboard.analysis.tables import tabulate_win_rates
from xlift.leaderboard.loading.runs import Origin, Run, read_curve
from xlift.leaderboard.loading.slugs import slug
from xlift.leaderboard.site.text import clean

EEE_VERSION = "0.3.0"

TABLES = {
    "rows": "each row of the ranking with its rank, lift, retention, transfer, languages and cost",
    "scores": "each score of each run, with its standard error and the number of items",
    "lifts": "method minus base on each benchmark, with interval, test and number of seeds",
    "tasks": "the same on each task",
    "ranks": "the ranks of all models on each benchmark",
    "pairs": "each two rows that may be compared, with the difference on each benchmark",
    "win_rates": "shares of answers that a judge preferred",
    "options": "the options of each row's method",
    "training": "rows of each training that were kept and left out, by language and kind",
    "curves": "the training loss by step",
    "lift_curves": "lift at points of a training",
    "signal": "how well each measure tells the methods apart",
    "agreement": "how well a measure by likelihood foretells one of answers",
    "order": "how early in training the order of the methods is that of the end",
}
"""The tables below ``data/``, each as CSV and JSON, and what they hold."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", " ")
"""The characters with which a cell of a CSV may not begin."""


class PublishedRun(BaseModel):
    """One record and the page that shows it."""

    model_config = ConfigDict(extra="forbid")
    id: str
    page: str
    origin: Origin
    written: str = Field(description="When it was measured, ISO 8601; empty where that is not known")
    notes: tuple[str, ...]
    record: Record


class PublishedRow(BaseModel):
    """One method on one base model, its seeds pooled; figures are in points of 100."""

    model_config = ConfigDict(extra="forbid")
    id: str
    group: int = Field(description="Rows of different groups may not be compared")
    suite: str
    label: str
    method: str
    base: str
    trained: tuple[str, ...]
    control: bool = Field(description="Whether it leaves out the idea of its method")
    smoke: bool
    rank: int | None
    of: int
    tied: tuple[str, ...]
    mean: float | None
    lift: float | None
    retention: float | None
    transfer: float | None
    runs: tuple[str, ...]


class Results(BaseModel):
    """Everything from which the site was built."""

    model_config = ConfigDict(extra="forbid")
    schema_version: Literal[1] = 1
    rows: tuple[PublishedRow, ...]
    runs: tuple[PublishedRun, ...]
    left_out: tuple[str, ...]


def write_data(board: Board, pairs: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Name and text of every data file."""
    rates = tabulate_win_rates([rate for run in board.runs for rate in run.win_rates])
    made = (
        _rows(board), _scores(board), board.lifts, board.tasks, board.ranks, pairs, rates,
        _options(board), _training(board), _curves(board), board.curves, board.telling.signal, board.telling.agreement, board.telling.order,
    )  # fmt: skip
    for name, table in zip(TABLES, made, strict=True):
        words = [str(column) for column in table.select_dtypes(exclude="number")]
        plain = table.assign(**{column: _change_all(table[column], _flatten) for column in words})
        guarded = plain.assign(**{column: _change_all(plain[column], _guard) for column in words})
        yield f"data/{name}.csv", guarded.to_csv(index=False, lineterminator="\n")
        yield f"data/{name}.json", _to_json(plain)
    results = Results(
        rows=tuple(_publish_row(row) for row in board.rows), runs=tuple(_publish_run(run) for run in board.runs), left_out=board.left_out
    )
    parts = (f'"{key}": {_dump_lines(value)}' for key, value in results.model_dump(mode="json").items())
    yield "data/results.json", "{" + ",\n".join(part.rstrip() for part in parts) + "}\n"
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Results.model_json_schema(mode="serialization")}
    yield "data/results.schema.json", _dump(schema, indent=1) + "\n"
    yield "data/every_eval_ever.jsonl", "".join(_dump(write_every_eval_ever(run), sort_keys=True) + "\n" for run in board.runs)
    for run in board.runs:
        if run.suite:
            yield f"data/suites/{slug(run.record.suite)}.json", _dump(dict(run.suite), indent=1) + "\n"
    yield "feed.xml", _write_feed(board)


def write_every_eval_ever(run: Run) -> dict[str, object]:
    """A run as one record of Every Eval Ever, schema 0.3.0."""
    record, name = run.record, str(run.record.base.get("name", "unknown"))
    kept = {"suite": record.suite, "label": record.label, "base": name, "trained": " ".join(record.trained), "pivot": record.pivot}
    facts = {**kept, "method": record.method or "none", "seed": str(record.seed), "adapter": str((record.adapter or {}).get("sha256"))}
    facts["deployment_type"] = "self_deployed" if record.engine.get("backend") in ("hf", "vllm") else "unknown"
    facts["model_availability"] = "unknown"
    library = {"name": "lm_eval", "version": str(record.versions.get("lm_eval") or "unknown")}
    written = run.written or "1970-01-01T00:00:00Z"
    return {
        "schema_version": EEE_VERSION,
        "evaluation_id": f"xlift/{run.id}/{written}",
        "evaluation_timestamp": written,
        "retrieved_timestamp": written,
        "source_metadata": {
            "source_name": "xlift", "source_type": "evaluation_run", "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": library,
        "model_info": {"name": record.name, "id": f"{name}/{run.id}", "additional_details": facts},
        "evaluation_results": [
            _write_result(run, task, metric) for task, result in record.tasks.items() for metric in result.metrics
        ],
    }  # fmt: skip


def _write_result(run: Run, task: str, metric: str) -> dict[str, object]:
    result = run.record.tasks[task]
    score, known = result.metrics[metric], result.find_metric(metric)
    uncertainty: dict[str, object] = {"num_samples": result.items} if result.items else {}
    if score.stderr is not None:
        uncertainty["standard_error"] = {"value": score.stderr, "method": "analytic"}
    facts = {"comparability": result.comparability, "items_of": str(result.items_of), "data_sha256": str(result.data_sha256)}
    details: dict[str, object] = {"score": score.value, "details": facts}
    limits: dict[str, Json] = {} if known.most is None else {"score_type": "continuous", "min_score": 0.0, "max_score": known.most}
    return {
        "evaluation_result_id": f"{run.id}/{task}/{metric}",
        "evaluation_name": task,
        "source_data": {"dataset_name": result.benchmark, "source_type": "other"},
        "metric_config": {"metric_id": metric, "metric_name": metric, "lower_is_better": known.lower_is_better, **limits},
        "score_details": {**details, **({"uncertainty": uncertainty} if uncertainty else {})},
    }


def _publish_row(row: LeaderboardRow) -> PublishedRow:
    kinds = {kind: row.averages[kind].value if kind in row.averages else None for kind in ("lift", "retention", "transfer")}
    return PublishedRow(
        id=row.id, group=row.group, suite=row.suite, label=row.label, method=row.method, base=row.base, trained=row.record.trained,
        control=row.record.control, smoke=row.smoke, rank=row.rank, of=row.of, tied=row.tied, mean=row.mean,
        runs=tuple(run.id for run in row.runs), **kinds,
    )  # fmt: skip


def _publish_run(run: Run) -> PublishedRun:
    record = run.record
    if record.adapter:
        # A folder of the machine that measured it tells others nothing.
        name = str(record.adapter.get("name", ""))
        record = record.model_copy(
            update={"adapter": {**record.adapter, "name": name if name.startswith("hub:") else PurePath(name).parent.name}}
        )
    return PublishedRun(id=run.id, page=f"runs/{run.id}.html", origin=run.origin, written=run.written, notes=run.notes, record=record)


def _rows(board: Board) -> pd.DataFrame:
    rows = []
    for row in board.rows:
        plain = _publish_row(row).model_dump()
        ends = {f"{kind}_{end}": getattr(one, end) for kind, one in row.averages.items() for end in ("low", "high", "have", "of")}
        found = describe_languages(result for run in row.runs for result in run.record.tasks.values())
        rate = None if found.off_target is None else 100 * found.off_target
        languages = {"one_seed": row.one_seed, "off_target": rate, "language_told": found.told, "answers": found.answers}
        rows.append({**plain, **ends, **languages, **asdict(row.cost)})
    return pd.DataFrame(rows)


def _scores(board: Board) -> pd.DataFrame:
    rows = []
    for run in board.runs:
        for task, result in run.record.tasks.items():
            where = {"run": run.id, "row": run.row, "task": task, "benchmark": result.benchmark, "language": result.language}
            about = {"items": result.items, "items_of": result.items_of, "comparability": result.comparability}
            rows += [{**where, "metric": name, "value": one.value, "stderr": one.stderr, **about} for name, one in result.metrics.items()]
    return pd.DataFrame(rows)


def _options(board: Board) -> pd.DataFrame:
    """The options of each row's method, as they were resolved."""
    rows = []
    for row in board.rows:
        found = (row.runs[0].stages.get("prepare", {}).get("inputs") or {}).get("options") or {}
        rows += [{"row": row.id, "method": row.method, "option": str(name), "value": str(value)} for name, value in found.items()]
    return pd.DataFrame(rows, columns=["row", "method", "option", "value"])


def _training(board: Board) -> pd.DataFrame:
    """Training rows kept and dropped."""
    rows = []
    for run in board.runs:
        prepare = run.stages.get("prepare", {})
        for kind, found in (("kept", prepare.get("kinds")), ("dropped", prepare.get("drops"))):
            rows += [{"run": run.id, "what": kind, "rows": str(name), "number": number} for name, number in (found or {}).items()]
    return pd.DataFrame(rows, columns=["run", "what", "rows", "number"])


def _curves(board: Board) -> pd.DataFrame:
    rows = [{"run": run.id, "step": step, "tokens": tokens, "loss": loss} for run in board.runs for step, tokens, loss in read_curve(run)]
    return pd.DataFrame(rows, columns=["run", "step", "tokens", "loss"])


def _write_feed(board: Board) -> str:
    """Atom: one entry for each run, newest first, dated by its measurement."""
    runs = sorted(board.runs, key=lambda run: (run.written, run.id), reverse=True)
    feed = ElementTree.Element("feed", xmlns="http://www.w3.org/2005/Atom")
    about = {
        "title": "xlift leaderboard",
        "id": "urn:xlift:leaderboard",
        "updated": (runs[0].written if runs else "") or "1970-01-01T00:00:00Z",
    }
    for name, text in about.items():
        ElementTree.SubElement(feed, name).text = text
    ElementTree.SubElement(ElementTree.SubElement(feed, "author"), "name").text = "xlift"
    for run in runs:
        entry = ElementTree.SubElement(feed, "entry")
        # A reader of the feed has seen a measurement whose tasks were only given another place on the board.
        measured = run.record.model_dump_json(exclude={"tasks": {"__all__": {"benchmark", "language", "measures"}}})
        digest = hashlib.sha256(measured.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        ElementTree.SubElement(entry, "title").text = clean(f"{run.record.name} in {run.record.suite}")
        ElementTree.SubElement(entry, "id").text = f"urn:xlift:{run.id}:{digest}"
        ElementTree.SubElement(entry, "updated").text = run.written or "1970-01-01T00:00:00Z"
        ElementTree.SubElement(entry, "link", href=f"runs/{run.id}.html")
        ElementTree.SubElement(entry, "summary").text = clean(_say_change(run))
    ElementTree.indent(feed)
    return ElementTree.tostring(feed, encoding="unicode", xml_declaration=False) + "\n"


def _say_change(run: Run) -> str:
    """What is new in a run: that it exists, or what changed since it was measured before."""
    if not run.earlier:
        return f"measured for the first time, on {len(run.record.tasks)} tasks"
    before, now = run.earlier[-1].record, run.record
    changes = []
    for task, result in now.tasks.items():
        old = before.tasks.get(task)
        if old is None:
            changes.append(f"{task} is new")
        elif old.version != result.version:
            changes.append(f"{task} is of version {result.version}, not {old.version}")
        elif old.comparability != result.comparability:
            changes.append(f"{task} was measured under other settings or on other data")
    changes += [f"{task} is gone" for task in before.tasks if task not in now.tasks]
    for name, version in now.versions.items():
        if (known := before.versions.get(name)) and known != version:
            changes.append(f"{name} {version}, not {known}")
    return f"measured again: {'; '.join(changes) or 'the same tasks under the same settings'}"


def _change_all(cells: pd.Series, change: Callable[[object], object]) -> pd.Series:
    """Each cell changed. Few of them are different, because a name is in a table once for each of its scores."""
    codes, values = pd.factorize(cells)
    flat = [*(change(value) for value in values), None]  # a cell without a value has the code -1
    return pd.Series([flat[code] for code in codes], index=cells.index, dtype=object)


def _flatten(value: object) -> object:
    """A cell as a table can hold it. Several values become words."""
    if isinstance(value, tuple):
        value = " ".join(map(str, value))
    return clean(value) if isinstance(value, str) else value


def _guard(value: object) -> object:
    """The text with a quote before it, if a spreadsheet would take it for a formula, at once or after removing spaces before it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in FORMULA else value


def _to_json(table: pd.DataFrame) -> str:
    """A list of records, each on a line of its own."""
    lines = [line for line in table.to_json(orient="records", lines=True, double_precision=15, force_ascii=False).split("\n") if line]
    return "[\n" + ",\n".join(lines).replace("\\/", "/") + "\n]\n" if lines else "[]\n"  # pandas puts a backslash before each slash


def _mend(value: object) -> object:
    """Plain data in which every text can be written as UTF-8 and every number as JSON."""
    if isinstance(value, dict):
        return {str(_mend(key)): _mend(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_mend(one) for one in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return None if isinstance(value, float) and (value != value or abs(value) == float("inf")) else value


def _dump_lines(value: object) -> str:
    """JSON with each item of a list on a line of its own; many times faster to write than indented, and no longer to read."""
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(_dump(one) for one in value) + "\n]\n"
    return _dump(value) + "\n"


def _dump(value: object, indent: int | None = None, sort_keys: bool = False) -> str:
    """JSON that can be written as UTF-8. Few values have to be mended, and looking at each takes longer than writing them all."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, sort_keys=sort_keys)
        text.encode("utf-8")
    except ValueError:
        return json.dumps(_mend(value), ensure_ascii=False, allow_nan=False, indent=indent, sort_keys=sort_keys)
    return text
