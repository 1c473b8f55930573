"""Judging pairs, with each reply kept on disk as it comes: none is paid for twice, and if a judge fails, nothing that it gave is lost."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from xlift.harness.core.errors import UserError
from xlift.harness.core.hashing import digest
from xlift.harness.core.kept_lines import UNREADABLE, read_kept, set_aside
from xlift.harness.core.locks import hold
from xlift.harness.core.store import explain_disk, write_json
from xlift.harness.judging.judges import Answered, Description, Judge
from xlift.tasks.judge import ORDERS, Mode, Order, Pair, Reply, Verdict, build_chat, prompt_sha256, read_mass, read_reply
from xlift.tasks.judge_probes import list_probes, score_probes

NONE = "not calibrated"
PASSED = 0.8
"""The smallest share of a probe's pairs that a judge must get right."""


class Calibration(TypedDict):
    """How a judge did on the probes."""

    judge: Description
    mode: Mode
    prompt_sha256: str
    rows: list[dict[str, str | float]]
    """One row for each kind of probe: the number of pairs, and the shares that are right, right in each language, and unreadable."""
    served: str | None
    digest: str
    """Identifies it in the results of the judge."""


def calibrate(judge: Judge, mode: Mode, folder: Path) -> Calibration:
    """Ask a judge the probes. The result is written beside its replies in ``folder`` and returned.

    Raises UserError if the judge fails. What it had said is kept.
    """
    probes = list_probes()
    judged = judge_pairs(judge, mode, [probe.pair for probe in probes], folder)
    described = judge.describe()
    result = Calibration(
        judge=described, mode=mode, prompt_sha256=prompt_sha256(mode), rows=score_probes(probes, judged.verdicts),
        served=judged.served or None, digest="",
    )  # fmt: skip
    result["digest"] = _digest(result)
    with explain_disk(folder):
        write_json(_file(folder, described, mode), result)
    return result


def find_calibration(judge: Judge, mode: Mode, folder: Path) -> str:
    """The digest of a judge's calibration in a mode, or "not calibrated", also where the prompts have changed since."""
    found = read_calibration(judge, mode, folder)
    return found["digest"] if found else NONE


def read_calibration(judge: Judge, mode: Mode, folder: Path) -> Calibration | None:
    """A judge's calibration in a mode; None if there is none for the present prompts.

    A damaged file is made again from the replies to the probes, which are kept. If some of those are lost too, the judge is asked again.
    Raises UserError if it fails.
    """
    path = _file(folder, judge.describe(), mode)
    if not path.is_file():
        return None
    try:
        found: Calibration = json.loads(path.read_text(encoding="utf-8"))
        if found["digest"] != _digest(found):
            raise ValueError(path)
    except UNREADABLE:
        logger.warning("%s: damaged; it is made anew", path)
        return calibrate(judge, mode, folder)
    return found if found["prompt_sha256"] == prompt_sha256(mode) else None


def _digest(found: Calibration) -> str:
    return digest({"judge": found["judge"], "mode": found["mode"], "prompt_sha256": found["prompt_sha256"], "rows": found["rows"]})


def tell_calibration(found: Calibration | None, lang: str) -> str:
    """The result of a calibration in one language: "passed", or the probes that the judge failed with the share that it got right."""
    if found is None:
        return NONE
    shares = [(str(row["probe"]), row[lang]) for row in found["rows"] if lang in row]
    if not shares:
        return "no probe in this language"
    failed = [f"{probe} {share:.2f}" for probe, share in shares if isinstance(share, int | float) and share < PASSED]
    return f"failed: {', '.join(failed)}" if failed else "passed"


def _file(folder: Path, described: Description, mode: Mode) -> Path:
    return folder / name_folder(described) / f"calibration-{mode}.json"


logger = logging.getLogger(__name__)

SECONDS = 10
"""The seconds between two lines of progress."""


