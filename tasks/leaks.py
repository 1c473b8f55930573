"""The leak guard: does a training text repeat an evaluation item?

Two texts overlap if they are equal after normalisation, or share 13 consecutive words (the n-gram length of GPT-3's contamination study,
Brown et al. 2020, arXiv:2005.14165, appendix C). Scripts without spaces between words are compared by characters. A pair of names repeats a
fact that is asked for if one name is the answer and the other is in the question.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

WORDS = 13
CHARACTERS = {
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff": 26,  # kana, Han: about two a word
    "\u0e00-\u109f\u1780-\u17ff": 52,  # Thai, Lao, Tibetan, Burmese, Khmer, vowel signs counted: about four a word
}
"""The number of consecutive characters that correspond to 13 words, by script.

At 26 characters, 151 of 5761 Thai texts (iApp Wikipedia QA) overlapped Thai XQuAD, in such phrases as the title of a minister. At 39 and 52
none did.
"""

_RUNS = [(re.compile(f"[{script}]"), length) for script, length in CHARACTERS.items()]
_UNSPACED = re.compile(f"[{''.join(CHARACTERS)}]+")


class _Folding(dict[int, str]):
    """A table for ``str.translate``: letters, marks and digits stay, invisible characters are removed, and everything else becomes a
    space."""

    def __missing__(self, code: int) -> str:
        category = unicodedata.category(chr(code))
        self[code] = chr(code) if category[0] in "LMN" else "" if category == "Cf" else " "
        return self[code]


_FOLDING = _Folding()


def normalise(text: str) -> str:
    """The text in lower case, without compatibility forms, punctuation and symbols, with one space between words. Normalising again changes
    nothing.

    Case and compatibility are folded as in Unicode's compatibility caseless matching (The Unicode Standard, definition D146).
    """
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFD", text).casefold()).casefold()
    kept = unicodedata.normalize("NFKD", folded).translate(_FOLDING)
    return " ".join(unicodedata.normalize("NFC", kept).split())


class Guard:
    """Finds training texts that overlap a set of evaluation texts. ``facts`` are pairs of a question and its answer."""

    def __init__(self, items: Iterable[str], facts: Iterable[tuple[str, str]] = ()) -> None:
        whole = {normalise(item) for item in dict.fromkeys(items)} - {""}
        self._whole = frozenset(map(hash, whole))
        self._pieces = frozenset(piece for item in whole for piece in _pieces(item))
        self._questions: defaultdict[str, list[str]] = defaultdict(list)
        for question, answer in facts:
            self._questions[normalise(answer)].append(normalise(question))

    def find_leaks(self, rows: Iterable[str | Sequence[str]]) -> list[bool]:
        """Whether each row overlaps an evaluation text. A row is one text, or several of which one overlap is enough."""
        return [any(map(self._overlaps, [row] if isinstance(row, str) else row)) for row in rows]

    def find_known_facts(self, pairs: Iterable[tuple[str, str]]) -> list[bool]:
        """Whether each pair of names belongs to an evaluated fact, whatever the pair says of them."""
        plain = ((normalise(one), normalise(other)) for one, other in pairs)
        return [self._is_asked(one, other) or self._is_asked(other, one) for one, other in plain]

    def _is_asked(self, answer: str, name: str) -> bool:
        spaced = not _UNSPACED.search(name)
        sought = f" {name} " if spaced else name
        return any(sought in (f" {question} " if spaced else question) for question in self._questions.get(answer, ()))

    def _overlaps(self, text: str) -> bool:
        if not text:
            return False
        plain = normalise(text)
        return hash(plain) in self._whole or not self._pieces.isdisjoint(_pieces(plain))


def _pieces(plain: str) -> Iterator[int]:
    """Hashes of all n-grams: of the words in scripts with spaces, and of the characters of each script without spaces, taken as one
    sequence."""
    words = _UNSPACED.sub(" ", plain).split()
    for start in range(len(words) - WORDS + 1):
        yield hash(tuple(words[start : start + WORDS]))
    for script, length in _RUNS:
        row = "".join(script.findall(plain))
        for start in range(len(row) - length + 1):
            yield hash(row[start : start + length])
