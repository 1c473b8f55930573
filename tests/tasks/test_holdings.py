"""xlift data: what there is, getting it sizes first, a data folder, checks, and rows of a user's own."""

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import Call
from loopback_hub import State

import xlift
from xlift.harness.core.errors import UserError
from xlift.tasks import data, holdings
from xlift.tasks.data import locate, read
from xlift.tasks.holdings import add, build, get, list_corpora, list_readings


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def test_what_there_is(mirror: State, fill_folder: Callable[..., Path]) -> None:
    fill_folder(**{"train/parallel/alma_hw_decontaminated.en-cs.tsv.gz": "en\tcs\nHi.\tAhoj.\n"})
    found = {row["corpus"]: row for row in list_corpora()}
    assert found["mgsm"]["for"] == "measuring" and found["mgsm"]["licence"] == "CC BY 4.0" and found["mgsm"]["here"] == ""
    assert found["mgsm"]["languages"] == "bn de en es fr ja ru sw te th zh" and found["mgsm"]["from"] == "google-research/url-nlp"
    assert found["parallel/alma"] == {
        "corpus": "parallel/alma", "for": "training", "splits": "train", "languages": "cs", "here": "cs",
        "known in": 0, "rows": 0, "bytes": 0, "licence": "WMT: free for research", "from": "folder",
    }  # fmt: skip
    assert (found["lexicon/xling"]["known in"], found["lexicon/xling"]["rows"]) == (7, 35000)
    assert found["lexicon/xling"]["languages"] == "de fi fr hr it ru tr" and found["alpaca/own"]["from"] == "your own"


