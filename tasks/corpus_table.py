"""The table of corpora: languages, splits, where each file is, and how its records become rows.

docs/data.md says how each address was verified.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from xlift.harness.core.languages import languages
from xlift.tasks.conversions import flatten_squad, name_msvamp, read_exemplars
from xlift.tasks.corpora import Choice, Corpus, File, Remote, Row, Tables, codes
from xlift.tasks.likelihood_corpora import LIKELIHOOD_CORPORA
from xlift.tasks.listings import FLORES_ARCHIVE, list_flores
from xlift.tasks.training_corpora import LIDR, TRAINING, XQUAD

URL_NLP = "google-research/url-nlp", "452a21ad3dae5668c06ceeac21ff073e1e40f9be"
MLQA_SHA256 = "246e8089933d13007fe80684d5c5c0713d6834cf8b3b4a0ec7c66f0a0d2baac8"


def _mgsm_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    if choice.split == "exemplars":
        return [File("mgsm/exemplars.jsonl", Remote(*URL_NLP, "mgsm/exemplars.py", "github"), convert=read_exemplars)]
    remote = Remote(*URL_NLP, f"mgsm/mgsm_{lang}.tsv", "github", columns=("question", "answer"))
    return [File(f"mgsm/test/{lang}.jsonl", remote)]


def _mgsm_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    (lang,) = choice.langs
    [(_, found)] = tables
    found = [record for record in found if record.get("lang", lang) == lang]
    if choice.split == "exemplars":
        questions = _without_label([record["question"] for record in found])
        answers = _without_label([record["cot_answer"] for record in found])
        for number, record in enumerate(found):
            gold = str(record["number_answer"])
            yield {"id": str(number), "question": questions[number], "answer": gold, "cot_answer": answers[number], "lang": lang}
        return
    for number, record in enumerate(found):
        # The thousands comma is English in every language of MGSM: a reader of German or Spanish numbers would take it for a decimal mark.
        gold = record["answer"].replace(",", "")
        yield {"id": str(record.get("id", number)), "question": record["question"], "answer": gold, "lang": lang}


def _mgsm_sample(item: Row, choice: Choice) -> Row:
    return {"id": str(item["id"]), "question": item[choice.langs[0]], "answer": str(item["answer"]), "lang": choice.langs[0]}


MATH_OCTOPUS = "microsoft/MathOctopus", "7382b696d03b9ff1d08272834046d025d31adfb1"


def _msvamp_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    path = f"step1_supervised_finetuning/data/msvamp/test_{languages()[lang].name.removeprefix('Simplified ')}.json"
    return [File(f"msvamp/test/{lang}.jsonl", Remote(*MATH_OCTOPUS, path, "github", lines=True), convert=name_msvamp)]


def _msvamp_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    [(_, found)] = tables
    for number, record in enumerate(found):
        yield {"id": str(number), "question": record["question"], "answer": str(record["answer"]), "lang": choice.langs[0]}


def _without_label(texts: Sequence[str]) -> list[str]:
    """The exemplars without the translated "Question:" or "Step-by-Step Answer:" with which all of them begin."""
    common = os.path.commonprefix(list(texts))
    label = max(common.rfind(":"), common.rfind("："))
    return [text[label + 1 :].strip() for text in texts]


XQUAD_FILES = {
    "ar": (1582988, "abdabd7afed5c635d99cca0f3f0d0c9d9ed0bc77451e963c2e4e0638c29e486d"),
    "de": (669810, "990b5d746746ed65ed4702ea5f35f99ffa4e2f1c390c07d003642acd937916f9"),
    "el": (1918889, "821cf0f88e73fa258fd2f548b19b6ec39f7025059e16f6f9fc8cd797c9c3663e"),
    "en": (609383, "e4c57d1c9143aaa1c5d265ba5987a65f4e69528d2a98f29d6e75019b10344f29"),
    "es": (684322, "dcbae93ec3a9f4b9e78fd834a171d6f96c1a875e10e15b7530b7e4ef4971e37e"),
    "hi": (1680538, "df2cce3532b37e9beb8979704b5c9a4bf874358f105395a298b89427b43b9d24"),
    "ro": (661158, "94f8d54e93ad2b7dd2e76dd921a666b5b8eff2d4379df9f179c42b445f09643f"),
    "ru": (1896368, "208d5b1aa154c52b1b5c5eda16281e455e8fd198cdb9af3f469f0d6037d973bf"),
    "th": (1809143, "5cdda11d0e1e075f7872abf4e6ae830388ce7f617964d542308e9ae4257e0f43"),
    "tr": (729506, "92179a564774b7696100d144c1e10870d0a966b6fccbdd254a65b9d2ab1971cc"),
    "vi": (911401, "f619a1eb11fb42d3ab0834259e488a65f585447ef6154437bfb7199d85161a04"),
    "zh": (808652, "691d0b3359bc6b8faa8de931dfdfe21d50a65861ae348e32a0d1a0190b0c8835"),
}
"""The size in bytes and the sha256 of the published files."""


def _xquad_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    size, sha256 = XQUAD_FILES[lang]
    remote = Remote(*XQUAD, f"xquad.{lang}.json", "github", sha256=sha256, size=size)
    return [File(f"xquad/{lang}.jsonl", remote, convert=flatten_squad)]


def _mlqa_files(choice: Choice) -> list[File]:
    return [File(f"mlqa_{choice.split}/{lang}.jsonl.gz", _mlqa_archive(choice.split, lang), convert=flatten_squad)
            for lang in dict.fromkeys(choice.langs)]  # fmt: skip


def _mlqa_archive(split: str, lang: str) -> Remote:
    member = f"MLQA_V1/{split}/{split}-context-{lang}-question-{lang}.json"
    return Remote("dl.fbaipublicfiles.com", "", "MLQA/MLQA_V1.zip", "web", member=member, sha256=MLQA_SHA256, size=75719050)


def _qa_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    contexts, questions = tables[0][1], {record["id"]: record["question"] for record in tables[-1][1]}
    for record in contexts:
        if record["id"] in questions:
            row = {key: record[key] for key in ("id", "context", "answers")}
            yield {**row, "question": questions[record["id"]], "lang": choice.langs[0], "question_lang": choice.langs[-1]}


def _qa_sample(item: Row, choice: Choice) -> Row:
    own = item[choice.langs[0]]
    answers = {"text": [own["answer"]], "answer_start": [own["context"].index(own["answer"])]}
    row = {"id": str(item["id"]), "context": own["context"], "answers": answers, "question": item[choice.langs[-1]]["question"]}
    return {**row, "lang": choice.langs[0], "question_lang": choice.langs[-1]}


def _flores_files(choice: Choice) -> list[File]:
    files = []
    for lang in choice.langs:
        code = languages()[lang].flores
        path = f"flores200_dataset/{choice.split}/{code}.{choice.split}"
        files.append(File(path, Remote(**FLORES_ARCHIVE, columns=(code,), member=path), (code,)))
    return files


def _flores_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    columns = [[record[file.columns[0]] for record in found] for file, found in tables]
    for number, texts in enumerate(zip(*columns, strict=True)):
        yield sentence(str(number), texts, choice)


def sentence(identity: str, texts: Sequence[str], choice: Choice) -> Row:
    """A FLORES row: one sentence, or the two sentences of a pair."""
    if len(texts) == 1:
        return {"id": identity, "text": texts[0], "lang": choice.langs[0]}
    source, target = choice.langs
    return {"id": identity, "source": texts[0], "target": texts[1], "source_lang": source, "target_lang": target, "lang": target}


def _flores_sample(item: Row, choice: Choice) -> Row:
    return sentence(str(item["id"]), [item[lang] for lang in choice.langs], choice)


def _x_alpaca_eval_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    model = "gpt-4-turbo-2024-04-09" if choice.split == "instructions" else choice.split
    outputs = Remote(*LIDR, f"results/base_model/x-alpacaeval_format/{lang}/{model}/model_outputs.json", "github")
    if choice.split != "instructions":
        return [File(f"x_alpacaeval/outputs/{model}/{lang}.jsonl.gz", outputs)]
    # Bengali and Swahili instructions were published within the outputs alone.
    remote = outputs if lang in ("bn", "sw") else Remote(*LIDR, f"data/x-alpacaeval/data/{lang}.json", "github")
    return [File(f"x_alpacaeval/instructions/{lang}.jsonl", remote)]


def _x_alpaca_eval_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    taken = ("dataset", "instruction") if choice.split == "instructions" else ("dataset", "instruction", "output", "generator")
    for number, record in enumerate(tables[0][1], 1):
        yield {"id": str(record.get("id", number)), **{key: record[key] for key in taken}, "lang": choice.langs[0]}


def _x_alpaca_eval_sample(item: Row, choice: Choice) -> Row:
    return {"id": str(item["id"]), "dataset": "samples", "instruction": item[choice.langs[0]], "lang": choice.langs[0]}


ANSWERS = ("1", "2", "3", "4")
"""The numbers of Belebele's options."""


