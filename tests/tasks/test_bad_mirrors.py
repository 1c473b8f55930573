"""What mirrors, networks and disks do wrong: each is one line, nothing of it is kept, and the next command goes on."""

import gzip
import json
import resource
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from commands import Call
from fetched import ARCHIVE, HUB, KINDS, RAW, left_over, refusal
from huggingface_hub import constants
from loopback_hub import State
from published import content, publish, remotes_of, to_jsonl, to_parquet

from xlift.harness.core.errors import UserError
from xlift.tasks import data, fetching, sources
from xlift.tasks.data import hash_rows, read
from xlift.tasks.fetching import fetch_remote
from xlift.tasks.holdings import build
from xlift.tasks.known_rows import Known

ASK_ONCE = fetching._unreachable
FILE = "GET .*grade_school_math/data/train.jsonl"
HERE = "/raw.githubusercontent.com/openai/grade-school-math/3101c7d5072418e28b9008a6636bde82a006892c/grade_school_math/data/train.jsonl"


# --- answers that are not the file ---


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"status": 302, "headers": {"Location": HERE}}, "failed 4 times (Exceeded maximum allowed redirects"),
        ({"status": 302, "headers": {"Location": "ftp://example.org/x"}}, "failed 4 times (Request URL has an unsupported protocol"),
        ({"status": 200, "headers": {"Content-Type": "text/html"}, "body": b"<html>"}, "gives a web page in place of the file"),
        ({"status": 200, "headers": {"Content-Length": "9" * 14}, "body": b"{}"}, "gives more than 2,147,483,648 bytes"),
        ({"status": 500}, "failed 4 times (the server answers 500 Internal Server Error)"),
        ({"status": 429}, "failed 4 times (the server answers 429 Too Many Requests)"),
        ({"status": 403}, "does not answer (403 Forbidden)"),
        ({"status": 206, "body": b"x", "headers": {"Content-Range": "bytes 7-7/8"}}, "failed 4 times (the server does not go on"),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_the_file(mirror: State, tmp_path: Path, fault: dict[str, Any], says: str) -> None:
    mirror.fail(FILE, times=999, **fault)
    assert says in refusal(*RAW)
    assert left_over(tmp_path) == []
    mirror.faults.clear()
    assert len(read(*RAW)) == 3, "the right file is taken as soon as it comes"


@KINDS
def test_errors_that_pass(mirror: State, asked: tuple[str, str]) -> None:
    mirror.fail(f"GET .*{remotes_of(*asked)[0].path}", 503, times=2)
    assert len(read(*asked)) == 3


def test_a_file_that_is_packed_on_the_way(mirror: State) -> None:
    (remote,) = remotes_of(*RAW)
    mirror.fail(FILE, 200, headers={"Content-Encoding": "gzip"}, body=gzip.compress(content(remote)))
    assert len(read(*RAW)) == 3 and mirror.count(FILE) == 1


