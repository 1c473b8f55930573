"""Pilot points for a scaling law, from CSV files and from run folders."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from xlift.harness.core.errors import UserError, guess_path, name_nearest
from xlift.harness.core.languages import find
from xlift.harness.core.store import read_manifest
from xlift.harness.evaluation.records import Record, read_records
from xlift.harness.recipes.scaling_law import Pilot
from xlift.tasks.benchmarks import BENCHMARKS, make_pair

logger = logging.getLogger(__name__)

COLUMNS = ("language", "rows", "score", "similarity")


@dataclass(frozen=True)
class _Point:
    """A pilot in a run, and what it must have in common with others."""

    pilot: Pilot
    where: str
    base: str
    comparability: str
    epochs: float


def read_pilots(sources: Iterable[Path], metric: str = "corpus_chrf", kind: str = "translation") -> list[Pilot]:
    """Points from CSV files (``language,rows,score[,similarity]``) and run folders.

    In a run folder, every model that was trained on rows of ``kind`` gives a point for each language in which it was trained: the rows that
    its prepare stage counted, and ``metric`` of the FLORES task from the pivot. Raises UserError if a score or a count is missing, and if
    the models of the runs are not comparable.
    """
    listed: list[Pilot] = []
    measured: list[_Point] = []
    for source in sources:
        if source.is_file():
            listed += _read_csv(source)
        elif not source.exists():
            raise UserError(f"{source}: no such file and no such run folder{guess_path(source)}")
        else:
            measured += _read_run(source, metric, kind)
    _require_comparable(measured)
    return [*listed, *(point.pilot for point in measured)]


def _require_comparable(points: Iterable[_Point]) -> None:
    first: dict[str, _Point] = {}
    for point in points:
        other = first.setdefault(point.pilot.language, point)
        base = next(iter(first.values()))
        if point.base != base.base:
            raise UserError(f"{point.where} and {base.where} have different base models: a law is of one base")
        if point.comparability != other.comparability:
            raise UserError(
                f"{point.where} and {other.where} cannot be compared in {point.pilot.language} (other items, engine or settings); "
                "run the suites again with equal settings"
            )
        if abs(point.epochs - other.epochs) > 0.1:
            logger.warning(
                "%s saw its rows %.1f times, %s %.1f times; set train.epochs and no train.tokens in pilots",
                point.where, point.epochs, other.where, other.epochs,
            )  # fmt: skip


def _read_csv(path: Path) -> Iterator[Pilot]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            columns = [name.strip() for name in table.fieldnames or []]
            table.fieldnames = columns
            if unknown := [name for name in columns if name not in COLUMNS]:
                raise UserError(f"{path}: unknown column {unknown[0]!r}{name_nearest(unknown[0], COLUMNS)}")
            if missing := [name for name in COLUMNS[:3] if name not in columns]:
                raise UserError(f"{path}: no column {missing[0]!r}; the first line must name {', '.join(COLUMNS[:3])}[,{COLUMNS[3]}]")
            for values in table:
                yield _read_line(values, f"{path}, line {table.line_num}")
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise UserError(f"{path}: cannot be read as CSV in UTF-8 ({error})") from None


def _read_line(values: Mapping[str | None, str | None], where: str) -> Pilot:
    if None in values:
        raise UserError(f"{where}: more values than columns; write numbers without thousands commas")
    numbers = {}
    for column in COLUMNS[1:]:
        text = (values.get(column) or "").strip()
        if not text and column == "similarity":
            continue
        try:
            numbers[column] = float(text)
        except ValueError:
            raise UserError(f"{where}: {column} is not a number: {text!r}") from None
    try:
        return Pilot(find((values["language"] or "").strip()).code, **numbers)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _read_run(folder: Path, metric: str, kind: str) -> list[_Point]:
    records = read_records([folder]).records
    counts = _count_rows(folder)
    points: list[_Point] = []
    for record in records:
        where = f"{folder}: {record.name}"
        adapter = (record.adapter or {}).get("sha256", "")
        if record.trained and adapter not in counts:
            raise UserError(
                f"{where}: the stages that made its adapter are not in the folder, so its rows cannot be counted; run the suite again"
            )
        kinds = counts.get(adapter, {})
        rows = {lang: _rows_of(lang, record, kinds, kind, where) for lang in record.trained}
        if record.trained and not any(rows.values()):
            logger.warning("%s left out: it was trained on no rows of kind %s", where, kind)
        for lang in (lang for lang, count in rows.items() if count):
            score, key = _score_of(lang, record, metric, where)
            epochs = float(record.cost.get("fit", {}).get("epochs") or 0)
            points.append(_Point(Pilot(lang, rows[lang], score), where, str(record.base.get("sha256")), key, epochs))
    if not points:
        raise UserError(f"{folder}: no model in it was trained on rows of kind {kind!r}; pilots are labels of cross_lingual")
    return points


def _count_rows(folder: Path) -> dict[str, Mapping[str, int]]:
    """Rows by ``language/kind`` for each adapter, by its sha256."""
    stages = [read_manifest(path) for path in sorted(folder.glob("*-*")) if path.is_dir() and path.suffix != ".part"]
    prepared = [stage for stage in stages if stage and stage.get("stage") == "prepare"]
    fitted = [stage for stage in stages if stage and stage.get("stage") == "fit"]
    try:
        kinds = {stage["plan"]["rows_sha256"]: stage["kinds"] for stage in prepared}
        found = {stage["adapter_sha256"]: stage["inputs"]["plan"]["rows_sha256"] for stage in fitted}
    except KeyError as error:
        raise UserError(
            f"{folder}: a manifest in it has no {error}: an older xlift wrote it; run the suite again in a new folder"
        ) from None
    return {adapter: kinds[rows] for adapter, rows in found.items() if rows in kinds}


def _rows_of(lang: str, record: Record, kinds: Mapping[str, int], kind: str, where: str) -> int:
    if len(record.trained) == 1:  # rows into the pivot are this language's too
        return sum(count for part, count in kinds.items() if part.endswith(f"/{kind}"))
    if f"{record.pivot}/{kind}" in kinds:
        raise UserError(
            f"{where} was trained in several languages and in both directions, so its rows cannot be told apart by "
            "language; use direction: from_pivot or one language a label"
        )
    return kinds.get(f"{lang}/{kind}", 0)


def _score_of(lang: str, record: Record, metric: str, where: str) -> tuple[float, str]:
    task = make_pair(BENCHMARKS["flores"], record.pivot, lang).name
    if task not in record.tasks:
        raise UserError(f"{where} has no score of {task}; add it to evaluate.tasks and run the suite again")
    found = record.tasks[task]
    if metric not in found.metrics:
        raise UserError(f"{where}: {task} has no metric {metric!r}{name_nearest(metric, found.metrics)}")
    return found.metrics[metric].value, found.comparability
