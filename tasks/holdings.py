"""Data on this machine: listing them, getting more, writing a data folder, and checking it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.hashing import file_sha256
from xlift.tasks import data
from xlift.tasks.addresses import list_remotes
from xlift.tasks.articles import list_listings, read_listing
from xlift.tasks.corpora import File, Listing, Remote, Row
from xlift.tasks.corpus_table import CORPORA
from xlift.tasks.fetching import Absent, fetch, find_change, find_kept, measure, name_address
from xlift.tasks.folders import encode, open_folder, replace_file, write_manifest
from xlift.tasks.known_rows import known_rows
from xlift.tasks.licences import describe_licence
from xlift.tasks.sources import UNREADABLE, Found, data_folder, find_in_folder, read_checksums, read_found
from xlift.tasks.training_corpora import OWN

logger = logging.getLogger(__name__)

Reading = tuple[str, str, str]
"""A corpus or ``corpus/part``, a language and a split."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Got:
    """The outcome of one reading that was asked for."""

    corpus: str
    lang: str
    split: str
    rows: int | None = None
    sha256: str | None = None
    """The sha256 of the rows."""
    origin: str = ""
    fault: str = ""
    """Why the rows could not be read; empty if they are here."""


def is_corpus(name: str) -> bool:
    """Whether a name is that of a corpus or of a part of one."""
    return name.partition("/")[0] in CORPORA


def list_names() -> list[str]:
    """The names of all corpora, and of the parts of those that have parts."""
    return [title for name, table in CORPORA.items() for title in (name, *(f"{name}/{part}" for part in table.parts))]


def list_readings(corpus: str, languages: Sequence[str] = (), split: str | None = None) -> list[Reading]:
    """The readings of a corpus, or of ``corpus/part``: in these languages, or else in all languages that have an address or are in the data
    folder.

    Raises UserError for a wrong name.
    """
    table = CORPORA.get(corpus.partition("/")[0])
    known = (table.languages or table.published) if table else ()
    found = [data.survey(corpus, lang, split).key for lang in languages or known or ("en",)]
    return [key for key in found if languages or _has_file(corpus, key[1])]


def list_corpora() -> list[dict[str, Any]]:
    """A row for each corpus and each of its parts: what it is for, its languages, those that are on this machine, its licence, and where it
    is from.

    Rows and bytes are those of the first split, in the languages whose rows are known; ``known in`` is the number of these languages.
    """
    rows = []
    for name, table in CORPORA.items():
        for part in table.parts or (None,):
            title = f"{name}/{part}" if part else name
            spoken = table.languages or table.published
            found = [(lang, data.survey(title, lang)) for lang in spoken]
            there = [lang for lang, supply in found if _has_file(title, lang)]
            here = [lang for lang, supply in found if supply.state == "here"]
            use = "measuring" if table.texts else "training"
            facts = {"corpus": title, "for": use, "splits": " ".join(table.splits), "languages": " ".join(there), "here": " ".join(here)}
            known = [one for key, one in known_rows().items() if key[0] == title and key[2] == table.splits[0]]
            size = {"known in": len(known), "rows": sum(one.rows for one in known), "bytes": sum(one.bytes for one in known)}
            rows.append({**facts, **size, "licence": describe_licence(name, part), "from": _name_sources(title, there[:1])})
    return rows


def _has_file(title: str, lang: str) -> bool:
    return any(file.remotes or find_in_folder(file) for file in _files(title, lang, None))


def _files(title: str, lang: str, split: str | None) -> list[File]:
    name, choice = data.choose(title, lang, split)
    return data.list_files(name, choice)


def _name_sources(title: str, langs: Sequence[str]) -> str:
    remotes = [remote for lang in langs for file in _files(title, lang, None) for remote in file.remotes]
    return ", ".join(dict.fromkeys(remote.repo for remote in remotes)) or "your own" if remotes or title.endswith(f"/{OWN}") else "folder"


# --- getting ---


def get(readings: Iterable[Reading], tell: Tell = logger.info) -> list[Got]:
    """Fetch what is not here, after its sizes were told, check it and read it. If one reading fails, its row says why, and the others go
    on."""
    asked = list(dict.fromkeys(readings))
    _tell_sizes(asked, tell)
    found = []
    for corpus, lang, split in asked:
        try:
            rows = data.read(corpus, lang, split)
            origin = data.locate(corpus, lang, split)
            for listing in list_listings(corpus.partition("/")[0], split):
                read_listing(listing, fetched=True)
            found.append(Got(corpus, lang, split, len(rows), origin.sha256, origin.origin))
        except UserError as error:
            found.append(Got(corpus, lang, split, fault=_say(error)))
        done = found[-1]
        tell(f"{corpus} {lang} {split}: {'cannot be had' if done.fault else f'{done.rows:,} rows'}")
    return found


def _say(error: Exception) -> str:
    """A whole error in one line: nothing else says what it says."""
    return " ".join(str(error).split())


def _tell_sizes(asked: Sequence[Reading], tell: Tell) -> None:
    remotes = list(dict.fromkeys(remote for reading in asked for remote in _list_away(reading)))
    archives = list({(remote.host, remote.repo, remote.revision, remote.path): remote for remote in remotes}.values())
    if not archives:
        tell("all files are here already")
        return
    total, unknown = 0, 0
    for remote in archives:
        size = _measure(remote)
        total, unknown = total + (size or 0), unknown + (size is None)
    tell(f"to fetch: {len(archives)} files, {name_size(total)}{f', and {unknown} of unknown size' if unknown else ''}")


