"""Solutions of word problems: drawn from the model, and kept if they come to the right number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import regex

from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Chat, Sampling
from xlift.harness.recipes.filters import RowFilter, find_flaw, find_foreign, list_reasons
from xlift.harness.recipes.instructions import Prompt, fill
from xlift.tasks.numbers import TOLERANCE, extract_answer, parse_number

if TYPE_CHECKING:
    from xlift.harness.recipes.contract import Context

_EQUATION = regex.compile(r"[\d.,]+(?:\s*[-+*/×÷x]\s*[\d.,]+)+\s*=\s*\d[\d.,]*")


@dataclass(frozen=True)
class Solution:
    """One way to solve a problem, as the model wrote it."""

    text: str
    right: bool
    """Whether it comes to the published number."""


@dataclass(frozen=True)
class Draws:
    """How solutions are drawn from the model."""

    samples: int
    """The number of draws of one problem."""
    temperature: float
    max_tokens: int
    """The most tokens of a draw. One that is cut off there is dropped."""
    spare: float = 1
    """How many problems are asked for each solution that is needed."""


def read_final_answers(ctx: Context, corpus: str) -> Mapping[str, Decimal]:
    """The published number of each problem by its id. Raises UserError for a corpus without ``final_answer``."""
    found: dict[str, Decimal] = {}
    for row in ctx.read(corpus, ctx.pivot):
        if "final_answer" not in row:
            raise UserError(f"{corpus}: has no final answers (its columns are {', '.join(row)}); name a corpus such as gsm8k")
        number = parse_number(str(row["final_answer"]), "en")
        if number is not None:
            found[str(row["id"])] = number
    return found


def comes_to(text: str, lang: str, number: Decimal) -> bool:
    """Whether the number that a solution gives as its answer is the right one."""
    given = extract_answer(text, lang)
    return given is not None and abs(given - number) < TOLERANCE


def sample_solutions(
    ctx: Context, problems: Sequence[tuple[Chat, Decimal]], lang: str, draws: Draws, row_filter: RowFilter, where: str
) -> list[list[Solution]]:
    """The model's draws for each problem, which is given as its request and its number.

    Draws that are empty, cut off, repetitive, too long or in another language than ``lang`` are counted as drops. Those that equal an
    earlier one are left out too, and the filter's notes count them.
    """
    samples = draws.samples
    chats = [chat for chat, _ in problems for _ in range(samples)]
    sampling = Sampling(max_tokens=draws.max_tokens, temperature=draws.temperature)
    answers = ctx.generate(chats, sampling) if chats else []
    foreign = find_foreign(ctx, [answer.text for answer in answers], lang)
    found: list[list[Solution]] = []
    for at, (chat, number) in enumerate(problems):
        kept: dict[str, Solution] = {}
        for place in range(at * samples, (at + 1) * samples):
            text = answers[place].text.strip()
            reason = "wrong language" if foreign[place] else find_flaw(answers[place]) or row_filter.find_fault(chat[-1]["content"], text)
            if reason:
                row_filter.drop(where, reason)
            elif text in kept:
                row_filter.notes[f"{where}: drawn before"] += 1
            else:
                kept[text] = Solution(text, comes_to(text, lang, number))
        found.append(list(kept.values()))
    return found


def solve_problems(
    ctx: Context, problems: Iterable[tuple[Prompt, Chat]], numbers: Mapping[str, Decimal], lang: str, count: int, draws: Draws,
    row_filter: RowFilter, where: str,
) -> list[tuple[Prompt, Chat, str]]:  # fmt: skip
    """Problems with their requests and right solutions in ``lang``: ``count`` or more. Of each problem, those solutions are kept that
    calculate differently.

    There are fewer if too few problems are solved. Raises UserError if none is.
    """

    def keep(batch: list[tuple[Prompt, Chat]]) -> list[tuple[Prompt, Chat, str]]:
        asked = [(chat, numbers[problem.id]) for problem, chat in batch]
        kept = []
        for (problem, chat), solutions in zip(batch, sample_solutions(ctx, asked, lang, draws, row_filter, where), strict=True):
            right = [solution.text for solution in solutions if solution.right]
            unlike = keep_distinct(right)
            row_filter.notes.update({f"{where}: asked": 1, f"{where}: solved": bool(right)})
            row_filter.notes.update({f"{where}: wrong number": len(solutions) - len(right)})
            row_filter.notes.update({f"{where}: the same equations": len(right) - len(unlike)})
            kept += [(problem, chat, text) for text in unlike]
        return kept

    found = fill(iter(problems), count, draws.spare, keep)
    if not found:
        lost = list_reasons(where, row_filter.drops)
        raise UserError(f"{where}: the model solved no problem{lost}; raise samples or max_tokens, or name other problems")
    return found


def keep_distinct(texts: Iterable[str]) -> list[str]:
    """Solutions that calculate otherwise than those before them: the first with each list of equations, and each text without any.

    The lists are those of rejection sampling fine-tuning (arXiv:2308.01825). They are found by their signs, because answers have no
    annotations for them.
    """
    found = {list_equations(text) or (text,): text for text in reversed(list(texts))}
    return list(reversed(found.values()))


def list_equations(text: str) -> tuple[str, ...]:
    """The calculations in a text, without spaces: ``("48/2=24", "48+24=72")``."""
    return tuple(regex.sub(r"\s+", "", found).rstrip(".,") for found in _EQUATION.findall(text))
