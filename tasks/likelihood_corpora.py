"""Corpora that are scored by likelihood only: plain text, and questions with options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xlift.harness.core.languages import languages
from xlift.tasks.conversions import choose_xnli
from xlift.tasks.corpora import Choice, Corpus, File, Remote, Row, Tables, codes
from xlift.tasks.listings import NTREX_PLACE, list_ntrex, list_sib200

XNLI_SHA256 = "4ba1d5e1afdb7161f0f23c66dc787802ccfa8a25a3ddd3b165a35e50df346ab1"

_NTREX_CODES = (
    "af:afr am:amh ar:arb az:aze-Latn ba:bak be:bel bem:bem bn:ben bo:bod bs:bos bg:bul ca:cat cs:ces ckb:ckb-Arab cy:cym da:dan "
    "de:deu dz:dzo el:ell et:est eu:eus ee:ewe fo:fao fa:fas fj:fij tl:fil fi:fin fr:fra ga:gle gl:glg gu:guj ha:hau he:heb hi:hin "
    "hr:hrv hu:hun hy:hye ig:ibo id:ind is:isl it:ita ja:jpn kn:kan ka:kat kk:kaz km:khm rw:kin ky:kir ku:kmr ko:kor lo:lao lv:lav "
    "lt:lit lb:ltz ml:mal mr:mar mk:mkd mg:mlg mt:mlt mn:mon mi:mri ms:msa my:mya ne:nep nl:nld nn:nno nb:nob nso:nso ny:nya om:orm "
    "pa:pan pl:pol pt:por prs:prs ps:pus ro:ron ru:rus si:sin sk:slk sl:slv sm:smo sn:sna-Latn sd:snd-Arab so:som es:spa sq:sqi "
    "sr:srp-Cyrl ss:ssw sw:swa sv:swe ta:tam tt:tat te:tel tg:tgk-Cyrl th:tha ti:tir tn:tsn tk:tuk tr:tur ug:uig uk:ukr ur:urd "
    "uz:uzb vi:vie wo:wol xh:xho yo:yor yue:yue zh:zho-CN zh-Hant:zho-TW zu:zul"
)
"""NTREX-128's own codes by short codes. Its other codes are varieties of these languages (Mexican Spanish), or languages that xlift cannot
name."""
NTREX: dict[str, str] = dict(pair.split(":") for pair in _NTREX_CODES.split())


def _ntrex_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    name = "newstest2019-src.eng.txt" if lang == "en" else f"newstest2019-ref.{NTREX[lang]}.txt"
    remote = Remote(*NTREX_PLACE, f"NTREX-128/{name}", "github")
    return [File(f"ntrex128/{name}", remote, ("text",))]


def _ntrex_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    [(_, found)] = tables
    for number, record in enumerate(found):
        yield {"id": str(number), "text": record["text"].strip(), "lang": choice.langs[0]}


def _ntrex_sample(item: Row, choice: Choice) -> Row:
    (lang,) = choice.langs
    return {"id": str(item["id"]), "text": item[lang], "lang": lang}


def _xcopa_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    # What is asked for stands rightly in the Chinese file, and wrongly in the Thai, Turkish, Swahili and Indonesian ones.
    return [_xcopa_file(code, choice.split) for code in dict.fromkeys((lang, "zh"))]


def _xcopa_file(lang: str, split: str) -> File:
    remote = Remote("cambridgeltl/xcopa", "e2e9d7f105a758ee869cd13e0fe251ef93a29840", f"data/{lang}/{split}.{lang}.jsonl", "github")
    return File(f"xcopa/{split}/{lang}.jsonl.gz", remote)


def _xcopa_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    asked = {record["idx"]: record["question"] for record in tables[-1][1]}
    for record in tables[0][1]:
        row = {key: record[key] for key in ("premise", "choice1", "choice2")}
        yield {"id": str(record["idx"]), **row, "question": asked[record["idx"]], "answer": str(record["label"]), "lang": choice.langs[0]}


def _xcopa_sample(item: Row, choice: Choice) -> Row:
    (lang,) = choice.langs
    own = item[lang]
    texts = {key: own[key] for key in ("premise", "choice1", "choice2")}
    return {"id": str(item["id"]), **texts, "question": item["question"], "answer": item["answer"], "lang": lang}


def _pawsx_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    path = f"data/PAWS-X/x-final/{lang}/{choice.split}_2k.tsv"
    remote = Remote("chongli17/CrossLingualAlignment", "744a46e164904bd787c493cbbddaaec4e57b7737", path, "github")
    return [File(f"pawsx/{choice.split}/{lang}.jsonl.gz", remote)]


def _pawsx_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    [(_, found)] = tables
    for record in found:
        one, other = record["sentence1"], record["sentence2"]
        if not {one, other} & {"NS", "WL", ""}:  # sentences that were not translated
            yield {"id": str(record["id"]), "context": one, "sentence": other, "answer": str(record["label"]), "lang": choice.langs[0]}


def _pawsx_sample(item: Row, choice: Choice) -> Row:
    (lang,) = choice.langs
    own = item[lang]
    return {"id": str(item["id"]), "context": own["context"], "sentence": own["sentence"], "answer": item["answer"], "lang": lang}


def _xnli_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    place = ("dl.fbaipublicfiles.com", "", "XNLI/XNLI-1.0.zip", "web")
    remote = Remote(*place, member="XNLI-1.0/xnli.dev.tsv", sha256=XNLI_SHA256, size=17865352)
    return [File(f"xnli/dev/{lang}.jsonl.gz", remote, convert=choose_xnli)]


_ENTAILMENT = ("entailment", "neutral", "contradiction")


def _xnli_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    [(_, found)] = tables
    for number, record in enumerate(found):
        texts = {"context": record["premise"], "hypothesis": record["hypothesis"]}
        yield {"id": str(number), **texts, "answer": str(_ENTAILMENT.index(record["label"])), "lang": choice.langs[0]}


def _xnli_sample(item: Row, choice: Choice) -> Row:
    (lang,) = choice.langs
    own = item[lang]
    return {"id": str(item["id"]), "context": own["context"], "hypothesis": own["hypothesis"], "answer": item["answer"], "lang": lang}


TOPICS = ("science/technology", "travel", "politics", "sports", "health", "entertainment", "geography")


def _sib_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    code = languages()[lang].flores
    path = f"data/annotated/{code}/{choice.split}.tsv"
    remote = Remote("dadelani/sib-200", "593cea88519930f776c1a4a1980b6a35b39dca57", path, "github")
    return [File(f"sib200/{choice.split}/{code}.jsonl.gz", remote)]


def _sib_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    [(_, found)] = tables
    for record in found:
        text = record["text"]
        if isinstance(record["index_id"], str) and len(text) > 1 and text[0] == text[-1] == '"':  # the original, in the quotes of CSV
            text = text[1:-1].replace('""', '"')
        yield {"id": str(record["index_id"]), "text": text, "answer": str(TOPICS.index(record["category"])), "lang": choice.langs[0]}


def _sib_sample(item: Row, choice: Choice) -> Row:
    (lang,) = choice.langs
    return {"id": str(item["id"]), "text": item[lang], "answer": str(TOPICS.index(item["topic"])), "lang": lang}


def _bmlama_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    commit = "13c9d46c8a11e9f7798a6e6ec8bc5efa98a9e448"
    remote = Remote("Betswish/Cross-Lingual-Consistency", commit, f"1_easyrun/BMLAMA17/{lang}.tsv", "github")
    return [File(f"bmlama17/{lang}.jsonl.gz", remote)]


def _bmlama_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    [(_, found)] = tables
    for number, record in enumerate(found):
        prompt = record.get("prompt") or record["Prompt"]
        candidates = record.get("candidates") or record["Candidate Ans"].split(", ")
        right = record.get("answer") or record["Ans"]
        yield _fact(str(number), prompt, candidates, candidates.index(right), choice)


def _name_fact(row: Row) -> tuple[str, str]:
    return row["prompt"].replace("<mask>", " "), row["candidates"].split("\t")[int(row["answer"])]


def _bmlama_sample(item: Row, choice: Choice) -> Row:
    own = item[choice.langs[0]]
    return _fact(str(item["id"]), own["prompt"], own["candidates"], int(item["answer"]), choice)


def _fact(identity: str, prompt: str, candidates: Sequence[str], answer: int, choice: Choice) -> Row:
    row = {"prompt": prompt, "candidates": "\t".join(candidates), "answer": str(answer)}
    return {"id": identity, **row, "fact": prompt.replace("<mask>", candidates[answer]), "lang": choice.langs[0]}


LIKELIHOOD_CORPORA = {
    "ntrex": Corpus(
        _ntrex_files,
        _ntrex_rows,
        splits=("test",),
        languages=("en", *NTREX),
        texts=("text",),
        sampled=("test",),
        sample=_ntrex_sample,
        sample_of="flores",
        listings=list_ntrex,
    ),
    "xcopa": Corpus(
        _xcopa_files,
        _xcopa_rows,
        splits=("test", "val"),
        languages=codes("et ht id it sw ta th tr vi zh"),  # its Quechua is none that xlift can name
        texts=("premise",),
        sampled=("test",),
        sample=_xcopa_sample,
        shared=("id", "question", "answer"),
    ),
    "pawsx": Corpus(
        _pawsx_files,
        _pawsx_rows,
        splits=("test", "dev"),
        languages=codes("de en es fr ja ko zh"),
        texts=("context", "sentence"),
        sampled=("test",),
        sample=_pawsx_sample,
        shared=("id", "answer"),
    ),
    "xnli": Corpus(
        _xnli_files,
        _xnli_rows,
        splits=("dev",),
        languages=codes("ar bg de el en es fr hi ru sw th tr ur vi zh"),
        texts=("context", "hypothesis"),
        sampled=("dev",),
        sample=_xnli_sample,
        shared=("id", "answer"),
    ),
    "sib200": Corpus(
        _sib_files,
        _sib_rows,
        splits=("test", "dev", "train"),
        languages=tuple(code for code, language in languages().items() if language.in_flores),
        texts=("text",),
        sampled=("test",),
        sample=_sib_sample,
        shared=("id", "topic"),
        listings=list_sib200,
    ),
    "bmlama": Corpus(
        _bmlama_files,
        _bmlama_rows,
        splits=("test",),
        languages=codes("ar ca el en es fa fr he hu ja ko nl ru tr uk vi zh"),
        texts=("fact",),
        facts=_name_fact,
        sampled=("test",),
        sample=_bmlama_sample,
        shared=("id", "answer"),
    ),
}
