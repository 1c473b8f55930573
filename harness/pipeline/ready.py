"""Which stages of a run can begin now: those that are not finished and whose inputs are whole. A run is a graph, without waves."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path

from xlift.harness.core.errors import UserError
from xlift.harness.core.manifests import Manifest
from xlift.harness.core.settings import build
from xlift.harness.core.store import Stage, read_manifest
from xlift.harness.models import adapters
from xlift.harness.pipeline.stages import Measured, Prepared, Round, Run, Share, evaluate_stage, find_prepared, fit_stage, share_stage
from xlift.harness.recipes import registry
from xlift.harness.training.report import FitReport

Known = MutableMapping[Round, Prepared]
"""The rows that were found or made, by round. Once they are here they are used, whatever happens to the corpora meanwhile."""


@dataclass(frozen=True)
class Fit:
    """One training whose rows are there."""

    turn: Round
    rows: Prepared
    seed: int | None
    """None if there is nothing to train."""
    before: Measured | None
    """The adapter that the round before made."""

    @property
    def name(self) -> str:
        """A name for people."""
        return self.turn.name + ("" if self.seed is None or self.turn.seed is not None else f", seed {self.seed}")

    def stage(self, run: Run) -> Stage:
        """The stage that makes it."""
        return fit_stage(run, self.turn, self.rows, self.seed)

    def find_made(self, run: Run) -> Measured | None:
        """The adapter, if it is finished. Raises UserError if it is not the one that was trained."""
        stage = self.stage(run)
        manifest = run.store.manifest(stage)
        if manifest is None:
            return None
        folder = run.store.folder(stage)
        _require_unchanged(folder, manifest)
        stages = (*(self.before.stages if self.before else ()), self.rows.folder.name, stage.name)
        return Measured(self.turn.label, self.seed, str(folder / "adapter"), stages)


@dataclass(frozen=True)
class Ready:
    """The state of the training of a run: what can begin, and what is finished."""

    rows: tuple[Round, ...]
    """The rows that are to be prepared."""
    fits: tuple[Fit, ...]
    """The adapters that are to be trained."""
    trained: tuple[Measured, ...]
    """The finished adapters of last rounds, in the order of the suite."""


def find_ready(run: Run, known: Known) -> Ready:
    """Look through all methods and seeds. Rows that are found are noted in ``known``."""
    rows: list[Round] = []
    fits: list[Fit] = []
    trained: list[Measured] = []
    for label, chosen in run.suite.methods.items():
        first = _find_rows(run, Round(label), known)
        if first is None:
            rows.append(Round(label))
            continue
        rounds = registry.load(chosen.method, chosen.options).rounds
        for seed in run.suite.seeds if first.count else (None,):
            found = _follow(run, Fit(Round(label), first, seed, None), rounds, known)
            if isinstance(found, Round):
                rows.append(found)
            elif isinstance(found, Fit):
                fits.append(found)
            else:
                trained.append(found)
    return Ready(tuple(rows), tuple(fits), tuple(trained))


def _follow(run: Run, fit: Fit, rounds: int, known: Known) -> Round | Fit | Measured:
    """The first stage in the rounds of one seed that is not finished, or the adapter at their end."""
    made = fit.find_made(run)
    for number in range(1, rounds):
        if made is None:
            break
        turn = Round(fit.turn.label, number, fit.seed, made.adapter)
        rows = _find_rows(run, turn, known)
        if rows is None:
            return turn
        fit = Fit(turn, rows, fit.seed if rows.count else None, made)
        made = fit.find_made(run)
    return fit if made is None else made


def _find_rows(run: Run, turn: Round, known: Known) -> Prepared | None:
    if turn not in known and (found := find_prepared(run, turn)):
        known[turn] = found
    return known.get(turn)


def _require_unchanged(folder: Path, manifest: Manifest) -> None:
    recorded = manifest.get("adapter_sha256")
    if recorded and adapters.resolve(folder / "adapter").sha256 != recorded:
        raise UserError(
            f"{folder / 'adapter'}: not the adapter that was trained (another sha256); delete the folder {folder} and run again"
        )


def list_models(run: Run, trained: tuple[Measured, ...]) -> list[Measured]:
    """All models that are to be measured once some adapters are trained: the base, these adapters, those that were given, and points of
    curves."""
    given = [Measured(name, None, reference) for name, reference in run.suite.evaluate.adapters.items()]
    points = [point for model in trained for point in list_points(run, model)]
    return [Measured("base", None, None), *trained, *given, *points]


def list_points(run: Run, model: Measured) -> list[Measured]:
    """The adapters that were kept during the training of a model, or of its last round if it had several."""
    if not model.stages or not model.stages[-1].startswith("fit-"):
        return []
    folder = run.root / model.stages[-1]
    report = (read_manifest(folder) or {}).get("report") or {}
    kept = build(FitReport, report, f"{folder}: manifest: report").points if report else ()
    return [replace(model, adapter=str(folder / point.folder), point=point) for point in kept]


def find_unmeasured(run: Run, models: Iterable[Measured]) -> list[Measured]:
    """The models among these that have no measurement yet."""
    return [model for model in models if run.store.manifest(evaluate_stage(run, model)) is None]


def find_unasked(run: Run, model: Measured) -> list[Share]:
    """The shares of a model's items that were not asked yet; none where it is asked at once (``resources.shares``)."""
    count = run.suite.resources.shares
    shares = [Share(model, number, count) for number in range(1, count + 1)] if count > 1 else []
    return [share for share in shares if run.store.manifest(share_stage(run, share)) is None]
