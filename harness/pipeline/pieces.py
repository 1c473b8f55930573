"""What remains of a run, as pieces of work, each for a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from xlift.harness.pipeline.fit import fit_one
from xlift.harness.pipeline.measure import evaluate_wave
from xlift.harness.pipeline.prepare import prepare_wave
from xlift.harness.pipeline.ready import Known, find_ready, find_unmeasured, list_models
from xlift.harness.pipeline.stages import Run, evaluate_stage, prepare_stage

LOGS = "logs"
"""In a run folder, the folder of what each stage said, if several ran at once."""


@dataclass(frozen=True)
class Piece:
    """A stage that can begin. Its process leaves the stage to another one that is working on it already."""

    kind: str
    """prepare, fit or evaluate."""
    label: str
    """The label of the method that is trained, or ``engine`` if the base or a model is asked."""
    stage: str
    """The name of the stage."""
    what: str
    """A name for people."""
    work: Callable[..., object]
    arguments: tuple[object, ...]


def list_pieces(run: Run, known: Known, order: Random | None = None) -> list[Piece]:
    """All stages that can begin now: rows and trainings first, because others wait for them, each kind in the suite's order or shuffled.

    The process of a measurement continues with the other models that are there, on the engine that it has.
    """
    ready = find_ready(run, known)
    turns, fits, models = [*ready.rows], [*ready.fits], find_unmeasured(run, list_models(run, ready.trained))
    if order:
        order.shuffle(turns)
        order.shuffle(fits)
        order.shuffle(models)
    pieces = [
        Piece("prepare", "engine", prepare_stage(run, turn).name, f"prepare {turn.name}", prepare_wave, (run, [turn], False))
        for turn in turns
    ]
    pieces += [Piece("fit", fit.turn.label, fit.stage(run).name, f"fit {fit.name}", fit_one, (run, fit, False)) for fit in fits]
    for number, model in enumerate(models):
        turned, name = [*models[number:], *models[:number]], evaluate_stage(run, model).name
        pieces.append(Piece("evaluate", "engine", name, f"evaluate {model.name}", evaluate_wave, (run, turned, 1, False)))
    return pieces
