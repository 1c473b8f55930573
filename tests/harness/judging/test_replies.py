"""Judging over HTTP: the rule of the loopback judge (more z is better) can be redone by hand, and every fault has its line."""

import itertools
import json
import math
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from judges import FaultProxy, JudgeServer, serve
from refusals import refusal

from xlift.harness.config.judge import JudgeSettings
from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.core.types import Sampling
from xlift.harness.engines import bounded, openai_api
from xlift.harness.engines.load import load_engine
from xlift.harness.judging import judges
from xlift.harness.judging.judges import estimate, open_judge
from xlift.harness.judging.replies import (
    NONE,
    Judged,
    Replies,
    calibrate,
    find_calibration,
    judge_pairs,
    read_calibration,
    tell_calibration,
)
from xlift.harness.models.bases import resolve
from xlift.tasks.judge import MODES, ORDERS, Mode, Pair, build_chat
from xlift.tasks.judge_probes import KINDS, LANGUAGES, list_probes
from xlift.tasks.verdicts import aggregate

PAIRS = [Pair(str(n), "es", f"Instrucción {n}", "z" * (n % 4) + "a", "z" * (n % 3) + "b") for n in range(12)]


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    running = JudgeServer()
    with serve(running):
        yield running


@pytest.fixture
def proxy(server: JudgeServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setattr(openai_api, "RETRIES", 2)
    between = FaultProxy(server.url)
    with serve(between):
        yield between


def settings_of(proxy: FaultProxy, **changes: Any) -> JudgeSettings:
    return JudgeSettings(**{"judge": proxy.url, "model": "judge", "concurrency": 4, **changes})


def run(proxy: FaultProxy, folder: Path, mode: Mode = "weighted", pairs: list[Pair] = PAIRS, **changes: Any) -> Judged:
    opened = open_judge(settings_of(proxy, **changes))
    try:
        return judge_pairs(opened, mode, pairs, folder)
    finally:
        opened.close()


def kept(folder: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in folder.glob("*/replies.jsonl"))


def test_weighted_preferences_follow_the_rule(server: JudgeServer, proxy: FaultProxy, tmp_path: Path) -> None:
    judged = run(proxy, tmp_path)
    for verdict in judged.verdicts:
        mine, other = verdict.pair.answer.count("z") + 1, verdict.pair.reference.count("z") + 1
        assert verdict.preferences == (pytest.approx(mine / (mine + other)), pytest.approx(mine / (mine + other)))
    assert all(body["max_tokens"] == 1 and body["top_logprobs"] == 20 and body["temperature"] == 0 for body in server.seen)
    assert judged.asked == len(server.seen) == 24 and judged.served == "judge-1"


def test_verdicts_follow_the_rule(proxy: FaultProxy, tmp_path: Path) -> None:
    found = aggregate(run(proxy, tmp_path, "verdict").verdicts)
    # n % 4 against n % 3 over 12 numbers: greater for 3, 6, 7, 9, 10, 11; equal for 0, 1, 2; less for 4, 5, 8
    assert (found["wins"], found["ties"], found["losses"], found["errors"]) == (0.5, 0.25, 0.25, 0)
    assert found["win_rate"] == 0.625 and found["flips"] == 0 and found["first"] == 0.5
    assert found["characters"] == 2.5 and found["reference_characters"] == 2  # 0 to 3 z and a letter, 0 to 2 and a letter


def test_a_judge_that_goes_by_position(server: JudgeServer, proxy: FaultProxy, tmp_path: Path) -> None:
    server.verdict = lambda first, second: "[[A]]"
    found = aggregate(run(proxy, tmp_path, "verdict").verdicts)
    assert found["flips"] == found["first"] == found["ties"] == 1 and found["win_rate"] == 0.5


def test_nothing_is_asked_twice(server: JudgeServer, proxy: FaultProxy, tmp_path: Path) -> None:
    first = run(proxy, tmp_path, pairs=PAIRS[:5])
    again = run(proxy, tmp_path)
    assert (first.asked, again.asked) == (10, 14)
    third = run(proxy, tmp_path)
    assert third.asked == 0 and len(server.seen) == 24
    assert again.verdicts[:5] == first.verdicts
    # what was paid stays paid: from the cache alone the same cost stands
    assert third.tokens == again.tokens > first.tokens > 0 and third.seconds == again.seconds > 0


def test_a_server_that_refuses_max_tokens_gets_the_newer_name(server: JudgeServer, proxy: FaultProxy, tmp_path: Path) -> None:
    server.refuses_max_tokens = True
    assert run(proxy, tmp_path).asked == 24
    assert [body for body in server.seen if "max_completion_tokens" in body and "max_tokens" not in body] == server.seen[1:]


def test_a_verdict_that_was_cut_off_is_counted_as_unreadable(server: JudgeServer, proxy: FaultProxy, tmp_path: Path) -> None:
    server.finish_reason = "length"
    found = aggregate(run(proxy, tmp_path, "verdict").verdicts)
    assert found["errors"] == found["parse_errors"] == 1 and found["win_rate"] is None


def test_a_judge_that_would_say_something_else_cannot_be_read(server: JudgeServer, proxy: FaultProxy, tmp_path: Path) -> None:
    tops = [("The", 0.9), ("m", 0.03), ("M", 0.01)]
    server.logprobs = lambda first, second: {
        "content": [{"token": "The", "top_logprobs": [{"token": token, "logprob": math.log(share)} for token, share in tops]}]
    }
    judged = run(proxy, tmp_path)
    assert aggregate(judged.verdicts)["errors"] == 1
    assert judged.verdicts[0].masses == (pytest.approx(0.04), pytest.approx(0.04))


def test_another_judge_mode_or_answer_is_asked_anew(proxy: FaultProxy, tmp_path: Path) -> None:
    run(proxy, tmp_path, pairs=PAIRS[:2])
    assert run(proxy, tmp_path, pairs=PAIRS[:2], model="other").asked == 4
    assert run(proxy, tmp_path, "verdict", pairs=PAIRS[:2]).asked == 4
    changed = Pair(PAIRS[0].id, "es", PAIRS[0].instruction, "another answer", PAIRS[0].reference)
    assert run(proxy, tmp_path, pairs=[changed, PAIRS[1]]).asked == 2


@pytest.mark.parametrize("fault", ["429", "500", "cut"])
def test_a_passing_fault_is_tried_again(proxy: FaultProxy, tmp_path: Path, fault: str) -> None:
    proxy.faults = itertools.chain(itertools.cycle(["", fault]))
    found = run(proxy, tmp_path, concurrency=1, pairs=PAIRS[:6])
    assert aggregate(found.verdicts)["errors"] == 0 and proxy.tally[fault] >= 5
    assert found.verdicts == run(proxy, tmp_path, pairs=PAIRS[:6]).verdicts


def test_a_time_out_is_tried_again(server: JudgeServer, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_api, "TIMEOUT", 0.5)
    proxy.faults = iter(["", "slow"])
    assert aggregate(run(proxy, tmp_path, concurrency=1, pairs=PAIRS[:3]).verdicts)["errors"] == 0
    assert len(server.seen) == 7


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("429", "answers 429 after 2 retries"),
        ("500", "answers 500 after 2 retries"),
        ("400", "answers 400"),
        ("cut", "cannot be reached"),
        ("slow", "did not answer in time; lower --concurrency"),
        ("garbage", "no JSON"),
    ],
)
def test_a_lasting_fault_costs_nothing_that_was_judged(
    proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, says: str
) -> None:
    monkeypatch.setattr(openai_api, "TIMEOUT", 0.5 if fault == "slow" else 60)
    monkeypatch.setattr(openai_api, "RETRIES", 2 if fault in ("429", "500") else 0)
    proxy.faults = itertools.chain([""] * 10, itertools.repeat(fault))
    line = refusal(lambda: run(proxy, tmp_path))
    assert says in line and "10 of 24 replies were kept, and the same command goes on from there" in line
    assert kept(tmp_path) == 10
    proxy.faults = iter(())
    assert run(proxy, tmp_path).asked == 14


