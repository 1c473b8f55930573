"""The translation in a model's answer: one line, without labels, quotes around the whole of it, and comments beside it.

What the reference also has is never removed, so that the reference itself, as an answer, stays whole in all languages.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import regex
import yaml

from xlift.harness.core.languages import languages
from xlift.tasks.answers import any_of
from xlift.tasks.lines import is_greeting, unwrap
from xlift.tasks.thinking import answer_of

_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "”": "”", "„": "“”", "‘": "’", "‚": "‘’", "«": "»", "»": "«", "‹": "›", "›": "‹"}
_QUOTES |= {"「": "」", "『": "』", "《": "》", "＂": "＂"}
_CLOSING = frozenset("".join(_QUOTES.values()))
_SHORT = 16
"""The most characters of a label in a script without spaces ("以下是西班牙语翻译"), whose function words cannot be told from others."""
_LEAD = regex.compile(
    r"(?:here(?:['’]s| is)|below is)\b.*\b(?:translat\w+|sentence|text|version|passage)\b.*|here (?:you go|it is)", regex.IGNORECASE
)
_LABEL = regex.compile(r"((?:\"[^\"]*\"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|[^:：\"“„«])+)[:：]")
"""What comes before a colon. Quotations, which are usually of the source, are skipped."""
_MAX_LABEL = 100
_OPENERS = regex.compile(r"(?:sure|certainly|of course|absolutely|okay|ok|claro|bien sûr|natürlich)(?: thing)?[!,.]*\s+", regex.IGNORECASE)


def first_line(answer: str, source: str = "", reference: str | None = None) -> tuple[str, bool]:
    """The translation in a model's answer, and whether there was anything else around it.

    It is the first line that is neither empty, nor a label ("Spanish:", "Here is the translation:", "Sure!"), nor the source repeated,
    without labels and bold type. Quotes around the whole line are removed after a label, or if ``reference`` is given, unless ``reference``
    or ``source`` begins or ends with a quote. A label with which ``reference`` begins stays. Later lines are dropped and count as chatter.
    """
    wanted = (reference or "").strip()
    told = unwrap(answer_of(answer))
    # not splitlines: sentences of FLORES may hold U+2028 and other marks that it takes for line ends
    lines = [(line if "**" in wanted else line.replace("**", "")).strip() for line in regex.split(r"[\r\n\v\f]+", told)]
    lines = [line for line in lines if line and not regex.fullmatch(r"```\w*", line)]
    quoted = _has_quote_at_end(source) or _has_quote_at_end(wanted)
    found = ""
    for position, line in enumerate(lines):
        found = _strip(line, source, wanted, quoted, bare=reference is not None)
        if found and (position == len(lines) - 1 or not (_is_heading(found) or _repeats(found, source))):
            break
    return found, found != answer.strip()


def _strip(line: str, source: str, reference: str, quoted: bool, *, bare: bool) -> str:
    """A line without labels and bold type. Quotes around the whole line are removed after a label, and everywhere if ``bare`` ones may go
    too."""
    shorter = _unquote(line) if bare and not quoted else line
    inside = _strip_label(_unquote(shorter), source, reference)
    if inside != _unquote(shorter):
        shorter = inside if quoted else _unquote(inside)
        return _strip(shorter, source, reference, quoted, bare=bare)
    return shorter


def _has_quote_at_end(text: str) -> bool:
    text = text.strip()
    return bool(text) and (text[0] in _QUOTES or text[-1] in _CLOSING)


def _strip_label(line: str, source: str, reference: str) -> str:
    while (match := _LABEL.match(line)) and _is_label(match[1], source) and not _begins(reference, match[0]):
        line = line[match.end() :].strip()
    # The Spanish translation is "Hola."
    match = regex.match(r"([^\"“„«「]+)(?=[\"“„«「])", line)
    if match and _is_label(match[1], source) and not _begins(reference, match[0]) and _unquote(line[match.end() :]) != line[match.end() :]:
        return line[match.end() :]
    return line


def _begins(reference: str, label: str) -> bool:
    return reference.strip().casefold().startswith(label.strip().casefold())


def _is_label(text: str, source: str) -> bool:
    bare = regex.sub(r"[\"“„«].*[\"”“»]", "", text).strip(" *_#>-")
    if not 0 < len(bare) <= _MAX_LABEL or bare.count("(") != bare.count(")"):
        return False
    bare = _OPENERS.sub("", bare) or bare
    if _names_language(bare) or _answer().fullmatch(bare) or is_greeting(bare) or _LEAD.fullmatch(bare):
        return True
    about_translation = _translation().search(bare) and (bare.casefold() == "translation" or not _about_translation().search(source))
    if about_translation and len(bare) <= _SHORT and _unspaced().search(bare):
        return True
    return _says_only_what_follows(bare, bool(about_translation))


def _says_only_what_follows(bare: str, about_translation: bool) -> bool:
    """Whether a label consists of names of languages, words for translation and function words ("The text in Spanish is"), with at least
    one of the first two."""
    rest = regex.sub(r"[(\[（].*?[)\]）]", " ", bare).casefold()
    without = _language_pattern().sub(" ", rest)
    named = without != rest
    words = regex.findall(r"[\w'’]+", _translation().sub(" ", without))
    return (about_translation or (named and len(words) > 0)) and all(word in _little() for word in words)


def _is_heading(line: str) -> bool:
    # without a colon, the word for translation proves nothing in a longer line
    return _names_language(line) or is_greeting(line) or bool(_LEAD.fullmatch(line.rstrip(".!"))) or _is_short_translation(line)


def _is_short_translation(line: str) -> bool:
    return _translation().search(line) is not None and len(line.split()) <= 3


def _repeats(line: str, source: str) -> bool:
    """Whether a line is the source again, apart from case, punctuation and spaces."""
    return bool(source) and _letters(line) == _letters(source)


def _letters(text: str) -> str:
    return str(regex.sub(r"[^\p{L}\p{M}\p{N}]+", "", text)).casefold()


@cache
def _listed() -> Mapping[str, str]:
    listed: dict[str, str] = yaml.safe_load(files("xlift.tasks").joinpath("translation_words.yaml").read_text(encoding="utf-8"))
    return listed


@cache
def _unspaced() -> regex.Pattern[str]:
    return regex.compile(_listed()["unspaced"])


@cache
def _translation() -> regex.Pattern[str]:
    return regex.compile(rf"\b(?:{'|'.join(_listed()['spaced'].split())})\b|{_unspaced().pattern}", regex.IGNORECASE)


@cache
def _about_translation() -> regex.Pattern[str]:
    return regex.compile(rf"{'|'.join(_listed()['stems'].split())}|{_unspaced().pattern}", regex.IGNORECASE)


@cache
def _little() -> frozenset[str]:
    return frozenset(_listed()["little"].split())


@cache
def _answer() -> regex.Pattern[str]:
    return regex.compile(rf"(?:final |my |the )?{any_of('answer')}", regex.IGNORECASE)


def _names_language(text: str) -> bool:
    plain = regex.sub(r"[(\[（].*?[)\]）]", "", text).strip(" *_#>-").casefold()
    return any(
        " ".join(words) in _language_names() for words in (plain.split(), regex.sub(r"^(?:in|en|auf|na|em|på)\s", "", plain).split())
    )


@cache
def _language_names() -> frozenset[str]:
    listed = [name for language in languages().values() for name in (language.name, language.own_name)]
    without_script = [regex.sub(r"\s*\(.*?\)", "", name) for name in listed]
    return frozenset(name.casefold() for name in [*listed, *without_script, "Chinese", "中文", "Norwegian", "norsk"])


@cache
def _language_pattern() -> regex.Pattern[str]:
    names = sorted(_language_names(), key=len, reverse=True)
    return regex.compile(rf"\b(?:{'|'.join(map(regex.escape, names))})\b")


def _unquote(line: str) -> str:
    while len(line) > 1 and line[-1] in _QUOTES.get(line[0], "") and not {line[0], line[-1]} & set(line[1:-1]):
        line = line[1:-1].strip()
    return line
