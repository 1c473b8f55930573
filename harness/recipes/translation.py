"""Parts of recipes that more than one method uses: shuffled corpora, requests to translate, translated prompts.

Every reader is an iterator over fit rows, in an order that depends on ``ctx.rng`` alone. Its RowFilter counts what it leaves out.
"""

from __future__ import annotations

import math
import random
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import regex

from xlift.harness.core.errors import LanguageMissingError, UserError
from xlift.harness.core.languages import find
from xlift.harness.core.types import Chat, CorpusRow, Example, Message, ask
from xlift.harness.recipes.code_switch import Lexicon, find_terms, find_words, turn_lexicon
from xlift.harness.recipes.contract import Reading
from xlift.harness.recipes.filters import RowFilter, accept_counter

if TYPE_CHECKING:
    from xlift.harness.recipes.contract import Context

Direction = Literal["from_pivot", "to_pivot", "both"]
Wordings = Mapping[tuple[str, str], Sequence[str]]
"""The translations of a text, by their language and the text."""

# Wordings of our own; x-LLaMA goes round 33 of its own in the same way.
REQUESTS = (
    "Translate this text from {source} into {target}:\n{text}",
    "Please give me the {target} version of the following {source} sentence.\n\n{text}",
    "How would you say this in {target}?\n{text}",
    "Below is a sentence in {source}. Write it in {target}.\n\n{text}",
    "{text}\n\nRender the sentence above in {target}.",
    "I need a {target} translation of the {source} text that follows. Reply with the translation only.\n\n{text}",
    "Turn this {source} sentence into natural {target}: {text}",
    "What is the {target} for the following?\n\n{text}",
    "Translate into {target}, keeping the meaning exact.\n{source}: {text}",
    "You are a translator working from {source} to {target}. Translate:\n\n{text}",
)

TERMS = (
    "Translate into {target} and use “{there}” for “{here}”:\n{text}",
    "In the {target} translation of this sentence, “{here}” has to become “{there}”.\n\n{text}",
    "{text}\n\nTranslate this {source} text into {target}. Terminology: {here} = {there}.",
)
REVISIONS = (
    "Please revise the translation so that it contains the word “{word}”.",
    "The word “{word}” must be in it. Write the translation again.",
    "Use the word “{word}” this time.",
)
CONTINUATIONS = (
    "Continue this {language} text:\n\n{text}",
    "Here is the beginning of a sentence in {language}. Write the rest of it.\n\n{text}",
    "Complete the following in {language}.\n{text}",
)

UNSPACED = frozenset({"Hans", "Hant", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})
"""Scripts without spaces between words."""


@dataclass(frozen=True)
class Pair:
    """One sentence in two languages."""

    id: str
    source: str
    target: str


def shuffle_rows(ctx: Context, corpus: str, lang: str) -> Iterator[CorpusRow]:
    """All rows of a training corpus in one language, in random order."""
    rows = ctx.read(corpus, lang)
    order = list(range(len(rows)))
    ctx.rng.shuffle(order)
    return (rows[index] for index in order)


def has_language(ctx: Context, corpus: str, lang: str) -> bool:
    """Whether a training corpus has rows in a language that can be read here. Raises LeakError for an evaluation corpus."""
    try:
        return bool(ctx.read(corpus, lang))
    except LanguageMissingError:
        return False


def list_pairs(corpus: str, languages: Iterable[str], instead: str = "") -> list[Reading]:
    """What is read of a corpus of pairs with English in order to pair these languages: each language but English."""
    return [Reading(corpus, lang, instead) for lang in languages if lang != "en"]


def index_by_english(ctx: Context, corpus: str, lang: str) -> dict[str, str]:
    """The sentences of a parallel corpus by their English translations."""
    return {str(row["en"]): str(row["text"]) for row in ctx.read(corpus, lang)}


