"""Reading corpora: hand-made data folders, a hub on this machine, the bundled samples, and the real folder where there is one."""

import gzip
import hashlib
import io
import json
import multiprocessing
import os
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

from xlift.harness.rows import LeakError, UserError
from xlift.tasks import data, sources
from xlift.tasks.corpora import CORPORA, Choice
from xlift.tasks.data import dataset, evaluation_texts, guard_of, identify_root, locate, read, read_training

REAL = os.environ.get("XLIFT_DATA")
EVALUATION = [name for name, corpus in CORPORA.items() if corpus.texts]
TRAINING = [name for name, corpus in CORPORA.items() if not corpus.texts]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty caches, no data folder, and a hub that nobody answers for."""
    for name in ("XLIFT_DATA", "XLIFT_SAMPLES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XLIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(sources, "GITHUB", "http://127.0.0.1:9")
    sources._unreachable.cache_clear()


@pytest.fixture
def fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a data folder with its manifest, and name it in XLIFT_DATA."""

    def write(**contents: str) -> Path:
        root = tmp_path / "data"
        entries = []
        for name, text in contents.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
            entries.append({"file": name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
        (root / "manifest.json").write_text(json.dumps(entries), encoding="utf-8")
        monkeypatch.setenv("XLIFT_DATA", str(root))
        return root

    return write


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def question(identity: str, lang: str) -> dict[str, Any]:
    context = f"{lang} context {identity}"
    return {"id": identity, "context": context, "question": f"{lang} question {identity}", "answers": {"text": [lang], "answer_start": [0]}}


MGSM_ES = jsonl({"id": 0, "question": "¿Cuánto?", "answer": "2,125"}, {"id": 1, "question": "¿Cuántos?", "answer": "3"})


# --- shapes ---


def test_mgsm_gold_loses_its_thousands_comma(fill: Callable[..., Path]) -> None:
    fill(**{"mgsm/test/es.jsonl": MGSM_ES})
    assert list(read("mgsm", "es")) == [
        {"id": "0", "question": "¿Cuánto?", "answer": "2125", "lang": "es"},
        {"id": "1", "question": "¿Cuántos?", "answer": "3", "lang": "es"},
    ]


def test_mgsm_exemplars_lose_their_labels(fill: Callable[..., Path]) -> None:
    def shot(lang: str, text: str, steps: str) -> dict[str, Any]:
        return {"lang": lang, "id": 1, "question": text, "cot_answer": steps, "number_answer": 11, "equation": ""}

    swahili = [shot("sw", "Swali: Roger ana?", "Jibu: 5 + 6 = 11."), shot("sw", "Swali: Kulikuwa na: ngapi?", "Jibu: Ni 11.")]
    chinese = [shot("zh", "问题：罗杰有几个？", "逐步解答：十一个。"), shot("zh", "问题：有多少？", "逐步解答：5 + 6")]
    fill(**{"mgsm/exemplars.jsonl": jsonl(*swahili, *chinese)})
    rows = list(read("mgsm", "sw", "exemplars"))
    assert rows[1] == {"id": "1", "question": "Kulikuwa na: ngapi?", "answer": "11", "cot_answer": "Ni 11.", "lang": "sw"}
    assert [row["question"] for row in read("mgsm", "zh", "exemplars")] == ["罗杰有几个？", "有多少？"]


def test_mlqa_pairs_join_by_id(fill: Callable[..., Path]) -> None:
    english, spanish = (jsonl(*(question(identity, lang) for identity in ids)) for lang, ids in (("en", "abc"), ("es", "cxa")))
    fill(**{"mlqa_dev/en.jsonl.gz": english, "mlqa_dev/es.jsonl.gz": spanish})
    rows = list(read("mlqa", "en-es", "dev"))
    assert [(row["id"], row["context"], row["question"]) for row in rows] == [
        ("a", "en context a", "es question a"),
        ("c", "en context c", "es question c"),
    ]
    assert rows[0]["answers"] == {"text": ["en"], "answer_start": [0]}
    assert (rows[0]["lang"], rows[0]["question_lang"]) == ("en", "es")
    assert {row["question_lang"] for row in read("mlqa", "es")} == {"es"}


def test_flores_lines_and_pairs(fill: Callable[..., Path]) -> None:
    fill(
        **{
            "flores200_dataset/dev/eng_Latn.dev": "One\u2028line.\nTwo.\n",
            "flores200_dataset/dev/zho_Hant.dev": "一。\n二。\n",
        }
    )
    assert list(read("flores", "en", "dev")) == [
        {"id": "0", "text": "One\u2028line.", "lang": "en"},
        {"id": "1", "text": "Two.", "lang": "en"},
    ]
    pair = {"source": "Two.", "target": "二。", "source_lang": "en", "target_lang": "zh-Hant", "lang": "zh-Hant"}
    assert read("flores", "en-zh-Hant", "dev")[1] == {"id": "1", **pair}
    assert read("flores", "eng_Latn-zho_Hant", "dev")[1] == {"id": "1", **pair}
    assert read("flores", "zh-Hant-en", "dev")[0]["source"] == "一。"


def test_x_alpaca_eval_instructions_and_outputs(fill: Callable[..., Path]) -> None:
    asked = {"id": 1, "dataset": "koala", "instruction": "¿Qué?"}
    fill(
        **{
            "x_alpacaeval/instructions/es.jsonl": jsonl(asked),
            "x_alpacaeval/outputs/gpt-4o-mini/es.jsonl.gz": jsonl({**asked, "output": "Eso.", "generator": "gpt-4o-mini"}),
        }
    )
    row = {"id": "1", "dataset": "koala", "instruction": "¿Qué?", "lang": "es"}
    assert list(read("x_alpaca_eval", "es")) == [row]
    assert list(read("x_alpaca_eval", "es", "gpt-4o-mini")) == [{**row, "output": "Eso.", "generator": "gpt-4o-mini"}]


def test_alpaca_parts_and_inputs(fill: Callable[..., Path]) -> None:
    plain = jsonl({"instruction": "Sort.", "input": "b a", "output": "a b"}, {"instruction": "Hi.", "input": "", "output": "Hello."})
    seed = jsonl({"id": "seed_task_0", "instruction": "Add.", "instances": [{"input": "1 1", "output": "2"}]})
    both = jsonl({"id": "x", "instruction_en": "Go.", "instruction_fr": "Va.", "response_en": "Gone.", "response_fr": "Parti."})
    fill(
        **{
            "train/alpaca/alpaca_en_random9k.jsonl.gz": plain,
            "train/alpaca/seed_tasks.jsonl.gz": seed,
            "train/alpaca/alpagasus1000_llama3_en_fr.jsonl.gz": both,
        }
    )
    assert list(read("alpaca", "en")) == [
        {"id": "random9k-0", "instruction": "Sort.\nb a", "output": "a b"},
        {"id": "random9k-1", "instruction": "Hi.", "output": "Hello."},
    ]
    assert list(read("alpaca/seed", "en")) == [{"id": "seed-0", "instruction": "Add.\n1 1", "output": "2"}]
    assert list(read("alpaca", "fr")) == [{"id": "llama3-0", "instruction": "Va.", "output": "Parti."}]
    assert read("alpaca/llama3", "en")[0]["output"] == "Gone."


def test_alpagasus_answers_in_english_alone(fill: Callable[..., Path]) -> None:
    rows = [{"id": "a-0", "en": "Hi.", "ja": "やあ", "output_en": "Hello."}, {"id": "a-1", "en": "Bye."}]
    fill(**{"train/alpaca/alpagasus_prompts_11lang.jsonl.gz": jsonl(*rows)})
    assert [row["output"] for row in read("alpagasus", "en")] == ["Hello.", None]
    assert list(read("alpagasus", "ja")) == [{"id": "a-0", "instruction": "やあ", "output": None}]


def test_gsm8k_joins_the_english_solution(fill: Callable[..., Path]) -> None:
    english = jsonl({"question": "Q0", "answer": "a\n#### 1,200"}, {"question": "Q1", "answer": "b\n#### 2"})
    spanish = jsonl({"en_row": 1, "question": "P1", "final_answer": "2"})
    fill(**{"train/gsm8k/en.train.jsonl.gz": english, "train/gsm8k/es.train_questions.jsonl.gz": spanish})
    assert read("gsm8k", "en")[0] == {"id": "0", "question": "Q0", "answer": "a\n#### 1,200", "final_answer": "1200"}
    assert list(read("gsm8k", "es")) == [{"id": "1", "question": "P1", "answer": "b\n#### 2", "final_answer": "2"}]


def test_bilingual_parts_are_read_together_or_by_name(fill: Callable[..., Path]) -> None:
    fill(
        **{
            "train/parallel/tatoeba.en-sw.tsv.gz": 'en\tsw\n"Hi!"\tHujambo!\nYes.\tNdiyo.\n',
            "train/parallel/mafand.en-sw.train.tsv.gz": "en\tsw\nNews.\tHabari.\n",
            "train/parallel/mafand.en-sw.test.tsv.gz": "en\tsw\nHeld out.\tNje.\n",
            "train/lexicon/gatitos.en-qu.tsv": "en\tqu\nwater\tyaku\n",
        }
    )
    rows = list(read("parallel", "sw"))
    assert [(row["id"], row["en"], row["text"], row["part"]) for row in rows] == [
        ("tatoeba-0", '"Hi!"', "Hujambo!", "tatoeba"),
        ("tatoeba-1", "Yes.", "Ndiyo.", "tatoeba"),
        ("mafand-0", "News.", "Habari.", "mafand"),
    ]
    assert len(read("parallel/mafand", "swh_Latn")) == 1
    assert list(read("lexicon", "qu")) == [{"id": "gatitos-0", "en": "water", "text": "yaku", "part": "gatitos"}]


def test_training_questions(fill: Callable[..., Path]) -> None:
    fill(**{f"train/qa/cmrc2018.{name}.jsonl.gz": jsonl(question(name, "zh")) for name in ("dev", "trial")})
    assert [row["id"] for row in read("qa", "zh")] == ["cmrc2018-dev", "cmrc2018-trial"]


def test_every_language_of_every_benchmark_has_an_address() -> None:
    assert {name: len(CORPORA[name].languages) for name in EVALUATION} == {
        "mgsm": 11,
        "xquad": 12,
        "mlqa": 7,
        "flores": 204,
        "x_alpaca_eval": 13,
    }
    for name in EVALUATION:
        for lang in CORPORA[name].languages:
            for split in CORPORA[name].splits:
                assert all(file.folder and file.remote for file in CORPORA[name].files(Choice((lang,), split)))


# --- training, lm-eval, guard ---


@pytest.mark.parametrize("corpus", EVALUATION)
def test_training_may_not_read_an_evaluation_corpus(corpus: str) -> None:
    for asked in (corpus, f"{corpus}/dev"):
        with pytest.raises(LeakError, match="training corpora: alpaca"):
            read_training(asked, "es", samples="always")


def test_training_reads_training_corpora(fill: Callable[..., Path]) -> None:
    fill(**{"train/lexicon/xling.en-fr.train.tsv": "en\tfr\ncat\tchat\n"})
    assert read_training("lexicon", "fr")[0]["text"] == "chat"
    with pytest.raises(UserError, match="did you mean 'lexicon'"):
        read_training("lexicn", "fr")


def test_lm_eval_gets_the_split_under_its_name(fill: Callable[..., Path]) -> None:
    fill(**{"mgsm/test/es.jsonl": MGSM_ES})
    found = dataset(corpus="mgsm", lang="es", split="test", version=1.0, pretrained="somewhere", config_source=None)
    assert {name: len(rows) for name, rows in found.items()} == {"test": 2}
    assert list(dataset(corpus="mgsm", lang="es")) == ["test"]


def test_samples_come_by_metadata_or_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(dataset(corpus="flores", lang="en-es", split="devtest", samples="always")["devtest"]) >= 24
    monkeypatch.setenv("XLIFT_SAMPLES", "missing")
    assert len(dataset(corpus="flores", lang="en-es", split="devtest")["devtest"]) >= 24
    monkeypatch.setenv("XLIFT_SAMPLES", "mising")
    with pytest.raises(UserError, match="did you mean 'missing'"):
        dataset(corpus="flores", lang="en-es", split="devtest")


def test_guard_knows_what_is_measured(fill: Callable[..., Path]) -> None:
    fill(**{"mgsm/test/es.jsonl": MGSM_ES, "flores200_dataset/dev/eng_Latn.dev": "One.\n", "flores200_dataset/dev/spa_Latn.dev": "Uno.\n"})
    assert list(evaluation_texts("flores", "en-es", "dev")) == ["One.", "Uno."]
    guard = guard_of([("mgsm", "es", "test"), ("flores", "en-es", "dev")])
    assert guard.find_leaks(["¿cuánto?", "uno", "dos"]) == [True, True, False]


# --- bundled samples ---


@pytest.mark.parametrize("corpus", [name for name, corpus in CORPORA.items() if corpus.sampled])
@pytest.mark.parametrize("lang", ["en", "es", "de", "fr", "sw"])
def test_samples_have_the_columns_of_the_corpus(corpus: str, lang: str) -> None:
    asked = f"en-{lang}" if corpus == "flores" and lang != "en" else lang
    if (CORPORA[corpus].languages and lang not in CORPORA[corpus].languages) or (corpus, lang) == ("parallel", "en"):
        with pytest.raises(UserError):
            read(corpus, asked, samples="always")
        return
    rows = read(corpus, asked, samples="always")
    assert len(rows) >= 24 and len(set(rows["id"])) == len(rows)
    assert locate(corpus, asked, samples="always").origin == "samples"
    for row in rows if "answers" in rows.column_names else []:
        (text,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
        assert row["context"][start : start + len(text)] == text


def test_samples_step_in_only_when_asked(fill: Callable[..., Path]) -> None:
    fill(**{"mgsm/test/es.jsonl": MGSM_ES})
    assert locate("mgsm", "es", samples="missing").origin == "folder"
    assert locate("mgsm", "es", samples="always").origin == "samples"
    assert locate("mgsm", "fr", samples="missing").origin == "samples"
    with pytest.raises(UserError, match="data.samples: missing"):
        read("mgsm", "fr")
    with pytest.raises(UserError, match="no bundled samples for 'th'"):
        read("mgsm", "th", samples="missing")
    with pytest.raises(UserError, match="choose what the samples have"):
        read("gsm8k", "es", samples="always")


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


def test_a_file_that_is_not_as_the_manifest_says(fill: Callable[..., Path]) -> None:
    path = fill(**{"mgsm/test/es.jsonl": MGSM_ES}) / "mgsm/test/es.jsonl"
    read("mgsm", "es")
    path.write_text(MGSM_ES.replace("3", "4"), encoding="utf-8")
    text = refusal("mgsm", "es")
    assert str(path) in text and "copy it again" in text
    path.unlink()
    assert f"{path}: listed in manifest.json, but missing" in refusal("mgsm", "es")


def test_a_file_laid_out_otherwise(fill: Callable[..., Path]) -> None:
    root = fill(
        **{"mgsm/test/es.jsonl": jsonl({"text": "¿?"}), "mgsm/test/fr.jsonl": "not json\n", "flores200_dataset/dev/eng_Latn.dev": "One."}
    )
    for lang in ("es", "fr"):
        assert f"{root / 'mgsm/test' / lang}.jsonl: not laid out as mgsm is" in refusal("mgsm", lang)


def test_a_missing_language_names_the_file_and_the_way_out(fill: Callable[..., Path]) -> None:
    root = fill(**{"mgsm/test/es.jsonl": MGSM_ES})
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


def test_a_cache_that_cannot_be_written(fill: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(**{"mgsm/test/es.jsonl": MGSM_ES})
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XLIFT_CACHE", str(tmp_path / "file"))
    assert "set XLIFT_CACHE to a folder with room" in refusal("mgsm", "es")


# --- caches ---


def test_the_second_reading_maps_the_first(fill: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(**{"mgsm/test/es.jsonl": MGSM_ES})
    first = read("mgsm", "es")
    monkeypatch.setattr(data, "records", None)
    monkeypatch.setattr(hashlib, "file_digest", None)
    second = read("mgsm", "es")
    assert list(first) == list(second)
    assert [Path(file["filename"]).parent for file in second.cache_files] == [tmp_path / "cache" / "rows"]


def test_changed_source_gives_changed_rows(fill: Callable[..., Path]) -> None:
    fill(**{"mgsm/test/es.jsonl": MGSM_ES})
    before, root = locate("mgsm", "es"), identify_root("never")
    assert read("mgsm", "es")[1]["answer"] == "3"
    fill(**{"mgsm/test/es.jsonl": MGSM_ES.replace('"3"', '"4"')})
    assert read("mgsm", "es")[1]["answer"] == "4"
    assert locate("mgsm", "es").sha256 != before.sha256
    assert identify_root("never") != root


def test_the_hash_of_one_file_is_the_manifests(fill: Callable[..., Path]) -> None:
    english, spanish = "One.\n", "Uno.\n"
    fill(**{"flores200_dataset/dev/eng_Latn.dev": english, "flores200_dataset/dev/spa_Latn.dev": spanish})
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in (english, spanish)]
    assert locate("flores", "en", "dev").sha256 == digests[0]
    assert locate("flores", "en-es", "dev").sha256 == hashlib.sha256("\n".join(digests).encode()).hexdigest()


def test_the_root_is_told_apart(fill: Callable[..., Path]) -> None:
    without = {identify_root("never"), identify_root("missing")}
    fill(**{"mgsm/test/es.jsonl": MGSM_ES})
    assert len(without | {identify_root("never"), identify_root("missing")}) == 4


def count_rows(lang: str) -> int:
    return len(read("mgsm", lang))


def test_two_processes_at_once(fill: Callable[..., Path], tmp_path: Path) -> None:
    fill(**{"mgsm/test/es.jsonl": jsonl(*({"id": number, "question": "¿?", "answer": "1"} for number in range(20_000)))})
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
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


def test_folder_and_hub_together(hub: ThreadingHTTPServer, fill: Callable[..., Path]) -> None:
    fill(**{"flores200_dataset/dev/eng_Latn.dev": "One.\n"})
    assert read("flores", "en-wo", "dev")[0]["target"] == "Benn."
    assert locate("flores", "en-wo", "dev").origin == "folder+hub"


def test_a_hub_without_the_file(hub: ThreadingHTTPServer) -> None:
    assert "google/xquad@51adfef1c128 does not give xquad.el/" in refusal("xquad", "el")
    assert "x-alpacaeval/data/ja.json does not answer (Client error '404" in refusal("x_alpaca_eval", "ja")
    assert "not laid out as flores is" in refusal("flores", "en-xh", "dev")


# --- the real folder ---

real = pytest.mark.skipif(not REAL, reason="XLIFT_DATA names no data folder")


@real
@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        (("mgsm", "es"), 250),
        (("mgsm", "te", "exemplars"), 8),
        (("xquad", "th"), 1190),
        (("mlqa", "en"), 1148),
        (("mlqa", "en-es"), 500),
        (("flores", "en-es"), 1012),
        (("flores", "eng_Latn-zho_Hant", "dev"), 997),
        (("x_alpaca_eval", "zh"), 805),
        (("x_alpaca_eval", "es", "gpt-3.5-turbo-0125"), 805),
        (("alpaca", "en"), 9229),
        (("alpaca/seed", "en"), 175),
        (("alpaca", "fr"), 1000),
        (("alpaca", "zh"), 1000),
        (("alpagasus", "ja"), 8480),
        (("gsm8k", "en"), 7473),
        (("gsm8k", "sw"), 7469),
        (("parallel", "sw"), 387 + 2100 + 30782),
        (("parallel/tico19", "zh"), 2100),
        (("lexicon", "fr"), 5000 + 3999),
        (("qa", "zh"), 3219 + 1002),
        (("qa", "tr"), 8308),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_real_corpora_have_the_rows_that_their_readme_states(monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...], rows: int) -> None:
    monkeypatch.setenv("XLIFT_DATA", REAL or "")
    found = read(*asked)
    assert len(found) == rows == len(set(found["id"]))
    assert locate(*asked).origin == "folder"
    for column in set(found.column_names) - {"answers", "output"}:
        assert all(found[column]), f"empty {column}"


@real
def test_real_answers_lie_where_they_are_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLIFT_DATA", REAL or "")
    for row in read("xquad", "zh"):
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            assert row["context"][start : start + len(text)] == text


@real
def test_real_training_text_is_checked_against_real_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLIFT_DATA", REAL or "")
    guard = guard_of([("xquad", "en", "test"), ("x_alpaca_eval", "en", "instructions")])
    context = read("xquad", "en")[0]["context"]
    assert guard.find_leaks([f"Summarise this. {context[40:400]}"]) == [True]
    prompts = read_training("alpaca", "en")["instruction"]
    assert sum(guard.find_leaks(prompts)) == 0, "the Alpaca files hold no AlpacaEval instruction, by their README"
