"""xlift data: what there is, getting it sizes first, a data folder, and checks."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Call
from filelock import FileLock
from loopback_hub import State

import xlift
from xlift.harness.core.errors import UserError
from xlift.tasks import data, holdings
from xlift.tasks.data import locate, read
from xlift.tasks.folders import LOCK
from xlift.tasks.holdings import build, get, list_corpora, list_readings


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
    assert "parallel/alma cs train: cannot be had" in told, "the row alone says why"
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
    ("parallel", "de", "train"), ("lexicon", "fr", "train"), ("qa", "th", "train"),
    ("alpaca", "fr", "train"),
]  # fmt: skip


def test_a_built_folder_reads_as_the_addresses_do(mirror: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = {one: list(read(*one)) for one in READINGS}
    folder = tmp_path / "built"
    assert not any(one.fault for one in build(folder, READINGS))
    monkeypatch.setenv("XLIFT_DATA", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    mirror.mirrored.clear()
    assert {one: list(read(*one)) for one in READINGS} == fetched
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


def test_a_folder_of_something_else_is_left_alone(mirror: State, tmp_path: Path, call: Call) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("Dear")
    code, _, err = call("data", "build", tmp_path / "home", "gsm8k", "--languages", "en")
    assert code == 2 and err.count("\n") == 1 and "home is not empty and is no data folder" in err
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letter.txt"]
    code, _, err = call("data", "build", tmp_path / "home" / "letter.txt", "gsm8k", "--languages", "en")
    assert code == 2 and "cannot be written (Not a directory)" in err
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "manifest.json").write_text("{")
    code, _, err = call("data", "build", tmp_path / "damaged", "gsm8k", "--languages", "en")
    assert code == 2 and "not a JSON list of entries" in err


def test_a_folder_that_was_built_in_part_is_completed(mirror: State, tmp_path: Path) -> None:
    folder, place = tmp_path / "built", "train/gsm8k/en.train.jsonl.gz"
    mirror.fail("GET .*train.es", 404, times=99)
    assert [bool(one.fault) for one in build(folder, [("gsm8k", "en", "train"), ("gsm8k", "es", "train")])] == [False, True]
    mirror.faults.clear()
    (folder / place).unlink()
    assert [one.fault for one in build(folder, [("gsm8k", "en", "train"), ("gsm8k", "es", "train")])] == ["", ""]
    (folder / place).write_bytes(b"changed")
    assert "delete it, and it is written again" in build(folder, [("gsm8k", "en", "train")])[0].fault


def test_two_do_not_write_one_folder_at_once(mirror: State, tmp_path: Path) -> None:
    (tmp_path / "built").mkdir()
    with FileLock(tmp_path / "built" / LOCK), pytest.raises(UserError, match="another process writes into it"):
        build(tmp_path / "built", [("gsm8k", "en", "train")])


def test_what_is_nowhere_leaves_no_folder(mirror: State, tmp_path: Path) -> None:
    assert build(tmp_path / "built", [("parallel/alma", "cs", "train")])[0].fault
    assert not (tmp_path / "built").exists()


def test_addresses_are_asked_for_without_fetching(mirror: State, call: Call) -> None:
    gone = next(path for path in mirror.mirrored if path.endswith("mgsm_te.tsv"))
    del mirror.mirrored[gone]
    code, out, _ = call("data", "check", "--addresses", "--json")
    faults = {row["file"].rpartition("/")[2]: row["fault"] for row in json.loads(out)}
    assert code == 2 and set(faults) == {"mgsm_te.tsv", "MLQA_V1.zip", "XNLI-1.0.zip", "flores200_dataset.tar.gz"}
    assert "404" in faults["mgsm_te.tsv"] and "bytes, not 75719050" in faults["MLQA_V1.zip"], "the mirror's archives are small ones"
    assert mirror.count("GET") == 0


def test_the_commands(mirror: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    code, out, err = call("data", "get", "lexicon/xling", "--languages", "de,fr", "--json")
    assert code == 0 and "to fetch: 2 files" in err
    assert [(row["lang"], row["rows"], row["origin"]) for row in json.loads(out)] == [("de", 3, "hub"), ("fr", 3, "hub")]
    code, out, err = call("data", "get", "parallel/alma", "--languages", "cs")
    assert code == 3 and "no published address" in out
    code, out, _ = call("data", "build", tmp_path / "built", "lexicon/xling", "--languages", "de")
    assert code == 0 and (tmp_path / "built/train/lexicon/xling.en-de.train.tsv").read_text().startswith("en\tde\nword 0\tWort 0\n")
    assert "parallel/opus100" in call("data", "list")[1]
    (tmp_path / "a.csv").write_text("en,de\ncat,Katze\n")
    assert call("data", "add", tmp_path / "a.csv", "--as", "lexicon", "--languages", "en-de")[0] == 2, "no folder is named"
    code, out, _ = call("data", "add", tmp_path / "a.csv", "--as", "lexicon", "--languages", "en-de", "--to", tmp_path / "built")
    assert code == 0 and "train/own/lexicon.de.tsv.gz: 1 rows; read as lexicon/own in 'de'" in out
    assert gzip.decompress((tmp_path / "built/train/own/lexicon.de.tsv.gz").read_bytes()) == b"en\tde\ncat\tKatze\n"
    monkeypatch.setenv("XLIFT_DATA", str(tmp_path / "built"))
    assert [row["en"] for row in data.read("lexicon", "de")] == ["word 0", "word 1", "word 2", "cat"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["paralel"], "'paralel' is neither a corpus nor a suite; did you mean 'parallel'?"),
        (["paralel/tatoeba"], "'paralel/tatoeba' is neither a corpus nor a suite; did you mean 'parallel'?"),
        (["dmeo"], "'dmeo' is neither a corpus nor a suite; did you mean 'demo'?"),
        (["parallel/tatoba"], "corpus parallel has no part 'tatoba'; did you mean 'tatoeba'?"),
        (["parallel", "--languages", "xx"], "unknown language 'xx'"),
        (["parallel", "--languages", "de, sp"], "unknown language 'sp'"),
        (["mgsm", "--languages", "german"], "unknown language 'german': write its code, 'de'"),
        (["alpaca/own", "--languages", ""], ""),
        (["mgsm", "--split", "tset"], "corpus mgsm has no split 'tset'; did you mean 'test'?"),
        (["demo", "--languages", "es"], "languages and split are of corpora, and 'demo' is a suite, which names its own"),
    ],
)
def test_wrong_names_are_one_line(mirror: State, call: Call, arguments: list[str], says: str) -> None:
    code, out, err = call("data", "get", *arguments)
    if not says:
        assert code == 0, "no language is named, and there are none of it"
        return
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1


@pytest.mark.usefixtures("unplugged")
def test_without_a_network_each_reading_says_so(call: Call) -> None:
    code, out, _ = call("data", "get", "demo", "lexicon/xling", "--json")
    rows = json.loads(out)
    assert code == 3 and {"parallel", "xquad", "lexicon/xling"} <= {row["corpus"] for row in rows}
    assert all("no connection to http://localhost:9" in row["fault"] for row in rows)


@pytest.mark.usefixtures("unplugged")
def test_a_suite_that_reads_the_samples_alone_needs_nothing(call: Call) -> None:
    code, out, err = call("data", "get", "samples")
    assert code == 0 and len(out.splitlines()) == 1 and "all files are here already" in err


def test_getting_a_suite_gets_all_that_it_reads(mirror: State, call: Call) -> None:
    code, out, _ = call("data", "get", "demo", "--json")
    rows = json.loads(out)
    assert code == 0 and not any(row["fault"] for row in rows)
    assert {row["corpus"] for row in rows} == set(xlift.survey(xlift.load_suite("demo"))["corpus"]) >= {"xquad", "alpaca", "parallel"}
