"""Which of four numbered answers a reply names, in every script."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlift.harness.core.languages import languages
from xlift.tasks.choices import extract_choice, process_results

OPTIONS = ["Increase the force", "Keep movement to a minimum", "More speed", "3 horses"]


def find(text: str, lang: str = "en") -> str | None:
    return extract_choice(text, OPTIONS, lang)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", "2"),
        (" (3) ", "3"),
        ("**4**", "4"),
        ("২", "2"),  # Bengali
        ("٣", "3"),  # Arabic
        ("۴", "4"),  # Persian
        ("๔", "4"),  # Thai
        ("༢", "2"),  # Tibetan
        ("၄", "4"),  # Burmese
        ("௩", "3"),  # Tamil
        ("፩", "1"),  # Ethiopic
        ("２", "2"),
        ("②", "2"),
        ("❸", "3"),
        ("Ⅱ", "2"),
        ("2️⃣", "2"),
        ("二", "2"),
        ("第三", "3"),
    ],
)
def test_a_number_alone_in_any_script(text: str, number: str) -> None:
    assert find(text) == number


@given(st.sampled_from([chr(code) for code in range(0x30, 0x20000) if unicodedata.category(chr(code)) == "Nd"]))
def test_every_decimal_digit_of_unicode(digit: str) -> None:
    value = str(unicodedata.decimal(digit))
    assert find(digit) == (value if value in "1234" else None)


@pytest.mark.parametrize(
    ("letters", "lang"),
    [("ABCD", "en"), ("abcd", "en"), ("АБВГ", "ru"), ("ΑΒΓΔ", "el"), ("αβγδ", "el"), ("أبجد", "ar"), ("אבגד", "he"), ("कखगघ", "hi"),
     ("কখগঘ", "bn"), ("กขคง", "th"), ("가나다라", "ko"), ("アイウエ", "ja"), ("甲乙丙丁", "zh"), ("ԱԲԳԴ", "hy"), ("აბგდ", "ka")],
)  # fmt: skip
def test_a_letter_stands_for_its_place_in_its_script(letters: str, lang: str) -> None:
    assert [find(letter, lang) for letter in letters] == ["1", "2", "3", "4"]
    capitals = letters if lang == "ka" else letters.upper()  # Georgian has no capitals in running text
    assert [find(f"({letter}) Increase", lang) for letter in capitals] == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("text", "lang", "number"),
    [
        ("Answer: 2", "en", "2"),
        ("Answer:\n2", "en", "2"),
        ("The correct answer is 3.", "en", "3"),
        ("La respuesta correcta es la 4.", "es", "4"),
        ("正解は3番です。", "ja", "3"),
        ("选项3是正确的", "zh", "3"),
        ("答案是二", "zh", "2"),
        ("ตัวเลือกที่ ๓", "th", "3"),
        ("الإجابة: ٢", "ar", "2"),
        ("उत्तर: ३", "hi", "3"),
        ("Ответ: Г", "ru", "4"),
        ("The answer is B.", "en", "2"),
        ("2nd option", "en", "2"),
        ("2. Keep movement to a minimum", "en", "2"),
        ("2) Keep movement to a minimum, as 3 things are wrong with it", "en", "2"),
        ("1 and 2 are wrong. So it is 3.", "en", "3"),
        ("The answer is 3, more speed.", "en", "3"),
    ],
)
def test_a_sentence_that_names_one(text: str, lang: str, number: str) -> None:
    assert find(text, lang) == number


def test_the_text_of_an_answer_names_it() -> None:
    assert find("Keep movement to a minimum.") == "2"
    assert find("You need more speed to get volume") == "3"
    assert find("3 horses") == find("The answer is 3 horses.") == find("4. 3 horses") == "4", "the 3 is part of the fourth answer"
    assert extract_choice("They had five dogs", ["dogs", "five dogs", "a cat", "none"], "en") == "2", "the longer one says it whole"
    assert extract_choice("1", ["4", "3", "2", "1"], "en") == "1", "the prompt asks for the number"


def test_answers_that_are_listed_again_name_none() -> None:
    listed = "\n".join(f"{number}. {option}" for number, option in enumerate(OPTIONS, 1))
    assert find(f"{listed}\n\nAnswer: 2") == "2"
    assert find(listed) is None
    assert find("1. Increase the force\n2. Keep movem") is None, "cut off before it came to the point"


def test_what_a_base_model_goes_on_with_does_not_count() -> None:
    assert find("2\n\nQuestion: And then?\n1. a\n2. b\nAnswer: 4") == "2"
    assert find("Answer: 2\n\nText: In the year 3 nothing happened.") == "2"


@pytest.mark.parametrize("text", ["", "\n \n", "I do not know.", "1 or 2", "5", "12", "2%", "2.5", "2:30", "1914", "H2O", "m²", "A dog"])
def test_no_answer_is_named(text: str) -> None:
    assert find(text) is None


@given(st.text(max_size=60), st.sampled_from(sorted(languages())))
def test_any_text_in_any_language_is_read(text: str, lang: str) -> None:
    assert extract_choice(text, OPTIONS, lang) in {"1", "2", "3", "4", None}


def test_scores() -> None:
    doc = {**{f"option_{number}": option for number, option in enumerate(OPTIONS, 1)}, "answer": "2", "lang": "de"}
    assert process_results(doc, ["২"]) == {
        "accuracy": 1.0,
        "extraction_failure": 0.0,
        "on_target": 0.0,
        "language_unknown": 1.0,
        "thinking_cut": 0.0,
    }
    assert process_results(doc, ["3"]) == {
        "accuracy": 0.0,
        "extraction_failure": 0.0,
        "on_target": 0.0,
        "language_unknown": 1.0,
        "thinking_cut": 0.0,
    }
    assert process_results(doc, ["Das weiß ich nicht."]) == {
        "accuracy": 0.0,
        "extraction_failure": 1.0,
        "off_target": 0.0,
        "on_target": 1.0,
        "language_unknown": 0.0,
        "thinking_cut": 0.0,
    }
    english = process_results(doc, ["The correct answer to this question is number 2."])
    assert english == {
        "accuracy": 1.0,
        "extraction_failure": 0.0,
        "off_target": 1.0,
        "on_target": 0.0,
        "language_unknown": 0.0,
        "thinking_cut": 0.0,
    }
