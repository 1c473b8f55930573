import pytest

from xlift.tasks.number_words import read_first, to_digits
from xlift.tasks.numerals import clean


@pytest.mark.parametrize(
    ("lang", "text", "value"),
    [
        ("en", "eighteen", 18),
        ("en", "twenty-five", 25),
        ("en", "a hundred and five", 105),
        ("en", "two thousand, one hundred and twenty-five", 2125),
        ("en", "two million", 2_000_000),
        ("de", "achtzehn", 18),
        ("de", "dreißig", 30),
        ("de", "zweitausendeinhundertfünfundzwanzig", 2125),
        ("es", "dieciocho", 18),
        ("es", "treinta y uno", 31),
        ("es", "mil doscientos", 1200),
        ("fr", "soixante et onze", 71),
        ("fr", "quatre-vingt-dix-sept", 97),
        ("fr", "deux cents", 200),
        ("ru", "восемнадцать", 18),
        ("ru", "сто двадцать пять", 125),
        ("sw", "kumi na nane", 18),
        ("sw", "mia mbili", 200),
        ("sw", "elfu mbili mia tano na ishirini na tano", 2525),
        ("bn", "আঠারো", 18),
        ("bn", "আঠারোটি", 18),
        ("bn", "নিরানব্বই", 99),
        ("bn", "একশ পঁচিশ", 125),
        ("te", "పద్దెనిమిది", 18),
        ("te", "ఇరవై ఐదు", 25),
        ("te", "రెండు వందల", 200),
        ("th", "สิบแปด", 18),
        ("th", "ยี่สิบเอ็ด", 21),
        ("th", "หนึ่งร้อยยี่สิบห้า", 125),
    ],
)
def test_words_of_a_number(lang: str, text: str, value: int) -> None:
    found = read_first(clean(text), lang)
    assert found is not None and found.value == value


@pytest.mark.parametrize(
    ("lang", "text"), [("en", "someone"), ("en", "one of them"), ("th", "สามารถ"), ("es", "un huevo"), ("bn", "নয় কি")]
)
def test_words_that_are_no_numbers(lang: str, text: str) -> None:
    assert read_first(clean(text), lang) is None
    assert to_digits(clean(text), lang) == clean(text)


def test_digits_keep_their_units() -> None:
    assert to_digits("5 thousand and elfu 5", "sw") == "5 thousand and elfu 5"
    assert to_digits("ten of the twenty-one", "en") == "10 of the 21"
    assert to_digits("two three", "en") == "2 3"
