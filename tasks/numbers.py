r"""Finds the number that a model gives as its answer to a word problem (MGSM), and scores it.

The first rule that finds a number wins. Within a rule, the last place in the text wins.

1. ``\boxed{...}`` with one number or one equation in it.
2. ``#### 18``: a number and at most a few words. A numbered heading does not count.
3. A stated answer, in any language, since models answer in English too. After "the answer is" the number that follows directly counts,
   whatever comes after it ("18 dollars, i.e. 3 boxes of 6" is 18), else the last number of the sentence. After a bare label ("Answer:") the
   number must follow directly, with no working later in its line.
4. A bold number in the last line.
5. A first line that holds nothing but a number; or a text of one line that begins with a number, with no other number in that clause and no
   working.
6. The last number outside parentheses: "540 (3*3*60)" is 540.

Sources: MathOctopus and QAlign take the last unsigned ASCII number. lm-eval 0.4.13 takes a similar one without punctuation. Both miss many
right answers (১৮, "18,00 EUR", "**18** eggs...") and take wrong ones ("-5" for 5). The tolerance of MathOctopus and QAlign is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

from xlift.harness.core.errors import UserError
from xlift.tasks.answers import MASK, any_of, bounded, drop_numbering, drop_reasons, first_turn, mask_rejected, words
from xlift.tasks.language_id import language_scores
from xlift.tasks.measures import join_parts
from xlift.tasks.number_words import read_first, to_digits
from xlift.tasks.numerals import Chain, clean, han_to_digits, parse_number, read_chains, read_han
from xlift.tasks.thinking import answer_of, separate

__all__ = ["TOLERANCE", "extract_answer", "parse_number", "process_results"]

_Rule = Callable[[str, str], Decimal | None]

TOLERANCE = Decimal("0.001")
"""An answer is right if it differs from the gold answer by less than this (as in QAlign and MathOctopus)."""


def extract_answer(text: str, lang: str) -> Decimal | None:
    """The number that ``text``, written in ``lang``, gives as its answer, by the rules of this module; None if it gives none."""
    text = _prepare(answer_of(text), lang)
    kept = mask_rejected(text)
    stated = _apply(_STATED, kept, lang)
    if stated is not None:
        return stated
    found = _apply(_SHOWN, kept, lang)
    return None if found in _left_open(text, lang) else found


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """lm-eval's scores of one item: accuracy, extraction_failure, off_target and thinking_cut, each 0 or 1.

    ``doc`` has ``answer``, which MGSM writes the English way in every language ("114,200"), and ``lang``. An answer in which no number is
    found is wrong and also counts as a failure.
    """
    gold = parse_number(str(doc["answer"]), "en")
    if gold is None:
        raise UserError(f"MGSM: the gold answer {doc['answer']!r} is not a number; check the data file")
    said = separate(results[0])
    found = extract_answer(said.answer, doc["lang"])
    return {
        "accuracy": float(found is not None and abs(found - gold) < TOLERANCE),
        "extraction_failure": float(found is None),
        **language_scores(said.answer, doc["lang"]),
        "thinking_cut": float(said.cut),
    }


def _prepare(text: str, lang: str) -> str:
    """The cleaned text up to an invented next question, with its parts joined, and without numbers that are crossed out or count steps."""
    text = drop_numbering(join_parts(_CROSSED_OUT.sub(" ", clean(text))))
    if not re.search(r"\d", text):
        text = join_parts(_read_words(text, lang))
    text = "\n".join(_read_words(line, lang) if _answer().search(line) else line for line in text.split("\n"))
    return first_turn(text, _has_number)


def _read_words(text: str, lang: str) -> str:
    return han_to_digits(to_digits(text, lang), lang)


def _has_number(text: str) -> bool:
    return re.search(r"\d", text) is not None


def _apply(rules: Sequence[_Rule], text: str, lang: str) -> Decimal | None:
    return next((number for find in rules if (number := find(text, lang)) is not None), None)


def _left_open(text: str, lang: str) -> set[Decimal]:
    """The numbers of a last "the answer is" that decides for none of them: not 18, 17 or 18, 18:30."""
    for word in reversed(list(_answer().finditer(text))):
        link = _link(str(word.lastgroup)).match(text[word.end() : word.end() + _WINDOW])
        end = _SENTENCE_END.search(text, word.end() + (link.end() if link else 0))
        sentence = text[word.start() : end.start() if end else None][:_WINDOW]
        kept = mask_rejected(sentence)
        if link or MASK in kept:
            settled = _find_last(kept, lang) is not None
            return set() if settled else {Decimal(digits) for digits in re.findall(r"\d{1,28}", sentence)}
    return set()


_WINDOW = 600  # characters behind the word in which its number must stand
_LABEL = re.compile(r"""(?:\s?\([^()\n]{0,40}\))?[\s*_"']{0,9}(?P<mark>[:=—\n]?)""")
_OPENING = re.compile(r"[^\w.!?。।]*")
_SENTENCE_END = re.compile(r"(?<!\b[^\W\d])[.!?](?=\s|$)|[。।\n]")  # not behind a single letter: i.e., z. B.
_CLAUSE_END = re.compile(r"[,;(.—]")
_CROSSED_OUT = re.compile(r"~~[^~\n]{1,80}~~|<(?P<tag>s|del|strike)>[^<\n]{1,80}</(?P=tag)>", re.IGNORECASE)
_TAGGED = re.compile(r"<(?P<tag>(?:final_?)?answer)>(?P<inside>.*?)(?:</(?P=tag)>|$)", re.DOTALL | re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\s?\{((?:[^{}\n]|\{[^{}\n]{0,99}\}){0,200})")
_HASHED = re.compile(r"####\s{0,9}([^\n]{1,120})")
_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*|__([^_\n]{1,80})__")
_ASIDE = re.compile(r"(?P<before>[-+*/×÷=^]\s{0,3})?\([^()]*\)(?=(?P<after>\s{0,3}[-+*/×÷=^])?)")
_LONGEST_HEAD = 60
"""The most characters of a first paragraph that may be the whole answer, if its reasons are in the next."""


@cache
def _answer() -> re.Pattern[str]:
    listed = ((lang, bounded(lang, kinds["answer"])) for lang, kinds in words().items())
    return re.compile("|".join(f"(?P<{lang}>{pattern})" for lang, pattern in listed), re.IGNORECASE)


@cache
def _link(lang: str) -> re.Pattern[str]:
    return re.compile(r"[^.!?。।\n:=" + MASK + r"]{0,40}?" + bounded(lang, words()[lang]["link"]), re.IGNORECASE)


@cache
def _result() -> re.Pattern[str]:
    return re.compile(rf"(?:^|\n)[^\w\n]*(?:\w+ )?{any_of('result')}(?=[\s*_]*:)", re.IGNORECASE)


@cache
def _keyed() -> re.Pattern[str]:
    answer, result = ("|".join(kinds[kind] for kinds in words().values() if kind in kinds) for kind in ("answer", "result"))
    name = rf"(?:final[_ ]?)?(?:(?P<answer>{answer})|{result})"
    return re.compile(rf"""["']{name}["']\s*:\s*(?:"(?P<quoted>(?:[^"\\]|\\.){{0,200}})"|(?P<plain>[^,}}\n"]{{1,40}}))""", re.IGNORECASE)


def _find_boxed(text: str, lang: str) -> Decimal | None:
    return next((n for box in reversed(_BOXED.findall(text)) if (n := parse_number(box, lang)) is not None), None)


def _find_hashed(text: str, lang: str) -> Decimal | None:
    # a second one belongs to a question that the model has invented
    return next((n for line in _HASHED.findall(text) if (n := _read_short(line, lang)) is not None), None)


def _find_tagged(text: str, lang: str) -> Decimal | None:
    insides = [found["inside"] for found in _TAGGED.finditer(text)]
    return next((n for inside in reversed(insides) if (n := _apply(_ALL, inside, lang)) is not None), None)


def _find_keyed(text: str, lang: str) -> Decimal | None:
    found = sorted(_keyed().finditer(text), key=lambda key: key["answer"] is None)  # an answer before a result
    values = (key["quoted"] or key["plain"] or "" for key in found)
    return next((n for value in values if (n := _apply(_ALL, value, lang)) is not None), None)


def _find_stated(text: str, lang: str) -> Decimal | None:
    end = len(text)
    for word in reversed(list(_answer().finditer(text))):
        found = _read_behind(word, text[word.end() : min(end, word.end() + _WINDOW)], lang)
        if found is not None:
            return found
        end = word.start()
    return None


def _find_result(text: str, lang: str) -> Decimal | None:
    for word in reversed(list(_result().finditer(text))):
        found = _read_label(text[word.end() : word.end() + _WINDOW], lang)
        if found is not None:
            return found
    return None


def _find_bold(text: str, lang: str) -> Decimal | None:
    lines = text.strip().split("\n")
    spans = [a or b for a, b in _BOLD.findall(lines[-1])]
    return next((n for span in reversed(spans) if (n := _read_short(span, lang)) is not None), None)


def _find_bare(text: str, lang: str) -> Decimal | None:
    line, _, more = text.strip().partition("\n")
    first = _read_first(line, lang)
    if first is None or "=" in line or not _shows_no_working(line[first.end :]):
        return None
    if more:
        return None if re.search(r"[^\W\d]", line) else first.value
    clause = _CLAUSE_END.split(line[first.end :], maxsplit=1)[0]
    return None if re.search(r"\d", clause) else first.value  # 16 minus 3 is 13


def _find_first_paragraph(text: str, lang: str) -> Decimal | None:
    """The number of a short first paragraph that is followed by its reasons: "18 dollars", an empty line, "She eats 3 and sells 9 at
    $2."."""
    head, _, reasons = re.sub(r"\n[ \t]+\n", "\n\n", text.strip()).partition("\n\n")
    if not reasons or len(head) > _LONGEST_HEAD or re.search(r"[\n=:]", head):
        return None
    number = _read_whole(head, lang)
    headed = drop_reasons(f"{head}\n{reasons}", _has_number).strip() == head.strip()
    if headed or (number is not None and _only_explains(reasons, lang)):
        return number
    return None


def _only_explains(reasons: str, lang: str) -> bool:
    # one paragraph, without a bold number or a conclusion at its end
    if "\n" in reasons.strip() or _BOLD.search(reasons):
        return False
    sentences = [part for part in _SENTENCE_END.split(reasons) if part and re.search(r"\d", part)]
    last = sentences[-1] if sentences else ""
    return "=" not in last and not re.search(any_of("so"), last, re.IGNORECASE)


def _read_whole(head: str, lang: str) -> Decimal | None:
    """The only number of a line that begins with it or writes it in bold."""
    chains = [chain for chain in read_chains(_drop_asides(head), lang) if chain.value is not None]
    bold = [number for a, b in _BOLD.findall(head) if (number := parse_number(a or b, lang)) is not None]
    if len(chains) != 1:
        return None
    return chains[0].value if bold or _read_first(head, lang) is not None else None


def _find_last(text: str, lang: str) -> Decimal | None:
    def answers(part: str) -> bool:
        return any(chain.value is not None for chain in read_chains(part, lang))

    text = drop_reasons(text, answers)
    chains = read_chains(_drop_asides(text), lang) or read_chains(text, lang)
    return next((chain.value for chain in reversed(chains) if chain.value is not None), None)


_STATED: Sequence[_Rule] = (_find_boxed, _find_hashed, _find_tagged, _find_keyed, _find_stated, _find_result)
_SHOWN: Sequence[_Rule] = (_find_bold, _find_bare, _find_first_paragraph, _find_last)
_ALL = (*_STATED, *_SHOWN)


def _read_behind(word: re.Match[str], rest: str, lang: str) -> Decimal | None:
    language = str(word.lastgroup)
    label = _LABEL.match(rest)
    mark, behind = (label["mark"], rest[label.end() :]) if label else ("", rest)
    first = _read_first(behind, lang)
    if first and not mark and language != "en":  # "answer" is a verb too: answer 3 questions
        return first.value
    link = _link(language).match(rest)
    if link:
        return _read_linked(rest[link.end() :], lang)
    return _read_label(rest, lang) if mark else None


def _read_label(rest: str, lang: str) -> Decimal | None:
    label = _LABEL.match(rest)
    behind = rest[label.end() :] if label else rest
    first = _read_first(behind, lang)
    if first is None:
        return None
    number, more = behind[: first.end], drop_reasons(behind, _has_number)[first.end :]
    line, _, later = more.partition("\n")
    below = "\n" in (rest[: label.end()] if label else "") or _OPENING.sub("", behind[: first.start]) != "" or "\n" in number
    if "=" in number and "=" in later:
        return None  # the first line of a working
    if below and re.search(r"\d", later) and re.search(r"\d", _CLAUSE_END.split(line, maxsplit=1)[0]):
        return None
    return first.value if _shows_no_working(more) else None


def _read_linked(rest: str, lang: str) -> Decimal | None:
    first = _read_first(rest, lang)
    sentence_end = _SENTENCE_END.search(rest, first.end if first else 0)
    sentence = rest[: sentence_end.start() if sentence_end else None]
    if first and first.value is not None:
        equation = "=" in rest[first.start : first.end] and "=" in sentence[first.end :]
        return _find_last(sentence, lang) if equation else first.value  # 16 - 7 = 9 and 9 * 2 = 18
    sentence_end = _SENTENCE_END.search(rest)
    return _find_last(rest[: sentence_end.start() if sentence_end else None], lang)


def _read_first(text: str, lang: str) -> Chain | None:
    opening = _OPENING.match(text)
    chains = read_chains(text, lang)
    if opening and chains and chains[0].start <= opening.end():
        return chains[0]
    spelled = read_first(text, lang)
    if spelled:
        return Chain(Decimal(spelled.value), spelled.start, spelled.end)
    return read_han(text, lang)


def _read_short(text: str, lang: str) -> Decimal | None:
    first = _read_first(text, lang)
    if first is None:
        return None
    rest = text[first.end :]
    return None if len(rest) > 40 or ":" in rest or re.search(r"[.!?]\s*\w", rest) else first.value


def _shows_no_working(rest: str) -> bool:
    line = _drop_asides(rest.partition("\n")[0])
    sentence_end = _SENTENCE_END.search(line)
    later = line[sentence_end.end() :] if sentence_end else ""
    return "=" not in line and not re.search(r"\d", later)


def _drop_asides(text: str) -> str:
    return _ASIDE.sub(lambda aside: aside[0] if aside["before"] or aside["after"] else " ", text)
