"""Long waits without a terminal, and with one."""

import logging
import sys
from collections.abc import Callable

import pytest

from xlift.harness.core import progress
from xlift.harness.core.progress import Bar, Lines


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set by the test."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_the_first_line_comes_after_ten_seconds_and_then_one_a_minute(clock: list[float]) -> None:
    lines = Lines()
    due = []
    for second in range(0, 200, 5):
        clock[0] = float(second)
        due += [second] if lines.are_due() else []
    assert due == [10, 70, 130, 190]


def test_time_left_follows_the_speed_so_far(clock: list[float]) -> None:
    lines = Lines()
    assert lines.estimate_left(0, 100) == ""
    clock[0] = 30.0
    assert lines.estimate_left(20, 100) == ", 2 min 00 s left"
    assert lines.estimate_left(100, 100) == ""


@pytest.mark.parametrize(
    ("step", "seconds", "lines"),
    [
        (Bar.update, (5, 15, 20, 80), ["answers: 2 of 4, 15.0 s left", "answers: 4 of 4"]),
        (Bar.wait, (5, 11, 30, 71), ["answers: 0 of 4", "answers: 0 of 4"]),  # a long step, of which nothing is done yet
    ],
)
def test_without_a_terminal_there_are_lines_and_nothing_is_drawn(
    step: Callable[[Bar], object], seconds: tuple[int, ...], lines: list[str], clock: list[float], capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO, "xlift")
    with Bar(total=4, desc="answers") as bar:
        for second in seconds:
            clock[0] = float(second)
            step(bar)
    assert [record.getMessage() for record in caplog.records] == lines
    assert capsys.readouterr().err == ""


def test_on_a_terminal_a_bar_is_drawn_that_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    with Bar(total=2, desc="answers", mininterval=0) as bar:
        bar.update(2)
    drawn = capsys.readouterr().err
    assert "answers: 100%" in drawn and drawn.rsplit("\r", 2)[1].strip() == ""
    assert not caplog.records


def test_on_a_terminal_the_seconds_go_on_during_a_long_step(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    with Bar(total=2, desc="answers") as bar:
        capsys.readouterr()
        for second in (0.5, 1.5, 2.0):
            clock[0] = second
            bar.wait()
        assert capsys.readouterr().err.count("answers:") == 1
