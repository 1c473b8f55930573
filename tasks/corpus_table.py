"""The table of corpora: languages, splits, where each file lies, and how its records become rows.

Layouts are those of the published files; docs/data.md says where each address was found.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from xlift.harness.core.languages import languages
from xlift.tasks.corpora import Choice, Corpus, File, Remote, Row, Tables
from xlift.tasks.han import name_han_variant
from xlift.tasks.likelihood_corpora import LIKELIHOOD_CORPORA


def _mgsm_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    if choice.split == "exemplars":
        return [File("mgsm/exemplars.jsonl", Remote("juletxara/mgsm", "refs/convert/parquet", f"{lang}/train/0000.parquet"))]
    remote = Remote("juletxara/mgsm", "f52417ca77bd71e9888ddc29f92587660725d2b4", f"mgsm_{lang}.tsv")
    return [File(f"mgsm/test/{lang}.jsonl", remote, ("question", "answer"))]


def _mgsm_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    (lang,) = choice.langs
    [(_, found)] = tables
    found = [record for record in found if record.get("lang", lang) == lang]
    if choice.split == "exemplars":
        questions = _without_label([record["question"] for record in found])
        answers = _without_label([record.get("cot_answer") or record["answer"] for record in found])
        for number, record in enumerate(found):
            gold = record.get("number_answer", record.get("answer_number"))
            yield {"id": str(number), "question": questions[number], "answer": str(gold), "cot_answer": answers[number], "lang": lang}
        return
    for number, record in enumerate(found):
        # The thousands comma is English in every language of MGSM: a reader of German or Spanish numbers would take it for a decimal mark.
        gold = record["answer"].replace(",", "")
        yield {"id": str(record.get("id", number)), "question": record["question"], "answer": gold, "lang": lang}


def _mgsm_sample(item: Row, choice: Choice) -> Row:
    return {"id": str(item["id"]), "question": item[choice.langs[0]], "answer": str(item["answer"]), "lang": choice.langs[0]}


def _without_label(texts: Sequence[str]) -> list[str]:
    """The exemplars without the localised "Question:" or "Step-by-Step Answer:" that all of them open with."""
    common = os.path.commonprefix(list(texts))
    label = max(common.rfind(":"), common.rfind("："))
    return [text[label + 1 :].strip() for text in texts]


def _xquad_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    path = f"xquad.{lang}/validation-00000-of-00001.parquet"
    return [File(f"xquad/{lang}.jsonl", Remote("google/xquad", "51adfef1c1287aab1d2d91b5bead9bcfb9c68583", path))]


def _mlqa_files(choice: Choice) -> list[File]:
    on_hub = {"dev": "validation", "test": "test"}[choice.split]
    return [
        File(
            f"mlqa_{choice.split}/{lang}.jsonl.gz",
            Remote("facebook/mlqa", "refs/convert/parquet", f"mlqa.{lang}.{lang}/{on_hub}/0000.parquet"),
        )
        for lang in dict.fromkeys(choice.langs)
    ]


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
    codes = [languages()[lang].flores for lang in choice.langs]
    remote = Remote("mteb/flores", "main", f"{choice.split}.parquet")
    return [File(f"flores200_dataset/{choice.split}/{code}.{choice.split}", remote, (code,)) for code in codes]


def _flores_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    columns = [[record[file.columns[0]] for record in found] for file, found in tables]
    for number, texts in enumerate(zip(*columns, strict=True)):
        yield sentence(str(number), texts, choice)


def sentence(identity: str, texts: Sequence[str], choice: Choice) -> Row:
    """A FLORES row: one sentence, or the two of a pair."""
    if len(texts) == 1:
        return {"id": identity, "text": texts[0], "lang": choice.langs[0]}
    source, target = choice.langs
    return {"id": identity, "source": texts[0], "target": texts[1], "source_lang": source, "target_lang": target, "lang": target}


def _flores_sample(item: Row, choice: Choice) -> Row:
    return sentence(str(item["id"]), [item[lang] for lang in choice.langs], choice)


PLUG_NAMES = {"en": "english", "zh": "chinese", "ko": "korean", "it": "italian", "es": "spanish"}


def _x_alpaca_eval_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    lidr, commit = "ZNLP/Language-Imbalance-Driven-Rewarding", "bd9764e7fc6c99e6ba618199e0038df83c022162"
    model = "gpt-4-turbo-2024-04-09" if choice.split == "instructions" else choice.split
    outputs = Remote(lidr, commit, f"results/base_model/x-alpacaeval_format/{lang}/{model}/model_outputs.json", "github")
    if choice.split != "instructions":
        return [File(f"x_alpacaeval/outputs/{model}/{lang}.jsonl.gz", outputs)]
    if lang in PLUG_NAMES:
        remote = Remote("zhihz0535/X-AlpacaEval", "4dc0165d07b6dbf2d6c011a35ade071ac5ae0dc4", f"{PLUG_NAMES[lang]}.json")
    else:  # Bengali and Swahili instructions were published within the outputs alone.
        remote = outputs if lang in ("bn", "sw") else Remote(lidr, commit, f"data/x-alpacaeval/data/{lang}.json", "github")
    return [File(f"x_alpacaeval/instructions/{lang}.jsonl", remote)]


def _x_alpaca_eval_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    taken = ("dataset", "instruction") if choice.split == "instructions" else ("dataset", "instruction", "output", "generator")
    for number, record in enumerate(tables[0][1], 1):
        yield {"id": str(record.get("id", number)), **{key: record[key] for key in taken}, "lang": choice.langs[0]}


def _x_alpaca_eval_sample(item: Row, choice: Choice) -> Row:
    return {"id": str(item["id"]), "dataset": "samples", "instruction": item[choice.langs[0]], "lang": choice.langs[0]}


ANSWERS = ("1", "2", "3", "4")
"""Numbers of Belebele's options."""


