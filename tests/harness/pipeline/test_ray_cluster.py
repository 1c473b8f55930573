"""A run on a Ray cluster: what engines take next, what is refused, and what becomes of it when a process and a node of three are killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import yaml
from shared_runs import TASK, list_stages, suite_of
from stages import stages_here

from xlift.harness.config.suite import read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.leases import Owner, find_owners
from xlift.harness.core.store import LEASES
from xlift.harness.pipeline import ray_cluster
from xlift.harness.pipeline.pieces import Piece
from xlift.harness.pipeline.ray_cluster import Driver, Room, choose, list_rooms, require_room
from xlift.harness.pipeline.run import measure_suite
from xlift.harness.pipeline.stages import Measured, Run
from xlift.harness.pipeline.submission import submit

XLIFT = Path(sys.executable).parent / "xlift"


def piece_of(stage: str) -> Piece:
    """``fit-a`` is a training of ``m``; ``base-1`` is asked of the model ``base``."""
    model, _, _ = stage.partition("-")
    if model == "fit":
        return Piece("fit", "m", stage, stage, print, ())
    return Piece("evaluate", "engine", stage, stage, print, (), Measured(model, None, None))


class FakeRay:
    """A cluster of some CPUs on which each call ends when it is waited for, as is foretold for its stage."""

    class exceptions:
        class RayError(Exception): ...

        class RayTaskError(RayError):
            def __init__(self, cause: Exception) -> None:
                self.cause = cause

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stages: Sequence[str], cpus: int, ends: Mapping[str, list[Exception]]) -> None:
        self.left, self.cpus, self.ends = list(stages), cpus, dict(ends)
        self.later: dict[str, str] = {}
        """By stage another one that is ready when it is finished."""
        self.begun: list[tuple[str, int | None]] = []
        """Stages in the order in which they were begun, with the number of the engine."""
        self.engines, self.most = 0, 0
        self.killed: list[int] = []
        self.under_way: list[str] = []
        monkeypatch.setattr(ray_cluster, "list_pieces", lambda run, known: [piece_of(stage) for stage in self.left])

    def remote(self, **options: Any) -> Callable[[Any], Any]:
        return lambda work: self._load() if work is ray_cluster.EngineActor else self._task()

    def _task(self) -> Any:
        started = SimpleNamespace(remote=lambda root, token, stage: self._begin(stage, None))
        return SimpleNamespace(options=lambda name: started)

    def _load(self) -> Any:
        def load(root: str, token: str) -> Any:
            self.engines += 1
            number = self.engines
            return SimpleNamespace(number=number, do=SimpleNamespace(remote=lambda stage: self._begin(stage, number)))

        return SimpleNamespace(remote=load)

    def _begin(self, stage: str, engine: int | None) -> str:
        self.begun.append((stage, engine))
        self.under_way.append(stage)
        self.most = max(self.most, len(self.under_way))
        return stage

    def wait(self, calls: list[str], num_returns: int, timeout: float) -> tuple[list[str], list[str]]:
        return calls[:1], calls[1:]

    def get(self, stage: str) -> bool:
        self.under_way.remove(stage)
        if self.ends.get(stage):
            raise self.ends[stage].pop(0)
        self.left.remove(stage)
        self.left += [self.later[stage]] if stage in self.later else []
        return True

    def kill(self, actor: Any) -> None:
        self.killed.append(actor.number)

    def cancel(self, call: str, force: bool) -> None:
        self.under_way.remove(call)

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self.cpus}

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 1}}] * self.cpus


def drive(tmp_path: Path, ray: FakeRay) -> None:
    suite = read_suite(suite_of(tmp_path, resources={"cpus": 1, "gpus": 0}), "test")
    Driver(ray, Run(suite, tmp_path, (), (), None), "word").finish()  # type: ignore[arg-type]
    assert not ray.under_way


def test_an_engine_goes_on_with_its_model_and_leaves_others_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay(monkeypatch, ["a-1", "a-2", "b-1", "b-2", "a-3"], 2, {})
    drive(tmp_path, ray)
    assert ray.begun == [("a-1", 1), ("b-1", 2), ("a-2", 1), ("b-2", 2), ("a-3", 1)]
    assert sorted(ray.killed) == [1, 2]


def test_what_is_left_of_a_model_is_shared_at_the_end() -> None:
    asked = [piece_of("a-1"), piece_of("b-1")]
    assert choose(asked, "b", ["a"]).stage == "b-1"
    assert choose(asked, "c", ["a"]).stage == "b-1"
    assert choose(asked[:1], "c", ["a"]).stage == "a-1"


def test_no_more_is_begun_than_there_is_room_for_and_trainings_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay(monkeypatch, ["base-1", "fit-a", "fit-b", "fit-c"], 2, {})
    drive(tmp_path, ray)
    assert ray.begun == [("fit-a", None), ("fit-b", None), ("fit-c", None), ("base-1", 1)] and ray.most == 2


def test_an_engine_makes_room_for_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay(monkeypatch, ["base-1", "base-2"], 1, {})
    ray.later = {"base-1": "fit-a"}
    drive(tmp_path, ray)
    assert ray.begun == [("base-1", 1), ("fit-a", None), ("base-2", 2)]


def test_what_a_lost_engine_was_at_goes_to_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay(monkeypatch, ["a-1", "a-2"], 1, {"a-1": [FakeRay.exceptions.RayError("its node is gone")]})
    drive(tmp_path, ray)
    assert ray.begun == [("a-1", 1), ("a-1", 2), ("a-2", 2)] and ray.killed == [1, 2]


def test_a_stage_that_takes_three_engines_along_is_given_up_and_the_others_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay(monkeypatch, ["a-1", "b-1"], 1, {"a-1": [FakeRay.exceptions.RayError("memory")] * 3})
    with pytest.raises(UserError, match=r"^a-1: its process or its node was lost \(RayError\), 3 times; the same command goes on from"):
        drive(tmp_path, ray)
    assert ray.left == ["a-1"]


def test_a_stage_that_fails_keeps_no_other_from_being_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay(monkeypatch, ["fit-a", "fit-b"], 1, {"fit-a": [FakeRay.exceptions.RayTaskError(UserError("no such corpus"))]})
    with pytest.raises(UserError, match="^no such corpus$"):
        drive(tmp_path, ray)
    assert ray.left == ["fit-a"]


def test_an_interruption_ends_what_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay(monkeypatch, ["fit-a", "base-1"], 2, {})

    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ray, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        drive(tmp_path, ray)
    assert ray.under_way == ["base-1"] and ray.killed == [1], "a task is cancelled, and an engine killed with what it is at"


def test_what_no_node_has_room_for_is_refused(tmp_path: Path) -> None:
    asked = {"train": {"processes": 2}, "resources": {"cpus": 4, "memory_gib": 32}}
    rooms = list_rooms(read_suite(suite_of(tmp_path, **asked), "test"))
    assert rooms == {"engine": Room(4, 1, 32 << 30), "m": Room(4, 2, 32 << 30), "q": Room(4, 2, 32 << 30)}
    large, small = {"CPU": 8.0, "GPU": 2.0, "memory": 64e9}, {"CPU": 8.0, "GPU": 1.0, "memory": 64e9}
    require_room([small, large], rooms)
    with pytest.raises(UserError, match="^--executor ray: a training of m takes 4 CPUs, 2 GPUs and 32 GiB, and no node of the cluster has"):
        require_room([small, small], rooms)
    with pytest.raises(
        UserError, match="^--executor ray: an engine takes 4 CPUs, 1 GPUs and 32 GiB, and no node of the cluster has as much;"
    ):
        require_room([], rooms)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("ray://host:10001", "--address ray://host:10001: give the HOST:PORT that `ray start --head` named, auto, or local"),
        ("host", "--address host: give the HOST:PORT"),
        ("127.0.0.1:{port}", r"--address 127.0.0.1:\d+: no Ray cluster answers there"),
    ],
)
def test_an_address_without_a_cluster_is_one_line(address: str, says: str, tiny_base: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:  # nobody listens on it, and nobody else can
        taken.bind(("127.0.0.1", 0))
        suite = read_suite(suite_of(tiny_base), "test")
        with pytest.raises(UserError, match=f"^{says}") as caught:
            submit(suite, tmp_path, "ray", address=address.format(port=taken.getsockname()[1]))
    assert "\n" not in str(caught.value)


def test_a_missing_extra_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"^--executor ray: Ray is not installed; `pip install xlift\[ray\]`$"):
        submit(read_suite(suite_of(tmp_path), "test"), tmp_path, "ray")
    with pytest.raises(
        UserError, match="^--address host:1: a Ray cluster's, and the executor is local; leave it out, or give --executor ray$"
    ):
        submit(read_suite(suite_of(tmp_path), "test"), tmp_path, "local", address="host:1")
    assert not list(tmp_path.iterdir())


@contextmanager
def three_nodes() -> Iterator[Any]:
    """A cluster on this machine whose head does no work."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster
    finally:
        cluster.shutdown()


