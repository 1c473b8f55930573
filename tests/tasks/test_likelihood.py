import math
from typing import Any

import pytest

from xlift.harness.core.errors import UserError
from xlift.tasks import golds
from xlift.tasks.likelihood import measure_bits, measure_choice

BIT = math.log(2)


def test_bits_for_each_byte_of_utf_8() -> None:
    # "año" has four bytes
    assert measure_bits(["año"], 0, [-8 * BIT]) == {"bits_per_byte": pytest.approx(2.0)}
    # of two right answers the one with fewer bits a byte counts, though the other is likelier as a whole
    assert measure_bits(["ab", "abcdefgh"], 0, [-4 * BIT, -8 * BIT]) == {"bits_per_byte": pytest.approx(1.0)}


def test_the_right_option_against_the_likeliest_of_the_others() -> None:
    scores = measure_choice(["yes", "no", "well"], 1, [-9 * BIT, -4 * BIT, -6 * BIT])
    # 3, 2 and 1.5 bits a byte
    assert scores == {"acc": 1.0, "acc_norm": 0.0, "margin": pytest.approx(2.0)}
    assert measure_choice(["yes", "no"], 0, [-6 * BIT, -4 * BIT]) == {"acc": 0.0, "acc_norm": 0.0, "margin": pytest.approx(-2.0)}


def test_equal_options_decide_nothing() -> None:
    assert measure_choice(["1", "2"], 0, [-1.0, -1.0]) == {"acc": 0.0, "acc_norm": 0.0, "margin": 0.0}


@pytest.mark.parametrize(
    ("kind", "doc", "found"),
    [
        ("translation", {"target": " Hola. "}, ["Hola."]),
        ("sentence", {"text": "Hola.\n"}, ["Hola."]),
        ("spans", {"answers": {"text": ["1856", " 1856 ", "en 1856"]}}, ["1856", "en 1856"]),
        ("number_sentence", {"lang": "es", "answer": "18"}, ["La respuesta es 18."]),
        ("number_sentence", {"lang": "ja", "answer": "2125"}, ["答えは2125です。"]),
        ("reference", {"output": " Claro. "}, ["Claro."]),
        ("sentences", {"choice1": "Llovió.", "choice2": "Llovió. "}, ["Llovió.", "Llovió."]),
        ("facts", {"prompt": "Ana nació en <mask>.", "candidates": "Roma\tLa Meca"}, ["Ana nació en Roma.", "Ana nació en La Meca."]),
    ],
)
def test_the_right_answers_of_an_item(kind: str, doc: dict[str, Any], found: list[str]) -> None:
    assert getattr(golds, kind)(doc) == found


def test_a_long_reference_is_cut_between_words() -> None:
    words = "palabra " * 200  # 8 bytes each: 125 of them are 1000 bytes
    assert golds.reference({"output": words}) == [("palabra " * 125).strip()]
    assert golds.reference({"output": "x" * 3 + " " + words}) == [("xxx " + "palabra " * 124).strip()]
    thai = "ก" * 400  # 3 bytes each, and no spaces
    assert golds.reference({"output": thai}) == ["ก" * 333]


@pytest.mark.parametrize(
    ("kind", "doc"),
    [
        ("translation", {"target": " \n\u3000"}), ("translation", {"target": ""}), ("sentence", {"text": "\t"}),
        ("reference", {"output": " "}),
        ("number_sentence", {"lang": "es", "answer": " "}), ("sentences", {"choice1": "Llovió.", "choice2": " "}),
        ("facts", {"prompt": "Ana nació en <mask>.", "candidates": "Roma\t "}), ("spans", {"answers": {"text": ["1856", ""]}}),
        ("spans", {"answers": {"text": []}}),
    ],
)  # fmt: skip
def test_an_empty_answer_is_refused(kind: str, doc: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="item 7: an answer is empty, so it has no likelihood; mend the data"):
        getattr(golds, kind)({"id": "7", **doc})
