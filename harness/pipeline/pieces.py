"""What remains of a run, as pieces of work, each for a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from xlift.harness.pipeline.fit import fit_one
from xlift.harness.pipeline.measure import evaluate_wave
from xlift.harness.pipeline.prepare import prepare_wave
from xlift.harness.pipeline.ready import Known, find_ready, find_unasked, find_unmeasured, list_models
from xlift.harness.pipeline.stages import Measured, Run, Share, evaluate_stage, prepare_stage, share_stage

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
    asked: Measured | Share | None = None
    """What is measured, if anything is."""

    @property
    def model(self) -> str:
        """The name of the model that is measured; empty where none is."""
        return "" if self.asked is None else self.asked.model.name if isinstance(self.asked, Share) else self.asked.name


def list_pieces(run: Run, known: Known, order: Random | None = None) -> list[Piece]:
    """All stages that can begin now: rows and trainings first, because others wait for them, each kind in the suite's order or shuffled.

    The process of a measurement continues with the others that are there, on the engine that it has. A model that is asked in shares can
    be measured once all of them are finished.
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
    asked: list[Measured | Share] = []
    begins: list[int] = []
    for model in models:
        shares = find_unasked(run, model)
        begins += range(len(asked), len(asked) + max(1, len(shares)))
        asked += [*shares, model]
    for number in begins:
        one = asked[number]
        stage = share_stage(run, one) if isinstance(one, Share) else evaluate_stage(run, one)
        turned = [*asked[number:], *asked[:number]]
        pieces.append(Piece("evaluate", "engine", stage.name, f"evaluate {one.name}", evaluate_wave, (run, turned, 1, False), one))
    return pieces
