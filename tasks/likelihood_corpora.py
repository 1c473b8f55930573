"""Corpora that are scored by likelihood alone: plain text, and questions with options."""

from __future__ import annotations

from collections.abc import Iterator

from xlift.tasks.corpora import Choice, Corpus, File, Remote, Row, Tables

_NTREX_CODES = (
    "af:afr am:amh ar:arb az:aze-Latn ba:bak be:bel bem:bem bn:ben bo:bod bs:bos bg:bul ca:cat cs:ces ckb:ckb-Arab cy:cym da:dan "
    "de:deu dz:dzo el:ell et:est eu:eus ee:ewe fo:fao fa:fas fj:fij tl:fil fi:fin fr:fra ga:gle gl:glg gu:guj ha:hau he:heb hi:hin "
    "hr:hrv hu:hun hy:hye ig:ibo id:ind is:isl it:ita ja:jpn kn:kan ka:kat kk:kaz km:khm rw:kin ky:kir ku:kmr ko:kor lo:lao lv:lav "
    "lt:lit lb:ltz ml:mal mr:mar mk:mkd mg:mlg mt:mlt mn:mon mi:mri ms:msa my:mya ne:nep nl:nld nn:nno nb:nob nso:nso ny:nya om:orm "
    "pa:pan pl:pol pt:por prs:prs ps:pus ro:ron ru:rus si:sin sk:slk sl:slv sm:smo sn:sna-Latn sd:snd-Arab so:som es:spa sq:sqi "
    "sr:srp-Cyrl ss:ssw sw:swa sv:swe ta:tam tt:tat te:tel tg:tgk-Cyrl th:tha ti:tir tn:tsn tk:tuk tr:tur ug:uig uk:ukr ur:urd "
    "uz:uzb vi:vie wo:wol xh:xho yo:yor yue:yue zh:zho-CN zh-Hant:zho-TW zu:zul"
)
"""NTREX-128's own codes by short codes. The rest are other varieties of these (Mexican Spanish), or no language that xlift can name."""
NTREX: dict[str, str] = dict(pair.split(":") for pair in _NTREX_CODES.split())


def _ntrex_files(choice: Choice) -> list[File]:
    (lang,) = choice.langs
    name = "newstest2019-src.eng.txt" if lang == "en" else f"newstest2019-ref.{NTREX[lang]}.txt"
    remote = Remote("MicrosoftTranslator/NTREX", "8561f6a622db9edad1217683e5c83daefd8bb2bf", f"NTREX-128/{name}", "github")
    return [File(f"ntrex128/{name}", remote, ("text",))]


def _ntrex_rows(tables: Tables, choice: Choice) -> Iterator[Row]:
    [(_, found)] = tables
    for number, record in enumerate(found):
        yield {"id": str(number), "text": record["text"].strip(), "lang": choice.langs[0]}


LIKELIHOOD_CORPORA = {
    "ntrex": Corpus(_ntrex_files, _ntrex_rows, splits=("test",), languages=("en", *NTREX), texts=("text",)),
}
