"""Engines on a tiny random model: the hf loop against transformers' own, swaps, sampling, and what lm-eval sees."""

import logging
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from quiz import take_quiz

from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.core import progress
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Answer, Chat, Sampling, ask
from xlift.harness.engines import load
from xlift.harness.engines.base import Engine, seeds
from xlift.harness.engines.load import load_engine
from xlift.harness.engines.thinking import cut
from xlift.harness.engines.weight_check import WrongWeightsError
from xlift.harness.models.adapters import merge, resolve
from xlift.harness.models.bases import Base, load_tokenizer
from xlift.harness.models.bases import resolve as resolve_base

CHATS = [ask("hi"), ask("Was kostet das?", system="Kurz."), ask("one two three four five six seven"), ask("x"), ask("日本")]
GREEDY = Sampling(max_tokens=24)


def settings_of(**changed: Any) -> EngineSettings:
    return EngineSettings(backend="hf", dtype="float32", **changed)


@pytest.fixture(scope="module")
def hf(tiny: Base) -> Iterator[Engine]:
    with load_engine(tiny, settings_of()) as running:
        yield running


@pytest.fixture(scope="module")
def adapter(tiny: Base, make_adapter: Callable[..., Path]) -> Any:
    return resolve(make_adapter(tiny, scale=0.5))


def tokens_of_transformers(base: Base, chats: list[Chat], max_tokens: int, ends: list[int]) -> list[list[int]]:
    """Greedy tokens by ``generate`` in one batch, each row up to its first end token."""
    from transformers import AutoModelForCausalLM

    turns = [list(chat) for chat in chats]
    batch = load_tokenizer(base).apply_chat_template(turns, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True)
    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    out = model.generate(**batch, max_new_tokens=max_tokens, do_sample=False, eos_token_id=ends)[:, batch["input_ids"].shape[1] :].tolist()
    return [row[: next((at + 1 for at, token in enumerate(row) if token in ends), max_tokens)] for row in out]


def texts(running: Engine, chats: list[Chat] = CHATS, sampling: Sampling = GREEDY) -> list[str]:
    return [answer.text for answer in running.generate(chats, sampling)]


def test_greedy_answers_equal_those_of_generate(tiny: Base) -> None:
    plain = tokens_of_transformers(tiny, CHATS, 48, [2])
    ends = [2, plain[0][4], plain[1][11], plain[2][20]]  # so that rows finish early, at different times
    expected = tokens_of_transformers(tiny, CHATS, 48, ends)
    assert len({len(row) for row in expected}) > 2
    with load_engine(tiny, settings_of()) as running:
        running.model.generation_config.eos_token_id = ends  # type: ignore[attr-defined]
        found = running.generate(CHATS, Sampling(max_tokens=48))
    decode = load_tokenizer(tiny).decode
    assert [answer.text for answer in found] == [decode(row, skip_special_tokens=True) for row in expected]
    assert [answer.tokens for answer in found] == [len(row) for row in expected]
    assert [answer.finished for answer in found] == [row[-1] in ends for row in expected]


def test_answers_do_not_depend_on_how_rows_are_batched(tiny: Base, hf: Engine) -> None:
    with load_engine(tiny, settings_of(batch_tokens=256)) as narrow:
        assert texts(narrow) == texts(hf)


def test_usage_counts_what_was_read_and_written(tiny: Base) -> None:
    with load_engine(tiny, settings_of()) as running:
        found = running.generate(CHATS[:1], GREEDY)
        prompt = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
        marks = 3  # each special token is one token, all else one token a byte
        length = len(prompt.replace("<|im_start|>", "").replace("<|im_end|>", "").encode()) + marks
        assert running.usage["requests"] == 1 and running.usage["prompt_tokens"] == length
        assert running.usage["generated_tokens"] == found[0].tokens


def test_a_long_prompt_loses_its_beginning_and_is_counted(tiny: Base) -> None:
    with load_engine(tiny, settings_of(max_length=64)) as running:
        long = "a" * 100 + "the end of it"
        whole = running.complete([long, "short"], [Sampling(max_tokens=24)] * 2)
        assert running.usage["truncated_prompts"] == 1
        assert whole[0] == running.complete([long[-40:]], [Sampling(max_tokens=24)])[0]
        with pytest.raises(UserError, match="engine.max_length is 64"):
            running.complete(["x"], [Sampling(max_tokens=64)])


def test_stop_strings_end_the_answer_and_are_cut_off(hf: Engine) -> None:
    whole = hf.generate(CHATS[:1], GREEDY)[0]
    stop = whole.text[3:5]
    at = whole.text.find(stop)
    stopped = hf.generate(CHATS[:1], Sampling(max_tokens=24, stop=("never there", stop)))[0]
    assert stopped.text == whole.text[:at] and stopped.finished and stopped.tokens < whole.tokens


