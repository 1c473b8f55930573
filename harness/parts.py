"""Parts of recipes that more than one method uses: shuffled corpora, requests, translated prompts, shares of a budget.

Every reader is an iterator over rows that are fit, in an order that depends on ``ctx.rng`` alone; what it leaves out it counts in
``drops``, under ``language/kind: reason``.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import regex

from xlift.harness.filters import find_fault, find_misalignment, list_reasons
from xlift.harness.languages import find
from xlift.harness.rows import Chat, Example, UserError, ask

if TYPE_CHECKING:
    from xlift.harness.plugin import Context

T = TypeVar("T")
U = TypeVar("U")
K = TypeVar("K")
Direction = Literal["from_pivot", "to_pivot", "both"]

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

CONTINUATIONS = (
    "Continue this {language} text:\n\n{text}",
    "Here is the beginning of a sentence in {language}. Write the rest of it.\n\n{text}",
    "Complete the following in {language}.\n{text}",
)

UNSPACED = frozenset({"Hans", "Hant", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})
"""Scripts without spaces between words."""


class Numbered(Protocol):
    """Whatever has an id of its own."""

    @property
    def id(self) -> str: ...


N = TypeVar("N", bound=Numbered)


@dataclass(frozen=True)
class Pair:
    """One sentence in two languages."""

    id: str
    source: str
    target: str


def shuffle_rows(ctx: Context, corpus: str, lang: str) -> Iterator[Mapping[str, Any]]:
    """All rows of a training corpus in one language, in random order."""
    rows = ctx.read(corpus, lang)
    order = list(range(len(rows)))
    ctx.rng.shuffle(order)
    return (rows[index] for index in order)


def read_pairs(ctx: Context, corpus: str, source: str, target: str) -> Iterator[Pair]:
    """Parallel sentences in random order; of two languages beside English, those that share an English sentence.

    Raises UserError where the two corpora share none.
    """
    if source == target:
        raise UserError(f"parallel text from {source!r} into itself was asked for")
    if "en" in (source, target):
        other = target if source == "en" else source
        for row in shuffle_rows(ctx, corpus, other):
            texts = {"en": str(row["en"]), other: str(row["text"])}
            yield Pair(f"{row['id']}", texts[source], texts[target])
        return
    known = {str(row["en"]): str(row["text"]) for row in ctx.read(corpus, source)}
    found = False
    for row in shuffle_rows(ctx, corpus, target):
        if str(row["en"]) in known:
            found = True
            yield Pair(f"{source}-{row['id']}", known[str(row["en"])], str(row["text"]))
    if not found:
        raise UserError(f"{corpus}: {source!r} and {target!r} share no English sentence, so there are no pairs between them")


def read_translations(
    ctx: Context, source: str, target: str, drops: Counter[str], *, corpus: str, kind: str, max_characters: int, max_length_ratio: float
) -> Iterator[Example]:
    """Requests to translate, in wordings that take turns, with the translation as response."""
    pairs = read_pairs(ctx, corpus, source, target)
    return build_translations(
        pairs, source, target, drops, kind=kind, max_characters=max_characters, max_length_ratio=max_length_ratio
    )  # fmt: skip


def build_translations(
    pairs: Iterable[Pair], source: str, target: str, drops: Counter[str],
    *, kind: str, max_characters: int, max_length_ratio: float, direction: Direction = "from_pivot",
) -> Iterator[Example]:  # fmt: skip
    """As read_translations, from pairs at hand, with ``source`` as pivot; in both directions each pair serves one, by turns."""
    kept = 0
    for pair in pairs:
        back = direction == "to_pivot" or (direction == "both" and kept % 2 == 1)
        asked, given = (target, source) if back else (source, target)
        text, response = (pair.target, pair.source) if back else (pair.source, pair.target)
        if reason := find_fault(text, response, max_characters) or find_misalignment(text, response, max_length_ratio):
            drops[f"{given}/{kind}: {reason}"] += 1
            continue
        # Wordings change with every pair, or with every second one where directions do: each direction meets them all.
        wording = kept // 2 if direction == "both" else kept
        yield Example(ask_translation(wording, asked, given, text), response, given, f"{kind}-{asked}-{given}-{pair.id}", kind)
        kept += 1


def build_completions(
    pairs: Iterable[Pair], lang: str, drops: Counter[str], rng: random.Random, *, kind: str, max_characters: int
) -> Iterator[Example]:
    """Requests to go on with a text, the target side of each pair, from 30 to 70 % of its length on."""
    kept = 0
    for pair in pairs:
        halves = cut_text(pair.target, lang, rng)
        reason = find_fault(*halves, max_characters) if halves else "too short to be cut"
        if reason or not halves:
            drops[f"{lang}/{kind}: {reason}"] += 1
            continue
        request = CONTINUATIONS[kept % len(CONTINUATIONS)].format(language=find(lang).name, text=halves[0])
        yield Example(ask(request), halves[1], lang, f"{kind}-{lang}-{pair.id}", kind)
        kept += 1


def cut_text(text: str, lang: str, rng: random.Random) -> tuple[str, str] | None:
    """Beginning and rest, cut between two words, or two characters where the script has no spaces; None under 6 words or 12 characters."""
    if find(lang).script in UNSPACED:
        pieces, least = regex.findall(r"\X", text.strip()), 12
    else:
        pieces, least = regex.findall(r"\S+\s*", text.strip()), 6
    if len(pieces) < least:
        return None
    at = rng.randint(math.ceil(0.3 * len(pieces)), math.floor(0.7 * len(pieces)))
    return "".join(pieces[:at]).strip(), "".join(pieces[at:]).strip()


def ask_translation(number: int, source: str, target: str, text: str) -> Chat:
    """A request to translate; ``number`` chooses the wording."""
    wording = REQUESTS[number % len(REQUESTS)]
    return ask(wording.format(source=find(source).name, target=find(target).name, text=text))


def split_budget(total: int, shares: Mapping[K, float]) -> dict[K, int]:
    """Whole rows for each share, which add up to ``total`` where the shares add up to 1; parts that come to nothing are left out.

    Raises UserError where the shares do not add up to 1.
    """
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise UserError(f"the shares add up to {sum(shares.values()):.3f}, not 1")
    counts: dict[K, int] = {}
    due, spent = 0.0, 0
    for key, share in shares.items():
        due += share * total
        if count := round(due) - spent:
            counts[key] = count
            spent += count
    return counts


def take(rows: Iterable[N], count: int, where: str, drops: Counter[str]) -> list[N]:
    """The first ``count`` rows, each id once, and a drop count for what is lacking.

    Raises UserError, with the main reasons for drops, where there is none.
    """
    taken: dict[str, N] = {}
    for row in rows if count else ():
        if row.id in taken:
            drops[f"{where}: duplicate id"] += 1
            continue
        taken[row.id] = row
        if len(taken) == count:
            break
    if not taken:
        raise UserError(f"{where}: there are no usable rows{list_reasons(where, drops)}; set its share to 0 or name another corpus")
    if len(taken) < count:
        drops[f"{where}: corpus too small"] += count - len(taken)
    return list(taken.values())
