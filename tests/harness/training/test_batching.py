"""Rows as tokens and as steps: the boundary of the response, the budget, and the padding."""

from collections import Counter
from collections.abc import Sequence
from string import ascii_lowercase
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thinking import ASKED, EMPTY, THINKING

from xlift.harness.config.suite import TrainSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Example, Parallel, Preference, ask
from xlift.harness.models.bases import Base, load_tokenizer
from xlift.harness.models.thinking import set_options
from xlift.harness.recipes.contract import Align, Term
from xlift.harness.training.batching import Corpus, Course, Encoded, arrange, deal, encode, plan, split

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


def pair(prompt: str, chosen: str, rejected: str, id: str = "p1") -> Preference:
    return Preference(messages=ask(prompt), chosen=chosen, rejected=rejected, lang="en", id=id, kind="test")


def shown(tokenizer: Any, encoded: Encoded) -> tuple[str, str]:
    signs = tokenizer.convert_ids_to_tokens(encoded.tokens)
    return "".join(signs[: encoded.prompt]), "".join(signs[encoded.prompt :])


def of_lengths(lengths: Sequence[int], sides: int = 1, kinds: str = "") -> Corpus:
    """Sequences of one prompt token each; ``kinds`` names the kind of each row by a letter."""
    found = enumerate(lengths)
    sequences = tuple(Encoded(f"r{n}", (kinds or "k" * len(lengths))[n // sides], (7,) * size, 1) for n, size in found)
    return Corpus(sequences, 0, 0, (sides,) * (len(lengths) // sides))


def rows_of(course: Course) -> list[list[int]]:
    """The rows of each step, in order of their numbers."""
    corpus = course.corpus
    firsts = {corpus.starts[row]: row for row in range(corpus.rows)}
    return [sorted(firsts[number] for one in step for batch in one for number in batch if number in firsts) for step in course.steps]


def test_loss_falls_on_the_response_and_the_end_of_its_turn() -> None:
    tokenizer = build_tokenizer(CHATML)
    (encoded,) = encode([row("hi", "yes")], tokenizer, 100).sequences
    # [user]hi<end>\n[assistant] is 6 + 2 + 1 + 1 + 11 = 21 tokens; y, e, s, <end> carry loss, the newline after them is left out
    assert (encoded.prompt, len(encoded.tokens)) == (21, 25)
    assert shown(tokenizer, encoded) == ("[user]hi<end>\n[assistant]", "yes<end>")


def test_the_prompt_is_what_inference_sees_even_where_a_token_would_span_the_boundary() -> None:
    tokenizer = build_tokenizer(CHATML, merges=[("]", "y")])
    (encoded,) = encode([row("hi", "yes")], tokenizer, 100).sequences
    asked = tokenizer.apply_chat_template(list(ask("hi")), add_generation_prompt=True)["input_ids"]
    assert list(encoded.tokens[: encoded.prompt]) == asked
    assert tokenizer.convert_ids_to_tokens(encoded.tokens[encoded.prompt :]) == ["y", "e", "s", "<end>"]


def test_a_turn_that_the_template_leaves_open_is_ended() -> None:
    turns = "{% for m in messages %}{{ m['role'] + ':' + m['content'] + '\n' }}{% endfor %}"
    tokenizer = build_tokenizer(turns + "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}")
    (encoded,) = encode([row("hi", "yes")], tokenizer, 100).sequences
    assert shown(tokenizer, encoded) == ("user:hi\nassistant:", "yes\n<end>")


def test_an_empty_block_of_thinking_is_no_part_of_the_response(tiny: Base) -> None:
    """A model that is asked to think must not learn that it does not; one that is not, is asked with the block."""
    tokenizer = load_tokenizer(tiny)
    tokenizer.chat_template = THINKING
    (on,) = encode([row("hi", "yes")], tokenizer, 200).sequences
    assert tokenizer.decode(on.tokens[: on.prompt]) == ASKED + EMPTY
    assert tokenizer.decode(on.tokens[on.prompt :]) == "yes<|im_end|>"
    tokenizer.chat_template = set_options(THINKING, {"enable_thinking": False})
    (off,) = encode([row("hi", "yes")], tokenizer, 200).sequences
    assert off == on
    asked = tokenizer.apply_chat_template(list(ask("hi")), add_generation_prompt=True)["input_ids"]
    assert list(off.tokens[: off.prompt]) == asked


def test_long_rows_are_cut_or_dropped_and_counted() -> None:
    tokenizer = build_tokenizer(CHATML)
    corpus = encode([row("hi", "yes", "a"), row("hi", "yes" * 3, "b"), row("x" * 9, "yes", "c")], tokenizer, 25)
    # a has 25 tokens, b would have 31; the prompt of c has 19 + 9 = 28
    assert [(found.id, len(found.tokens)) for found in corpus.sequences] == [("a", 25), ("b", 25)]
    assert (corpus.cut, corpus.dropped) == (1, 1)
    with pytest.raises(UserError, match="train.max_length 20: none of 1 rows"):
        encode([row("hi", "yes")], tokenizer, 20)


def test_a_pair_is_two_sequences_with_one_prompt() -> None:
    tokenizer = build_tokenizer(CHATML)
    corpus = encode([pair("hi", "yes", "no"), pair("hi", "a", "")], tokenizer, 100)
    assert [shown(tokenizer, found)[1] for found in corpus.sequences] == ["yes<end>", "no<end>", "a<end>", "<end>"]
    assert {found.prompt for found in corpus.sequences} == {21}
    assert (corpus.rows, corpus.sides, corpus.sizes) == (2, (2, 2), (25 + 24, 23 + 22))


def test_pairs_are_cut_or_dropped_and_counted() -> None:
    tokenizer = build_tokenizer(CHATML)
    pairs = [
        pair("hi", "yes", "no", "whole"),
        pair("hi", "yes", "noooooo", "cut"),
        pair("hi", "yesyes", "yesyesno", "equal once cut"),
        pair("x" * 9, "yes", "no", "long prompt"),
    ]
    corpus = encode(pairs, tokenizer, 25)
    assert [(found.id, len(found.tokens)) for found in corpus.sequences] == [("whole", 25), ("whole", 24), ("cut", 25), ("cut", 25)]
    assert (corpus.rows, corpus.cut, corpus.dropped) == (2, 1, 2)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([pair("hi", "yes", "yes")], "row 'p1': the chosen and the rejected answer are the same"),
        ([pair("hi", " ", "no")], "row 'p1': the chosen answer is empty"),
        ([pair("hi", "yes", "yesno")], "train.max_length 24: none of 1 rows .*, or leave no room for a difference"),
        ([], "there are no rows to train on"),
    ],
)
def test_pairs_without_a_preference(rows: list[Preference], message: str) -> None:
    with pytest.raises(UserError, match=message):
        encode(rows, build_tokenizer(CHATML), 24)


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


def test_pairs_lie_in_one_pass_but_each_side_with_its_like() -> None:
    # pairs of 100 + 40, 98 + 39 and 60 + 58 tokens; sequences 0 to 5
    corpus = of_lengths([100, 40, 98, 39, 60, 58], sides=2)
    # 2 x 100 + 2 x 40 = 280 tokens leave no room for 2 x 60 below 300
    assert arrange([2, 1, 0], corpus, 300) == (((0, 2), (1, 3)), ((4, 5),))
    assert arrange([2, 1, 0], corpus, 400) == (((0, 2), (4, 5), (1, 3)),)
    assert arrange([2, 1, 0], corpus, 140) == (((0,), (1,)), ((2,), (3,)), ((4, 5),))
    course = plan(corpus, TrainSettings(batch_tokens=512), seed=0)
    # 395 tokens in 2 x 100 + 2 x 60 + 2 x 40 = 400 places
    assert (course.rows, course.tokens, course.response_tokens) == ((3,), (395,), 389)
    assert course.padding_share == pytest.approx(5 / 400)


def test_the_budget_over_the_tokens_of_a_step_is_the_number_of_steps() -> None:
    corpus = of_lengths([10] * 20)
    chosen = {"batch_tokens": 100, "micro_batch_tokens": 100}
    course = plan(corpus, TrainSettings(**chosen), seed=0)
    assert course.tokens == (100, 200) and course.epochs == 1 and sorted(sum(rows_of(course), [])) == list(range(20))
    # 91 tokens are one step of 10 rows of 10; 260 are 3 steps, which end at 86.7, 173.3 and 260 tokens or the row after
    assert plan(corpus, TrainSettings(**chosen, tokens=91), seed=0).tokens == (100,)
    assert plan(corpus, TrainSettings(**chosen, tokens=260), seed=0).tokens == (90, 180, 260)
    assert plan(corpus, TrainSettings(**chosen, tokens=501), seed=0).tokens == (110, 210, 310, 410, 510)
    assert plan(corpus, TrainSettings(**chosen, epochs=1.5), seed=0).tokens == (100, 200, 300)


def test_equal_budgets_are_equal_steps_and_tokens_whatever_the_rows() -> None:
    chosen = TrainSettings(tokens=40_000, batch_tokens=1000)
    short, long = of_lengths([11, 9, 13] * 30), of_lengths([170, 300, 230] * 30)
    pairs = of_lengths([100, 40, 210, 190, 60, 150] * 30, sides=2)
    courses = [plan(corpus, chosen, seed=0) for corpus in (short, long, pairs)]
    assert [len(course.steps) for course in courses] == [40, 40, 40]
    for course, longest in zip(courses, (13, 300, 400), strict=True):
        assert all(0 <= tokens - 1000 * step < longest for step, tokens in enumerate(course.tokens, 1))


def test_phases_follow_each_other_and_share_budget_and_steps_by_their_tokens() -> None:
    # 30 rows of 10 (kind a), 10 of 40 (b), 10 of 30 (c): 300, 400 and 300 tokens
    corpus = of_lengths([10] * 30 + [40] * 10 + [30] * 10, kinds="a" * 30 + "b" * 10 + "c" * 10)
    chosen = {"batch_tokens": 100, "micro_batch_tokens": 100}
    course = plan(corpus, TrainSettings(**chosen), 0, [["c"], ["b", "a"]])
    rows = rows_of(course)
    assert len(rows) == 10 and sorted(sum(rows[:3], [])) == list(range(40, 50)) and sorted(sum(rows[3:], [])) == list(range(40))
    # c ends its steps at 100, 200 and 300 tokens or the row of 30 after
    assert course.tokens[:3] == (120, 210, 300) and course.tokens[-1] == 1000
    twice = plan(corpus, TrainSettings(**chosen, tokens=2000), 0, [["c"], ["b", "a"]])
    assert twice.tokens[5] == 600 and twice.tokens[-1] == 2000 and len(twice.steps) == 20
    # three phases get a step each, be the budget ever so small: c a row of 30, b one of 40, and 91 tokens end with three rows of a
    assert plan(corpus, TrainSettings(**chosen, tokens=91), 0, [["c"], ["b"], ["a"]]).tokens == (30, 70, 100)


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([["a"]], "rows of kind 'b' are in no phase; known: a"),
        ([["a"], ["b", "d"]], "no rows of kind 'd' to train on; .*known: a, b"),
        ([["a"], ["b", "a"]], "name each kind of rows once"),
        ([["a", "b"], []], "at least one in each phase"),
    ],
)
def test_phases_that_are_not_those_of_the_rows(phases: list[list[str]], message: str) -> None:
    with pytest.raises(UserError, match=f"phases.*{message}"):
        plan(of_lengths([10] * 4, kinds="aabb"), TrainSettings(), 0, phases)


def test_a_row_longer_than_a_step_is_refused_by_name() -> None:
    chosen = TrainSettings(batch_tokens=128, micro_batch_tokens=64)
    with pytest.raises(UserError, match="row 'r1' has 80 tokens, train.micro_batch_tokens is 64"):
        plan(of_lengths([10, 80]), chosen, seed=0)
    with pytest.raises(UserError, match="row 'r0' has 90 tokens on its two sides, train.micro_batch_tokens is 64"):
        plan(of_lengths([10, 80], sides=2), chosen, seed=0)


def of_texts(sizes: Sequence[Sequence[int]]) -> Corpus:
    """A row for each list: parallel texts of these lengths, or of one length an example."""
    langs = ("en", "es", "sw")
    sequences = [
        Encoded(f"r{row}", "k", (7,) * size, size if len(sides) > 1 else 1, langs[side] if len(sides) > 1 else "")
        for row, sides in enumerate(sizes)
        for side, size in enumerate(sides)
    ]
    return Corpus(tuple(sequences), 0, 0, tuple(map(len, sizes)))


def test_parallel_rows_are_contrasted_in_groups_as_equal_as_can_be() -> None:
    corpus = of_texts([[10, 10]] * 5)
    # five rows in groups of at most two would leave one alone, so there are two groups: of two and of three
    assert arrange(range(5), corpus, 1000, 2) == (((0, 1, 2, 3),), ((4, 5, 6, 7, 8, 9),))
    assert arrange(range(5), corpus, 1000, 5) == (((0, 1, 2, 3, 4, 5, 6, 7, 8, 9),),)
    assert arrange([0], corpus, 1000, 5) == (((0, 1),),)
    with pytest.raises(UserError, match="5 rows whose texts are contrasted take 100 tokens, train.micro_batch_tokens is 99: raise it, or"):
        arrange(range(5), corpus, 99, 5)


def test_rows_of_two_sorts_share_every_step_or_take_turns() -> None:
    # 10 examples of 30 tokens and 10 parallel rows of 10 + 10 (one of three languages, 10 more): 300 and 210 tokens
    corpus = of_texts([[30]] * 10 + [[10, 10]] * 9 + [[10, 10, 10]])
    assert corpus.sizes[-2:] == (20, 30) and corpus.row_of[-5:] == (18, 18, 19, 19, 19) and corpus.members(19) == range(28, 31)
    chosen, halves = (TrainSettings(tokens=510, batch_tokens=size, micro_batch_tokens=400) for size in (102, 255))
    terms = (Term("contrastive", (1,)),)
    together = rows_of(plan(corpus, halves, 0, (), Align(terms, batch=8)))
    # 300 and 210 tokens in two steps: five examples in each, and parallel rows up to 105 tokens or the end of a row
    assert [sum(row < 10 for row in rows) for rows in together] == [5, 5]
    assert [sum(row >= 10 for row in rows) for rows in together] in ([6, 4], [5, 5])
    turns = plan(corpus, chosen, 0, (), Align(terms, batch=8, alternate=True))
    assert [{row < 10 for row in rows} for rows in rows_of(turns)] == [{True}, {False}, {True}, {False}, {True}]
    # three of five steps and 306 tokens to the examples, which are 11 of 30; two and 204 to the others, to the end of a row
    assert 330 + 204 <= turns.tokens[-1] < 330 + 204 + 30 and turns.ends == (5,) and turns.response_tokens == 11 * 29
    assert plan(corpus, halves, 0, (), Align(terms)) == plan(corpus, halves, 0, (), Align(terms))
    with pytest.raises(UserError, match="phases: parallel rows and examples are in every step together, or take turns; leave phases out"):
        plan(corpus, chosen, 0, (["k"],), Align(terms))


def test_a_text_has_nothing_to_be_contrasted_with_alone_in_its_step() -> None:
    chosen = TrainSettings(batch_tokens=64, micro_batch_tokens=400)
    with pytest.raises(UserError, match="train.batch_tokens 64: a step holds a single parallel row"):
        plan(of_texts([[30, 30]] * 4), chosen, 0, (), Align((Term("contrastive", (1,)),)))
    assert plan(of_texts([[30, 30]] * 4), chosen, 0, (), Align((Term("mse", (1,)),))).rows == (1, 1, 1, 1)


def test_parallel_texts_are_tokens_without_a_response() -> None:
    tokenizer = build_tokenizer(CHATML)
    rows = [
        Parallel({"es": "si", "en": "yes"}, "en", "a", "test"),
        Parallel({"en": ask("hi"), "es": ask("hola")}, "en", "b", "test"),
        Parallel({"en": "yes" * 9, "es": "si"}, "en", "long", "test"),
    ]
    corpus = encode(rows, tokenizer, 25)
    # the anchor comes first; <end> begins a text where no token is there for it; a chat ends where its answer begins
    assert [(one.lang, shown(tokenizer, one)) for one in corpus.sequences] == [
        ("en", ("<end>yes", "")), ("es", ("<end>si", "")),
        ("en", ("[user]hi<end>\n[assistant]", "")), ("es", ("[user]hola<end>\n[assistant]", "")),
    ]  # fmt: skip
    assert (corpus.rows, corpus.dropped, corpus.cut) == (2, 1, 0)


WILD = st.lists(st.one_of(st.integers(2, 12), st.integers(2, 400), st.sampled_from([2, 399, 400])), min_size=1, max_size=120)


@settings(deadline=None)
@given(lengths=WILD, pairs=st.booleans(), batch=st.integers(800, 3000), micro=st.integers(800, 3000), seed=st.integers(0, 3))
def test_wild_lengths(lengths: list[int], pairs: bool, batch: int, micro: int, seed: int) -> None:
    chosen = TrainSettings(batch_tokens=batch, micro_batch_tokens=micro)
    corpus = of_lengths(lengths * (1 + pairs), 1 + pairs)
    course = plan(corpus, chosen, seed)
    assert Counter(number for step in course.steps for one in step for batch in one for number in batch) == Counter(
        range(len(corpus.lengths))
    )
    assert len(course.steps) == max(1, round(sum(corpus.lengths) / batch)) and min(course.rows) > 0
    assert course.padding_share <= 0.05
    for one in (one for step in course.steps for one in step):
        assert sum(len(batch) * max(corpus.lengths[number] for number in batch) for batch in one) <= micro
        members = sorted(number for batch in one for number in batch)
        assert not pairs or [number // 2 for number in members[::2]] == [number // 2 for number in members[1::2]]
    assert course == plan(corpus, chosen, seed)
    # the memory knob moves rows between forward passes, never between steps
    assert rows_of(plan(corpus, chosen.model_copy(update={"micro_batch_tokens": 800}), seed)) == rows_of(course)


@settings(deadline=None)
@given(
    lengths=WILD,
    tokens=st.integers(1, 60_000),
    batch=st.integers(400, 3000),
    kinds=st.lists(st.sampled_from("ab"), min_size=120, max_size=120),
)
def test_wild_budgets(lengths: list[int], tokens: int, batch: int, kinds: list[str]) -> None:
    chosen = TrainSettings(tokens=tokens, batch_tokens=batch)
    course = plan(of_lengths(lengths), chosen, 0)
    assert len(course.steps) == max(1, round(tokens / batch)) and min(course.rows) > 0
    assert 0 <= course.tokens[-1] - tokens < max(lengths)
    named = kinds[: len(lengths)]
    if len(set(named)) == 2:
        phased = plan(of_lengths(lengths, kinds=named), chosen, 0, [["a"], ["b"]])
        found = [{named[row] for row in rows} for rows in rows_of(phased)]
        assert len(found) == max(2, round(tokens / batch))
        assert found == sorted(found, key=min) and all(len(step) == 1 for step in found) and min(phased.rows) > 0


def test_epochs_and_seeds_are_shuffled_differently() -> None:
    corpus, chosen = of_lengths([10] * 50), TrainSettings(batch_tokens=100, epochs=2)  # ten rows a step
    order = sum(rows_of(plan(corpus, chosen, 0)), [])
    assert sorted(order[:50]) == sorted(order[50:]) == list(range(50)) and order[:50] != order[50:]
    assert order != sum(rows_of(plan(corpus, chosen, 1)), [])


def test_passes_are_dealt_to_processes_and_the_largest_is_halved_until_all_have_one() -> None:
    corpus = of_lengths([4, 4, 4, 4, 4, 3])
    assert deal((((0, 1, 2, 3),), ((4, 5),)), corpus, 2) == [(((0, 1, 2, 3),),), (((4, 5),),)]
    assert deal((((0, 1, 2, 3),), ((4, 5),)), corpus, 3) == [(((0, 1),),), (((2, 3),),), (((4, 5),),)]
    assert deal((((0,),), ((1,),), ((2,),)), corpus, 2) == [(((0,),), ((2,),)), (((1,),),)]
    with pytest.raises(UserError, match="^train.processes 3: a step holds fewer rows; raise train.batch_tokens"):
        deal((((0, 1),),), corpus, 3)


def test_a_pair_stays_in_one_process() -> None:
    corpus = of_lengths([9, 9, 5, 5, 9, 9], sides=2)
    assert deal((((0, 1, 4, 5), (2, 3)),), corpus, 2) == [(((0, 1),),), (((4, 5), (2, 3)),)]
