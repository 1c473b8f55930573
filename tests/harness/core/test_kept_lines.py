"""A cache that only grows: half a line is cut off, damaged lines are set aside, and several processes add to it."""

import json
import multiprocessing
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from xlift.harness.core import kept_lines
from xlift.harness.core.kept_lines import KeptLines


def read(row: Mapping[str, Any]) -> tuple[str, int]:
    if not isinstance(row["value"], int):
        raise TypeError(row)
    return row["key"], row["value"]


def write(key: str, value: int) -> dict[str, object]:
    return {"key": key, "value": value}


def open_lines(path: Path) -> KeptLines[int]:
    return KeptLines(path, read, write)


def add(lines: KeptLines[int], **entries: int) -> None:
    with lines.adding() as adding:
        adding(entries)


def test_entries_are_appended_and_what_stands_is_never_written_again(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lines.jsonl"
    lines = open_lines(path)
    assert lines.find(["a"]) == {}
    add(lines, a=1, b=2)
    before, inode = path.read_bytes(), path.stat().st_ino
    add(lines, c=3, a=9)
    assert path.stat().st_ino == inode and path.read_bytes() == before + b'{"key": "c", "value": 3}\n', "a is there already"
    assert lines.find(["a", "c", "x"]) == {"a": 1, "c": 3} == open_lines(path).find(["c", "a"])


def test_half_a_line_is_cut_off_before_the_next_is_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "lines.jsonl"
    add(open_lines(path), a=1, b=2)
    path.write_bytes(path.read_bytes()[:-5])
    again = open_lines(path)
    assert again.find("ab") == {"a": 1}
    add(again, b=2)
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b"]
    assert not caplog.records and list(tmp_path.glob("*.damaged")) == []


@pytest.mark.parametrize("damage", [b"[1]\n", b'{"key": "x", "value": "1"}\n', b"\0\0\0\n", b"[" * 200_000 + b"\n", b"\xff\n"])
def test_lines_that_cannot_be_read_are_set_aside_once(damage: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "lines.jsonl"
    add(open_lines(path), a=1, b=2)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\n" + damage, 1))
    assert open_lines(path).find("ab") == open_lines(path).find("ab") == {"a": 1, "b": 2}
    assert [record.message for record in caplog.records] == [
        f"{path}: 1 lines cannot be read; the file was set aside as lines.jsonl.damaged, and what is lost is made anew"
    ]
    assert damage in (tmp_path / "lines.jsonl.damaged").read_bytes()


def test_a_file_that_is_damaged_or_deleted_in_use_is_written_on(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    lines = open_lines(path)
    add(lines, a=1)
    path.write_bytes(b"rubbish\n" + path.read_bytes())
    add(lines, b=2)
    assert lines.find("ab") == {"a": 1, "b": 2} and (tmp_path / "lines.jsonl.damaged").is_file()
    path.unlink()
    assert lines.find("ab") == {}
    add(lines, c=3)
    assert open_lines(path).find("abc") == {"c": 3}


def test_an_entry_waits_a_second_at_most_and_is_there_when_the_work_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, now = tmp_path / "lines.jsonl", [10.0]
    monkeypatch.setattr(kept_lines.time, "monotonic", lambda: now[0])
    lines = open_lines(path)
    with pytest.raises(KeyboardInterrupt), lines.adding() as adding:
        adding({"a": 1})
        assert not path.exists()
        now[0] += 1.0
        adding({"b": 2})
        assert open_lines(path).find("ab") == {"a": 1, "b": 2}
        adding({"c": 3})
        raise KeyboardInterrupt
    assert open_lines(path).find("abc") == {"a": 1, "b": 2, "c": 3}


def add_many(path: Path, name: str) -> None:
    lines = open_lines(path)
    for number in range(200):
        add(lines, **{f"{name}{number}": number, f"both{number}": number})


def test_two_processes_add_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=add_many, args=(path, name)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    keys = [json.loads(line)["key"] for line in path.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 600, "each line is whole, and what both had is there once"
    assert open_lines(path).find(["a7", "b7", "both7"]) == {"a7": 7, "b7": 7, "both7": 7}


def add_and_die(path: Path) -> None:
    kept_lines.SECONDS = 0.0
    with open_lines(path).adding() as adding:
        adding({"a": 1})
        adding({"b": 2})
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_was_added_survives_the_kill_of_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    worker = multiprocessing.get_context("fork").Process(target=add_and_die, args=(path,))
    worker.start()
    worker.join()
    assert worker.exitcode == -signal.SIGKILL
    lines = open_lines(path)
    add(lines, c=3)  # the lock went with its holder
    assert lines.find("abc") == {"a": 1, "b": 2, "c": 3}
