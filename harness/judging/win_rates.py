"""Win rates of finished runs: answers are read from lm-eval's samples, which stay as they are, and judged against others.

    runs/SUITE/judge-MODEL-HASH/judgements.json                     win rates, with the judge and how it was calibrated
    runs/SUITE/judge-MODEL-HASH/verdicts_TASK_LABEL[_seedN].jsonl   one line an item
    runs/judges/MODEL-HASH/replies.jsonl, calibration-MODE.json     what the judge said, for all runs
"""  # fmt: skip

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from xlift.harness.config.judge import JudgeSettings
from xlift.harness.config.suite import LABEL
from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.hashing import digest
from xlift.harness.core.store import explain_disk, write_json
from xlift.harness.evaluation.records import JUDGEMENTS, Judgements, Measurement, Record, WinRate, read_judgements, read_records
from xlift.harness.evaluation.samples import read_answers
from xlift.harness.judging.judges import Description, Judge
from xlift.harness.judging.references import TASK, language_of, published, read_published
from xlift.harness.judging.replies import NONE, Judged, judge_pairs, key_of, name_folder, read_calibration, tell_calibration
from xlift.tasks.judge import ORDERS, Mode, Pair, Said, Verdict, combine, pair_up, prompt_sha256
from xlift.tasks.verdicts import aggregate

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contest:
    """One model's answers to one task beside those with which they are compared."""

    measured: Measurement
    task: str
    pairs: tuple[Pair, ...]

    @property
    def run(self) -> Path:
        return self.measured.stage.parent

    @property
    def record(self) -> Record:
        return self.measured.record

    @property
    def lang(self) -> str:
        return self.record.tasks[self.task].language


def judge_runs(
    judge: Judge, settings: JudgeSettings, runs: Sequence[Path], verdicts: Path, difficulty: pd.DataFrame | None = None
) -> list[dict[str, Any]]:  # fmt: skip
    """Judge the X-AlpacaEval answers of all models of some runs. A row for each model and language is written into its run and returned.

    ``verdicts`` is the folder of judges' replies. Raises UserError if answers and references do not match, and if the judge fails; what it
    had said is kept.
    """
    mode, against = settings.mode, settings.against
    contests, left_out = gather(runs, against)
    judged = judge_pairs(judge, mode, [pair for contest in contests for pair in contest.pairs], verdicts)
    described = judge.describe()
    found = read_calibration(judge, mode, verdicts)
    calibration = found["digest"] if found else NONE
    start, rows = 0, []
    by_run: dict[Path, list[tuple[WinRate, Sequence[Verdict]]]] = {run: [] for run in runs}
    for contest in contests:
        won = judged.verdicts[start : start + len(contest.pairs)]
        start += len(contest.pairs)
        rate = WinRate(**_describe(contest, against), calibrated=tell_calibration(found, contest.lang), **aggregate(won, difficulty))
        by_run[contest.run].append((rate, won))
        shown = rate.model_dump(mode="json", exclude={"verdicts"})
        rows.append({**shown, "judge": described["model"], "mode": mode, "calibration": calibration})
    for run, results in by_run.items():
        judgements = Judgements(
            judge={**described, "served": judged.served or None, "mode": mode, "prompt_sha256": prompt_sha256(mode)},
            against=against,
            calibration=calibration,
            cost={"replies": len(judged.replies), "tokens": judged.tokens, "seconds": round(judged.seconds, 2)},
            left_out=tuple(left_out),
            asked=identify(settings, run),
            results=tuple(rate for rate, _ in results),
        )
        lines = {rate.verdicts: [describe_verdict(one, judged, described, mode) for one in won] for rate, won in results}
        _write(run / f"judge-{name_folder({**described, 'mode': mode, 'against': against})}", judgements, lines)
    return rows


def identify(settings: JudgeSettings, run: Path) -> str:
    """A hash of everything that determines the win rates of a run: the judge and how it is asked, and the newest answers."""
    answers = sorted(
        (record.label, str(record.seed), task, str(result.samples))
        for record in read_records([run]).records
        for task, result in record.tasks.items()
        if language_of(task)
    )
    table = settings.difficulty
    try:
        difficulty = hashlib.sha256(table.read_bytes()).hexdigest() if table else None
    except OSError as error:
        raise UserError(f"--difficulty {table}: {error.strerror}") from None
    return digest(
        {
            **settings.identity(),
            "difficulty": difficulty,
            "prompt": prompt_sha256(settings.mode),
            "answers": answers,
            "wrong language": "lost",
        }
    )