def test_getting_tells_sizes_first_and_faults_by_reading(mirror: State, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    asked = [("xquad", "es", "test"), ("parallel/alma", "cs", "train"), ("gsm8k", "fr", "train")]
    found = get(asked, told.append)
    # XQuAD, GSM8K in English, and both sides of its questions in French.
    assert told[0].startswith("to fetch: 4 files, ") and told[0].endswith("bytes")
    assert [(one.corpus, one.rows, bool(one.fault)) for one in found] == [
        ("xquad", 3, False),
        ("parallel/alma", None, True),
        ("gsm8k", 3, False),
    ]
    assert found[0].sha256 == locate("xquad", "es").sha256 and "no published address" in found[1].fault
    before = mirror.count("GET")
    assert get(asked, told.append)[2] == found[2] and mirror.count("GET") == before
    assert "all files are here already" in told


def test_sizes_of_readers() -> None:
    assert [holdings.name_size(size) for size in (0, 999, 1500, 25_585_843, 2_000_000_000)] == [
        "0 bytes",
        "999 bytes",
        "1.5 kB",
        "25.6 MB",
        "2.0 GB",
    ]


def test_readings_of_a_name(mirror: State) -> None:
    assert list_readings("lexicon/xling") == [("lexicon/xling", lang, "train") for lang in ("de", "fi", "fr", "hr", "it", "ru", "tr")]
    assert list_readings("mlqa", ["en-es"], "test") == [("mlqa", "en-es", "test")]
    with pytest.raises(UserError, match="did you mean 'lexicon'"):
        list_readings("lexicn", ["de"])


READINGS = [
    ("mgsm", "es", "test"), ("mgsm", "te", "exemplars"), ("xquad", "ar", "test"), ("mlqa", "en-es", "dev"), ("flores", "en-wo", "dev"),
    ("belebele", "de", "test"), ("language_confusion", "hi", "monolingual"), ("alpagasus", "en", "train"), ("gsm8k", "es", "train"),
    ("parallel", "de", "train"), ("parallel", "zh-Hant", "train"), ("lexicon", "fr", "train"), ("qa", "th", "train"),
    ("alpaca", "fr", "train"),
]  # fmt: skip


def test_a_built_folder_reads_as_the_addresses_do(mirror: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = [one for one in READINGS if one[1] != "zh-Hant"]
    fetched = {one: list(read(*one)) for one in readings}
    folder = tmp_path / "built"
    assert not any(one.fault for one in build(folder, READINGS))
    monkeypatch.setenv("XLIFT_DATA", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    mirror.mirrored.clear()
    assert {one: list(read(*one)) for one in readings} == fetched
    assert locate("parallel", "de").origin == "folder"
    entries = {entry["file"]: entry for entry in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))}
    tatoeba = entries["train/parallel/tatoeba.en-de.tsv.gz"]
    assert (tatoeba["rows"], tatoeba["licence"]) == (3, "CC BY 2.0 FR") and "OPUS-MT-testsets/ac0f19c0be3c" in tatoeba["source"]
    assert not [path.name for path in folder.rglob("*.part")]
    before = (folder / "manifest.json").read_bytes()
    build(folder, READINGS)
    assert (folder / "manifest.json").read_bytes() == before, "what is there stays"


def test_checking(mirror: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    folder = tmp_path / "built"
    build(folder, [("gsm8k", "es", "train")])
    assert call("data", "check", folder)[:2] == (0, "all files are as they should be\n")
    (folder / "train/gsm8k/en.train.jsonl.gz").write_bytes(b"changed")
    (folder / "train/gsm8k/es.train_questions.jsonl.gz").unlink()
    next((tmp_path / "cache" / "downloads").rglob("train.es")).write_bytes(b"changed")
    code, out, _ = call("data", "check", folder, "--json")
    faults = [row["fault"] for row in json.loads(out)]
    assert code == 2 and len(faults) == 3
    assert "manifest.json says" in faults[0] and faults[1] == "listed in manifest.json, but missing" and "delete it" in faults[2]


def test_addresses_are_asked_for_without_fetching(mirror: State, call: Call) -> None:
    gone = next(path for path in mirror.mirrored if path.endswith("mgsm_te.tsv"))
    del mirror.mirrored[gone]
    code, out, _ = call("data", "check", "--addresses", "--json")
    faults = {row["file"].rpartition("/")[2]: row["fault"] for row in json.loads(out)}
    assert code == 2 and set(faults) == {"mgsm_te.tsv", "MLQA_V1.zip", "XNLI-1.0.zip", "flores200_dataset.tar.gz"}
    assert "404" in faults["mgsm_te.tsv"] and "bytes, not 75719050" in faults["MLQA_V1.zip"], "the mirror's archives are small ones"
    assert mirror.count("GET") == 0


# --- rows of a user's own ---


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
        ("instructions", "am", {"instruction": "Sort.", "input": "b a", "output": "a b"}, "alpaca", {"instruction": "Sort.\nb a"}),
        ("prompts", "am", {"prompt": "Why?"}, "alpaca/own", {"id": "own-0", "instruction": "Why?", "output": ""}),
        ("lexicon", "en-am", {"en": "door", "am": "በር"}, "lexicon", {"en": "door", "text": "በር"}),
        ("qa", "am", {"context": "It is red.", "question": "Which?", "answer": "red"}, "qa",
         {"answers": {"text": ["red"], "answer_start": [6]}}),
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
        ("a.tsv", "en\tam\n\tb\n", "parallel", "en-am", "row 1 has no text in en"),
        ("a.tsv", "en\tam\nb\n", "parallel", "en-am", "cannot be read as what the end of its name says"),
        ("a.jsonl", "[1]\n", "qa", "am", "has no rows with columns"),
        ("a.jsonl", '{"context": "c", "question": "q", "answer": "d"}\n', "qa", "am", "row 1: its answers are no texts of its context"),
        ("a.jsonl", '{"instruction": "i"}\n', "instructions", "am", "row 1 has no text in output"),
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


def test_the_commands(mirror: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    code, out, err = call("data", "get", "lexicon/xling", "--languages", "de,fr", "--json")
    assert code == 0 and "to fetch: 2 files" in err
    assert [(row["lang"], row["rows"], row["origin"]) for row in json.loads(out)] == [("de", 3, "hub"), ("fr", 3, "hub")]
    code, out, err = call("data", "get", "parallel/alma", "--languages", "cs")
    assert code == 3 and "no published address" in out
    code, out, _ = call("data", "build", tmp_path / "built", "lexicon/xling", "--languages", "de")
    assert code == 0 and (tmp_path / "built/train/lexicon/xling.en-de.train.tsv").read_text().startswith("en\tde\nword 0\tWort 0\n")
    assert "parallel/opus100" in call("data", "list")[1]
    assert "xlift: unknown" not in call("data", "get", "no-such-suite")[1]
    assert call("data", "get", "no-such-suite")[0] == 2
    (tmp_path / "a.csv").write_text("en,de\ncat,Katze\n")
    assert call("data", "add", tmp_path / "a.csv", "--as", "lexicon", "--languages", "en-de")[0] == 2, "no folder is named"
    code, out, _ = call("data", "add", tmp_path / "a.csv", "--as", "lexicon", "--languages", "en-de", "--to", tmp_path / "built")
    assert code == 0 and "train/own/lexicon.de.tsv.gz: 1 rows; read as lexicon/own in 'de'" in out
    assert gzip.decompress((tmp_path / "built/train/own/lexicon.de.tsv.gz").read_bytes()) == b"en\tde\ncat\tKatze\n"
    monkeypatch.setenv("XLIFT_DATA", str(tmp_path / "built"))
    assert [row["en"] for row in data.read("lexicon", "de")] == ["word 0", "word 1", "word 2", "cat"]


@pytest.mark.usefixtures("unplugged")
def test_without_a_network_each_reading_says_so(call: Call) -> None:
    code, out, _ = call("data", "get", "demo", "lexicon/xling", "--json")
    rows = json.loads(out)
    assert code == 3 and {"parallel", "xquad", "lexicon/xling"} <= {row["corpus"] for row in rows}
    assert all("no connection to http://localhost:9" in row["fault"] for row in rows)


def test_getting_a_suite_gets_all_that_it_reads(mirror: State, call: Call) -> None:
    code, out, _ = call("data", "get", "demo", "--json")
    rows = json.loads(out)
    assert code == 0 and not any(row["fault"] for row in rows)
    assert {row["corpus"] for row in rows} == set(xlift.survey(xlift.load_suite("demo"))["corpus"]) >= {"xquad", "alpaca", "parallel"}
