"""What the table of corpora is made of: files, what was asked for, and one corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Remote:
    """A file of a repository at one revision: a commit where ``docs/data.md`` does not say otherwise."""

    repo: str
    revision: str
    path: str
    host: str = "hub"
    """``hub`` (a dataset repository) or ``github``."""


@dataclass(frozen=True)
class File:
    """One source file, in the data folder and elsewhere."""

    folder: str | None
    """Path below the folder that XLIFT_DATA names."""
    remote: Remote | None = None
    columns: tuple[str, ...] = ()
    """The columns taken from parquet, or the names of the columns of a file without a header."""
    part: str = ""


@dataclass(frozen=True)
class Choice:
    """What was asked for, checked against the table."""

    langs: tuple[str, ...]
    """One short code, or two where the corpus takes a pair."""
    split: str
    part: str | None = None


Tables = Sequence[tuple[File, Sequence[Row]]]


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
    parts: tuple[str, ...] = ()
    """Names for ``corpus/part``."""
    sampled: tuple[str, ...] = ()
    """Splits that the bundled samples can stand for."""
    sample: Callable[[Row, Choice], Row] | None = None
    """Makes a row of a bundled sample, which has the item in each of its languages; None where there are no samples."""
    shared: tuple[str, ...] = ("id",)
    """Keys of a bundled sample that are no languages."""
