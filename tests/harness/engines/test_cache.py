"""Answers are remembered: by model, sampling and chat, in chunks, and not lost with a kill."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from xlift.harness.core.types import Answer, Chat, Sampling, ask
from xlift.harness.engines import cache
from xlift.harness.engines.cache import Generations


class Counting:
    """An engine that numbers the chats it is asked."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        self.calls.append(len(chats))
        return [Answer(f"{len(self.calls)}: {chat[-1]['content']}", 2, True) for chat in chats]


def remember(folder: Path, engine: Counting, **model: Any) -> Generations:
    return Generations(folder, {"base": "b", **model}, lambda: cast(Any, engine))


CHATS = [ask("a"), ask("b"), ask("a")]


def test_an_answer_is_paid_for_once(tmp_path: Path) -> None:
    engine = Counting()
    first = remember(tmp_path, engine).answer(CHATS, Sampling())
    assert [answer.text for answer in first] == ["1: a", "1: b", "1: a"]
    assert engine.calls == [2], "the repeated chat is asked once"
    assert remember(tmp_path, engine).answer([ask("b")], Sampling())[0].text == "1: b"
    assert engine.calls == [2]


def test_two_at_once_lose_none_of_each_others_answers(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(cache, "CHUNK", 1)

    def ask_all(who: int) -> None:
        remember(tmp_path, Counting()).answer([ask(f"{who}: {number}") for number in range(40)], Sampling())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask_all, range(4)))
    engine = Counting()
    remember(tmp_path, engine).answer([ask(f"{who}: {number}") for who in range(4) for number in range(40)], Sampling())
    assert engine.calls == []
    assert sorted(path.suffix for path in tmp_path.iterdir() if not path.name.startswith(".")) == [".jsonl"]


def test_another_model_or_sampling_is_asked_anew(tmp_path: Path) -> None:
    engine = Counting()
    for memory in (remember(tmp_path, engine), remember(tmp_path, engine, adapter="x")):
        for sampling in (Sampling(), Sampling(max_tokens=7)):
            memory.answer([ask("a")], sampling)
    assert engine.calls == [1, 1, 1, 1]


def test_sampled_answers_to_equal_chats_differ_and_are_remembered_by_place(tmp_path: Path) -> None:
    engine, warm = Counting(), Sampling(temperature=0.7)
    memory = remember(tmp_path, engine)
    memory.answer(CHATS, warm)
    assert engine.calls == [3], "all three are asked"
    memory.answer(CHATS, warm)
    memory.answer(CHATS[:2], warm)
    assert engine.calls == [3, 2], "a shorter list is another draw"


def test_chunks_are_whole_and_a_kill_loses_the_last_alone(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(cache, "CHUNK", 2)
    engine, chats = Counting(), [ask(str(number)) for number in range(5)]
    undisturbed = remember(tmp_path / "a", engine).answer(chats, Sampling())
    assert engine.calls == [2, 2, 1]

    class Killed(Counting):
        def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
            if len(self.calls) == 2:
                raise KeyboardInterrupt
            return super().generate(chats, sampling)

    killed = Killed()
    try:
        remember(tmp_path / "b", killed).answer(chats, Sampling())
    except KeyboardInterrupt:
        again = Counting()
        again.calls = [0, 0]
        resumed = remember(tmp_path / "b", again).answer(chats, Sampling())
        assert again.calls == [0, 0, 1], "only the chunk that was lost"
        assert resumed == undisturbed
    else:
        raise AssertionError("the engine was not interrupted")


def test_a_damaged_cache_is_set_aside_and_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, damage in {
        "cut": lambda data: data[: len(data) // 2],
        "empty": lambda data: b"",
        "nul": lambda data: b"\0" * len(data),
        "a line of another kind": lambda data: b"[1]\n" + data,
        "wrong types": lambda data: data.replace(b'"tokens": 2', b'"tokens": "2"'),
        "deep": lambda data: b"[" * 200_000 + b"\n" + data,
    }.items():
        caplog.clear()
        engine = Counting()
        first = remember(tmp_path / name, engine).answer(CHATS, Sampling())
        (path,) = (tmp_path / name).glob("*.jsonl")
        path.write_bytes(damage(path.read_bytes()))
        again = Counting()
        assert remember(tmp_path / name, again).answer(CHATS, Sampling()) == first, name
        assert len(caplog.records) == (name not in ("cut", "empty")), "half a line and nothing are what a kill may leave"
        assert remember(tmp_path / name, Counting()).answer(CHATS, Sampling()) == first
        assert path.with_name(f"{path.name}.damaged").exists() == bool(caplog.records)
