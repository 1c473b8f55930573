"""Data on this machine: what there is, getting more of it, writing a data folder, checking it, and adding rows of a user's own."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xlift.harness.core.errors import UserError, name_nearest, one_line
from xlift.harness.core.hashing import file_sha256
from xlift.harness.core.languages import find
from xlift.harness.core.store import explain_disk
from xlift.tasks import data
from xlift.tasks.addresses import list_remotes
from xlift.tasks.corpora import File, Remote, Row
from xlift.tasks.corpus_table import CORPORA
from xlift.tasks.fetching import Absent, fetch, find_change, find_kept, measure, name_address
from xlift.tasks.known_rows import known_rows
from xlift.tasks.leaks import Guard
from xlift.tasks.licences import describe_licence
from xlift.tasks.sources import Found, data_folder, find_in_folder, read_checksums, read_found, read_manifest, records
from xlift.tasks.training_corpora import OWN

logger = logging.getLogger(__name__)

Reading = tuple[str, str, str]
"""Corpus or corpus/part, language and split."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Got:
    """What became of one reading that was asked for."""

    corpus: str
    lang: str
    split: str
    rows: int | None = None
    sha256: str | None = None
    """Of the rows."""
    origin: str = ""
    fault: str = ""
    """Why it is not to be had; empty where it is here."""


def is_corpus(name: str) -> bool:
    """Whether a name is that of a corpus, or of a part of one."""
    return name.partition("/")[0] in CORPORA


def list_readings(corpus: str, languages: Sequence[str] = (), split: str | None = None) -> list[Reading]:
    """What there is of a corpus, or of ``corpus/part``: in these languages, else in all that have an address or lie in the data folder.

    Raises UserError for a wrong name.
    """
    table = CORPORA.get(corpus.partition("/")[0])
    known = (table.languages or table.published) if table else ()
    found = [data.survey(corpus, lang, split).key for lang in languages or known or ("en",)]
    return [key for key in found if languages or _has_file(corpus, key[1])]


def list_corpora() -> list[dict[str, Any]]:
    """A row for each corpus and each of its parts: what it is for, languages, those in which it is here, licence, and where it is from.

    Rows and bytes are those of the first split in the languages whose rows are known, ``known in`` their number.
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
    """Fetch what is not here, sizes first, check it and read it. A reading that cannot be had is told in its row, and the others go on."""
    asked = list(dict.fromkeys(readings))
    _tell_sizes(asked, tell)
    found = []
    for corpus, lang, split in asked:
        try:
            rows = data.read(corpus, lang, split)
            origin = data.locate(corpus, lang, split)
            found.append(Got(corpus, lang, split, len(rows), origin.sha256, origin.origin))
        except UserError as error:
            found.append(Got(corpus, lang, split, fault=one_line(error)))
        done = found[-1]
        tell(f"{corpus} {lang} {split}: {done.fault or f'{done.rows:,} rows'}")
    return found


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
    """The published files that a reading lacks."""
    try:
        files = _files(*reading)
    except UserError:
        return
    for file in files:
        if not find_in_folder(file):
            yield from (remote for remote in file.remotes if not find_kept(remote))


def name_size(size: int) -> str:
    """Bytes for a reader: ``1.3 MB``."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size = size / 1000  # type: ignore[assignment]
    return f"{size:.1f} GB"


# --- a data folder ---


def build(folder: Path, readings: Iterable[Reading], tell: Tell = logger.info) -> list[Got]:
    """Write the files of readings into a data folder, in its layout, with a manifest that says rows, source and licence of each.

    What the folder has already stays as it is. Raises UserError where the folder cannot be written.
    """
    asked = list(dict.fromkeys(readings))
    _tell_sizes(asked, tell)
    entries = {name: dict(entry) for name, entry in read_manifest(folder).items()} if (folder / "manifest.json").is_file() else {}
    results = []
    for corpus, lang, split in asked:
        try:
            for file in _files(corpus, lang, split):
                if file.folder and file.folder not in entries and (entry := _write(folder, file, corpus, lang)):
                    entries[file.folder] = entry
                    _write_manifest(folder, entries)
            results.append(Got(corpus, lang, split, origin="folder"))
        except (UserError, Absent) as error:
            results.append(Got(corpus, lang, split, fault=one_line(error)))
        tell(f"{corpus} {lang} {split}: {results[-1].fault or 'written'}")
    return results


