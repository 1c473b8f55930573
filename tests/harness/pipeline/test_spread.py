"""Stages side by side on devices: what begins when, and where."""

import os
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from shared_runs import list_stages, suite_of
from stages import stages_here

from xlift.harness.config.suite import read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.leases import claim
from xlift.harness.core.store import LEASES
from xlift.harness.pipeline import spread as module
from xlift.harness.pipeline.devices import Device, Need
from xlift.harness.pipeline.pieces import Piece
from xlift.harness.pipeline.run import measure_suite, open_run
from xlift.harness.pipeline.spread import spread
from xlift.harness.pipeline.stages import Run


class Box:
    """A machine on which a stage takes as long as it is told, and whose stages need others to be finished."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stages: dict[str, tuple[int, tuple[str, ...]]], needs: dict[str, Need]) -> None:
        """Of each stage its seconds and the stages that it waits for; needs by label, which is the stage's name up to a stroke."""
        self.stages, self.clock = stages, 0
        self.begun: list[tuple[int, str, str]] = []
        self.ends: dict[Future[object], tuple[int, str]] = {}
        self.finished: set[str] = set()
        self.fails: set[str] = set()
        monkeypatch.setattr(module, "list_pieces", lambda run, known: self.list_pieces())
        monkeypatch.setattr(module, "list_needs", lambda run, devices: needs)
        monkeypatch.setattr(module, "Apart", self.start)
        monkeypatch.setattr(module, "wait", self.wait)

    def list_pieces(self) -> list[Piece]:
        left = [name for name in self.stages if name not in self.finished]
        ready = [name for name in left if all(other in self.finished for other in self.stages[name][1])]
        return [Piece(name.partition("-")[0], name.partition("-")[0], name, name, print, ()) for name in ready]

    def start(self, what: str, work: Callable[..., object], arguments: Any, environment: dict[str, str], **options: Any) -> Any:
        box, future = self, Future[object]()

        class Started:
            def __init__(self) -> None:
                self.future = future

            def finish(self) -> None:
                if what in box.fails:
                    raise UserError(f"{what} fails")
                box.finished.add(what)

        self.begun.append((self.clock, what, environment["CUDA_VISIBLE_DEVICES"]))
        self.ends[future] = (self.clock + self.stages[what][0], what)
        return Started()

    def wait(self, futures: list[Future[object]], return_when: str) -> Any:
        """Time goes on to the next end."""
        self.clock = min(self.ends[future][0] for future in futures)
        done = {future for future in futures if self.ends[future][0] == self.clock}
        return type("Waited", (), {"done": done})()


def open_empty(root: Path) -> Run:
    return Run(read_suite(suite_of(root), "test"), root, (), (), None)  # type: ignore[arg-type]


ONE = {"prepare": Need(), "fit": Need(1, 20), "evaluate": Need()}


def test_no_stage_waits_for_a_wave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = {
        "prepare-a": (1, ()),
        "prepare-b": (5, ()),
        "fit-a": (2, ("prepare-a",)),
        "fit-b": (2, ("prepare-b",)),
        "evaluate-base": (3, ()),
        "evaluate-a": (1, ("fit-a",)),
        "evaluate-b": (1, ("fit-b",)),
    }
    box = Box(monkeypatch, stages, ONE)
    spread(open_empty(tmp_path), [Device("0"), Device("1")])
    assert box.begun == [
        (0, "prepare-a", "0"),
        (0, "prepare-b", "1"),
        (1, "fit-a", "0"),  # the rows of b are not waited for
        (3, "evaluate-base", "0"),
        (5, "fit-b", "1"),
        (6, "evaluate-a", "0"),
        (7, "evaluate-b", "0"),
    ]
    assert box.finished == set(stages)


def test_a_stage_waits_for_a_device_that_holds_it_and_a_smaller_one_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs = {"fit": Need(1, 60), "small": Need(1, 10), "wide": Need(2, 10)}
    box = Box(monkeypatch, {"fit-1": (2, ()), "fit-2": (2, ()), "small-1": (1, ()), "wide-1": (1, ())}, needs)
    spread(open_empty(tmp_path), [Device("0", 24), Device("1", 80)])
    assert box.begun == [(0, "fit-1", "1"), (0, "small-1", "0"), (2, "fit-2", "1"), (4, "wide-1", "0,1")]


def test_after_a_failure_nothing_is_begun_and_what_is_under_way_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box(monkeypatch, {"fit-1": (1, ()), "fit-2": (3, ()), "fit-3": (1, ())}, ONE)
    box.fails = {"fit-1"}
    with pytest.raises(UserError, match="^fit-1 fails$"):
        spread(open_empty(tmp_path), [Device("0"), Device("1")])
    assert [name for _, name, _ in box.begun] == ["fit-1", "fit-2"] and box.finished == {"fit-2"}


def test_what_a_worker_is_at_is_left_to_it_and_without_measuring_the_models_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box(monkeypatch, {"fit-1": (1, ()), "fit-2": (1, ()), "evaluate-base": (1, ())}, ONE)
    with claim(tmp_path / LEASES, "fit-1"):
        spread(open_empty(tmp_path), [Device("0"), Device("1")], measure=False)
    assert box.begun == [(0, "fit-2", "0")]


def test_a_model_that_fits_no_device_is_refused_before_any_work(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = read_suite(suite_of(tiny_base), "test")
    monkeypatch.setenv("XLIFT_DEVICES", "0:1,1:1")
    with pytest.raises(UserError, match=r"^methods.m: a training takes 1\.\d GiB by the memory model, and no device has more than 1 GiB"):
        open_run(suite, tmp_path)
    monkeypatch.setenv("XLIFT_DEVICES", "0,1")
    split = read_suite(suite_of(tiny_base, engine={"backend": "vllm", "tensor_parallel_size": 4}), "test")
    with pytest.raises(UserError, match=r"^engine: the base takes 4 devices, and there are 2 \(0, 1\)$"):
        open_run(split, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_devices_make_what_one_makes(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    suite = read_suite(suite_of(tiny_base, methods={"m": {"method": "cross_lingual"}}, seeds=[0]), "test")
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // 2))  # as each of two has: another number takes sums in another order
    try:
        with stages_here():
            alone = measure_suite(suite, tmp_path / "one")
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setenv("XLIFT_DEVICES", "0,1")
    both = measure_suite(suite, tmp_path / "two")
    assert list_stages(both) == list_stages(alone)
    assert {path.stem for path in (both / "logs").iterdir()} >= {name for name in list_stages(both) if name.startswith("fit-")}
