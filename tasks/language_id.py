"""Off-target answers: which language a text is in, by its script and by py3langid (naive Bayes on bytes, github.com/adbar/py3langid).

The thresholds were chosen on FLORES-200 dev, 22 languages, with py3langid 0.4.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import regex

from xlift.harness.core.languages import find, languages
from xlift.tasks import close_languages
from xlift.tasks.han import name_han_variant
from xlift.tasks.thinking import separate

MIN_LETTERS = 20
"""The fewest letters of a text for which the identifier is asked. A Chinese character counts as three letters, kana and hangul as two."""
MIN_PLAIN_LETTERS = 8
"""The fewest of these letters in words without a capital: a list of names says nothing about the language around it."""
CLEAR_MARGIN = 2.0
"""How far another language must lead, in nats of py3langid's score over the square root of the bytes (our own calibration)."""
_SYMBOL = 3
"""Fewer letters of a foreign script are a symbol (π, μ) and not an answer."""
_WEIGHT = {"Hani": 3, "Hira": 2, "Kana": 2, "Hang": 2}

_NOT_PROSE = regex.compile(
    r"""```.*?(?:```|\Z) | `[^`\n]*`                                    # code, also a block that was cut off
      | \$\$.*?\$\$ | \$(?=\S)[^$\n]*?(?<=\S)\$(?!\d)                   # LaTeX; "$5 or $10" is money
      | \\\(.*?\\\) | \\\[.*?\\\] | \\begin\{(\w+\*?)\}.*?\\end\{\1\} | \\[A-Za-z]+(?:\{[^{}]*\})*
      | (?:https?://|www\.)[^\s\u2e80-\uffff]+ | [\w.+-]{1,64}@[\w.-]+ | </?[A-Za-z][^<>]*> | \d+""",
    regex.VERBOSE | regex.DOTALL,
)
_BEYOND_DIGITS = regex.compile(r"[`$\\<@]|https?://|www\.")
"""What every match of ``_NOT_PROSE`` but a number contains. Most texts contain none of it, and to look for it takes a tenth of the time."""
_DIGITS = regex.compile(r"\d+")
_CAPITALISED = regex.compile(r"(?<![\p{Lu}\p{Ll}])\p{Ll}*\p{Lu}[\p{Lu}\p{Ll}]*")
_BORROWED = regex.compile(
    r"(?<!\p{Script=Latn})(?:[\p{Script=Latn}--\p{Lu}]*[\p{Script=Latn}&&\p{Lu}]\p{Script=Latn}*|\p{Script=Latn}{1,3}(?!\p{Script=Latn}))",
    regex.V1,
)
"""Latin words that every script borrows: with a capital (names, NASA, iPhone) or of one to three letters (km, de, of)."""

_CJK = frozenset({"Hani", "Bopo", "Hira", "Kana"})

_CODE_LINE = regex.compile(
    r"""\s*(?: (?:def|class)\s+\w+.*: | (?:for|while|if|elif|with|try|else|except)\b.*: | import\s+[\w.]+(?:\s+as\s+\w+)?
      | from\s+[\w.]+\s+import\s.* | return\b[^.!?]* | (?:const|let|var|int|float|double|String)\s+\w+\s*=.* | [\w.]+\(.*\);?
      | [\w.\[\]]+\s*[-+*/]?=(?!=)\s*(?=\S*[(\[{.'"]|\d+\s*;?\s*$).* | .*[{};] | (?://|\#include|/\*|\*/|@\w+).* )\s*""",
    regex.VERBOSE,
)
"""A line of a program. A single one may be prose."""
_MEASURED = regex.compile(r"(?<=\d\s?)\p{Script=Latn}+", regex.V1)
"""A number with its unit, which every script leaves as it is (9 eggs, 18 dollars)."""

_CODES = {"no": "nb", "kik": "ki", "gug": "gn", "fuv": "ff", "qu": "quy"}
"""py3langid's labels that xlift writes differently."""
_RELATED = tuple(
    frozenset(group.split())
    for group in (
        "ar acm acq aeb ajp apc ars ary arz",
        "fa prs",
        "zh zh-Hant yue",
        "bs hr sr",
        "da nb nn",
        "cs sk",
        "id ms",
        "es gl ast",
        "pt gl",
        "ca oc",
        "it lij vec",
        "bg mk",
        "crh tr",
        "ba tt",
        "lv ltg",
        "xh zu",
        "nso st tn",
    )
)
"""Languages that the identifier mixes up, or whose written forms differ too little to call one off target for the other."""


def identify(texts: Sequence[str]) -> list[str]:
    """The language of each text as an xlift code; ``und`` if the text has fewer than ``MIN_LETTERS`` letters.

    If only one language uses the script, that minimum does not apply. A text in a language that py3langid does not know is given the
    nearest language that it knows in the same script.
    """
    return [_identify(text) for text in texts]


