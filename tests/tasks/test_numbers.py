import json
import os
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xlift.harness.core.errors import UserError
from xlift.tasks.numbers import extract_answer, process_results
from xlift.tasks.numerals import parse_number

LANGUAGES = ["bn", "de", "en", "es", "fr", "ja", "ru", "sw", "te", "th", "zh"]


RIGHT = {"accuracy": 1.0, "extraction_failure": 0.0, "off_target": 0.0, "on_target": 1.0, "language_unknown": 0.0, "thinking_cut": 0.0}


def score(text: str, answer: str, lang: str) -> dict[str, float]:
    return process_results({"question": "?", "answer": answer, "lang": lang}, [text])


# Measured against lm-eval 0.4.13's flexible-extract: each right answer here was scored wrong, each wrong one right.
@pytest.mark.parametrize(
    ("text", "answer", "lang"),
    [
        ("$18.00.", "18", "en"),
        ("18.0", "18", "en"),
        ("18,00 EUR", "18", "de"),
        ("18,00 EUR", "18", "en"),
        ("1 000", "1,000", "fr"),
        ("1 000", "1,000", "en"),
        ("১৮", "18", "bn"),
        ("１８", "18", "ja"),
        ("**18** huevos...", "18", "es"),
        ("18 dollars, i.e. 3 boxes of 6.", "18", "en"),
        ("He runs 540 metres (3*3*60)", "540", "en"),
        ("540 metros a la semana (3*3*60). ¡Suerte!", "540", "es"),
        ("答案是 18。", "18", "zh"),
        ("答案是18。", "18", "zh"),
        ("答案是：18", "18", "zh"),
    ],
)
def test_right_answers_that_lm_eval_misses(text: str, answer: str, lang: str) -> None:
    assert score(text, answer, lang) | {"off_target": 0.0, "on_target": 1.0, "language_unknown": 0.0} == RIGHT


@pytest.mark.parametrize(
    ("text", "answer", "lang"),
    [
        ("-5", "5", "en"),
        ("1.5", "15", "en"),
        ("−5", "5", "en"),
        ("= - 5", "5", "en"),
        ("minus 5", "5", "de"),
        ("负5", "5", "zh"),
        ("1,5", "15", "de"),
        ("1.500", "1500", "en"),
        ("5 thousand", "5", "en"),
        ("5万", "5", "zh"),
        ("3/4", "4", "en"),
        ("2½", "2", "en"),
        ("10^2", "10", "en"),
    ],
)
def test_wrong_answers_stay_wrong(text: str, answer: str, lang: str) -> None:
    assert score(text, answer, lang)["accuracy"] == 0.0


def test_every_score_is_there_whatever_the_answer() -> None:
    nothing = {
        "accuracy": 0.0,
        "extraction_failure": 1.0,
        "on_target": 0.0,
        "language_unknown": 1.0,
        "thinking_cut": 0.0,
    }
    assert score("", "114,200", "fr") == nothing
    assert score("<think>\n18, I think", "18", "fr") == nothing | {"thinking_cut": 1.0}
    assert score("The ducks lay some eggs on every day of the week, and she eats some.", "18", "th") == nothing | {
        "off_target": 1.0,
        "on_target": 0.0,
        "language_unknown": 0.0,
    }
    assert score("114 200", "114,200", "fr")["accuracy"] == 1.0
    assert score("17.9995", "18", "en")["accuracy"] == 1.0
    assert score("17.99", "18", "en")["accuracy"] == 0.0


def test_a_gold_answer_that_is_no_number_is_named() -> None:
    with pytest.raises(UserError, match="eighteen"):
        score("18", "eighteen", "en")