def _measure(remote: Remote) -> int | None:
    try:
        return measure(remote)
    except Absent:  # its own reading says why
        return None


def _list_away(reading: Reading) -> Iterator[Remote]:
    """The published files that a reading still needs."""
    try:
        files = _files(*reading)
    except UserError:
        return
    for file in files:
        if not find_in_folder(file):
            yield from (remote for remote in file.remotes if not find_kept(remote))


def name_size(size: int) -> str:
    """A number of bytes for people: ``1.3 MB``."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size = size / 1000  # type: ignore[assignment]
    return f"{size:.1f} GB"


# --- a data folder ---


def build(folder: Path, readings: Iterable[Reading], tell: Tell = logger.info) -> list[Got]:
    """Write the files of readings into a data folder, in its layout, with a manifest that has the rows, source and licence of each.

    What the folder has already stays as it is. A file that its manifest lists but that is missing is written again. Raises UserError if the
    folder cannot be written, has files but no manifest, or is in use by another process.
    """
    asked = list(dict.fromkeys(readings))
    with open_folder(folder) as entries:
        _tell_sizes(asked, tell)
        results = []
        for corpus, lang, split in asked:
            try:
                rows = data.read(corpus, lang, split)  # checks what is fetched
                files = _files(corpus, lang, split)
                listings = list_listings(corpus.partition("/")[0], split)
                made = [_read(file, corpus, lang) for file in files if not _is_there(folder, file, entries)]
                made += [_read_articles(one) for one in listings if not _is_there(folder, one.file, entries)]
            except (UserError, Absent) as error:
                results.append(Got(corpus, lang, split, fault=_say(error)))
            else:
                for file, count, content in filter(None, made):
                    entries[str(file.folder)] = _write(folder, file, count, content, corpus)
                    write_manifest(folder, entries)
                results.append(Got(corpus, lang, split, len(rows), origin="folder"))
            tell(f"{corpus} {lang} {split}: {'cannot be had' if results[-1].fault else 'written'}")
    return results


def _is_there(folder: Path, file: File, entries: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a file is there already. Raises UserError if it is not as the manifest says."""
    if file.folder is None:
        return True
    path = folder / file.folder
    if file.folder not in entries or not path.is_file():
        return False
    if file_sha256(path) != entries[file.folder]["sha256"]:
        raise UserError(f"{path}: has another sha256 than manifest.json says; delete it, and it is written again")
    return True


def _read(file: File, corpus: str, lang: str) -> tuple[File, int, bytes] | None:
    """A file's number of rows and its content, from the data folder in use or from its addresses; None for one of several parts that has
    neither."""
    found = find_in_folder(file)
    if found is None:
        try:
            found = fetch(file)
        except Absent:
            if CORPORA[corpus.partition("/")[0]].parts:
                return None
            raise
    rows = _records(found, lang)
    return file, len(rows), encode(str(file.folder), rows)


def _read_articles(listing: Listing) -> tuple[File, int, bytes] | None:
    """The same for the table of articles beside a corpus; None, with a warning, if it cannot be found, because the corpus can be read
    without it."""
    articles = read_listing(listing, fetched=True)
    if not articles:
        return None
    return listing.file, len(articles), encode(str(listing.file.folder), [{listing.column: article} for article in articles])


def _write(folder: Path, file: File, count: int, content: bytes, corpus: str) -> dict[str, Any]:
    """Write one file of the folder, and return its entry for the manifest."""
    path = folder / str(file.folder)
    replace_file(folder, path, content)
    source = "; ".join(name_address(remote) for remote in file.remotes) or "a data folder"
    facts = {"file": file.folder, "rows": count, "bytes": path.stat().st_size, "sha256": file_sha256(path), "source": source}
    return {**facts, "licence": describe_licence(corpus.partition("/")[0], file.part or None)}


def _records(found: Found, lang: str) -> list[Row]:
    try:
        return read_found(found, lang)
    except UNREADABLE as error:
        raise UserError(f"{found.paths[0]}: not laid out as it should be ({type(error).__name__}: {one_line(error)})") from None


def check_folder(folder: Path | None = None) -> list[dict[str, str]]:
    """A row for each file of a data folder (of XLIFT_DATA if none is named) that is not as its manifest says; none if all are.

    Raises UserError if there is no folder.
    """
    place = folder or data_folder()
    if place is None:
        raise UserError("XLIFT_DATA is not set: name the folder that is to be checked")
    rows = []
    for name, sha256 in read_checksums(place).items():
        path = place / name
        if not path.is_file():
            rows.append({"file": str(path), "fault": "listed in manifest.json, but missing"})
        elif (actual := file_sha256(path)) != sha256:
            rows.append({"file": str(path), "fault": f"sha256 is {actual}, manifest.json says {sha256}"})
    return rows


def check_fetched() -> list[dict[str, str]]:
    """A row for each published file that was fetched and has changed since; none if all are right."""
    faults = {remote: find_change(remote) for remote in list_remotes()}
    return [{"file": name_address(remote), "fault": fault} for remote, fault in faults.items() if fault]


def check_addresses() -> list[dict[str, str]]:
    """A row for each published file that its address does not give, or gives in another size. Nothing is fetched."""
    remotes = {(remote.host, remote.repo, remote.revision, remote.path): remote for remote in list_remotes()}
    rows = []
    for remote in remotes.values():
        try:
            size = measure(replace(remote, size=0))
        except Absent as absent:
            rows.append({"file": name_address(remote), "fault": str(absent)})
            continue
        if remote.size and size != remote.size:
            rows.append({"file": name_address(remote), "fault": f"has {size} bytes, not {remote.size}"})
    return rows