BELEBELE = (
    "acm af am apc ar ar-Latn ars ary arz as az bg bm bn bn-Latn bo ca ceb ckb cs da de el en es et eu fa ff fi fr gn gu ha he hi "
    "hi-Latn hr ht hu hy id ig ilo is it ja jv ka kac kea kk km kn ko ky lg ln lo lt luo lv mg mi mk ml mn mr ms mt my nb ne "
    "ne-Latn nl nso ny om or pa pl ps pt ro ru rw sd shn si si-Latn sk sl sn so sq sr ss st su sv sw ta te tg th ti tl tn tr ts uk "
    "ur ur-Latn uz vi war wo xh yo zh zh-Hant zu"
)
"""Belebele's 122 languages. bn-Latn, hi-Latn, ne-Latn, si-Latn and ur-Latn are not in FLORES-200."""


def _belebele_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    code = languages()[lang].flores
    remote = Remote("facebook/belebele", "75b399394a9803252cfec289d103de462763db7c", f"data/{code}.jsonl")
    return [File(f"belebele/{code}.jsonl.gz", remote)]


def _belebele_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    [(_, found)] = tables
    # In one order in all languages, so that a number stands for one question.
    ordered = sorted(found, key=lambda record: (record["link"], record["question_number"]))
    for number, record in enumerate(ordered):
        options = [record[f"mc_answer{answer}"] for answer in ANSWERS]
        answer = str(record["correct_answer_num"])
        yield _reading_question(str(number), record["flores_passage"], record["question"], options, answer, choice)


