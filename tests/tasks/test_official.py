import pytest
from lm_eval.tasks.mlqa import utils as lm_eval_mlqa

from xlift.tasks import official
from xlift.tasks.spans import process_mlqa_results, process_results


@pytest.mark.parametrize(
    ("text", "lang", "tokens"),
    [
        ("The Denver Broncos.", "en", ["denver", "broncos"]),
        ("«Los» Broncos", "es", ["broncos"]),
        ("使用TCP/IP的 1950 年代。", "zh", ["使", "用", "tcpip", "的", "1950", "年", "代"]),
        ("سؤالهم", "ar", ["سؤ", "هم"]),  # the script cuts the article out of the middle of words
        ("những cái cây", "vi", ["cây"]),
        ("भारत का संविधान।", "hi", ["भारत", "का", "संविधान"]),
    ],
)
def test_tokens_of_the_mlqa_script(text: str, lang: str, tokens: list[str]) -> None:
    assert official.mlqa(text, lang) == tokens


@pytest.mark.parametrize("lang", ["en", "es", "de", "vi", "hi", "zh"])
def test_mlqa_tokens_are_those_of_lm_evals_copy(lang: str) -> None:
    for text in ("The «Straße» des Lagos, el 5%!", "của những 1950年代的 A/B", "a, the; der-die das"):
        assert official.mlqa(text, lang) == lm_eval_mlqa.normalize_answer(text, lang).split()


def test_squad_tokens_are_english_in_every_language() -> None:
    assert official.squad("The «Straße» der Stadt, a", "de") == ["«straße»", "der", "stadt"]


def test_scores_by_hand() -> None:
    said, wanted = ["denver", "broncos", "won"], [["panthers"], ["denver", "broncos"]]
    assert official.f1(said, wanted) == pytest.approx(2 * (2 / 3) * 1 / (2 / 3 + 1))
    assert official.exact_match(said, wanted) == 0.0
    assert official.exact_match(["panthers"], wanted) == 1.0
    assert official.f1([], [[]]) == 0.0


def test_both_stand_beside_ours() -> None:
    doc = {"answers": {"text": ["los Broncos"]}, "lang": "es"}
    xquad, mlqa = process_results(doc, ["Respuesta: Broncos"]), process_mlqa_results(doc, ["Respuesta: Broncos"])
    assert (xquad["exact_match"], xquad["official_em"], xquad["official_f1"]) == (1.0, 0.0, pytest.approx(2 / 3))
    assert (mlqa["exact_match"], mlqa["official_em"], mlqa["official_f1"]) == (1.0, 1.0, 1.0)