def read_pairs(ctx: Context, corpus: str, source: str, target: str, known: Mapping[str, str] | None = None) -> Iterator[Pair]:
    """Parallel sentences in random order. Two languages beside English are paired by the English sentences that they share.

    ``known`` is the source's index_by_english, for callers that pair one source with many targets. Raises UserError if the two corpora
    share no English sentence.
    """
    if source == target:
        raise UserError(f"parallel text from {source!r} into itself was asked for")
    if "en" in (source, target):
        other = target if source == "en" else source
        for row in shuffle_rows(ctx, corpus, other):
            texts = {"en": str(row["en"]), other: str(row["text"])}
            yield Pair(f"{row['id']}", texts[source], texts[target])
        return
    known = index_by_english(ctx, corpus, source) if known is None else known
    found = False
    for row in shuffle_rows(ctx, corpus, target):
        if str(row["en"]) in known:
            found = True
            yield Pair(f"{source}-{row['id']}", known[str(row["en"])], str(row["text"]))
    if not found:
        raise UserError(f"{corpus}: {source!r} and {target!r} share no English sentence, so there are no pairs between them")


@accept_counter
def read_translations(ctx: Context, source: str, target: str, row_filter: RowFilter, *, corpus: str, kind: str) -> Iterator[Example]:
    """Requests to translate, in wordings that take turns, with the translation as the response."""
    return build_translations(read_pairs(ctx, corpus, source, target), source, target, row_filter, kind=kind)


@accept_counter
def build_translations(
    pairs: Iterable[Pair], source: str, target: str, row_filter: RowFilter, *, kind: str, direction: Direction = "from_pivot"
) -> Iterator[Example]:
    """The same as read_translations, from given pairs, with ``source`` as the pivot. If both directions are asked for, pairs take turns."""
    for number, asked, given, pair in orient(pairs, source, target, direction):
        if reason := row_filter.find_pair_fault(pair.source, pair.target):
            row_filter.drop(f"{given}/{kind}", reason)
            continue
        yield Example(ask_translation(number, asked, given, pair.source), pair.target, given, f"{kind}-{asked}-{given}-{pair.id}", kind)


def build_constrained(
    pairs: Iterable[Pair], source: str, target: str, lexicon: Lexicon, row_filter: RowFilter, *, kind: str, direction: Direction
) -> Iterator[Example]:
    """Requests to translate with a given word pair: the longest one that the lexicon (from source to target) and both sentences have.

    Pairs without one are no loss; the filter's notes count them.
    """
    lexicons = {source: lexicon, target: turn_lexicon(lexicon)}
    for number, asked, given, pair in orient(pairs, source, target, direction):
        if reason := row_filter.find_pair_fault(pair.source, pair.target):
            row_filter.drop(f"{given}/{kind}", reason)
        elif terms := find_terms(pair.source, pair.target, lexicons[asked]):
            here, there = max(terms, key=lambda term: len(term[0]))
            names = {"source": find(asked).name, "target": find(given).name}
            request = TERMS[number % len(TERMS)].format(here=here, there=there, text=pair.source, **names)
            yield Example(ask(request), pair.target, given, f"{kind}-{asked}-{given}-{pair.id}", kind)
        else:
            row_filter.notes[f"{given}/{kind}: no known word pair"] += 1


def build_revisions(
    pairs: Sequence[Pair], source: str, target: str, wordings: Wordings, row_filter: RowFilter, rng: random.Random,
    *, kind: str, direction: Direction,
) -> Iterator[Example]:  # fmt: skip
    """Chats in which a draft is revised so that it contains a given word. The draft is another wording, or lacks only that word.

    Pairs without such a word are no loss; the filter's notes count them.
    """
    # Those with a second wording first: they look like a translator's drafts.
    ordered = sorted(pairs, key=lambda pair: len(wordings[target, pair.source]) < 2)
    for number, asked, given, pair in orient(ordered, source, target, direction):
        if reason := row_filter.find_pair_fault(pair.source, pair.target):
            row_filter.drop(f"{given}/{kind}", reason)
        elif found := _find_draft(pair.target, wordings[given, pair.source], rng):
            draft, word = found
            revision = ask(REVISIONS[number % len(REVISIONS)].format(word=word))
            chat = (*ask_translation(number, asked, given, pair.source), Message(role="assistant", content=draft), *revision)
            yield Example(chat, pair.target, given, f"{kind}-{asked}-{given}-{pair.id}", kind)
        else:
            row_filter.notes[f"{given}/{kind}: no word to ask for"] += 1


