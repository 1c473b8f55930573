"""Shared parts of recipes: prompts, two-go filling, translations, completions, filters."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from fakes import TEXT, FakeContext
from hypothesis import given
from hypothesis import strategies as st

from xlift.harness.plugin import (
    Answer,
    AnswerRule,
    Chat,
    Example,
    Pair,
    Prompt,
    RowFilter,
    Sampling,
    UserError,
    answer_prompts,
    ask,
    build_completions,
    build_constrained,
    build_revisions,
    build_translations,
    collect_wordings,
    fill,
    find_flaw,
    find_foreign,
    find_misalignment,
    find_pair_fault,
    index_by_english,
    measure_overlap,
    read_instructions,
    read_pairs,
    read_prompt_pairs,
    read_prompts,
    request_language,
    take,
    translate_prompts,
)
from xlift.harness.recipes.filters import find_mistranslation
from xlift.harness.recipes.translation import cut_text


class Rows(FakeContext):
    """Every corpus has the rows given, in every language, in this order."""

    def __init__(self, *rows: Mapping[str, Any]) -> None:
        super().__init__(("es",))
        self.rows = rows

    @property
    def rng(self) -> random.Random:
        still = random.Random(0)
        still.shuffle = lambda items: None  # type: ignore[method-assign]
        return still

    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        return self.rows


def instruction(number: int, text: str = "What?", output: str | None = "That.") -> dict[str, Any]:
    return {"id": str(number), "instruction": text, "output": output}


def test_prompts_are_read_once_each_and_what_is_left_out_is_counted() -> None:
    row_filter = RowFilter(20)
    rows = [instruction(0), instruction(0, "Again?"), instruction(1, ""), instruction(2, output=None), instruction(3, "x" * 30)]
    found = list(read_prompts(Rows(*rows), "en", row_filter, corpus="c", where="en/k", answered=True))
    assert found == [Prompt("0", "What?", "That.")]
    assert row_filter.drops == {"en/k: duplicate id": 1, "en/k: empty": 1, "en/k: no answer": 1, "en/k: too long": 1}
    unanswered = read_prompts(Rows(*rows), "en", RowFilter(20), corpus="c", where="en/k")
    assert [prompt.id for prompt in unanswered] == ["0", "2"]


def test_gsm8k_solutions_lose_their_marks() -> None:
    row = {
        "id": "7",
        "question": "How many?",
        "answer": "48/2 = <<48/2=24>>24 clips.\nSo $<<24+48=72>>72.\n#### 1,072",
        "final_answer": "1072",
    }
    [example] = read_instructions(Rows(row), "en", RowFilter(500), corpus="gsm8k", kind="k")
    assert example == Example(ask("How many?"), "48/2 = 24 clips.\nSo $72.\nThe answer is 1,072.", "en", "k-en-7", "k")


def test_a_corpus_without_prompts_is_refused() -> None:
    with pytest.raises(UserError, match="corpus: has no prompts"):
        list(read_prompts(Rows({"id": "0", "en": "a", "text": "b"}), "en", RowFilter(9), corpus="corpus", where="en/k"))


def test_a_question_about_a_text_comes_with_the_text_and_its_first_answer() -> None:
    asked = {"context": "Ana has a red kite.", "question": "Which colour?"}
    rows = Rows(
        {"id": "0", **asked, "answers": {"text": ["red", "a red one"], "answer_start": [10, 8]}},
        {"id": "1", **asked, "answer": "red"},
        {"id": "2", **asked, "answers": {"text": [], "answer_start": []}},
    )
    drops = RowFilter(200)
    found = list(read_prompts(rows, "en", drops, corpus="qa", where="en/k", answered=True))
    assert [(prompt.id, prompt.answer) for prompt in found] == [("0", "red"), ("1", "red")]
    assert found[0].question == "Ana has a red kite.\n\nQuestion: Which colour?\nAnswer with words of the text alone."
    assert sum(drops.drops.values()) == 1


def test_prompts_of_two_languages_are_joined_by_id() -> None:
    pairs = list(read_prompt_pairs(FakeContext(), "es", "en", RowFilter(500), corpus="gsm8k", where="en/k"))
    assert len(pairs) == 40
    assert all(pair.source == f"{TEXT['es']} {pair.id}?" and pair.target == f"{TEXT['en']} {pair.id}?" for pair in pairs)


def test_prompts_without_a_partner_are_counted_and_none_at_all_is_an_error() -> None:
    class Uneven(FakeContext):
        def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
            return super().read(corpus, lang)[: {"en": 10, "es": 40, "sw": 0}[lang]]

    row_filter = RowFilter(500)
    assert len(list(read_prompt_pairs(Uneven(), "es", "en", row_filter, corpus="gsm8k", where="en/k"))) == 10
    assert row_filter.drops == {"en/k: not in both languages": 30}
    with pytest.raises(UserError, match="gsm8k: 'es' and 'sw' share no prompt"):
        list(read_prompt_pairs(Uneven(), "es", "sw", RowFilter(500), corpus="gsm8k", where="en/k"))


@pytest.mark.parametrize(
    ("fit", "goes", "kept"),
    [
        (range(100), [12], 12),  # all are fit: one go of 10 x 1.2
        (range(0, 100, 2), [12, 10], 11),  # 6 of 12; 4 are lacking: 4 x 1.2 / 0.5 = 9.6
        (range(0, 100, 12), [12, 44], 5),  # 1 of 12, counted as a quarter: 9 x 1.2 / 0.25 = 43.2
        (range(50, 100), [12], 0),  # none: not asked again
    ],
)
def test_two_goes_at_most(fit: range, goes: list[int], kept: int) -> None:
    asked: list[int] = []

    def keep(batch: list[int]) -> list[int]:
        asked.append(len(batch))
        return [number for number in batch if number in fit]

    assert len(fill(iter(range(100)), 10, 1.2, keep)) == kept
    assert asked == goes


def test_take_wants_each_id_once_and_says_what_is_lacking() -> None:
    drops: Counter[str] = Counter()
    rows = [Pair("0", "a", "b"), Pair("0", "c", "d"), Pair("1", "e", "f")]
    assert [row.source for row in take(rows, 3, "es/k", drops)] == ["a", "e"]
    assert drops == {"es/k: duplicate id": 1, "es/k: corpus too small": 1}
    left = iter(rows)
    assert len(take(left, 1, "es/k", drops)) == 1
    assert len(list(left)) == 2, "no row is read that is not taken"
    with pytest.raises(UserError, match=r"es/k: there are no usable rows \(left out: empty 5, too long 2\); set its share to 0"):
        take([], 3, "es/k", Counter({"es/k: empty": 5, "es/k: too long": 2, "sw/k: empty": 9}))
    assert take([], 3, "es/k", drops, required=False) == []


class Model(FakeContext):
    """Says what it is told to, and knows Spanish by its accents."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("es",))
        self.answers = answers

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        return [self.answers[int(chat[-1]["content"])] for chat in chats]

    def identify(self, texts: Sequence[str]) -> list[str]:
        return ["es" if "á" in text else "zh" if "们" in text else "und" for text in texts]


