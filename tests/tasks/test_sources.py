"""Finding source files: faulty data folders, caches, no network."""

import hashlib
import json
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from xlift.harness.core.errors import UserError
from xlift.tasks import data
from xlift.tasks.data import identify_training, locate, read

pytestmark = pytest.mark.usefixtures("unplugged")


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def question(identity: str, lang: str) -> dict[str, Any]:
    context = f"{lang} context {identity}"
    return {"id": identity, "context": context, "question": f"{lang} question {identity}", "answers": {"text": [lang], "answer_start": [0]}}


MGSM_ES = jsonl({"id": 0, "question": "¿Cuánto?", "answer": "2,125"}, {"id": 1, "question": "¿Cuántos?", "answer": "3"})


# --- errors ---


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("mgms", "es"), "unknown corpus 'mgms'; did you mean 'mgsm'?"),
        (("mgsm", "es", "dev"), "mgsm has no split 'dev'; known: exemplars, test"),
        (("mgsm", "it"), "mgsm has no 'it'"),
        (("mgsm", "Spanish"), "write its code, 'es'"),
        (("mlqa", "en-it"), "mlqa has no 'it'"),
        (("flores", "en-spa"), "unknown language 'spa'"),
        (("alpaca/random", "en"), "alpaca has no part 'random'; did you mean 'random9k'?"),
        (("mgsm/test", "en"), "mgsm has no parts"),
        (("alpaca", "de"), "no file for 'de' is known"),
    ],
)
def test_wrong_names_get_one_line(asked: tuple[str, ...], says: str) -> None:
    assert says in refusal(*asked)


def refusal(*asked: str) -> str:
    with pytest.raises(UserError) as caught:
        read(*asked)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLIFT_DATA", str(tmp_path / "nowhere"))
    assert f"{tmp_path / 'nowhere'}, which is not a folder: correct the path" in refusal("mgsm", "es")
    monkeypatch.setenv("XLIFT_DATA", str(tmp_path))
    assert "no manifest.json" in refusal("mgsm", "es")
    (tmp_path / "manifest.json").write_text('{"file": 1}')
    assert "manifest.json: not a JSON list" in refusal("mgsm", "es")


def test_a_file_that_is_not_as_the_manifest_says(fill_folder: Callable[..., Path]) -> None:
    path = fill_folder(**{"mgsm/test/es.jsonl": MGSM_ES}) / "mgsm/test/es.jsonl"
    read("mgsm", "es")
    path.write_text(MGSM_ES.replace("3", "4"), encoding="utf-8")
    text = refusal("mgsm", "es")
    assert str(path) in text and "copy it again" in text
    path.unlink()
    assert f"{path}: listed in manifest.json, but missing" in refusal("mgsm", "es")


def test_a_file_laid_out_otherwise(fill_folder: Callable[..., Path]) -> None:
    root = fill_folder(
        **{"mgsm/test/es.jsonl": jsonl({"text": "¿?"}), "mgsm/test/fr.jsonl": "not json\n", "flores200_dataset/dev/eng_Latn.dev": "One."}
    )
    for lang in ("es", "fr"):
        assert f"{root / 'mgsm/test' / lang}.jsonl: not laid out as mgsm is" in refusal("mgsm", lang)


def test_a_missing_language_names_the_file_and_the_way_out(fill_folder: Callable[..., Path]) -> None:
    root = fill_folder(**{"mgsm/test/es.jsonl": MGSM_ES})
    text = refusal("mgsm", "bn")
    assert "mgsm in 'bn', split test" in text
    assert f"not in {root}, XLIFT_DATA: mgsm/test/bn.jsonl" in text
    assert "run 'xlift data get mgsm --languages bn' where there is a network" in text
    assert "has no published address" in refusal("parallel/alma", "cs")


def test_without_a_network_the_answer_comes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    text = refusal("xquad", "ar")
    assert time.monotonic() - began < 20, "the hub's own client takes 24 s"
    assert "xquad in 'ar'" in text and "XLIFT_DATA is not set" in text and "no connection to http://localhost:9" in text
    assert "XLIFT_MIRROR can name a mirror of such files, HTTPS_PROXY can name a proxy" in text
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refusal("xquad", "ar")