def _write(folder: Path, file: File, corpus: str, lang: str) -> dict[str, Any] | None:
    """One file of the folder from the data folder in use or from its addresses; None where a part of several has neither."""
    found = find_in_folder(file)
    if found is None:
        try:
            found = fetch(file)
        except Absent:
            if CORPORA[corpus.partition("/")[0]].parts:
                return None
            raise
    rows = _records(found, lang)
    path = folder / str(file.folder)
    _replace(path, _encode(path.name, rows))
    source = "; ".join(name_address(remote) for remote in file.remotes) or "a data folder"
    facts = {"file": file.folder, "rows": len(rows), "bytes": path.stat().st_size, "sha256": file_sha256(path), "source": source}
    return {**facts, "licence": describe_licence(corpus.partition("/")[0], file.part or None)}


def _records(found: Found, lang: str) -> list[Row]:
    try:
        return read_found(found, lang)
    except (KeyError, ValueError, TypeError, IndexError, EOFError, OSError) as error:
        raise UserError(f"{found.paths[0]}: not laid out as it should be ({type(error).__name__}: {one_line(error)})") from None


def _encode(name: str, rows: Sequence[Row]) -> bytes:
    """Rows in the format that the end of the name tells."""
    stem = name.removesuffix(".gz")
    if stem.endswith(".jsonl"):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        lines = [list(rows[0])] if stem.endswith(".tsv") else []
        lines += [[str(value) for value in row.values()] for row in rows]
        if any("\t" in cell or "\n" in cell for line in lines for cell in line):
            raise UserError(f"{name}: a tab or a line break is in a cell")
        text = "".join("\t".join(line) + "\n" for line in lines)
    return gzip.compress(text.encode(), mtime=0) if name.endswith(".gz") else text.encode()


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that readers see all of it or nothing."""
    with explain_disk(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(content)
        part.replace(path)


def _write_manifest(folder: Path, entries: dict[str, dict[str, Any]]) -> None:
    text = json.dumps([entries[name] for name in sorted(entries)], ensure_ascii=False, indent=1) + "\n"
    _replace(folder / "manifest.json", text.encode())


def check_folder(folder: Path | None = None) -> list[dict[str, str]]:
    """A row for each file of a data folder, of XLIFT_DATA where none is named, that is not as its manifest says; none where all are.

    Raises UserError where there is no folder.
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
    """A row for each published file that was fetched and is no more what it was; none where all are right."""
    faults = {remote: find_change(remote) for remote in list_remotes()}
    return [{"file": name_address(remote), "fault": fault} for remote, fault in faults.items() if fault]


def check_addresses() -> list[dict[str, str]]:
    """A row for each published file that its address does not give, or gives in another size; asked without fetching any."""
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


# --- rows of a user's own ---

KINDS = {
    "parallel": ("parallel", "tsv.gz"),
    "lexicon": ("lexicon", "tsv.gz"),
    "instructions": ("alpaca", "jsonl.gz"),
    "prompts": ("alpaca", "jsonl.gz"),
    "qa": ("qa", "jsonl.gz"),
}
"""Kinds of own rows: the corpus that they are read with, and the format that they are kept in."""


@dataclass(frozen=True)
class Added:
    """What was taken of a user's file."""

    corpus: str
    """``corpus/own``, under which the rows alone are read."""
    lang: str
    file: str
    """In the data folder."""
    rows: int
    leaking: int
    """Rows that were left out, as they overlap evaluation data that are on this machine."""


