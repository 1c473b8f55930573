"""Result folders as the site uses them: each finished evaluation with everything that its run left beside it.

What cannot be used is named and left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, cast

from xlift.harness.core.errors import UserError, name_nearest, name_run
from xlift.harness.core.manifests import Inputs, Manifest
from xlift.harness.core.parallel import share
from xlift.harness.core.store import RESOLVED, parse_json
from xlift.harness.evaluation.records import Measurement, Record, Score, choose_newest, make_public, read_measurement
from xlift.harness.evaluation.samples import read_samples
from xlift.leaderboard.loading.scores import Documents, choose_metrics, name_scores, take_scores
from xlift.leaderboard.loading.slugs import slug
from xlift.leaderboard.loading.win_rates import JudgedRate, read_win_rates
from xlift.tasks.entries import Metric
from xlift.tasks.foreign import raise_bound

Origin = Literal["xlift", "lm_eval", "open_llm", "every_eval_ever"]

UNREADABLE = (UserError, OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError)
"""The exceptions that a damaged or foreign file can raise in a reader that expects a certain form."""


@dataclass(frozen=True)
class Reproduction:
    """A method that was run again, with the number of its tasks that agreed."""

    label: str
    by: str
    agree: int
    tasks: int
    """The number of tasks that may be compared."""


@dataclass(frozen=True)
class Run(Measurement):
    """One measured model with what its run left beside it."""

    origin: Origin = "xlift"
    stages: Mapping[str, Manifest] = field(default_factory=dict)
    """The manifests of its prepare and fit stages, if they are there."""
    suite: Mapping[str, object] | None = None
    """The resolved suite."""
    link: str | None = None
    """The place of its adapter on the hub, as the push of its run recorded it."""
    collection: str | None = None
    """The hub's collection of its suite, if its adapter was pushed with it."""
    by: str = ""
    """Who measured it, if its record says so."""
    reproductions: tuple[Reproduction, ...] = ()
    """Who ran its method again, according to files in its folder."""
    documents: tuple[Documents, ...] = ()
    win_rates: tuple[JudgedRate, ...] = ()
    notes: tuple[str, ...] = ()
    """What is missing of it, and why."""
    earlier: tuple[Measurement, ...] = ()
    """Earlier measurements of the same model, which this one replaces, the oldest first."""

    @cached_property
    def id(self) -> str:
        suite, label, seed, _ = self.key
        return slug(suite, label, *([] if seed is None else [f"seed{seed}"]))

    def is_smoke(self, task: str) -> bool:
        """Whether a limit left fewer of a task's items than an interval needs. xlift draws items by a hash of their ids; other programs
        take the first ones, which stand for nothing, however many they are."""
        result = self.record.tasks[task]
        return result.is_smoke if self.origin == "xlift" else result.items < result.items_of

    @cached_property
    def row(self) -> str:
        """The id of the row that pools the seeds."""
        return slug(*self.key[:2])


@dataclass(frozen=True)
class Collection:
    """All runs of a site, and a line for everything that was left out. For a run that is shown, it says what it lacks, such as its
    samples."""

    runs: tuple[Run, ...]
    points: tuple[Run, ...] = ()
    """Adapters that were kept before their training ended."""
    unread: tuple[str, ...] = ()
    """A line for each source that cannot be used."""
    older: tuple[str, ...] = ()
    """A line for each measurement that a newer one replaces."""

    @property
    def left_out(self) -> tuple[str, ...]:
        missing = [f"{run.record.suite}/{run.stage.name}: {note}" for run in (*self.runs, *self.points) for note in run.notes]
        missing += list_lost_points(((run, run.stages.get("fit")) for run in self.runs), self.points)
        return tuple(sorted((*self.unread, *self.older, *missing)))

    @property
    def documents(self) -> list[Documents]:
        return [one for run in self.runs for one in run.documents]


Reader = Callable[[Path], Iterable[Run]]
"""Makes runs of a results file of another program. Raises one of UNREADABLE if it is not such a file."""


def collect(results: Sequence[Path], read_foreign: Reader, base: str | None = None) -> Collection:
    """The runs that ``find_runs`` finds, with their per-document scores. Raises UserError as it does."""
    found = find_runs(results, read_foreign, base)
    every = (*found.runs, *found.points)
    read = share(read_scores, [(run.record, run.stage) for run in every])
    runs = [
        replace(run, record=_add_scores(run.record, scores), documents=scores, notes=(*run.notes, *notes))
        for run, (scores, notes) in zip(every, read, strict=True)
    ]
    count = len(found.runs)
    return replace(found, runs=tuple(_agree_on_bounds(runs[:count])), points=tuple(runs[count:]))