def is_off_target(text: str, lang: str) -> float:
    """1.0 if ``text`` is clearly not in ``lang`` (an xlift code). Otherwise 0.0, also if ``tell`` cannot tell."""
    return float(tell(text, lang) is False)


def tell(text: str, lang: str) -> bool | None:
    """Whether ``text`` is in ``lang`` (an xlift code); None if that cannot be told.

    Code, formulas, URLs and digits do not count. The rules, in this order:

    - If ``lang`` is not written in Latin letters, some Latin words are ignored, because every script borrows names and units: words with a
      capital, of at most three letters, or after a number.
    - If no letters are left, or a lone symbol: None.
    - If most letters are in a script in which ``lang`` is not written: False, however short the text is.
    - If ``lang`` is the only language of its script: True.
    - If there are Chinese characters of the other standard (Simplified, Traditional): False.
    - If there are fewer than ``MIN_PLAIN_LETTERS`` letters outside names: None.
    - With fewer than ``MIN_LETTERS`` letters, and for languages that are easily taken for each other, ``close_languages`` decides.
    - If another language of that script leads ``lang`` and its close relatives (Bosnian for Croatian) by ``CLEAR_MARGIN``: False.

    If py3langid does not know the language, only English can be told from it. Raises UserError for an unknown ``lang``.
    """
    own, relatives, rivals = _compare(lang)
    code = find(lang).code
    prose = keep_prose(_MEASURED.sub(" ", text) if "Latn" not in own else text)
    if "Latn" not in own:
        prose = _BORROWED.sub(" ", prose)
    letters = count_letters(prose)
    inside, total = sum(letters[script] for script in own), letters.total()
    if total < _SYMBOL:
        return None
    if 2 * inside < total:
        return False
    if len(_writers(own)) == 1:
        return True
    if code in _HAN_STANDARD and _has_other_standard(prose, code):
        return False
    plain = count_letters(_CAPITALISED.sub(" ", prose)).total()
    if plain < MIN_PLAIN_LETTERS:
        return None
    kept = _keep_scripts(prose, own)
    if inside < MIN_LETTERS:
        return close_languages.tell_short(kept, code)
    if not relatives or not rivals:
        return None if not _is_english(kept, code, own) else False
    scores = _score(kept)
    if max(scores[rival] for rival in rivals) - max(scores[relative] for relative in relatives) > CLEAR_MARGIN:
        return False
    return close_languages.tell_close(kept, code, scores)


def language_scores(text: str, lang: str) -> dict[str, float]:
    """``off_target``, ``on_target`` and ``language_unknown`` of one answer, each 0 or 1.

    ``off_target`` is missing if the language cannot be told, so that its mean is a rate over the answers that can be told. The other two
    are shares of all answers.
    """
    found = tell(text, lang)
    off_target = {} if found is None else {"off_target": float(not found)}
    return {**off_target, "on_target": float(found is True), "language_unknown": float(found is None)}


@lru_cache(maxsize=4096)  # of an answer and each of its sentences they are counted for its script, its language, and whether that is right
def count_letters(prose: str) -> Counter[str]:
    """The number of letters by script (ISO 15924). A Chinese character counts as three letters, kana and hangul as two.

    The counts are shared by all who ask for the same text, so nobody may change them.
    """
    counts: Counter[str] = Counter()
    for char, times in Counter(prose).items():
        if script := _script(char):
            counts[script] += times * _WEIGHT.get(script, 1)
    return counts


@lru_cache(maxsize=4096)  # an answer is asked of several times: which language it is in, and whether it is in the one that is expected
def keep_prose(text: str) -> str:
    """The text without code, formulas, addresses and digits, in NFC."""
    prose = _drop_code(unicodedata.normalize("NFC", text))
    return str((_NOT_PROSE if _BEYOND_DIGITS.search(prose) else _DIGITS).sub(" ", prose))


def _drop_code(text: str) -> str:
    lines = text.split("\n")
    code = [bool(line.strip()) and _CODE_LINE.fullmatch(line) is not None for line in lines]
    return "\n".join(line for line, is_code in zip(lines, code, strict=True) if not is_code) if sum(code) > 1 else text


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """lm-eval's hook for X-AlpacaEval without a judge. ``doc`` has ``lang``; the score ``characters`` is the length of the answer.

    There is no score for answers that were cut off, because lm-eval does not pass on why an answer ended.
    """
    said = separate(results[0])
    answer = said.answer.strip()
    return {
        **language_scores(answer, doc["lang"]),
        "characters": float(len(answer)),
        "empty": float(not answer),
        "thinking_cut": float(said.cut),
    }


