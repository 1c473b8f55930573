r"""Finds the number that a model gives as its answer to a word problem (MGSM), and scores it.

The first rule that finds a number wins; within a rule, the last place in the text.

1. ``\boxed{...}`` with one number or one equation in it.
2. ``#### 18``: a number and at most a few words, which a numbered heading is not.
3. A stated answer, in whichever language, since models answer in English too. After "the answer is" the number that follows directly
   counts, whatever comes behind it ("18 dollars, i.e. 3 boxes of 6" is 18), else the last number of the sentence. A bare label ("Answer:")
   must have the number right behind it and no working later in its line.
4. A bold number in the last line.
5. A first line that holds nothing but a number; or a text of one line that opens with a number, with no other number in that clause and
   no working.
6. The last number outside asides in parentheses: "540 (3*3*60)" is 540.

Sources: MathOctopus and QAlign take the last unsigned ASCII number, lm-eval 0.4.13 a like one with punctuation stripped, which misses many
right answers (১৮, "18,00 EUR", "**18** eggs...") and takes wrong ones ("-5" for 5). The tolerance of the former two is kept.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from xlift.harness.core.errors import UserError
from xlift.tasks.language_id import is_off_target
from xlift.tasks.numerals import Chain, clean, parse_number, read_chains, read_han

__all__ = ["TOLERANCE", "extract_answer", "parse_number", "process_results"]

TOLERANCE = Decimal("0.001")
"""An answer is right if it differs from the gold answer by less than this (as in QAlign and MathOctopus)."""


def extract_answer(text: str, lang: str) -> Decimal | None:
    """The number that ``text``, written in ``lang``, gives as its answer, by the rules of this module; None where it gives none."""
    text = clean(text)
    for find in (_find_boxed, _find_hashed, _find_stated, _find_bold, _find_bare, _find_last):
        found = find(text, lang)
        if found is not None:
            return found
    return None


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """lm-eval's scores of one item: accuracy, extraction_failure and off_target, each 0 or 1.

    ``doc`` has ``answer``, which MGSM writes the English way in every language ("114,200"), and ``lang``. An answer in which no number is
    found is wrong, and counts as a failure as well.
    """
    gold = parse_number(str(doc["answer"]), "en")
    if gold is None:
        raise UserError(f"MGSM: the gold answer {doc['answer']!r} is not a number; check the data file")
    found = extract_answer(results[0], doc["lang"])
    return {
        "accuracy": float(found is not None and abs(found - gold) < TOLERANCE),
        "extraction_failure": float(found is None),
        "off_target": is_off_target(results[0], doc["lang"]),
    }


# The word for "answer" in each language, then what links it to the number.
_ANSWER_WORDS = {
    "en": (r"answer|final result", r"is|are|equals|would be|will be|should be|comes to"),
    "de": (r"antwort|endergebnis", r"lautet|ist|beträgt|wäre"),
    "es": (r"respuesta|resultado final", r"es|sería|son|está"),
    "fr": (r"réponse|résultat final", r"est|serait|sont"),
    "ru": (r"ответ(?:ом)?", r"является|равен|будет|это|-(?=\s)|—"),
    "sw": (r"jibu", r"ni"),
    "it": (r"risposta|risultato finale", r"è|sarebbe"),
    "pt": (r"resposta|resultado final", r"é|seria|são"),
    "nl": (r"antwoord", r"is|luidt"),
    "pl": (r"odpowiedź", r"to|brzmi|jest"),
    "tr": (r"cevap|yanıt", r"olarak"),
    "vi": (r"đáp án|đáp số|câu trả lời", r"là"),
    "id": (r"jawaban(?:nya)?", r"adalah|ialah"),
    "el": (r"απάντηση", r"είναι"),
    "ro": (r"răspuns(?:ul)?", r"este|e"),
    "uk": (r"відповідь", r"-(?=\s)|—|це"),
    "bn": (r"উত্তর(?:টি)?", r"হলো|হল|হচ্ছে|হবে"),
    "te": (r"సమాధానం|జవాబు", r"అవుతుంది"),
    "th": (r"คำตอบ", r"คือ|เท่ากับ|เป็น"),
    "zh": (r"答案|答(?=:)", r"是|为|為|等于|等於"),
    "ja": (r"答え|回答|解答|正解|答(?=[:は])", r"は|が"),
    "ko": (r"정답|대답|답", r"은|는|이"),
    "ar": (r"الجواب|الإجابة|الاجابة", r"هو|هي"),
    "hi": (r"उत्तर|जवाब", r"है|होगा"),
}
_BOUNDLESS = {"bn", "te", "th", "zh", "ja", "ko", "ar", "hi"}
"""Languages whose words are not spaced, take suffixes, or end in vowel signs, which re does not count as letters."""


def _bounded(lang: str, words: str) -> str:
    words = unicodedata.normalize("NFKC", words)  # as the texts are: Thai ำ becomes two characters
    return f"(?:{words})" if lang in _BOUNDLESS else rf"(?:(?<!\w)(?:{words})(?!\w))"


_WINDOW = 600  # characters behind the word in which its number must stand
_ANSWER = re.compile("|".join(f"(?P<{lang}>{_bounded(lang, words)})" for lang, (words, _) in _ANSWER_WORDS.items()), re.IGNORECASE)
_LINK = {lang: re.compile(r"[^.!?。।\n:=]{0,40}?" + _bounded(lang, links), re.IGNORECASE) for lang, (_, links) in _ANSWER_WORDS.items()}
_LABEL = re.compile(r"""(?:\s?\([^()\n]{0,40}\))?[\s*_"']{0,9}(?P<mark>[:=—\n]?)""")
_OPENING = re.compile(r"[^\w.!?。।]*")
_SENTENCE_END = re.compile(r"(?<!\b[^\W\d])[.!?](?=\s|$)|[。।\n]")  # not behind a single letter: i.e., z. B.
_CLAUSE_END = re.compile(r"[,;(.—]")
_BOXED = re.compile(r"\\boxed\s?\{((?:[^{}\n]|\{[^{}\n]{0,99}\}){0,200})")
_HASHED = re.compile(r"####\s{0,9}([^\n]{1,120})")
_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*|__([^_\n]{1,80})__")
_ASIDE = re.compile(r"(?P<before>[-+*/×÷=^]\s{0,3})?\([^()]*\)(?=(?P<after>\s{0,3}[-+*/×÷=^])?)")


