"""Rows as tokens and as steps: the boundary of the response, the budget, and the padding."""

from collections import Counter
from collections.abc import Sequence
from string import ascii_lowercase
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlift.harness.batches import Corpus, Encoded, encode, plan, split
from xlift.harness.config import TrainSettings
from xlift.harness.rows import Example, UserError, ask

CHATML = (
    "{% for m in messages %}{{ '[' + m['role'] + ']' + m['content'] + '<end>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}"
)


def build_tokenizer(template: str, merges: Sequence[tuple[str, str]] = ()) -> Any:
    """One token a character, and one for each merge."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    signs = [*ascii_lowercase, *"[] \n:", *(left + right for left, right in merges)]
    vocabulary = {sign: number for number, sign in enumerate(signs)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges))), eos_token="<end>")
    tokenizer.chat_template = template
    return tokenizer


def row(prompt: str, response: str, id: str = "r1") -> Example:
    return Example(messages=ask(prompt), response=response, lang="en", id=id, kind="test")


def shown(tokenizer: Any, encoded: Encoded) -> tuple[str, str]:
    signs = tokenizer.convert_ids_to_tokens(encoded.tokens)
    return "".join(signs[: encoded.prompt]), "".join(signs[encoded.prompt :])


def of_lengths(lengths: Sequence[int]) -> Corpus:
    return Corpus(tuple(Encoded(f"r{number}", (7,) * length, min(1, length - 1)) for number, length in enumerate(lengths)), 0, 0)


def test_loss_falls_on_the_response_and_the_end_of_its_turn() -> None:
    tokenizer = build_tokenizer(CHATML)
    (encoded,) = encode([row("hi", "yes")], tokenizer, 100).rows
    # [user]hi<end>\n[assistant] is 6 + 2 + 1 + 1 + 11 = 21 tokens; y, e, s, <end> carry loss, the newline after them is left out
    assert (encoded.prompt, len(encoded.tokens)) == (21, 25)
    assert shown(tokenizer, encoded) == ("[user]hi<end>\n[assistant]", "yes<end>")


def test_the_prompt_is_what_inference_sees_even_where_a_token_would_span_the_boundary() -> None:
    tokenizer = build_tokenizer(CHATML, merges=[("]", "y")])
    (encoded,) = encode([row("hi", "yes")], tokenizer, 100).rows
    asked = tokenizer.apply_chat_template(list(ask("hi")), add_generation_prompt=True)["input_ids"]
    assert list(encoded.tokens[: encoded.prompt]) == asked
    assert tokenizer.convert_ids_to_tokens(encoded.tokens[encoded.prompt :]) == ["y", "e", "s", "<end>"]


def test_a_turn_that_the_template_leaves_open_is_ended() -> None:
    turns = "{% for m in messages %}{{ m['role'] + ':' + m['content'] + '\n' }}{% endfor %}"
    tokenizer = build_tokenizer(turns + "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}")
    (encoded,) = encode([row("hi", "yes")], tokenizer, 100).rows
    assert shown(tokenizer, encoded) == ("user:hi\nassistant:", "yes\n<end>")


def test_long_rows_are_cut_or_dropped_and_counted() -> None:
    tokenizer = build_tokenizer(CHATML)
    corpus = encode([row("hi", "yes", "a"), row("hi", "yes" * 3, "b"), row("x" * 9, "yes", "c")], tokenizer, 25)
    # a has 25 tokens, b would have 31; the prompt of c has 19 + 9 = 28
    assert [(found.id, len(found.tokens)) for found in corpus.rows] == [("a", 25), ("b", 25)]
    assert (corpus.cut, corpus.dropped) == (1, 1)
    with pytest.raises(UserError, match="train.max_length 20: none of 1 rows"):
        encode([row("hi", "yes")], tokenizer, 20)


def test_templates_that_cannot_serve() -> None:
    with pytest.raises(UserError, match="row 'r1': .* refuses it: no system"):
        encode([row("hi", "yes")], build_tokenizer("{{ raise_exception('no system') }}"), 100)
    thinking = CHATML.replace("{{ '[assistant]' }}", "{{ '[assistant]think' }}")
    with pytest.raises(UserError, match="finished turn unlike an open one.*base.chat_template"):
        encode([row("hi", "yes")], build_tokenizer(thinking), 100)


def test_split_by_hand() -> None:
    # 100 x 3 holds 99 + 98 + 100 = 297 (1 % padding); 60 beside them would make 357 of 400 (11 %)
    assert split([0, 1, 2, 3, 4], [60, 99, 98, 58, 100], 1000) == ((4, 1, 2), (0, 3))
    # three rows of width 100 do not fit 250 tokens
    assert split([0, 1, 2, 3, 4], [60, 99, 98, 58, 100], 250) == ((4, 1), (2,), (0, 3))


def test_one_epoch_holds_every_row_once_and_the_budget_stops_at_the_first_step_that_reaches_it() -> None:
    corpus = of_lengths([10] * 20)
    # room for 9 rows of 10 in 95 % of 100 tokens
    course = plan(corpus, TrainSettings(batch_tokens=100, micro_batch_tokens=100), seed=0)
    assert course.tokens == (90, 180, 200) and course.epochs == 1
    assert plan(corpus, TrainSettings(batch_tokens=100, micro_batch_tokens=100, tokens=91), seed=0).tokens == (90, 180)
    assert plan(corpus, TrainSettings(batch_tokens=100, micro_batch_tokens=100, tokens=500), seed=0).tokens[-1] == 540
    assert plan(corpus, TrainSettings(batch_tokens=100, micro_batch_tokens=100, epochs=1.5), seed=0).tokens[-1] == 360


def test_a_row_longer_than_a_step_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="row 'r1' has 80 tokens, train.micro_batch_tokens is 64"):
        plan(of_lengths([10, 80]), TrainSettings(batch_tokens=128, micro_batch_tokens=64), seed=0)


WILD = st.lists(st.one_of(st.integers(2, 12), st.integers(2, 400), st.sampled_from([2, 399, 400])), min_size=1, max_size=120)


@settings(deadline=None)
@given(lengths=WILD, batch=st.integers(400, 3000), micro=st.integers(400, 3000), seed=st.integers(0, 3))
def test_wild_lengths(lengths: list[int], batch: int, micro: int, seed: int) -> None:
    chosen = TrainSettings(batch_tokens=batch, micro_batch_tokens=micro)
    course = plan(of_lengths(lengths), chosen, seed)
    assert Counter(number for step in course.steps for one in step for number in one) == Counter(range(len(lengths)))
    assert course.padding_share <= 0.05
    for step in course.steps:
        areas = [len(one) * max(lengths[number] for number in one) for one in step]
        assert max(areas) <= micro
        assert sum(areas) <= batch
    assert course == plan(of_lengths(lengths), chosen, seed)
    # the memory knob moves rows between forward passes, never between steps
    other = plan(of_lengths(lengths), chosen.model_copy(update={"micro_batch_tokens": 400}), seed)
    assert [sorted(sum(step, ())) for step in other.steps] == [sorted(sum(step, ())) for step in course.steps]


def test_epochs_and_seeds_are_shuffled_differently() -> None:
    corpus, chosen = of_lengths([10] * 50), TrainSettings(batch_tokens=106, epochs=2)  # ten rows a step
    order = [number for step in plan(corpus, chosen, 0).steps for one in step for number in one]
    assert sorted(order[:50]) == sorted(order[50:]) == list(range(50)) and order[:50] != order[50:]
    assert order != [number for step in plan(corpus, chosen, 1).steps for one in step for number in one]