def read_scores(record: Record, stage: Path) -> tuple[tuple[Documents, ...], list[str]]:
    """A run's per-document scores, and a line for each task without any. Such a task keeps its score and is not compared."""
    documents, notes = [], []
    for task, result in record.tasks.items():
        if not result.metrics:
            notes.append(f"{task}: no score")
        if not result.samples:
            notes.append(f"{task}: no samples, so no interval and no paired test")
            continue
        path, metrics = stage / result.samples, choose_metrics(result)
        if result.metrics and not metrics:
            notes.append(f"{task}: {result.headline} is of all documents at once, so no interval and no paired test")
            continue
        try:
            lines = read_samples(path, result.samples_sha256)
            for metric in metrics:
                documents.append(name_scores(take_scores(lines, path, record, task, metric), record, task, metric))
        except UNREADABLE as error:
            documents = [one for one in documents if one.task != task]
            notes.append(f"{task}: {_say(error, stage)}")
    return tuple(documents), notes


def list_lost_points(trained: Iterable[tuple[Measurement, Manifest | None]], points: Iterable[Measurement]) -> list[str]:
    """A line for each model of which adapters were kept on the way, as its fit stage says, that ``points`` have no measurement of."""
    there = {one.key for one in points}
    lines = []
    for one, fit in trained:
        report = fit.get("report") if fit else None
        kept = report.get("points") if isinstance(report, Mapping) else None  # of a manifest that is damaged anything may be there
        shares = [point.get("share") for point in kept if isinstance(point, Mapping)] if isinstance(kept, list) else []
        if lost := [f"{share:.0%}" for share in shares if isinstance(share, float) and (*one.key[:3], share) not in there]:
            lines.append(f"{one.record.name}: no evaluation of the adapters that were kept at {', '.join(lost)} of its training")
    return lines


def read_fits(run: Path) -> dict[str, Manifest]:
    """The manifests of a run folder's fit stages, by the hash of the adapter that each made; of what is damaged there is none."""
    return {str(one["adapter_sha256"]): one for one in _read_stages(run, "fit") if one.get("adapter_sha256")}


def _read_stages(run: Path, kind: str) -> list[Manifest]:
    return [cast(Manifest, make_public(_read_json(path) or {})) for path in sorted(run.glob(f"{kind}-*/manifest.json"))]


def find_runs(results: Sequence[Path], read_foreign: Reader, base: str | None = None) -> Collection:
    """The runs in folders, at any depth, and in single JSON files, with their win rates.

    Of several measurements of one model the newest counts. ``base`` names the model with which results of other programs are compared, if
    they do not name it themselves. Raises UserError for a path or a base that does not exist, and if nothing can be used.
    """
    found: list[Run] = []
    unread: list[str] = []
    folders: dict[Path, _Folder] = {}
    for place in results:
        if not place.exists():
            raise UserError(f"{place}: no such results; name run folders, such as runs/demo")
        if place.suffix in (".yaml", ".yml"):
            raise UserError(f"{place}: {name_run(place)}")
        for source in _find_sources(place):
            name = _name(source, place)
            try:
                found += [_check(run) for run in (_read_stage(source, folders) if source.is_dir() else read_foreign(source))]
            except UNREADABLE as error:
                unread.append(f"{name}: {_say(error, place)}")
    if not found:
        why = f": {unread[0]}" if unread else ""
        raise UserError(f"{', '.join(map(str, results))}: no finished evaluation in it{why}")
    newest = choose_newest(_pair_with_bases(_join_files(found), base))
    measured = [_add_win_rates(_add_earlier(run, newest.older)) for run in newest.measurements]
    return Collection(tuple(measured), newest.points, tuple(unread), newest.left_out)


def _add_earlier(run: Run, older: Iterable[Run]) -> Run:
    earlier = [Measurement(one.record, one.stage, one.finished, one.asked) for one in older if one.key == run.key]
    return replace(run, earlier=tuple(earlier)) if earlier else run