@dataclass(frozen=True)
class Replies:
    """The replies of one judge so far, in one file.

    A reply is kept under the hash of the judge, the prompt, the instruction, both answers and the order. Lines are only ever added. Half a
    line at the end, which a kill may leave, is not read, and is cut off before more is written.
    """

    path: Path

    def read(self) -> dict[str, Answered]:
        """All replies by key, except those that are damaged."""
        return read_kept(self.path, _read_line)[0]

    def mend(self) -> dict[str, Answered]:
        """The same as ``read``, but damaged lines are set aside with a warning. It is for the process that holds the folder."""
        found, damaged = read_kept(self.path, _read_line)
        if damaged:
            set_aside(self.path, (_write_line(key, answered) for key, answered in found.items()), damaged)
        return found

    @contextmanager
    def write(self) -> Iterator[Callable[[str, Answered], None]]:
        """A function that adds one reply. At the end all of them are on the disk."""
        with explain_disk(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _cut_half_line(self.path)
            with self.path.open("ab") as file:

                def add(key: str, answered: Answered) -> None:
                    file.write((_write_line(key, answered) + "\n").encode())
                    file.flush()

                try:
                    yield add
                finally:
                    os.fsync(file.fileno())


def _write_line(key: str, answered: Answered) -> str:
    row = {"key": key, **asdict(answered.reply), "tokens": answered.tokens, "served": answered.served, "seconds": answered.seconds}
    return json.dumps(row, ensure_ascii=False)


def _read_line(row: Mapping[str, Any]) -> tuple[str, Answered]:
    key, text, tokens = row["key"], row["text"], row["tokens"]
    if not (isinstance(key, str) and isinstance(text, str) and isinstance(tokens, int)):
        raise TypeError(row)
    logprobs = tuple((str(token), float(value)) for token, value in row["logprobs"])
    return key, Answered(Reply(text, logprobs, bool(row.get("cut", False))), tokens, str(row["served"]), float(row.get("seconds", 0.0)))


def _cut_half_line(path: Path) -> None:
    whole = path.read_bytes() if path.is_file() else b""
    if whole and not whole.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(whole.rfind(b"\n") + 1)


def key_of(judge: Description, mode: Mode, pair: Pair, order: Order) -> str:
    """The key under which a reply is kept."""
    asked = {"instruction": pair.instruction, "answer": pair.answer, "reference": pair.reference, "order": order}
    return digest({"judge": judge, "prompt": prompt_sha256(mode), **asked}, 32)


def name_folder(described: Description) -> str:
    """A name for a judge's folder: that of its model, and a hash of everything that describes it."""
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', str(described.get('model', 'judge')))}-{digest(described)}"


@dataclass(frozen=True)
class Judged:
    """The verdicts on some pairs, in their order, and what they cost."""

    verdicts: list[Verdict]
    replies: dict[str, str]
    """The judge's texts by key."""
    served: str
    """The name that the server gave to the model; empty for local judges."""
    asked: int
    """The number of replies that were not kept already."""
    tokens: int
    """The tokens spent on all of these replies, now and before."""
    seconds: float
    """The seconds waited for all of them, now and before."""


def judge_pairs(judge: Judge, mode: Mode, pairs: Sequence[Pair], folder: Path) -> Judged:
    """Judge pairs in both orders. Replies are kept in ``folder``, one file for each judge, and those that are kept already are not asked
    for.

    If several processes use one judge and folder, one asks at a time, so that each pair is asked once. Raises UserError if the judge fails,
    or answers under another model's name than before, and says how much is kept.
    """
    described = judge.describe()
    kept = Replies(folder / name_folder(described) / "replies.jsonl")
    known, asked = kept.read(), 0
    wanted = {key_of(described, mode, pair, order): (pair, order) for pair in pairs for order in ORDERS}
    if not wanted.keys() <= known.keys():
        with hold(kept.path.parent, wait=True):
            known = kept.mend()
            asked = sum(key not in known for key in wanted)
            known = _ask_missing(judge, mode, wanted, kept, known)
    preferences = {key: read_reply(mode, known[key].reply, order) for key, (_, order) in wanted.items()}
    masses = {key: read_mass(known[key].reply) for key in wanted}
    verdicts = [
        Verdict(
            pair,
            (preferences[key_of(described, mode, pair, ORDERS[0])], preferences[key_of(described, mode, pair, ORDERS[1])]),
            (masses[key_of(described, mode, pair, ORDERS[0])], masses[key_of(described, mode, pair, ORDERS[1])]),
        )
        for pair in pairs
    ]
    words = {key: known[key].reply.text for key in wanted}
    used = [known[key] for key in wanted]
    served = next((one.served for one in used if one.served), "")
    return Judged(verdicts, words, served, asked, sum(one.tokens for one in used), sum(one.seconds for one in used))


def _ask_missing(
    judge: Judge, mode: Mode, wanted: Mapping[str, tuple[Pair, Order]], kept: Replies, known: Mapping[str, Answered]
) -> dict[str, Answered]:  # fmt: skip
    """Everything that is wanted. What was not known is asked for and kept, except malformed replies, which are asked for again another
    time."""
    found = {key: known[key] for key in wanted if key in known}
    missing = [key for key in wanted if key not in known]
    served = next((one.served for one in found.values() if one.served), "")
    logger.info("judge: %d comparisons to be made, %d known", len(missing), len(found))
    started = shown = before = time.monotonic()
    spent = done = 0
    try:
        with kept.write() as add:
            for place, answered in judge.answer([build_chat(mode, *wanted[key]) for key in missing], mode):
                served = _check_name(served, answered.served)
                now = time.monotonic()
                timed = replace(answered, seconds=round(now - before, 3))
                before = now
                if not timed.odd:
                    add(missing[place], timed)
                found[missing[place]] = timed
                spent, done = spent + answered.tokens, done + 1
                if now - shown > SECONDS:
                    shown = now
                    logger.info("judge: %d of %d, %.1f a second, %d tokens", done, len(missing), done / (shown - started), spent)
    except UserError as error:
        kept_now = sum(not found[key].odd for key in missing if key in found)
        raise UserError(f"{error}; {kept_now} of {len(missing)} replies were kept, and the same command goes on from there") from None
    if odd := sum(found[key].odd for key in missing):
        logger.warning("judge: %d of %d replies are no text that can be read; they are not kept", odd, len(missing))
    return found


def _check_name(before: str, now: str) -> str:
    if before and now and now != before:
        raise UserError(
            f"the judge changed: replies came from {before!r} and now come from {now!r}, which must not meet in one table; "
            "name one version with --model, or give another folder with --verdicts"
        )
    return before or now
