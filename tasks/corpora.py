"""What a corpus is: its files in the data folder and at their published addresses, and how their records become rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

GITHUB = "raw.githubusercontent.com"


@dataclass(frozen=True)
class Remote:
    """A published file at one revision."""

    repo: str
    """``owner/name``; for ``web`` the name of the host."""
    revision: str
    """A commit; for ``web`` empty, where ``sha256`` stands in for it."""
    path: str
    host: str = "hub"
    """``hub`` (a dataset repository), ``github`` or ``web``."""
    columns: tuple[str, ...] = ()
    """Names of the columns where the file has no header."""
    member: str = ""
    """The file within the archive that ``path`` is: the end of its name there."""
    sha256: str = ""
    """Of the published file, where it is known."""
    size: int = 0
    """Bytes of the published file, 0 where that is not known."""

    rows: int = 0
    """The first so many rows are read; all where 0."""
    lines: bool = False
    """Whether a file whose name ends in .json has a record in each line."""

    @property
    def url(self) -> str:
        """Address of a file that is not on the hub."""
        place = f"{GITHUB}/{self.repo}/{self.revision}" if self.host == "github" else self.repo
        return f"https://{place}/{self.path}"

    @property
    def name(self) -> str:
        """What tells the format of the file: its own name, or that of the member of an archive."""
        return (self.member or self.path).rpartition("/")[2] + ("l" if self.lines else "")


Records = Sequence[Row]
Convert = Callable[[Sequence[Records], str], Iterable[Row]]
"""Makes the records of a file of the data folder of those of the published files, which come in the order of ``File.remotes``, and of
the language that is read."""


@dataclass(frozen=True)
class File:
    """One source file: in the data folder, and the published file or files that it is made of."""

    folder: str | None
    """Path below the folder that XLIFT_DATA names."""
    remote: Remote | None = None
    columns: tuple[str, ...] = ()
    """The columns taken from parquet, or the names of the columns of a file of the folder without a header."""
    part: str = ""
    more: tuple[Remote, ...] = ()
    """Further published files, where ``convert`` puts several together."""
    convert: Convert | None = None
    """None where the published file has the records of the folder's file already."""
    shared: str | None = None
    """Another file of the folder that has these records, beside those of other languages; it goes first."""

    @property
    def remotes(self) -> tuple[Remote, ...]:
        """All published files that this one is made of; empty where it has no address."""
        return (self.remote, *self.more) if self.remote else ()


@dataclass(frozen=True)
class Listing:
    """A table with one line for each row of a split, in their order, that says which article a row is of."""

    file: File
    column: str
    """Names the article. A table without a header has no other column."""
    split: str = ""
    """Of FLORES, where the passages of Belebele can stand in for the table."""


@dataclass(frozen=True)
class Choice:
    """What was asked for, checked against the table."""

    langs: tuple[str, ...]
    """One short code, or two where the corpus takes a pair."""
    split: str
    part: str | None = None


Tables = Sequence[tuple[File, Records]]


@dataclass(frozen=True)
class Corpus:
    """One corpus: what it offers, where its files are and what its rows look like."""

    files: Callable[[Choice], list[File]]
    """All are needed, unless the corpus has parts: then those that are to be had."""
    rows: Callable[[Tables, Choice], Iterator[Row]]
    splits: tuple[str, ...] = ("train",)
    """The first is read where none is asked for."""
    languages: tuple[str, ...] = ()
    """Short codes; empty where the data folder and the samples decide."""
    pairs: bool = False
    """Whether ``xx-yy`` is a language too."""
    texts: tuple[str, ...] = ()
    """Columns of an evaluation corpus that may not turn up in training; a training corpus has none."""
    facts: Callable[[Row], tuple[str, str]] | None = None
    """The question and the answer of a row of an evaluation corpus that asks for facts; no training row may pair their names."""
    parts: tuple[str, ...] = ()
    """Names for ``corpus/part``."""
    sampled: tuple[str, ...] = ()
    """Splits that the bundled samples can stand for."""
    sample: Callable[[Row, Choice], Row] | None = None
    """Makes a row of a bundled sample, which has the item in each of its languages; None where there are no samples."""
    shared: tuple[str, ...] = ("id",)
    """Keys of a bundled sample that are no languages."""
    sample_of: str = ""
    """Another corpus whose bundled samples serve; its own where empty."""
    listings: Callable[[str], tuple[Listing, ...]] | None = None
    """From a split to the tables whose lines, taken together, have the rows' ids as numbers; None where rows are of no articles."""
    published: tuple[str, ...] = ()
    """Of a corpus whose ``languages`` the data folder decides: those that have an address."""


def codes(text: str) -> tuple[str, ...]:
    """Language codes that are split by spaces."""
    return tuple(text.split())
