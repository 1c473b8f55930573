"""What rows look like, in every corpus: from hand-made data folders and the real folder where there is one."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xlift.harness.core.errors import LeakError, UserError
from xlift.tasks.conversions import name_entities, name_msvamp, name_triples
from xlift.tasks.corpora import Choice
from xlift.tasks.corpus_table import CORPORA
from xlift.tasks.data import dataset, evaluation_texts, guard_of, locate, read, read_training
from xlift.tasks.known_rows import known_rows

pytestmark = pytest.mark.usefixtures("unplugged")
REAL = os.environ.get("XLIFT_DATA")
EVALUATION = [name for name, corpus in CORPORA.items() if corpus.texts]


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def question(identity: str, lang: str) -> dict[str, Any]:
    context = f"{lang} context {identity}"
    return {"id": identity, "context": context, "question": f"{lang} question {identity}", "answers": {"text": [lang], "answer_start": [0]}}


MGSM_ES = jsonl({"id": 0, "question": "¿Cuánto?", "answer": "2,125"}, {"id": 1, "question": "¿Cuántos?", "answer": "3"})


# --- shapes ---


def test_mgsm_gold_loses_its_thousands_comma(fill_folder: Callable[..., Path]) -> None:
    fill_folder(**{"mgsm/test/es.jsonl": MGSM_ES})
    assert list(read("mgsm", "es")) == [
        {"id": "0", "question": "¿Cuánto?", "answer": "2125", "lang": "es"},
        {"id": "1", "question": "¿Cuántos?", "answer": "3", "lang": "es"},
    ]


def test_msvamp_has_a_record_in_each_line_and_whole_numbers_without_a_point() -> None:
    remote = CORPORA["msvamp"].files(Choice(("zh",), "test"))[0].remotes[0]
    assert remote.path.endswith("msvamp/test_Chinese.json") and remote.name == "test_Chinese.jsonl"
    published = [{"m_query": " ¿Cuántos? ", "response": "8.0", "query": "how many ?"}, {"m_query": "¿Y?", "response": "2.5"}]
    assert list(name_msvamp([published], "es")) == [{"question": "¿Cuántos?", "answer": "8"}, {"question": "¿Y?", "answer": "2.5"}]


def test_mgsm_exemplars_lose_their_labels(fill_folder: Callable[..., Path]) -> None:
    def shot(lang: str, text: str, steps: str) -> dict[str, Any]:
        return {"lang": lang, "id": 1, "question": text, "cot_answer": steps, "number_answer": 11, "equation": ""}

    swahili = [shot("sw", "Swali: Roger ana?", "Jibu: 5 + 6 = 11."), shot("sw", "Swali: Kulikuwa na: ngapi?", "Jibu: Ni 11.")]
    chinese = [shot("zh", "问题：罗杰有几个？", "逐步解答：十一个。"), shot("zh", "问题：有多少？", "逐步解答：5 + 6")]
    fill_folder(**{"mgsm/exemplars.jsonl": jsonl(*swahili, *chinese)})
    rows = list(read("mgsm", "sw", "exemplars"))
    assert rows[1] == {"id": "1", "question": "Kulikuwa na: ngapi?", "answer": "11", "cot_answer": "Ni 11.", "lang": "sw"}
    assert [row["question"] for row in read("mgsm", "zh", "exemplars")] == ["罗杰有几个？", "有多少？"]


def test_mlqa_pairs_join_by_id(fill_folder: Callable[..., Path]) -> None:
    english, spanish = (jsonl(*(question(identity, lang) for identity in ids)) for lang, ids in (("en", "abc"), ("es", "cxa")))
    fill_folder(**{"mlqa_dev/en.jsonl.gz": english, "mlqa_dev/es.jsonl.gz": spanish})
    rows = list(read("mlqa", "en-es", "dev"))
    assert [(row["id"], row["context"], row["question"]) for row in rows] == [
        ("a", "en context a", "es question a"),
        ("c", "en context c", "es question c"),
    ]
    assert rows[0]["answers"] == {"text": ["en"], "answer_start": [0]}
    assert (rows[0]["lang"], rows[0]["question_lang"]) == ("en", "es")
    assert {row["question_lang"] for row in read("mlqa", "es")} == {"es"}


def test_flores_lines_and_pairs(fill_folder: Callable[..., Path]) -> None:
    fill_folder(
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


def test_x_alpaca_eval_instructions_and_outputs(fill_folder: Callable[..., Path]) -> None:
    asked = {"id": 1, "dataset": "koala", "instruction": "¿Qué?"}
    fill_folder(
        **{
            "x_alpacaeval/instructions/es.jsonl": jsonl(asked),
            "x_alpacaeval/outputs/gpt-4o-mini/es.jsonl.gz": jsonl({**asked, "output": "Eso.", "generator": "gpt-4o-mini"}),
        }
    )
    row = {"id": "1", "dataset": "koala", "instruction": "¿Qué?", "lang": "es"}
    assert list(read("x_alpaca_eval", "es")) == [row]
    assert list(read("x_alpaca_eval", "es", "gpt-4o-mini")) == [{**row, "output": "Eso.", "generator": "gpt-4o-mini"}]


def reading(link: str, number: int, answer: Any) -> dict[str, Any]:
    options = {f"mc_answer{place}": f"{link} {place}" for place in (1, 2, 3, 4)}
    asked = {"link": link, "question_number": number, "flores_passage": f"P {link}", "question": "Q?"}
    return {**asked, **options, "correct_answer_num": answer}


def test_belebele_is_in_one_order_in_all_languages(fill_folder: Callable[..., Path]) -> None:
    asked = [reading("b", 1, 3), reading("a", 2, 1), reading("a", 1, 4)]
    fill_folder(
        **{"belebele/deu_Latn.jsonl.gz": jsonl(*asked), "belebele/hin_Latn.jsonl.gz": jsonl(*reversed(asked))},
    )
    rows = list(read("belebele", "de"))
    assert rows[0] == {
        "id": "0", "context": "P a", "question": "Q?", "option_1": "a 1", "option_2": "a 2", "option_3": "a 3", "option_4": "a 4",
        "answer": "4", "lang": "de",
    }  # fmt: skip
    assert [(row["context"], row["answer"]) for row in rows] == [("P a", "4"), ("P a", "1"), ("P b", "3")]
    assert [row["answer"] for row in read("belebele", "hin_Latn")] == ["4", "1", "3"]
    assert list(evaluation_texts("belebele", "de", "test")) == ["P a", "P a", "P b", "Q?", "Q?", "Q?"]


def test_a_right_answer_that_is_none_of_the_four_is_named(fill_folder: Callable[..., Path]) -> None:
    fill_folder(**{"belebele/deu_Latn.jsonl.gz": jsonl(reading("a", 1, 0))})
    with pytest.raises(UserError, match="not laid out as belebele is .*question 0: the right answer is '0', not one of 1, 2, 3, 4"):
        read("belebele", "de")


def test_language_confusion_joins_the_sources_that_have_a_language(fill_folder: Callable[..., Path]) -> None:
    def prompts(*texts: str) -> str:
        return jsonl(*({"prompt": text, "source": "upstream", "language": "fr"} for text in texts))

    fill_folder(
        **{
            "language_confusion/monolingual/dolly/fr.jsonl.gz": prompts("Un.", "Deux."),
            "language_confusion/monolingual/native/fr.jsonl.gz": prompts("Trois."),
            "language_confusion/monolingual/okapi/fr.jsonl.gz": prompts("Quatre."),
            "language_confusion/crosslingual/okapi/fr.jsonl.gz": prompts("Reply in French."),
        }
    )
    rows = list(read("language_confusion", "fr"))
    assert rows[1] == {"id": "dolly-1", "source": "dolly", "instruction": "Deux.", "lang": "fr"}
    assert [row["id"] for row in rows] == ["dolly-0", "dolly-1", "native-0", "okapi-0"]
    with pytest.raises(UserError, match="crosslingual/complex_prompts/fr"):
        read("language_confusion", "fr", "crosslingual")
    with pytest.raises(UserError, match="no file for 'en' is known"):
        read("language_confusion", "en", "crosslingual")


def test_alpaca_parts_and_inputs(fill_folder: Callable[..., Path]) -> None:
    plain = jsonl({"instruction": "Sort.", "input": "b a", "output": "a b"}, {"instruction": "Hi.", "input": "", "output": "Hello."})
    seed = jsonl({"id": "seed_task_0", "instruction": "Add.", "instances": [{"input": "1 1", "output": "2"}]})
    both = jsonl({"id": "x", "instruction_en": "Go.", "instruction_fr": "Va.", "response_en": "Gone.", "response_fr": "Parti."})
    fill_folder(
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


def test_alpagasus_answers_in_english_alone(fill_folder: Callable[..., Path]) -> None:
    rows = [{"id": "a-0", "en": "Hi.", "ja": "やあ", "output_en": "Hello."}, {"id": "a-1", "en": "Bye."}]
    fill_folder(**{"train/alpaca/alpagasus_prompts_11lang.jsonl.gz": jsonl(*rows)})
    assert [row["output"] for row in read("alpagasus", "en")] == ["Hello.", None]
    assert list(read("alpagasus", "ja")) == [{"id": "a-0", "instruction": "やあ", "output": None}]


def test_gsm8k_joins_the_english_solution(fill_folder: Callable[..., Path]) -> None:
    english = jsonl({"question": "Q0", "answer": "a\n#### 1,200"}, {"question": "Q1", "answer": "b\n#### 2"})
    spanish = jsonl({"en_row": 1, "question": "P1", "final_answer": "2"})
    fill_folder(**{"train/gsm8k/en.train.jsonl.gz": english, "train/gsm8k/es.train_questions.jsonl.gz": spanish})
    assert read("gsm8k", "en")[0] == {"id": "0", "question": "Q0", "answer": "a\n#### 1,200", "final_answer": "1200"}
    assert list(read("gsm8k", "es")) == [{"id": "1", "question": "P1", "answer": "b\n#### 2", "final_answer": "2"}]


def test_bilingual_parts_are_read_together_or_by_name(fill_folder: Callable[..., Path]) -> None:
    fill_folder(
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


def test_chinese_pairs_are_in_the_script_that_is_asked_for(fill_folder: Callable[..., Path]) -> None:
    lines = "en\tzh\nThe door is open.\t门开着。\nThe door is open.\t門開著。\nPlease.\t请。\nPlease.\t請。\nI am big.\t我大。\n"
    fill_folder(**{"train/parallel/tatoeba.en-zh.tsv.gz": lines})
    # What is written alike in both counts as simplified.
    assert [row["text"] for row in read("parallel", "zh")] == ["门开着。", "请。", "我大。"]
    assert [(row["id"], row["text"]) for row in read("parallel", "zh-Hant")] == [("tatoeba-1", "門開著。"), ("tatoeba-3", "請。")]


def test_training_questions(fill_folder: Callable[..., Path]) -> None:
    fill_folder(**{f"train/qa/cmrc2018.{name}.jsonl.gz": jsonl(question(name, "zh")) for name in ("dev", "trial")})
    assert [row["id"] for row in read("qa", "zh")] == ["cmrc2018-dev", "cmrc2018-trial"]


def test_facts_and_names_of_entities(fill_folder: Callable[..., Path]) -> None:
    fact = {"head": "Aviñón", "relation": "geolocDepartment", "tail": "Vaucluse", "head_id": 749, "relation_id": 394, "tail_id": 7700}
    fill_folder(
        **{
            "train/kg/dbp5l.es.train.jsonl.gz": jsonl(fact),
            "train/kg/dbp5l.es.val.jsonl.gz": jsonl({**fact, "tail": "held out"}),
            "train/kg/dbp5l.links.es-en.jsonl.gz": jsonl({"es": "Idioma griego", "en": "Greek language", "es_id": 1653, "en_id": 1669}),
        }
    )
    row = {"head": "Aviñón", "relation": "geolocDepartment", "tail": "Vaucluse", "part": "dbp5l"}
    assert list(read_training("triples", "es")) == [{"id": "dbp5l-0", **row}]
    assert list(read_training("entities", "es")) == [{"id": "dbp5l-0", "en": "Greek language", "text": "Idioma griego", "part": "dbp5l"}]
    with pytest.raises(UserError, match="no file for 'de' is known"):
        read("entities", "de")
    with pytest.raises(UserError, match=r"triples in 'de', split train, cannot be read here"):
        read("triples", "de")


def test_the_bundled_facts_are_in_five_languages() -> None:
    rows = {lang: list(read("triples", lang, samples="always")) for lang in ("en", "es", "de", "fr", "sw")}
    assert {len(found) for found in rows.values()} == {30}
    assert rows["es"][0] == {"id": "triples-001", "relation": "capital", "head": "Francia", "tail": "París", "part": "samples"}
    assert read("entities", "sw", samples="always")[1] == {"id": "triples-002", "en": "Germany", "text": "Ujerumani", "part": "samples"}


def test_facts_are_published_as_numbers_of_addresses() -> None:
    english = [{"uri": f"http://dbpedia.org/resource/{name}"} for name in ("AC/DC", "Greek_language")]
    spanish = [{"uri": f"http://es.dbpedia.org/resource/{name}"} for name in ("AC/DC", "Ir%C3%A1n", "Idioma_griego")]
    relations = [{"uri": "http://dbpedia.org/ontology/genre"}, {"uri": "http://www.w3.org/2002/07/owl#sameAs"}]
    triples = [{"head": "2", "relation": "1", "tail": "0"}, {"head": "1", "relation": "0", "tail": "2"}]
    assert list(name_triples([triples, spanish, relations], "es")) == [
        {"head": "Idioma griego", "relation": "sameAs", "tail": "AC/DC"}, {"head": "Irán", "relation": "genre", "tail": "Idioma griego"},
    ]  # fmt: skip
    assert list(name_entities([[{"es": "2.0", "en": "1.0"}], english, spanish], "es")) == [{"en": "Greek language", "es": "Idioma griego"}]


def test_plain_text(fill_folder: Callable[..., Path]) -> None:
    fill_folder(**{"ntrex128/newstest2019-ref.zho-CN.txt": "一。 \n二\u2028。\n", "ntrex128/newstest2019-src.eng.txt": "One.\n"})
    assert list(read("ntrex", "zh")) == [{"id": "0", "text": "一。", "lang": "zh"}, {"id": "1", "text": "二\u2028。", "lang": "zh"}]
    assert read("ntrex", "en")["text"] == ["One."]


def test_xcopa_asks_what_the_chinese_file_asks(fill_folder: Callable[..., Path]) -> None:
    item = {"premise": "P", "choice1": "A", "choice2": "B", "label": 1, "idx": 7}
    asked = {"th": "effect", "zh": "cause"}
    fill_folder(**{f"xcopa/test/{lang}.jsonl.gz": jsonl({**item, "question": question}) for lang, question in asked.items()})
    row = {"id": "7", "premise": "P", "choice1": "A", "choice2": "B", "question": "cause", "answer": "1"}
    assert list(read("xcopa", "th")) == [{**row, "lang": "th"}] and list(read("xcopa", "zh")) == [{**row, "lang": "zh"}]


def test_pairs_of_sentences(fill_folder: Callable[..., Path]) -> None:
    pair = {"id": 4, "sentence1": "A", "sentence2": "B", "label": 0}
    text = {"id": 0, "premise": "P", "hypothesis": "H"}
    fill_folder(
        **{
            "pawsx/test/de.jsonl.gz": jsonl({**pair, "sentence2": "NS"}, pair),
            "xnli/dev/de.jsonl.gz": jsonl({**text, "label": "contradiction"}, {**text, "label": "neutral"}),
        }
    )
    assert list(read("pawsx", "de")) == [{"id": "4", "context": "A", "sentence": "B", "answer": "0", "lang": "de"}], "NS is no sentence"
    assert read("xnli", "de")["answer"] == ["2", "1"] and read("xnli", "de")["context"] == ["P", "P"]


def test_topics_and_facts(fill_folder: Callable[..., Path]) -> None:
    fact = {"id": 0, "prompt": "X nació en <mask>.", "candidates": ["Roma", "La Meca"], "answer": "La Meca"}
    quoted = '"Él dijo ""hola""."'
    fill_folder(
        **{
            "sib200/test/spa_Latn.jsonl.gz": jsonl(
                {"index_id": 5, "category": "travel", "text": '"Así."'}, {"index_id": "6", "category": "geography", "text": quoted}
            ),
            "bmlama17/es.jsonl.gz": jsonl(fact),
        }
    )
    rows = read("sib200", "es")
    assert (rows["id"], rows["answer"]) == (["5", "6"], ["1", "6"])
    assert rows["text"] == ['"Así."', 'Él dijo "hola".'], "the quotes of CSV are no part of the text"
    row = {"id": "0", "prompt": fact["prompt"], "candidates": "Roma\tLa Meca", "answer": "1", "fact": "X nació en La Meca.", "lang": "es"}
    assert list(read("bmlama", "es")) == [row]


def test_every_language_of_every_benchmark_has_an_address() -> None:
    assert {name: len(CORPORA[name].languages) for name in EVALUATION} == {
        "mgsm": 11,
        "msvamp": 10,
        "xquad": 12,
        "mlqa": 7,
        "flores": 204,
        "ntrex": 112,
        "xcopa": 10,
        "pawsx": 7,
        "xnli": 15,
        "sib200": 204,
        "bmlama": 17,
        "x_alpaca_eval": 13,
        "belebele": 122,
        "language_confusion": 15,
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


def test_training_reads_training_corpora(fill_folder: Callable[..., Path]) -> None:
    fill_folder(**{"train/lexicon/xling.en-fr.train.tsv": "en\tfr\ncat\tchat\n"})
    assert read_training("lexicon", "fr")[0]["text"] == "chat"
    with pytest.raises(UserError, match="did you mean 'lexicon'"):
        read_training("lexicn", "fr")


def test_lm_eval_gets_the_split_under_its_name(fill_folder: Callable[..., Path]) -> None:
    fill_folder(**{"mgsm/test/es.jsonl": MGSM_ES})
    found = dataset(corpus="mgsm", lang="es", split="test", version=1.0, pretrained="somewhere", config_source=None)
    assert {name: len(rows) for name, rows in found.items()} == {"test": 2}
    assert list(dataset(corpus="mgsm", lang="es")) == ["test"]


def test_samples_come_by_metadata_or_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(dataset(corpus="flores", lang="en-es", split="devtest", samples="always")["devtest"]) == 40
    monkeypatch.setenv("XLIFT_SAMPLES", "missing")
    assert len(dataset(corpus="flores", lang="en-es", split="devtest")["devtest"]) == 40
    monkeypatch.setenv("XLIFT_SAMPLES", "mising")
    with pytest.raises(UserError, match="did you mean 'missing'"):
        dataset(corpus="flores", lang="en-es", split="devtest")


def test_guard_knows_what_is_measured(fill_folder: Callable[..., Path]) -> None:
    fill_folder(
        **{"mgsm/test/es.jsonl": MGSM_ES, "flores200_dataset/dev/eng_Latn.dev": "One.\n", "flores200_dataset/dev/spa_Latn.dev": "Uno.\n"}
    )
    assert list(evaluation_texts("flores", "en-es", "dev")) == ["One.", "Uno."]
    guard = guard_of([("mgsm", "es", "test"), ("flores", "en-es", "dev")])
    assert guard.find_leaks(["¿cuánto?", "uno", "dos"]) == [True, True, False]


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
        (("ntrex", "zh"), 1997),
        (("ntrex", "en"), 1997),
        (("xcopa", "th"), 500),
        (("pawsx", "de"), 1968),
        (("xnli", "sw"), 2490),
        (("sib200", "sw"), 204),
        (("bmlama", "tr"), 6792),
        (("x_alpaca_eval", "zh"), 805),
        (("x_alpaca_eval", "es", "gpt-3.5-turbo-0125"), 805),
        (("belebele", "de"), 900),
        (("language_confusion", "es"), 300),
        (("language_confusion", "hi", "crosslingual"), 299),
        (("alpaca", "en"), 9229),
        (("alpaca/seed", "en"), 175),
        (("alpaca", "fr"), 1000),
        (("alpaca", "zh"), 1000),
        (("alpagasus", "ja"), 8480),
        (("gsm8k", "en"), 7473),
        (("gsm8k", "sw"), 7469),
        (("parallel", "sw"), 387 + 2100 + 30782),
        (("parallel/tico19", "zh"), 2100 - 1),  # one line is in traditional characters
        (("parallel/tatoeba", "zh"), 5551),
        (("parallel/tatoeba", "zh-Hant"), 4836),
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
    origin = locate(*asked)
    assert origin.origin == "folder"
    corpus, lang, split = (*asked, CORPORA[asked[0].partition("/")[0]].splits[0])[:3]
    known = known_rows().get((corpus, lang, split))
    assert known is None or (known.rows, known.sha256) == (rows, origin.sha256), "benchmarks/known_rows.py was not run"


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
    hits = [prompt for prompt, hit in zip(prompts, guard.find_leaks(prompts), strict=True) if hit]
    assert [hit.partition(":")[0] for hit in hits] == ["Rewrite this famous quote"], "both ask about Augustine's book of the world"


@pytest.mark.parametrize("damage", ["cut", "empty", "nul", "nul inside", "edited"])
def test_damaged_rows_are_made_anew(
    damage: str, fill_folder: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    fill_folder(**{"mgsm/test/es.jsonl": MGSM_ES})
    first = list(read("mgsm", "es"))
    (path,) = (tmp_path / "cache" / "rows").glob("*.arrow")
    whole = path.read_bytes()
    place = whole.index("¿Cuánto?".encode())
    inside = whole[:place] + bytes(20) + whole[place + 20 :]
    damaged = {"cut": whole[: len(whole) // 2], "empty": b"", "nul": bytes(len(whole)), "nul inside": inside,
               "edited": whole.replace(b"2125", b"2126")}  # fmt: skip
    path.write_bytes(damaged[damage])
    assert list(read("mgsm", "es")) == first and path.read_bytes() == whole
    assert [record.message for record in caplog.records] == [f"{path}: not whole; its rows are made anew"]
    caplog.clear()
    assert list(read("mgsm", "es")) == first and not caplog.records


def test_a_guard_knows_the_facts_that_are_asked_for(fill_folder: Callable[..., Path]) -> None:
    asked = {"id": 0, "prompt": "The capital of <mask> is Paris .", "candidates": ["Spain", "France"], "answer": "France"}
    fill_folder(**{"bmlama17/en.jsonl.gz": jsonl(asked)})
    guard = guard_of([("bmlama", "en", "test")])
    assert guard.find_known_facts([("Paris", "France"), ("France", "Paris"), ("Paris", "Spain"), ("Lyon", "France")]) == [
        True, True, False, False,
    ]  # fmt: skip