@pytest.mark.parametrize(
    ("text", "lang", "value"),
    [
        ("1,234.5", "en", "1234.5"),
        ("1.234,5", "de", "1234.5"),
        ("1.234,5", "es", "1234.5"),
        ("1\u202f234,5", "fr", "1234.5"),
        ("1\u00a0234,5", "ru", "1234.5"),
        ("1’234.50", "de", "1234.5"),
        ("1'234'567", "fr", "1234567"),
        ("1,00,000", "hi", "100000"),
        ("১,১৪,২০০", "bn", "114200"),
        ("๑,๒๓๔", "th", "1234"),
        ("౧౮", "te", "18"),
        ("١٬٢٣٤٫٥", "ar", "1234.5"),
        ("१८", "hi", "18"),
        ("１，２３４．５", "ja", "1234.5"),
        ("1,234.5", "de", "1234.5"),  # two marks: only one reading
        ("1.234.567", "en", "1234567"),
        ("1.234", "de", "1234"),  # one mark before three digits: the language decides
        ("1.234", "en", "1.234"),
        ("1,234", "en", "1234"),
        ("1,234", "de", "1.234"),
        ("5,600", "de", "5600"),  # nobody writes a nought in the third place
        ("$2,125", "es", "2125"),  # nor money to three places
        ("US$2,125", "es", "2125"),
        ("2,125 dólares", "es", "2125"),
        ("0,125", "de", "0.125"),  # no group begins with a nought
        ("0.125", "de", "0.125"),
        (".5", "en", "0.5"),
        ("-5", "en", "-5"),
        ("–5", "en", "-5"),
        ("-$5", "en", "-5"),
        ("$-5", "en", "-5"),
        ("+5", "en", "5"),
        ("18%", "en", "18"),
        ("18 €.", "de", "18"),
        ("Rs. 1,00,000", "hi", "100000"),
        ("R$ 1.234,50", "pt", "1234.5"),
        ("18 m²", "en", "18"),
        ("3/4", "en", "0.75"),
        ("2½", "en", "2.5"),
        ("2 1/2", "en", "2.5"),
        (r"\frac{36}{2}", "en", "18"),
        (r"1{,}000", "en", "1000"),
        (r"1\,000", "en", "1000"),
        ("27.6万", "zh", "276000"),
        ("27万6000円", "ja", "276000"),
        ("5千克", "zh", "5"),  # kilograms
        ("1,5 million", "fr", "1500000"),
        ("elfu 5", "sw", "5000"),
        ("5 miles", "en", "5"),
        ("9 * 2 = 18", "en", "18"),
        ("540 = 3*3*60", "en", "540"),
        ("十八", "zh", "18"),
        ("三百二十", "ja", "320"),
        ("两百五十个", "zh", "250"),
        ("一亿二千万", "zh", "120000000"),
    ],
)
def test_number_formats(text: str, lang: str, value: str) -> None:
    assert parse_number(text, lang) == Decimal(value)


@pytest.mark.parametrize(
    "text",
    ["", "eggs", "3 or 4", "5-6", "70,000 – 80,000", "2024-11-22", "10:30", "1.2.3", "1,2,3", "9 * 2", "COVID-19", "9" * 40],
)
def test_what_is_not_one_number(text: str) -> None:
    assert parse_number(text, "en") is None


def test_chinese_numerals_are_no_numbers_elsewhere() -> None:
    assert parse_number("十八", "en") is None
    assert extract_answer("答案是一样的", "zh") is None
    assert extract_answer("答案是一共18个", "zh") == 18


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"9 * 2 = 18, so $\boxed{\$18\text{ a day}}$. That is 3 boxes.", 18),
        (r"\boxed{9 \times 2 = 18}", 18),
        (r"\boxed{18", 18),
        (r"\boxed{3, 4} The answer is 7.", 7),
        ("The answer is 5.\n#### 18", 18),
        ("#### 3. Count the 4 baskets: done\nShe has 18", 18),
        ("The answer is 18 dollars, i.e. 3 boxes of 6.", 18),
        ("Answer: 18 dollars, i.e. 3 boxes of 6.", 18),
        ("The answer is 9 * 2 = 18 dollars, i.e. 3 boxes of 6.", 18),
        ("The answer is 18 (9 * 2).", 18),
        ("The answer is (18)", 18),
        ("The final answer is:\n\n**$18**", 18),
        ("### Answer\n18", 18),
        ("The answer to question 3 is that Janet makes $18 per day. She has 2 markets.", 18),
        ("The answer is 5. Wait, the answer is 18. I used 3 steps.", 18),
        ('{"answer": 18, "steps": 3}', 18),
        ("Step-by-Step Answer: 16 - 3 - 4 = 9. 9 * 2 = 18.", 18),
        ("Answer: 16 eggs are laid. She eats 3 and bakes with 4. She makes 18.", 18),
        ("Answer: 18\n\nExplanation: 16 - 3 - 4 = 9; 9 * 2 = 18", 18),
        ("She must answer 3 questions and gets 18", 18),
        ("There are **9** eggs.\nShe makes **$18** at the 2 markets.", 18),
        ("**Step 3: total** 9 * 2 = 18 dollars", 18),
        ("18\n\nJanet's ducks lay 16 eggs", 18),
        ("16 minus 3 is 13", 13),
        ("5 + 6 = 11", 11),
        ("16 eggs a day\nminus 7\nleaves 9", 9),
        ("She makes 18 dollars on the 2nd day.", 18),
        ("16 – 3 – 4 = 9", 9),
        ("x = -5", -5),
        ("5 -3 = 2", 2),
        ("2x = 10, x = 5", 5),
        ("no idea", None),
    ],
)
def test_where_the_answer_stands(text: str, value: int | None) -> None:
    assert extract_answer(text, "en") == value


