"""Thinking has an allowance of its own, is counted, and takes nothing from the answer."""

from pathlib import Path
from typing import Any

import pytest
from thinking import ASKED, EMPTY, OPENING, THINKING, thinking_base, write_base
from transformers import PreTrainedTokenizerBase

from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Answer, Sampling, ask
from xlift.harness.engines.base import Engine
from xlift.harness.engines.load import load_engine
from xlift.harness.engines.thinking import decode, find_marks, take_apart, widen
from xlift.harness.models.bases import Base, load_tokenizer, resolve

FOUR = Sampling(max_tokens=4, stop=("\n",))


@pytest.fixture(scope="module")
def tokenizer(tiny: Base) -> PreTrainedTokenizerBase:
    """One token for each byte."""
    return load_tokenizer(tiny)


def open_engine(base: Base, **settings: Any) -> Engine:
    return load_engine(base, EngineSettings(backend="hf", dtype="float32", **settings))


def test_a_request_is_widened_by_the_budget(tokenizer: PreTrainedTokenizerBase) -> None:
    assert widen(FOUR, 0, tokenizer) == FOUR
    assert widen(FOUR, 100, tokenizer) == Sampling(max_tokens=104)
    own = Sampling(max_tokens=4, stop=("<|im_end|>", "\n"))
    assert widen(own, 100, tokenizer) == Sampling(max_tokens=104, stop=("<|im_end|>",)), "this token ends thinking too"


@pytest.mark.parametrize(
    ("text", "opening", "tokens", "finished", "expected"),
    [
        ("18", "", 3, True, Answer("18", 3, True, 0)),
        # <think>a\nb</think> and the answer are 18 + 2 tokens, and one ends the turn: a stop string in thinking ends nothing
        ("<think>a\nb</think>18", "", 21, True, Answer("<think>a\nb</think>18", 21, True, 18)),
        ("<think>a</think>18\nno", "", 22, True, Answer("<think>a</think>18", 22, True, 16)),  # the line break is one of 16 + 5 + 1
        ("<think>a</think>123456", "", 22, False, Answer("<think>a</think>1234", 22, False, 16)),
        ("123456", "", 6, True, Answer("1234", 6, False, 0)),  # a model that does not think has the same four
        ("<think>a", "", 8, False, Answer("<think>a", 8, False, 8)),
        ("a</think>18", "<think>\n", 12, True, Answer("<think>\na</think>18", 12, True, 9)),
        ("so long", "<think>\n", 7, False, Answer("<think>\nso long", 7, False, 7)),
    ],
)
def test_an_answer_taken_apart(
    tokenizer: PreTrainedTokenizerBase, text: str, opening: str, tokens: int, finished: bool, expected: Answer
) -> None:
    assert take_apart(Answer(text, tokens, finished), opening, FOUR, tokenizer) == expected


def test_a_servers_thinking_is_told_by_its_share_of_the_text() -> None:
    # 15 of 20 characters
    assert take_apart(Answer("<think></think>18 no", 8, True), "", Sampling(max_tokens=4)).thinking_tokens == 6
    assert take_apart(Answer("", 8, True), "", FOUR) == Answer("", 8, True)


def test_marks_that_are_special_tokens_stay(tokenizer: PreTrainedTokenizerBase, tiny: Base) -> None:
    assert find_marks(tokenizer) == frozenset()
    own = load_tokenizer(tiny)
    own.add_special_tokens({"additional_special_tokens": ["[THINK]", "[/THINK]"]})
    ids = own("[THINK]a[/THINK]18<|im_end|>").input_ids
    assert own.decode(ids, skip_special_tokens=True) == "a18"
    assert decode(own, ids, find_marks(own)) == "[THINK]a[/THINK]18"
    assert decode(own, own("18<|im_end|>").input_ids, find_marks(own)) == "18"


def test_thinking_that_the_prompt_opens_is_no_answer(tiny: Base, tmp_path: Path) -> None:
    """The tiny model never closes it."""
    base = thinking_base(tiny.folder, tmp_path / "base", OPENING, thinking="on", thinking_tokens=20)
    with open_engine(base, thinking="on", thinking_tokens=20) as running:
        assert running.render(ask("hi")) == ASKED + "<think>\n"
        (answer,) = running.generate([ask("hi")], Sampling(max_tokens=4))
        assert answer.text.startswith("<think>\n") and answer.thinking_tokens == answer.tokens == 24
        assert running.usage["thinking_tokens"] == 24 and running.usage["generated_tokens"] == 24
        facts = running.describe()
    assert (facts["thinking"], facts["thinking_tokens"]) == ("on", 20)
    assert facts["chat_template_sha256"] == base.chat_template_sha


def test_thinking_off_is_asked_with_an_empty_block(tiny: Base, tmp_path: Path) -> None:
    base = thinking_base(tiny.folder, tmp_path / "base", thinking="off")
    with open_engine(base, thinking="off") as running:
        assert running.render(ask("hi")) == ASKED + EMPTY
        assert running.lm().apply_chat_template([{"role": "user", "content": "hi"}]) == ASKED + EMPTY
        (answer,) = running.generate([ask("hi")], Sampling(max_tokens=4))
    assert answer.thinking_tokens == 0 and "<think>" not in answer.text


def test_the_budget_comes_on_top_of_the_length(tiny: Base) -> None:
    with open_engine(tiny, max_length=64, thinking_tokens=100) as running:
        assert running.describe()["max_length"] == 164
        assert running.measure_room([""]) == [64]
        with pytest.raises(UserError, match="an answer of 164 tokens .engine.thinking_tokens 100 of them. leaves no room for a prompt"):
            running.complete(["x"], [Sampling(max_tokens=64)])


def test_likelihoods_are_refused_where_it_thinks_first(tiny: Base, tmp_path: Path) -> None:
    from lm_eval.api.instance import Instance

    base = thinking_base(tiny.folder, tmp_path / "base", thinking="on", thinking_tokens=20)
    with open_engine(base, thinking="on", thinking_tokens=20) as running:
        request = Instance("loglikelihood", {}, ("a", "b"), 0, ("some_task", 0, 1))
        with pytest.raises(UserError, match="task some_task is scored by likelihood, where nothing can be thought first; .*thinking: off"):
            running.lm().loglikelihood([request])


def test_by_default_nothing_is_said_of_it(tiny: Base, tmp_path: Path) -> None:
    base = resolve(BaseSettings(model=str(write_base(tiny.folder, tmp_path / "base", THINKING))), EngineSettings())
    with open_engine(base) as running:
        assert running.render(ask("hi")) == ASKED
        assert not {"thinking", "thinking_tokens"} & set(running.describe())
