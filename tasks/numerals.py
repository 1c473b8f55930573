"""Reads numbers as people write them: digits of any script, separators by language, signs, currency, fractions, scale words, equations.

Separators. Two different separators, a separator used twice, or one that is not before exactly three digits leave only one reading:
``1.234,5``, ``1,234,567``, ``1,00,000``, ``18,00``. A space, an apostrophe or the Arabic thousands separator before three digits groups
them. What remains is one point or comma before three digits. There the language decides (CLDR): ``1.234`` is 1234 in German and 1.234 in
English. There is one exception: in a language with decimal commas, ``5,600`` and ``$2,125`` are thousands. Nobody writes a nought in the
third decimal place, or money to three places, and the English number format is common in model answers. The percent sign is dropped: 18% is
18.

Equations. ``9 * 2 = 18`` is 18 and ``540 = 3*3*60`` is 540: the value is the last side that is a single number. Expressions without an
equals sign, ranges, dates, times and versions have no value, so that no part of them is taken for a number.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from functools import cache
from typing import NamedTuple

_DECIMAL_COMMA = """
    af sq ast az be bs bg ca cs da de el eo et eu fo fi fr ff gl ht hr hu hy id is it jv kab ka kk kea rw ky ku lo lij ln lt lb lv mk nl nn
    nb ps pl pt ro rn ru sg sk sl es sc sr ss su sv tt tg ts tk tr tzm uk uz vec vi wo
