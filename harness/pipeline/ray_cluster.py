"""A run on a Ray cluster: rows and trainings as tasks, engines as actors, all in one run folder that the nodes share.

The driver hands out names of stages. A node opens the run by its folder, as a worker does (worker.py), and what it makes comes back through
the folder: leases, attempts and the first whole one as everywhere. So a node that is lost takes nothing along but what was under way on it.

Ray begins a task anew whose process or node is lost. Engines are not begun anew by Ray, and there is no ActorPool: the call of an actor
whose node is gone waits for a restart that no other node may have room for. The driver sees the loss, lets the engine go, and its stage is
ready again.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlift.harness.config.suite import Suite
from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.leases import find_owners
from xlift.harness.core.logs import show_progress
from xlift.harness.core.shared_folder import require_token, write_token
from xlift.harness.core.store import LEASES, POLL
from xlift.harness.pipeline.measure import Measuring
from xlift.harness.pipeline.pieces import LOGS, Piece, list_pieces
from xlift.harness.pipeline.processes import write_into
from xlift.harness.pipeline.stages import Prepared, Round, Run
from xlift.harness.pipeline.worker import LONGEST_POLL, join_run, share_run

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

logger = logging.getLogger(__name__)

TRIES = 3
"""Processes and nodes that one stage may take along, until it is held to be the stage's own fault."""
REPLY = 300.0
"""Seconds in which each node must say that it sees the run folder."""
KNOCK = 5.0
"""Seconds in which a cluster's address must answer."""