def add(source: Path, kind: str, languages: str, folder: Path, licence: str = "", overwrite: bool = False) -> Added:
    """Put a user's rows into a data folder, where a corpus reads them as its part ``own``; a new folder is made where there is none.

    ``languages`` is a pair with English (``en-am``) for parallel text and lexicons, one language for the rest. Columns: ``en`` and the
    other language's code, or ``text``; ``instruction``, ``input`` (may be missing), ``output``; ``instruction`` alone for prompts;
    ``context``, ``question`` and ``answers`` as SQuAD has them, or ``answer``, a text of the context. Files are .jsonl, .json, .csv, .tsv
    or .parquet.
    Raises UserError for a file, a column or a language that does not fit, with the row's number.
    """
    if kind not in KINDS:
        raise UserError(f"--as {kind!r}: unknown kind{name_nearest(kind, KINDS)}")
    corpus, ending = KINDS[kind]
    lang = _read_language(kind, languages)
    name = f"train/{OWN}/{corpus}.{lang}.{ending}"
    entries = {key: dict(entry) for key, entry in read_manifest(folder).items()} if (folder / "manifest.json").is_file() else {}
    if name in entries and not overwrite:
        raise UserError(f"{folder / name} is there already: say --replace to put these rows in its place")
    rows = [_read_own(record, number, kind, lang, source) for number, record in enumerate(_read_source(source), 1)]
    leaking = _guard(lang).find_leaks([[value for value in row.values() if isinstance(value, str)] for row in rows])
    kept = [row for row, hit in zip(rows, leaking, strict=True) if not hit]
    if not kept:
        raise UserError(f"{source}: all {len(rows)} rows overlap evaluation data, so that none may be trained on")
    _replace(folder / name, _encode(name, kept))
    stated = licence or "the user's own rows, as they say"
    facts = {"file": name, "rows": len(kept), "sha256": file_sha256(folder / name), "source": source.name, "licence": stated}
    _write_manifest(folder, {**entries, name: facts})
    return Added(f"{corpus}/{OWN}", lang, name, len(kept), sum(leaking))


def _read_language(kind: str, languages: str) -> str:
    """The language that is not English, or the only one."""
    if kind not in ("parallel", "lexicon"):
        return find(languages).code
    for first, second in ((languages[:3], languages[3:]), (languages[-3:], languages[:-3])):
        if first.strip("-") == "en" and second:
            return find(second).code
    raise UserError(f"--languages {languages!r}: name a pair with English, such as en-am")


def _read_source(source: Path) -> list[Row]:
    try:
        found = records(source, ())
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror or type(error).__name__})") from None
    except (KeyError, ValueError, TypeError, EOFError) as error:
        raise UserError(f"{source}: cannot be read as what the end of its name says ({one_line(error)})") from None
    if not found or not all(isinstance(record, dict) for record in found):
        raise UserError(f"{source}: has no rows with columns")
    return found


def _read_own(record: Row, number: int, kind: str, lang: str, source: Path) -> Row:
    def take(*names: str) -> str:
        value = next((record[name] for name in names if record.get(name)), None)
        if not isinstance(value, str) or not value.strip():
            shown = ", ".join(map(str, record))
            raise UserError(f"{source}: row {number} has no text in {' or '.join(names)} (its columns are {shown})")
        return value.strip()

    if kind in ("parallel", "lexicon"):
        pair = {"en": take("en"), lang: take(lang, find(lang).flores, "text")}
        return {name: " ".join(text.split()) for name, text in pair.items()}
    if kind == "qa":
        return {"id": str(record.get("id", number - 1)), "context": take("context"), "question": take("question"),
                "answers": _read_answers(record, number, source)}  # fmt: skip
    output = take("output") if kind == "instructions" else str(record.get("output") or "")
    return {"instruction": take("instruction", "prompt"), "input": str(record.get("input") or ""), "output": output}


def _read_answers(record: Row, number: int, source: Path) -> dict[str, list[Any]]:
    context, given = str(record["context"]).strip(), record.get("answers")
    texts = given.get("text") if isinstance(given, dict) else [record.get("answer")]
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text in context for text in texts):
        raise UserError(f"{source}: row {number}: its answers are no texts of its context: {texts!r}")
    return {"text": texts, "answer_start": [context.index(text) for text in texts]}


def _guard(lang: str) -> Guard:
    """Over the evaluation data in the language and in English that are on this machine."""
    here = [
        supply.key
        for name, table in CORPORA.items() if table.texts
        for spoken in dict.fromkeys((lang, "en"))
        for supply in (data.survey(name, spoken, split) for split in table.splits) if supply.state == "here"
    ]  # fmt: skip
    return data.guard_of(here)
