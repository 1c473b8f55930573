"""The samples of one task and model, found by name: what ``xlift show`` prints, from the data of the site's samples pages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlift.harness.core.errors import UserError, name_nearest
from xlift.leaderboard.loading import foreign
from xlift.leaderboard.loading.runs import Run, find_runs
from xlift.leaderboard.loading.samples import Sample, Sheet, find_base, read_sheet

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Selection:
    """The samples of one task as one model answered it, and perhaps those of another model."""

    run: Run
    beside: Run | None
    """The model whose answers are in ``Sample.base``; None if it was used only for labels."""
    sheet: Sheet
    samples: tuple[Sample, ...]
    """The samples with all the labels that were asked for."""
    models: tuple[str, ...]
    """All names that ``model`` can have in these results."""

    def to_dict(self, limit: int | None = None) -> dict[str, Any]:
        """Plain data, the first ``limit`` samples of it."""
        record = self.run.record
        shown = [{**asdict(one), "scores": dict(one.scores), "base_scores": dict(one.base_scores)} for one in self.samples[:limit]]
        return {
            "schema_version": 1,
            "suite": record.suite,
            "task": self.sheet.task,
            "language": self.sheet.language,
            "model": name_model(self.run),
            "diff": name_model(self.beside) if self.beside else None,
            "metric": record.tasks[self.sheet.task].tested,
            "documents": len(self.sheet.samples),
            "selected": len(self.samples),
            "samples": shown,
        }


def select(results: Path, task: str, model: str | None = None, diff: str | None = None, marks: Collection[str] = ()) -> Selection:
    """The samples of ``task`` with all ``marks``, by ``model``; if none is named, by the first model that is not the base.

    ``flipped`` is against the model that ``diff`` names, else against the base, as on the site. Raises UserError for a name that is not in
    the results, with the nearest one, for samples that are gone, and for two models that may not be compared on the task.
    """
    runs = _find(results)
    suites = sorted({run.record.suite for run in runs})
    if len(suites) > 1:
        raise UserError(f"{results}: holds several suites ({', '.join(suites)}); name one run folder")
    models = {name_model(run): run for run in runs}
    run = _choose(models, model, "--model") if model else _first(runs, task)
    if task not in run.record.tasks:
        raise UserError(f"{name_model(run)} has no task {task!r}{name_nearest(task, run.record.tasks)}")
    beside = _choose(models, diff, "--diff") if diff else find_base(runs, run)
    if "flipped" in marks and (beside is None or beside is run):
        raise UserError("--flipped needs two models: name another with --model, or what it is compared with by --diff")
    sheet = read_sheet(run, beside, task)
    if sheet is None:
        raise UserError(
            f"{results}: the samples of {task} by {run.record.name} are gone, damaged or without answers, as in a published record; "
            "name the run folder, or evaluate it again"
        )
    shows = beside is not None and beside is not run and (diff is not None or "flipped" in marks)
    if beside is not None and shows and all(one.base is None for one in sheet.samples):
        raise UserError(
            f"{name_model(run)} and {name_model(beside)} were not measured on the same documents of {task} under the same settings"
        )
    samples = tuple(one for one in sheet.samples if set(marks) <= set(one.marks))
    return Selection(run, beside if shows else None, sheet, samples, tuple(models))


def tabulate_samples(found: Selection) -> pd.DataFrame:
    """One row for each sample: id, prompt, reference, answer, extracted (None if extraction changed nothing), marks, and its scores.

    If there is another model, its answer, extraction and scores follow in columns that begin with ``diff_``.
    """
    import pandas as pd

    rows: list[dict[str, object]] = []
    for sample in found.samples:
        row: dict[str, object] = {name: getattr(sample, name) for name in ("id", "prompt", "reference", "answer", "extracted", "marks")}
        row |= sample.scores
        if found.beside:
            row |= {"diff_answer": sample.base, "diff_extracted": sample.base_extracted}
            row |= {f"diff_{name}": value for name, value in sample.base_scores.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def name_model(run: Run) -> str:
    """A model as ``select`` takes it: its label, with ``-seedN`` as in the names of stage folders."""
    record = run.record
    return record.label if record.seed is None else f"{record.label}-seed{record.seed}"


def _find(results: Path) -> tuple[Run, ...]:
    if not results.exists():
        parent = results.parent
        beside = [path.name for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
        raise UserError(f"{results}: no such run folder{name_nearest(results.name, beside) if beside else ''}")
    return find_runs([results], foreign.read).runs


def _first(runs: Sequence[Run], task: str) -> Run:
    """The first model, other than the base, that did the task; the base if it is the only one."""
    able = [run for run in runs if task in run.record.tasks]
    if not able:
        known = {name for run in runs for name in run.record.tasks}
        raise UserError(f"no task {task!r} in these results{name_nearest(task, known)}")
    return next((run for run in able if run.record.label != "base"), able[0])


def _choose(models: dict[str, Run], name: str, option: str) -> Run:
    if name in models:
        return models[name]
    seeds = [run for run in models.values() if run.record.label == name]
    if not seeds:
        raise UserError(f"{option} {name!r}: no such model in these results{name_nearest(name, models)}")
    return seeds[0]