def _join_files(found: Sequence[Run]) -> list[Run]:
    """The runs, in which results of other programs that were written into one folder for one model, with other tasks each time, are joined.

    If a task was measured twice, the last result counts. Results that say different things about the engine or the system prompt are not
    joined.
    """
    joined: list[Run] = []
    for run in sorted(found, key=lambda run: run.age):
        record = run.record
        for place, other in enumerate(joined):
            same = other.key == run.key and other.stage == run.stage and run.origin == other.origin != "xlift"
            alike = (other.record.engine, other.record.system) == (record.engine, record.system)
            if same and alike and not other.record.tasks.keys() <= record.tasks.keys():
                tasks = {**other.record.tasks, **record.tasks}
                joined[place] = replace(run, record=record.model_copy(update={"tasks": tasks}))
                break
        else:
            joined.append(run)
    return joined


def _pair_with_bases(found: Sequence[Run], named: str | None) -> list[Run]:
    """Results of other programs with their bases. Each base and the results that use it are one suite.

    A result of an adapter names its base itself; else the base is ``named``. Without its base's own result it stays as it is.
    """
    foreign = [run for run in found if run.origin != "xlift"]
    plain = {(run.origin, run.record.label) for run in foreign if run.record.adapter is None}
    if named is not None and all(label != named for _, label in plain):
        raise UserError(f"base {named!r}: no result of another program is of it{name_nearest(named, {label for _, label in plain})}")
    wanted = {(run.origin, _name_base(run, named)) for run in foreign if _name_base(run, named) != run.record.label}
    paired = []
    for run in found:
        base = _name_base(run, named)
        if (run.origin, base) in plain and (run.origin, base) in wanted:
            label = "base" if run.record.adapter is None and run.record.label == base else run.record.label
            known = {"suite": f"{run.origin}: {base}", "label": label, "base": {"name": base}}
            run = replace(run, record=run.record.model_copy(update=known))
        paired.append(run)
    return paired


def _name_base(run: Run, named: str | None) -> str:
    return str(run.record.base["name"]) if run.record.adapter else named or run.record.label


def _agree_on_bounds(runs: Sequence[Run]) -> list[Run]:
    """The runs, in which each metric of another maker has a bound that holds for all of them: one model's F1 of 0.9 may be out of 100."""
    known: dict[tuple[str, str], Metric] = {}
    for run in runs:
        for task, result in run.record.tasks.items():
            for name, metric in result.measures.items():
                most = known.get((task, name), metric).most
                known[task, name] = metric if most is None or metric.most is None else replace(metric, most=max(most, metric.most))
        for one in run.documents:
            if one.known and len(one.columns.values):
                known[one.task, one.metric] = raise_bound(known[one.task, one.metric], float(one.columns.values.max()))
    agreed = []
    for run in runs:
        tasks = {
            task: result.model_copy(update={"measures": {name: known[task, name] for name in result.measures}})
            for task, result in run.record.tasks.items()
        }
        documents = tuple(replace(one, known=known[one.task, one.metric]) if one.known else one for one in run.documents)
        agreed.append(replace(run, record=run.record.model_copy(update={"tasks": tasks}), documents=documents))
    return agreed


def _find_sources(place: Path) -> Iterator[Path]:
    """Evaluate stages, and results files that are in none."""
    if place.is_file():
        yield place
        return
    stages = [place] if (place / "manifest.json").is_file() else sorted(path.parent for path in place.rglob("evaluate-*/manifest.json"))
    stages = [stage for stage in stages if not any(part.endswith(".part") for part in stage.parts)]
    yield from stages
    for path in sorted(place.rglob("*.json")):
        if path.name.startswith("results") and not any(stage in path.parents for stage in stages):
            yield path


def _read_stage(stage: Path, folders: dict[Path, _Folder]) -> list[Run]:
    found = read_measurement(stage)
    if found is None:
        return []
    record = found.record
    folder = folders.get(stage.parent) or folders.setdefault(stage.parent, _read_folder(stage.parent))
    link = folder.links.get((record.label, record.seed))
    return [
        Run(
            record, stage, found.finished, found.asked, found.adapter, stages=folder.find_stages(record), suite=folder.suite, link=link,
            collection=folder.collection if link else None, by=folder.by,
            reproductions=tuple(one for one in folder.reproductions if one.label == record.label),
        )
    ]  # fmt: skip


def _check(run: Run) -> Run:
    """The run, with its base's name without a folder of the machine. Raises UserError if a name in it is no text that a file could hold."""
    try:
        run.record.model_dump_json()
    except ValueError:  # pydantic's, which names no field
        raise UserError("a name in its record is not valid Unicode (a lone surrogate)") from None
    return replace(run, record=run.record.model_copy(update={"base": make_public(run.record.base)}))


