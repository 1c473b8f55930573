"""Which line of an answer is its translation; test_translation.py has the kinds of chatter."""

import os
from pathlib import Path

import pytest

from xlift.harness.core.languages import find
from xlift.tasks.translated_line import first_line
from xlift.tasks.translation import corpus_chrf, process_results

SOURCE = "The scientists said: the results are good."
LINE = "Los científicos dijeron: los resultados son buenos."


@pytest.mark.parametrize(
    "answer",
    [
        f"<think>\n\n</think>\n\n{LINE}",
        f"English: {SOURCE}\nSpanish: {LINE}",
        f"**English:** {SOURCE}\n\n**Español:** {LINE}",
        f"{SOURCE}\n{LINE}",
        f"{SOURCE.upper()}\n\n{LINE}",
        f'The text in Spanish is: "{LINE}"',
        f"The Spanish translation of the text is:\n{LINE}",
        f"Answer: {LINE}",
        f"Respuesta: {LINE}",
        f"¡Claro!\n\n{LINE}",
        f"Here is the translation of your sentence: {LINE}",
        f"<answer>{LINE}</answer>",
    ],
)
def test_the_translation_is_found(answer: str) -> None:
    assert first_line(answer, SOURCE) == (LINE, True)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (
            "Cinque Terre, which means Five Lands, has five villages.",
            "Cinque Terre, v preklade Päť krajín, má päť dedín: Riomaggiore a Manarola.",
        ),
        ('The spokesman said: "It is bad."', 'ترجمان نے کہا: "یہ برا ہے۔"'),
        ("Many versions: there are many.", "Tafsiri nyingi: kuna nyingi."),
        ("Perry said: no.", "Perry kamba: ka."),
        ("He was moved.", '"A fost mișcat."'),
        ('He said "yes"', "Er sagte „ja“"),
        ("Here is a list: three things.", "Here is a list: three things."),
    ],
)
def test_words_of_the_translation_stay(source: str, line: str) -> None:
    assert first_line(line, source) == (line, False)
    assert first_line(line, source, line) == (line, False)


def test_quotes_stay_where_the_reference_has_them() -> None:
    assert first_line('"Hola."', "Hello.", "Hola.") == ("Hola.", True)
    assert first_line('"Hola."', "Hello.", '"Hola."') == ('"Hola."', False)
    assert first_line('Spanish: "Hola."', "Hello.", '"Hola."') == ('"Hola."', True)


def test_a_label_that_the_reference_has_stays() -> None:
    assert first_line("Translation: a hard art", "Traducción", "Translation: a hard art") == ("Translation: a hard art", False)


def test_the_source_alone_is_scored_as_it_is() -> None:
    assert first_line(SOURCE, SOURCE, LINE) == (SOURCE, False)


@pytest.mark.slow
def test_every_reference_scores_100_as_an_answer() -> None:
    if "XLIFT_DATA" not in os.environ:
        pytest.skip("XLIFT_DATA is not set: no sentences of FLORES-200 to read")
    folder, asked = Path(os.environ["XLIFT_DATA"]) / "flores200_dataset", 0
    for split in ("dev", "devtest"):
        texts = {path.stem: path.read_text(encoding="utf-8").removesuffix("\n").split("\n") for path in (folder / split).glob(f"*.{split}")}
        for lines in texts.values():
            for source, line in zip(texts["eng_Latn"], lines, strict=True):
                assert first_line(line, source, line)[0] == line.strip()
                assert first_line(line, source)[0] == line.strip()
            asked += len(lines)
        code = sorted(texts)[0]
        docs = [{"source": a, "target": b, "target_lang": find(code).code} for a, b in zip(texts["eng_Latn"], texts[code], strict=True)]
        scores = [process_results(doc, [doc["target"]]) for doc in docs[:50]]
        assert corpus_chrf([score["corpus_chrf"] for score in scores]) == 100.0
        assert {score["chrf"] for score in scores} == {100.0}
    assert asked > 10_000
