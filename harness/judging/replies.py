"""Judging pairs with a judge, each reply kept on disk as it comes: none is paid for twice, and a failing judge costs nothing it gave."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypedDict

from xlift.harness.core.errors import UserError
from xlift.harness.core.hashing import digest
from xlift.harness.core.store import explain_disk, write_json
from xlift.harness.judging.judges import Answered, Description, Judge
from xlift.tasks.judge import ORDERS, Mode, Order, Pair, Reply, Verdict, build_chat, prompt_sha256, read_mass, read_reply
from xlift.tasks.judge_probes import list_probes, score_probes

NONE = "not calibrated"
PASSED = 0.8
"""Least share of a probe's pairs that a judge has to get right."""


class Calibration(TypedDict):
    """What a judge made of the probes."""

    judge: Description
    mode: Mode
    prompt_sha256: str
    rows: list[dict[str, str | float]]
    """By kind of probe: pairs, and the shares that are right, right in each language, and unreadable."""
    served: str | None
    digest: str
    """Names it in the results of the judge."""


def calibrate(judge: Judge, mode: Mode, folder: Path) -> Calibration:
    """Put the probes to a judge; the result is written beside its replies in ``folder`` and returned.

    Raises UserError where the judge fails; what it said by then is kept.
    """
    probes = list_probes()
    judged = judge_pairs(judge, mode, [probe.pair for probe in probes], folder)
    described = judge.describe()
    rows = score_probes(probes, judged.verdicts)
    found = {"judge": described, "mode": mode, "prompt_sha256": prompt_sha256(mode), "rows": rows}
    result = Calibration(
        judge=described, mode=mode, prompt_sha256=prompt_sha256(mode), rows=rows, served=judged.served or None, digest=digest(found)
    )
    with explain_disk(folder):
        write_json(_file(folder, described, mode), result)
    return result


def find_calibration(folder: Path, described: Description, mode: Mode) -> str:
    """The digest of a judge's calibration in a mode, or "not calibrated", also where the prompts have changed since."""
    found = read_calibration(folder, described, mode)
    return found["digest"] if found else NONE


def read_calibration(folder: Path, described: Description, mode: Mode) -> Calibration | None:
    """A judge's calibration in a mode; None where there is none under today's prompts. Raises UserError for a damaged file."""
    path = _file(folder, described, mode)
    if not path.is_file():
        return None
    try:
        found: Calibration = json.loads(path.read_text(encoding="utf-8"))
        if not found["digest"] or not found["rows"]:
            raise ValueError
        return found if found["prompt_sha256"] == prompt_sha256(mode) else None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: damaged; calibrate the judge again with --calibrate") from None


def tell_calibration(found: Calibration | None, lang: str) -> str:
    """What a calibration says of a judge in one language: "passed", or the probes that it failed with the share it got right."""
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
"""Between two lines of progress."""


@dataclass(frozen=True)
class Replies:
    """What one judge has replied so far, in one file.

    A reply is kept under the hash of the judge, the prompt, the instruction, both answers and the order. Lines are only ever added; half a
    line at the end, which a kill may leave, is not read, and is cut off before more is written.
    """

    path: Path

    def read(self) -> dict[str, Answered]:
        """All replies by key. Raises UserError for a damaged file."""
        if not self.path.is_file():
            return {}
        with explain_disk(self.path.parent):
            text = self.path.read_text(encoding="utf-8")
        found = {}
        for number, line in enumerate(text.split("\n")[:-1], 1):
            try:
                row = json.loads(line)
                logprobs = tuple((str(token), float(value)) for token, value in row["logprobs"])
                reply = Reply(row["text"], logprobs, row.get("cut", False))
                found[row["key"]] = Answered(reply, row["tokens"], row["served"], row.get("seconds", 0.0))
            except (ValueError, KeyError, TypeError):
                if line.strip():
                    raise UserError(f"{self.path}, line {number}: damaged; delete the line, and its reply is asked for again") from None
        return found

    @contextmanager
    def write(self) -> Iterator[Callable[[str, Answered], None]]:
        """A function that adds one reply."""
        with explain_disk(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _cut_half_line(self.path)
            with self.path.open("ab") as file:

                def add(key: str, answered: Answered) -> None:
                    row = {"key": key, **asdict(answered.reply), "tokens": answered.tokens, "served": answered.served,
                           "seconds": answered.seconds}  # fmt: skip
                    file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
                    file.flush()

                yield add


def _cut_half_line(path: Path) -> None:
    whole = path.read_bytes() if path.is_file() else b""
    if whole and not whole.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(whole.rfind(b"\n") + 1)


def key_of(judge: Description, mode: Mode, pair: Pair, order: Order) -> str:
    """What a reply is kept under."""
    asked = {"instruction": pair.instruction, "answer": pair.answer, "reference": pair.reference, "order": order}
    return digest({"judge": judge, "prompt": prompt_sha256(mode), **asked}, 32)


def name_folder(described: Description) -> str:
    """A name for a judge's folder: its model's, and a hash of all that describes it."""
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', str(described.get('model', 'judge')))}-{digest(described)}"


@dataclass(frozen=True)
class Judged:
    """The verdicts on some pairs, in their order, and what they cost."""

    verdicts: list[Verdict]
    replies: dict[str, str]
    """The judge's words by key."""
    served: str
    """The name the server gave to the model; empty for local judges."""
    asked: int
    """Replies that were not kept already."""
    tokens: int
    """Spent on all of these replies, now and before."""
    seconds: float
    """Waited for all of them, now and before."""


def judge_pairs(judge: Judge, mode: Mode, pairs: Sequence[Pair], folder: Path) -> Judged:
    """Judge pairs in both orders; replies are kept in ``folder``, one file a judge, and those kept already are not asked for.

    Raises UserError where the judge fails, or answers under another model's name than before, and says how much is kept.
    """
    described = judge.describe()
    kept = Replies(folder / name_folder(described) / "replies.jsonl")
    known = kept.read()
    wanted = {key_of(described, mode, pair, order): (pair, order) for pair in pairs for order in ORDERS}
    missing = [key for key in wanted if key not in known]
    served = next((known[key].served for key in wanted if key in known and known[key].served), "")
    done = 0
    if missing:
        logger.info("judge: %d comparisons to be made, %d known", len(missing), len(wanted) - len(missing))
        started = shown = before = time.monotonic()
        spent = 0
        try:
            with kept.write() as add:
                for place, answered in judge.answer([build_chat(mode, *wanted[key]) for key in missing], mode):
                    served = _check_name(served, answered.served)
                    now = time.monotonic()
                    timed = replace(answered, seconds=round(now - before, 3))
                    before = now
                    add(missing[place], timed)
                    known[missing[place]] = timed
                    spent, done = spent + answered.tokens, done + 1
                    if now - shown > SECONDS:
                        shown = now
                        logger.info("judge: %d of %d, %.1f a second, %d tokens", done, len(missing), done / (shown - started), spent)
        except UserError as error:
            raise UserError(f"{error}; {done} of {len(missing)} replies were kept, and the same command goes on from there") from None
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
    return Judged(verdicts, words, served, len(missing), sum(one.tokens for one in used), sum(one.seconds for one in used))


def _check_name(before: str, now: str) -> str:
    if before and now and now != before:
        raise UserError(
            f"the judge changed: replies came from {before!r} and now come from {now!r}, which must not meet in one table; "
            "name one version with --model, or give another folder with --verdicts"
        )
    return before or now
