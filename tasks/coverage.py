"""What there is in each language of FLORES-200: training corpora with an address, and benchmarks. docs/languages.md holds the table.

python -m xlift.tasks.coverage      prints the table of docs/languages.md
"""

from __future__ import annotations

from dataclasses import dataclass

from xlift.harness.core.languages import languages
from xlift.tasks.benchmarks import BENCHMARKS
from xlift.tasks.corpora import Choice
from xlift.tasks.corpus_table import CORPORA

KINDS = {
    "parallel": ("parallel",),
    "lexicon": ("lexicon",),
    "instructions": ("alpaca", "alpagasus"),
    "problems": ("gsm8k",),
    "questions": ("qa",),
    "facts": ("triples",),
}
"""The kinds of training data, each with the corpora that have it."""


@dataclass(frozen=True)
class Coverage:
    """What there is in one language."""

    lang: str
    training: dict[str, tuple[str, ...]]
    """For each kind, the parts of corpora, or the corpora, that have an address."""
    benchmarks: tuple[str, ...]
    """The corpora of benchmarks."""


def list_coverage() -> list[Coverage]:
    """All 204 languages of FLORES-200, in the order of their codes there."""
    measured: dict[str, set[str]] = {}
    for benchmark in BENCHMARKS.values():
        for lang in benchmark.languages:
            measured.setdefault(lang, set()).add(benchmark.corpus)
    found = []
    for lang, language in languages().items():
        if language.in_flores:
            training = {kind: tuple(part for corpus in corpora for part in _list_parts(corpus, lang)) for kind, corpora in KINDS.items()}
            found.append(Coverage(lang, training, tuple(sorted(measured.get(lang, ())))))
    return found


def _list_parts(corpus: str, lang: str) -> list[str]:
    table = CORPORA[corpus]
    if not table.parts:
        return [corpus] if lang in table.languages else []
    return [part for part in table.parts if any(file.remotes for file in table.files(Choice((lang,), "train", part)))]


def to_markdown() -> str:
    """The table of docs/languages.md."""
    lines = [f"| code | language | {' | '.join(KINDS)} | benchmarks |", "|---|---|" + "---|" * (len(KINDS) + 1)]
    for one in list_coverage():
        cells = [" ".join(parts) for parts in one.training.values()]
        lines.append("| " + " | ".join([f"`{one.lang}`", languages()[one.lang].name, *cells, " ".join(one.benchmarks)]) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(to_markdown(), end="")  # noqa: T201
