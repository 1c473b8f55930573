"""Translation scores against numbers a reader can redo, and against sacrebleu's own command line."""

import json
import logging
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.tokenizers import tokenizer_spm

from xlift.harness.core.errors import UserError
from xlift.tasks import translation
from xlift.tasks.translation import (
    chrf_per_line,
    comet_scores,
    corpus_chrf,
    corpus_spbleu,
    first_line,
    process_results,
    score_line,
    signatures,
    spbleu_per_line,
)

REFERENCES = ["Der Hund schläft im Garten.", "Wir haben gestern 3,5 Liter Milch gekauft!", "Ja."]
HYPOTHESES = ["Der Hund schlief im Garten.", "Gestern kauften wir 3,5 Liter Milch.", "Ja."]


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder in place of sacrebleu's, and no way to fill it from the network."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a download was tried")

    monkeypatch.setattr(tokenizer_spm, "SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr(tokenizer_spm, "download_file", refuse)
    (tmp_path / "models").mkdir()
    forget()
    yield tmp_path / "models"
    forget()


def forget() -> None:
    translation._has_pieces.cache_clear()
    translation._bleu.cache_clear()


@pytest.mark.parametrize(
    "answer",
    [
        "Translation: Hola mundo.",
        "Spanish: Hola mundo.",
        "español：Hola mundo.",
        "**Spanish:** Hola mundo.",
        "**Hola mundo.**",
        '"Hola mundo."',
        "«Hola mundo.»",
        "„Hola mundo.“",
        "「Hola mundo.」",
        'Spanish: "Hola mundo."',
        '"Spanish: Hola mundo."',
        "In Spanish: Hola mundo.",
        "Spanish translation:\n\nHola mundo.",
        "Here is the translation:\nHola mundo.",
        "Here is the translation.\nHola mundo.",
        "Sure! Here's the sentence in Spanish: Hola mundo.",
        'Sure! Here is the translation of "Hello: world" into Spanish:\n\n**"Hola mundo."**\n\nLet me know!',
        "Certainly!\nHola mundo.",
        "The Spanish translation is “Hola mundo.”",
        "La traducción es: Hola mundo.",
        "翻译：“Hola mundo.”",
        "Spanish\nHola mundo.",
        "```text\nHola mundo.\n```",
        "Hola mundo.\nEnglish: Hello world.",
    ],
)
def test_chatter_is_stripped_and_counted(answer: str) -> None:
    assert first_line(answer, "Hello world.", "Hola a todos.") == ("Hola mundo.", True)


@pytest.mark.parametrize(
    "line",
    [
        "Hola mundo.",
        "Dijo: «Hola» y se fue.",
        '"Hola", dijo ella, "adiós"',
        "A las 11:20 llegó la policía.",
        "La República Dominicana (en español: República) es un país.",
        "Here is what we know: nothing.",
        "L'homme a dit 'oui'",
        "Sure!",
    ],
)
def test_plain_lines_are_left_alone(line: str) -> None:
    assert first_line(f"\n  {line}\n") == (line, False)


def test_a_source_about_translation_keeps_its_colon() -> None:
    source = "Translation apps: programs that translate text."
    line = "Aplicaciones de traducción: programas que traducen texto."
    assert first_line(line, source) == (line, False)
    assert first_line(f"Spanish: {line}", source) == (line, True)


def test_quotes_that_the_source_has_stay() -> None:
    assert first_line("«Hola mundo.»", '"Hello world."') == ("«Hola mundo.»", False)


def test_nothing_but_chatter_is_empty() -> None:
    assert first_line("Translation:") == ("", True)
    assert first_line(" \n ") == ("", False)


@given(st.text(max_size=60), st.text(max_size=20))
def test_first_line_is_one_line(answer: str, source: str) -> None:
    line, chatter = first_line(answer, source)
    assert line == line.strip()
    assert "\n" not in line
    assert chatter == (line != answer.strip())


def test_chrf_by_hand() -> None:
    # abc against abd. Shared: 2 of 3 characters, 1 of 2 pairs, 0 of 1 triple, 0 of 1 word; longer n-grams do not exist.
    # Precision and recall are both (2/3 + 1/2 + 0 + 0) / 4 = 7/24, and so is their F.
    assert chrf_per_line(["abc"], ["abd"]) == pytest.approx([700 / 24])


def test_chrf_weighs_recall_twice() -> None:
    # a against ab: precision of characters 1/1, recall 1/2; the words differ: 0 and 0; no pairs in the hypothesis.
    # P = 1/2, R = 1/4, F2 = 5 P R / (4 P + R) = 0.625 / 2.25
    assert chrf_per_line(["a"], ["ab"]) == pytest.approx([100 * 0.625 / 2.25])


def test_spbleu_by_hand() -> None:
    # every n-gram is right, so only the brevity penalty exp(1 - reference/hypothesis) is left
    assert spbleu_per_line(["the cat"], ["the cat sat"], "en") == pytest.approx([100 * math.exp(1 - 3 / 2)])
    items = [("a b c d e", "a b c d", "en"), ("a b c d e", "a b c d e", "en")]
    assert corpus_spbleu(items) == pytest.approx(100 * math.exp(1 - 10 / 9))


def test_identical_is_100_and_empty_is_0() -> None:
    assert chrf_per_line(REFERENCES, REFERENCES) == pytest.approx([100] * 3)
    assert spbleu_per_line(REFERENCES, REFERENCES, "de") == pytest.approx([100] * 3)
    assert corpus_chrf([(line, line) for line in REFERENCES]) == pytest.approx(100)
    assert corpus_spbleu([(line, line, "de") for line in REFERENCES]) == pytest.approx(100)
    assert chrf_per_line([""], ["abc"]) == spbleu_per_line([""], ["abc"], "en") == [0.0]


def test_unspaced_scripts_are_counted_by_character() -> None:
    # 4 of 4 characters at hand, 8 in the reference: exp(1 - 8/4)
    assert spbleu_per_line(["これは本"], ["これは本です。か"], "ja") == pytest.approx([100 * math.exp(-1)])


def test_corpus_values_equal_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "ref").write_text("\n".join(REFERENCES), encoding="utf-8")
    (tmp_path / "hyp").write_text("\n".join(HYPOTHESES), encoding="utf-8")
    flags = ["--metrics", "bleu", "chrf", "--chrf-word-order", "2", "--tokenize", "intl", "--width", "6", "--format", "json"]
    command = [sys.executable, "-m", "sacrebleu", str(tmp_path / "ref"), "-i", str(tmp_path / "hyp"), *flags]
    bleu, chrf = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    pairs = list(zip(REFERENCES, HYPOTHESES, strict=True))
    assert corpus_chrf(pairs) == pytest.approx(chrf["score"], abs=1e-5)
    assert corpus_spbleu([(*pair, "de") for pair in pairs]) == pytest.approx(bleu["score"], abs=1e-5)
    assert (signatures("de")["corpus_chrf"], signatures("de")["corpus_spbleu"]) == (chrf["signature"], bleu["signature"])


