"""Kinds of answers to word problems that were scored wrong once, in all languages of MGSM."""

from decimal import Decimal

import pytest

from xlift.tasks.numbers import extract_answer

ANSWERS = {
    "en": "The answer is {}.", "de": "Die Antwort ist {}.",
    "es": "La respuesta es {}.", "fr": "La réponse est {}.", "ru": "Ответ — {}.",
    "ja": "答えは{}です。", "zh": "答案是 {}。", "th": "คำตอบคือ {}", "sw": "Jibu ni {}.", "bn": "উত্তর হল {}।", "te": "సమాధానం {}.",
}  # fmt: skip
LABELS = {
    "en": "Answer:", "de": "Antwort:", "es": "Respuesta:", "fr": "Réponse :",
    "ru": "Ответ:", "ja": "答え：", "zh": "答案：", "th": "คำตอบ:",
    "sw": "Jibu:", "bn": "উত্তর:", "te": "సమాధానం:",
}  # fmt: skip
QUESTIONS = {
    "en": "Question:", "de": "Frage:", "es": "Pregunta:", "fr": "Question :",
    "ru": "Задача:", "ja": "問題：", "zh": "问题：", "th": "โจทย์:",
    "sw": "Swali:", "bn": "প্রশ্ন:", "te": "ప్రశ్న:",
}  # fmt: skip
DOLLARS = {
    "en": "{} dollars", "de": "{} Dollar", "es": "{} dólares", "fr": "{} dollars", "ru": "{} долларов", "ja": "{}ドル", "zh": "{}美元",
    "th": "{} ดอลลาร์", "sw": "dola {}", "bn": "{} ডলার", "te": "{} డాలర్లు",
}  # fmt: skip
EXPLANATIONS = {
    "en": "Explanation:", "de": "Erklärung:", "es": "Explicación:",
    "fr": "Explication :", "ru": "Объяснение:", "ja": "説明：", "zh": "解释：",
    "th": "คำอธิบาย:", "sw": "Maelezo:", "bn": "ব্যাখ্যা:", "te": "వివరణ:",
}  # fmt: skip
CHECKS = {
    "en": "Check:", "de": "Probe:", "es": "Comprobación:", "fr": "Vérification :", "ru": "Проверка:", "ja": "検算：", "zh": "验算：",
    "th": "ตรวจสอบ:", "sw": "Uhakiki:", "bn": "যাচাই:", "te": "తనిఖీ:",
}  # fmt: skip
RESULTS = {
    "en": "Result:", "de": "Ergebnis:", "es": "Resultado:", "fr": "Résultat :", "ru": "Результат:", "ja": "結果：", "zh": "结果：",
    "th": "ผลลัพธ์:", "sw": "Matokeo:", "bn": "ফলাফল:", "te": "ఫలితం:",
}  # fmt: skip
NEGATED = {
    "en": "The answer is not {}.", "de": "Die Antwort lautet nicht {}.",
    "es": "La respuesta no es {}.", "fr": "La réponse n'est pas {}.",
    "ru": "Ответ не {}.", "ja": "答えは{}ではありません。", "zh": "答案不是 {}。",
    "th": "คำตอบไม่ใช่ {}", "sw": "Jibu si {}.", "bn": "উত্তর {} নয়।",
    "te": "సమాధానం {} కాదు.",
}  # fmt: skip
EITHER = {
    "en": "{} or {}", "de": "{} oder {}", "es": "{} o {}", "fr": "{} ou {}", "ru": "{} или {}", "ja": "{}または{}", "zh": "{}或{}",
    "th": "{} หรือ {}", "sw": "{} au {}", "bn": "{} অথবা {}", "te": "{} లేదా {}",
}  # fmt: skip
BETWEEN = {
    "en": "between {} and {}", "de": "zwischen {} und {}", "es": "entre {} y {}", "fr": "entre {} et {}", "ru": "между {} и {}",
    "ja": "{}と{}の間", "zh": "{}和{}之间", "th": "ระหว่าง {} และ {}",
    "sw": "kati ya {} na {}", "bn": "{} ও {} এর মধ্যে", "te": "{} మరియు {} మధ్య",
}  # fmt: skip
EIGHTEEN = {
    "en": "eighteen", "de": "achtzehn", "es": "dieciocho", "fr": "dix-huit",
    "ru": "восемнадцать", "ja": "十八", "zh": "十八", "th": "สิบแปด",
    "sw": "kumi na nane", "bn": "আঠারো", "te": "పద్దెనిమిది",
}  # fmt: skip
STEPS = {
    "en": "Step", "de": "Schritt", "es": "Paso", "fr": "Étape",
    "ru": "Шаг", "ja": "ステップ", "zh": "步骤", "th": "ขั้นตอนที่", "sw": "Hatua ya",
    "bn": "ধাপ", "te": "దశ",
}  # fmt: skip
BECAUSE = {
    "en": "She makes $18 by selling 9 eggs at $2.", "de": "Sie verdient 18 Dollar, weil sie 9 Eier zu 2 Dollar verkauft.",
    "es": "Gana 18 dólares porque vende 9 huevos a 2 dólares.", "fr": "Elle gagne 18 dollars car elle vend 9 œufs à 2 dollars.",
    "ru": "Она зарабатывает 18 долларов, потому что продаёт 9 яиц по 2 доллара.",
    "ja": "18ドルです。なぜなら9個を2ドルで売るからです。",
    "zh": "她赚18美元，因为她卖9个蛋，每个2美元。", "th": "เธอได้ 18 ดอลลาร์ เพราะขายไข่ 9 ฟอง ฟองละ 2 ดอลลาร์",
    "sw": "Anapata dola 18 kwa sababu anauza mayai 9 kwa dola 2.", "bn": "সে 18 ডলার পায় কারণ সে 9টি ডিম 2 ডলারে বেচে।",
    "te": "ఆమెకు 18 డాలర్లు వస్తాయి ఎందుకంటే 9 గుడ్లు 2 డాలర్లకు అమ్ముతుంది.",
}  # fmt: skip
every_language = pytest.mark.parametrize("lang", ANSWERS)


