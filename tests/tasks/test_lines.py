import gzip
import json
import os
from pathlib import Path

import pytest

from xlift.tasks.lines import answer_line
from xlift.tasks.spans import exact_match

LABELS = {
    "ar": "الجواب", "de": "Antwort", "el": "Απάντηση", "en": "Answer", "es": "Respuesta", "hi": "उत्तर", "ro": "Răspuns", "ru": "Ответ",
    "th": "คำตอบ", "tr": "Cevap", "vi": "Câu trả lời", "zh": "答案",
}  # fmt: skip
GREETINGS = {
    "ar": "بالتأكيد!", "de": "Natürlich!", "el": "Βεβαίως!", "en": "Sure!",
    "es": "¡Claro!", "hi": "ज़रूर!", "ro": "Sigur!", "ru": "Конечно!",
    "th": "แน่นอนครับ!", "tr": "Tabii ki!", "vi": "Chắc chắn rồi!", "zh": "当然！",
}  # fmt: skip
FORMS = (
    "{label}: X", "{label}：X", "**{label}:** X", "**{label}: X**", "{label}:\nX", "{label} - X", "Answer: X", "The answer: X",
    "```\nX\n```", "```text\nX\n```", "{greeting}\nX", "{greeting}\n\n{label}: X",
    "Sure!\nX", "<answer>X</answer>", "X\n\n{label}: Y", "X</s>",
    "X<|im_end|>\n<|im_start|>user", "Question: Y?\n{label}: X",
    "Here is the answer:\n\nX", "<think>\n{label}: Y\n</think>\n\n{label}: X",
)  # fmt: skip


@pytest.mark.parametrize("lang", LABELS)
@pytest.mark.parametrize("form", FORMS)
def test_what_stands_around_an_answer_goes(form: str, lang: str) -> None:
    assert answer_line(form.format(label=LABELS[lang], greeting=GREETINGS[lang])) == "X"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Respuesta:", "Respuesta:"),  # nothing behind the label
        ("", ""),
        ("9 de noviembre de 1901:\nEl texto dice que nació ese día.", "9 de noviembre de 1901:"),  # a gold answer of MLQA
        ("cuatro hijos:\nExplicación: el texto.", "cuatro hijos:"),
        ("How Men Have Babies: The Pregnant Father's Survival Guide", "How Men Have Babies: The Pregnant Father's Survival Guide"),
        ("3:08", "3:08"),
        ("Sure", "Sure"),
        ("Based on the text, the answer is:\nX", "X"),
        ("En el fragmento que me has dado se dice lo siguiente acerca de ello:\nX", "X"),
    ],
)
def test_lines_that_stay(text: str, line: str) -> None:
    assert answer_line(text) == line


def test_gold_answers_are_right_whatever_follows() -> None:
    if "XLIFT_DATA" not in os.environ:
        pytest.skip("XLIFT_DATA is not set: no gold answers to read")
    folder, asked = Path(os.environ["XLIFT_DATA"]), 0
    paths = [*(folder / "xquad").glob("*.jsonl"), *(folder / "mlqa_dev").glob("*.jsonl.gz")]
    for path in paths:
        read = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        golds = [json.loads(line)["answers"]["text"] for line in read.decode().removesuffix("\n").split("\n")]
        lang = path.name.partition(".")[0]
        wrong = [gold[0] for gold in golds if exact_match(answer_line(f"{gold[0]}\n\nExplanation: see the text."), gold, lang) != 1.0]
        assert not wrong
        asked += len(golds)
    assert asked > 1000
