import multiprocessing
import os
import resource
import signal
import threading
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from xlift.harness.core import leases
from xlift.harness.core.errors import UserError
from xlift.harness.core.store import LEASES, Stage, Store, publish, write_json

STAGE = Stage("prepare", "m", {"rows": 3})


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    store, calls = Store(tmp_path), []
    for _ in range(2):
        manifest = store.write(STAGE, lambda folder: calls.append(folder) or {"n": 1})
    assert (len(calls), manifest["n"], manifest["inputs"]) == (1, 1, {"rows": 3})


def test_a_changed_input_is_another_stage() -> None:
    assert STAGE.name != Stage("prepare", "m", {"rows": 4}).name
    assert STAGE.name == Stage("prepare", "m", {"rows": 3}).name


def test_what_the_work_learned_names_the_stage_and_must_still_hold(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for corpus in ("old", "new"):
        store.write(STAGE, lambda folder, corpus=corpus: {"learned": {"read": corpus}})
    assert store.manifest(STAGE) is None, "its name alone does not say what was read"
    found = {corpus: store.find(STAGE, lambda learned, corpus=corpus: learned["read"] == corpus) for corpus in ("old", "new", "none")}
    assert found["none"] is None and found["old"] != found["new"]
    assert {store.folder(found[corpus]) for corpus in ("old", "new")} == set(tmp_path.glob("prepare-*"))
    assert store.find(Stage("prepare", "m", {"rows": 4}), lambda learned: True) is None
    assert store.find(Stage("prepare", "n", {"rows": 3}), lambda learned: True) is None


@pytest.mark.parametrize("clock", ["2026-11-27T10:00:00.000000Z", "1970-01-01T00:00:00.000000Z"], ids=["now", "set back"])
def test_what_is_asked_for_again_is_the_newest_whatever_the_clock_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: str) -> None:
    store = Store(tmp_path)
    store.write(STAGE, lambda folder: {})
    monkeypatch.setattr("xlift.harness.core.store.read_clock", lambda: clock)
    store.ask_again(STAGE, after="2026-11-27T09:59:59.999999Z")
    manifest = store.manifest(STAGE)
    assert manifest is not None and manifest["asked"] == "2026-11-27T10:00:00.000000Z"


@pytest.mark.parametrize(("keep", "left"), [(False, []), (True, ["half"])])
def test_a_failed_attempt_leaves_no_stage(tmp_path: Path, keep: bool, left: list[str]) -> None:
    store = Store(tmp_path)

    def fail(folder: Path) -> dict[str, int]:
        (folder / "half").write_text("x")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.write(STAGE, fail)
    assert store.manifest(STAGE) is None
    found = store.write(STAGE, lambda folder: {"found": [path.name for path in folder.iterdir()]}, keep_partial=keep)
    assert found["found"] == left


def test_damaged_manifest_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(STAGE, lambda folder: {})
    (store.folder(STAGE) / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="damaged; delete the folder"):
        store.manifest(STAGE)


def test_a_file_in_the_way_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match="--runs"):
        Store(tmp_path / "runs").write(STAGE, lambda folder: {})


