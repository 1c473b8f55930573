"""Stages on disk: each is a folder named by the hash of all that determines it, and done once its manifest is there.

    runs/SUITE/prepare-LABEL-HASH/             rows.jsonl
    runs/SUITE/fit-LABEL-seed0-HASH/           adapter/
    runs/SUITE/part-NAME-seed0-HASH/           adapter/, of a method that puts several together
    runs/SUITE/evaluate-LABEL-seed0-HASH/      lm-eval's results_*.json and samples_*.jsonl
    runs/SUITE/share-LABEL-seed0-1of4-HASH/    of a model that is asked in shares; its answers lie in runs/_answers
                                  each with    manifest.json

A stage grows in a folder that ends in ``.part`` and is renamed when its manifest is written, so a folder without the ending is whole. Each
attempt has such a folder of its own, ``NAME.HOST-PID-NANOSECONDS.part``, and a lease on its stage (leases.py): any number of processes may
work in one run folder, also on several machines.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.hashing import digest
from xlift.harness.core.leases import SILENCE, Lease, claim, find_owner
from xlift.harness.core.manifests import Learned, Manifest

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
RESOLVED = "suite.resolved.json"
"""In a run folder, the file of the suite with all defaults filled in, as it ran last."""
LEASES = ".leases"
"""In a run folder, the folder that says who works on which stage."""
POLL = 1.0
"""Seconds between two checks of a stage on which another process works."""


@dataclass(frozen=True)
class Stage:
    """One piece of work and all that determines its outcome."""

    kind: str
    """prepare, fit, part, share or evaluate."""
    label: str
    inputs: Mapping[str, object]
    """Plain data; two stages with equal inputs are the same stage."""
    learned: Learned | None = None
    """Inputs that nobody knows before the work is done, such as what a method chose to read. They count for the name. None if not known
    yet."""

    @property
    def name(self) -> str:
        learned = {} if self.learned is None else {"learned": self.learned}
        return f"{self.kind}-{self.label}-{digest({'kind': self.kind, **self.inputs, **learned})}"


@dataclass(frozen=True)
class Store:
    """The folder of one suite's stages."""

    root: Path

    def folder(self, stage: Stage) -> Path:
        """The place of a finished stage, now or later."""
        return self.root / stage.name

    def manifest(self, stage: Stage) -> Manifest | None:
        """What a finished stage wrote about itself; None if it is not finished."""
        return read_manifest(self.folder(stage))

    def find(self, stage: Stage, holds: Callable[[Learned], bool]) -> Stage | None:
        """The finished stage with these inputs whose learned inputs are still true; None if there is none."""
        for folder in sorted(self.root.glob(f"{stage.kind}-*")):
            manifest = read_manifest(folder) if folder.suffix != ".part" else None
            if manifest and "learned" in manifest:
                found = replace(stage, learned=manifest["learned"])
                if found.name == folder.name and holds(manifest["learned"]):
                    return found
        return None

    def write(
        self,
        stage: Stage,
        work: Callable[[Path], Mapping[str, object]],
        *,
        keep_partial: bool = False,
        find: Callable[[], Manifest | None] | None = None,
    ) -> Manifest:
        """Do ``attempt``. If another process works on the stage, wait for its outcome."""
        told = ""
        while (made := self.attempt(stage, work, keep_partial=keep_partial, find=find)) is None:
            owner = find_owner(self.root / LEASES, stage.name)
            if owner and owner.attempt != told:
                logger.info("%s: waiting for %s, which works on it", stage.name, owner.attempt)
                told = owner.attempt
            time.sleep(POLL)
        return made

    def attempt(
        self,
        stage: Stage,
        work: Callable[[Path], Mapping[str, object]],
        *,
        keep_partial: bool = False,
        find: Callable[[], Manifest | None] | None = None,
    ) -> Manifest | None:
        """Run ``work`` in a partial folder, and finish the stage with the manifest that it returns, which may name ``learned`` inputs.

        A finished stage is not run again; if its name alone does not identify it, ``find`` does. Returns None if another process works on
        it. With ``keep_partial`` the work of a killed attempt is handed on, otherwise it is deleted. Raises UserError if the folder cannot
        be written, and if this process was silent for so long that another one has continued its work.
        """
        find = find or (lambda: self.manifest(stage))
        done = find()
        if done is not None:
            return done
        with explain_disk(self.root), claim(self.root / LEASES, stage.name) as lease:
            if lease is None:
                return None
            return find() or self._make(stage, work, lease, keep_partial)

    def _make(self, stage: Stage, work: Callable[[Path], Mapping[str, object]], lease: Lease, keep_partial: bool) -> Manifest:
        partial = self.root / f"{stage.name}.{lease.attempt}.part"
        self._begin(stage, partial, keep_partial)
        try:
            made = work(partial)
        finally:
            _require_lease(lease, stage)
        about = {"stage": stage.kind, "label": stage.label, "inputs": dict(stage.inputs), "finished": read_clock()}
        manifest = cast(Manifest, {**about, **made})
        sync(partial)
        write_json(partial / MANIFEST, manifest)
        _require_lease(lease, stage)
        return publish(partial, self.folder(replace(stage, learned=manifest.get("learned"))))

    def _begin(self, stage: Stage, partial: Path, keep: bool) -> None:
        """The folder of an attempt: with ``keep`` the newest that a dead attempt left, else an empty one. Nobody else works on the
        stage."""
        left = sorted(self.root.glob(f"{stage.name}.*part"), key=lambda path: path.stat().st_mtime)
        if keep and left:
            left.pop().rename(partial)
        for other in left:
            discard(other)
        partial.mkdir(exist_ok=True)

    def ask_again(self, stage: Stage, after: str = "") -> None:
        """Write into a finished stage's manifest that it was asked for now, so that it counts as the newest of its kind.

        The time that is written is later than ``after``, whatever the clock says, because clocks are set back. Raises UserError if the
        folder cannot be written.
        """
        now = read_clock()
        with explain_disk(self.root):
            write_json(self.folder(stage) / MANIFEST, {**(self.manifest(stage) or {}), "asked": now if now > after else _follow(after)})


