"""A worker: one of several processes, possibly on several machines, that take what is ready in a run folder until nothing is left.

Workers know of each other only what the folder says: finished stages, and leases on the stages on which somebody is working. If a worker
dies, the next one continues its stage from its checkpoints and the answers that were kept.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

from xlift.harness.config.suite import Suite, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.leases import claim, find_owners, refuse_other_versions
from xlift.harness.core.shared_folder import require_token
from xlift.harness.core.store import LEASES, POLL, RESOLVED, explain_disk, read_object, write_json
from xlift.harness.pipeline.pieces import LOGS, Piece, list_pieces
from xlift.harness.pipeline.processes import TimeIsUpError, run_side_by_side
from xlift.harness.pipeline.run import open_run, refuse_launcher
from xlift.harness.pipeline.stages import Prepared, Round, Run

logger = logging.getLogger(__name__)

LONGEST = 525_600
"""The most minutes that a worker may be given, which is a year."""
LONGEST_POLL = 30.0
"""The most seconds between two looks for work, after there was none for a while."""


@dataclass
class Worker:
    """What a worker remembers."""

    run: Run
    end: float | None
    """The end of its time by the monotonic clock; None for no end."""
    known: dict[Round, Prepared] = field(default_factory=dict)
    failed: dict[str, UserError] = field(default_factory=dict)
    """Stages that failed here. This worker does not begin them again."""

    def list_pieces(self) -> list[Piece]:
        """Everything that can begin, in an order of its own, so that workers begin with different stages."""
        return list_pieces(self.run, self.known, random.Random(f"{socket.gethostname()} {os.getpid()}"))

    def begin_one(self, pieces: list[Piece]) -> bool:
        """Do the first piece on which nobody is working and that did not fail here; False if there is none. Raises TimeIsUpError."""
        leases = self.run.root / LEASES
        busy = find_owners(leases)
        for piece in pieces:
            if piece.stage in self.failed or piece.stage in busy:
                continue
            # The lease is the stage's process's own, which takes seconds to start: until then its worker keeps a seat for it.
            with claim(leases, _name_seat(piece.stage)) as seat:
                if seat:
                    self._do(piece)
                    return True
        return False

    def is_waiting(self, pieces: list[Piece]) -> bool:
        """Whether another worker is working on a piece, so that more may become ready."""
        busy = find_owners(self.run.root / LEASES)
        return any(piece.stage in busy or _name_seat(piece.stage) in busy for piece in pieces)

    @property
    def seconds_left(self) -> float | None:
        """The seconds until its time is over. Raises TimeIsUpError after that."""
        if self.end is None:
            return None
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeIsUpError("the time of this worker is up")
        return left

    def _do(self, piece: Piece) -> None:
        begun, log = time.monotonic(), self.run.root / LOGS / f"{piece.stage}.log"
        logger.info("worker: %s (log: %s)", piece.what, log)
        try:
            run_side_by_side(piece.what, piece.work, [piece.arguments], log=log, limit=self.seconds_left)
        except TimeIsUpError:
            raise
        except UserError as error:
            self.failed[piece.stage] = error
            logger.warning("worker: %s failed: %s", piece.what, error)
        else:
            logger.info("worker: %s took %.0f s", piece.what, time.monotonic() - begun)


def work(run: Run, minutes: float | None = None) -> bool:
    """Take what is ready until nothing is left, or the time is over. Returns whether the whole run is finished.

    Stages of other workers are left to them, and waited for as long as they may lead to new work. Raises UserError if another version of
    xlift works in the folder, and at the end for the first stage that failed here; everything that does not depend on it was done.
    """
    if minutes is not None and not 0 <= minutes <= LONGEST:
        raise UserError(f"--minutes {minutes:g}: name a number from 0 to {LONGEST:,}, or leave it out to work until nothing is left")
    leases, pause = run.root / LEASES, POLL
    refuse_other_versions(leases)
    worker = Worker(run, None if minutes is None else time.monotonic() + 60 * minutes)
    with explain_disk(run.root), claim(leases, f"worker-{socket.gethostname()}-{os.getpid()}"):
        try:
            while pieces := worker.list_pieces():
                left = worker.seconds_left
                if worker.begin_one(pieces):
                    pause = POLL
                elif worker.is_waiting(pieces):
                    time.sleep(pause if left is None else min(pause, left))
                    pause = min(2 * pause, LONGEST_POLL)
                else:
                    break
        except TimeIsUpError as error:
            logger.info("worker: %s", error)
            return False
    if worker.failed:
        raise next(iter(worker.failed.values()))
    return not pieces


def _name_seat(stage: str) -> str:
    return f"seat-{stage}"


def share_run(suite: Suite, runs: Path) -> Run:
    """``open_run``, which fetches base and data, for a folder that workers share, with ``suite.resolved.json`` in it."""
    refuse_launcher(os.environ)
    run = open_run(suite, runs)
    refuse_other_versions(run.root / LEASES)
    with explain_disk(run.root):
        run.root.mkdir(parents=True, exist_ok=True)
        with claim(run.root / LEASES, "suite") as lease:
            if lease:
                write_json(run.root / RESOLVED, run.suite.model_dump(mode="json"))
    return run


def join_run(root: Path, token: str | None = None) -> Run:
    """Open a run that was begun elsewhere, by its folder.

    Raises UserError if the folder is not that of a run, or, judging by the ``token`` in it, not the one that was meant.
    """
    refuse_launcher(os.environ)
    if token is not None:
        require_token(root, token)
    if not (root / RESOLVED).is_file():
        raise UserError(f"{root}: no run was begun in it ({RESOLVED} is missing); name a suite, or the folder of a run")
    suite = read_suite(read_object(root / RESOLVED), str(root / RESOLVED))
    if suite.name != root.resolve().name:
        raise UserError(f"{root}: holds the run of the suite {suite.name}; give the folder that name")
    return open_run(suite, root.parent)
