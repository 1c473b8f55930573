"""One process at a time in a folder, whatever becomes of the one before."""

import multiprocessing
import os
import signal
import socket
import threading
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from xlift.harness.core.errors import UserError
from xlift.harness.core.locks import hold

spawn = multiprocessing.get_context("spawn")


def stay(folder: Path, there: Event) -> None:
    with hold(folder, wait=False):
        there.set()
        time.sleep(60)


def test_another_process_is_named_and_its_lock_ends_with_it(tmp_path: Path) -> None:
    there = spawn.Event()
    other = spawn.Process(target=stay, args=(tmp_path, there))
    other.start()
    assert there.wait(60)
    with pytest.raises(UserError, match=rf"^{tmp_path}: process {other.pid} on {socket.gethostname()}, since .*Z works in it; "):
        hold(tmp_path, wait=False).__enter__()
    os.kill(int(other.pid or 0), signal.SIGKILL)
    other.join()
    assert (tmp_path / ".lock-owner").exists(), "a killed process cleans nothing up"
    with hold(tmp_path, wait=False):
        assert (tmp_path / ".lock-owner").read_text().startswith(f"process {os.getpid()} ")
    assert not (tmp_path / ".lock-owner").exists()


@pytest.mark.parametrize("since", ["2099-01-01T00:00:00Z", "1970-01-01T00:00:00Z"])
def test_a_lock_is_the_systems_and_no_clock_makes_it_stale_or_valid(tmp_path: Path, since: str) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".lock-owner").write_text(f"process 1 on {socket.gethostname()}, since {since}")
    with hold(tmp_path, wait=False):
        assert (tmp_path / ".lock-owner").read_text().startswith(f"process {os.getpid()} ")
        with pytest.raises(UserError, match=f"process {os.getpid()} on "), hold(tmp_path, wait=False):
            pass


def test_waiting_for_the_end_of_another(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    order = []
    inside = threading.Event()

    def first() -> None:
        with hold(tmp_path, wait=False):
            inside.set()
            time.sleep(0.3)
            order.append("first")

    with caplog.at_level("INFO", "xlift"):
        thread = threading.Thread(target=first)
        thread.start()
        inside.wait()
        with hold(tmp_path, wait=True):
            order.append("second")
        thread.join()
    assert order == ["first", "second"]
    assert f"{tmp_path}: waiting for process {os.getpid()} on" in caplog.text


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made .*choose another folder with --runs"), hold(tmp_path / "file" / "run", wait=False):
        pass