BELEBELE = (
    "acm af am apc ar ar-Latn ars ary arz as az bg bm bn bn-Latn bo ca ceb ckb cs da de el en es et eu fa ff fi fr gn gu ha he hi "
    "hi-Latn hr ht hu hy id ig ilo is it ja jv ka kac kea kk km kn ko ky lg ln lo lt luo lv mg mi mk ml mn mr ms mt my nb ne "
    "ne-Latn nl nso ny om or pa pl ps pt ro ru rw sd shn si si-Latn sk sl sn so sq sr ss st su sv sw ta te tg th ti tl tn tr ts uk "
    "ur ur-Latn uz vi war wo xh yo zh zh-Hant zu"
)
"""Its 122 languages; bn-Latn, hi-Latn, ne-Latn, si-Latn and ur-Latn are not in FLORES-200."""


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
"""Languages of each source, by split. Crosslingual prompts are English, and name the language to answer in."""


def _language_confusion_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    commit = "6e48812baa5e3a0b82433359065efe5a106638b1"
    files = []
    for source, spoken in LANGUAGE_CONFUSION[choice.split].items():
        if lang in spoken.split():
            path = f"{choice.split}/{source}/{lang}"
            remote = Remote("for-ai/language-confusion", commit, f"test_sets/{path}.csv", "github")
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


@dataclass(frozen=True)
class Part:
    """One training file or, with ``{lang}`` in its path, one a language."""

    name: str
    lang: str
    """Short code, or ``*`` for any."""
    folder: str | None
    remote: Remote | None = None
    default: bool = True
    """False where the part is read only by its name."""


def _parted(parts: Sequence[Part]) -> Callable[[Choice], list[File]]:
    def files(choice: Choice) -> list[File]:
        (lang,) = choice.langs
        spoken = [part for part in parts if part.lang in ("*", lang)]
        chosen = [part for part in spoken if (part.default if choice.part is None else part.name == choice.part)]
        return [File(part.folder and part.folder.format(lang=lang), part.remote, part=part.name) for part in chosen]

    return files


_RANDOM = Remote("gpt4life/alpagasus", "95ad3e52510df8c0a2f0dd6cbe50b501acde83a1", "data/random/random_9k.json", "github")
_RATED = Remote("gpt4life/alpagasus", "95ad3e52510df8c0a2f0dd6cbe50b501acde83a1", "data/filtered/claude_t45.json", "github")
_SEED = Remote("tatsu-lab/stanford_alpaca", "761dc5bfbdeeffa89b8bff5d038781a4055f796a", "seed_tasks.jsonl", "github")
_GPT4_EN = Remote("hiyouga/LLaMA-Factory", "ff6d4d12eeb035d6ce06805a5733dd7b29f2ac30", "data/alpaca_en_demo.json", "github")
_GPT4_ZH = Remote("hiyouga/LLaMA-Factory", "ff6d4d12eeb035d6ce06805a5733dd7b29f2ac30", "data/alpaca_zh_demo.json", "github")
_FULL = Remote("tatsu-lab/alpaca", "dce01c9b08f87459cf36a430d809084718273017", "data/train-00000-of-00001-a09b74b3ef9c3b56.parquet")

