"""The rows of experts that are trained separately and then put together: one of a task in the pivot, the others of languages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from xlift.harness.core.errors import UserError
from xlift.harness.core.settings import Section
from xlift.harness.core.types import Example
from xlift.harness.recipes.budget import split_budget, take
from xlift.harness.recipes.contract import Reading
from xlift.harness.recipes.filters import RowFilter
from xlift.harness.recipes.instructions import read_instructions, translate_instructions
from xlift.harness.recipes.translation import has_language

if TYPE_CHECKING:
    from xlift.harness.recipes.contract import Context

LANGUAGE, TASK = "language", "task"
"""The kinds of the experts' rows."""


class ExpertOptions(Section):
    """What the experts learn."""

    rows: int = Field(ge=1)
    """The budget in rows, if the suite sets none."""
    language: float = Field(gt=0, lt=1)
    """The share of the budget for the languages, split evenly over them. The rest is for the task."""
    language_corpus: str
    """A corpus of instructions of all sorts. If it lacks a language, the pivot's are translated."""
    task_corpus: str
    spare: float = Field(ge=1)
    """How many instructions are translated for each one that is needed, since some translations fail."""
    max_characters: int = Field(ge=1)
    """Longer rows are dropped and counted."""
    max_length_ratio: float = Field(gt=1)
    """Translations whose lengths in characters differ by more than this ratio are dropped."""


def list_experts(options: ExpertOptions, pivot: str, languages: Sequence[str]) -> list[Reading]:
    """The corpora that ``read_experts`` reads."""
    corpus = options.language_corpus
    own = [Reading(corpus, lang, "the pivot's instructions are translated", translated=True) for lang in languages]
    return [Reading(options.task_corpus, pivot), Reading(corpus, pivot), *own]


def read_experts(ctx: Context, options: ExpertOptions, row_filter: RowFilter) -> list[Example]:
    """Rows of the kinds ``language``, in each language, and ``task``, in the pivot, in random order.

    Raises UserError for a task without solutions in the pivot, and, before anything is translated, if a translator is missing.
    """
    corpus, task_corpus = options.language_corpus, options.task_corpus
    if task_corpus.startswith("gsm8k") and ctx.pivot != "en":
        raise UserError(f"gsm8k has English solutions alone and the pivot is {ctx.pivot!r}; set task_corpus")
    lacking = [lang for lang in ctx.languages if not has_language(ctx, corpus, lang)]
    for lang in lacking:
        ctx.require_translator(ctx.pivot, lang)
    shares = {(LANGUAGE, lang): options.language / len(ctx.languages) for lang in ctx.languages}
    rows: list[Example] = []
    for (kind, lang), count in split_budget(ctx.budget or options.rows, {**shares, (TASK, ctx.pivot): 1 - options.language}).items():
        if kind == LANGUAGE and lang in lacking:
            rows += translate_instructions(ctx, lang, count, row_filter, corpus=corpus, kind=kind, spare=options.spare)
        else:
            found = read_instructions(ctx, lang, row_filter, corpus=corpus if kind == LANGUAGE else task_corpus, kind=kind)
            rows += take(found, count, f"{lang}/{kind}", row_filter.drops)
    ctx.rng.shuffle(rows)
    return rows
