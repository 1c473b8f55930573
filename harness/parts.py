"""Parts of recipes that more than one method uses: shuffled corpora, translation requests, shares of a budget, unfit rows.

Every reader is an iterator over rows that are fit, in an order that depends on ``ctx.rng`` alone; what it leaves out it counts in
``drops``, under ``language/kind: reason``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from xlift.harness.languages import find
from xlift.harness.rows import Chat, Example, UserError, ask

if TYPE_CHECKING:
    from xlift.harness.plugin import Context

T = TypeVar("T")
K = TypeVar("K")

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
    kept = 0
    for pair in read_pairs(ctx, corpus, source, target):
        if reason := find_fault(pair.source, pair.target, max_characters) or find_misalignment(pair.source, pair.target, max_length_ratio):
            drops[f"{target}/{kind}: {reason}"] += 1
            continue
        yield Example(ask_translation(kept, source, target, pair.source), pair.target, target, f"{kind}-{source}-{target}-{pair.id}", kind)
        kept += 1


def read_instructions(
    ctx: Context, lang: str, drops: Counter[str], *, corpus: str, kind: str, max_characters: int
) -> Iterator[Example]:  # fmt: skip
    """Instructions with their published answers."""
    for row in shuffle_rows(ctx, corpus, lang):
        question, answer = str(row["instruction"] or ""), str(row["output"] or "")
        if reason := find_fault(question, answer, max_characters):
            drops[f"{lang}/{kind}: {reason}"] += 1
            continue
        yield Example(ask(question), answer, lang, f"{kind}-{lang}-{row['id']}", kind)


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


def take(rows: Iterable[T], count: int, where: str, drops: Counter[str]) -> list[T]:
    """The first ``count`` rows, and a drop count for what is lacking. Raises UserError where there is none."""
    taken = [row for row, _ in zip(rows, range(count), strict=False)]
    if not taken:
        raise UserError(f"{where}: there are no usable rows; set its share to 0 or name another corpus")
    if len(taken) < count:
        drops[f"{where}: corpus too small"] += count - len(taken)
    return taken


def find_fault(prompt: str, response: str, max_characters: int) -> str | None:
    """Why a row cannot be learnt from; None where it can."""
    if not prompt.strip() or not response.strip():
        return "empty"
    if len(prompt) + len(response) > max_characters:
        return "too long"
    return None


def find_misalignment(one: str, other: str, max_length_ratio: float) -> str | None:
    """Why two texts are no translation of each other; None where they may be. Lengths are in characters."""
    if one.strip().casefold() == other.strip().casefold():
        return "not translated"
    if max(len(one), len(other)) > max_length_ratio * min(len(one), len(other)) + 10:
        return "length ratio"
    return None


def is_repetitive(text: str, times: int = 5, width: int = 3) -> bool:
    """Whether a text goes round in circles: a line ``times`` over, or its last ``width`` words (or 12 characters) that often in a row."""
    lines = Counter(line.strip() for line in text.splitlines() if line.strip())
    if lines and max(lines.values()) >= times:
        return True
    words: Sequence[str] = text.split()
    for unit in range(1, width + 1):
        tail = words[-unit * times :]
        if len(tail) == unit * times and tail == tail[:unit] * times:
            return True
    return any(len(text) >= unit * times * 2 and text.endswith(text[-unit:] * times * 2) for unit in range(1, 13) if text[-unit:].strip())