ALPACA = (
    Part("random9k", "en", "train/alpaca/alpaca_en_random9k.jsonl.gz", _RANDOM),
    Part("full", "en", None, _FULL, default=False),
    Part("early", "en", "train/alpaca/alpaca_en_5000_early.jsonl.gz", default=False),
    Part("claude_t45", "en", "train/alpaca/alpagasus_claude_t45.jsonl.gz", _RATED, default=False),
    Part("seed", "en", "train/alpaca/seed_tasks.jsonl.gz", _SEED, default=False),
    Part("gpt4", "en", "train/alpaca/llamafactory_alpaca_en_demo.jsonl.gz", _GPT4_EN, default=False),
    Part("gpt4", "zh", "train/alpaca/llamafactory_alpaca_zh_demo.jsonl.gz", _GPT4_ZH),
    Part("llama3", "en", "train/alpaca/alpagasus1000_llama3_en_fr.jsonl.gz", default=False),
    Part("llama3", "fr", "train/alpaca/alpagasus1000_llama3_en_fr.jsonl.gz"),
)


def _alpaca_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    (lang,) = choice.langs
    for file, found in tables:
        for number, record in enumerate(found):
            own = record.get(f"instruction_{lang}", record.get("instruction"))
            inner = record["instances"][0] if "instances" in record else record
            prompt = "\n".join(filter(None, (own, inner.get("input"))))
            yield {"id": f"{file.part}-{number}", "instruction": prompt, "output": inner.get(f"response_{lang}", inner.get("output"))}


def _alpaca_sample(item: Row, choice: Choice) -> Row:
    own = item[choice.langs[0]]
    return {"id": str(item["id"]), "instruction": own["instruction"], "output": own["output"]}


def _alpagasus_files(choice: Choice) -> list[File]:
    return [File("train/alpaca/alpagasus_prompts_11lang.jsonl.gz")]


def _alpagasus_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    (lang,) = choice.langs
    for record in tables[0][1]:
        if record.get(lang):
            yield {"id": record["id"], "instruction": record[lang], "output": record.get("output_en") if lang == "en" else None}


def _gsm8k_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    remote = Remote("openai/gsm8k", "e53f048856ff4f594e959d75785d2c2d37b678ee", "main/train-00000-of-00001.parquet")
    english = File("train/gsm8k/en.train.jsonl.gz", remote)
    return [english] if lang == "en" else [english, File(f"train/gsm8k/{lang}.train_questions.jsonl.gz")]


def _gsm8k_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    english = tables[0][1]
    for number, record in enumerate(tables[-1][1]):
        at = record.get("en_row", number)
        solution = english[at]["answer"]
        final = record.get("final_answer", solution.rpartition("####")[2]).strip().replace(",", "")
        yield {"id": str(at), "question": record["question"], "answer": solution, "final_answer": final}


PARALLEL = (
    Part("tatoeba", "*", "train/parallel/tatoeba.en-{lang}.tsv.gz"),
    Part("tatoeba", "zh-Hant", "train/parallel/tatoeba.en-zh.tsv.gz"),
    Part("tico19", "*", "train/parallel/tico19.en-{lang}.tsv.gz"),
    Part("news2008", "*", "train/parallel/news2008-2012.en-{lang}.tsv.gz"),
    Part("alma", "*", "train/parallel/alma_hw_decontaminated.en-{lang}.tsv.gz"),
    Part("mafand", "*", "train/parallel/mafand.en-{lang}.train.tsv.gz"),
)
LEXICON = (
    Part("xling", "*", "train/lexicon/xling.en-{lang}.train.tsv"),
    Part("gatitos", "*", "train/lexicon/gatitos.en-{lang}.tsv"),
)
QA = (
    Part("squad", "en", "train/qa/squad_en_devhalf_noXQuAD.jsonl.gz"),
    Part("jaquad", "ja", "train/qa/jaquad.train.jsonl.gz"),
    Part("cmrc2018", "zh", "train/qa/cmrc2018.dev.jsonl.gz"),
    Part("cmrc2018", "zh", "train/qa/cmrc2018.trial.jsonl.gz"),
    Part("tquad", "tr", "train/qa/tquad.train.jsonl.gz"),
    Part("iapp", "th", "train/qa/iapp_thai.train.jsonl.gz"),
)


