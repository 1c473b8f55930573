"""A run on several devices of one machine: each stage begins as soon as its inputs are whole and devices for it are free."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, field

from xlift.harness.core.errors import UserError
from xlift.harness.core.leases import find_owners
from xlift.harness.core.store import LEASES
from xlift.harness.models.shape import read_shape
from xlift.harness.pipeline.devices import Device, Need, choose_devices, require_room
from xlift.harness.pipeline.estimates import GIB, Estimates
from xlift.harness.pipeline.pieces import LOGS, Piece, list_pieces
from xlift.harness.pipeline.processes import Apart, end_all
from xlift.harness.pipeline.stages import Prepared, Round, Run
from xlift.harness.recipes import registry

logger = logging.getLogger(__name__)


def spread(run: Run, devices: Sequence[Device], *, measure: bool = True) -> None:
    """Do everything that remains of a run, or without ``measure`` of its training, on several devices at once.

    What each stage says goes to its log in the run folder. If a stage fails, no other one begins, and those that are running are finished
    before its error is raised. Raises UserError before any work if something fits no device.
    """
    spreading = _Spreading(run, tuple(devices), list_needs(run, devices), measure)
    try:
        spreading.begin_more()
        while spreading.running:
            spreading.await_one()
            spreading.begin_more()
    except BaseException:
        end_all(one for one, _ in spreading.running.values())
        raise
    if spreading.failed:
        raise spreading.failed[0]


@dataclass
class _Spreading:
    """What is running, and on which devices."""

    run: Run
    devices: tuple[Device, ...]
    needs: Mapping[str, Need]
    measure: bool
    known: dict[Round, Prepared] = field(default_factory=dict)
    running: dict[str, tuple[Apart[object], tuple[Device, ...]]] = field(default_factory=dict)
    """The running processes by stage."""
    failed: list[UserError] = field(default_factory=list)

    def begin_more(self) -> None:
        """Begin what is ready and finds room, in order. A piece that is too large for the free devices does not delay a smaller one."""
        if self.failed:
            return
        busy = find_owners(self.run.root / LEASES)
        for piece in list_pieces(self.run, self.known):
            if piece.stage in self.running or piece.stage in busy or (piece.kind == "evaluate" and not self.measure):
                continue
            taken = [device for _, some in self.running.values() for device in some]
            chosen = choose_devices([device for device in self.devices if device not in taken], self.needs[piece.label])
            if chosen:
                self.running[piece.stage] = (self._start(piece, chosen), chosen)

    def await_one(self) -> None:
        """Wait until a process ends, and free its devices."""
        done = wait([one.future for one, _ in self.running.values()], return_when=FIRST_COMPLETED).done
        for stage in [stage for stage, (one, _) in self.running.items() if one.future in done]:
            one, _ = self.running.pop(stage)
            try:
                one.finish()
            except UserError as error:
                self.failed.append(error)

    def _start(self, piece: Piece, devices: Sequence[Device]) -> Apart[object]:
        names, log = ",".join(device.name for device in devices), self.run.root / LOGS / f"{piece.stage}.log"
        logger.info("%s on %s (log: %s)", piece.what, names, log)
        environment = {"CUDA_VISIBLE_DEVICES": names}
        return Apart(piece.what, piece.work, piece.arguments, beside=len(self.devices), log=log, environment=environment)


def list_needs(run: Run, devices: Sequence[Device]) -> dict[str, Need]:
    """What a training of each method needs of a device, by its label, and what an engine needs, by ``engine``.

    Raises UserError if one of them needs more than there is.
    """
    shape, engine = read_shape(run.base), run.suite.engine
    on_paper = Estimates.of_any_gpu(shape) if shape else None
    weights = shape.parameters * 2 / GIB / engine.gpus if shape else 0.0
    found = {"engine": Need(engine.gpus, weights)}
    require_room(devices, "engine: the base", found["engine"], "raise engine.tensor_parallel_size, or take a smaller base")
    remedy = "lower train.micro_batch_tokens, or set train.gradient_checkpointing or train.quantise"
    for label, chosen in run.suite.methods.items():
        trains = registry.find_method(chosen.method).trains
        found[label] = Need(
            run.suite.training(label).processes, on_paper.train_bytes(run.suite.training(label)) / GIB if on_paper and trains else 0.0
        )
        require_room(devices, f"methods.{label}: a training", found[label], remedy)
    return found
