"""Rows of a user's own: read with their corpus, without what is measured; what does not fit is one line."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import Call

from xlift.harness.core.errors import UserError
from xlift.tasks.data import read
from xlift.tasks.own_rows import add


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.mark.usefixtures("unplugged")
def test_own_pairs_are_read_with_their_corpus_without_what_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, source = tmp_path / "mine", tmp_path / "pairs.tsv"
    source.write_text("en\tam\nGood morning to you all.\tእንደምን አደራችሁ።\nThe door is open.\tበሩ ክፍት ነው።\n", encoding="utf-8")
    done = add(source, "parallel", "en-am", folder, licence="CC0")
    assert (done.rows, done.leaking, done.file) == (2, 0, "train/own/parallel.am.tsv.gz")
    monkeypatch.setenv("XLIFT_DATA", str(folder))
    rows = list(read("parallel", "am"))
    assert rows[1] == {"id": "own-1", "en": "The door is open.", "text": "በሩ ክፍት ነው።", "part": "own"}
    assert list(read("parallel/own", "amh_Ethi")) == rows
    with pytest.raises(UserError, match="is there already: say --replace"):
        add(source, "parallel", "am-en", folder)
    (folder / "flores200_dataset/devtest").mkdir(parents=True)
    measured = folder / "flores200_dataset/devtest/eng_Latn.devtest"
    measured.write_text("The door is open.\n", encoding="utf-8")
    entries = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    sha256 = hashlib.sha256(measured.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps([*entries, {"file": "flores200_dataset/devtest/eng_Latn.devtest", "sha256": sha256}]))
    assert (done := add(source, "parallel", "am-en", folder, overwrite=True)).leaking == 1 and done.rows == 1


@pytest.mark.usefixtures("unplugged")
@pytest.mark.parametrize(
    ("kind", "lang", "row", "corpus", "found"),
    [
        ("instructions", "am", {"instruction": "ደርድር።", "input": "ለ ሀ", "output": "ሀ ለ"}, "alpaca", {"instruction": "ደርድር።\nለ ሀ"}),
        ("prompts", "am", {"prompt": "ለምን?"}, "alpaca/own", {"id": "own-0", "instruction": "ለምን?", "output": ""}),
        ("lexicon", "en-am", {"en": "door", "am": "በር"}, "lexicon", {"en": "door", "text": "በር"}),
        ("qa", "am", {"context": "በሩ ቀይ ነው።", "question": "ምን?", "answer": "ቀይ"}, "qa",
         {"answers": {"text": ["ቀይ"], "answer_start": [3]}}),
    ],
)  # fmt: skip
def test_own_rows_of_every_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, lang: str, row: dict[str, Any], corpus: str, found: dict[str, Any]
) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text(jsonl(row), encoding="utf-8")
    add(source, kind, lang, tmp_path / "mine")
    monkeypatch.setenv("XLIFT_DATA", str(tmp_path / "mine"))
    assert read(corpus, "am")[0].items() >= found.items()


@pytest.mark.parametrize(
    ("name", "content", "kind", "languages", "says"),
    [
        ("a.tsv", "en\tfr\nHi.\tSalut.\n", "parallel", "en-am", "row 1 has no text in am or amh_Ethi or text (its columns are en, fr)"),
        (
            "a.tsv",
            "Hi.\tሰላም።\nBye.\tቻው።\n",
            "parallel",
            "en-am",
            "row 1 has no text in en (its columns are Hi., ሰላም።); parallel needs the columns en and am, named in the first line",
        ),
        (
            "a.tsv",
            "Hi.\tሰላም።\n",
            "lexicon",
            "en-am",
            "has no rows with columns; lexicon needs the columns en and am, named in the first line",
        ),
        ("a.jsonl", '{"text": "i"}\n', "instructions", "am", "instructions needs the columns instruction and output"),
        ("a.tsv", "en\tam\n\tb\n", "parallel", "en-am", "row 1 has no text in en"),
        ("a.tsv", "en\tam\nb\n", "parallel", "en-am", "cannot be read as what the end of its name says (line 2 has 1 columns, not 2"),
        ("a.jsonl", "[1]\n", "qa", "am", "has no rows with columns"),
        ("a.jsonl", '{"context": "c", "question": "q", "answer": "d"}\n', "qa", "am", "row 1: its answers are no texts of its context"),
        ("a.jsonl", '{"instruction": "i"}\n', "instructions", "am", "row 1 has no text in output"),
        ("a.jsonl", '{"prompt": "\\ud800 a"}\n', "prompts", "am", "row 1 has half of a character in instruction or prompt"),
        ("a.jsonl", '{"prompt": "ለምን?"}\n\n{"prompt": "ምን?"}\n', "prompts", "am", "line 2 is no JSON"),
        ("a.tsv", "en\tam\nb\tለ\n\n", "parallel", "en-am", "line 3 has 1 columns, not 2"),
        ("a.csv", 'en,am\n"b,ለ\n', "parallel", "en-am", "no CSV: unexpected end of data"),
        ("a.parquet", "PAR1", "parallel", "en-am", "cannot be read"),
        ("a.tsv", "en\tde\nHi.\tHallo.\n", "parallel", "en-en", "name a pair with English, such as en-am"),
        ("a.jsonl", "{}\n", "pairs", "en-am", "unknown kind; did you mean 'prompts'? known: instructions, lexicon, parallel, prompts, qa"),
        ("a.jsonl", "{}\n", "parallel", "am", "name a pair with English, such as en-am"),
        ("a.jsonl", "{}\n", "qa", "amh", "unknown language 'amh'"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, name: str, content: str, kind: str, languages: str, says: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        add(tmp_path / name, kind, languages, tmp_path / "mine")
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "mine").exists()


@pytest.mark.usefixtures("unplugged")
@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("bom.tsv", "\ufeffen\tam\nThe door is open.\tበሩ ክፍት ነው።\n"),
        ("crlf.tsv", "en\tam\r\nThe door is open.\tበሩ ክፍት ነው።\r\n"),
        ("both.csv", "\ufeffen,am\r\nThe door is open.,በሩ ክፍት ነው።\r\n"),
        ("both.jsonl", '\ufeff{"en": "The door is open.", "text": "በሩ ክፍት ነው።"}\r\n'),
        ("both.json", '\ufeff[{"en": "The door is\\n open.", "amh_Ethi": " በሩ ክፍት ነው።"}]\r\n'),
    ],
)
def test_marks_and_line_ends_of_other_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, written: str) -> None:
    (tmp_path / name).write_bytes(written.encode())
    add(tmp_path / name, "parallel", "en-am", tmp_path / "mine")
    monkeypatch.setenv("XLIFT_DATA", str(tmp_path / "mine"))
    assert [(row["en"], row["text"]) for row in read("parallel", "am")] == [("The door is open.", "በሩ ክፍት ነው።")]


@pytest.mark.usefixtures("unplugged")
def test_bytes_that_are_no_text(tmp_path: Path, call: Call) -> None:
    (tmp_path / "a.tsv").write_bytes("en\tde\nyes\tja, natürlich\n".encode("latin-1"))
    code, out, err = call("data", "add", tmp_path / "a.tsv", "--as", "parallel", "--languages", "en-de", "--to", tmp_path / "mine")
    assert (code, out) == (2, "") and "'utf-8' codec can't decode byte 0xfc" in err and err.count("\n") == 1
    assert not (tmp_path / "mine").exists()


GERMAN = ["Die Tür steht seit gestern Abend offen.", "Wir haben heute leider keine Zeit für einen Spaziergang."]
ENGLISH = ["The door has been open since last night.", "Unfortunately we have no time for a walk today."]


@pytest.mark.usefixtures("unplugged")
@pytest.mark.parametrize(
    ("rows", "kind", "languages", "says"),
    [
        (zip(ENGLISH, GERMAN, strict=True), "parallel", "en-am", "2 of the first 2 rows are not in 'am' (Amharic) in column 'am'"),
        (zip(GERMAN, ENGLISH, strict=True), "parallel", "en-de", "2 of the first 2 rows are not in 'de' (German) in column 'de'"),
        (zip(GERMAN, GERMAN, strict=True), "parallel", "en-de", "2 of the first 2 rows are not in 'en' (English) in column 'en'"),
        (zip(ENGLISH, GERMAN, strict=True), "instructions", "fr", "2 of the first 2 rows are not in 'fr' (French) in column 'instruction'"),
    ],
    ids=["wrong", "swapped", "twice", "instructions"],
)
def test_rows_in_another_language_are_refused(tmp_path: Path, rows: Any, kind: str, languages: str, says: str) -> None:
    names = ("en", "text") if kind == "parallel" else ("instruction", "output")
    source = tmp_path / "rows.jsonl"
    source.write_text(jsonl(*(dict(zip(names, pair, strict=True)) for pair in rows)), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        add(source, kind, languages, tmp_path / "mine")
    assert says in str(caught.value) and not (tmp_path / "mine").exists()


@pytest.mark.usefixtures("unplugged")
def test_two_questions_with_one_id_are_refused(tmp_path: Path) -> None:
    asked = {"id": "q1", "context": "በሩ ቀይ ነው።", "question": "ምን?", "answer": "ቀይ"}
    (tmp_path / "a.jsonl").write_text(jsonl(asked, {**asked, "id": "q2"}, asked), encoding="utf-8")
    with pytest.raises(UserError, match="row 3 has the id of row 1, 'q1'; give each its own, or leave ids out"):
        add(tmp_path / "a.jsonl", "qa", "am", tmp_path / "mine")


@pytest.mark.usefixtures("unplugged")
def test_rows_that_are_all_measured_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fill_folder: Callable[..., Path]) -> None:
    root = fill_folder(**{"flores200_dataset/devtest/eng_Latn.devtest": "The door has been open since last night.\n"})
    (tmp_path / "a.tsv").write_text(f"en\tde\n{ENGLISH[0]}\t{GERMAN[0]}\n", encoding="utf-8")
    before = (root / "manifest.json").read_bytes()
    with pytest.raises(UserError, match="all 1 rows overlap evaluation data"):
        add(tmp_path / "a.tsv", "parallel", "en-de", root)
    assert (root / "manifest.json").read_bytes() == before and not (root / "train").exists()
