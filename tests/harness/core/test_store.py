import resource
import signal
from pathlib import Path

import pytest

from xlift.harness.core.errors import UserError
from xlift.harness.core.store import Stage, Store

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
    assert {store.folder(found[corpus]) for corpus in ("old", "new")} == set(tmp_path.iterdir())
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