def test_a_cache_that_cannot_be_written(fill_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_folder(**{"mgsm/test/es.jsonl": MGSM_ES})
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XLIFT_CACHE", str(tmp_path / "file"))
    assert "set XLIFT_CACHE to a folder with room" in refusal("mgsm", "es")


# --- caches ---


def test_the_second_reading_maps_the_first(fill_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_folder(**{"mgsm/test/es.jsonl": MGSM_ES})
    first = read("mgsm", "es")
    read("mgsm", "es")  # looks once whether the cached rows are whole
    monkeypatch.setattr(data, "records", None)
    monkeypatch.setattr(hashlib, "file_digest", None)
    second = read("mgsm", "es")
    assert list(first) == list(second)
    assert [Path(file["filename"]).parent for file in second.cache_files] == [tmp_path / "cache" / "rows"]


def test_changed_source_gives_changed_rows(fill_folder: Callable[..., Path]) -> None:
    fill_folder(**{"mgsm/test/es.jsonl": MGSM_ES})
    before = locate("mgsm", "es")
    assert read("mgsm", "es")[1]["answer"] == "3"
    fill_folder(**{"mgsm/test/es.jsonl": MGSM_ES.replace('"3"', '"4"')})
    assert read("mgsm", "es")[1]["answer"] == "4"
    assert locate("mgsm", "es").sha256 != before.sha256


def test_origin_names_the_rows_and_not_their_file(fill_folder: Callable[..., Path]) -> None:
    fill_folder(**{"mgsm/test/es.jsonl": MGSM_ES})
    rows = [
        '{"id": "0", "question": "\\u00bfCu\\u00e1nto?", "answer": "2125", "lang": "es"}',
        '{"id": "1", "question": "\\u00bfCu\\u00e1ntos?", "answer": "3", "lang": "es"}',
    ]
    sha256 = hashlib.sha256("".join(f"{row}\n" for row in rows).encode()).hexdigest()
    assert locate("mgsm", "es") == data.Origin("folder", sha256)
    fill_folder(**{"mgsm/test/es.jsonl": MGSM_ES.replace("2,125", "2125") + "\n" * 0})
    assert locate("mgsm", "es").sha256 == sha256, "another file with the same rows"


def test_training_rows_are_known_by_what_they_say(fill_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert identify_training("parallel", "es") is None, "not there"
    assert identify_training("mgsm", "es", samples="always") is None, "not for training"
    pairs = "en\tes\nbird\tpájaro\n"
    fill_folder(**{"train/parallel/tatoeba.en-es.tsv.gz": pairs})
    before = identify_training("parallel", "es")
    row = '{"id": "tatoeba-0", "en": "bird", "text": "p\\u00e1jaro", "part": "tatoeba"}\n'
    assert before == hashlib.sha256(row.encode()).hexdigest()
    fill_folder(**{"train/parallel/tatoeba.en-es.tsv.gz": pairs, "train/parallel/tatoeba.en-de.tsv.gz": "en\tde\nbird\tVogel\n"})
    monkeypatch.setattr(data, "_code_digest", lambda: "0" * 64)
    assert identify_training("parallel", "es") == before, "neither other files nor the code's text count"
    fill_folder(**{"train/parallel/tatoeba.en-es.tsv.gz": pairs.replace("bird", "birds")})
    assert identify_training("parallel", "es") != before


def test_rows_in_the_cache_are_made_again_after_any_change_of_the_code_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {package: tmp_path / package for package in ("xlift.tasks", "xlift.harness.core")}
    for folder in folders.values():
        (folder / "deep").mkdir(parents=True)
    monkeypatch.setattr(data, "files", folders.get)
    digests = {data._code_digest.__wrapped__()}
    for name in (
        "xlift.tasks/a_new_module.py",
        "xlift.tasks/deep/other.py",
        "xlift.harness.core/languages.tsv",
        "xlift.tasks/prompts.yaml",
    ):
        (tmp_path / name).write_text("new")
        digests.add(data._code_digest.__wrapped__())
    assert len(digests) == 4, "all but the YAML, which makes no row"


def count_rows(lang: str) -> int:
    return len(read("mgsm", lang))


def test_two_processes_at_once(fill_folder: Callable[..., Path], tmp_path: Path) -> None:
    fill_folder(**{"mgsm/test/es.jsonl": jsonl(*({"id": number, "question": "¿?", "answer": "1"} for number in range(20_000)))})
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        assert list(pool.map(count_rows, ["es"] * 6)) == [20_000] * 6
    assert len(list((tmp_path / "cache" / "rows").glob("*.arrow"))) == 1


def test_a_file_that_unpacks_to_a_flood_is_refused(fill_folder: Callable[..., Path]) -> None:
    """Of 65 MiB of one letter gzip makes 66 KB."""
    fill_folder(**{"train/parallel/tatoeba.en-es.tsv.gz": "x" * (65 * 2**20)})
    with pytest.raises(UserError, match=r"tatoeba.en-es.tsv.gz: .*more than 64 MiB when unpacked"):
        read("parallel", "es")