ANSWERS = [Answer("good one", 2, True), Answer(" ", 1, True), Answer("cut o", 2, False), Answer("la " * 9, 9, True), Answer("más", 1, True),
           Answer("我们", 1, True), Answer(" ".join(map(str, range(40))), 9, True), Answer("unlike", 1, True)]  # fmt: skip


@pytest.mark.parametrize("use_gold", [False, True])
def test_bad_answers_are_dropped_or_replaced(use_gold: bool) -> None:
    row_filter = RowFilter(50)
    prompts = [Prompt(str(number), str(number), "good" if number != 3 else "") for number in range(len(ANSWERS))]
    rule = AnswerRule(9, gold_overlap=0.6, use_gold=use_gold)
    kept = answer_prompts(Model(*ANSWERS), iter(prompts), 8, rule, row_filter, where="en/k", spare=1)
    reasons = ["empty answer", "cut off", "wrong language", "wrong language", "too long", "unlike the published answer"]
    assert kept[0] == Prompt("0", "0", "good one")
    # F1 of "good one" and "good" is 2/3; "repetitive" has no published answer to fall back on.
    if use_gold:
        assert [prompt.answer for prompt in kept[1:]] == ["good"] * 6
        assert row_filter.drops == {"en/k: repetitive": 1}
        assert row_filter.notes["published answers used: wrong language"] == 2
    else:
        assert len(kept) == 1
        assert row_filter.drops == Counter(f"en/k: {reason}" for reason in [*reasons, "repetitive"])
    assert row_filter.notes["prompts asked"] == 8


def test_no_good_answer_at_all_is_an_error_with_the_reasons() -> None:
    prompts = [Prompt(str(number), "1", "") for number in range(4)]
    with pytest.raises(UserError, match=r"en/k: the model gave no answer that can be used \(left out: empty answer 4\)"):
        answer_prompts(Model(*ANSWERS), iter(prompts), 4, AnswerRule(9), RowFilter(50), where="en/k", spare=1)