def test_signatures_name_the_stand_in(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        used = {
            lang: signatures(lang)["corpus_spbleu"].split("|")[3] for lang in ("es", "ko", "zh", "zh-Hant", "ja", "th", "km", "lo", "my")
        }
    assert used == {"es": "tok:intl", "ko": "tok:intl", "zh": "tok:zh", "zh-Hant": "tok:zh"} | dict.fromkeys(
        ["ja", "th", "km", "lo", "my"], "tok:char"
    )
    assert caplog.text.count("flores200sacrebleuspm is missing") == 1


def test_pieces_are_used_where_they_are(models: Path) -> None:
    words = " ".join(REFERENCES + HYPOTHESES)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([words] * 5), model_prefix=str(models / "tiny"), vocab_size=45, minloglevel=2
    )
    (models / "tiny.model").rename(models / "flores200sacrebleuspm")
    assert "tok:flores200" in signatures("th")["spbleu"]
    assert corpus_spbleu([(line, line, "de") for line in REFERENCES]) == pytest.approx(100)


def test_broken_pieces_are_one_line(models: Path) -> None:
    (models / "flores200sacrebleuspm").write_bytes(b"half a download")
    with pytest.raises(UserError, match="does not load: delete its file"):
        signatures("es")


def test_mixed_targets_are_refused() -> None:
    with pytest.raises(ValueError, match="one target language at a time, got de, es"):
        corpus_spbleu([("a", "a", "es"), ("b", "b", "de")])