def is_judged(settings: JudgeSettings, run: Path) -> bool:
    """Whether the win rates of a run exist already for its present answers."""
    wanted = identify(settings, run)
    for path in run.glob(f"judge-*/{JUDGEMENTS}"):
        try:
            if read_judgements(path).asked == wanted:
                return True
        except UserError:  # a damaged file is written anew
            continue
    return False


def gather(runs: Sequence[Path], against: str) -> tuple[list[Contest], list[str]]:
    """Every model's answers with those with which they are compared, and a line for each task that has none.

    Raises UserError for an opponent that is neither a label nor a split, and if nothing is left to judge.
    """
    contests, left_out = [], []
    for run in dict.fromkeys(runs):
        answers = {
            (one.record.label, one.record.seed, task): one
            for one in read_records([run]).measurements
            for task in one.record.tasks
            if language_of(task)
        }
        if not answers:
            raise UserError(f"{run}: no answers to {TASK} in it; add the task to the suite and run it again")
        labels = sorted({label for label, _, _ in answers})
        if against not in (*labels, *published()):
            raise UserError(
                f"--against {against!r}: neither a model of {run} nor published answers{name_nearest(against, [*labels, *published()])}"
            )
        for (label, _, task), measured in answers.items():
            if label == against:
                continue
            try:
                references = _read_opponent(answers, measured, task, against)
            except UserError as error:
                left_out.append(f"{run.name}: {measured.record.name}, {task}: {error}")
                logger.warning("judge: left out: %s", left_out[-1])
                continue
            pairs = pair_up(read_answers(measured, task), references)
            contests.append(Contest(measured, task, tuple(pairs)))
    if not contests:
        raise UserError(f"nothing to judge against {against!r}: {left_out[0] if left_out else 'it is the only model there'}")
    return contests, left_out


def _read_opponent(
    answers: Mapping[tuple[str, int | None, str], Measurement], measured: Measurement, task: str, against: str
) -> list[Said]:  # fmt: skip
    if against in published():
        return read_published(measured.record.tasks[task].language, against)
    seeds = {seed: other for (label, seed, its), other in answers.items() if (label, its) == (against, task)}
    opponent = seeds.get(measured.record.seed) or (next(iter(seeds.values())) if len(seeds) == 1 else None)
    if opponent is None:
        raise UserError(f"{against} has no answers with this seed" if seeds else f"{against} has no answers to it")
    if opponent.record.tasks[task].comparability != measured.record.tasks[task].comparability:
        raise UserError(f"{against} was asked under other conditions (their comparability keys differ)")
    return read_answers(opponent, task)


def _describe(contest: Contest, against: str) -> dict[str, Any]:
    record, result = contest.record, contest.record.tasks[contest.task]
    return {
        "suite": record.suite,
        "label": record.label,
        "seed": record.seed,
        "task": contest.task,
        "lang": contest.lang,
        "against": against,
        "items_of": result.items_of,
        "samples": result.samples,
        "comparability": result.comparability,
        "verdicts": f"verdicts_{contest.task}_{_name_model(record)}.jsonl",
    }


def _name_model(record: Record) -> str:
    """Label and seed as a part of a file's name. If a suite could not have this label, or it ends like a seed, a hash is added."""
    seed = "" if record.seed is None else f"_seed{record.seed}"
    if LABEL.fullmatch(record.label) and not re.search(r"_seed\d+$", record.label):
        return record.label + seed
    return f"{re.sub(r'[^A-Za-z0-9.-]+', '-', record.label)[:80]}-{digest(record.label, 8)}{seed}"


def _write(folder: Path, judgements: Judgements, verdicts: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write the verdicts by file, and last the judgements that name the files."""
    with explain_disk(folder):
        folder.mkdir(exist_ok=True)
        for file, lines in verdicts.items():
            (folder / file).write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
        write_json(folder / JUDGEMENTS, judgements.model_dump(mode="json"))


def describe_verdict(verdict: Verdict, judged: Judged, described: Description, mode: Mode) -> dict[str, Any]:
    """A verdict as one line of a file: preference, outcome and the judge's texts, without the answers."""
    keys = [key_of(described, mode, verdict.pair, order) for order in ORDERS]
    return {
        "id": verdict.pair.id,
        "lang": verdict.pair.lang,
        "preference": verdict.preference,
        "outcome": combine(verdict.preferences),
        "preferences": list(verdict.preferences),
        "masses": list(verdict.masses),
        "replies": [judged.replies[key] for key in keys],
        "keys": keys,
        "pair_sha256": digest([verdict.pair.instruction, verdict.pair.answer, verdict.pair.reference], 16),
    }