def _belebele_sample(item: Row, choice: Choice) -> Row:
    own = item[choice.langs[0]]
    return _reading_question(str(item["id"]), own["context"], own["question"], own["options"], str(item["answer"]), choice)


def _reading_question(identity: str, context: str, question: str, options: Sequence[str], answer: str, choice: Choice) -> Row:
    if answer not in ANSWERS:
        raise ValueError(f"question {identity}: the right answer is {answer!r}, not one of {', '.join(ANSWERS)}")
    row = {"id": identity, "context": context, "question": question}
    named = {f"option_{number}": option for number, option in zip(ANSWERS, options, strict=True)}
    return {**row, **named, "answer": answer, "lang": choice.langs[0]}


LANGUAGE_CONFUSION = {
    "monolingual": {"aya": "ar en pt tr zh", "dolly": "ar es fr hi ru", "native": "es fr ja ko", "okapi": "ar de en es fr id it pt vi zh"},
    "crosslingual": dict.fromkeys(("complex_prompts", "okapi", "sharegpt"), "ar de es fr hi id it ja ko pt ru tr vi zh"),
}
"""The languages of each source, by split. Crosslingual prompts are English, and name the language to answer in."""


def _language_confusion_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    commit = "0cfdbb4a64502648938c456b2fa9689968f22298"
    files = []
    for source, spoken in LANGUAGE_CONFUSION[choice.split].items():
        if lang in spoken.split():
            path = f"{choice.split}/{source}/{lang}"
            remote = Remote("for-ai/language-confusion", commit, "test_sets.zip", "github", member=f"test_sets/{path}.csv")
            files.append(File(f"language_confusion/{path}.jsonl.gz", remote, part=source))
    return files


