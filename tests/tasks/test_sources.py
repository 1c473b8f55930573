"""Finding source files: faulty data folders, caches, no network, and a hub on this machine."""

import hashlib
import io
import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet
import pytest
from huggingface_hub import constants

from xlift.harness.core.errors import UserError
from xlift.tasks import data, sources
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
    assert "hf download juletxara/mgsm mgsm_bn.tsv" in text
    assert "not on the hub" in refusal("parallel", "es")


def test_without_a_network_the_answer_comes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    text = refusal("xquad", "ar")
    assert time.monotonic() - began < 20, "the hub's own client takes 24 s"
    assert "xquad in 'ar'" in text and "XLIFT_DATA is not set" in text and "no connection to http://127.0.0.1:9" in text
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


def test_the_hash_of_one_file_is_the_manifests(fill_folder: Callable[..., Path]) -> None:
    english, spanish = "One.\n", "Uno.\n"
    fill_folder(**{"flores200_dataset/dev/eng_Latn.dev": english, "flores200_dataset/dev/spa_Latn.dev": spanish})
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in (english, spanish)]
    assert locate("flores", "en", "dev").sha256 == digests[0]
    assert locate("flores", "en-es", "dev").sha256 == hashlib.sha256("\n".join(digests).encode()).hexdigest()


def test_training_rows_are_known_by_what_they_say(fill_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert identify_training("parallel", "es") is None, "not to be had"
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
    assert len(list((tmp_path / "cache" / "rows").iterdir())) == 1


# --- the hub ---


def to_parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


HUB = {
    "/datasets/google/xquad/resolve/51adfef1c1287aab1d2d91b5bead9bcfb9c68583/xquad.ar/validation-00000-of-00001.parquet": to_parquet(
        [question("a", "ar")]
    ),
    "/datasets/juletxara/mgsm/resolve/f52417ca77bd71e9888ddc29f92587660725d2b4/mgsm_bn.tsv": 'কত?\t2,125\n"কয়টি?\t3\n'.encode(),
    "/datasets/juletxara/mgsm/resolve/refs/convert/parquet/bn/train/0000.parquet": to_parquet(
        [
            {"question": f"প্রশ্ন: {word}?", "answer": f"উত্তর: {word}।", "answer_number": 11, "equation_solution": ""}
            for word in ("কত", "কয়টি")
        ]
    ),
    "/datasets/facebook/mlqa/resolve/refs/convert/parquet/mlqa.vi.vi/test/0000.parquet": to_parquet([question("a", "vi")]),
    "/datasets/mteb/flores/resolve/main/dev.parquet": to_parquet([{"eng_Latn": "One.", "wol_Latn": "Benn."}]),
    "/datasets/zhihz0535/X-AlpacaEval/resolve/4dc0165d07b6dbf2d6c011a35ade071ac5ae0dc4/korean.json": json.dumps(
        [{"id": 1, "dataset": "koala", "instruction": "뭐?"}]
    ).encode(),
    "/ZNLP/Language-Imbalance-Driven-Rewarding/bd9764e7fc6c99e6ba618199e0038df83c022162/results/base_model/x-alpacaeval_format"
    "/sw/gpt-4-turbo-2024-04-09/model_outputs.json": json.dumps(
        [{"dataset": "koala", "instruction": "Nini?", "output": "Hivyo.", "generator": "gpt-4-turbo-2024-04-09"}]
    ).encode(),
    "/datasets/facebook/belebele/resolve/75b399394a9803252cfec289d103de462763db7c/data/sin_Latn.jsonl": jsonl(
        {
            "link": "l",
            "question_number": 1,
            "flores_passage": "P",
            "question": "Q",
            "mc_answer1": "A",
            "mc_answer2": "B",
            "mc_answer3": "C",
            "mc_answer4": "D",
            "correct_answer_num": "2",
        }
    ).encode(),
    "/for-ai/language-confusion/6e48812baa5e3a0b82433359065efe5a106638b1/test_sets/monolingual/dolly/hi.csv": (
        'prompt,source,language\n"क्या,\n""यह""?",dolly_human_edited,hi\n'
    ).encode(),
}


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does for small files, and as raw.githubusercontent.com."""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        content = b"" if self.path == "/" else HUB.get(unquote(self.path))
        self.send_response(404 if content is None else 200)
        self.send_header("ETag", f'"{hashlib.sha256(content or b"").hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if body and content:
            self.wfile.write(content)

    def log_message(self, format: str, *values: Any) -> None:
        return


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(sources, "GITHUB", address)
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        (("xquad", "ar"), {"question": "ar question a", "context": "ar context a"}),
        (("mgsm", "bn"), {"question": "কত?", "answer": "2125"}),
        (("mgsm", "bn", "exemplars"), {"question": "কত?", "answer": "11", "cot_answer": "কত।"}),
        (("mlqa", "vi", "test"), {"question": "vi question a"}),
        (("flores", "en-wo", "dev"), {"source": "One.", "target": "Benn.", "lang": "wo"}),
        (("x_alpaca_eval", "ko"), {"id": "1", "instruction": "뭐?"}),
        (("x_alpaca_eval", "sw"), {"id": "1", "instruction": "Nini?"}),
        (("x_alpaca_eval", "sw", "gpt-4-turbo-2024-04-09"), {"id": "1", "output": "Hivyo."}),
        (("belebele", "si-Latn"), {"context": "P", "option_4": "D", "answer": "2"}),
        (("language_confusion", "hi"), {"id": "dolly-0", "instruction": 'क्या,\n"यह"?'}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_the_hub_is_read_and_kept(
    hub: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...], first: dict[str, str]
) -> None:
    assert read(*asked)[0].items() >= first.items()
    assert locate(*asked).origin == "hub"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert read(*asked)[0].items() >= first.items()


def test_folder_and_hub_together(hub: ThreadingHTTPServer, fill_folder: Callable[..., Path]) -> None:
    fill_folder(**{"flores200_dataset/dev/eng_Latn.dev": "One.\n"})
    assert read("flores", "en-wo", "dev")[0]["target"] == "Benn."
    assert locate("flores", "en-wo", "dev").origin == "folder+hub"


def test_a_hub_without_the_file(hub: ThreadingHTTPServer) -> None:
    assert "google/xquad@51adfef1c128 does not give xquad.el/" in refusal("xquad", "el")
    assert "x-alpacaeval/data/ja.json does not answer (Client error '404" in refusal("x_alpaca_eval", "ja")
    assert "not laid out as flores is" in refusal("flores", "en-xh", "dev")
