"""The bundled samples: their columns, languages and sums, and when they step in."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from xlift.harness.core.errors import UserError
from xlift.tasks.corpus_table import CORPORA
from xlift.tasks.data import locate, read

pytestmark = pytest.mark.usefixtures("unplugged")


@pytest.mark.parametrize("corpus", [name for name, corpus in CORPORA.items() if corpus.sampled])
@pytest.mark.parametrize("lang", ["en", "es", "de", "fr", "sw"])
def test_samples_have_the_columns_of_the_corpus(corpus: str, lang: str) -> None:
    asked = f"en-{lang}" if corpus == "flores" and lang != "en" else lang
    if (CORPORA[corpus].languages and lang not in CORPORA[corpus].languages) or (
        corpus in ("parallel", "lexicon", "entities") and lang == "en"
    ):
        with pytest.raises(UserError):
            read(corpus, asked, samples="always")
        return
    rows = read(corpus, asked, samples="always")
    assert len(rows) >= 24 and len(set(rows["id"])) == len(rows)
    assert locate(corpus, asked, samples="always").origin == "samples"
    for row in rows if "answers" in rows.column_names else []:
        (text,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
        assert row["context"][start : start + len(text)] == text


MORE = {"flores": 22, "mgsm": 5, "x_alpaca_eval": 4, "language_confusion": 4, "xquad": 3, "belebele": 3, "mlqa": 3, "parallel": 20,
        "alpaca": 8, "alpagasus": 8, "gsm8k": 24, "lexicon": 60, "ntrex": 22, "xcopa": 24, "pawsx": 24, "xnli": 24, "sib200": 16,
        "bmlama": 24}  # fmt: skip
"""Bundled items in Russian, Arabic, Hindi, Chinese and Thai, where a corpus has the language."""


@pytest.mark.parametrize("corpus", MORE)
def test_samples_in_six_scripts(corpus: str) -> None:
    spoken = set()
    for lang in ("ru", "ar", "hi", "zh", "th"):
        try:
            rows = read(corpus, lang, samples="always")
        except UserError:
            continue
        spoken.add(lang)
        text = next(
            column
            for column in ("text", "premise", "hypothesis", "sentence", "question", "instruction", "fact")
            if column in rows.column_names
        )
        assert len(rows) == MORE[corpus] and not any(re.search("[a-z]{4}", row) for row in rows[text])
    lacking = {"mgsm": {"ar", "hi"}, "gsm8k": {"ar", "hi", "th"}, "mlqa": {"ru", "th"}, "alpagasus": {"hi"}, "x_alpaca_eval": {"hi"},
               "language_confusion": {"th"}, "xcopa": {"ru", "ar", "hi"},
               "pawsx": {"ru", "ar", "hi", "th"}, "bmlama": {"hi", "th"}}  # fmt: skip
    assert {"ru", "ar", "hi", "zh", "th"} - spoken == lacking.get(corpus, set())


def test_sums_of_the_bundled_problems_are_right() -> None:
    for row in read("gsm8k", "en", samples="always"):
        marks = re.findall(r"<<(.+?)=(\d+)>>", row["answer"])
        assert marks and all(eval(sum_) == int(result) for sum_, result in marks)
        assert marks[-1][1] == row["final_answer"] == row["answer"].rpartition("#### ")[2]


def test_samples_step_in_only_when_asked(fill_folder: Callable[..., Path]) -> None:
    fill_folder(**{"mgsm/test/es.jsonl": json.dumps({"id": 0, "question": "¿Cuánto?", "answer": "2"}) + "\n"})
    assert locate("mgsm", "es", samples="missing").origin == "folder"
    assert locate("mgsm", "es", samples="always").origin == "samples"
    assert locate("mgsm", "fr", samples="missing").origin == "samples"
    with pytest.raises(UserError, match="data.samples: missing"):
        read("mgsm", "fr")
    with pytest.raises(UserError, match="no bundled samples for 'te'"):
        read("mgsm", "te", samples="missing")
    with pytest.raises(UserError, match="choose what the samples have"):
        read("qa", "en", samples="always")
