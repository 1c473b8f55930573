"""XNLI and BMLAMA in their published layouts give the rows that the data folder has, row by row."""

import gzip
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loopback_hub import State
from published import publish, remotes_of, to_bmlama, to_xnli

from xlift.tasks import likelihood_corpora
from xlift.tasks.data import locate, read
from xlift.tasks.known_rows import known_rows

REAL = os.environ.get("XLIFT_DATA")
real = pytest.mark.skipif(not REAL, reason="XLIFT_DATA names no data folder")
PAIRS = [
    {"id": 0, "premise": 'He said "no", twice.', "hypothesis": "He agreed.", "label": "contradiction"},
    {"id": 1, "premise": "It’s 5\u2028o'clock, i.e. late.", "hypothesis": " It is late. ", "label": "entailment"},
]
FACTS = [{"id": 0, "prompt": '<mask> is in "Italy".', "answer": "Rome", "candidates": ["St. John's", "Rome"], "subject": "Rome"}]


def to_published_xnli(folder: dict[str, list[dict[str, Any]]]) -> bytes:
    return to_xnli([(lang, row["label"], row["premise"], row["hypothesis"]) for lang, rows in folder.items() for row in rows])


def to_published_bmlama(rows: list[dict[str, Any]]) -> bytes:
    return to_bmlama([(row["prompt"], row["answer"], row["candidates"], row["subject"]) for row in rows])


def publish_xnli(mirror: State, monkeypatch: pytest.MonkeyPatch, folder: dict[str, list[dict[str, Any]]]) -> None:
    """The archive with these rows of each language, whose sha256 counts as the right one."""
    (remote,) = remotes_of("xnli", "en")
    publish(mirror, remote, changed={remote: to_published_xnli(folder)})
    packed = mirror.mirrored[remote.url.removeprefix("https://")]
    monkeypatch.setattr(likelihood_corpora, "XNLI_SHA256", hashlib.sha256(packed).hexdigest())


def raw_rows(place: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(Path(REAL or "", place).read_bytes()).decode().splitlines()]


def languages_of(place: str) -> list[str]:
    return sorted(path.name.partition(".")[0] for path in Path(REAL or "/nowhere", place).glob("*.jsonl.gz"))


def test_pairs_of_the_archive_are_those_of_the_folder(
    mirror: State, monkeypatch: pytest.MonkeyPatch, fill_folder: Callable[..., Path]
) -> None:
    publish_xnli(mirror, monkeypatch, {"ar": PAIRS[:1], "de": PAIRS, "zh": PAIRS[1:]})
    published = list(read("xnli", "de"))
    assert [row["hypothesis"] for row in published] == ["He agreed.", " It is late. "] and locate("xnli", "de").origin == "hub"
    fill_folder(**{"xnli/dev/de.jsonl.gz": "".join(json.dumps(row) + "\n" for row in PAIRS)})
    assert list(read("xnli", "de")) == published and locate("xnli", "de").origin == "folder"


def test_facts_of_the_file_are_those_of_the_folder(mirror: State, fill_folder: Callable[..., Path]) -> None:
    (remote,) = remotes_of("bmlama", "en")
    publish(mirror, remote, changed={remote: to_published_bmlama(FACTS)})
    published = list(read("bmlama", "en"))
    assert published == [{"id": "0", "prompt": FACTS[0]["prompt"], "candidates": "St. John's\tRome", "answer": "1",
                          "fact": 'Rome is in "Italy".', "lang": "en"}]  # fmt: skip
    fill_folder(**{"bmlama17/en.jsonl.gz": "".join(json.dumps(row) + "\n" for row in FACTS)})
    assert list(read("bmlama", "en")) == published


@real
def test_all_pairs_of_the_real_folder(mirror: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every language of the folder, from one archive."""
    langs = languages_of("xnli/dev")
    folder = {lang: raw_rows(f"xnli/dev/{lang}.jsonl.gz") for lang in langs}
    publish_xnli(mirror, monkeypatch, folder)
    published = {lang: (list(read("xnli", lang)), locate("xnli", lang)) for lang in langs}
    monkeypatch.setenv("XLIFT_DATA", REAL or "")
    for lang, (rows, origin) in published.items():
        assert len(rows) == 2490 and rows == list(read("xnli", lang)), lang
        assert origin.origin == "hub" and origin.sha256 == known_rows()["xnli", lang, "dev"].sha256


@real
def test_all_facts_of_the_real_folder(mirror: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published file of Spanish has 1,039,173 characters, that of Turkish 1,031,273, that of Chinese 526,466: as many as these."""
    langs = languages_of("bmlama17")
    for lang in langs:
        (remote,) = remotes_of("bmlama", lang)
        made = to_published_bmlama(raw_rows(f"bmlama17/{lang}.jsonl.gz"))
        sizes = {"es": 1_039_173, "tr": 1_031_273, "zh": 526_466}
        assert len(made.decode()) == sizes.get(lang, len(made.decode()))
        publish(mirror, remote, changed={remote: made})
    published = {lang: (list(read("bmlama", lang)), locate("bmlama", lang)) for lang in langs}
    monkeypatch.setenv("XLIFT_DATA", REAL or "")
    for lang, (rows, origin) in published.items():
        assert len(rows) == 6792 and rows == list(read("bmlama", lang)), lang
        assert origin.origin == "hub" and origin.sha256 == known_rows()["bmlama", lang, "test"].sha256