@dataclass(frozen=True)
class Room:
    """What a task or an engine takes of a node."""

    cpus: int
    gpus: int
    memory: int
    """Bytes; 0 where the suite does not say."""

    @property
    def options(self) -> dict[str, int]:
        """As Ray takes it."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, **({"memory": self.memory} if self.memory else {})}

    def fits(self, node: Mapping[str, float]) -> bool:
        """Whether resources, as Ray counts them, are enough."""
        return self.cpus <= node.get("CPU", 0) and self.gpus <= node.get("GPU", 0) and self.memory <= node.get("memory", 0)

    def leave(self, free: Mapping[str, float]) -> dict[str, float]:
        """What is left of resources."""
        taken = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        return {name: value - taken.get(name, 0) for name, value in free.items()}

    def __str__(self) -> str:
        memory = f" and {self.memory >> 30} GiB" if self.memory else ""
        return f"{self.cpus} CPUs, {self.gpus} GPUs{memory}"


def run_on_ray(suite: Suite, runs: Path, address: str | None = None) -> Path:
    """Do all of a run but the judging on a Ray cluster, and return its folder. Ctrl-C ends what is under way.

    Without an ``address`` it is the cluster that this machine belongs to, or one that is begun here for this run. A stage that fails keeps
    no other from being done. Raises UserError where Ray is not installed or does not answer, where a node does not see the folder, has
    another xlift or none, where no node has room for a stage, for all that ``open_run`` raises, and at the end for the first stage that
    failed.
    """
    ray = _require_ray()
    run = share_run(suite, runs)
    _open_cluster(ray, address)
    try:
        require_room(_list_nodes(ray), list_rooms(suite))
        token = write_token(run.root)
        _require_folder(ray, run.root.absolute(), token)
        Driver(ray, run, token).finish()
    except ray.exceptions.RayError as error:
        raise UserError(
            f"--executor ray: the cluster was lost ({one_line(error)}); the same command goes on from the last finished piece"
        ) from None
    finally:
        ray.shutdown()
    return run.root


def list_rooms(suite: Suite) -> dict[str, Room]:
    """What each training takes, by its label, and each engine, by ``engine``."""
    asked = suite.resources
    memory = (asked.memory_gib or 0) << 30
    gpus = {"engine": suite.engine.gpus, **{label: suite.training(label).processes for label in suite.methods}}
    return {name: Room(asked.cpus, count if asked.gpus else 0, memory) for name, count in gpus.items()}


def require_room(nodes: Iterable[Mapping[str, float]], rooms: Mapping[str, Room]) -> None:
    """Raise UserError where there is something that no node could ever do."""
    nodes = list(nodes)
    for name, room in rooms.items():
        if not any(room.fits(node) for node in nodes):
            what = "an engine" if name == "engine" else f"a training of {name}"
            raise UserError(
                f"--executor ray: {what} takes {room}, and no node of the cluster has as much; lower resources.cpus, resources.gpus (0 for "
                "nodes without GPUs) or resources.memory_gib"
            )


def choose(asked: Sequence[Piece], holds: str, others: Iterable[str]) -> Piece:
    """What an engine measures next: of the model that it ``holds``, else of one that no other engine holds, else what comes first."""
    taken = set(others)
    return min(asked, key=lambda piece: (piece.model != holds, piece.model in taken))


@dataclass(eq=False)
class Engine:
    """An actor with a loaded base, or one that waits for its node."""

    actor: ActorHandle
    holds: str = ""
    """The model whose weights it has."""


@dataclass
class Driver:
    """What is under way on a cluster, and what was lost."""

    ray: Any
    run: Run
    token: str
    known: dict[Round, Prepared] = field(default_factory=dict)
    running: dict[ObjectRef, tuple[Piece, Engine | None]] = field(default_factory=dict)
    idle: list[Engine] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    failed: dict[str, UserError] = field(default_factory=dict)

    def finish(self) -> None:
        """Do all that is left; what another worker is at is waited for."""
        pause = POLL
        try:
            while True:
                pieces = list_pieces(self.run, self.known)
                self.begin_more(pieces)
                if self.running:
                    self.await_some()
                elif self.is_waiting(pieces):
                    time.sleep(pause)
                    pause = min(2 * pause, LONGEST_POLL)
                    continue
                else:
                    break
                pause = POLL
        finally:
            self.end_all()
        if self.failed:
            raise next(iter(self.failed.values()))

    def begin_more(self, pieces: Sequence[Piece]) -> None:
        """Begin what there is room for, trainings first, as others wait for them; an engine that has nothing to do makes room."""
        busy = {*find_owners(self.run.root / LEASES), *(piece.stage for piece, _ in self.running.values()), *self.failed}
        ready = [piece for piece in pieces if piece.stage not in busy]
        if ready:
            require_room(_list_nodes(self.ray), list_rooms(self.run.suite))
        for piece in (piece for piece in ready if piece.kind != "evaluate"):
            while self.idle and not self._has_room(piece.label):
                self._let_go(self.idle.pop())
            if self._has_room(piece.label):
                self._begin(piece)
        asked = [piece for piece in ready if piece.kind == "evaluate"]
        while self.idle and asked:
            asked.remove(self._measure(self.idle.pop(), asked))
        while self.idle:
            self._let_go(self.idle.pop())
        while asked and self._has_room("engine"):
            asked.remove(self._measure(self._load(), asked))

    def is_waiting(self, pieces: Sequence[Piece]) -> bool:
        """Whether others are at a stage, or a lost process still seems to be, so that more may become ready."""
        return bool({piece.stage for piece in pieces} & {*find_owners(self.run.root / LEASES)})

    def await_some(self) -> None:
        """Wait until something ends, or it is time to look for what others have finished."""
        end = time.monotonic() + LONGEST_POLL
        while time.monotonic() < end:
            done, _ = self.ray.wait([*self.running], num_returns=1, timeout=POLL)  # Ctrl-C is heard in between
            for one in done:
                self._end(one)
            if done:
                return

    def end_all(self) -> None:
        """End all that is under way, and all engines."""
        for one, (_, engine) in self.running.items():
            if engine is None:
                self.ray.cancel(one, force=True)
            else:
                self._let_go(engine)
        for engine in self.idle:
            self._let_go(engine)
        self.running.clear()
        self.idle.clear()

    def _begin(self, piece: Piece) -> None:
        # A process has one stage, so that its memory is free again; SPREAD, as trainings on one node would share its disk and memory.
        task = self.ray.remote(max_calls=1, max_retries=TRIES, scheduling_strategy="SPREAD", **self._room(piece.label).options)(do_piece)
        self._note(piece, task.options(name=piece.stage).remote(str(self.run.root.absolute()), self.token, piece.stage), None)

    def _load(self) -> Engine:
        kind = self.ray.remote(max_restarts=0, max_task_retries=0, **self._room("engine").options)(EngineActor)
        return Engine(kind.remote(str(self.run.root.absolute()), self.token))

    def _let_go(self, engine: Engine) -> None:
        self.ray.kill(engine.actor)

    def _measure(self, engine: Engine, asked: Sequence[Piece]) -> Piece:
        others = [other.holds for other in (*self.idle, *(one for _, one in self.running.values() if one)) if other is not engine]
        piece = choose(asked, engine.holds, others)
        engine.holds = piece.model
        self._note(piece, engine.actor.do.remote(piece.stage), engine)
        return piece

    def _note(self, piece: Piece, one: ObjectRef, engine: Engine | None) -> None:
        logger.info("ray: %s (log: %s)", piece.what, self.run.root / LOGS / f"{piece.stage}.log")
        self.running[one] = (piece, engine)

    def _end(self, one: ObjectRef) -> None:
        piece, engine = self.running.pop(one)
        try:
            found = self.ray.get(one)
        except self.ray.exceptions.RayTaskError as error:
            if engine:
                self._let_go(engine)
            if not isinstance(error.cause, UserError):
                raise error.cause from None
            self.failed[piece.stage] = error.cause
            logger.warning("ray: %s failed: %s", piece.what, error.cause)
        except self.ray.exceptions.RayError as error:
            if engine:
                self._let_go(engine)
            self._count_loss(piece, f"its process or its node was lost ({type(error).__name__})")
        else:
            if engine:
                self.idle.append(engine)
            if not found and piece.stage in {one.stage for one in list_pieces(self.run, self.known)}:
                self._count_loss(piece, "a node names it otherwise, so that data or code there are not those of the driver")

    def _count_loss(self, piece: Piece, cause: str) -> None:
        self.lost[piece.stage] += 1
        if self.lost[piece.stage] >= TRIES:
            self.failed[piece.stage] = UserError(
                f"{piece.what}: {cause}, {TRIES} times; the same command goes on from the last finished piece"
            )
        else:
            logger.warning("ray: %s: %s; it is begun anew", piece.what, cause)

    def _room(self, label: str) -> Room:
        return list_rooms(self.run.suite)[label]

    def _has_room(self, label: str) -> bool:
        """Whether the cluster has room beside what was begun by this driver; which node that is, is Ray's affair."""
        free: Mapping[str, float] = self.ray.cluster_resources()
        for taken in (*(piece.label for piece, _ in self.running.values()), *("engine" for _ in self.idle)):
            free = self._room(taken).leave(free)
        return self._room(label).fits(free)