def test_score_line() -> None:
    doc = {
        "source": "The dog sleeps in the garden.",
        "target": "Der Hund schläft im Garten.",
        "source_lang": "en",
        "target_lang": "de",
    }
    scores = score_line(doc, ["German: Der Hund schläft im Garten.\nEnglish: The dog"])
    assert scores == {
        "chrf": pytest.approx(100),
        "spbleu": pytest.approx(100),
        "corpus_chrf": (doc["target"], doc["target"]),
        "corpus_spbleu": (doc["target"], doc["target"], "de"),
        "chrf_as_written": pytest.approx(100),
        "spbleu_as_written": pytest.approx(100),
        "corpus_chrf_as_written": (doc["target"], doc["target"]),
        "corpus_spbleu_as_written": (doc["target"], doc["target"], "de"),
        "off_target": 0.0,
        "on_target": 1.0,
        "language_unknown": 0.0,
        "chatter": 1.0,
        "empty": 0.0,
        "thinking_cut": 0.0,
    }
    older = process_results(doc, [doc["target"]])
    assert older.keys() == {name for name in scores if not name.endswith("_as_written")}, "files of 0.1 list no other scores"
    nothing = score_line(doc, [""])
    assert (nothing["chrf"], nothing["spbleu"], nothing["language_unknown"], nothing["empty"]) == (0.0, 0.0, 1.0, 1.0)


def test_a_line_in_a_wrong_language_counts_as_an_empty_one() -> None:
    source, target = (
        "Doctor Ehud Ur of Dalhousie University spoke in Halifax.",
        "Doktor Ehud Ur von der Dalhousie University sprach in Halifax.",
    )
    doc = {"source": source, "target": target, "source_lang": "en", "target_lang": "de"}
    copied, good = score_line(doc, [source]), score_line(doc, [target])
    assert (copied["off_target"], copied["chatter"], copied["chrf"], copied["spbleu"]) == (1.0, 0.0, 0.0, 0.0)
    assert copied["corpus_chrf"] == (target, "") and copied["corpus_spbleu"] == (target, "", "de")
    # as written the names alone are worth as much as a poor translation
    assert copied["chrf_as_written"] == chrf_per_line([source], [target])[0] > 50
    assert copied["corpus_chrf_as_written"] == (target, source)
    both = [good["corpus_chrf"], copied["corpus_chrf"]]
    assert corpus_chrf(both) == corpus_chrf([(target, target), (target, "")]) < 70 < corpus_chrf([(target, target), (target, source)])
    # nor can a line where the reference itself is taken for another language: it counts as it is
    odd = {**doc, "target": source}
    assert score_line(odd, [source])["chrf"] == 100 and score_line(odd, [source])["language_unknown"] == 1
    # a name alone cannot be told and counts as it is
    name = score_line(doc, ["Dalhousie University"])
    assert "off_target" not in name and name["chrf"] == name["chrf_as_written"] > 0


def test_comet_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLIFT_COMET", "no-such-command")
    with pytest.raises(UserError, match="no command 'no-such-command': install unbabel-comet in an environment of its own"):
        comet_scores(["a"], ["b"], ["c"], "Unbabel/wmt22-comet-da")


COMET = """#!{python}
# Takes the arguments of comet-score, and writes what it writes: 1.0 where a line equals its reference.
import argparse, json, sys
parser = argparse.ArgumentParser()
for name in ("-s", "-t", "-r", "--model", "--batch_size", "--gpus", "--to_json"):
    parser.add_argument(name)
parser.add_argument("--quiet", action="store_true")
given = parser.parse_args()
if given.model not in ("Unbabel/wmt22-comet-da", "{checkpoint}"):
    sys.exit(given.model + " is not a valid checkpoint path or model choice.")
columns = [[line.strip() for line in open(path)] for path in (given.s, given.t, given.r)]
rows = [dict(src=src, mt=mt, ref=ref, COMET=float(mt == ref)) for src, mt, ref in zip(*columns)]
json.dump({{given.t: rows}}, open(given.to_json, "w"))
"""


def test_comet_is_a_command_of_another_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    checkpoint, command = tmp_path / "checkpoints" / "model.ckpt", tmp_path / "comet-score"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    command.write_text(COMET.format(python=sys.executable, checkpoint=checkpoint))
    command.chmod(0o755)
    monkeypatch.setenv("XLIFT_COMET", str(command))
    for model in (tmp_path, checkpoint, "Unbabel/wmt22-comet-da"):
        assert comet_scores(["a", "b"], ["año\nx", "y"], ["año x", "z"], model) == [1.0, 0.0]
    with pytest.raises(UserError, match="ended with status 1: Unbabel/wmt22-commet is not a valid checkpoint path or model choice"):
        comet_scores(["a"], ["b"], ["c"], "Unbabel/wmt22-commet")
