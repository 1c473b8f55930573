"""The languages that xlift can name, by their short codes: the 204 of FLORES-200, and five of Belebele in Latin letters.

English and own names come from CLDR (through langcodes 3.5). They are shortened where CLDR's names differ from those that the field uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from xlift.harness.core.errors import UserError, name_nearest

BEYOND_FLORES = frozenset(["bn-Latn", "hi-Latn", "ne-Latn", "si-Latn", "ur-Latn"])

MACROLANGUAGES = {
    "als": "sqi", "arb": "ara", "azj": "aze", "gaz": "orm", "khk": "mon", "kmr": "kur", "lvs": "lav", "npi": "nep", "ory": "ori",
    "pbt": "pus", "pes": "fas", "plt": "mlg", "quy": "que", "swh": "swa", "uzn": "uzb", "ydd": "yid", "zho": "cmn", "zsm": "msa",
}  # fmt: skip
"""ISO 639-3 codes that others, such as OPUS, use for languages that FLORES names more narrowly (for Chinese, more widely)."""
OTHER_CODES = {"iw": "he", "in": "id", "ji": "yi", "fil": "tl", "mo": "ro", "sh": "sr", "cmn": "zh", "zho": "zh", "jw": "jv", "farsi": "fa"}
"""Codes that are outdated, or that name a group."""
OTHER_NAMES = {"nb": "norwegian bokmål no nor", "nn": "norwegian nynorsk no nor"}
"""Other words by which a language is known in English."""


@dataclass(frozen=True)
class Language:
    """One language in one script."""

    code: str
    """A short BCP 47 code, ISO 639-1 if there is one. The default script is left out (``zh``, ``zh-Hant``)."""
    flores: str
    """The FLORES-200 code (``zho_Hans``), or a code of the same form (``hin_Latn``)."""
    name: str
    """English name."""
    own_name: str
    """The name in the language itself, if CLDR has it."""

    @property
    def script(self) -> str:
        """ISO 15924 code of the script (``Latn``)."""
        return self.flores.split("_")[1]

    @property
    def in_flores(self) -> bool:
        """Whether it is one of the 204 languages of FLORES-200."""
        return self.code not in BEYOND_FLORES


@cache
def languages() -> dict[str, Language]:
    """All languages by short code, in the order of their FLORES codes."""
    table = files("xlift.harness.core").joinpath("languages.tsv").read_text(encoding="utf-8")
    rows = (Language(*line.split("\t")) for line in table.splitlines()[1:])
    return {row.code: row for row in rows}


@cache
def _by_flores() -> dict[str, Language]:
    return {language.flores: language for language in languages().values()}


def name_language(code: str) -> str:
    """The English name of a language, or its code if it is not known."""
    found = languages().get(code)
    return found.name if found else code


def find(code: str) -> Language:
    """The language of a short code or a FLORES code.

    Raises UserError with the nearest known code or English name.
    """
    found = languages().get(code) or _by_flores().get(code)
    if found:
        return found
    raise UserError(f"unknown language {code!r}{_suggest(code)}")


def _suggest(code: str) -> str:
    """The end of the error message: the code that was probably meant, judging by names, outdated codes, regions or capitals."""
    plain = code.lower()
    by_name = {language.name.lower(): language.code for language in languages().values()}
    narrow = {wide: code for code, wide in MACROLANGUAGES.items()}
    by_iso = {language.flores.partition("_")[0]: language.code for language in reversed(languages().values())}  # the default script wins
    for meant in (
        by_name.get(plain),
        OTHER_CODES.get(plain),
        by_iso.get(narrow.get(plain, plain)),
        plain,
        plain.replace("_", "-").partition("-")[0],
    ):
        if meant in languages():
            return f": write its code, {meant!r}"
    if forms := [
        f"{meant!r} ({languages()[meant].name})" for name, meant in by_name.items() if plain in OTHER_NAMES.get(meant, name).split()
    ]:
        return f": write {' or '.join(forms)}"
    return name_nearest(code, [*languages(), *_by_flores()])
