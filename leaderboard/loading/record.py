"""Published records: a run folder with its numbers and without texts, adapters and folders of the machine.

    NAME/record.json                                which files it has
    NAME/suite.resolved.json, NAME/hub.json
    NAME/{prepare,fit,evaluate,judge}-*/*.json      manifests of the stages behind each measured model, win rates
    NAME/evaluate-*/samples_*.jsonl                 for each document its number, hash and scores
    NAME/judge-*/verdicts_*.jsonl                   for each item its verdict, without what the judge wrote

Prompts, references and answers of benchmarks are under licences of their own and stay at home; so do the sentences of corpora that a
profile puts before a prompt, of which the hash is kept. A record is read as a run folder is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath

from xlift.harness.core.errors import UserError
from xlift.harness.core.store import parse_json
from xlift.harness.core.types import Json
from xlift.harness.evaluation.records import Record, make_public
from xlift.harness.evaluation.samples import read_lines, read_samples
from xlift.leaderboard.loading.folders import State, delete_files, read_state, write_file, write_state
from xlift.leaderboard.loading.runs import Run, collect
from xlift.leaderboard.loading.scores import HASH, choose_metrics
from xlift.tasks.entries import AS_WRITTEN

STATE = "record.json"

SPOKEN = ("replies",)
"""The keys under which a judge's texts about an item are kept. They may quote the item."""


def extract_record(folder: Path) -> dict[str, str]:
    """The name and text of each file of a run folder's record. Of several evaluations of one model the newest is taken, with the points of
    its curve.

    Raises UserError if there is no finished evaluation, and if one cannot be read: a record is complete or is not made.
    """
    collection = collect([folder], _refuse)
    if collection.unread:
        raise UserError(f"{collection.unread[0]}; a record is made of whole runs alone")
    files: dict[str, str] = {}
    runs = (*collection.runs, *collection.points)
    withheld = {text for run in runs for text in _find_borrowed(run)}
    for run in runs:
        if lost := [note for note in run.notes if "samples" in note]:
            raise UserError(f"{folder}: {run.record.name}: {lost[0]}; evaluate it again")
        files.update(_write_evaluation(run, withheld))
    known = [dict(stage) for run in runs for stage in run.stages.values()]
    for path in sorted(folder.glob("*-*/manifest.json")):
        if path.parent.name.startswith(("fit-", "prepare-")) and (manifest := make_public(_read(path))) in known:
            files[_name(path)] = _dump(_withhold(manifest, withheld))
    for path in sorted([*folder.glob("*.json"), *folder.glob("judge-*/*.json")]):
        if path.name != STATE:
            files[path.relative_to(folder).as_posix()] = _dump(make_public(_read(path)))
    for path in sorted(folder.glob("judge-*/verdicts_*.jsonl")):
        kept = ({key: value for key, value in line.items() if key not in SPOKEN} for line in read_lines(path))
        files[_name(path)] = "".join(_dump_line(line) for line in kept)
    return dict(sorted(files.items()))


def write_record(files: Mapping[str, str], out: Path, by: str = "") -> None:
    """Write a record that ``by`` measured into ``out``. Files of an earlier record that this one does not have are deleted.

    Raises UserError if ``out`` holds something else than a record.
    """
    before = read_state(out, STATE, "a record")
    try:
        write_state(out, STATE, {"schema_version": 1, "files": before["files"]})
        for name, text in files.items():
            write_file(out, name, text)
        delete_files(out, set(before["files"]) - set(files))
        done: State = {"schema_version": 1, "files": list(files)}
        write_state(out, STATE, {**done, "by": by} if by else done)
    except OSError as error:
        raise UserError(f"{error.filename or out}: cannot write the record ({error.strerror}); choose another folder with --out") from None


def _find_borrowed(run: Run) -> list[str]:
    """The prompts of a run's profile, if they were made from corpora."""
    prepare = run.stages.get("prepare", {})
    profile = (prepare.get("plan") or {}).get("profile") or {}
    return list((profile.get("prompt") or {}).values()) if prepare.get("corpora") else []


def _withhold(value: Json, texts: set[str]) -> Json:
    """The value with each of ``texts`` in it replaced by its hash, so that equal texts stay equal."""
    if isinstance(value, dict):
        return {key: _withhold(one, texts) for key, one in value.items()}
    if isinstance(value, list):
        return [_withhold(one, texts) for one in value]
    if isinstance(value, str) and value in texts:
        return f"withheld, sha256 {hashlib.sha256(value.encode()).hexdigest()}"
    return value


def _write_evaluation(run: Run, withheld: set[str]) -> Iterator[tuple[str, str]]:
    stage = run.stage.name
    manifest = make_public(_read(run.stage / "manifest.json"))
    if run.record.adapter:
        # The stage that made it, and no folder of the machine.
        place = PurePath(str(run.record.adapter.get("name", "")))
        hub = str(place).startswith("hub:")
        manifest["record"]["adapter"]["name"] = str(place) if hub else PurePath(*place.parts[-2:]).as_posix()
    for task, result in run.record.tasks.items():
        if result.samples:
            scores = "".join(_write_scores(run.record, task, run.stage / result.samples))
            manifest["record"]["tasks"][task]["samples_sha256"] = hashlib.sha256(scores.encode()).hexdigest()
            yield f"{stage}/{result.samples}", scores
    yield f"{stage}/manifest.json", _dump(_withhold(manifest, withheld))


def _write_scores(record: Record, task: str, path: Path) -> Iterator[str]:
    """The lines of a sample file with the scores that are compared, and nothing that could be read."""
    result = record.tasks[task]
    wanted = choose_metrics(result)
    names = {metric.partition("/")[0] for metric in wanted}
    names |= {f"{name}{AS_WRITTEN}" for name in names}
    for line in read_samples(path, result.samples_sha256):
        scores = {name: value for name, value in line.metrics.items() if name in names and isinstance(value, int | float)}
        head = {"doc_id": line.doc_id, "doc_hash": line.doc_hash[:HASH], "filter": line.filter}
        head |= {"group": line.group} if line.group else {}
        yield _dump_line({**head, "metrics": sorted(scores), **dict(sorted(scores.items()))})


def _refuse(path: Path) -> list[Run]:
    raise UserError("results of others have no record; commit the file itself")


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _read(path: Path) -> dict[str, Json]:
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise UserError(f"{path}: not a JSON file that can be read") from None
    return found if isinstance(found, dict) else {}


def _dump(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"


def _dump_line(value: object) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"