def _identify(text: str) -> str:
    prose = keep_prose(text)
    letters: Counter[str] = Counter()
    for script, count in count_letters(prose).items():
        letters["Hani" if script in _CJK else script] += count  # Japanese mixes kana and characters
    if letters.total() < _SYMBOL:
        return "und"
    script, count = letters.most_common(1)[0]
    writers = [code for code in languages() if script in scripts_of(code)]
    if len(writers) == 1:
        return writers[0]
    known = _known_in(frozenset({script}))
    if not known or count < MIN_LETTERS:
        return "und"
    scores = _score(_keep_scripts(prose, frozenset({script})))
    best = max(known, key=scores.__getitem__)
    return name_han_variant(prose) if best == "zh" else best


def _keep_scripts(text: str, own: frozenset[str]) -> str:
    # kana stay in Chinese: they are what tells Japanese from it
    return text.translate(_keeping(own | {""} | (_CJK if "Hani" in own else frozenset())))


class _Keeping(dict[int, int]):
    """A table for ``str.translate`` that keeps the characters of some scripts and replaces all others by spaces. It is filled as characters
    come."""

    def __init__(self, scripts: frozenset[str]) -> None:
        super().__init__()
        self._scripts = scripts

    def __missing__(self, place: int) -> int:
        self[place] = found = place if _script(chr(place)) in self._scripts else ord(" ")
        return found


@cache
def _keeping(scripts: frozenset[str]) -> _Keeping:
    return _Keeping(scripts)


@cache
def _script(char: str) -> str:
    """The ISO 15924 code of the script of a letter or vowel sign; empty for anything else, and for scripts that no language here uses."""
    if unicodedata.category(char)[0] not in "LM":
        return ""
    return next((script for script, pattern in _script_patterns().items() if pattern.match(char)), "")


@cache
def _script_patterns() -> dict[str, regex.Pattern[str]]:
    scripts = sorted({script for code in languages() for script in scripts_of(code)})
    return {script: regex.compile(rf"\p{{Script={script}}}") for script in scripts}


@cache
def scripts_of(code: str) -> frozenset[str]:
    """The ISO 15924 codes of the scripts in which a language (an xlift code) is written; ``Hani`` for Chinese of either kind."""
    script = find(code).script
    several = {"Hans": {"Hani", "Bopo"}, "Hant": {"Hani", "Bopo"}, "Jpan": _CJK - {"Bopo"}}
    both = {"Latn", "Cyrl"} if code in ("sr", "bs") else set()  # Serbian and Bosnian are written in both
    return frozenset(several.get(script, {script}) | both)


@cache
def _writers(scripts: frozenset[str]) -> tuple[str, ...]:
    return tuple(code for code in languages() if scripts & scripts_of(code))


_HAN_STANDARD = {"zh": ("big5", "gb2312"), "zh-Hant": ("gb2312", "big5"), "yue": ("gb2312", "big5")}
"""The codecs of the characters of the other standard, and of the language's own."""
_LEAST_OTHER = 2
"""The fewest characters of the other standard that decide, if they are also the majority."""


def _has_other_standard(text: str, code: str) -> bool:
    foreign, own = _HAN_STANDARD[code]
    characters = [char for char in text if _script(char) == "Hani"]
    theirs = sum(_encodes(char, foreign) and not _encodes(char, own) for char in characters)
    ours = sum(_encodes(char, own) and not _encodes(char, foreign) for char in characters)
    return theirs >= _LEAST_OTHER and theirs > ours


@cache
def _encodes(char: str, codec: str) -> bool:
    return bool(char.encode(codec, "ignore"))


ENGLISH_MARGIN = 1.5
"""How far English must lead every other language, if py3langid does not know the expected one."""


def _is_english(text: str, code: str, own: frozenset[str]) -> bool:
    if "Latn" not in own or code == "en":
        return False
    scores = _score(text)
    return scores["en"] - max(scores[other] for other in _known_in(own) if other != "en") > ENGLISH_MARGIN


@cache
def _identifier() -> Any:
    # an own instance: set_languages on the module's shared one, by other code in the process, would change our answers
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)


@cache
def _known() -> frozenset[str]:
    return frozenset(_CODES.get(label, label) for label in _identifier().labels) & frozenset(languages())


@cache
def _known_in(scripts: frozenset[str]) -> frozenset[str]:
    return frozenset(code for code in _known() if scripts & scripts_of(code))


@cache
def _compare(lang: str) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The scripts of a language, the codes that count as it, and the codes that compete with it. py3langid knows both kinds of codes."""
    code = find(lang).code
    own = scripts_of(code)
    relatives = frozenset({code}.union(*(group for group in _RELATED if code in group)))
    return own, relatives & _known(), _known_in(own) - relatives


@lru_cache(maxsize=4096)
def _score(text: str) -> Mapping[str, float]:
    # An answer of one sentence is looked at as a whole and as a sentence.
    scale = math.sqrt(len(text.encode()) or 1)
    return {_CODES.get(label, label): score / scale for label, score in _identifier().rank(text)}
