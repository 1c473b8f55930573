"""The published answers with which a model's answers may be compared."""

from __future__ import annotations

from xlift.tasks.benchmarks import BENCHMARKS, find_task
from xlift.tasks.judge import Said

_BENCHMARK = next(benchmark for benchmark in BENCHMARKS.values() if benchmark.references)
TASK = f"{_BENCHMARK.prefix}_{{lang}}"
"""The tasks whose answers can be judged, as a text for people."""
CORPUS = _BENCHMARK.corpus


def language_of(task: str) -> str | None:
    """The short code of the language of a task whose answers can be judged; None for other tasks."""
    found = find_task(task)
    return found.answer_language if found and found.benchmark.references else None


def published() -> tuple[str, ...]:
    """Models whose answers come with the benchmark."""
    return _BENCHMARK.references


def read_published(lang: str, against: str) -> list[Said]:
    """Published answers in one language, in the benchmark's order. Raises UserError if they cannot be found."""
    from xlift.tasks import data

    return [Said(str(row["id"]), row["lang"], row["instruction"], row["output"].strip()) for row in data.read(CORPUS, lang, against)]