def test_each_row_has_its_own_sampling(hf: Engine) -> None:
    prompts = [hf.render(chat) for chat in CHATS[:3]]  # type: ignore[attr-defined]
    mixed = [GREEDY, Sampling(max_tokens=5), Sampling(max_tokens=12, temperature=1.0, top_p=0.9)]
    found = hf.complete(prompts, mixed)
    assert found[0] == hf.generate(CHATS[:1], GREEDY)[0]
    assert found[1].tokens == 5 and not found[1].finished


def test_sampling_is_repeatable_and_differs_between_equal_prompts(hf: Engine) -> None:
    warm = Sampling(max_tokens=24, temperature=1.0, seed=3)
    first = texts(hf, [ask("hi")] * 4, warm)
    assert first == texts(hf, [ask("hi")] * 4, warm)
    assert len(set(first)) > 1
    assert first != texts(hf, [ask("hi")] * 4, Sampling(max_tokens=24, temperature=1.0, seed=4))


def test_a_repetition_penalty_changes_the_answer(hf: Engine) -> None:
    assert texts(hf) != texts(hf, sampling=Sampling(max_tokens=24, repetition_penalty=5.0))


@pytest.mark.parametrize("form", ["merged", "lora"])
def test_swapped_and_back(tiny: Base, adapter: Any, make_adapter: Callable[..., Path], tmp_path: Path, form: Any) -> None:
    second = resolve(make_adapter(tiny, seed=2, scale=0.5))
    with load_engine(tiny, settings_of(adapter_form=form)) as running:
        before = texts(running)
        described = running.describe()
        running.swap(adapter)
        swapped = texts(running)
        assert swapped != before and running.describe() == described
        running.swap(second)
        assert texts(running) not in (before, swapped)
        running.swap(adapter)
        assert texts(running) == swapped
        running.swap(None)
        assert texts(running) == before
    merge(adapter, tiny, "float32").save_pretrained(tmp_path)
    load_tokenizer(tiny).save_pretrained(tmp_path)
    with load_engine(resolve_base(BaseSettings(model=str(tmp_path))), settings_of()) as merged:
        assert texts(merged) == swapped


def test_a_refused_adapter_leaves_the_weights_alone(tiny: Base, hf: Engine, make_adapter: Callable[..., Path]) -> None:
    before = texts(hf)
    with pytest.raises(UserError, match="every lora_B is zero"):
        hf.swap(resolve(make_adapter(tiny, scale=0.0)))
    assert texts(hf) == before


def test_a_chat_that_ends_with_the_assistant_is_continued(hf: Engine) -> None:
    chat: Chat = (*ask("hi"), {"role": "assistant", "content": "Well"})
    assert hf.render(chat).endswith("<|im_start|>assistant\nWell")  # type: ignore[attr-defined]


def test_a_template_that_refuses_a_role(make_base: Callable[..., Path], tmp_path: Path) -> None:
    strict = tmp_path / "strict.jinja"
    strict.write_text("{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages[0].content }}")
    base = resolve_base(BaseSettings(model=str(make_base()), chat_template=strict))
    with load_engine(base, settings_of()) as running, pytest.raises(UserError, match="refuses the turns system, user: no system"):
        running.generate([ask("hi", system="be brief")], GREEDY)


