"""The benchmarks: what is known of each, in one place."""

from __future__ import annotations

import re
from functools import cache

from xlift.harness.core.languages import find

HEADLINE = {
    "xlift_mgsm": "accuracy",
    "xlift_xquad": "f1",
    "xlift_mlqa": "f1",
    "xlift_flores": "corpus_chrf",
    "xlift_x_alpaca_eval": "off_target",
}
"""The metric that stands for a benchmark in tables, by the beginning of the task's name."""

LOWER_IS_BETTER = {"off_target", "extraction_failure", "chatter", "empty"}

OF_HUNDRED = {"chrf", "spbleu", "corpus_chrf", "corpus_spbleu"}
"""Metrics between 0 and 100; the others are between 0 and 1."""


def headline(task: str) -> str | None:
    """The metric a table shows for a task; None for tasks xlift does not know."""
    return next((metric for start, metric in HEADLINE.items() if task.startswith(start)), None)


def scale(metric: str) -> float:
    """What a metric is multiplied with to be in points of 100; 1 for those that are."""
    return 1.0 if metric.partition("/")[0] in OF_HUNDRED else 100.0


PER_DOCUMENT = {"corpus_chrf": "chrf", "corpus_spbleu": "spbleu"}
"""The sentence-level score that stands for a corpus-level one in paired tests."""


def per_document(task: str) -> str | None:
    """The metric whose per-document scores stand for a task in tests and intervals; None for tasks xlift does not know."""
    shown = headline(task)
    return PER_DOCUMENT.get(shown, shown) if shown else None


PARALLEL = ("xlift_mgsm", "xlift_xquad", "xlift_flores", "xlift_x_alpaca_eval")
"""Benchmarks whose documents are the same in all languages, under the same number. MLQA has a part of its documents in each."""

_PAIR = re.compile(r"xlift_flores_([a-z]{3}_[A-Z][a-z]{3})_([a-z]{3}_[A-Z][a-z]{3})")
_ONE = re.compile(r"(xlift_(?:mgsm_direct|mgsm_cot|xquad|mlqa|x_alpaca_eval))_([a-z]{2,3}(?:-[A-Z][a-z]{3})?)")
_CROSS = re.compile(r"xlift_mlqa_([a-z]{2})_([a-z]{2})")


@cache
def language_of(task: str, pivot: str) -> tuple[str, str] | None:
    """Benchmark and language of a task; None for tasks that are not xlift's and for pairs of two languages that are not the pivot.

    A pair with the pivot counts for its other language, each direction as a benchmark of its own.
    """
    if match := _PAIR.fullmatch(task):
        source, target = find(match[1]).code, find(match[2]).code
        benchmark = "xlift_flores"
    elif match := _CROSS.fullmatch(task):
        source, target = match[1], match[2]
        benchmark = "xlift_mlqa"
    elif match := _ONE.fullmatch(task):
        return match[1], match[2]
    else:
        return None
    if source == pivot:
        return f"{benchmark}_from_{pivot}", target
    return (f"{benchmark}_to_{pivot}", source) if target == pivot else None


def split(task: str, pivot: str) -> tuple[str, str]:
    """Benchmark and language of a task; a task that is not xlift's is its own benchmark, in no language."""
    return language_of(task, pivot) or (task, "")
