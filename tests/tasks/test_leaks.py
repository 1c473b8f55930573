"""The leak guard: what counts as the same text, and as an overlap."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlift.tasks.leaks import Guard, normalise

SENTENCE = "the quick brown fox jumps over the lazy dog while thirteen small birds sing"  # 14 words
CHINESE = "科学家说这种装置可以让低收入国家的病人更早发现癌症和其他疾病"  # 30 characters
THAI = "นักวิทยาศาสตร์กล่าวว่าอุปกรณ์นี้อาจช่วยให้ผู้ป่วยในประเทศรายได้ต่ำตรวจพบมะเร็งได้เร็วขึ้น"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("  Hello,\tWORLD!\n", "hello world"),
        ("Straße", "strasse"),
        ("ＦＵＬＬ　ｗｉｄｔｈ １８", "full width 18"),
        ("co\u00adoperate\u200b", "cooperate"),
        ("«¿Qué?» — dijo", "qué dijo"),
        ("cafe\u0301", "caf\u00e9"),
        ("हिन्दी, भाषा।", "हिन्दी भाषा"),
        ("3 + 5 = 8", "3 5 8"),
        ("!?…", ""),
    ],
)
def test_normalise(text: str, plain: str) -> None:
    assert normalise(text) == plain


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.text())
def test_normalised_text_has_single_inner_spaces(text: str) -> None:
    assert normalise(text) == " ".join(normalise(text).split())


@given(st.lists(st.sampled_from(SENTENCE.split()), min_size=1), st.sampled_from([" ", ", ", " - ", "\n", "... "]))
def test_case_and_punctuation_do_not_hide_an_item(words: list[str], mark: str) -> None:
    assert Guard([" ".join(words)]).find_leaks([mark.join(words).upper() + mark]) == [True]


@given(st.text(alphabet=string.ascii_lowercase + " "), st.text(alphabet=string.ascii_lowercase + " "))
def test_an_item_is_found_inside_a_longer_text(before: str, after: str) -> None:
    assert Guard([SENTENCE]).find_leaks([f"{before} {SENTENCE} {after}"]) == [True]


def test_thirteen_words_in_common_overlap_and_twelve_do_not() -> None:
    words = SENTENCE.split()
    guard = Guard([SENTENCE])
    assert guard.find_leaks(["so " + " ".join(words[1:14]) + " today", "so " + " ".join(words[1:13]) + " today"]) == [True, False]


@pytest.mark.parametrize(("item", "length"), [(CHINESE, 26), (THAI, 52)])
def test_unspaced_scripts_are_compared_by_characters(item: str, length: int) -> None:
    guard = Guard([item])
    assert guard.find_leaks([f"A: {item[2 : 2 + length]}", f"A: {item[2 : 1 + length]}"]) == [True, False]
    spaced = "、 ".join(item[start : start + 5] for start in range(0, len(item), 5))
    assert guard.find_leaks([f"Translate into English: {spaced} Thank you."]) == [True]


def test_a_short_item_leaks_only_as_a_whole() -> None:
    guard = Guard(["What is gremolata?"])
    assert guard.find_leaks(["what is GREMOLATA", "What is gremolata made of?", "Answer briefly: What is gremolata?"]) == [
        True,
        False,
        False,
    ]


def test_a_row_leaks_when_one_of_its_texts_does() -> None:
    guard = Guard([SENTENCE, CHINESE])
    assert guard.find_leaks([["hello", SENTENCE], ["hello", "world"], (CHINESE,), []]) == [True, False, True, False]


def test_nothing_overlaps_the_empty_text() -> None:
    assert Guard(["", "?!"]).find_leaks(["", "...", ["", "a"]]) == [False, False, False]
    assert Guard([]).find_leaks([SENTENCE]) == [False]


def test_a_pair_of_names_repeats_a_fact_in_either_order() -> None:
    guard = Guard([], [("The capital of is Paris", "France"), ("巴黎是的首都", "法国")])
    pairs = [("Paris", "France"), ("FRANCE", "paris"), ("Pari", "France"), ("巴黎", "法国"), ("法国", "巴黎"), ("巴黎", "中国"), ("", "")]
    assert guard.find_known_facts(pairs) == [True, True, False, True, True, False, False]
    assert Guard(["Paris"]).find_known_facts([("Paris", "Paris")]) == [False], "texts are no facts"