def test_auto_says_once_why_it_is_not_vllm(tiny: Base, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(load, "version", missing)
    with pytest.raises(UserError, match="vllm is not installed"):
        load_engine(tiny, EngineSettings(backend="vllm"))
    with caplog.at_level(logging.WARNING), load_engine(tiny, EngineSettings(backend="auto", dtype="float32")) as running:
        assert running.backend == "hf"
    assert [record.message for record in caplog.records if "in place of vllm" in record.message] != []


def test_a_vllm_that_computes_wrongly_is_replaced_also_where_it_was_asked_for(
    tiny: Base, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def compute_wrongly(base: Base, settings: EngineSettings) -> None:
        raise WrongWeightsError("vllm computes wrongly with them")

    monkeypatch.setattr(load, "_load_vllm", compute_wrongly)
    with caplog.at_level(logging.WARNING), load_engine(tiny, EngineSettings(backend="vllm", dtype="float32")) as running:
        assert running.backend == running.describe()["backend"] == "hf"
    assert "engine: hf in place of vllm: vllm computes wrongly with them" in caplog.text


def test_auto_settles_the_number_format_before_anything_is_loaded(tiny: Base, adapter: Any) -> None:
    with load_engine(tiny, EngineSettings(backend="hf", dtype="auto")) as running:
        assert running.describe()["dtype"] in ("bfloat16", "float32")
        running.swap(adapter)


def test_a_served_model_needs_the_api_backend() -> None:
    with pytest.raises(UserError, match="set engine.backend: api"):
        load_engine(resolve_base(BaseSettings(model="api:some/model")), settings_of())


@given(st.text(alphabet="abc", max_size=12), st.lists(st.text(alphabet="abc", max_size=3), max_size=3))
def test_cut_leaves_no_stop_string(text: str, stop: list[str]) -> None:
    left = cut(text, stop)
    assert text.startswith(left)
    assert not any(word and word in left for word in stop)
    assert left == text or any(word and text[len(left) :].startswith(word) for word in stop)


def test_seeds_differ_by_request() -> None:
    assert len(set(seeds([GREEDY] * 100))) == 100


def instances(running: Engine, **kwargs: Any) -> list[Any]:
    from lm_eval.api.instance import Instance

    lm = running.lm()
    prompts = [lm.apply_chat_template([dict(message) for message in chat]) for chat in CHATS]
    return [Instance("generate_until", {}, (prompt, dict(kwargs)), index) for index, prompt in enumerate(prompts)]


def test_lm_eval_gets_the_engines_answers(hf: Engine) -> None:
    found = hf.lm().generate_until(instances(hf, until=[], max_gen_toks=24, do_sample=False))
    assert found == texts(hf)


def test_log_likelihoods_are_those_of_the_weights(hf: Engine, tiny: Base, adapter: Any) -> None:
    from lm_eval.api.instance import Instance
    from transformers import AutoModelForCausalLM

    # one token a byte: "ab" then "cd" is scored at the last two positions
    pair = Instance("loglikelihood", {}, ("ab", "cd"), 0)
    ids = torch.tensor([hf.tokenizer("abcd").input_ids])  # type: ignore[attr-defined]
    with torch.inference_mode():
        logs = AutoModelForCausalLM.from_pretrained(tiny.folder)(ids).logits[0].log_softmax(-1)
    expected = float(logs[1, ids[0, 2]] + logs[2, ids[0, 3]])
    assert hf.lm().loglikelihood([pair])[0][0] == pytest.approx(expected, abs=1e-4)
    hf.swap(adapter)
    assert hf.lm().loglikelihood([pair])[0][0] != pytest.approx(expected, abs=1e-2)
    hf.swap(None)
    assert hf.lm().loglikelihood([pair])[0][0] == pytest.approx(expected, abs=1e-4)
    rolling = hf.lm().loglikelihood_rolling([Instance("loglikelihood_rolling", {}, ("abcd",), 0)])
    assert rolling[0] < 0


def test_generation_kwargs_become_sampling() -> None:
    from xlift.harness.engines.lm_eval_model import to_sampling

    greedy = {"until": ["\n", ""], "max_gen_toks": 7, "do_sample": False, "temperature": 0.7}
    assert to_sampling(greedy) == Sampling(max_tokens=7, stop=("\n",))
    warm = {"until": "x", "do_sample": True, "temperature": 0.7, "top_p": 0.9}
    assert to_sampling(warm) == Sampling(temperature=0.7, top_p=0.9, stop=("x",))
    assert to_sampling({"max_new_tokens": 5, "num_beams": 1, "top_k": 0}) == Sampling(max_tokens=5)
    with pytest.raises(UserError, match="num_beams=4 is not supported"):
        to_sampling({"num_beams": 4})
    with pytest.raises(UserError, match="did you mean 'top_p'"):
        to_sampling({"top_pp": 0.5})


SHOUTED = [(text, text.upper()) for text in ("hi", "ho", "hey")]


def test_plain_lm_eval_runs_model_xlift(tiny: Base, adapter: Any, hf: Engine) -> None:
    arguments = {"base": str(tiny.folder), "adapter": str(adapter.folder), "backend": "hf", "dtype": "float32"}
    results = take_quiz(SHOUTED, "xlift", arguments)
    said = [sample["resps"][0][0] for sample in sorted(results["samples"]["quiz"], key=lambda sample: sample["doc_id"])]
    hf.swap(adapter)
    assert said == texts(hf, [ask("hi"), ask("ho"), ask("hey")], Sampling(max_tokens=8))
    assert [sample["resps"][0][0] for sample in take_quiz(SHOUTED, hf.lm())["samples"]["quiz"]] == said
    hf.swap(None)


def test_model_args_are_checked(tiny: Base) -> None:
    from xlift.harness.evaluation.lm_eval_entry import XliftLM

    with pytest.raises(UserError, match="unknown key 'bakcend'; did you mean 'backend'"):
        XliftLM(base=str(tiny.folder), bakcend="hf")
    with pytest.raises(UserError, match="no such folder"):
        XliftLM(base=str(tiny.folder), adapter="/none", backend="hf")


def test_an_answer_is_plain_data(hf: Engine) -> None:
    assert isinstance(hf.generate(CHATS[:1], GREEDY)[0], Answer)
    assert hf.generate([], GREEDY) == []


def test_long_scoring_says_how_far_it_is(hf: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "xlift")
    monkeypatch.setattr(progress.Lines, "are_due", lambda _: True)
    hf.score([("one", " two"), ("one", " three"), ("one", " two")])
    assert [line for line in caplog.messages if line.startswith("likelihoods")][-1] == "likelihoods: 2 of 2", "equal ones are computed once"
