"""The training corpora of the table: their parts, the addresses of their files, and what their rows look like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from xlift.tasks.conversions import (
    flatten_squad,
    join_alpagasus,
    join_gsm8k,
    join_llama3,
    leave_out_xquad,
    name_entities,
    name_iapp,
    name_pairs,
    name_sides,
    name_triples,
)
from xlift.tasks.corpora import Choice, Convert, Corpus, File, Remote, Row, Tables, codes
from xlift.tasks.han import name_han_variant

OWN = "own"
"""The part of a user's own rows, in every corpus that has parts (``xlift data add``)."""


@dataclass(frozen=True)
class Part:
    """One training file or, if its path contains ``{lang}``, one file for each language."""

    name: str
    lang: str
    """A short code, or ``*`` for any language."""
    folder: str | None
    remotes: tuple[Remote, ...] | Callable[[str], tuple[Remote, ...]] = ()
    """The published files. If ``lang`` is ``*``, a function of the language, which returns none if the language has no address."""
    default: bool = True
    """Whether it is read with the corpus. Otherwise it is read only by its name."""
    convert: Convert | None = None


def _parted(parts: Sequence[Part]) -> Callable[[Choice], list[File]]:
    def files(choice: Choice) -> list[File]:
        (lang,) = choice.langs
        spoken = [part for part in parts if part.lang in ("*", lang)]
        chosen = [part for part in spoken if (part.default if choice.part is None else part.name == choice.part)]
        return [_file(part, lang) for part in chosen]

    return files


def _file(part: Part, lang: str) -> File:
    remotes = part.remotes(lang) if callable(part.remotes) else part.remotes
    first, more = (remotes[0], remotes[1:]) if remotes else (None, ())
    folder = part.folder and part.folder.format(lang=lang)
    return File(folder, first, part=part.name, more=more, convert=part.convert)


def _own(corpus: str, ending: str) -> Part:
    return Part(OWN, "*", f"train/{OWN}/{corpus}.{{lang}}.{ending}")


# --- instructions ---

ALPAGASUS = "gpt4life/alpagasus", "95ad3e52510df8c0a2f0dd6cbe50b501acde83a1"
STANFORD = "tatsu-lab/stanford_alpaca"
FACTORY = "hiyouga/LLaMA-Factory", "ff6d4d12eeb035d6ce06805a5733dd7b29f2ac30"
LIDR = "ZNLP/Language-Imbalance-Driven-Rewarding", "bd9764e7fc6c99e6ba618199e0038df83c022162"
POLYLM = "DAMO-NLP-MT/PolyLM", "a8b49866ef90ec2db7972d34dececec35bd2df62"

_RANDOM = Remote(*ALPAGASUS, "data/random/random_9k.json", "github")
_RATED = Remote(*ALPAGASUS, "data/filtered/claude_t45.json", "github")
_EARLY = Remote(STANFORD, "5e69c50054c48cd3b919c46d13bb2d92a62f4498", "data/alpaca_5000.json", "github")
_SEED = Remote(STANFORD, "761dc5bfbdeeffa89b8bff5d038781a4055f796a", "seed_tasks.jsonl", "github")
_GPT4_EN = Remote(*FACTORY, "data/alpaca_en_demo.json", "github")
_GPT4_ZH = Remote(*FACTORY, "data/alpaca_zh_demo.json", "github")
_FULL = Remote("tatsu-lab/alpaca", "dce01c9b08f87459cf36a430d809084718273017", "data/train-00000-of-00001-a09b74b3ef9c3b56.parquet")
_TRANSLATED = "process_data/alpagasus/translate/Llama-3-8B-Instruct/M0/en.jsonl.prediction.with_Meta-Llama-3-8B-Instruct"
_LLAMA3 = (
    Remote(*LIDR, f"{_TRANSLATED}.temp_0.0_seed_42_repeat_1.1.jsonl.to_fr.jsonl", "github"),
    Remote(*LIDR, "data/alpagasus/raw/fr_train.jsonl", "github"),
)
_LLAMA3_FOLDER = "train/alpaca/alpagasus1000_llama3_en_fr.jsonl.gz"
MULTIALPACA = codes("ar de es fr id ko pt ru th vi")