def test_random_faults_change_no_verdict(proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = run(proxy, tmp_path / "a").verdicts
    monkeypatch.setattr(openai_api, "RETRIES", 12)
    chance = random.Random(4)
    proxy.faults = (chance.choice(["", "", "", "429", "500", "cut"]) for _ in range(30))
    assert run(proxy, tmp_path / "b", concurrency=8).verdicts == undisturbed


@pytest.mark.parametrize("fault", ["no list", "not numbers", "null", "a list", "empty", "no choices"])
def test_malformed_log_probabilities_are_counted(proxy: FaultProxy, tmp_path: Path, fault: str) -> None:
    proxy.faults = iter(["", fault])
    found = aggregate(run(proxy, tmp_path, pairs=PAIRS[:4]).verdicts)
    assert (found["parse_errors"], found["errors"]) == (1 / 8, 1 / 4)


def test_a_server_without_log_probabilities_is_refused_after_one_request(server: JudgeServer, proxy: FaultProxy, tmp_path: Path) -> None:
    server.logprobs = lambda first, second: None
    assert "gives no log-probabilities, which the weighted mode goes by; use --mode verdict" in refusal(lambda: run(proxy, tmp_path))
    assert len(server.seen) == 1
    assert run(proxy, tmp_path, "verdict").asked == 24


def test_tokens_that_are_no_answer(server: JudgeServer, proxy: FaultProxy, tmp_path: Path) -> None:
    server.logprobs = lambda first, second: {"content": [{"token": "The", "top_logprobs": [{"token": "The", "logprob": math.log(0.9)}]}]}
    found = aggregate(run(proxy, tmp_path, pairs=PAIRS[:4]).verdicts)
    assert found["parse_errors"] == found["errors"] == 1 and found["win_rate"] is None


def test_a_judge_that_changes_its_name(server: JudgeServer, proxy: FaultProxy, tmp_path: Path) -> None:
    proxy.faults = iter([""] * 5 + ["renamed"])
    line = refusal(lambda: run(proxy, tmp_path, concurrency=1))
    assert "came from 'judge-1' and now come from 'judge-2'" in line and "5 of 24 replies were kept" in line
    server.model = "judge-2"
    assert "came from 'judge-1'" in refusal(lambda: run(proxy, tmp_path))
    assert kept(tmp_path) == 5


def test_the_limit_of_tokens_is_kept(server: JudgeServer, proxy: FaultProxy, tmp_path: Path) -> None:
    cost = max(estimate(build_chat("weighted", pair, "answer first"), "weighted") for pair in PAIRS)
    each = len(build_chat("weighted", PAIRS[1], "answer first")[-1]["content"]) // 10 + 1
    line = refusal(lambda: run(proxy, tmp_path, limit_tokens=cost + 10 * each))
    assert f"the limit of {cost + 10 * each} tokens is reached" in line and "raise --limit-tokens" in line
    assert 9 <= kept(tmp_path) <= 12
    assert sum(len(body["messages"][-1]["content"]) // 10 + 1 for body in server.seen) <= cost + 10 * each
    before = kept(tmp_path)
    assert run(proxy, tmp_path).asked == 24 - before


def test_requests_are_paced(proxy: FaultProxy, tmp_path: Path) -> None:
    started = time.monotonic()
    run(proxy, tmp_path, pairs=PAIRS[:4], requests_per_minute=1200)  # 7 gaps of 0.05 s
    assert time.monotonic() - started >= 0.35


def test_half_a_line_is_not_read_and_damaged_ones_are_set_aside(
    proxy: FaultProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    run(proxy, tmp_path, pairs=PAIRS[:2])
    (path,) = tmp_path.glob("*/replies.jsonl")
    path.write_text(path.read_text() + '{"key": "ab')
    assert run(proxy, tmp_path, pairs=PAIRS[:3]).asked == 2
    assert len(Replies(path).read()) == 6
    first, second, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"{}\n" + b"\0" * 9 + b"\n" + second.replace(b'"text"', b'"txt"') + b'{"key": "\xff"}\n' + b"".join(rest))
    assert run(proxy, tmp_path, pairs=PAIRS[:3]).asked == 2, "the first line is gone, the second damaged"
    assert [record.message for record in caplog.records if "set aside" in record.message] == [
        f"{path}: 4 lines cannot be read; the file was set aside as replies.jsonl.damaged, and what is lost is made anew"
    ]
    assert len(Replies(path).read()) == 6 and run(proxy, tmp_path, pairs=PAIRS[:3]).asked == 0


def test_two_judges_at_once_ask_each_pair_once(server: JudgeServer, proxy: FaultProxy, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(run, proxy, tmp_path) for _ in range(2)]
        first, second = (future.result() for future in both)
    assert sorted([first.asked, second.asked]) == [0, 24] and first.verdicts == second.verdicts
    assert len(server.seen) == kept(tmp_path) == 24


ODD = {
    "parts": [{"type": "text", "text": "[[A]]"}],
    "a number": 5,
    "a lone surrogate": "[[A]] \ud800",
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_reply_is_unreadable_and_not_kept(server: JudgeServer, proxy: FaultProxy, tmp_path: Path, odd: str) -> None:
    said = iter([ODD[odd]])
    server.verdict = lambda first, second: next(said, "[[C]]")
    judged = run(proxy, tmp_path, "verdict", PAIRS[:3], concurrency=1)
    assert [verdict.preferences for verdict in judged.verdicts] == [(None, 0.5), (0.5, 0.5), (0.5, 0.5)]
    assert kept(tmp_path) == 5
    assert run(proxy, tmp_path, "verdict", PAIRS[:3]).asked == 1, "it is asked for again"


@pytest.mark.parametrize("fault", ["deep", "large"])
def test_a_reply_without_bounds_ends_nothing(
    proxy: FaultProxy, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(bounded, "LARGEST", 2**20)
    proxy.faults = iter(["", fault])
    judged = run(proxy, tmp_path, "verdict", PAIRS[:3], concurrency=1)
    assert sum(one is None for verdict in judged.verdicts for one in verdict.preferences) == 1 and kept(tmp_path) == 5
    proxy.faults = iter([fault])
    assert "nested too deeply" in (said := refusal(lambda: run(proxy, tmp_path, "verdict", PAIRS[3:4]))) or "more than 1 MiB" in said


def test_a_reply_that_drips_is_cut_off(proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_api, "TIMEOUT", 0.5)
    proxy.faults = iter(["drip"])
    started = time.monotonic()
    assert "a reply that does not end within 0.5 s" in refusal(lambda: run(proxy, tmp_path, pairs=PAIRS[:1]))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("count", [-5, "twelve", None, 1.5, {}])
def test_tokens_that_are_no_number_are_estimated(server: JudgeServer, proxy: FaultProxy, tmp_path: Path, count: object) -> None:
    server.total_tokens = count
    judged = run(proxy, tmp_path, pairs=PAIRS[:1])
    assert judged.tokens == sum(estimate(build_chat("weighted", PAIRS[0], order), "weighted") for order in ORDERS)


def test_an_address_without_a_judge(proxy: FaultProxy, tmp_path: Path) -> None:
    proxy.faults = iter(["no choices"])
    assert "is no chat completion; does it end with /v1?" in refusal(lambda: run(proxy, tmp_path, "verdict"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"judge": ""}, "no judge is named, and none is chosen for you: --judge http"),
        ({"model": None}, "give --model NAME"),
        ({"judge": "gpt-4"}, "names no judge; choices: "),
        ({"judge": "engine:"}, "names no judge"),
        ({"judge": "engine:x", "limit_tokens": 5}, "are for judges behind a URL"),
    ],
)
def test_who_judges_must_be_said(proxy: FaultProxy, changes: dict[str, Any], says: str) -> None:
    assert says in refusal(lambda: open_judge(settings_of(proxy, **changes)))


def test_a_wrong_key_names_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_api, "RETRIES", 0)
    settings = JudgeSettings(judge="http://127.0.0.1:9/v1", model="judge")
    line = refusal(lambda: judge_pairs(open_judge(settings), "verdict", PAIRS, tmp_path))
    assert "judge judge: the server at http://127.0.0.1:9/v1 cannot be reached" in line and "0 of 24 replies" in line


def test_probes_and_what_a_perfect_judge_gets_right(server: JudgeServer, proxy: FaultProxy, tmp_path: Path) -> None:
    probes = list_probes()
    assert len(probes) == 3 * len(LANGUAGES) * (len(KINDS) - 1)
    good = {probe.pair.answer for probe in probes}
    languages = {probe.pair.answer: probe.pair.lang for probe in probes}
    for probe in probes:
        longer = len(probe.pair.reference) > len(probe.pair.answer)
        assert longer == (probe.kind in ("repeated", "longer but worse")) or probe.kind in ("identical", "wrong language")
        if probe.kind == "wrong language":
            assert probe.pair.reference in good and languages[probe.pair.reference] != probe.pair.lang
    server.verdict = lambda first, second: "[[A]]"
    opened = open_judge(settings_of(proxy))
    assert find_calibration(opened, "verdict", tmp_path) == NONE
    found = calibrate(opened, "verdict", tmp_path)
    assert {row["probe"]: row["right"] for row in found["rows"]} == dict.fromkeys(KINDS, 0.0)  # it looks at the position alone
    assert {row["pairs"] for row in found["rows"]} == {15, 60}
    assert find_calibration(opened, "verdict", tmp_path) == found["digest"]
    assert find_calibration(opened, "weighted", tmp_path) == NONE
    (file,) = tmp_path.glob("*/calibration-verdict.json")
    assert json.loads(file.read_text())["rows"] == found["rows"]


def test_a_damaged_calibration_is_made_anew_without_the_judge(
    server: JudgeServer, proxy: FaultProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.verdict = lambda first, second: "[[A]]"
    opened = open_judge(settings_of(proxy))
    found = calibrate(opened, "verdict", tmp_path)
    asked, (file,) = len(server.seen), tmp_path.glob("*/calibration-verdict.json")
    whole = file.read_bytes()
    for name, damaged in {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "nul": b"\0" * len(whole),
        "random": random.Random(0).randbytes(len(whole)),
        "deep": b"[" * 200_000,
        "a list": b"[1]",
        "edited": whole.replace(b'"right": 0.0', b'"right": 1.0'),
    }.items():
        caplog.clear()
        file.write_bytes(damaged)
        assert read_calibration(opened, "verdict", tmp_path) == found, name
        assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [f"{file}: damaged; it is made anew"]
        assert (len(server.seen), file.read_bytes()) == (asked, whole), name


def test_a_judge_that_says_tie_knows_identical_answers_alone(server: JudgeServer, proxy: FaultProxy, tmp_path: Path) -> None:
    server.verdict = lambda first, second: "[[C]]"
    rows = {row["probe"]: row for row in calibrate(open_judge(settings_of(proxy)), "verdict", tmp_path)["rows"]}
    assert rows["identical"]["right"] == rows["identical"]["sw"] == 1
    assert rows["truncated"]["right"] == rows["swapped order"]["right"] == rows["truncated"]["unreadable"] == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_local_model_judges(tiny_base: Path, tmp_path: Path, mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights, whose tokens are bytes: what it says is worth nothing, but it is said, kept and read."""
    monkeypatch.setattr(judges, "sampling", lambda mode: Sampling(max_tokens=1 if mode == "weighted" else 8))
    base = resolve(BaseSettings(model=str(tiny_base)))
    engine = load_engine(base, EngineSettings(backend="hf", dtype="float32", max_length=4096))
    long = Pair("long", "es", "Instrucción", "z" * 5000, "b")
    opened = judges.LmJudge(engine.lm(), {"kind": "engine", "model": "tiny"}, engine)
    judged = judge_pairs(opened, mode, [*PAIRS[:2], long], tmp_path)
    assert judged.verdicts[2].preferences == (None, None), "too long for the model: counted, not cut"
    if mode == "weighted":
        masses = [one for verdict in judged.verdicts[:2] for one in verdict.masses]
        assert all(one is not None and 0 < one < 0.5 for one in masses) and len(set(masses)) > 1
        # random weights spread their probability over all bytes, so the two letters have next to none of it
        assert all(one is None for verdict in judged.verdicts for one in verdict.preferences)
    assert judge_pairs(opened, mode, [*PAIRS[:2], long], tmp_path).asked == 0
    opened.close()


def test_a_calibration_says_what_a_judge_fails_in_a_language(server: JudgeServer, proxy: FaultProxy, tmp_path: Path) -> None:
    server.verdict = lambda first, second: "[[A]]"  # always the first: right on identical answers in no order
    opened = open_judge(settings_of(proxy))
    assert tell_calibration(read_calibration(opened, "verdict", tmp_path), "es") == "not calibrated"
    found = calibrate(opened, "verdict", tmp_path)
    assert tell_calibration(found, "th") == "no probe in this language"
    said = tell_calibration(found, "es")
    assert said.startswith("failed: identical 0.00, truncated 0.00") and "swapped order 0.00" in said
    passed = [{**row, "es": 0.8} for row in found["rows"]]
    assert tell_calibration({**found, "rows": passed}, "es") == "passed"
    assert read_calibration(opened, "verdict", tmp_path) == found
