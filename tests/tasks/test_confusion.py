"""Pass rates by line and by word, by hand."""

import pytest

from xlift.tasks.confusion import count_words, cut_lines, find_foreign_words, process_results

RUSSIAN = "Столица Франции — Париж, и это очень большой и красивый город."
SPANISH = "La capital de Francia es París, y es una ciudad muy grande y hermosa."
ENGLISH = "The capital of France is Paris, and it is a very big and beautiful city."
CHINESE = "法国的首都是巴黎，它是一座非常大而且美丽的城市。"
JAPANESE = "フランスの首都はパリで、とても大きくて美しい都市です。"
KOREAN = "한국의 수도는 서울이며 매우 크고 아름다운 도시입니다."
HINDI = "फ़्रांस की राजधानी पेरिस है और यह बहुत बड़ा शहर है।"
ARABIC = "عاصمة فرنسا هي باريس وهي مدينة كبيرة وجميلة جدا"


def score(answer: str, lang: str) -> tuple[float, float | None]:
    found = process_results({"lang": lang}, [answer])
    return found["line_pass_rate"], found.get("word_pass_rate")


@pytest.mark.parametrize(
    ("answer", "lang"), [(RUSSIAN, "ru"), (CHINESE, "zh"), (JAPANESE, "ja"), (KOREAN, "ko"), (HINDI, "hi"), (ARABIC, "ar")]
)
def test_an_answer_in_its_language_passes_by_line_and_word(answer: str, lang: str) -> None:
    assert score(answer, lang) == (1.0, 1.0)
    assert score(ENGLISH, lang) == (0.0, None)
    assert score(f"{answer}\n\n{ENGLISH}", lang) == (0.0, None), "one line is enough"


def test_a_language_in_latin_letters_has_no_word_rate() -> None:
    assert score(SPANISH, "es") == score(ENGLISH, "en") == (1.0, None)
    assert score(ENGLISH, "es") == score(SPANISH, "en") == score(f"{SPANISH}\n{ENGLISH}", "es") == (0.0, None)
    assert score(CHINESE, "es") == (0.0, None)


@pytest.mark.parametrize(
    ("answer", "lang", "passes"),
    [
        (RUSSIAN.replace("большой", "huge"), "ru", 0.0),
        (RUSSIAN.replace("Париж", "Paris"), "ru", 1.0),  # a name
        (RUSSIAN.replace("большой", "big"), "ru", 1.0),  # three letters, as km and de
        (RUSSIAN.replace("большой", "大きい"), "ru", 0.0),
        (CHINESE.replace("美丽", "beautiful"), "zh", 0.0),
        (CHINESE.replace("美丽", "APP"), "zh", 1.0),
        (KOREAN.replace("수도", "首都"), "ko", 0.0),
        (HINDI.replace("शहर", "city"), "hi", 0.0),
        (ARABIC + " π", "ar", 1.0),  # a symbol
    ],
)
def test_a_word_of_another_script(answer: str, lang: str, passes: float) -> None:
    assert score(answer, lang) == (1.0, passes)


def test_foreign_words_are_named() -> None:
    assert find_foreign_words("Это very хороший ноутбук MacBook за 5 km, 电脑", "ru") == ["very", "电脑"]
    assert find_foreign_words("Это very хороший", "sr") == [], "written in both"


def test_what_counts_as_a_line() -> None:
    assert cut_lines(f"Sí.\n\n{SPANISH}\n- Uno, dos, tres\n") == [SPANISH], "fewer than five words"
    assert cut_lines("Sí.\nNo, gracias.") == ["Sí. No, gracias."], "the answer as one line where none is long enough"
    assert cut_lines(f"```python\nprint('this is English and it is code')\n```\n{SPANISH}") == [SPANISH]
    assert cut_lines(f"{SPANISH}\nQ: What is the capital of Germany, then?") == [SPANISH], "a base model goes on"
    assert cut_lines("") == cut_lines("12 345") == cut_lines("```\nx = 1\n```") == []
    assert [count_words(text) for text in ("one two, three", "一二三四五六", "สวัสดีครับ", "第一 two")] == [3, 3, 2.5, 2]


def test_short_answers_and_none() -> None:
    assert score("Ja.", "de") == (1.0, None)
    assert score("Yes", "ru") == (1.0, 1.0), "a word with a capital may be a name"
    assert score("Hello there", "ru") == (0.0, None)
    assert process_results({"lang": "de"}, [" \n"]) == {
        "line_pass_rate": 0.0,
        "on_target": 0.0,
        "language_unknown": 1.0,
        "empty": 1.0,
        "thinking_cut": 0.0,
    }
    assert process_results({"lang": "de"}, ["42"]) == {
        "line_pass_rate": 0.0,
        "on_target": 0.0,
        "language_unknown": 1.0,
        "empty": 0.0,
        "thinking_cut": 0.0,
    }


def test_a_related_language_passes() -> None:
    malay = "Ibu negara Indonesia ialah Jakarta, sebuah bandar raya yang sangat besar dan sibuk."
    assert score(malay, "id") == (1.0, None)