def _multialpaca(lang: str) -> tuple[Remote, ...]:
    return (Remote(*POLYLM, f"multialpaca/{lang}.jsonl", "github"),) if lang in MULTIALPACA else ()


ALPACA = (
    Part("random9k", "en", "train/alpaca/alpaca_en_random9k.jsonl.gz", (_RANDOM,)),
    Part("full", "en", None, (_FULL,), default=False),
    Part("early", "en", "train/alpaca/alpaca_en_5000_early.jsonl.gz", (_EARLY,), default=False),
    Part("claude_t45", "en", "train/alpaca/alpagasus_claude_t45.jsonl.gz", (_RATED,), default=False),
    Part("seed", "en", "train/alpaca/seed_tasks.jsonl.gz", (_SEED,), default=False),
    Part("gpt4", "en", "train/alpaca/llamafactory_alpaca_en_demo.jsonl.gz", (_GPT4_EN,), default=False),
    Part("gpt4", "zh", "train/alpaca/llamafactory_alpaca_zh_demo.jsonl.gz", (_GPT4_ZH,)),
    Part("llama3", "en", _LLAMA3_FOLDER, _LLAMA3, default=False, convert=join_llama3),
    Part("llama3", "fr", _LLAMA3_FOLDER, _LLAMA3, convert=join_llama3),
    Part("multialpaca", "*", "train/alpaca/multialpaca_{lang}.jsonl.gz", _multialpaca, default=False),
    _own("alpaca", "jsonl.gz"),
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
    (lang,) = choice.langs
    # German, French and Thai are published in a folder of their own, under another key.
    path = f"raw/{lang}_train" if lang in ("de", "fr", "th") else f"origin/{lang}"
    prompts = Remote(*LIDR, f"data/alpagasus/{path}.jsonl", "github")
    answered = (_RANDOM, _RATED, _EARLY) if lang == "en" else ()
    shared = "train/alpaca/alpagasus_prompts_11lang.jsonl.gz"
    return [File(f"train/alpaca/alpagasus.{lang}.jsonl.gz", prompts, more=answered, convert=join_alpagasus, shared=shared)]


def _alpagasus_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    (lang,) = choice.langs
    for record in tables[0][1]:
        if record.get(lang):
            yield {"id": record["id"], "instruction": record[lang], "output": record.get("output_en") if lang == "en" else None}


def _alpagasus_sample(item: Row, choice: Choice) -> Row:
    """The bundled instructions as prompts: the same id in every language, and answers only in English, as in the corpus."""
    row = _alpaca_sample(item, choice)
    return {**row, "output": row["output"] if choice.langs == ("en",) else None}


# --- mathematics ---

GSM8K = "openai/grade-school-math", "3101c7d5072418e28b9008a6636bde82a006892c"
QALIGN = "NJUNLP/QAlign", "a65ee63836e41896466a1b81834d8db0deaf4324"


def _gsm8k_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    solved = Remote(*GSM8K, "grade_school_math/data/train.jsonl", "github")
    english = File("train/gsm8k/en.train.jsonl.gz", solved)
    if lang == "en":
        return [english]
    folder = f"data/gsmtrans/gsm8kinstruct_question/{lang}-en"
    sides = tuple(Remote(*QALIGN, f"{folder}/train.{side}", "github", columns=("text",)) for side in ("en", lang))
    return [english, File(f"train/gsm8k/{lang}.train_questions.jsonl.gz", solved, more=sides, convert=join_gsm8k)]


def _gsm8k_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    english = tables[0][1]
    for number, record in enumerate(tables[-1][1]):
        at = record.get("en_row", number)
        solution = english[at]["answer"]
        final = record.get("final_answer", solution.rpartition("####")[2]).strip().replace(",", "")
        yield {"id": str(at), "question": record["question"], "answer": solution, "final_answer": final}


def _gsm8k_sample(item: Row, choice: Choice) -> Row:
    return {"id": item["id"], "question": item[choice.langs[0]], "answer": item["answer"], "final_answer": item["final_answer"]}


# --- parallel text and lexicons ---

OPUS_TESTS = "Helsinki-NLP/OPUS-MT-testsets", "ac0f19c0be3cb4e0d9450fcb2d7a9847c4bdd180"
MAFAND_AT = "masakhane-io/lafand-mt", "d441f8b063d63e95eafb72e84317359e27abf95e"
OPUS100_AT = "Helsinki-NLP/opus-100", "805090dc28bf78897da9641cdf08b61287580df9"
XLING_AT = "codogogo/xling-eval", "008a643439707ff64a95e282cc10613124dffce1"
GATITOS_AT = "google-research/url-nlp", "ec1cfc8ca7c1e26a59f122f4a2a5bb94910bfa15"

TATOEBA = {
    "ar": "ara", "bn": "ben", "de": "deu", "el": "ell", "es": "spa", "fr": "fra", "hi": "hin", "id": "ind", "it": "ita", "ja": "jpn",
    "ko": "kor", "pt": "por", "ro": "ron", "ru": "rus", "sw": "swa", "te": "tel", "th": "tha", "tr": "tur", "vi": "vie", "zh": "zho",
}  # fmt: skip
"""The languages, with the names that Tatoeba Challenge gives them."""
TICO19 = codes("ar bn fr hi id ru sw zh")
NEWS = {
    **dict.fromkeys(("de", "es", "fr"), ("news-test2008", "newstest2009", "newstest2010", "newstest2011", "newstest2012")),
    "it": ("newstest2009",),
    "ru": ("newstest2012",),
}
MAFAND = {"ig": "ibo", "lg": "lug", "sw": "swa", "tn": "tsn", "tw": "twi", "zu": "zul"}
"""The languages, with the names that MAFAND gives them. Only those whose training files were seen are here."""
OPUS100 = codes(
    "af am ar as az be bg bn bs ca cs cy da de el eo es et eu fa fi fr ga gd gl gu ha he hi hr hu id ig is it ja ka kk km kn ko ky li lt "
    "lv mg mk ml mr ms mt my nb ne nl nn oc or pa pl ps pt ro ru rw sd si sk sl sq sr sv ta te tg th tk tr tt ug uk ur uz vi xh yi zh zu"
)
"""Languages of FLORES-200 that OPUS-100 has under the same code."""
XLING = codes("de fi fr hr it ru tr")
GATITOS = codes("ace ak arz as awa ay ba ban bem bho bjn bjn-Arab bm ckb ee es ff fr gn hi ilo lg ln lus mai nso om qu sa ti ts")
"""Languages of FLORES-200 whose files were seen. The repository has more."""


def _sides(at: tuple[str, str], names: Sequence[str], sides: tuple[str, str]) -> tuple[Remote, ...]:
    """Both sides of each of several pairs of plain text files."""
    return tuple(Remote(*at, f"{name}.{side}", "github", columns=("text",)) for name in names for side in sides)


def _tatoeba(lang: str) -> tuple[Remote, ...]:
    if lang not in TATOEBA:
        return ()
    code = TATOEBA[lang]
    folder = "-".join(sorted(("eng", code)))
    return _sides(OPUS_TESTS, [f"testsets/{folder}/tatoeba-test-v2021-08-07"], ("eng", code))


def _tico19(lang: str) -> tuple[Remote, ...]:
    code = TATOEBA.get(lang)
    return _sides(OPUS_TESTS, [f"testsets/eng-{code}/tico19-test"], ("eng", str(code))) if lang in TICO19 else ()


def _news(lang: str) -> tuple[Remote, ...]:
    code = TATOEBA.get(lang)
    return _sides(OPUS_TESTS, [f"testsets/eng-{code}/{name}" for name in NEWS.get(lang, ())], ("eng", str(code)))


def _mafand(lang: str) -> tuple[Remote, ...]:
    code = MAFAND.get(lang)
    return _sides(MAFAND_AT, [f"data/text_files/en-{code}/train"], ("en", code)) if code else ()


SERVED = {*TATOEBA, "zh-Hant", *TICO19, *NEWS, *MAFAND}
"""Languages with parallel text that people translated or chose. The others have that of OPUS-100, if it has any, which nobody chose."""
OPUS100_ROWS = 50_000
"""How many rows are read of a language's million, which are in no order: more than a method has trained on here, and quickly read."""


def _opus100(lang: str) -> Part:
    pair = "-".join(sorted(("en", lang)))
    remote = Remote(*OPUS100_AT, f"{pair}/train-00000-of-00001.parquet", rows=OPUS100_ROWS)
    return Part("opus100", lang, f"train/parallel/opus100.en-{lang}.jsonl.gz", (remote,), default=lang not in SERVED, convert=name_pairs)


PARALLEL = (
    Part("tatoeba", "*", "train/parallel/tatoeba.en-{lang}.tsv.gz", _tatoeba, convert=name_sides),
    Part("tatoeba", "zh-Hant", "train/parallel/tatoeba.en-zh.tsv.gz", _tatoeba("zh"), convert=name_sides),
    Part("tico19", "*", "train/parallel/tico19.en-{lang}.tsv.gz", _tico19, convert=name_sides),
    Part("news2008", "*", "train/parallel/news2008-2012.en-{lang}.tsv.gz", _news, convert=name_sides),
    Part("alma", "*", "train/parallel/alma_hw_decontaminated.en-{lang}.tsv.gz"),
    Part("mafand", "*", "train/parallel/mafand.en-{lang}.train.tsv.gz", _mafand, convert=name_sides),
    *map(_opus100, OPUS100),
    _own("parallel", "tsv.gz"),
)


def _xling(lang: str) -> tuple[Remote, ...]:
    path = f"bli_datasets/en-{lang}/yacle.train.freq.5k.en-{lang}.tsv"
    return (Remote(*XLING_AT, path, "github", columns=("en", lang)),) if lang in XLING else ()


def _gatitos(lang: str) -> tuple[Remote, ...]:
    return (Remote(*GATITOS_AT, f"gatitos/en_{lang}.tsv", "github", columns=("en", lang)),) if lang in GATITOS else ()


LEXICON = (
    Part("xling", "*", "train/lexicon/xling.en-{lang}.train.tsv", _xling),
    Part("gatitos", "*", "train/lexicon/gatitos.en-{lang}.tsv", _gatitos),
    _own("lexicon", "tsv.gz"),
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


# --- facts ---

KENS = "stasl0217/KEnS", "36de8a5fb64bf6d239dc7c878f33ef9dff5c4644"
DBP5L = {"el": "el-en", "es": "es-en", "fr": "en-fr", "ja": "ja-en"}
"""The languages of DBP-5L beside English, with the file that links their entities to the English ones."""


def _entity_file(lang: str) -> Remote:
    return Remote(*KENS, f"data/entity/{lang}.tsv", "github", columns=("uri",))


def _dbp5l_triples(lang: str) -> tuple[Remote, ...]:
    if lang not in ("en", *DBP5L):
        return ()
    relations = Remote(*KENS, "data/relations.txt", "github", columns=("uri",))
    triples = Remote(*KENS, f"data/kg/{lang}-train.tsv", "github", columns=("head", "relation", "tail"))
    return triples, _entity_file(lang), relations


def _dbp5l_links(lang: str) -> Part:
    pair = DBP5L[lang]
    links = Remote(*KENS, f"data/seed_alignlinks/{pair}.tsv", "github", columns=tuple(pair.split("-")))
    remotes = (links, _entity_file("en"), _entity_file(lang))
    return Part("dbp5l", lang, f"train/kg/dbp5l.links.{pair}.jsonl.gz", remotes, convert=name_entities)


TRIPLES = (Part("dbp5l", "*", "train/kg/dbp5l.{lang}.train.jsonl.gz", _dbp5l_triples, convert=name_triples),)
ENTITIES = tuple(map(_dbp5l_links, DBP5L))


def _triple_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    for file, found in tables:
        for number, record in enumerate(found):
            yield {"id": f"{file.part}-{number}", **{key: record[key] for key in ("head", "relation", "tail")}, "part": file.part}


def _triple_sample(item: Row, choice: Choice) -> Row:
    return {"id": str(item["id"]), "relation": item["relation"], **item[choice.langs[0]], "part": "samples"}


def _entity_sample(item: Row, choice: Choice) -> Row:
    return {"id": str(item["id"]), "en": item["en"]["head"], "text": item[choice.langs[0]]["head"], "part": "samples"}


# --- questions about a text ---

JAQUAD = "SkelterLabsInc/JaQuAD", "23f5d72cc273c49b35e2d9efe0f51757aa1770bd"
CMRC = "ymcui/cmrc2018", "c0eb1b6ba219847457e6af3180da722bbeb656af"
TQUAD = "TQuad/turkish-nlp-qa-dataset", "3bece60f62569182476fe00683793745ba92c32e"
IAPP = "iapp-technology/iapp-wiki-qa-dataset", "644a29c59bac62d5b15b9e9b06c55bba00708eca"
XQUAD = "google-deepmind/xquad", "7d30520c717524000f0d9d2f9c10a069acd9d285"

_SQUAD = (Remote("minggg/squad", "3b6aa9ca5653993f0d1a49e2660c7aa6117a3d9e", "data/dev-v2.0.json", "github"),
          Remote(*XQUAD, "xquad.en.json", "github"))  # fmt: skip
_JAQUAD = tuple(Remote(*JAQUAD, f"data/train/jaquad_train_{shard:04}.json", "github") for shard in range(12))
_CMRC_DEV = Remote(*CMRC, "squad-style-data/cmrc2018_dev.json", "github")
_CMRC_TRIAL = Remote(*CMRC, "squad-style-data/cmrc2018_trial.json", "github")
_IAPP = Remote(*IAPP, "squad_format/data.zip", "github", member="data/train.jsonl")

QA = (
    Part("squad", "en", "train/qa/squad_en_devhalf_noXQuAD.jsonl.gz", _SQUAD, convert=leave_out_xquad),
    Part("jaquad", "ja", "train/qa/jaquad.train.jsonl.gz", _JAQUAD, convert=flatten_squad),
    Part("cmrc2018", "zh", "train/qa/cmrc2018.dev.jsonl.gz", (_CMRC_DEV,), convert=flatten_squad),
    Part("cmrc2018", "zh", "train/qa/cmrc2018.trial.jsonl.gz", (_CMRC_TRIAL,), convert=flatten_squad),
    Part("tquad", "tr", "train/qa/tquad.train.jsonl.gz", (Remote(*TQUAD, "train-v0.1.json", "github"),), convert=flatten_squad),
    Part("iapp", "th", "train/qa/iapp_thai.train.jsonl.gz", (_IAPP,), convert=name_iapp),
    _own("qa", "jsonl.gz"),
)


def _training_qa_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    for file, found in tables:
        for record in found:
            yield {"id": f"{file.part}-{record['id']}", **{key: record[key] for key in ("context", "question", "answers")}}


def _names(parts: Sequence[Part]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.name for part in parts))


TRAINING: dict[str, Corpus] = {
    "alpaca": Corpus(_parted(ALPACA), _alpaca_rows, parts=_names(ALPACA), sampled=("train",), sample=_alpaca_sample,
                     published=("en", *MULTIALPACA, "zh")),
    "alpagasus": Corpus(_alpagasus_files, _alpagasus_rows, languages=codes("ar de en es fr it ja ko ru th zh"),
                        sampled=("train",), sample=_alpagasus_sample, sample_of="alpaca"),
    "gsm8k": Corpus(_gsm8k_files, _gsm8k_rows, languages=codes("de en es fr ja ru sw zh"),
                    sampled=("train",), sample=_gsm8k_sample, shared=("id", "answer", "final_answer")),
    "parallel": Corpus(
        _parted(PARALLEL),
        _bilingual_rows,
        parts=_names(PARALLEL),
        sampled=("train",),
        sample=_bilingual_sample,
        shared=("id", "en"),
        published=tuple(dict.fromkeys([*TATOEBA, "zh-Hant", *TICO19, *NEWS, *MAFAND, *OPUS100])),
    ),
    "lexicon": Corpus(
        _parted(LEXICON),
        _bilingual_rows,
        parts=_names(LEXICON),
        sampled=("train",),
        sample=_bilingual_sample,
        shared=("id", "en"),
        published=tuple(dict.fromkeys([*XLING, *GATITOS])),
    ),
    "triples": Corpus(_parted(TRIPLES), _triple_rows, parts=_names(TRIPLES), sampled=("train",), sample=_triple_sample,
                      shared=("id", "relation"), published=("en", *DBP5L)),
    "entities": Corpus(_parted(ENTITIES), _bilingual_rows, parts=_names(ENTITIES), sampled=("train",), sample=_entity_sample,
                       shared=("id", "relation", "en"), sample_of="triples", published=tuple(DBP5L)),
    "qa": Corpus(_parted(QA), _training_qa_rows, parts=_names(QA), published=("en", "ja", "th", "tr", "zh")),
}  # fmt: skip