@every_language
def test_an_invented_next_question_does_not_count(lang: str) -> None:
    answer, question, label = ANSWERS[lang].format, QUESTIONS[lang], LABELS[lang]
    for text in (
        f"{answer(18)}\n\n{question} 2 + 3 = ?\n{answer(5)}",
        f"{answer(18)}\n{question} 2 + 3 = ?\n{answer(5)}",
        f"{answer(18)}\n\n**{question}** 2 + 3 = ?\n\n{answer(5)}",
        f"16 - 7 = 9\n9 * 2 = 18\n\n{question} 2 + 3 = ?\n5",
        f"18\n\n{question} 2 + 3 = ?\n\n{label} 5",
        "9 * 2 = 18\n#### 18\n\n2 + 3 = 5\n#### 5",
        f"{answer(18)}\nUser: 2 + 3?\nAssistant: {answer(5)}",
        f"{answer(18)}\n### Instruction: 2 + 3?\n### Response: {answer(5)}",
        f"{answer(18)}<|im_end|>\n<|im_start|>user\n2 + 3?<|im_end|>\n<|im_start|>assistant\n{answer(5)}",
    ):
        assert extract_answer(text, lang) == 18, text


@every_language
def test_a_question_that_is_repeated_first_counts_for_nothing(lang: str) -> None:
    assert extract_answer(f"{QUESTIONS[lang]} 16 - 7?\n{LABELS[lang]} 9", lang) == 9


@every_language
def test_a_label_over_a_working_takes_its_end(lang: str) -> None:
    label, step = LABELS[lang], STEPS[lang]
    for text in (
        f"{label}\n16 - 3 - 4 = 9\n9 * 2 = 18",
        f"{label}\n\n**16 - 7 = 9**\n\n**9 * 2 = 18**",
        f"{label} 16 - 3 - 4 = 9\n9 * 2 = 18",
        f"**{label}**\n- 16 - 7 = 9\n- 9 * 2 = 18",
        f"{label}\n1. 16 - 7 = 9\n2. 9 * 2 = 18",
        f"{label}\n{step} 1: 16 - 7 = 9\n{step} 2: 9 * 2 = 18",
        f"{step} 1: 16-3=13\n{step} 2: 13-4=9\n{step} 3: 9*2=18\n{step} 4: OK.",
    ):
        assert extract_answer(text, lang) == 18, text


@every_language
def test_an_answer_may_stand_before_its_reasons(lang: str) -> None:
    label, dollars = LABELS[lang], DOLLARS[lang].format(18)
    for text in (
        f"{dollars}\n\n{EXPLANATIONS[lang]} 16 - 3 - 4 = 9, 2",
        f"{dollars}\n{EXPLANATIONS[lang]} 16 - 3 - 4 = 9, 2",
        f"{dollars}\n\n{CHECKS[lang]} 16 - 3 - 4 = 9",
        f"{RESULTS[lang]} {dollars}\n{CHECKS[lang]} 16 - 3 - 4 = 9",
        f"{RESULTS[lang]} 18\n16 - 3 - 4 = 9",
        f"{label} 18\n16 - 3 - 4 = 9",
        f"{label}\n18\n\n16 - 3 - 4 = 9",
        f"{ANSWERS[lang].format(18)} {CHECKS[lang]} 16 - 3 - 4 = 9",
        '{"answer": 18, "reasoning": "16 - 7 = 9, 2"}',
        '```json\n{"reasoning": "16 - 7 = 9, 2", "final_answer": "18", "confidence": 0.9}\n```',
        f'{{"{label.strip(" :：")}": {dollars}, "x": 2}}',
        f'{{"result": "{dollars}", "x": 2}}',
        "<answer>18</answer>\nConfidence: 95%",
        BECAUSE[lang],
        f"{label} {BECAUSE[lang]}",
    ):
        assert extract_answer(text, lang) == 18, text


