"""Likelihoods of answers against a plain loop over transformers, and which tokens are read for them."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance

from xlift.harness.config.suite import EngineSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Likelihood
from xlift.harness.engines.base import Engine
from xlift.harness.engines.load import load_engine
from xlift.harness.engines.scoring import cut, gather, make_lines, read_off
from xlift.harness.models.adapters import merge, resolve
from xlift.harness.models.bases import Base, load_tokenizer
from xlift.tasks.likelihood_task import Prompt

PASSAGE = "<|im_start|>user\n" + "A text that several questions are about. " * 4
PAIRS = [
    *((f"{PASSAGE}{question}<|im_end|>\n<|im_start|>assistant\n", answer) for question in ("Who?", "Where is it?") for answer in "1234"),
    (f"{PASSAGE}When was that?<|im_end|>\n<|im_start|>assistant\n", "in the year 1856"),
    ("Something else", " entirely"), ("日本", "語です。"), ("", "a text by itself"), ("", "x"), ("Something else", " entirely"),
]  # fmt: skip


def settings_of(**changed: Any) -> EngineSettings:
    return EngineSettings(backend="hf", dtype="float32", **changed)


@pytest.fixture(scope="module")
def hf(tiny: Base) -> Iterator[Engine]:
    with load_engine(tiny, settings_of()) as running:
        yield running


def loop(base: Base, model: Any, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """Each pair by itself: all tokens, all logits, no cache."""
    tokenizer, found = load_tokenizer(base), []
    for prompt, answer in pairs:
        before = tokenizer(prompt, add_special_tokens=False).input_ids or [tokenizer.bos_token_id or tokenizer.eos_token_id]
        ids = [*before, *tokenizer(answer, add_special_tokens=False).input_ids]
        with torch.inference_mode():
            logs = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        found.append(sum(float(logs[place - 1, ids[place]]) for place in range(len(before), len(ids))))
    return found


@pytest.mark.parametrize("batch_tokens", [256, 8192])
def test_likelihoods_are_those_of_a_plain_loop(tiny: Base, batch_tokens: int) -> None:
    from transformers import AutoModelForCausalLM

    expected = loop(tiny, AutoModelForCausalLM.from_pretrained(tiny.folder, dtype=torch.float32), PAIRS)
    with load_engine(tiny, settings_of(batch_tokens=batch_tokens)) as running:
        found = running.score(PAIRS)
    assert [one.nats for one in found] == pytest.approx(expected, abs=1e-4)
    assert [one.tokens for one in found[-5:]] == [9, 12, 16, 1, 9]
    assert running.usage["scored_answers"] == len(PAIRS)


def test_an_adapter_has_likelihoods_of_its_own(tiny: Base, make_adapter: Callable[..., Path]) -> None:
    adapter = resolve(make_adapter(tiny, scale=0.5))
    expected = loop(tiny, merge(adapter, tiny, "float32"), PAIRS)
    for form in ("merged", "lora"):
        with load_engine(tiny, settings_of(adapter_form=form)) as running:
            before = running.score(PAIRS)
            running.swap(adapter)
            assert [one.nats for one in running.score(PAIRS)] == pytest.approx(expected, abs=1e-3)
            running.swap(None)
            assert [one.nats for one in running.score(PAIRS)] == pytest.approx([one.nats for one in before], abs=1e-4)


def test_an_answer_is_read_off_the_logits() -> None:
    logits = torch.tensor([[0.0, 2.0], [0.0, 0.0], [3.0, 0.0]])
    found = read_off(logits, (1, 0, 0))
    nats = -math.log(1 + math.exp(-2)) - math.log(2) - math.log(1 + math.exp(-3))
    assert found == Likelihood(pytest.approx(nats, abs=1e-6), 3, True)
    assert not read_off(logits, (0, 0, 0)).greedy


def test_what_lines_share_is_read_once() -> None:
    lines = make_lines([((*range(100), 7, 8), (1,)), ((*range(100), 7, 8), (2,)), ((*range(100), 9), (3, 4)), ((5, 6), (7, 8))])
    assert [line.tokens for line in lines] == [(*range(100), 7, 8), (*range(100), 9, 3), (5, 6, 7)], "one line for two options"
    assert [len(line.targets) for line in lines] == [2, 1, 1]
    shared, alone = gather(lines)
    assert (shared.shared, len(shared.lines), alone.shared, len(alone.lines)) == (100, 2, 0, 1)
    # a line that shares less joins only where the family saves more tokens with it
    lines = make_lines([((*range(90), 500 + number), (1,)) for number in range(4)] + [((*range(10), 600), (1,))])
    assert [(family.shared, len(family.lines)) for family in gather(lines)] == [(90, 4), (0, 1)]
    assert [(family.shared, len(family.lines)) for family in gather(lines[:1])] == [(0, 1)]


def test_the_token_before_an_answer_is_never_shared() -> None:
    """Its logits are the answer's first."""
    family = gather(make_lines([(tuple(range(80)), (1, number)) for number in range(2)] + [(tuple(range(80)), (2, 3, 4))]))[0]
    assert family.shared == 79 and len(family.lines) == 2