def _require_lease(lease: Lease, stage: Stage) -> None:
    if not lease.is_held():
        raise UserError(
            f"{stage.name}: this process gave no sign of life for {SILENCE:.0f} s, so another one went on with its work; the same command "
            "finds what is finished"
        )


def publish(partial: Path, final: Path) -> Manifest:
    """Give an attempt, whose manifest is written, its final name. Returns the manifest that is there then.

    If another attempt at the same stage was faster, that one counts and this one is deleted. A folder without a manifest is replaced.
    """
    while True:
        try:
            partial.rename(final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            winner = read_manifest(final)
            if winner is not None:
                discard(partial)
                return winner
            debris = partial.with_name(f"{partial.name}.debris.part")
            final.rename(debris)
            discard(debris)
        else:
            return read_manifest(final) or {}


def read_clock() -> str:
    """The time now in UTC, ISO 8601 with microseconds: ``2026-11-22T20:55:46.799492Z``. As texts such times sort by age."""
    return _write_time(datetime.now(UTC))


def _follow(time: str) -> str:
    """The time one microsecond after another one, which ``read_clock`` wrote."""
    return _write_time(datetime.fromisoformat(time) + timedelta(microseconds=1))


def _write_time(time: datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a finished stage; None if there is none."""
    try:
        manifest = parse_json((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise UserError(f"{folder.parent}: not a folder; choose another place with --runs") from None
    except ValueError:
        raise UserError(f"{folder / MANIFEST}: damaged; delete the folder {folder} and run again") from None
    except OSError as error:
        raise UserError(f"{folder / MANIFEST}: cannot be read ({error.strerror})") from None
    if not isinstance(manifest, dict):
        raise UserError(f"{folder / MANIFEST}: damaged; delete the folder {folder} and run again")
    return cast(Manifest, manifest)


def discard(folder: Path) -> None:
    """Delete a folder, if it exists."""
    if folder.exists():
        shutil.rmtree(folder)


def sync(folder: Path) -> None:
    """Wait until everything in a folder is on the disk, because a manifest must not outlast the files that it describes."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def parse_json(text: str | bytes) -> object:
    """``json.loads``, but text that is nested too deeply raises ValueError as well."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds a mapping. Raises UserError if it is gone or damaged."""
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{path}: damaged ({one_line(error)})") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: damaged (it holds no mapping)")
    return found


def write_json(path: Path, value: object) -> None:
    """Write a JSON file whole or not at all."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1, sort_keys=False, default=str)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.ENOTDIR, errno.EEXIST}
"""Errors of a disk that is full or read-only, and of a file in the way."""


@contextmanager
def explain_disk(place: Path) -> Iterator[None]:
    """Turn the error of a full disk, a read-only folder or a file in the way into one line. Other errors are raised as they are."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK:
            raise
        what = f"{error.filename or place}: cannot write the run ({error.strerror})"
        raise UserError(f"{what}; free space or choose another folder with --runs, then run again") from None
