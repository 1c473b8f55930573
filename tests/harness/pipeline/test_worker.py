"""Workers that share a run folder: twenty make what one makes, nothing is done twice, and what is wrong is one line."""

import errno
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from shared_runs import list_stages, open_forks, suite_of
from stages import stages_here

from xlift.harness.config.suite import read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.leases import claim
from xlift.harness.core.shared_folder import write_token
from xlift.harness.core.store import LEASES
from xlift.harness.pipeline import worker
from xlift.harness.pipeline.pieces import Piece
from xlift.harness.pipeline.processes import TimeIsUpError
from xlift.harness.pipeline.ready import find_ready
from xlift.harness.pipeline.run import begin, measure_suite
from xlift.harness.pipeline.stages import Run


def share(base: Path, runs: Path, **changes: Any) -> Run:
    return worker.share_run(read_suite(suite_of(base, **changes), "test"), runs)


def work_once(run: Run, done: Path) -> None:
    with stages_here():
        assert worker.work(run)
    done.touch()


@pytest.fixture(scope="module")
def alone(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one command makes of the suite."""
    with stages_here():
        return measure_suite(read_suite(suite_of(tiny_base), "test"), tmp_path_factory.mktemp("alone"))


@pytest.mark.slow
def test_twenty_workers_make_what_one_command_makes(alone: Path, tiny_base: Path, tmp_path: Path) -> None:
    run = share(tiny_base, tmp_path)
    forks = open_forks()
    workers = [forks.Process(target=work_once, args=(run, tmp_path / f"done-{number}")) for number in range(20)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert [one.exitcode for one in workers] == [0] * 20 and len(list(tmp_path.glob("done-*"))) == 20
    assert list_stages(run.root) == list_stages(alone)
    assert not list(run.root.glob("*.part")) and [path.name for path in (run.root / LEASES).iterdir()] == [".lock"]


@pytest.mark.slow
def test_a_worker_goes_on_where_another_was_killed(alone: Path, tiny_base: Path, tmp_path: Path) -> None:
    run = share(tiny_base, tmp_path)
    first = open_forks().Process(target=work_once, args=(run, tmp_path / "done"))
    first.start()
    deadline = time.monotonic() + 100
    while not list(run.root.glob("fit-*.part")):
        assert first.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)
    first.kill()
    first.join()
    with stages_here():
        assert worker.work(run)
        assert worker.work(run), "there is nothing left to do"
    assert list_stages(run.root) == list_stages(alone)


@pytest.mark.slow
def test_what_is_ready_follows_what_is_finished(alone: Path, tiny_base: Path, tmp_path: Path) -> None:
    run = share(tiny_base, tmp_path)
    ready = find_ready(run, {})
    assert [turn.label for turn in ready.rows] == ["m", "q"] and not ready.fits and not ready.trained
    for path in alone.glob("prepare-m-*"):
        (run.root / path.name).symlink_to(path)
    ready = find_ready(run, {})
    assert [turn.label for turn in ready.rows] == ["q"] and [fit.name for fit in ready.fits] == ["m, seed 0", "m, seed 1"]
    for path in (*alone.glob("fit-m-seed1-*"), *alone.glob("prepare-q-*")):
        (run.root / path.name).symlink_to(path)
    ready = find_ready(run, {})
    assert [fit.name for fit in ready.fits] == ["m, seed 0", "q, seed 0", "q, seed 1"]
    assert [(model.label, model.seed) for model in ready.trained] == [("m", 1)]


def plan_pieces(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """A worker whose pieces are done once they are begun; returns the names as they are begun."""
    begun: list[str] = []

    def list_pieces(self: worker.Worker) -> list[Piece]:
        return [Piece("fit", "m", name, name, lambda: None, ()) for name in names if name not in begun]

    def do(what: str, work: Callable[..., Any], calls: Any, **options: Any) -> None:
        if what == "fails":
            raise UserError("no such corpus")
        begun.append(what)

    monkeypatch.setattr(worker.Worker, "list_pieces", list_pieces)
    monkeypatch.setattr(worker, "run_side_by_side", do)
    monkeypatch.setattr(worker, "POLL", 0.01)
    return begun


def open_empty(root: Path) -> Run:
    return Run(read_suite(suite_of(root), "test"), root, (), (), None)  # type: ignore[arg-type]


def test_a_stage_that_fails_keeps_no_other_from_being_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = plan_pieces(monkeypatch, "one", "fails", "two")
    with pytest.raises(UserError, match="^no such corpus$"):
        worker.work(open_empty(tmp_path))
    assert begun == ["one", "two"]


def test_what_another_is_at_is_left_to_it_and_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = plan_pieces(monkeypatch, "busy", "free")
    with claim(tmp_path / LEASES, "busy"):
        assert not worker.work(open_empty(tmp_path), minutes=0.005)
    assert begun == ["free"]
    assert worker.work(open_empty(tmp_path)) and begun == ["free", "busy"]


def test_no_stage_is_begun_when_the_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = plan_pieces(monkeypatch, "one")
    assert not worker.work(open_empty(tmp_path), minutes=0)
    assert begun == []


def test_a_stage_is_killed_when_the_time_is_up() -> None:
    from xlift.harness.pipeline.processes import run_side_by_side

    begun = time.monotonic()
    with pytest.raises(TimeIsUpError, match="^sleeping: the time of this worker was up before its end$"):
        run_side_by_side("sleeping", time.sleep, [(600,)], limit=0.5)
    assert time.monotonic() - begun < 60


def test_what_a_stage_says_is_in_its_log(tmp_path: Path) -> None:
    from xlift.harness.pipeline.processes import run_side_by_side

    log = tmp_path / "logs" / "stage.log"
    for _ in range(2):
        run_side_by_side("speaking", os.system, [("echo said by a program",)], log=log)
    assert log.read_text() == "said by a program\n" * 2


def test_a_folder_that_is_not_shared_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    run = share(tiny_base, tmp_path)
    token = write_token(run.root)
    assert worker.join_run(run.root, token).root == run.root
    with pytest.raises(UserError, match="this is not the folder that the run was started in, so the machines do not share it; choose a"):
        worker.join_run(run.root, "another")
    with pytest.raises(UserError, match="not the folder that the run was started in"):
        worker.join_run(tmp_path / "elsewhere", token)


def test_a_second_submission_leaves_the_workers_of_the_first_their_word(tiny_base: Path, tmp_path: Path) -> None:
    """Jobs may wait in a queue for a day, and meanwhile more of them are handed in."""
    run = share(tiny_base, tmp_path)
    first, second = write_token(run.root), write_token(run.root)
    assert first != second and worker.join_run(run.root, first).root == worker.join_run(run.root, second).root == run.root


@pytest.mark.parametrize("minutes", [-1.0, float("inf"), float("nan"), 1e9])
def test_a_time_that_no_clock_has_is_refused(tmp_path: Path, minutes: float) -> None:
    with pytest.raises(UserError, match=r"^--minutes .*: name a number from 0 to 525,600, or leave it out"):
        worker.work(open_empty(tmp_path), minutes=minutes)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan_pieces(monkeypatch, "one")

    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / LEASES / "one"))

    run = open_empty(tmp_path)
    monkeypatch.setattr(worker, "claim", fill)
    with pytest.raises(UserError, match="cannot write the run .No space left on device.; free space or choose another folder"):
        worker.work(run)


def test_a_folder_without_a_run_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run was begun in it \(suite.resolved.json is missing\)"):
        worker.join_run(tmp_path)
    share(tiny_base, tmp_path).root.rename(tmp_path / "renamed")
    with pytest.raises(UserError, match="holds the run of the suite shared; give the folder that name"):
        worker.join_run(tmp_path / "renamed")


def test_another_version_in_the_folder_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    run = share(tiny_base, tmp_path)
    with claim(run.root / LEASES, "work") as lease:
        assert lease is not None
        lease.path.write_text(lease.path.read_text().replace('"version": "', '"version": "9.'))
        for begun in (lambda: worker.work(run), lambda: begin(run.suite, tmp_path).__enter__(), lambda: share(tiny_base, tmp_path)):
            with pytest.raises(UserError, match=r"works in it with xlift 9\..*, and this is xlift .*; install the same version"):
                begun()


@pytest.mark.parametrize("open_it", ["run", "worker"])
def test_copies_that_a_launcher_started_are_refused(open_it: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    suite = read_suite(suite_of(tmp_path), "test")
    with pytest.raises(UserError, match="started 2 copies of xlift"):
        if open_it == "run":
            begin(suite, tmp_path).__enter__()
        else:
            worker.share_run(suite, tmp_path)
    assert not list(tmp_path.iterdir())


def test_resources_move_no_stage_and_are_not_published(tmp_path: Path) -> None:
    suite = read_suite(suite_of(tmp_path, resources={"workers": 9, "slurm": {"account": "mine"}}), "test")
    assert suite.single("m", 0) == read_suite(suite_of(tmp_path), "test").single("m", 0)
    assert replace(open_empty(tmp_path), suite=suite).store == open_empty(tmp_path).store
