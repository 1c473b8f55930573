"""The published answers that a model's answers may be judged against."""

from __future__ import annotations

from xlift.tasks.benchmarks import BENCHMARKS
from xlift.tasks.judge import Said

_BENCHMARK = next(benchmark for benchmark in BENCHMARKS.values() if benchmark.references)
TASK = f"{_BENCHMARK.prefix}_"
CORPUS = _BENCHMARK.corpus


def published() -> tuple[str, ...]:
    """Models whose answers come with the benchmark."""
    return _BENCHMARK.references


def read_published(lang: str, against: str) -> list[Said]:
    """Published answers in one language, in the benchmark's order. Raises UserError where they are not to be had."""
    from xlift.tasks import data

    return [Said(str(row["id"]), row["lang"], row["instruction"], row["output"].strip()) for row in data.read(CORPUS, lang, against)]
