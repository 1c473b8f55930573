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
    """``owner/name``, or the name of the host if ``host`` is ``web``."""
    revision: str
    """A commit. It is empty if ``host`` is ``web``; then ``sha256`` pins the file."""
    path: str
    host: str = "hub"
    """``hub`` (a dataset repository), ``github`` or ``web``."""
    columns: tuple[str, ...] = ()
    """The names of the columns, if the file has no header."""
    member: str = ""
    """The file within the archive at ``path``: the end of its name there."""
    sha256: str = ""
    """The sha256 of the published file, if it is known."""
    size: int = 0
    """The size of the published file in bytes, 0 if it is not known."""

    rows: int = 0
    """How many rows are read, from the first on; 0 for all."""
    lines: bool = False
    """Whether a file whose name ends in .json has a record in each line."""

    @property
    def url(self) -> str:
        """Address of a file that is not on the hub."""
        place = f"{GITHUB}/{self.repo}/{self.revision}" if self.host == "github" else self.repo
        return f"https://{place}/{self.path}"

    @property
    def name(self) -> str:
        """The name that tells the format of the file: its own, or that of the member of an archive."""
        return (self.member or self.path).rpartition("/")[2] + ("l" if self.lines else "")


Records = Sequence[Row]
Convert = Callable[[Sequence[Records], str], Iterable[Row]]
"""Makes the records of a file of the data folder. Its arguments are the records of the published files, in the order of ``File.remotes``,
and the language that is read."""


@dataclass(frozen=True)
class File:
    """One source file: its place in the data folder, and the published file or files that it is made of."""

    folder: str | None
    """Path below the folder that XLIFT_DATA names."""
    remote: Remote | None = None
    columns: tuple[str, ...] = ()
    """The columns that are taken from a parquet file, or the names of the columns of a file of the folder without a header."""
    part: str = ""
    more: tuple[Remote, ...] = ()
    """Further published files, if ``convert`` puts several together."""
    convert: Convert | None = None
    """Makes the folder's records of the published ones; None if they are the same."""
    shared: str | None = None
    """Another file of the folder that has these records beside those of other languages. It is looked for first."""

    @property
    def remotes(self) -> tuple[Remote, ...]:
        """All published files that this one is made of; empty if it has no address."""
        return (self.remote, *self.more) if self.remote else ()


@dataclass(frozen=True)
class Listing:
    """A table with one line for each row of a split, in their order, that says which article a row belongs to."""

    file: File
    column: str
    """The column that names the article. A table without a header has only this column."""
    split: str = ""
    """For FLORES: the split, for which the passages of Belebele can replace the table."""


@dataclass(frozen=True)
class Choice:
    """What was asked for, checked against the table of corpora."""

    langs: tuple[str, ...]
    """One short code, or two if the corpus takes a pair."""
    split: str
    part: str | None = None


Tables = Sequence[tuple[File, Records]]


@dataclass(frozen=True)
class Corpus:
    """One corpus: what it offers, where its files are and what its rows look like."""

    files: Callable[[Choice], list[File]]
    """The files of a choice. All of them are needed, unless the corpus has parts: then those that can be found are read."""
    rows: Callable[[Tables, Choice], Iterator[Row]]
    splits: tuple[str, ...] = ("train",)
    """The splits. The first one is read if none is asked for."""
    languages: tuple[str, ...] = ()
    """Short codes; empty if the data folder and the samples decide which languages there are."""
    pairs: bool = False
    """Whether a pair ``xx-yy`` is a language of this corpus too."""
    texts: tuple[str, ...] = ()
    """The columns of an evaluation corpus that must not appear in training rows. A training corpus has none."""
    facts: Callable[[Row], tuple[str, str]] | None = None
    """The question and the answer of a row, in an evaluation corpus that asks for facts. No training row may pair their names."""
    parts: tuple[str, ...] = ()
    """The names that may follow the slash in ``corpus/part``."""
    sampled: tuple[str, ...] = ()
    """The splits that the bundled samples can replace."""
    sample: Callable[[Row, Choice], Row] | None = None
    """Makes a row of a bundled sample, which has the item in each of its languages; None if there are no samples."""
    shared: tuple[str, ...] = ("id",)
    """The keys of a bundled sample that are not languages."""
    sample_of: str = ""
    """Another corpus whose bundled samples are used; empty for its own."""
    listings: Callable[[str], tuple[Listing, ...]] | None = None
    """From a split to the tables whose lines, taken together, are numbered as the rows' ids are; None if the rows belong to no articles."""
    published: tuple[str, ...] = ()
    """For a corpus whose languages the data folder decides: the languages that have an address."""


def codes(text: str) -> tuple[str, ...]:
    """Language codes, split at the spaces."""
    return tuple(text.split())