@dataclass(frozen=True)
class _Folder:
    """What a run folder holds beside its evaluations."""

    suite: Mapping[str, object] | None
    fits: Mapping[str, Manifest]
    """The manifests by the hash of the adapter that was made."""
    prepares: Mapping[str, Manifest]
    """The manifests by the plan that was made, because prompts alone all make the same rows, none."""
    links: Mapping[tuple[str, int | None], str]
    collection: str | None
    by: str
    reproductions: tuple[Reproduction, ...]

    def find_stages(self, record: Record) -> dict[str, Manifest]:
        """The fit that made a record's adapter, and the prepare that made the fit's rows."""
        fit = self.fits.get(str((record.adapter or {}).get("sha256")))
        prepare = self.prepares.get(_name_plan((fit or {}).get("inputs")))
        return {kind: one for kind, one in (("fit", fit), ("prepare", prepare)) if one}


def _read_folder(run: Path) -> _Folder:
    pushed = _read_json(run / "hub.json") or {}
    return _Folder(
        make_public(_read_json(run / RESOLVED)),
        read_fits(run),
        {plan: one for one in _read_stages(run, "prepare") if (plan := _name_plan(one))},
        _read_links(pushed),
        str(pushed["collection"]) if _is_address(pushed.get("collection")) else None,
        str((_read_json(run / "record.json") or {}).get("by") or "")[:100],
        tuple(found for path in sorted(run.glob("reproduced-*.json")) if (found := _read_reproduction(path))),
    )


def _read_reproduction(path: Path) -> Reproduction | None:
    """What ``xlift reproduce`` wrote; None for a file that does not have that form."""
    found = _read_json(path) or {}
    tasks = found.get("tasks")
    rows = [one for one in tasks if isinstance(one, dict)] if isinstance(tasks, list) else []
    told = [one["agrees"] for one in rows if isinstance(one.get("agrees"), bool)]
    return Reproduction(str(found.get("label")), str(found.get("by") or "")[:100], sum(told), len(told)) if told else None


def _read_links(pushed: Mapping[str, object]) -> dict[tuple[str, int | None], str]:
    """Addresses on a hub by label and seed, as ``xlift push --all`` left them. Only those that are addresses are taken."""
    found = pushed.get("adapters")
    named = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return {
        (one["label"], one.get("seed")): one["url"]
        for one in named
        if isinstance(one.get("label"), str) and isinstance(one.get("seed"), int | None) and _is_address(one.get("url"))
    }


def _is_address(value: object) -> bool:
    return bool(re.fullmatch(r"https://[\w.-]+(/[\w.-]+){2,3}", str(value), re.ASCII))


def _name_plan(manifest: Manifest | Inputs | None) -> str:
    """The plan in a stage's manifest, or among its inputs, as text; empty where there is none."""
    plan = manifest.get("plan") if isinstance(manifest, Mapping) else None
    return json.dumps(plan, sort_keys=True) if plan else ""


def read_curve(run: Run) -> list[tuple[float, float, float]]:
    """Step, tokens trained and loss along a run's training; empty where it did not train."""
    curve = (run.stages.get("fit", {}).get("report") or {}).get("curve") or []
    return [(point[0], point[1], point[2]) for point in curve if isinstance(point, list) and len(point) == 3]


def _add_scores(record: Record, documents: Sequence[Documents]) -> Record:
    """The record with the means of scores that its samples have and it lacks, as in those of an older xlift."""
    tasks = dict(record.tasks)
    for one in documents:
        result = tasks[one.task]
        if one.metric not in result.metrics:
            mean = Score(value=float(one.columns.values.mean()), stderr=None)
            tasks[one.task] = result.model_copy(update={"metrics": {**result.metrics, one.metric: mean}})
    return record.model_copy(update={"tasks": tasks})


def _add_win_rates(run: Run) -> Run:
    if run.origin != "xlift":
        return run
    try:
        return replace(run, win_rates=tuple(read_win_rates([run])))
    except UNREADABLE as error:
        return replace(run, notes=(*run.notes, _say(error, run.stage.parent)))


def _read_json(path: Path) -> dict[str, object] | None:
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _name(source: Path, place: Path) -> str:
    """The name of a source without the folders above the results, which are private."""
    return source.relative_to(place.parent).as_posix() if source != place else source.name


def _say(error: BaseException, place: Path) -> str:
    """One line for an error, without the folders of this machine."""
    text = str(error) if isinstance(error, UserError) else f"not a results file that can be read ({type(error).__name__})"
    if isinstance(error, FileNotFoundError):
        text = "its samples are gone"
    return " ".join(text.replace(f"{place}/", "").replace(f"{place.parent}/", "").split())[:300]