def collect_wordings(pairs: Iterable[Pair], source: str, target: str) -> Wordings:
    """All translations of a text, by their language and the text."""
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for pair in pairs:
        found[target, pair.source].append(pair.target)
        found[source, pair.target].append(pair.source)
    return found


def orient(pairs: Iterable[Pair], source: str, target: str, direction: Direction) -> Iterator[tuple[int, str, str, Pair]]:
    """Each pair in the direction that is asked for, with a number for its wording and the two languages. ``source`` is the pivot or hub."""
    for number, pair in enumerate(pairs):
        if direction == "to_pivot" or (direction == "both" and number % 2 == 1):
            # Where directions take turns, both meet every wording.
            yield number // (1 + (direction == "both")), target, source, Pair(pair.id, pair.target, pair.source)
        else:
            yield number // (1 + (direction == "both")), source, target, pair


def find_pair_fault(pair: Pair, max_characters: int, max_length_ratio: float) -> str | None:
    """Deprecated since 0.2, removed in 0.3: use the method of RowFilter."""
    warnings.warn("find_pair_fault is a part of RowFilter since xlift 0.2; it goes with 0.3", DeprecationWarning, stacklevel=2)
    return RowFilter(max_characters, max_length_ratio).find_pair_fault(pair.source, pair.target)


@accept_counter
def build_completions(pairs: Iterable[Pair], lang: str, row_filter: RowFilter, rng: random.Random, *, kind: str) -> Iterator[Example]:
    """Requests to continue a text. The text is the target side of a pair, cut at 30 to 70 % of its length."""
    kept = 0
    for pair in pairs:
        halves = cut_text(pair.target, lang, rng)
        if halves is None:
            row_filter.drop(f"{lang}/{kind}", "too short to be cut")
            continue
        if reason := row_filter.find_fault(*halves):
            row_filter.drop(f"{lang}/{kind}", reason)
            continue
        request = CONTINUATIONS[kept % len(CONTINUATIONS)].format(language=find(lang).name, text=halves[0])
        yield Example(ask(request), halves[1], lang, f"{kind}-{lang}-{pair.id}", kind)
        kept += 1


def cut_text(text: str, lang: str, rng: random.Random) -> tuple[str, str] | None:
    """The beginning and the rest of a text, cut between two words, or two characters if the script has no spaces; None for fewer than 6
    words or 12 characters."""
    if find(lang).script in UNSPACED:
        pieces, least = regex.findall(r"\X", text.strip()), 12
    else:
        pieces, least = regex.findall(r"\S+\s*", text.strip()), 6
    if len(pieces) < least:
        return None
    at = rng.randint(math.ceil(0.3 * len(pieces)), math.floor(0.7 * len(pieces)))
    return "".join(pieces[:at]).strip(), "".join(pieces[at:]).strip()


def ask_translation(number: int, source: str, target: str, text: str) -> Chat:
    """A request to translate. ``number`` chooses the wording."""
    wording = REQUESTS[number % len(REQUESTS)]
    return ask(wording.format(source=find(source).name, target=find(target).name, text=text))


def _find_draft(reference: str, wordings: Sequence[str], rng: random.Random) -> tuple[str, str] | None:
    """Another wording, or else the reference without one word, and the word of at least four letters that it lacks."""
    words = [word for word in find_words(reference) if len(word) >= 4]
    for draft in wordings:
        there = {word.casefold() for word in find_words(draft)}
        if lacking := [word for word in words if word.casefold() not in there]:
            return draft, rng.choice(lacking)
    single = [word for word in words if len(regex.findall(rf"(?i)(?<!\w){regex.escape(word)}(?!\w)", reference)) == 1]
    if not single or len(find_words(reference)) < 3:
        return None
    word = rng.choice(single)
    shorter = regex.sub(rf"(?<!\w){regex.escape(word)}(?!\w) ?", "", reference)
    return regex.sub(r" +([.,;:!?])", r"\1", shorter).strip(), word