@pytest.mark.parametrize(
    ("text", "lang", "value"),
    [
        ("উত্তর হল ১৮। ৩টি বাক্স।", "bn", 18),
        ("উত্তর: ১৮", "bn", 18),
        ("Die Antwort lautet 1.234,5 Euro, also 3 Kisten.", "de", Decimal("1234.5")),
        ("Die Antwort ist 18 – also 3 Kisten zu 6.", "de", 18),
        ("Endergebnis: 18 Eier", "de", 18),
        ("La respuesta final es 5 600 dólares. Son 2 pagos.", "es", 5600),
        ("La réponse est 1 234,5 €. 3 cartons.", "fr", Decimal("1234.5")),
        ("答えは、１８個です。3箱です。", "ja", 18),
        ("答：十八", "ja", 18),
        ("Ответ — 5 600 рублей. Это 2 платежа.", "ru", 5600),
        ("Ответ – 11.", "ru", 11),
        ("Ответ — -5", "ru", -5),
        ("Jibu ni 18. Masanduku 3.", "sw", 18),
        ("సమాధానం 18. 3 పెట్టెలు", "te", 18),
        ("คำตอบคือ ๑๘ ดอลลาร์ ใน 3 วัน", "th", 18),
        ("คำตอบสุดท้าย: 18", "th", 18),
        ("答案应该是18个，每盒6个。", "zh", 18),
        ("答案：十八", "zh", 18),
        ("一共 9，18 个", "zh", 18),
        ("The answer is 18. 3箱です。", "ja", 18),  # models answer in English too
        ("La risposta è 18. 3 scatole.", "it", 18),
        ("A resposta é 18. 3 caixas.", "pt", 18),
        ("Cevap: 18. Üç kutu.", "tr", 18),
        ("Đáp án là 18. Có 3 hộp.", "vi", 18),
        ("정답은 18입니다. 3상자.", "ko", 18),
        ("الإجابة هي ١٨. ٣ علب.", "ar", 18),
        ("उत्तर १८ है। ३ डिब्बे।", "hi", 18),
        ("Η απάντηση είναι 18. Τα 3 κουτιά.", "el", 18),
    ],
)
def test_stated_answers_in_many_languages(text: str, lang: str, value: Decimal | int) -> None:
    assert extract_answer(text, lang) == value


