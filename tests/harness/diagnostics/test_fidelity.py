"""Language fidelity of answers: language, script, mixture, refusals, empty and repeated ones."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from result_folders import write_answers

from xlift.harness.core.errors import UserError
from xlift.harness.diagnostics.fidelity import report, summarise
from xlift.tasks import fidelity
from xlift.tasks.fidelity import describe, refuses

SPANISH = "El hielo flota en el agua porque es menos denso que el agua que lo rodea."
ENGLISH = "Ice floats on the water because it is less dense than the water around it."
RUSSIAN = "Лёд плавает на поверхности воды, потому что он легче воды вокруг него."


def test_language_and_script() -> None:
    found = describe(RUSSIAN, "es")
    assert (found.language, found.script, found.off_target, found.foreign, found.mixed) == ("ru", "Cyrl", True, 1, False)
    found = describe(SPANISH, "es")
    assert (found.language, found.script, found.off_target, found.foreign, found.mixed) == ("es", "Latn", False, 0, False)


def test_an_answer_in_two_languages() -> None:
    found = describe(f"{SPANISH} {ENGLISH}", "es")
    letters = [sum(map(str.isalpha, text)) for text in (SPANISH, ENGLISH)]
    assert found.foreign == pytest.approx(letters[1] / sum(letters)) and found.mixed
    assert describe(f"{SPANISH}\n{RUSSIAN}", "es").mixed
    assert describe(f"{SPANISH}\n```\n{ENGLISH}\n```", "es").foreign == 0  # code is not prose


def test_nothing_was_said() -> None:
    found = describe(" \n", "es")
    assert (found.language, found.script, found.empty, found.foreign, found.refusal) == ("und", "", True, 0, False)


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("I'm sorry, but I can't help with that.", "es"),
        ("I’m sorry, but I cannot assist with this request.", "en"),
        ("As an AI language model, I cannot have opinions.", "th"),
        ("Lo siento, pero no puedo ayudarte con eso.", "es"),
        ("Es tut mir leid, aber ich kann dabei nicht helfen.", "de"),
        ("Ich kann diese Frage leider nicht beantworten.", "de"),
        ("Désolé, mais je ne peux pas répondre à cette question.", "fr"),
        ("Je ne peux pas vous aider.", "fr"),
        ("Samahani, siwezi kukusaidia na hilo.", "sw"),
        ("Извините, но я не могу помочь с этим.", "ru"),
        ("很抱歉,我无法回答这个问题。", "zh"),
        ("申し訳ありませんが、そのご質問にはお答えできません。", "ja"),
    ],
)
def test_refusals(text: str, lang: str) -> None:
    assert refuses(text, lang)


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        (SPANISH, "es"),
        ("Sorry for the late reply! The meeting starts at nine.", "en"),
        ("Plants cannot live without light.", "en"),
        ("Als ich jung war, tat mir vieles leid.", "de"),
        ("Je ne peux pas venir demain, dit-elle.", "fr"),
        (f"{SPANISH * 4} Lo siento, pero no puedo ayudar.", "es"),  # too late to be one
    ],
)
def test_no_refusals(text: str, lang: str) -> None:
    assert not refuses(text, lang)


def test_every_refusal_pattern_is_of_a_known_language() -> None:
    assert all(describe("x", code) for code in fidelity._refusals())


@given(st.text(max_size=80))
def test_any_text_can_be_described(text: str) -> None:
    assert 0 <= describe(text, "es").foreign <= 1


def test_shares_of_many_answers() -> None:
    loop = "\n".join(["La casa es grande."] * 6)
    found = summarise([SPANISH, ENGLISH, "", loop, f"{SPANISH} {ENGLISH}"], "es")
    assert (found["items"], found["told"], found["empty"], found["repeated"], found["mixed"]) == (5, 4, 0.2, 0.2, 0.2)
    assert (found["off_target"], found["on_target"], found["cannot_tell"]) == (0.25, 0.6, 0.2)
    assert found["scripts"] == "Latn 0.80 none 0.20"


def test_thinking_is_no_part_of_an_answer() -> None:
    found = summarise([f"<think>\n{ENGLISH}\n</think>\n\n{SPANISH}", f"<think>\n{ENGLISH}"], "es")
    assert (found["off_target"], found["empty"], found["thinking_cut"], found["languages"]) == (0.0, 0.5, 0.5, "es 0.50 und 0.50")


def test_a_report_of_a_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    folder = write_answers(run, "base", None, [("1", SPANISH), ("2", ENGLISH)])
    (row,) = report([run])
    assert (row["model"], row["task"], row["lang"], row["off_target"]) == ("base", "xlift_x_alpaca_eval_es", "es", 0.5)
    (samples,) = folder.glob("samples*")
    samples.write_text(json.dumps({"resps": []}) + "\n")
    with pytest.raises(UserError, match="damaged"):
        report([run])


def test_a_record_without_texts_has_no_fidelity(tmp_path: Path) -> None:
    stage = write_answers(tmp_path, "base", None, [("1", SPANISH)])
    for path in stage.glob("samples_*"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps({key: value for key, value in row.items() if key != "resps"}) + "\n" for row in rows))
    with pytest.raises(UserError, match="a published record keeps no answers"):
        report([tmp_path])
