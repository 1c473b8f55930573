"""Code-switching: replacing words of a text by words of another language, with a lexicon that is published or aligned from translated
pairs."""

from __future__ import annotations

import math
import random
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Literal

import regex
from pydantic import Field, field_validator

from xlift.harness.core.errors import LeakError, UserError
from xlift.harness.core.settings import Section

if TYPE_CHECKING:
    from xlift.harness.recipes.contract import Context

Lexicon = Mapping[str, tuple[str, ...]]
"""Single words, casefolded and in NFC, each with its translations, which may have several words."""

_UNSPACED = (
    r"\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}\p{Script=Tibetan}"
)
_SPACED = rf"[[\p{{L}}\p{{M}}\p{{N}}\p{{Pc}}]--[{_UNSPACED}]]"
_RUN = regex.compile(rf"(?P<word>{_SPACED}+(?:['’\-]{_SPACED}+)*)|(?P<unspaced>[{_UNSPACED}]+)", regex.V1)
_LETTER = regex.compile(r"\p{L}")
_LONGEST = 8
"""The most characters of a word that is looked for in a script without spaces."""


class SwitchOptions(Section):
    """Which part of a question and its answer is code-switched, and with which dictionary."""

    code_switch: Literal["question", "answer", "both", "off"]
    """Where words of the other language are put in. Switched answers teach the model to mix languages."""
    dictionary: Literal["lexicon", "alignment"]
    """A published lexicon, or one that is aligned from the translated pairs of the method (for scripts with spaces)."""
    lexicon_corpus: str
    code_switch_rows: float = Field(ge=0, le=1)
    """The share of the rows that are switched."""
    code_switch_rate: float = Field(ge=0, le=1)
    """The share of the words of such a row that are replaced."""

    @field_validator("code_switch", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        return "off" if value is False else value  # YAML reads off as false


class CodeSwitcher:
    """Switches words between the pivot and the other languages of a run, in a share of the rows, and counts what it does.

    Raises UserError if a language has no lexicon.
    """

    def __init__(self, ctx: Context, options: SwitchOptions) -> None:
        self._options, self._pivot, self._rng = options, ctx.pivot, ctx.rng
        self._lexicons: dict[tuple[str, str], Lexicon] = {}
        self.counts: Counter[str] = Counter()
        if options.code_switch != "off" and options.dictionary == "lexicon":
            for lang in ctx.languages:
                try:
                    lexicon = read_lexicon(ctx, options.lexicon_corpus, ctx.pivot, lang)
                except LeakError:
                    raise
                except UserError as error:
                    raise UserError(f"no lexicon for {lang!r}: set dictionary to alignment, or code_switch to off ({error})") from None
                self._keep(lang, lexicon, "set dictionary to alignment")

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that have a dictionary, so that text of the pivot can be mixed with them."""
        return tuple(lang for source, lang in self._lexicons if source == self._pivot)

    def learn(self, lang: str, pairs: Iterable[tuple[str, str]]) -> None:
        """Align a dictionary from texts in the pivot and their translations, if that is the dictionary to be used."""
        if self._options.code_switch != "off" and self._options.dictionary == "alignment":
            self._keep(lang, align_words(pairs), "set dictionary to lexicon")

    def switch(self, question: str, answer: str, question_lang: str, answer_lang: str, lang: str) -> tuple[str, str]:
        """The row's two texts, switched if the row is among those chosen. ``lang`` is the language with which pivot text is mixed."""
        if self._options.code_switch == "off" or self._rng.random() >= self._options.code_switch_rows:
            return question, answer
        before = self.counts["words"]
        if self._options.code_switch in ("question", "both"):
            question = self._switch_text(question, question_lang, lang)
        if self._options.code_switch in ("answer", "both"):
            answer = self._switch_text(answer, answer_lang, lang)
        self.counts["rows" if self.counts["words"] > before else "rows without a known word"] += 1
        return question, answer

    def _switch_text(self, text: str, spoken: str, lang: str) -> str:
        lexicon = self._lexicons[spoken, lang if spoken == self._pivot else self._pivot]
        switched, count = switch_words(text, lexicon, self._options.code_switch_rate, self._rng)
        self.counts["words"] += count
        return switched

    def _keep(self, lang: str, lexicon: Lexicon, remedy: str) -> None:
        if not lexicon:
            raise UserError(f"no word pairs to switch between {self._pivot!r} and {lang!r}: {remedy}, or code_switch to off")
        self._lexicons[self._pivot, lang], self._lexicons[lang, self._pivot] = lexicon, turn_lexicon(lexicon)


def find_words(text: str) -> list[str]:
    """The words in scripts that separate words by spaces, in order. Words of other scripts are left out, because only a lexicon can find
    them."""
    return [match["word"] for match in _RUN.finditer(text) if match["word"] and _LETTER.search(match["word"])]


def switch_words(text: str, lexicon: Lexicon, rate: float, rng: random.Random) -> tuple[str, int]:
    """The text with a share ``rate`` of its words, rounded up, in the other language, and the number of these words. It is lower if the
    lexicon has fewer.

    Only whole words are looked up. Scripts without spaces are searched from the left for the longest entry. If a word begins with a
    capital, its translation does too. Otherwise the translation is written as in the lexicon (a German noun keeps its capital).
    """
    spans = [span for span in _find_spans(text, lexicon) if _LETTER.search(text, *span)]
    known = [span for span in spans if _look_up(text[slice(*span)], lexicon)]
    chosen = sorted(rng.sample(known, min(len(known), math.ceil(rate * len(spans)))))
    pieces, end = [], 0
    for start, stop in chosen:
        word = text[start:stop]
        other = rng.choice(_look_up(word, lexicon))
        pieces += [text[end:start], other[0].upper() + other[1:] if word[0].isupper() else other]
        end = stop
    return "".join([*pieces, text[end:]]), len(chosen)


def find_terms(source: str, target: str, lexicon: Lexicon) -> list[tuple[str, str]]:
    """Words of the source with a one-word translation that the target contains, both as the texts write them, in the order of the
    source."""
    there = {_fold(word): word for word in find_words(target)}
    terms: dict[str, tuple[str, str]] = {}
    for span in _find_spans(source, lexicon):
        word = source[slice(*span)]
        for other in _look_up(word, lexicon):
            found = there.get(_fold(other)) or (other if regex.fullmatch(f"[{_UNSPACED}]+", other) and other in target else None)
            if found:
                terms.setdefault(_fold(word), (word, found))
    return list(terms.values())


def read_lexicon(ctx: Context, corpus: str, source: str, target: str, shortest: int = 4) -> Lexicon:
    """Words of one language with their translations. Two languages beside English are joined by their English words.

    Entries whose English side is shorter than ``shortest`` letters, mostly function words, are left out. So are entries of several source
    words, which no single word could match. Raises UserError if a language has no lexicon.
    """
    tables = {lang: _read_by_english(ctx, corpus, lang) for lang in (source, target) if lang != "en"}
    found: defaultdict[str, set[str]] = defaultdict(set)
    for english in set.intersection(*map(set, tables.values())):
        if len(english) >= shortest:
            for word in tables[source][english] if source in tables else {english}:
                found[_fold(word)] |= tables[target][english] if target in tables else {english}
    return _clean(found)


def align_words(pairs: Iterable[tuple[str, str]], *, most: int = 2000, longest: int = 60, shortest: int = 4) -> Lexicon:
    """A lexicon from the first ``most`` translated pairs, by IBM Model 1 in both directions (Brown et al. 1993; nltk's).

    A word and its translation are each other's most probable one, with a probability of at least 0.3, and occur together in two pairs or
    more. Texts of more than ``longest`` words are skipped, because the cost grows with the square of the length. Words of fewer than
    ``shortest`` letters are left out.
    """
    from nltk.translate import AlignedSent, IBMModel1

    split = ((find_words(one), find_words(other)) for one, other in pairs)
    written = list(islice(((one, other) for one, other in split if 0 < len(one) <= longest and 0 < len(other) <= longest), most))
    if not written:
        return {}
    forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for _, other in written:
        for word in other:
            forms[_fold(word)][word] += 1
    texts = [([_fold(word) for word in one], [_fold(word) for word in other]) for one, other in written]
    there = _find_best(IBMModel1([AlignedSent(other, one) for one, other in texts], 5).translation_table)
    back = _find_best(IBMModel1([AlignedSent(one, other) for one, other in texts], 5).translation_table)
    together = Counter((word, there[word]) for one, other in texts for word in set(one) & there.keys() if there[word] in other)
    return _clean({
        word: {forms[best].most_common(1)[0][0]}
        for word, best in there.items()
        if back.get(best) == word and together[word, best] >= 2 and len(word) >= shortest
    })  # fmt: skip


def turn_lexicon(lexicon: Lexicon) -> Lexicon:
    """The lexicon in the other direction. Translations of several words are left out."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for word, others in lexicon.items():
        for other in others:
            found[_fold(other)].add(word)
    return _clean(found)


def _read_by_english(ctx: Context, corpus: str, lang: str) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for row in ctx.read(corpus, lang):
        found[_fold(str(row["en"] or ""))].add(unicodedata.normalize("NFC", str(row["text"] or "")).strip())
    return found


def _find_best(table: Mapping[str, Mapping[str | None, float]]) -> dict[str, str]:
    """For each source word its most probable target word, if there is just one. nltk's table goes from target to source."""
    best: dict[str, tuple[float, str | None]] = {}
    for target, sources in table.items():
        for source, probability in sources.items():
            if source is None or probability < 0.3:
                continue
            highest, _ = best.get(source, (0.0, None))
            if math.isclose(probability, highest, rel_tol=1e-6):  # words that always come together cannot be told apart
                best[source] = (highest, None)
            elif probability > highest:
                best[source] = (probability, target)
    return {source: target for source, (_, target) in best.items() if target is not None}


def _find_spans(text: str, lexicon: Lexicon) -> Iterable[tuple[int, int]]:
    for match in _RUN.finditer(text):
        start, end = match.span()
        if match["word"]:
            yield start, end
            continue
        while start < end:
            lengths = range(min(_LONGEST, end - start), 0, -1)
            length = next((length for length in lengths if _fold(text[start : start + length]) in lexicon), 1)
            yield start, start + length
            start += length


def _look_up(word: str, lexicon: Lexicon) -> tuple[str, ...]:
    return lexicon.get(_fold(word), ())


def _fold(word: str) -> str:
    return unicodedata.normalize("NFC", word).strip().casefold()


def _clean(found: Mapping[str, Iterable[str]]) -> Lexicon:
    """The entries without words of several parts, empty sides, and words that are the same in both languages."""
    cleaned = {
        word: tuple(sorted(other for other in others if other.strip() and _fold(other) != word))
        for word, others in sorted(found.items())
        if word and len(word.split()) == 1
    }
    return {word: others for word, others in cleaned.items() if others}
