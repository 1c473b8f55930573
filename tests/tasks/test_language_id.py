"""Which language an answer is in, and when it is called off-target."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import find, languages
from xlift.tasks import language_id
from xlift.tasks.language_id import identify, is_off_target, language_scores, process_results, tell

SAMPLES = Path(__file__).parents[2] / "tasks" / "samples" / "flores.jsonl"


def parallel_sentences() -> dict[str, list[str]]:
    """The bundled sentences, and 100 real ones a language where XLIFT_DATA names a folder."""
    rows = [json.loads(line) for line in SAMPLES.read_text(encoding="utf-8").splitlines()]
    sentences = {lang: [row[lang] for row in rows] for lang in ("en", "es", "de", "fr", "sw")}
    for file in Path(os.environ.get("XLIFT_DATA", "/nowhere"), "flores200_dataset", "dev").glob("*.dev"):
        sentences[find(file.stem).code] = file.read_text(encoding="utf-8").splitlines()[:100]
    return sentences


SENTENCES = parallel_sentences()


@pytest.mark.parametrize("lang", SENTENCES)
def test_whole_sentences(lang: str) -> None:
    sentences = SENTENCES[lang]
    right = sum(found == lang for found in identify(sentences))
    assert right >= 0.9 * len(sentences)  # some formal Traditional Chinese passes for Cantonese
    assert sum(is_off_target(sentence, lang) for sentence in sentences) == 0
    if lang != "en":
        english = SENTENCES["en"]
        assert sum(is_off_target(sentence, lang) for sentence in english) >= 0.98 * len(english)


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("", "es"),
        ("42", "es"),
        ("Sí.", "es"),  # too short to tell
        ("The answer", "es"),
        ("π", "es"),  # a symbol, not Greek
        ("Denver Broncos", "th"),  # names are borrowed
        ("5 km", "zh"),
        ("University of Oxford", "ar"),
        ("Hermann von Helmholtz, Rudolf Virchow", "es"),
        ("我们使用Python的NumPy和Matplotlib。", "zh"),  # 8 characters against 21 letters, all of them names
        ("```python\nfor each_item in the_list: print(each_item)\n```", "es"),
        ("```\nthis block was cut off in the middle of the", "es"),
        ("$\\text{the sum of all the numbers}$ = \\boxed{\\text{twelve apples and pears}}", "es"),
        ("https://example.org/this/is/an/english/address/of/some/length", "es"),
    ],
)
def test_undecided_is_on_target(text: str, lang: str) -> None:
    assert is_off_target(text, lang) == 0.0


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("ใช่ครับ", "es"),  # the script alone settles it, however short
        ("北京", "de"),
        ("The answer is 42.", "th"),
        ("hello", "ko"),
        ("The answer is that he ate four apples in the morning.", "es"),
        ("The shirt costs $5 and the trousers cost $10 in this shop.", "es"),  # money is no formula
        ("彼は昨日の夜に新しい本を読み始めました。", "zh"),
        ("他昨天晚上开始读一本新书，现在还没有读完。", "ja"),
        ("O menino não conseguiu encontrar a sua mochila antes de sair para a escola.", "es"),
    ],
)
def test_clearly_another_language(text: str, lang: str) -> None:
    assert is_off_target(text, lang) == 1.0


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Jučer smo zajedno otišli u grad i kupili novi automobil za našu obitelj.", ["hr", "bs", "sr"]),
        ("Anak laki-laki itu pergi ke sekolah setiap hari dengan sepeda barunya.", ["id", "ms"]),
        ("他昨天晚上開始讀一本新書，現在還沒有讀完。", ["zh-Hant", "yue"]),
        ("ذهب الولد إلى المدرسة صباح اليوم ثم عاد إلى البيت مع أصدقائه.", ["ar", "arz", "ary", "acm"]),
    ],
)
def test_close_relatives_are_on_target(text: str, asked: list[str]) -> None:
    assert [is_off_target(text, lang) for lang in asked] == [0.0] * len(asked)
    assert is_off_target(text, "fr") == 1.0


def test_unknown_to_the_identifier_goes_by_script() -> None:
    english = "The children walked home from school together in the rain."
    assert "wo" not in language_id._known()
    assert tell(english, "wo") is False  # Wolof: English alone can be told from it
    assert tell("Los niños volvieron juntos de la escuela bajo la lluvia.", "wo") is None
    assert is_off_target("他昨天晚上开始读一本新书。", "wo") == 1.0
    assert is_off_target(english, "sat") == 1.0  # Santali: Ol Chiki


def test_identify() -> None:
    texts = ["", "12 + 7", "Hi", "ใช่", "他昨天晚上开始读一本新书。", "他昨天晚上開始讀一本新書。", "これは本です。昨日それを読みました。"]
    assert identify(texts) == ["und", "und", "und", "th", "zh", "zh-Hant", "ja"]


def test_letters_of_two_thirds_characters() -> None:
    # 4 characters at three, 3 kana at two, 2 Latin letters
    assert language_id.count_letters("日本語文のテストOK") == {"Hani": 12, "Hira": 2, "Kana": 6, "Latn": 2}


def test_process_results() -> None:
    doc = {"instruction": "Di hola.", "lang": "es"}
    assert process_results(doc, [" Hola. "]) == {
        "on_target": 0.0,
        "language_unknown": 1.0,
        "characters": 5.0,
        "empty": 0.0,
        "thinking_cut": 0.0,
    }
    assert process_results(doc, ["  \n"]) == {
        "on_target": 0.0,
        "language_unknown": 1.0,
        "characters": 0.0,
        "empty": 1.0,
        "thinking_cut": 0.0,
    }


def test_unknown_language_is_refused() -> None:
    with pytest.raises(UserError, match="unknown language 'spanish'"):
        is_off_target("Hola", "spanish")


def test_both_spellings_of_a_code_agree() -> None:
    assert is_off_target("The answer is that he ate four apples.", "spa_Latn") == 1.0


@given(st.text(max_size=80), st.sampled_from(sorted(languages())))
def test_any_text_gets_an_answer(text: str, lang: str) -> None:
    assert is_off_target(text, lang) in (0.0, 1.0)
    assert identify([text])[0] in {*languages(), "und"}


@given(st.text(alphabet="0123456789 .,+-=()%\n", max_size=40), st.sampled_from(["es", "th", "zh"]))
def test_digits_have_no_language(text: str, lang: str) -> None:
    assert is_off_target(text, lang) == 0.0
    assert identify([text]) == ["und"]


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("Gutten spiste fire epler i går kveld, og så gikk han hjem til familien sin.", "da"),
        ("Regjeringen har bestemt seg for å øke skatten på drivstoff neste år, sier ministeren.", "da"),
        ("Владата одлучи да го зголеми данокот следната година.", "bg"),
        ("Vláda sa rozhodla zvýšiť daň z pohonných hmôt budúci rok, povedal minister.", "cs"),
        ("El president va dir que l'economia creixerà aquest any.", "oc"),
        ("东京是日本的首都，人口约一千四百万，经济非常发达。", "zh-Hant"),
        ("東京是日本的首都，人口約一千四百萬，經濟非常發達。", "zh"),
        ("The answer is Paris.", "es"),  # few words
        ("Je ne sais pas", "en"),
        ("The government decided to raise the tax on fuel next year because of the deficit.", "ceb"),
    ],
)
def test_languages_that_are_easily_taken_for_each_other(text: str, lang: str) -> None:
    assert tell(text, lang) is False


@pytest.mark.parametrize(
    ("text", "lang", "found"),
    [
        ("Влада је одлучила да повећа порез следеће године.", "bs", True),  # Bosnian is written in both scripts
        ("ดังนั้น 16 - 3 - 4 = 9 eggs และ 9 * 2 = 18 dollars", "th", True),  # units
        ("def add(a, b):\n    return a + b\n\nprint(add(1, 2))", "ja", None),  # a program without a fence
        ("import numpy as np\nx = np.zeros((3, 4))\nfor row in x:\n    print(row.sum())", "de", None),
        ("No sé.", "es", None),
        ("Santa Clara, California", "es", None),
        ("Madrid", "en", None),
        ("Vláda se rozhodla zvýšit daň z pohonných hmot příští rok, řekl ministr.", "cs", True),
        ("Regeringen har besluttet at hæve skatten på brændstof næste år, siger ministeren.", "da", True),
    ],
)
def test_what_can_be_told(text: str, lang: str, found: bool | None) -> None:
    assert tell(text, lang) is found
    told = {} if found is None else {"off_target": float(not found)}
    assert language_scores(text, lang) == {**told, "on_target": float(found is True), "language_unknown": float(found is None)}