def do_piece(root: str, token: str, stage: str) -> bool:
    """In a process of a node: make a stage; returns whether the node finds it among those that can be made."""
    run = _join(root, token)
    piece = _find(run, stage)
    if piece:
        write_into(run.root / LOGS / f"{stage}.log")
        show_progress()
        piece.work(*piece.arguments)
    return piece is not None


class EngineActor:
    """In a process of a node: one engine, which measures what it is told."""

    def __init__(self, root: str, token: str) -> None:
        self._root, self._token = root, token
        self._measuring: Measuring | None = None

    def do(self, stage: str) -> bool:
        """As ``do_piece``, on the engine that is there."""
        run = _join(self._root, self._token)
        piece = _find(run, stage)
        if piece and piece.asked:
            write_into(run.root / LOGS / f"{stage}.log")
            show_progress()
            if self._measuring is None:
                self._measuring = Measuring(run).__enter__()  # it ends with its process
            self._measuring.take(piece.asked, wait=False)
        return piece is not None


@cache
def _join(root: str, token: str) -> Run:
    return join_run(Path(root), token)


def _find(run: Run, stage: str) -> Piece | None:
    return next((piece for piece in list_pieces(run, {}) if piece.stage == stage), None)


def _require_folder(ray: Any, root: Path, token: str) -> None:
    """Raise UserError where a node does not see the folder, or has another xlift or none."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked, own = ray.remote(num_cpus=0)(require_token), version("xlift")
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    said = [asked.options(scheduling_strategy=place).remote(root, token) for place in places]
    for node, one in zip(nodes, said, strict=True):
        name = node["NodeManagerHostname"]
        try:
            found = ray.get(one, timeout=REPLY)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise error.cause from None
            raise UserError(f"--executor ray: the node {name} cannot work with xlift {own}: {one_line(error.cause)}") from None
        except ray.exceptions.RayError as error:
            raise UserError(
                f"--executor ray: the node {name} does not answer ({type(error).__name__}); take it out of the cluster"
            ) from None
        if found != own:
            raise UserError(f"--executor ray: the node {name} has xlift {found}, and this is xlift {own}; install the same version on all")


def _list_nodes(ray: Any) -> list[Mapping[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _open_cluster(ray: Any, address: str | None) -> None:
    if address not in (None, "auto", "local"):
        _knock(str(address))
    try:
        # What stages say is in their logs; the lines that Ray writes of each lost node help nobody.
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise UserError(f"--executor ray: the cluster cannot be joined: {one_line(error)}") from None


def _knock(address: str) -> None:
    """Raise UserError where nobody listens at an address: Ray would try for a minute."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise UserError(
            f"--address {address}: give the HOST:PORT that `ray start --head` named, auto, or local for a cluster of this machine"
        )
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--address {address}: no Ray cluster answers there ({one_line(error)}); `ray status` names a cluster's address"
        ) from None


def _require_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read at its import: nothing of a run leaves the machine unasked
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise UserError("--executor ray: Ray is not installed; `pip install xlift[ray]`") from None
    return ray
