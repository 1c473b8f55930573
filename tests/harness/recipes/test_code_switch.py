"""Code-switching: whole words, cases, scripts, lexicons and alignments."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import regex
from fakes import FakeContext
from hypothesis import given
from hypothesis import strategies as st

from xlift.harness.plugin import (
    CodeSwitcher,
    SwitchOptions,
    UserError,
    align_words,
    find_terms,
    find_words,
    read_lexicon,
    switch_words,
    turn_lexicon,
)

LEXICON = {"bird": ("pájaro",), "garden": ("jardín",), "house": ("casa",), "strasse": ("street",), "空气": ("air",), "污染": ("pollution",)}


def switch(text: str, rate: float = 1.0) -> tuple[str, int]:
    return switch_words(text, LEXICON, rate, random.Random(0))


@pytest.mark.parametrize(
    ("text", "switched", "count"),
    [
        ("The bird is in the garden.", "The pájaro is in the jardín.", 2),
        ("Bird, bird; BIRD!", "Pájaro, pájaro; Pájaro!", 3),
        ("birds birdhouse bird's un-bird", "birds birdhouse bird's un-bird", 0),
        ("bird2 2bird bird_2 (bird)", "bird2 2bird bird_2 (pájaro)", 1),
        ("STRASSE Straße", "Street Street", 2),
        ("我们如何减少空气污染？", "我们如何减少airpollution？", 2),
        ("", "", 0),
        ("123 ... !?", "123 ... !?", 0),
    ],
)
def test_whole_words_are_switched(text: str, switched: str, count: int) -> None:
    assert switch(text) == (switched, count)


def test_a_rate_is_a_share_of_all_words_rounded_up() -> None:
    # 8 words, 3 of them known: a quarter is 2, a tenth 1, a half 4 of which 3 are known.
    text = "the bird saw a house and a garden"
    assert [switch(text, rate)[1] for rate in (0, 0.1, 0.25, 0.5, 1)] == [0, 1, 2, 3, 3]


def test_a_german_noun_keeps_its_capital() -> None:
    assert switch_words("my house", {"house": ("Haus",)}, 1, random.Random(0)) == ("my Haus", 1)


def test_composed_and_decomposed_letters_are_the_same_word() -> None:
    assert switch_words("cafe\u0301 here", {"café": ("coffee",)}, 1, random.Random(0)) == ("coffee here", 1)


@given(st.text(), st.floats(0, 1), st.integers(0, 3))
def test_any_text_keeps_all_that_is_not_switched(text: str, rate: float, seed: int) -> None:
    switched, count = switch_words(text, {"a": ("<>",), "bird": ("<>",), "空": ("<>",)}, rate, random.Random(seed))
    assert switched == switch_words(text, {"a": ("<>",), "bird": ("<>",), "空": ("<>",)}, rate, random.Random(seed))[0]
    assert count == 0 or switched.count("<>") >= count
    if count == 0:
        assert switched == text
    pieces = [regex.escape(piece) for piece in switched.split("<>")]
    assert "<>" in text or regex.fullmatch(r"(?:a|A|bird|BIRD|Bird|空|\w+)".join(pieces), text)


def test_words_are_found_in_scripts_with_spaces_alone() -> None:
    assert find_words("L'eau, the café-bar; మీరు 42 我们 x_1") == ["L'eau", "the", "café-bar", "మీరు", "x_1"]


def test_terms_stand_in_both_sentences() -> None:
    lexicon = {"garden": ("jardín", "huerto"), "bird": ("ave",), "air": ("空气",)}
    assert find_terms("The bird in the Garden", "El pájaro en el Jardín", lexicon) == [("Garden", "Jardín")]
    assert find_terms("clean air", "我们的空气", lexicon) == [("air", "空气")]


class Lexicons(FakeContext):
    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        if corpus != "lexicon":
            return super().read(corpus, lang)
        words = {
            "es": [("house", "Casa"), ("house", "hogar"), ("of", "de"), ("at least", "por lo menos"), ("radio", "radio"), ("bird", "")],
            "sw": [("house", "nyumba"), ("water", "maji")],
        }
        return [{"id": str(n), "en": en, "text": text, "part": "p"} for n, (en, text) in enumerate(words[lang])]


def test_a_lexicon_is_read_from_either_side_and_through_english() -> None:
    # "of" is too short, "at least" no single word, "radio" the same in both, "bird" has no translation.
    assert read_lexicon(Lexicons(), "lexicon", "en", "es") == {"house": ("Casa", "hogar")}
    assert read_lexicon(Lexicons(), "lexicon", "es", "en") == {"casa": ("house",), "hogar": ("house",)}
    assert read_lexicon(Lexicons(), "lexicon", "sw", "es") == {"nyumba": ("Casa", "hogar")}
    assert read_lexicon(Lexicons(), "lexicon", "en", "es", shortest=1)["of"] == ("de",)


def test_a_lexicon_turned_round() -> None:
    assert turn_lexicon({"house": ("casa", "hogar"), "home": ("hogar", "en casa")}) == {"casa": ("house",), "hogar": ("home", "house")}


PAIRS = [
    ("the red house", "das rote Haus"),
    ("the red book", "das rote Buch"),
    ("a green house", "ein grünes Haus"),
    ("a green book", "ein grünes Buch"),
]


def test_words_are_aligned_from_pairs() -> None:
    # "house" and "Haus" meet in both of their pairs, and share them with no other word; "the red" and "das rote" always come together.
    assert align_words(PAIRS, shortest=1) == {"house": ("Haus",), "book": ("Buch",)}
    assert align_words([*PAIRS, ("the sun", "das Licht"), ("the rain", "das Wasser")], shortest=3)["red"] == ("rote",)


def test_what_cannot_be_aligned_gives_no_words() -> None:
    assert align_words([]) == {}
    assert align_words([("house", ""), ("", "casa"), ("the house", "我们的房子")]) == {}
    assert align_words([("the house", "la casa")]) == {}, "seen once"
    assert align_words(PAIRS, longest=2) == {}


def options(**changes: Any) -> SwitchOptions:
    values = {"code_switch": "question", "dictionary": "lexicon", "lexicon_corpus": "lexicon", "code_switch_rows": 1, "code_switch_rate": 1}
    return SwitchOptions(**{**values, **changes})


@pytest.mark.parametrize(
    ("where", "switched"),
    [
        ("question", ("the pájaro", "the garden")),
        ("answer", ("the bird", "the jardín")),
        ("both", ("the pájaro", "the jardín")),
        ("off", ("the bird", "the garden")),
        (False, ("the bird", "the garden")),
    ],
)
def test_what_of_a_row_is_switched(where: Any, switched: tuple[str, str]) -> None:
    switcher = CodeSwitcher(FakeContext(("es",)), options(code_switch=where))
    assert switcher.switch("the bird", "the garden", "en", "en", "es") == switched
    count = {"question": 1, "answer": 1, "both": 2}.get(where, 0)
    assert switcher.counts == ({"words": count, "rows": 1} if count else {})


def test_target_text_mixes_with_the_pivot_and_unknown_words_are_counted() -> None:
    switcher = CodeSwitcher(FakeContext(("es",)), options())
    assert switcher.switch("un pájaro", "x", "es", "en", "es") == ("un bird", "x")
    assert switcher.switch("nada", "x", "es", "en", "es") == ("nada", "x")
    assert switcher.counts == {"words": 1, "rows": 1, "rows without a known word": 1}


def test_a_share_of_the_rows_is_switched() -> None:
    switcher = CodeSwitcher(FakeContext(("es",)), options(code_switch_rows=0.3))
    found = [switcher.switch("bird", "", "en", "en", "es")[0] == "pájaro" for _ in range(1000)]
    assert 250 < sum(found) < 350  # 300, within three and a half standard deviations of 14.5


def test_a_language_without_lexicon_is_named_with_what_to_set() -> None:
    with pytest.raises(UserError, match="no lexicon for 'zh': set dictionary to alignment, or code_switch to off"):
        CodeSwitcher(FakeContext(("es", "zh")), options())
    assert CodeSwitcher(FakeContext(("zh",)), options(code_switch="off")).counts == {}


def test_alignments_stand_in_for_a_lexicon() -> None:
    switcher = CodeSwitcher(FakeContext(("de",)), options(dictionary="alignment"))
    switcher.learn("de", PAIRS)
    assert switcher.switch("my house", "", "en", "en", "de")[0] == "my Haus"
    assert switcher.switch("mein Haus", "", "de", "de", "de")[0] == "mein House"
    with pytest.raises(UserError, match="no word pairs to switch between 'en' and 'zh': set dictionary to lexicon"):
        switcher.learn("zh", [("the house", "房子")])