class Translator(FakeContext):
    table = {"one": "uno", "two": None, "three": "", "Tom 4": "Tom 4", "he sat there again": "he sat there again", "a bird": "a" * 40}

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        self.translated += [(text, source, target) for text in texts]
        return [self.table[text] for text in texts]


def test_failed_translations_are_counted() -> None:
    row_filter = RowFilter(max_length_ratio=3)
    prompts = [Prompt(str(number), text) for number, text in enumerate(Translator.table)]
    context = Translator()
    found = translate_prompts(context, prompts, "es", 6, row_filter, where="es/k", spare=1, parts=["question"])
    # A name may stay as it is, a sentence may not; 40 letters for 6 are more than 3 x 6 + 10.
    assert [own for _, own in found] == [Prompt("0", "uno"), Prompt("3", "Tom 4")]
    assert row_filter.drops == {"es/k: no translation": 2, "es/k: not translated": 1, "es/k: length ratio": 1}
    assert len(found) + row_filter.drops.total() == len(context.translated) == 6


def test_no_translation_at_all_is_an_error_with_the_reasons() -> None:
    with pytest.raises(UserError, match=r"es/k: no translation from 'en' to 'es' can be used \(left out: no translation 1\)"):
        translate_prompts(Translator(), [Prompt("0", "two")], "es", 1, RowFilter(), where="es/k", spare=1, parts=["question"])


def test_a_wrong_language_is_one_of_the_run_or_of_another_script() -> None:
    context = FakeContext(("es", "zh"))
    for lang, found, foreign in [
        ("es", "es", False), ("es", "en", True), ("es", "pt", False), ("es", "ru", True), ("es", "und", False), ("es", "zh", True),
        ("zh", "zh-Hant", False), ("zh", "ja", True), ("en", "es", True),
    ]:  # fmt: skip
        context.identify = lambda texts, found=found: [found]  # type: ignore[method-assign]
        assert find_foreign(context, ["text"], lang) == [foreign], (lang, found)


def test_directions_take_turns() -> None:
    pairs = [Pair(str(number), f"one {number}", f"uno {number}") for number in range(40)]
    rows = list(build_translations(pairs, "en", "es", RowFilter(99, 3), kind="k", direction="both"))
    assert [row.response for row in rows[:4]] == ["uno 0", "one 1", "uno 2", "one 3"]
    assert [row.lang for row in rows[:2]] == ["es", "en"]
    for lang in ("es", "en"):
        shapes = {row.messages[0]["content"].replace(number, "") for row in rows for number in [row.id.rsplit("-")[-1]] if row.lang == lang}
        assert len(shapes) == 10, "both directions meet every wording"
    assert {row.lang for row in build_translations(pairs, "en", "es", RowFilter(99, 3), kind="k", direction="to_pivot")} == {"en"}


def test_pairs_between_two_languages_beside_english() -> None:
    known = index_by_english(FakeContext(), "parallel", "es")
    pairs = list(read_pairs(FakeContext(), "parallel", "es", "sw", known))
    assert pairs == list(read_pairs(FakeContext(), "parallel", "es", "sw"))
    assert len(pairs) == 40
    assert pairs[0].source.split()[-1] == pairs[0].target.split()[-1]
    with pytest.raises(UserError, match="share no English sentence"):
        list(read_pairs(FakeContext(), "parallel", "es", "sw", {}))


@given(st.text(), st.sampled_from(["es", "zh", "th", "ja"]), st.integers(0, 9))
def test_a_cut_loses_nothing_but_spaces(text: str, lang: str, seed: int) -> None:
    if halves := cut_text(text, lang, random.Random(seed)):
        assert all(half == half.strip() for half in halves)
        assert "".join("".join(halves).split()) == "".join(text.split())


def test_a_text_is_cut_between_words_in_its_middle() -> None:
    heads = {(cut_text("one two three four five six seven eight nine ten", "es", random.Random(seed)) or ("", ""))[0] for seed in range(50)}
    assert {len(head.split()) for head in heads} == {3, 4, 5, 6, 7}
    assert cut_text("one two three four five", "es", random.Random(0)) is None
    assert cut_text("小鸟每天早上在花园里唱", "zh", random.Random(0)) is None
    head, tail = cut_text("小鸟每天早上在花园里唱歌", "zh", random.Random(0)) or ("", "")
    assert head + tail == "小鸟每天早上在花园里唱歌"
    assert 4 <= len(head) <= 8