def test_a_flood_that_is_packed_on_the_way(mirror: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MOST_BYTES", 100_000)
    mirror.fail(FILE, 200, headers={"Content-Encoding": "gzip"}, body=gzip.compress(bytes(10**7)))
    assert "gives more than 100,000 bytes" in refusal(*RAW)
    assert left_over(tmp_path) == []


# --- files that are not right, and are forgotten ---

NUMBERS = to_jsonl([{"question": 5, "answer": "#### 1"}])
HALF = b'{"question": "\\ud800", "answer": "#### 1"}\n'


@pytest.mark.parametrize(
    ("asked", "wrong", "says"),
    [
        (RAW, b"", "not laid out as gsm8k is (ValueError: line 1 is no JSON"),
        (RAW, b"[1, 2]\n", "not laid out as gsm8k is (AttributeError"),
        (RAW, b"\xff\xfe\n", "not laid out as gsm8k is (UnicodeDecodeError"),
        (RAW, b"[" * 100_000, "not laid out as gsm8k is (RecursionError"),
        (RAW, NUMBERS, "not laid out as gsm8k is (ArrowTypeError"),
        (RAW, HALF, "not laid out as gsm8k is (UnicodeEncodeError"),
        (("mgsm", "bn"), b"How many?\t1\t2\n", "line 1 has 3 columns, not 2"),
        (("mgsm", "bn", "exemplars"), b"def (", "not laid out as mgsm is (SyntaxError"),
        (("mgsm", "bn", "exemplars"), b"A = " + b"-" * 100_000 + b"1", "not laid out as mgsm is ("),
        (("alpaca/early", "en"), b'["a"]', "not laid out as alpaca is (AttributeError"),
        (("qa/tquad", "tr"), b'{"data": 1}', "not laid out as qa is (TypeError"),
        (HUB, b"{}\n", "not laid out as belebele is (KeyError"),
        (("alpaca/full", "en"), b"PAR1no", "not laid out as alpaca is (ArrowInvalid"),
        (("qa/iapp", "th"), b"no zip", "data/train.jsonl cannot be read from it (BadZipFile"),
        (("xcopa", "th"), b'{"idx": 1}\n', "not laid out as xcopa is (KeyError"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_a_wrong_file_is_one_line_and_not_kept(mirror: State, tmp_path: Path, asked: tuple[str, ...], wrong: bytes, says: str) -> None:
    remote = remotes_of(*asked)[0]
    right = serve(mirror, asked, wrong)
    assert says in refusal(*asked)
    assert remote.path.rpartition("/")[2] not in left_over(tmp_path)
    serve(mirror, asked, right)
    assert len(read(*asked)) >= 2, "the right file is taken as soon as it comes"


def serve(mirror: State, asked: tuple[str, ...], served: bytes) -> bytes:
    """Give other bytes at the first address of a reading; what was given there before."""
    remote = remotes_of(*asked)[0]
    held = dict(mirror.repositories[remote.repo].commits)[remote.revision] if remote.host == "hub" else mirror.mirrored
    place = remote.path if remote.host == "hub" else remote.url.removeprefix("https://")
    before, held[place] = held[place], served
    return before


def test_rows_that_are_not_the_known_ones_are_not_kept(mirror: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = list(read(*RAW))
    known = Known("gsm8k", "en", "train", 3, 99, hash_rows(right), copy=False)
    before = serve(mirror, RAW, content(remotes_of(*RAW)[0]).replace(b"How", b"Why"))
    for place in ("downloads", "rows", "first-seen"):
        for path in (tmp_path / "cache" / place).rglob("*.*" if place == "rows" else "*"):
            path.unlink() if path.is_file() else None
    monkeypatch.setattr(data, "known_rows", lambda: {(*RAW, "train"): known})
    assert "3 rows with sha256" in refusal(*RAW)
    assert left_over(tmp_path) == []
    serve(mirror, RAW, before)
    assert list(read(*RAW)) == right


@pytest.mark.parametrize("asked", [("qa/iapp", "th"), ("alpaca/full", "en")], ids=["zip", "parquet"])
def test_a_flood_that_is_packed_in_a_file(mirror: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, str]) -> None:
    monkeypatch.setattr(sources, "LEAST_BOUND", 1000)
    remote = remotes_of(*asked)[0]
    flood = to_parquet([{"instruction": "a" * 10**7, "input": "", "output": ""}]) if remote.host == "hub" else b"a" * 10**7
    publish(mirror, remote, changed={remote: flood})
    assert "MiB when unpacked" in refusal(*asked)
    assert left_over(tmp_path) == []


def test_a_packed_file_of_the_folder_that_is_damaged(fill_folder: Any) -> None:
    root = fill_folder(**{"train/gsm8k/en.train.jsonl.gz": '{"question": "Q", "answer": "#### 1"}\n' * 100})
    packed = (root / "train/gsm8k/en.train.jsonl.gz").read_bytes()
    damaged = packed[:12] + bytes(byte ^ 255 for byte in packed[12:40]) + packed[40:]
    with pytest.raises(zlib.error):
        gzip.decompress(damaged)
    (root / "train/gsm8k/en.train.jsonl.gz").write_bytes(damaged)
    (entry,) = json.loads((root / "manifest.json").read_text())
    entry["sha256"] = fetching.file_sha256(root / "train/gsm8k/en.train.jsonl.gz")
    (root / "manifest.json").write_text(json.dumps([entry]))
    assert "not laid out as gsm8k is (error: Error -3 while decompressing" in refusal(*RAW)


# --- the disk ---


@contextmanager
def no_room(size: int = 100) -> Iterator[None]:
    """Files cannot grow beyond ``size`` bytes, as on a disk that fills up while they are written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@KINDS
def test_a_disk_that_fills_up(mirror: State, tmp_path: Path, asked: tuple[str, str]) -> None:
    with no_room():
        text = refusal(*asked)
    assert "cannot be written (File too large): set " in text and "to a folder with room" in text
    assert not [name for name in left_over(tmp_path) if not name.endswith((".part", ".incomplete"))], "what is not whole says so"
    assert len(read(*asked)) == 3, "the next command goes on"


def test_a_disk_without_room_for_what_is_announced(mirror: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 10}))
    assert "bytes are to come, and 10 are free): set XLIFT_CACHE to a folder with room" in refusal(*RAW)


def test_a_data_folder_on_a_disk_that_fills_up(mirror: State, tmp_path: Path) -> None:
    read("xquad", "es")
    with no_room(), pytest.raises(UserError, match="the data folder .*built cannot be written .File too large."):
        build(tmp_path / "built", [("xquad", "es", "test")])
    assert not (tmp_path / "built").exists()


# --- two at once ---


def test_two_at_once_fetch_a_file_once(mirror: State) -> None:
    mirror.fail(FILE, wait=0.3)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(fetch_remote(remotes_of(*RAW)[0]))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2 and found[0] == found[1] and mirror.count(FILE) == 1


# --- the ways to a mirror ---


def test_a_mirror_behind_a_path_and_a_slash(mirror: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLIFT_MIRROR", f"{mirror.url}/behind/a/path/")
    assert len(read(*RAW)) == 3 and mirror.count("GET /behind/a/path/raw.githubusercontent.com/.*train.jsonl") == 1


@pytest.mark.parametrize("named", ["huggingface.co", "https://[bad", "https://", "https://host:port"])
def test_addresses_that_are_none(mirror: State, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("XLIFT_MIRROR", named)
    assert f"XLIFT_MIRROR is {named.rstrip('/')!r}: write an address" in refusal(*RAW)
    monkeypatch.setattr(constants, "ENDPOINT", named)
    assert f"HF_ENDPOINT is {named!r}: write an address" in refusal(*HUB)


@pytest.mark.parametrize("proxy", ["nonsense://localhost:1", "http://[bad", "localhost:port", "http://127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used(mirror: State, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    from huggingface_hub import close_session

    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setattr(fetching, "_unreachable", ASK_ONCE.__wrapped__)
    close_session()
    try:
        assert "the proxy that HTTP_PROXY names " in refusal(*RAW)
    finally:
        monkeypatch.undo()
        close_session()


def test_what_was_fetched_serves_without_a_network(mirror: State, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    read(*ARCHIVE)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert call("data", "get", "mlqa", "--languages", "vi")[0] == 0
    code, out, _ = call("data", "get", "mgsm", "--languages", "es")
    assert code == 3 and "HF_HUB_OFFLINE is set" in out