def _bilingual_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    (lang,) = choice.langs
    for file, found in tables:
        for number, record in enumerate(found):
            text = record[lang] if lang in record else record["zh"]
            # Tatoeba's Chinese is half simplified, half traditional, in one file.
            if lang not in ("zh", "zh-Hant") or name_han_variant(text) == lang:
                yield {"id": f"{file.part}-{number}", "en": record["en"], "text": text, "part": file.part}


def _bilingual_sample(item: Row, choice: Choice) -> Row:
    return {"id": str(item["id"]), "en": item["en"], "text": item[choice.langs[0]], "part": "samples"}


def _training_qa_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    for file, found in tables:
        for record in found:
            yield {"id": f"{file.part}-{record['id']}", **{key: record[key] for key in ("context", "question", "answers")}}


def _codes(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _names(parts: Sequence[Part]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.name for part in parts))


CORPORA: dict[str, Corpus] = {
    "mgsm": Corpus(
        _mgsm_files,
        _mgsm_rows,
        splits=("test", "exemplars"),
        languages=_codes("bn de en es fr ja ru sw te th zh"),
        texts=("question",),
        sampled=("test",),
        sample=_mgsm_sample,
        shared=("id", "answer"),
    ),
    "xquad": Corpus(
        _xquad_files,
        _qa_rows,
        splits=("test",),
        languages=_codes("ar de el en es hi ro ru th tr vi zh"),
        texts=("context", "question"),
        sampled=("test",),
        sample=_qa_sample,
    ),
    "mlqa": Corpus(
        _mlqa_files,
        _qa_rows,
        splits=("dev", "test"),
        languages=_codes("ar de en es hi vi zh"),
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
    ),
    "x_alpaca_eval": Corpus(
        _x_alpaca_eval_files,
        _x_alpaca_eval_rows,
        splits=("instructions", "gpt-4-turbo-2024-04-09", "gpt-4o-mini", "gpt-3.5-turbo-0125"),
        languages=_codes("ar bn de en es fr it ja ko ru sw th zh"),
        texts=("instruction",),
        sampled=("instructions",),
        sample=_x_alpaca_eval_sample,
    ),
    "belebele": Corpus(
        _belebele_files,
        _belebele_rows,
        splits=("test",),
        languages=_codes(BELEBELE),
        texts=("context", "question"),
        sampled=("test",),
        sample=_belebele_sample,
        shared=("id", "answer"),
    ),
    "language_confusion": Corpus(
        _language_confusion_files,
        _language_confusion_rows,
        splits=("monolingual", "crosslingual"),
        languages=_codes("ar de en es fr hi id it ja ko pt ru tr vi zh"),
        texts=("instruction",),
        sampled=("monolingual", "crosslingual"),
        sample=_language_confusion_sample,
        shared=("id", "request"),
    ),
    **LIKELIHOOD_CORPORA,
    "alpaca": Corpus(_parted(ALPACA), _alpaca_rows, parts=_names(ALPACA), sampled=("train",), sample=_alpaca_sample),
    "alpagasus": Corpus(_alpagasus_files, _alpagasus_rows, languages=_codes("ar de en es fr it ja ko ru th zh")),
    "gsm8k": Corpus(_gsm8k_files, _gsm8k_rows, languages=_codes("de en es fr ja ru sw zh")),
    "parallel": Corpus(
        _parted(PARALLEL),
        _bilingual_rows,
        parts=_names(PARALLEL),
        sampled=("train",),
        sample=_bilingual_sample,
        shared=("id", "en"),
    ),
    "lexicon": Corpus(_parted(LEXICON), _bilingual_rows, parts=_names(LEXICON)),
    "qa": Corpus(_parted(QA), _training_qa_rows, languages=_codes("en ja th tr zh"), parts=_names(QA)),
}