@every_language
def test_numbers_that_are_rejected_or_left_open_do_not_count(lang: str) -> None:
    answer, dollars = ANSWERS[lang].format, DOLLARS[lang].format
    for text in (
        NEGATED[lang].format(18),
        NEGATED[lang].format(dollars(18)),
        NEGATED[lang].format("**18**"),
        NEGATED[lang].format(EIGHTEEN[lang]),
        f"9 * 2 = 18\n{NEGATED[lang].format(18)}",
        answer(EITHER[lang].format(17, 18)),
        answer(EITHER[lang].format(18, 19)),
        answer(EITHER[lang].format(dollars(18), dollars(19))),
        f"{LABELS[lang]} {EITHER[lang].format(18, 19)}",
        f"9 * 2 = 18\n{answer(EITHER[lang].format(18, 19))}",
        answer(BETWEEN[lang].format(17, 18)),
        f"{LABELS[lang]} {BETWEEN[lang].format(18, 19)}",
        answer("18-20"),
        answer("5 feet 18 inches"),
    ):
        assert extract_answer(text, lang) != 18, text


def test_what_is_not_rejected_counts() -> None:
    assert extract_answer("The answer is 18, not 16.", "en") == 18
    assert extract_answer("The answer is not 16 but 18.", "en") == 18
    assert extract_answer("The answer is ~~17~~ 18.", "en") == 18
    assert extract_answer("The answer is 18 dollars or 1800 cents.", "en") == 18
    assert extract_answer("The answer is not 16. 9 * 2 = 18", "en") == 18
    assert extract_answer("The difference between 2 and 20 is 18.", "en") == 18
    assert extract_answer("$18 and 50 cents", "en") == Decimal("18.50")
    assert extract_answer("答えは18ドル50セントです。", "ja") == Decimal("18.50")
    assert extract_answer("The answer is 1 hour and 30 minutes.", "en") is None
    assert extract_answer("She needs 1 hour and 30 minutes = 90 minutes", "en") == 90


@every_language
def test_spelled_numbers(lang: str) -> None:
    word = EIGHTEEN[lang]
    for text in (
        ANSWERS[lang].format(word),
        f"{LABELS[lang]} {word}",
        DOLLARS[lang].format(word),
        f"16 - 7 = 9\n{ANSWERS[lang].format(DOLLARS[lang].format(word))}",
        word.capitalize() + ".",
    ):
        assert extract_answer(text, lang) == 18, text


@pytest.mark.parametrize(
    ("lang", "text", "value"),
    [
        ("en", "2 million 125 thousand", 2_125_000),
        ("de", "12 Mio.", 12_000_000),
        ("de", "3 Mrd.", 3_000_000_000),
        ("es", "2 millones 125 mil", 2_125_000),
        ("fr", "2 millions 125 mille", 2_125_000),
        ("ru", "2 миллиона 125 тысяч", 2_125_000),
        ("ru", "5 тыс.", 5_000),
        ("ja", "212万5千", 2_125_000),
        ("zh", "1亿2千万", 120_000_000),
        ("th", "2 ล้าน 1 แสน", 2_100_000),
        ("sw", "5 elfu", 5_000),
        ("sw", "elfu 5", 5_000),
        ("sw", "laki 1 na elfu 14", 114_000),
        ("bn", "১ লক্ষ ১৪ হাজার ২০০", 114_200),
        ("te", "1 లక్ష", 100_000),
        ("te", "1 లక్ష 14 వేల 200", 114_200),
    ],
)
def test_big_numbers_in_several_parts(lang: str, text: str, value: int) -> None:
    for written in (text, ANSWERS[lang].format(text), f"{LABELS[lang]} {text}"):
        assert extract_answer(written, lang) == value, written


@every_language
def test_a_fraction_is_no_whole_number(lang: str) -> None:
    assert extract_answer(ANSWERS[lang].format("2125000/7"), lang) == Decimal(2125000) / 7


@every_language
def test_a_correction_counts(lang: str) -> None:
    answer = ANSWERS[lang].format
    assert extract_answer(f"{answer(17)}\n\n{answer(18)}", lang) == 18
    assert extract_answer(f"<think>\n{answer(17)}\n</think>\n\n{answer(18)}", lang) == 18
    assert extract_answer(f"<think>\n{answer(18)}", lang) is None
