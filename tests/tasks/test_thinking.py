import pytest

from xlift.tasks.choices import process_results as score_choice
from xlift.tasks.confusion import process_results as score_confusion
from xlift.tasks.language_id import process_results as score_instruction
from xlift.tasks.numbers import process_results as score_number
from xlift.tasks.spans import process_results as score_span
from xlift.tasks.thinking import MARKS, Said, answer_of, separate
from xlift.tasks.translation import process_results as score_translation


@pytest.mark.parametrize(("opening", "closing"), MARKS.items())
def test_every_kind_of_thinking_is_taken_off(opening: str, closing: str) -> None:
    assert separate(f"{opening}Perhaps 13?{closing}\n\n18") == Said("Perhaps 13?", "18", cut=False)
    assert separate(f"{opening}\n\n{closing}\n\n18") == Said("", "18", cut=False)
    assert separate(f"{opening}The answer is 18") == Said("The answer is 18", "", cut=True)


@pytest.mark.parametrize(
    ("text", "thinking", "answer", "cut"),
    [
        ("Perhaps 13?\n</think>\n\n18", "Perhaps 13?", "18", False),  # the prompt opened it
        ("<think>a</think>\n<think>b</think>\n18", "a\n\nb", "18", False),
        ("18 <think>or 19", "or 19", "18", True),
        ("<THINK>a</THINK>18", "a", "18", False),
        ("analysisWe need 13.assistantfinal18", "We need 13.", "18", False),  # gpt-oss without its special tokens
        ("analysisWe need", "We need", "", True),
        ("<|channel|>analysis<|message|>13<|end|><|channel|>final<|message|>18<|return|>", "13<|end|>", "18", False),
        ("  18\n", "", "  18\n", False),
        ("analysis of 18", "", "analysis of 18", False),
        ("", "", "", False),
    ],
)  # fmt: skip
def test_where_thinking_stands(text: str, thinking: str, answer: str, cut: bool) -> None:
    assert separate(text) == Said(thinking, answer, cut)
    assert answer_of(text) == answer


@pytest.mark.parametrize("block", ["<think>\nThe text says so.\n</think>\n\n", "<think>\n\n</think>\n\n"])
def test_thinking_changes_no_score(block: str) -> None:
    number, span = {"answer": "18", "lang": "es"}, {"answers": {"text": ["Madrid"]}, "lang": "es"}
    sentence = {"source": "The dog sleeps.", "target": "El perro duerme.", "target_lang": "es"}
    assert score_number(number, [block + "18"])["accuracy"] == 1.0
    assert score_span(span, [block + "Madrid"]) == score_span(span, ["Madrid"])
    assert score_span(span, [block + "Madrid"])["exact_match"] == 1.0
    assert score_translation(sentence, [block + "El perro duerme."])["chrf"] == 100.0
    instruction = score_instruction(
        {"lang": "es"}, [block.replace("The text", "The text that we have") * 3 + "El perro duerme en el jardín."]
    )
    assert instruction == {
        "off_target": 0.0,
        "on_target": 1.0,
        "language_unknown": 0.0,
        "characters": 29.0,
        "empty": 0.0,
        "thinking_cut": 0.0,
    }


def test_thinking_that_never_ends_is_an_empty_answer() -> None:
    text = ["<think>\nThe answer is 18."]
    number = score_number({"answer": "18", "lang": "en"}, text)
    assert number == {
        "accuracy": 0.0,
        "extraction_failure": 1.0,
        "on_target": 0.0,
        "language_unknown": 1.0,
        "thinking_cut": 1.0,
    }
    assert score_span({"answers": {"text": ["18"]}, "lang": "en"}, text)["thinking_cut"] == 1.0
    scores = score_translation({"source": "a", "target": "18", "target_lang": "es"}, text)
    assert (scores["empty"], scores["thinking_cut"], scores["language_unknown"]) == (1.0, 1.0, 1.0)


def test_thinking_is_taken_off_choices_and_language_confusion() -> None:
    options = {f"option_{number}": word for number, word in enumerate(("rot", "blau", "grün", "gelb"), 1)}
    assert score_choice({**options, "answer": "2", "lang": "de"}, ["<think>1? 3?</think>2"])["accuracy"] == 1.0
    thought = "<think>\nThe user wants a German answer about dogs.\n</think>\n\nDer Hund schläft heute im Garten hinter dem Haus."
    assert score_confusion({"lang": "de"}, [thought])["line_pass_rate"] == 1.0
