"""One process at a time has a piece of work, and a dead one has none."""

import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from xlift.harness.core import leases
from xlift.harness.core.leases import SILENCE, claim, find_owner, find_owners

spawn = multiprocessing.get_context("spawn")


def die_with_lease(folder: Path) -> None:
    with claim(folder, "work"):
        os._exit(9)


def change(folder: Path, **changes: object) -> None:
    path = folder / "work"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_lease_is_its_holders_until_it_is_given_back(tmp_path: Path) -> None:
    with claim(tmp_path, "work") as lease:
        assert lease is not None and lease.is_held()
        owner = find_owner(tmp_path, "work")
        assert owner is not None and (owner.pid, owner.attempt) == (os.getpid(), lease.attempt)
        with claim(tmp_path, "work") as second, claim(tmp_path, "other work") as other:
            assert second is None and other is not None
    assert find_owner(tmp_path, "work") is None
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_the_lease_of_a_process_that_died_here_is_over_at_once(tmp_path: Path) -> None:
    other = spawn.Process(target=die_with_lease, args=(tmp_path,))
    other.start()
    other.join()
    assert other.exitcode == 9 and (tmp_path / "work").exists()
    with claim(tmp_path, "work") as lease:
        assert lease is not None


def test_a_number_that_came_back_is_another_process(tmp_path: Path) -> None:
    with claim(tmp_path, "work"):
        change(tmp_path, began=0.0)
        assert find_owner(tmp_path, "work") is None


@pytest.mark.parametrize(("silent", "lives"), [(SILENCE - 20, True), (SILENCE + 20, False)])
def test_of_a_process_elsewhere_the_age_of_its_lease_alone_tells(silent: float, lives: bool, tmp_path: Path) -> None:
    with claim(tmp_path, "work") as lease:
        assert lease is not None
        change(tmp_path, machine="another", pid=1)
        touched = time.time() - silent
        os.utime(lease.path, (touched, touched))
        assert (find_owner(tmp_path, "work") is not None) is lives


def test_half_a_file_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("{")
    with claim(tmp_path, "work") as lease:
        assert lease is not None


def test_a_lease_is_touched_while_its_process_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.02)
    with claim(tmp_path, "work") as lease:
        assert lease is not None
        os.utime(lease.path, (0, 0))
        deadline = time.monotonic() + 30
        while lease.path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert lease.path.stat().st_mtime > time.time() - 60


def test_a_lease_that_was_taken_is_not_given_back(tmp_path: Path) -> None:
    with claim(tmp_path, "work") as lease:
        assert lease is not None
        os.utime(lease.path, (0, 0))
        with claim(tmp_path, "work") as thief:
            assert thief is not None and not lease.is_held()
            lease.give_back()
            assert thief.is_held()


ODD = ["null", "[]", "[" * 100_000, '{"attempt": "a"}', "ours, of the process 'x'", "ours, of the process -1", "ours, of the process 1e99"]


@pytest.mark.parametrize("odd", ODD)
def test_a_file_of_another_shape_is_nobodys(tmp_path: Path, odd: str) -> None:
    text = odd
    if odd.startswith("ours"):
        with claim(tmp_path, "work") as lease:
            assert lease is not None
            pid = odd.rpartition(" ")[2].replace("'", '"')
            text = json.dumps({**json.loads(lease.path.read_text()), "pid": "PID"}).replace('"PID"', pid)
    (tmp_path / "work").write_text(text)
    assert find_owner(tmp_path, "work") is None and find_owners(tmp_path) == {}
    with claim(tmp_path, "work") as lease:
        assert lease is not None
