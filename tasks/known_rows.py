"""What is known of the rows of published files: their number and their hash, as they were read from copies whose origin is documented.

benchmarks/known_rows.py writes the table from a data folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Known:
    """The rows of one reading, as they were when the table was written."""

    corpus: str
    """``corpus``, or ``corpus/part``."""
    lang: str
    split: str
    rows: int
    bytes: int
    """The size of the rows as JSON in UTF-8, which is about the size of the file."""
    sha256: str
    copy: bool
    """Whether they were read from a copy in another publication, which may differ from the published file in details."""


@cache
def known_rows() -> dict[tuple[str, str, str], Known]:
    """Everything that is known, by corpus or part, language and split."""
    table = files("xlift.tasks").joinpath("known_rows.tsv").read_text(encoding="utf-8")
    found = {}
    for line in table.splitlines()[1:]:
        corpus, lang, split, rows, size, sha256, source = line.split("\t")
        found[corpus, lang, split] = Known(corpus, lang, split, int(rows), int(size), sha256, source == "copy")
    return found