"""
_COMMA_LANGUAGES = frozenset(_DECIMAL_COMMA.split())  # CLDR, read through Babel 2.18.0; every other language writes a decimal point

_MAX_DIGITS = 28  # what Decimal keeps exactly; longer runs of digits are loops, not numbers


class Chain(NamedTuple):
    """A number, or numbers joined by operators, and its place in the text. The value is None if it has no single one."""

    value: Decimal | None
    start: int
    end: int


class _Term(NamedTuple):
    value: Decimal | None
    start: int
    end: int
    scale: int


def parse_number(text: str, lang: str) -> Decimal | None:
    """The only number, or the value of the only equation, in ``text``; None if there is none or more than one.

    Currency, percent, units and markup around it do not matter. Chinese numerals are read as ``read_han`` describes.
    """
    text = clean(text)
    chains = read_chains(text, lang)
    if len(chains) == 1:
        return chains[0].value
    han = None if chains else read_han(text, lang)
    return han.value if han else None


_SAME = {
    **dict.fromkeys("−‒–﹣－➖⁻", "-"),
    **dict.fromkeys("’＇ʼ", "'"),
    **dict.fromkeys("⁄∕", "/"),
    "∗": "*",
    "≈": "=",
    "٪": "%",
    "\r": "\n",
}
_LATEX = [
    (re.compile(pattern), plain)
    for pattern, plain in [
        (r"\\[,;!:]|\\(?:left|right)\b", ""),
        (r"\{,\}", ","),
        (r"\\(?:text|textbf|mathrm|mathbf|mbox)\s?\{([^{}]*)\}", r"\1"),
        (r"\\[dt]?frac\s?\{([^{}]*)\}\s?\{([^{}]*)\}", r" \1/\2 "),
        (r"\\(?:times|cdot|ast)\b", "*"),
        (r"\\div\b", "/"),
        (r"\\approx\b", "="),
        (r"\\([$%#&_])", r"\1"),
        (r"\\[()\[\] ]", " "),
    ]
]
_SPACED_DASH = re.compile(r"(?<!\d)\s–\s|\s–\s(?![\d$€£])")  # punctuation between words; elsewhere an en dash is a minus or a range
_CLAUSE_COMMA = re.compile(r"，(?!\d{3}(?!\d))")  # the Chinese comma ends a clause, unless it groups thousands
_UNIT_EXPONENT = re.compile(r"(?<=[^\W\d_])\^\{?\d+\}?")  # m^2


def clean(text: str) -> str:
    """``text`` in NFKC with ASCII digits, ``$`` for every currency, one minus, plain LaTeX, and no invisible characters."""
    text = _SPACED_DASH.sub(" — ", text)
    text = text.translate({ord(char): _substitute(char) for char in set(text)})
    text = unicodedata.normalize("NFKC", _CLAUSE_COMMA.sub(", ", text))
    for pattern, plain in _LATEX:
        text = pattern.sub(plain, text)
    return _UNIT_EXPONENT.sub("", text)


@cache
def _substitute(char: str) -> str:
    match unicodedata.category(char):
        case "Nd":
            return str(unicodedata.decimal(char))
        case "Sc":
            return "$"
        case "Cf":  # direction marks, zero-width spaces
            return ""
        case "No":
            plain = unicodedata.normalize("NFKC", char)
            if unicodedata.decomposition(char).startswith("<super>"):
                return f"^{plain}"
            return f" {plain}".replace("⁄", "/") if "⁄" in plain else " "  # ½ is a number, ① is a bullet
        case _:
            return _SAME.get(char, char)


_SCALES = {
    100: "百(?![分万萬])",
    1_000: r"thousand\b|k\b|tausend\b|mil\b|mille\b|elfu\b|тыс(?:яч[аи]?)?\b|พัน(?!ธ)|হাজার|వేలు?|వెయ్యి|千(?![克米卡瓦万萬])",
    10_000: "万|萬|หมื่น",
    100_000: r"lakhs?\b|laki\b|লাখ|লক্ষ|లక్ష(?:లు?)?|แสน|十[万萬]",
    1_000_000: r"million(?:s|en|es)?\b|mill[oó]n(?:es)?\b|mio\b|mill?(?=\.)|mln\b|milioni\b|миллион(?:а|ов)?\b|млн\b|ล้าน|百[万萬]",
    10_000_000: r"crores?\b|কোটি|కోట్లు?|కోటి|千[万萬]",
    100_000_000: "亿|億",
    1_000_000_000: r"billions?\b|bn\b|milliarden?\b|mrd\b|milliards?\b|миллиард(?:а|ов)?\b|млрд\b",
}
_SCALE_WORDS = "|".join(f"(?P<x{scale}>{words})" for scale, words in _SCALES.items())
_SCALES_AHEAD = {"elfu": 1_000, "laki": 100_000, "milioni": 1_000_000}  # Swahili: elfu 5 is 5000
_COIN = r"\$|d[oó]l+ar(?:e?s)?\b|euros?\b|eur\b|usd\b|долл|руб"
_CODE = r"usd|eur|gbp|inr|bdt|thb|kes|tzs|jpy|cny|rmb|rub|chf|k?sh|tsh|rs\.?|kr|dola|shilingi"
_MINUS = r"(?:\b(?:minus|negative|menos|moins|минус)\s|负|負|マイナス|ลบ)\s?"
_SIGN = rf"(?<![\d)%]\s)(?:(?<![\w)%])[-+](?=[\d.$])|{_MINUS})|(?<==\s)-\s(?=[\d.$])"  # not an operator, a range or a hyphen
_NUMBER = re.compile(
    rf"""
    (?: (?<![a-z]) (?P<code>{_CODE})\s? | (?<![a-z0-9_]) (?<![a-z]-) (?<!\d[.,:/]) )
    (?: (?P<ahead>{"|".join(_SCALES_AHEAD)})\s )?
    (?:\$\s?)? (?P<sign>{_SIGN})? (?:\$\s?)?
    (?: (?:(?P<whole>\d{{1,3}})\s)? (?P<top>[1-9]\d{{0,11}})/(?P<bottom>[1-9]\d{{0,5}}) (?![.,/]?\d)
      | (?P<body> (?> \d{{1,3}}(?:[ ]\d{{3}}(?!\d))+(?:[.,]\d+)? | \d+(?:[.,'٫٬]\d+)* | \.\d+ ) ) )
    (?! \d | :\d | (?:st|nd|rd|th)\b )
    (?: \s?(?:{_SCALE_WORDS}) )?
    (?: (?=\s?(?P<coin>{_COIN})) )?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:([.,'٬ ])\d{3})(?:\1\d{3})*|[1-9]\d?(?:,\d{2})+,\d{3}")
_MARKED = re.compile(r"(.*)([.,٫])(\d+)")


def _read_body(body: str, lang: str, money: bool) -> Decimal | None:
    digits = re.sub(r"\D", "", body)
    if len(digits) > _MAX_DIGITS:
        return None
    grouped = body == digits or _GROUPED.fullmatch(body) is not None
    marked = _MARKED.fullmatch(body)
    if not marked:
        return Decimal(digits) if grouped else None
    head, mark, tail = marked.groups()
    decimal = mark not in head and (not head or head.isdigit() or _GROUPED.fullmatch(head) is not None)
    if grouped and decimal:
        comma_decimal = lang in _COMMA_LANGUAGES
        grouped = mark == "." if comma_decimal else mark == ","
        grouped = grouped or (comma_decimal and (tail.endswith("0") or money))
    if grouped:
        return Decimal(digits)
    return Decimal(digits).scaleb(-len(tail)) if decimal else None


def _read_terms(text: str, lang: str) -> list[_Term]:
    terms: list[_Term] = []
    for found in _NUMBER.finditer(text):
        group = found.groupdict()
        if group["top"]:
            value: Decimal | None = Decimal(group["whole"] or 0) + Decimal(group["top"]) / Decimal(group["bottom"])
        else:
            body = found.start("body")
            money = group["code"] or group["coin"] or "$" in text[max(0, body - 2) : body]
            value = _read_body(group["body"], lang, money=bool(money))
        scale = next((scale for scale in _SCALES if group[f"x{scale}"]), 1) * _SCALES_AHEAD.get((group["ahead"] or "").lower(), 1)
        if value is not None:
            value *= scale
            value = value if group["sign"] in (None, "+") else -value
        last = terms[-1] if terms else None
        if last and last.value is not None and value is not None and _continues(text[last.end : found.start()], last, value, scale):
            terms[-1] = _Term(last.value + value, last.start, found.end(), scale)
        else:
            terms.append(_Term(value, found.start(), found.end(), scale))
    return terms


_BETWEEN_PARTS = re.compile(r"\s?|\s(?:and|und|y|et|na)\s", re.IGNORECASE)


def _continues(gap: str, last: _Term, value: Decimal, scale: int) -> bool:
    """Whether a term continues the number before it: 27万6000 is 276000, 2 million 125 thousand is 2125000."""
    if last.scale <= scale or not 0 < value < last.scale or not _BETWEEN_PARTS.fullmatch(gap):
        return False
    return not gap.strip() or scale > 1


_EQUALS = re.compile(r"[^,;:.!?。।\n]{0,30}=\s{0,9}[$(*]{0,3}\s{0,9}")
_OPERATOR = re.compile(r"(?:[^,;:.!?。।\n]{0,30}[+*/×÷·^]|\s{0,9}\){0,3}\s{0,9}[-x])\s{0,9}[$(]{0,3}\s{0,9}")
_LONGEST_GAP = 60


def read_chains(text: str, lang: str) -> list[Chain]:
    """The numbers and equations of a cleaned text, in order."""
    chains: list[Chain] = []
    sides: list[list[Decimal | None]] = []
    start = end = 0
    for term in _read_terms(text, lang):
        gap = text[end : min(term.start, end + _LONGEST_GAP)]
        if sides and _EQUALS.fullmatch(gap):
            sides.append([term.value])
        elif sides and _OPERATOR.fullmatch(gap):
            sides[-1].append(term.value)
        else:
            if sides:
                chains.append(Chain(_settle(sides), start, end))
            sides, start = [[term.value]], term.start
        end = term.end
    return [*chains, Chain(_settle(sides), start, end)] if sides else []


def _settle(sides: list[list[Decimal | None]]) -> Decimal | None:
    alone = [side[0] for side in sides if len(side) == 1 and side[0] is not None]
    return alone[-1] if alone else None


_HAN_DIGITS = "〇零一二两兩三四五六七八九十百千万萬亿億"
_COUNTERS = (
    "个個只隻块塊元円圓圆美本人枚天年岁歳美次头頭小时時分件条條台辆輛匹羽頭箱袋杯冊通足着軒回倍ドル名匹颗顆朵瓶盒张張页頁支枝"
    "棵篇口根粒包公斤斤米厘"
)
_HAN = re.compile(rf"\W*([{_HAN_DIGITS}]+)(?=\W|$|[{_COUNTERS}です])")
_HAN_ANYWHERE = re.compile(rf"(?<![第{_HAN_DIGITS}])([{_HAN_DIGITS}]+)(?=[{_COUNTERS}で]|\W|$)")


def han_to_digits(text: str, lang: str) -> str:
    """A cleaned text in which Chinese numerals that count something are digits. A lone 一 stays, because it is mostly a word."""
    if lang not in ("zh", "zh-Hant", "yue", "ja"):
        return text

    def replace(found: re.Match[str]) -> str:
        return found[0] if found[1] in "一十百千万萬亿億" or len(found[1]) > _MAX_DIGITS else str(_value_of_han(found[1]))

    return _HAN_ANYWHERE.sub(replace, text)


def read_han(text: str, lang: str) -> Chain | None:
    """The Chinese numeral with which a cleaned text begins (十八 is 18), before a counter, punctuation or the end.

    None in languages other than Chinese, Cantonese and Japanese, and if the same character begins a word (一共, 一样).
    """
    found = _HAN.match(text) if lang in ("zh", "zh-Hant", "yue", "ja") else None
    if not found or len(found[1]) > _MAX_DIGITS:
        return None
    return Chain(Decimal(_value_of_han(found[1])), found.start(1), found.end(1))


def _value_of_han(numeral: str) -> int:
    total = section = digit = 0
    for char in numeral:
        unit = 2 if char == "两" else int(unicodedata.numeric(char))
        if unit < 10:
            digit = digit * 10 + unit
        elif unit < 10_000:
            section, digit = section + (digit or 1) * unit, 0
        elif unit == 10_000:
            total, section, digit = total + (section + digit) * unit, 0, 0
        else:
            total, section, digit = (total + section + digit) * unit, 0, 0
    return total + section + digit