def _find_boxed(text: str, lang: str) -> Decimal | None:
    return next((n for box in reversed(_BOXED.findall(text)) if (n := parse_number(box, lang)) is not None), None)


def _find_hashed(text: str, lang: str) -> Decimal | None:
    return next((n for line in reversed(_HASHED.findall(text)) if (n := _read_short(line, lang)) is not None), None)


def _find_stated(text: str, lang: str) -> Decimal | None:
    end = len(text)
    for word in reversed(list(_ANSWER.finditer(text))):
        found = _read_behind(word, text[word.end() : min(end, word.end() + _WINDOW)], lang)
        if found is not None:
            return found
        end = word.start()
    return None


def _find_bold(text: str, lang: str) -> Decimal | None:
    last_line = text.rstrip().rpartition("\n")[2]
    spans = [a or b for a, b in _BOLD.findall(last_line)]
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


def _find_last(text: str, lang: str) -> Decimal | None:
    chains = read_chains(_drop_asides(text), lang) or read_chains(text, lang)
    return next((chain.value for chain in reversed(chains) if chain.value is not None), None)


def _read_behind(word: re.Match[str], rest: str, lang: str) -> Decimal | None:
    language = str(word.lastgroup)
    label = _LABEL.match(rest)
    mark, behind = (label["mark"], rest[label.end() :]) if label else ("", rest)
    first = _read_first(behind, lang)
    if first and not mark and language != "en":  # "answer" is a verb too: answer 3 questions
        return first.value
    link = _LINK[language].match(rest)
    if link:
        return _read_linked(rest[link.end() :], lang)
    return first.value if first and mark and _shows_no_working(behind[first.end :]) else None


def _read_linked(rest: str, lang: str) -> Decimal | None:
    first = _read_first(rest, lang)
    if first and first.value is not None:
        return first.value
    sentence_end = _SENTENCE_END.search(rest)
    return _find_last(rest[: sentence_end.start() if sentence_end else None], lang)


def _read_first(text: str, lang: str) -> Chain | None:
    opening = _OPENING.match(text)
    chains = read_chains(text, lang)
    if opening and chains and chains[0].start <= opening.end():
        return chains[0]
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