def await_owner(root: Path, driver: subprocess.Popen[str], *kinds: str) -> Owner:
    """Who works on a stage of some kind, as soon as somebody does."""
    deadline = time.monotonic() + 400
    while True:
        found = [owner for stage, owner in find_owners(root / LEASES).items() if stage.startswith(kinds)]
        if found:
            return found[0]
        assert driver.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


def find_node(cluster: Any, pid: int) -> Any:
    """The node on which a process works."""
    above = {parent.pid for parent in psutil.Process(pid).parents()}
    return next(node for node in cluster.worker_nodes if node.all_processes["raylet"][0].process.pid in above)


@pytest.mark.slow
def test_all_is_finished_once_when_a_process_and_a_node_are_killed(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))  # another number takes sums in another order
    monkeypatch.setenv("RAY_worker_niceness", "0")  # with Ray's 15 nothing is done beside other work
    resources = {"cpus": 1, "gpus": 0, "shares": 2}
    suite = suite_of(tiny_base, methods={"m": {"method": "cross_lingual"}}, seeds=[0], resources=resources)
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    root = tmp_path / "shared-runs" / "shared"

    with three_nodes() as cluster:
        command = [str(XLIFT), "run", "suite.yaml", "--runs", "shared-runs", "--executor", "ray", "--address", cluster.address]

        def start() -> subprocess.Popen[str]:
            # Where the tests run in the background of a shell, Ctrl-C is ignored by all that they start.
            pipe, listen = subprocess.PIPE, partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
            return subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True, preexec_fn=listen)

        first = start()
        os.kill(await_owner(root, first, "fit-").pid, signal.SIGKILL)
        await_owner(root, first, "fit-")
        interrupted = time.monotonic()
        first.send_signal(signal.SIGINT)
        _, said = first.communicate(timeout=60)
        assert first.returncode == 130, said
        while find_owners(root / LEASES):
            assert time.monotonic() - interrupted < 60
            time.sleep(0.1)

        second = start()
        engine = await_owner(root, second, "share-", "evaluate-").pid
        os.kill(engine, signal.SIGSTOP)  # else it may be done before its node is gone
        cluster.remove_node(find_node(cluster, engine), allow_graceful=False)
        with suppress(ProcessLookupError):  # it may have died with its node
            os.kill(engine, signal.SIGKILL)
        shown, said = second.communicate(timeout=500)
        assert second.returncode == 0, said
        assert "its process or its node was lost" in said and TASK in shown

    with stages_here():
        alone = measure_suite(read_suite(suite, "test"), tmp_path / "runs")
    shared = list_stages(root)
    assert len([name for name in shared if name.startswith("share-")]) == 4, "two of each of two models"
    assert {name: found for name, found in shared.items() if not name.startswith("share-")} == list_stages(alone)
    assert not list(root.glob("*.part")) and [path.name for path in (root / LEASES).iterdir()] == [".lock"]
