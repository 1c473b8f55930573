"""Stages in processes of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from xlift.harness.core.errors import UserError
from xlift.harness.pipeline.processes import run_apart, run_side_by_side

T = TypeVar("T")


def divide(one: int, other: int) -> float:
    if other == 0:
        raise UserError("nothing divides by zero")
    return one / other


def sleep(note: Path) -> None:
    note.write_text(str(os.getpid()))
    time.sleep(600)


def sleep_deaf(note: Path) -> None:
    """Sleep beside a program that was started, and listen to no Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    program = subprocess.Popen(["sleep", "600"])
    note.with_suffix(".part").write_text(f"{os.getpid()} {program.pid}")
    note.with_suffix(".part").replace(note)
    program.wait()


def speak(note: Path) -> str:
    print("printed")
    subprocess.run(["echo", "said by a program"])
    return "the result"


def meet(folder: Path, own: str, other: str) -> tuple[str, str | None, str | None]:
    """Both of two can end only while both run."""
    (folder / own).touch()
    assert wait_for((folder / other).exists)
    return own, os.environ.get("OMP_NUM_THREADS"), os.environ.get("TQDM_DISABLE")


def refuse(note: Path | None) -> None:
    if note is None:
        raise UserError("refused")
    time.sleep(1)
    note.touch()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_results_and_user_errors_come_back() -> None:
    assert run_apart("dividing", divide, 3, 2) == 1.5
    with pytest.raises(UserError, match="^nothing divides by zero$"):
        run_apart("dividing", divide, 3, 0)


def test_calls_run_at_once_on_shares_of_the_cores_and_come_back_in_order(tmp_path: Path) -> None:
    threads = str(max(1, len(os.sched_getaffinity(0)) // 2))
    found = run_side_by_side("meeting", meet, [(tmp_path, "one", "two"), (tmp_path, "two", "one")])
    assert [one[:2] for one in found] == [("one", threads), ("two", threads)]
    assert found[1][2] == "1", "the first alone draws bars, where there is a terminal"


def test_the_others_end_before_an_error_is_raised(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="^refused$"):
        run_side_by_side("refusing", refuse, [(None,), (tmp_path / "note",)])
    assert (tmp_path / "note").exists()


def test_a_process_that_dies_is_named() -> None:
    with pytest.raises(UserError, match="^fitting: its process died"):
        run_apart("fitting", die)


def heed_interrupts() -> None:
    """A program whose tests run in the background of a script would ignore Ctrl-C, as it inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start_stage(work: str, note: Path) -> "subprocess.Popen[str]":
    """A program that runs a function of this file as a stage."""
    lines = [
        "from pathlib import Path",
        f"from test_processes import {work}",
        "from xlift.harness.pipeline.processes import run_apart",
        f"if __name__ == '__main__': print(run_apart('x', {work}, Path({str(note)!r})))",
    ]
    return subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )


def test_a_stage_ends_with_the_command_that_was_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    command = start_stage("sleep", note)
    try:
        stage = int(wait_for(lambda: note.read_text() if note.is_file() else ""))
    finally:
        command.kill()
        command.communicate()
    assert wait_for(lambda: not is_running(stage))


def test_a_stage_that_does_not_listen_ends_with_ctrl_c_and_so_does_what_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    command = start_stage("sleep_deaf", note)
    started = wait_for(lambda: note.read_text().split() if note.is_file() else [])
    command.send_signal(signal.SIGINT)
    try:
        command.communicate(timeout=40)
    finally:
        command.kill()
    assert command.returncode in (130, -signal.SIGINT)
    assert len(started) == 2 and wait_for(lambda: not any(is_running(int(pid)) for pid in started))


def test_a_stage_writes_nothing_to_standard_output(tmp_path: Path) -> None:
    command = start_stage("speak", tmp_path)
    assert command.communicate(timeout=60)[0] == "the result\n"


def is_running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.is_file() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_for(find: Callable[[], T]) -> T:
    end = time.monotonic() + 60
    while not (found := find()) and time.monotonic() < end:
        time.sleep(0.05)
    return found
