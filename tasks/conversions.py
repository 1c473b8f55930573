"""How the records of published files become those of the data folder. Each function makes the records that the folder's copy has.

Every function takes the records of the published files, in order, and the language that is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote

from xlift.tasks.corpora import Records, Row


def name_sides(tables: Sequence[Records], lang: str) -> Iterator[Row]:
    """Sentence pairs of two files with one sentence a line, English first, or of several such pairs of files one after the other."""
    name = "zh" if lang == "zh-Hant" else lang  # one file in both scripts
    for english, other in zip(tables[::2], tables[1::2], strict=True):
        if len(english) != len(other):
            raise ValueError(f"{len(english)} lines in English, {len(other)} in {lang}")
        for left, right in zip(english, other, strict=True):
            yield {"en": left["text"], name: right["text"]}


def flatten_squad(tables: Sequence[Records], lang: str) -> Iterator[Row]:
    """The questions of files in the layout of SQuAD, one in each row. If the given place of an answer is wrong, the answer is looked for
    near it.

    CMRC 2018 has twelve such places, and TQuAD writes places as text.
    """
    for [content] in tables:
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                for asked in paragraph["qas"]:
                    if not asked.get("is_impossible"):
                        yield _question(asked, paragraph["context"])


def _question(asked: Row, context: str) -> Row:
    texts = [answer["text"] for answer in asked["answers"]]
    places = [_find(answer["text"], context, int(answer["answer_start"])) for answer in asked["answers"]]
    answers = {"text": texts, "answer_start": places}
    return {"id": str(asked["id"]), "context": context, "question": asked["question"], "answers": answers}


def _find(text: str, context: str, place: int) -> int:
    if context.startswith(text, place):
        return place
    places = [found.start() for found in re.finditer(re.escape(text), context)]
    return min(places, key=lambda found: abs(found - place), default=place)


def leave_out_xquad(tables: Sequence[Records], lang: str) -> Iterator[Row]:
    """The questions of the first file, without those whose paragraph or question is in the second file, XQuAD in English."""
    measured = list(flatten_squad(tables[1:], lang))
    contexts, questions = {row["context"] for row in measured}, {row["question"] for row in measured}
    for row in flatten_squad(tables[:1], lang):
        if row["context"] not in contexts and row["question"] not in questions:
            yield row


def name_iapp(tables: Sequence[Records], lang: str) -> Iterator[Row]:
    """iApp's questions, with only the columns that are used."""
    for record in tables[0]:
        answers = {key: record["answers"][key] for key in ("text", "answer_start")}
        yield {"id": record["question_id"], "context": record["context"], "question": record["question"], "answers": answers}


def name_msvamp(tables: Sequence[Records], lang: str) -> Iterator[Row]:
    """MSVAMP's questions with their numbers, which are written as decimals: 8.0 is 8."""
    for record in tables[0]:
        number = float(record["response"])
        yield {"question": record["m_query"].strip(), "answer": str(int(number)) if number.is_integer() else str(number)}


def read_exemplars(tables: Sequence[Records], lang: str) -> Iterator[Row]:
    """MGSM's exemplars of all languages, from the Python file in which they are published.

    The number is the last one of the worked answer, because the file does not give it separately.
    """
    [[assignment]] = tables
    exemplars: dict[str, dict[str, Any]] = assignment["value"]
    for lang, shots in exemplars.items():
        for number, shot in shots.items():
            gold = int(re.findall(r"\d+", shot["a"])[-1])
            yield {"lang": lang, "id": int(number), "question": shot["q"], "cot_answer": shot["a"], "number_answer": gold}


def join_alpagasus(tables: Sequence[Records], lang: str) -> Iterator[Row]:
    """The AlpaGasus prompts of one language. English prompts get the answers of the Alpaca files that follow, found by the instruction."""
    answers: dict[str, str] = {}
    for record in (record for table in tables[1:] for record in table):
        if record["output"]:
            answers.setdefault("\n".join(filter(None, (record["instruction"], record.get("input")))), record["output"])
    for record in tables[0]:
        prompt = record.get("instruction", record.get("prompt"))
        answer = {"output_en": answers[prompt]} if prompt in answers else {}
        yield {"id": record["id"], lang: prompt, **answer}


def join_llama3(tables: Sequence[Records], lang: str) -> Iterator[Row]:
    """Llama 3's answers in English with their French translations; the French prompts come from the second file, found by their ids."""
    prompts = {record["id"]: record["prompt"] for record in tables[1]}
    for record in tables[0]:
        english, french = record["response"], record["en2fr_reponse"]
        named = {"instruction_en": record["prompt"], "instruction_fr": prompts[record["id"]]}
        yield {"id": record["id"], **named, "response_en": english, "response_fr": french}


def join_gsm8k(tables: Sequence[Records], lang: str) -> Iterator[Row]:
    """Translated questions, found by the row of the English question in GSM8K. Those whose English question is missing there are left
    out."""
    english, questions, translations = tables
    rows = {record["question"]: number for number, record in enumerate(english)}
    solutions = [record["answer"] for record in english]
    if len(questions) != len(translations):
        raise ValueError(f"{len(questions)} English questions, {len(translations)} translated ones")
    for question, translation in zip(questions, translations, strict=True):
        number = rows.get(question["text"])
        if number is not None:
            gold = solutions[number].rpartition("####")[2].strip().replace(",", "")
            yield {"en_row": number, "question": translation["text"], "final_answer": gold}


def name_pairs(tables: Sequence[Records], lang: str) -> Iterator[Row]:
    """Sentence pairs of OPUS-100, whose rows hold both languages under ``translation``."""
    for record in tables[0]:
        pair = record["translation"]
        yield {"en": pair["en"], lang: pair[lang]}


def choose_xnli(tables: Sequence[Records], lang: str) -> Iterator[Row]:
    """The pairs of one language from XNLI's file of all languages, in its order."""
    for record in tables[0]:
        if record["language"] == lang:
            yield {"premise": record["sentence1"], "hypothesis": record["sentence2"], "label": record["gold_label"]}


def name_triples(tables: Sequence[Records], lang: str) -> Iterator[Row]:
    """The facts of DBP-5L by name, from the numbers of head, relation and tail, the entities of the language, and the relations."""
    triples, entities, relations = tables
    names, properties = _names_of(entities), [unquote(re.split("[/#]", record["uri"])[-1]) for record in relations]
    for record in triples:
        head, tail = (names[int(float(record[key]))] for key in ("head", "tail"))
        yield {"head": head, "relation": properties[int(float(record["relation"]))], "tail": tail}


def name_entities(tables: Sequence[Records], lang: str) -> Iterator[Row]:
    """The linked entities of DBP-5L by name, from their numbers, which are written as 12.0, the English entities, and those of the
    language."""
    links, english, other = tables
    names = {"en": _names_of(english), lang: _names_of(other)}
    for record in links:
        yield {code: names[code][int(float(record[code]))] for code in ("en", lang)}


def _names_of(records: Records) -> list[str]:
    """The names in DBpedia's addresses: the part after ``resource/``, with percent signs decoded and spaces in place of underscores."""
    return [unquote(record["uri"].partition("/resource/")[2]).replace("_", " ") for record in records]
