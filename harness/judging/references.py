"""The published answers that a model's answers may be judged against."""

from __future__ import annotations

from xlift.tasks.judge import Said

TASK = "xlift_x_alpaca_eval_"
CORPUS = "x_alpaca_eval"


def published() -> tuple[str, ...]:
    """Models whose answers come with the benchmark."""
    from xlift.tasks.corpus_table import CORPORA

    return tuple(split for split in CORPORA[CORPUS].splits if split != "instructions")


def read_published(lang: str, against: str) -> list[Said]:
    """Published answers in one language, in the benchmark's order. Raises UserError where they are not to be had."""
    from xlift.tasks import data

    return [Said(str(row["id"]), row["lang"], row["instruction"], row["output"].strip()) for row in data.read(CORPUS, lang, against)]
