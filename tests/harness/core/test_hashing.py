"""Hashes of files, which are remembered."""

import hashlib
import os
from pathlib import Path

import pytest

from xlift.harness.core.hashing import file_sha256


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XLIFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sha256"


def test_a_file_that_is_replaced_at_equal_size_and_time_is_seen(tmp_path: Path, notes: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    assert file_sha256(path) == sha256(b"one")
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.write_bytes(b"two")
    os.utime(path, ns=times)
    assert file_sha256(path) == sha256(b"two"), "written over"
    other = tmp_path / "other"
    other.write_bytes(b"six")
    os.utime(other, ns=times)
    other.replace(path)
    assert file_sha256(path) == sha256(b"six"), "another file in its place"


@pytest.mark.parametrize("damage", [b"", b"\0" * 64, b"ab", b"\xff" * 64])
def test_a_damaged_note_is_made_anew(tmp_path: Path, notes: Path, damage: bytes) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    file_sha256(path)
    (note,) = notes.iterdir()
    assert note.read_text() == sha256(b"one")
    note.write_bytes(damage)
    assert file_sha256(path) == sha256(b"one") == note.read_text()