def test_completions_ask_for_the_rest() -> None:
    row_filter = RowFilter(500)
    pairs = [Pair("0", "-", "too short"), Pair("1", "-", TEXT["es"])]
    [row] = build_completions(pairs, "es", row_filter, random.Random(0), kind="k")
    asked = row.messages[0]["content"]
    assert "Spanish" in asked
    assert TEXT["es"].endswith(row.response)
    assert asked.endswith(TEXT["es"].removesuffix(row.response).strip())
    assert row_filter.drops == {"es/k: too short to be cut": 1}


def test_a_constraint_is_met_by_the_reference() -> None:
    pairs = [Pair("0", "The garden here", "Aquí el jardín"), Pair("1", "No word", "Nada")]
    row_filter = RowFilter(99, 3)
    [row] = build_constrained(pairs, "en", "es", {"garden": ("jardín",)}, row_filter, kind="k", direction="from_pivot")
    assert "use “jardín” for “garden”" in row.messages[0]["content"]
    assert row.response == "Aquí el jardín"
    assert row_filter.notes == {"es/k: no known word pair": 1}


def test_a_revision_brings_a_word_that_the_draft_lacks() -> None:
    pairs = [
        Pair("0", "Good day to you", "tenga usted buen día"),
        Pair("1", "One", "uno"),
        Pair("2", "Good day", "Buenos días"),
        Pair("3", "Good day", "Hola amigo"),
    ]
    row_filter = RowFilter(99, 3)
    wordings = collect_wordings(pairs, "en", "es")
    rows = list(build_revisions(pairs, "en", "es", wordings, row_filter, random.Random(0), kind="k", direction="from_pivot"))
    assert [row.id for row in rows] == ["k-en-es-2", "k-en-es-3", "k-en-es-0"], "second wordings first"
    for row in rows:
        draft, word = row.messages[1]["content"], row.messages[2]["content"].split("“")[1].split("”")[0]
        assert [message["role"] for message in row.messages] == ["user", "assistant", "user"]
        assert word in row.response.split()
        assert word not in draft.split()
    assert rows[0].messages[1]["content"] == "Hola amigo"
    assert len(rows[2].messages[1]["content"].split()) == 3, "one word of four is left out"
    assert row_filter.notes == {"es/k: no word to ask for": 1}


def test_calls_of_xlift_0_1_still_count_into_their_counter() -> None:
    drops: Counter[str] = Counter()
    rows = [instruction(0), instruction(1, "x" * 30)]
    with pytest.warns(DeprecationWarning, match="read_instructions takes a RowFilter since xlift 0.2"):
        found = read_instructions(Rows(*rows), "en", drops, corpus="c", kind="k", max_characters=20)  # type: ignore
    assert [row.response for row in found] == ["That."]
    assert drops == {"en/k: too long": 1}
    pairs = [Pair("0", "a bird", "un pájaro"), Pair("1", "a bird", "b" * 40)]
    with pytest.warns(DeprecationWarning, match="build_translations"):
        made = build_translations(pairs, "en", "es", drops, kind="k", max_characters=99, max_length_ratio=3)  # type: ignore
    assert [row.response for row in made] == ["un pájaro"]
    assert drops == {"en/k: too long": 1, "es/k: length ratio": 1}
    with pytest.warns(DeprecationWarning, match="find_pair_fault is a part of RowFilter"):
        assert [find_pair_fault(pair, 99, 3) for pair in pairs] == [None, "length ratio"]


def test_length_ratios_weigh_scripts() -> None:
    # 60 letters against 12 Chinese characters, which count as 36; against 12 letters they are more than 3 x 12 + 10.
    assert find_misalignment("a" * 60, "我" * 12, 3) is None
    assert find_misalignment("a" * 60, "b" * 12, 3) == "length ratio"
    assert find_mistranslation("42", "42", 3) is None
    assert find_mistranslation("text", " ", 3) == "no translation"


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [("The cat sat", "the CAT!", 0.8), ("a a b", "a", 0.5), ("x", "y", 0), ("", "", 0), ("我们的家", "我们", 2 / 3), ("b a", "a b", 1)],
)
def test_overlap(one: str, other: str, overlap: float) -> None:
    assert measure_overlap(one, other) == pytest.approx(overlap)


def test_flaws_and_requests() -> None:
    assert [find_flaw(answer) for answer in ANSWERS[:4]] == [None, "empty answer", "cut off", "repetitive"]
    assert request_language(0, "Why?", "es") == "Why?\n\nAnswer in Spanish."