def test_a_full_disk_is_one_line_and_nothing_is_half_done(tmp_path: Path) -> None:
    store, old = Store(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        with pytest.raises(UserError, match="cannot write the run"):
            store.write(STAGE, lambda folder: {"written": (folder / "rows").write_text("x" * 5000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert store.manifest(STAGE) is None
    assert store.write(STAGE, lambda folder: {"rows": 1})["rows"] == 1


def fill(folder: Path) -> dict[str, int]:
    """Rows that say who wrote them, in two files, and a manifest that says the same."""
    for name in ("rows", "more"):
        (folder / name).write_text(str(os.getpid()))
    return {"pid": os.getpid()}


def write_at_once(root: Path, start: Barrier) -> None:
    start.wait(60)
    manifest = Store(root).write(STAGE, fill)
    (root / f"saw-{os.getpid()}").write_text(str(manifest["pid"]))


def test_twenty_processes_make_one_stage_and_all_see_it(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    start = fork.Barrier(20)
    others = [fork.Process(target=write_at_once, args=(tmp_path, start)) for _ in range(20)]
    for one in others:
        one.start()
    for one in others:
        one.join()
    assert [one.exitcode for one in others] == [0] * 20
    folder = Store(tmp_path).folder(STAGE)
    writer = (folder / "rows").read_text()
    assert (folder / "more").read_text() == writer
    assert [path.read_text() for path in tmp_path.glob("saw-*")] == [writer] * 20
    assert {path.name for path in folder.iterdir()} == {"rows", "more", "manifest.json"}
    assert not list(tmp_path.glob("*.part")) and [path.name for path in (tmp_path / LEASES).iterdir()] == [".lock"]


def test_of_two_attempts_the_first_that_is_published_counts(tmp_path: Path) -> None:
    """Two that did not know of each other, as on a disk whose locks do not reach from machine to machine."""
    final = tmp_path / "prepare-m-0"
    for number in (1, 2):
        partial = tmp_path / f"prepare-m-0.host-{number}.part"
        partial.mkdir()
        (partial / "rows").write_text(str(number))
        write_json(partial / "manifest.json", {"rows": number})
        assert publish(partial, final) == {"rows": 1}
    assert (final / "rows").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == [final.name]


def test_a_folder_without_a_manifest_makes_room(tmp_path: Path) -> None:
    (tmp_path / STAGE.name).mkdir()
    (tmp_path / STAGE.name / "debris").touch()
    Store(tmp_path).write(STAGE, lambda folder: {"rows": 3})
    assert [path.name for path in Store(tmp_path).folder(STAGE).iterdir()] == ["manifest.json"]


def test_a_stage_that_another_works_on_is_not_begun(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with leases.claim(tmp_path / LEASES, STAGE.name) as lease:
        assert lease is not None
        assert store.attempt(STAGE, lambda folder: {"rows": 1}) is None
    assert store.attempt(STAGE, lambda folder: {"rows": 2}) == store.manifest(STAGE)


def test_a_stage_of_another_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xlift.harness.core.store.POLL", 0.01)
    begun, go_on = threading.Event(), threading.Event()

    def work(folder: Path) -> dict[str, int]:
        begun.set()
        go_on.wait(30)
        return {"rows": 1}

    other = threading.Thread(target=lambda: Store(tmp_path).write(STAGE, work))
    other.start()
    begun.wait(30)
    threading.Timer(0.2, go_on.set).start()
    with caplog.at_level("INFO", "xlift"):
        assert Store(tmp_path).write(STAGE, lambda folder: {"rows": 2})["rows"] == 1
    other.join()
    assert f"{STAGE.name}: waiting for " in caplog.text


def test_who_was_taken_for_dead_publishes_nothing(tmp_path: Path) -> None:
    """It wakes up when another has taken its work over: the checkpoints, and the right to publish."""
    store = Store(tmp_path)

    def sleep(folder: Path) -> dict[str, int]:
        (folder / "checkpoint").write_text("half")
        os.utime(tmp_path / LEASES / STAGE.name, (0, 0))
        found = store.write(STAGE, lambda other: {"rows": len(list(other.iterdir()))}, keep_partial=True)
        assert found["rows"] == 1
        return {"rows": 99}

    with pytest.raises(UserError, match="gave no sign of life for 60 s, so another one went on with its work"):
        store.write(STAGE, sleep, keep_partial=True)
    manifest = store.manifest(STAGE)
    assert manifest is not None and manifest["rows"] == 1


def test_what_a_stage_wrote_is_on_the_disk_before_its_manifest_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr("xlift.harness.core.store.os.fsync", lambda number: synced.append(Path(f"/proc/self/fd/{number}").readlink().name))

    def work(folder: Path) -> dict[str, int]:
        for name in ("rows.jsonl", "adapter/weights"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("x")
        return {}

    Store(tmp_path).write(STAGE, work)
    assert sorted(synced[:2]) == ["rows.jsonl", "weights"] and synced[2:] == [".manifest.json.part"]