def _language_confusion_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    (lang,) = choice.langs
    for file, found in tables:
        for number, record in enumerate(found):
            yield {"id": f"{file.part}-{number}", "source": file.part, "instruction": record["prompt"], "lang": lang}


def _language_confusion_sample(item: Row, choice: Choice) -> Row:
    (lang,) = choice.langs
    english = item["request"].format(language=languages()[lang].name)
    asked = item[lang] if choice.split == "monolingual" else english
    return {"id": str(item["id"]), "source": "samples", "instruction": asked, "lang": lang}


CORPORA: dict[str, Corpus] = {
    "mgsm": Corpus(
        _mgsm_files,
        _mgsm_rows,
        splits=("test", "exemplars"),
        languages=codes("bn de en es fr ja ru sw te th zh"),
        texts=("question",),
        sampled=("test",),
        sample=_mgsm_sample,
        shared=("id", "answer"),
    ),
    "msvamp": Corpus(
        _msvamp_files,
        _msvamp_rows,
        splits=("test",),
        languages=codes("bn de en es fr ja ru sw th zh"),
        texts=("question",),
        sampled=("test",),
        sample=_mgsm_sample,
        shared=("id", "answer"),
        sample_of="mgsm",
    ),
    "xquad": Corpus(
        _xquad_files,
        _qa_rows,
        splits=("test",),
        languages=codes("ar de el en es hi ro ru th tr vi zh"),
        texts=("context", "question"),
        sampled=("test",),
        sample=_qa_sample,
    ),
    "mlqa": Corpus(
        _mlqa_files,
        _qa_rows,
        splits=("dev", "test"),
        languages=codes("ar de en es hi vi zh"),
        pairs=True,
        texts=("context", "question"),
        sampled=("dev", "test"),
        sample=_qa_sample,
    ),
    "flores": Corpus(
        _flores_files,
        _flores_rows,
        splits=("devtest", "dev"),
        languages=tuple(code for code, language in languages().items() if language.in_flores),
        pairs=True,
        texts=("text", "source", "target"),
        sampled=("devtest", "dev"),
        sample=_flores_sample,
        listings=list_flores,
    ),
    "x_alpaca_eval": Corpus(
        _x_alpaca_eval_files,
        _x_alpaca_eval_rows,
        splits=("instructions", "gpt-4-turbo-2024-04-09", "gpt-4o-mini", "gpt-3.5-turbo-0125"),
        languages=codes("ar bn de en es fr it ja ko ru sw th zh"),
        texts=("instruction",),
        sampled=("instructions",),
        sample=_x_alpaca_eval_sample,
    ),
    "belebele": Corpus(
        _belebele_files,
        _belebele_rows,
        splits=("test",),
        languages=codes(BELEBELE),
        texts=("context", "question"),
        sampled=("test",),
        sample=_belebele_sample,
        shared=("id", "answer"),
    ),
    "language_confusion": Corpus(
        _language_confusion_files,
        _language_confusion_rows,
        splits=("monolingual", "crosslingual"),
        languages=codes("ar de en es fr hi id it ja ko pt ru tr vi zh"),
        texts=("instruction",),
        sampled=("monolingual", "crosslingual"),
        sample=_language_confusion_sample,
        shared=("id", "request"),
    ),
    **LIKELIHOOD_CORPORA,
    **TRAINING,
}
