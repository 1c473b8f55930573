"""Rows of a user's own, put into a data folder. Each row is checked, must be in the language that was named, and must not be in what is
measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlift.harness.core.errors import UserError, name_nearest, one_line
from xlift.harness.core.hashing import file_sha256
from xlift.harness.core.languages import find
from xlift.tasks import data
from xlift.tasks.corpora import Row
from xlift.tasks.corpus_table import CORPORA
from xlift.tasks.folders import encode, open_folder, replace_file, write_manifest
from xlift.tasks.language_id import is_off_target
from xlift.tasks.leaks import Guard
from xlift.tasks.sources import UNREADABLE, records
from xlift.tasks.training_corpora import OWN

KINDS = {
    "parallel": ("parallel", "tsv.gz"),
    "lexicon": ("lexicon", "tsv.gz"),
    "instructions": ("alpaca", "jsonl.gz"),
    "prompts": ("alpaca", "jsonl.gz"),
    "qa": ("qa", "jsonl.gz"),
}
"""The kinds of own rows, each with the corpus with which they are read and the format in which they are kept."""
SPOKEN_ROWS = 200
"""The number of rows whose language is checked. If more than half of them are wrong, the rows are in another language."""


@dataclass(frozen=True)
class Added:
    """What was taken of a user's file."""

    corpus: str
    """``corpus/own``, the name by which these rows alone are read."""
    lang: str
    file: str
    """The file in the data folder."""
    rows: int
    leaking: int
    """The number of rows that were left out because they overlap evaluation data on this machine."""


def add(source: Path, kind: str, languages: str, folder: Path, licence: str = "", overwrite: bool = False) -> Added:
    """Put a user's rows into a data folder, where a corpus reads them as its part ``own``. The folder is made if it does not exist.

    ``languages`` is a pair with English (``en-am``) for parallel text and lexicons, and one language for the rest. The columns are ``en``
    and the other language's code, or ``text``; ``instruction``, ``input`` (may be missing), ``output``; ``instruction`` alone for prompts;
    ``context``, ``question`` and ``answers`` as SQuAD has them, or ``answer``, a text of the context. Files are .jsonl, .json, .csv, .tsv
    or .parquet. Raises UserError for a file, a column or a language that does not fit, with the row's number.
    """
    if kind not in KINDS:
        raise UserError(f"--as {kind!r}: unknown kind{name_nearest(kind, KINDS)}")
    corpus, ending = KINDS[kind]
    lang = _read_language(kind, languages)
    name = f"train/{OWN}/{corpus}.{lang}.{ending}"
    rows = [_read_own(record, number, kind, lang, source) for number, record in enumerate(_read_source(source, kind, lang), 1)]
    _require_apart(rows, source)
    _require_spoken(rows, kind, lang, source)
    leaking = _guard(lang).find_leaks([[value for value in row.values() if isinstance(value, str)] for row in rows])
    kept = [row for row, hit in zip(rows, leaking, strict=True) if not hit]
    if not kept:
        raise UserError(f"{source}: all {len(rows)} rows overlap evaluation data, so that none may be trained on")
    with open_folder(folder) as entries:
        if name in entries and not overwrite:
            raise UserError(f"{folder / name} is there already: say --replace to put these rows in its place")
        replace_file(folder, folder / name, encode(name, kept))
        stated = licence or "the user's own rows, as they say"
        facts = {"file": name, "rows": len(kept), "sha256": file_sha256(folder / name), "source": source.name, "licence": stated}
        write_manifest(folder, {**entries, name: facts})
    return Added(f"{corpus}/{OWN}", lang, name, len(kept), sum(leaking))


def _require_apart(rows: Sequence[Row], source: Path) -> None:
    """Raise UserError if two questions have one id."""
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        if "id" in row and (before := seen.setdefault(row["id"], number)) != number:
            raise UserError(f"{source}: row {number} has the id of row {before}, {row['id']!r}; give each its own, or leave ids out")


def _require_spoken(rows: Sequence[Row], kind: str, lang: str, source: Path) -> None:
    """Raise UserError if most texts of a side are clearly in another language, as in swapped columns. Words of a lexicon are too short to
    tell."""
    sides = {lang: lang, "en": "en"} if kind == "parallel" else {"context": lang, "instruction": lang} if kind != "lexicon" else {}
    for column, spoken in sides.items():
        texts = [row[column] for row in rows if column in row][:SPOKEN_ROWS]
        wrong = sum(is_off_target(text, spoken) for text in texts)
        if texts and wrong > len(texts) / 2:
            raise UserError(
                f"{source}: {wrong:.0f} of the first {len(texts)} rows are not in {spoken!r} ({find(spoken).name}) in column {column!r}: "
                "name the right language, or put the columns right"
            )


def _read_language(kind: str, languages: str) -> str:
    """The language that is not English, or the only one."""
    if kind not in ("parallel", "lexicon"):
        return find(languages).code
    for first, second in ((languages[:3], languages[3:]), (languages[-3:], languages[:-3])):
        if first.strip("-") == "en" and second.strip("-") and find(second).code != "en":
            return find(second).code
    raise UserError(f"--languages {languages!r}: name a pair with English, such as en-am")


def _name_columns(kind: str, lang: str, source: Path) -> str:
    """The columns that a kind of rows needs, for people."""
    named = {"instructions": "instruction and output", "prompts": "instruction", "qa": "context, question and answers"}
    needed = f"{kind} needs the columns {named.get(kind, f'en and {lang}')}"
    return f"{needed}, named in the first line" if {".tsv", ".csv"} & {*source.suffixes} else needed


def _read_source(source: Path, kind: str, lang: str) -> list[Row]:
    try:
        found = records(source, ())
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror or one_line(error)})") from None
    except UNREADABLE as error:
        raise UserError(f"{source}: cannot be read as what the end of its name says ({one_line(error)})") from None
    if not found or not all(isinstance(record, dict) for record in found):
        raise UserError(f"{source}: has no rows with columns; {_name_columns(kind, lang, source)}")
    return found


def _read_own(record: Row, number: int, kind: str, lang: str, source: Path) -> Row:
    def take(*names: str) -> str:
        value = next((record[name] for name in names if record.get(name)), None)
        if not isinstance(value, str) or not value.strip():
            shown = ", ".join(map(str, record))
            raise UserError(
                f"{source}: row {number} has no text in {' or '.join(names)} (its columns are {shown}); {_name_columns(kind, lang, source)}"
            )
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UserError(f"{source}: row {number} has half of a character in {' or '.join(names)}, which is no Unicode text") from None
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
    """A leak guard over the evaluation data on this machine, in the language and in English."""
    here = [
        supply.key
        for name, table in CORPORA.items() if table.texts
        for spoken in dict.fromkeys((lang, "en"))
        for supply in (data.survey(name, spoken, split) for split in table.splits) if supply.state == "here"
    ]  # fmt: skip
    return data.guard_of(here)
