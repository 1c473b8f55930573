"""Language confusion of answers: pass rates by line and by word.

In the paper of the Language Confusion Benchmark (Marchisio et al. 2024, arXiv:2406.20052) an answer passes by line if every line of it is
in the language that was asked for. An answer that does so passes by word if none of its words is English. The word rate is given only for
languages that are not written in Latin letters, because in the others English words cannot be told from the language's own. As in the
authors' compute_metrics.py, lines of fewer than five words are left out, and so is text that a base model adds after a line "Q:".

We differ where the authors' tools are others, or where their rule has a gap:

- The language of a line comes from ``language_id``. A line fails if it is clearly in another language; related languages (Malay for
  Indonesian) and lines that cannot be told pass. The authors ask fastText, and lines in doubt fail.
- Code, formulas and addresses are removed before the answer is cut into lines.
- In Chinese and Japanese two characters count as a word, in Thai four. The authors segment such text.
- A word fails if it is in a script in which the language is not written: a Latin word of four letters or more without a capital (the
  authors look such words up in a list of English ones), or a word of a third script.
- An answer without a line that is long enough is one line; the authors leave it out. An answer without letters outside code fails. So every
  answer has a line score, and models can be compared answer by answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import regex

from xlift.tasks.language_id import count_letters, is_off_target, keep_prose, language_scores, scripts_of
from xlift.tasks.leaks import CHARACTERS, WORDS
from xlift.tasks.thinking import separate

MIN_WORDS = 5
"""The fewest words of a line that counts."""
MIN_FOREIGN_LETTERS = 3
"""The fewest letters of a third script that make a word foreign; fewer are a symbol (π). A Chinese character counts as three letters, kana
and hangul as two."""

_NEXT_QUESTION = regex.compile(r"\nQ:.*", regex.DOTALL)
_LATIN_WORD = regex.compile(r"(?<!\p{Script=Latn})[\p{Script=Latn}&&\p{Ll}]{4,}(?!\p{Script=Latn})", regex.V1)
_WORD = regex.compile(r"[\p{L}\p{M}]+")
_UNSPACED = [(regex.compile(f"[{script}]"), characters / WORDS) for script, characters in CHARACTERS.items()]


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """lm-eval's scores of one answer, each 0 or 1: line_pass_rate, word_pass_rate, off_target and language_unknown (both of the whole
    answer), empty and thinking_cut.

    ``doc`` has ``lang``, the language that was asked for. There is no word_pass_rate if a line fails, and none in languages in Latin
    letters.
    """
    said, lang = separate(results[0]), doc["lang"]
    answer = said.answer.strip()
    lines = cut_lines(answer)
    passes = bool(lines) and not any(is_off_target(line, lang) for line in lines)
    scores = {"line_pass_rate": float(passes), **language_scores(answer, lang), "empty": float(not answer)}
    scores["thinking_cut"] = float(said.cut)
    if passes and "Latn" not in scripts_of(lang):
        scores["word_pass_rate"] = float(not any(find_foreign_words(line, lang) for line in lines))
    return scores


def cut_lines(answer: str) -> list[str]:
    """The lines of an answer that count. If none is long enough, the whole answer is one line; without letters there is none."""
    prose = keep_prose(_NEXT_QUESTION.sub("", answer))
    if not count_letters(prose):
        return []
    return [line for line in prose.splitlines() if count_words(line) >= MIN_WORDS] or [" ".join(prose.split())]


def count_words(line: str) -> float:
    """The number of words of a line in any language. In scripts without spaces it follows from the number of characters that a word has
    there."""
    words = 0.0
    for script, characters in _UNSPACED:
        words += len(script.findall(line)) / characters
        line = script.sub(" ", line)
    return words + len(_WORD.findall(line))


def find_foreign_words(line: str, lang: str) -> list[str]:
    """The words of a line that are in a script in which ``lang`` is not written, by the rule of this module."""
    own = scripts_of(lang)
    found = []
    for word in _WORD.findall(line):
        letters = count_letters(word)
        third = sum(count for script, count in letters.items() if script not in own and script != "Latn")
        if third >= MIN_FOREIGN_LETTERS or ("Latn" not in own and _LATIN_WORD.search(word)):
            found.append(word)
    return found
