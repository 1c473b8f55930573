"""Untrusted text made safe to show: names for files, replacements for characters that deceive, language and direction."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import regex
from markupsafe import Markup, escape

from xlift.harness.core.languages import languages

LONGEST = 4000
"""The most characters of one text that a page shows."""

RTL_SCRIPTS = {"Arab", "Hebr", "Nkoo", "Syrc", "Thaa"}

# Letters that Arabic and Persian need (joiners, single direction marks) stay; what opens or overrides a direction does not.
_DECEPTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufdd0-\ufdef\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)
_DIRECTING = re.compile(f"{_DECEPTIVE.pattern[:-1]}\u200e\u200f\u061c]")
# Most texts have none of these, and so nothing that would have to be looked for more closely.
_UNUSUAL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u0300-\U0010ffff]")
_TAGS = regex.compile(r"[\U000E0000-\U000E007F]|[\p{Mn}\p{Me}]{9,}")


def clean(text: str) -> str:
    """One line of text as a page may show it: control, direction and surrogate characters become U+FFFD.

    A pile of more than eight combining marks is cut to eight.
    """
    if not _UNUSUAL.search(text):
        return text
    shown = _DECEPTIVE.sub("\N{REPLACEMENT CHARACTER}", text)
    return str(_TAGS.sub(lambda found: "" if found[0] >= "\U000e0000" else found[0][:8], shown))


def show(text: str, longest: int = LONGEST) -> Markup:
    """A text of many lines as HTML. Deceptive characters are named (``U+202E``), and characters beyond ``longest`` are counted, not
    shown."""
    if len(text) <= longest and not _UNUSUAL.search(text):
        return escape(text)
    marked = Markup('<span class="mark">{}</span>')
    return Markup("").join(marked.format(part) if is_mark else escape(part) for is_mark, part in _take_apart(text, longest, _DECEPTIVE))


def spell_out(text: str, longest: int = LONGEST) -> str:
    """``show`` for a terminal: replacements are in ``<>``, and characters that only set a direction are named too.

    A page keeps a text's direction within its own block, which a terminal cannot do.
    """
    return "".join(f"<{part}>" if is_mark else part for is_mark, part in _take_apart(text.expandtabs(4), longest, _DIRECTING))


def _take_apart(text: str, longest: int, hidden: re.Pattern[str]) -> Iterator[tuple[bool, str]]:
    """The pieces of a text, and whether each replaces something that is not shown."""
    text = text.replace("\r\n", "\n")
    shown, rest, end = text[:longest], len(text) - longest, 0
    for found in hidden.finditer(shown):
        yield False, clean(shown[end : found.start()])
        yield True, f"U+{ord(found[0]):04X}"
        end = found.end()
    yield False, clean(shown[end:])
    if rest > 0:
        yield True, f"{rest:,} more characters"


def write_breakable(name: str) -> Markup:
    """A name with underscores, which a narrow column may break behind each of them."""
    return Markup("_<wbr>").join(clean(name).split("_"))


def write_prose(text: str) -> Markup:
    """A docstring as HTML: its paragraphs, with text between double backquotes as code."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        pieces = clean(" ".join(paragraph.split())).split("``")
        marked = (Markup("<code>{}</code>").format(piece) if number % 2 else escape(piece) for number, piece in enumerate(pieces))
        paragraphs.append(Markup("<p>{}</p>").format(Markup("").join(marked)))
    return Markup("\n").join(paragraphs)


@lru_cache(maxsize=1_000)
def direction(language: str | None) -> str:
    """``ltr``, ``rtl``, or ``auto`` for a language that is not known: a value of HTML's ``dir``."""
    found = languages().get(language or "")
    return "auto" if found is None else "rtl" if found.script in RTL_SCRIPTS else "ltr"