def test_batches_keep_to_tokens_and_logits() -> None:
    [family] = gather(make_lines([((number,) * 10, (1, 1, 1)) for number in range(6)]))
    assert [len(batch) for batch in cut(family, 36, 100)] == [3, 3]
    assert [len(batch) for batch in cut(family, 10_000, 2**26 // 6)] == [2, 2, 2], "three logits a line"
    assert [len(batch) for batch in cut(family, 1, 2**30)] == [1] * 6


def test_a_long_prompt_loses_its_beginning_and_never_the_answer(tiny: Base) -> None:
    with load_engine(tiny, settings_of(max_length=64)) as running:
        # 63 tokens at most: vLLM writes one behind them
        long, cut_ = running.score([("a" * 100 + "b" * 50, "c" * 13), ("b" * 50, "c" * 13)])
        assert long == cut_ and running.usage["truncated_prompts"] == 1
        with pytest.raises(UserError, match="an answer of 63 tokens.*engine.max_length is 64; raise it"):
            running.score([("a", "c" * 63)])
        with pytest.raises(UserError, match="is empty"):
            running.score([("a", "")])


def test_answers_that_merge_with_their_prompt_are_tokenised_apart_and_counted(smollm: Base) -> None:
    """ "Answ" and "er" are one word of the tokenizer's together; prompt and answer keep the tokens that each has alone."""
    with load_engine(smollm, settings_of()) as running:
        apart, together = running.score([("Answ", "er"), ("Answer:", " yes")])
        assert (running.usage["tokenised_apart"], running.usage["scored_answers"]) == (1, 2)
        assert (apart.tokens, together.tokens) == (1, 1)


def test_a_model_that_computes_no_numbers_is_named(tiny: Base) -> None:
    with load_engine(tiny, settings_of()) as running:
        torch.nn.init.constant_(running.model.get_output_embeddings().weight, math.nan)  # type: ignore[attr-defined]
        with pytest.raises(UserError, match="no likelihood for 1 of 1 answers: the model computes numbers that are none"):
            running.score([("a", "b")])


def test_spaces_stay_with_the_prompts_of_our_tasks(hf: Engine) -> None:
    lm = hf.lm()
    moved, kept = (Instance("loglikelihood", {}, (prompt, "ab"), 0) for prompt in ("Say it:\n", Prompt("Say it:\n")))
    found = [one.nats for one in hf.score([("Say it:", "\nab"), ("Say it:\n", "ab")])]
    assert [nats for nats, _ in lm.loglikelihood([moved, kept])] == pytest.approx(found)
    assert found[0] < found[1] - 0.1


@pytest.mark.slow
def test_smollm2_scores_as_a_plain_loop_does(smollm: Base) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(smollm.folder, dtype=torch.float32)
    expected = [nats / len(answer.encode()) for nats, (_, answer) in zip(loop(smollm, model, PAIRS), PAIRS, strict=True)]
    for backend in ("hf", "vllm"):
        settings = EngineSettings(backend=backend, dtype="float32", max_length=512, kv_cache_gib=1)
        with load_engine(smollm, settings) as running:
            found = [one.nats / len(answer.encode()) for one, (_, answer) in zip(running.score(PAIRS), PAIRS, strict=True)]
        assert found == pytest.approx(expected, abs=1e-4 * math.log(2)), f"{backend}, to 1e-4 bits for each byte"