def test_exemplars_of_mgsm() -> None:
    if "XLIFT_DATA" not in os.environ:
        pytest.skip("XLIFT_DATA is not set: no MGSM exemplars to read")
    lines = (Path(os.environ["XLIFT_DATA"]) / "mgsm" / "exemplars.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert sorted({row["lang"] for row in rows}) == LANGUAGES and len(rows) == 88
    wrong = [row["cot_answer"] for row in rows if extract_answer(row["cot_answer"], row["lang"]) != row["number_answer"]]
    assert not wrong


STYLES = [  # language, thousands mark, decimal mark, first digit of its script
    ("en", ",", ".", "0"),
    ("de", ".", ",", "0"),
    ("es", "\u00a0", ",", "0"),
    ("es", ".", ",", "0"),
    ("fr", "\u202f", ",", "0"),
    ("ru", " ", ",", "0"),
    ("sw", ",", ".", "0"),
    ("zh", ",", ".", "0"),
    ("ja", "，", "．", "０"),
    ("bn", ",", ".", "০"),
    ("te", ",", ".", "౦"),
    ("th", ",", ".", "๐"),
    ("hi", ",", ".", "०"),
    ("ar", "٬", "٫", "٠"),
    ("tr", ".", ",", "0"),
]
PHRASES = {
    "bn": "উত্তর হল {}।",
    "de": "Die Antwort lautet {}.",
    "en": "The answer is {}.",
    "es": "La respuesta es {}.",
    "fr": "La réponse est {}.",
    "ja": "答えは{}です。",
    "ru": "Ответ — {}.",
    "sw": "Jibu ni {}.",
    "te": "సమాధానం {}.",
    "th": "คำตอบคือ {}",
    "zh": "答案是 {}。",
}


def write(value: Decimal, style: tuple[str, str, str, str], *, group: bool, indian: bool, minus: str) -> str:
    _, thousands, point, nought = style
    whole, _, part = f"{abs(value):f}".partition(".")
    part = part.rstrip("0")
    if group:
        head, tail = whole[:-3], whole[-3:]
        size = 2 if indian else 3
        groups = [head[max(0, end - size) : end] for end in range(len(head), 0, -size)][::-1]
        whole = thousands.join([*groups, tail])
    text = (minus if value < 0 else "") + whole + (point + part if part else "")
    return "".join(chr(ord(nought) + int(char)) if char.isascii() and char.isdigit() else char for char in text)


@given(
    st.one_of(st.integers(-(10**15), 10**15).map(Decimal), st.decimals(-(10**12), 10**12, places=4), st.decimals(-2000, 2000, places=3)),
    st.sampled_from(STYLES),
    st.booleans(),
    st.booleans(),
    st.sampled_from("-−"),
)
@example(Decimal("1.234"), STYLES[1], True, False, "-")
@example(Decimal("-1000"), STYLES[4], True, False, "−")
def test_a_number_written_in_a_language_is_read_back(
    value: Decimal, style: tuple[str, str, str, str], group: bool, indian: bool, minus: str
) -> None:
    lang = style[0]
    written = write(value, style, group=group, indian=indian and style[1] == ",", minus=minus)
    assert parse_number(written, lang) == value
    assert extract_answer(written, lang) == value
    sentence = PHRASES.get(lang, PHRASES["en"]).format(written)
    assert extract_answer(f"2 + 3 = 5\n{sentence} 7 + 7 = 14", lang) == value


WORDS = ["the answer is", "答案是", "\\boxed{", "\\frac{", "####", "**", "minus ", "elfu ", "1 000"]
PIECES = st.sampled_from([*"0123456789٣৪５十万½²1.,'’  \n\t()[]{}*_#=+-−–—/^:$€%`\\", *WORDS])


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)), st.sampled_from([*LANGUAGES, "ar", "xx"]))
def test_any_text_is_survived(text: str, lang: str) -> None:
    for found in (parse_number(text, lang), extract_answer(text, lang)):
        assert found is None or found.is_finite()
    scores = score(text, "18", lang if lang != "xx" else "en")
    assert scores.keys() == RIGHT.keys() - ({"off_target"} if scores["language_unknown"] else set())
    assert all(type(value) is float and 0.0 <= value <= 1.0 for value in scores.values())


GARBAGE = ["1", "1,", "1 ", "1 000 ", "(", "((1", "1=", "1+", "1/", "\\boxed{", "\\text{", "\\frac{1}{", "**", "__", "#", " ", "\n"]


@pytest.mark.timeout(60)  # a pattern that backtracks would take far longer than this on texts of this length
@pytest.mark.parametrize("garbage", GARBAGE)
def test_long_garbage_is_read_in_one_pass(garbage: str) -> None:
    for lang in ("en", "zh"):
        extract_answer(garbage * (5_000 // len(garbage)), lang)
        extract_answer("the answer is " * 100 + garbage * (1_000 // len(garbage)), lang)
