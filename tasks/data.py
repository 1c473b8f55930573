"""Reading corpora: from the folder of XLIFT_DATA, else from their published addresses, else from the bundled samples if they are asked for.

Rows are kept as memory-mapped Arrow files under XLIFT_CACHE, named by the sha256 of their source files. Rows of published files are
compared with what is known of them. docs/data.md lists the corpora and their columns.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from xlift.harness.core import hashing
from xlift.harness.core.errors import LanguageMissingError, LeakError, UserError, name_nearest, one_line
from xlift.harness.core.hashing import file_sha256, hash_files, is_as_noted, write_noted
from xlift.harness.core.languages import find
from xlift.harness.core.paths import cache_folder
from xlift.tasks.corpora import Choice, Corpus, File, Remote, Row
from xlift.tasks.corpus_table import CORPORA
from xlift.tasks.faults import show_in_one_line
from xlift.tasks.fetching import Absent, fetch, find_hindrance, find_kept, forget, join_digests, name_address
from xlift.tasks.known_rows import Known, known_rows
from xlift.tasks.leaks import Guard
from xlift.tasks.sources import UNREADABLE, Found, data_folder, find_in_folder, read_found, records
from xlift.tasks.training_corpora import OWN

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

logger = logging.getLogger(__name__)

Samples = Literal["never", "missing", "always"]
"""When the bundled samples are used: ``never``, ``missing`` (if a corpus cannot be found otherwise), or ``always``."""

_SAMPLES = Path(str(files("xlift.tasks").joinpath("samples")))
_ROWS_SHA256 = b"rows_sha256"


@dataclass(frozen=True)
class Origin:
    """Where the rows of one reading come from. A results manifest keeps it."""

    origin: str
    """``folder``, ``hub`` or ``samples``, joined by ``+`` if files come from both the folder and the hub."""
    sha256: str
    """The sha256 of the rows as they are read, whatever file and format they come from."""


State = Literal["here", "to fetch", "samples", "nowhere"]


@dataclass(frozen=True)
class Supply:
    """Whether the rows of one reading can be found. Nothing is fetched to find this out."""

    corpus: str
    lang: str
    split: str
    state: State
    """``here``, ``to fetch`` or ``nowhere``, or ``samples`` if the bundled ones will be used."""
    place: str
    """The data folder, cache or address, or the reason why the rows are nowhere."""
    bytes: int | None
    """About how many bytes will be fetched; None if that is not known."""
    rows: int | None
    """The number of rows, from the table of known rows."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Corpus, language and split, which identify the reading."""
        return self.corpus, self.lang, self.split


def read(corpus: str, lang: str, split: str | None = None, *, samples: Samples = "never") -> Dataset:
    """The rows of a corpus (or of ``corpus/part``) in one language, memory-mapped, from the corpus's first split if none is named.

    ``lang`` is a short or a FLORES code. ``mlqa`` takes pairs (context-question: ``en-es``), and so does ``flores`` (source-target). Raises
    UserError for a wrong name, a faulty data folder, or a corpus that cannot be found.
    """
    from datasets import Dataset

    return Dataset.from_file(str(_store_rows(corpus, lang, split, samples)))


def read_samples(corpus: str, lang: str, split: str) -> list[Row]:
    """The rows of the bundled samples that stand for a corpus, which are xlift's own. Raises UserError where there are none."""
    name, choice = choose(corpus, lang, split)
    found = _sample(name, choice)
    if found is None:
        raise LanguageMissingError(f"no bundled samples of {name} for {lang!r} in split {split}")
    return _build(name, choice, [found])


def read_training(corpus: str, lang: str, *, samples: Samples = "never") -> Dataset:
    """The rows of a training corpus. Raises LeakError for every evaluation corpus, whatever the split: dev sets and exemplars are for
    measuring."""
    _require_training(corpus)
    return read(corpus, lang, samples=samples)


def identify_training(corpus: str, lang: str, *, samples: Samples = "never") -> str | None:
    """The hash of the rows that ``read_training`` returns, whatever files and code they come from; None if it raises UserError."""
    try:
        _require_training(corpus)
        return _read_hash(_store_rows(corpus, lang, None, samples))
    except UserError:
        return None


def locate(corpus: str, lang: str, split: str | None = None, *, samples: Samples = "never") -> Origin:
    """The origin and the hash of the rows that ``read`` returns for the same arguments. Raises what ``read`` raises."""
    found = _locate(*choose(corpus, lang, split), samples)
    return Origin("+".join(dict.fromkeys(item.origin for item in found)), _read_hash(_store_rows(corpus, lang, split, samples)))


def survey(corpus: str, lang: str, split: str | None = None, *, samples: Samples = "never") -> Supply:
    """Where ``read`` would take its rows from, found without fetching them. Raises UserError for a corpus or a split that does not
    exist."""
    name, table = _table(corpus)
    split = split or table.splits[0]
    known = known_rows().get((corpus, lang, split))

    def answer(state: State, place: str, size: int | None = None, rows: int | None = None) -> Supply:
        return Supply(corpus, lang, split, state, place, size, rows)

    try:
        _, choice = choose(corpus, lang, split)
    except LanguageMissingError as error:
        return answer("nowhere", str(error))
    sampled = samples != "never" and _sample(name, choice) is not None
    if samples == "always":
        return answer("samples", "bundled samples") if sampled else answer("nowhere", "the bundled samples do not have it")
    wanted = list_files(name, choice)
    here = [file for file in wanted if find_in_folder(file)]
    kept = [file for file in wanted if file not in here and file.remotes and all(map(find_kept, file.remotes))]
    reachable = [file for file in wanted if file not in here + kept and file.remotes and not _hindrance(file)]
    enough = here + kept + reachable
    if not enough or (len(enough) < len(wanted) and not table.parts):
        reasons = dict.fromkeys(_hindrance(file) or "no published address" for file in wanted if file not in enough)
        return answer("samples", "bundled samples") if sampled else answer("nowhere", "; ".join(reasons) or "no file of it is known")
    rows = known.rows if known else None
    if reachable:
        sizes = {remote.path: remote.size for file in reachable for remote in file.remotes if not find_kept(remote)}
        size = sum(sizes.values()) if all(sizes.values()) else known.bytes if known and not here + kept else None
        return answer(
            "to fetch", "; ".join(dict.fromkeys(name_address(remote) for file in reachable for remote in file.remotes)), size, rows
        )
    return answer("here", str(data_folder()) if here else "cache", 0, rows)


def _hindrance(file: File) -> str:
    return next(filter(None, map(find_hindrance, file.remotes)), "")


def evaluation_texts(corpus: str, lang: str, split: str | None = None, *, samples: Samples = "never") -> Iterator[str]:
    """The texts of an evaluation corpus that training must not contain: questions, contexts, sources, targets, instructions."""
    rows = read(corpus, lang, split, samples=samples)
    for column in _table(corpus)[1].texts:
        if column in rows.column_names:
            yield from rows[column]


def guard_of(sources: Iterable[tuple[str, str, str]], *, samples: Samples = "never") -> Guard:
    """A leak guard over the evaluation data of the given (corpus, language, split) triples."""
    listed = list(sources)
    texts = (text for source in listed for text in evaluation_texts(*source, samples=samples))
    return Guard(texts, (fact for source in listed for fact in _read_facts(*source, samples=samples)))


def _read_facts(corpus: str, lang: str, split: str, *, samples: Samples) -> Iterator[tuple[str, str]]:
    name_fact = _table(corpus)[1].facts
    if name_fact:
        yield from map(name_fact, read(corpus, lang, split, samples=samples))


def dataset(
    corpus: str, lang: str, split: str | None = None, samples: str | None = None, shots: str | None = None, **_ignored: Any
) -> dict[str, Dataset]:
    """The function that lm-eval's ``custom_dataset`` names. Returns the split that is asked for and, if ``shots`` names one, the split of
    the examples, under their names.

    lm-eval passes dataset_kwargs (corpus, lang, split, shots) and all metadata. Of the metadata only ``samples`` counts; if it is missing,
    the environment variable XLIFT_SAMPLES is used.
    """
    show_in_one_line()  # lm-eval's command calls nothing of ours before
    policy = _policy(samples or os.environ.get("XLIFT_SAMPLES") or "never")
    wanted = dict.fromkeys((split or _table(corpus)[1].splits[0], *([shots] if shots else [])))
    return {name: read(corpus, lang, name, samples=policy) for name in wanted}


def check_variable() -> None:
    """Raises UserError if XLIFT_SAMPLES has a value that it cannot have."""
    if named := os.environ.get("XLIFT_SAMPLES"):
        _policy(named)


def _policy(samples: str) -> Samples:
    for known in get_args(Samples):
        if samples == known:
            return known  # type: ignore[no-any-return]
    raise UserError(f"samples (XLIFT_SAMPLES): unknown value {samples!r}{name_nearest(samples, get_args(Samples))}")


def _table(corpus: str) -> tuple[str, Corpus]:
    name = corpus.partition("/")[0]
    if name not in CORPORA:
        raise UserError(f"unknown corpus {name!r}{name_nearest(name, CORPORA)}")
    return name, CORPORA[name]


def choose(corpus: str, lang: str, split: str | None) -> tuple[str, Choice]:
    """The corpus's name and what is asked of it. Raises UserError for a name, a part, a split or a language that the table does not
    have."""
    name, table = _table(corpus)
    part = corpus.partition("/")[2] or None
    if part and part not in table.parts:
        has = f" has no part {part!r}{name_nearest(part, table.parts)}" if table.parts else f" has no parts: ask for {name!r}"
        raise UserError(f"corpus {name}{has}")
    split = split or table.splits[0]
    if split not in table.splits:
        raise UserError(f"corpus {name} has no split {split!r}{name_nearest(split, table.splits)}")
    langs = (lang,) if lang in table.published else _languages(lang, table.pairs)
    for code in langs:
        if table.languages and code not in table.languages:
            raise LanguageMissingError(f"corpus {name} has no {code!r}{name_nearest(code, table.languages)}")
    return name, Choice(langs, split, part)


def _languages(lang: str, pairs: bool) -> tuple[str, ...]:
    if pairs and not _known(lang) and "-" in lang:
        pieces = lang.split("-")
        cuts = [("-".join(pieces[:cut]), "-".join(pieces[cut:])) for cut in range(1, len(pieces))]
        first, second = next((cut for cut in cuts if all(map(_known, cut))), cuts[0])
        return find(first).code, find(second).code
    return (find(lang).code,)


def _known(code: str) -> str | None:
    try:
        return find(code).code
    except UserError:
        return None


def _require_training(corpus: str) -> None:
    name = corpus.partition("/")[0]
    if name in CORPORA and CORPORA[name].texts:
        allowed = ", ".join(other for other, table in CORPORA.items() if not table.texts)
        raise LeakError(f"{name} is an evaluation corpus and may not be read for training; training corpora: {allowed}")


def _store_rows(corpus: str, lang: str, split: str | None, samples: Samples) -> Path:
    """The Arrow file of a reading. It is made if it is not in the cache."""
    name, choice = choose(corpus, lang, split)
    found = _locate(name, choice, samples)
    title = "_".join([*corpus.split("/"), *choice.langs, choice.split])
    key = join_digests([_code_digest(), found[0].origin, *(item.sha256 for item in found)])
    path = cache_folder() / "rows" / f"{title}-{key[:24]}.arrow"
    if not is_as_noted(path):
        if path.exists():
            logger.warning("%s: not whole; its rows are made anew", path)
        write_noted(path, _make(name, choice, found))
    return path


def _make(name: str, choice: Choice, found: Sequence[Found]) -> memoryview:
    """The Arrow file of a choice. Published files that are not right are deleted from the cache, so that the next try fetches them
    again."""
    try:
        rows = _build(name, choice, found)
        _compare_known(name, choice, found)
        with _laid_out(name, found):
            return _to_arrow(rows)
    except UserError:
        for remote in _fetched(found):
            forget(remote)
        raise


def _read_hash(path: Path) -> str:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
        return str(stream.schema.metadata[_ROWS_SHA256].decode())


def _compare_known(name: str, choice: Choice, found: Sequence[Found]) -> None:
    """Compare the rows of published files, language by language and part by part, with what is known of them.

    Raises UserError if there are more or fewer rows, or other rows in a file that is itself known. If only a copy of the file is known,
    other rows cause a warning.
    """
    parts = {item.file.part for item in found} if CORPORA[name].parts else {None}
    for unit in [Choice((lang,), choice.split, part) for lang in choice.langs for part in parts]:
        known = known_rows().get((f"{name}/{unit.part}" if unit.part else name, unit.langs[0], unit.split))
        folders = {file.folder for file in CORPORA[name].files(unit)}
        mine = [item for item in found if item.file.folder in folders]
        fetched = _fetched(mine)
        if known and not all(remote.sha256 for remote in fetched):
            _require_known(known, _build(name, unit, mine), "; ".join(map(name_address, fetched)))


def _require_known(known: Known, rows: Sequence[Row], address: str) -> None:
    actual = hash_rows(rows)
    if actual == known.sha256:
        return
    told = f"{known.corpus} in {known.lang!r}, split {known.split}, from {address}: {len(rows):,} rows with sha256 {actual}, "
    told += f"where {known.rows:,} with {known.sha256} are known"
    if known.copy:
        logger.warning("%s from a copy; scores compare with those on the same rows alone, which each record names", told)
        return
    raise UserError(
        f"{told}: the file has changed, or a mirror gives another one; try without XLIFT_MIRROR and HF_ENDPOINT, or set XLIFT_DATA to a "
        "folder that has it"
    )


def _locate(name: str, choice: Choice, samples: Samples) -> list[Found]:
    """The source files of a choice, from the first place that has them."""
    wanted = list_files(name, choice)
    found, reasons = ([], []) if samples == "always" else _outside(wanted, choice, partial=bool(CORPORA[name].parts))
    if found:
        return found
    sample = _sample(name, choice)
    if sample and samples != "never":
        return [sample]
    if samples != "never":
        reasons.append(f"no bundled samples for {'-'.join(choice.langs)!r} in split {choice.split}")
    asked = f"{name}{'/' + choice.part if choice.part else ''} in {'-'.join(choice.langs)!r}, split {choice.split}"
    remedies = _remedies(name, choice, wanted, samples, sampled=sample is not None)
    raise LanguageMissingError(f"{asked}, cannot be read here ({'; '.join(reasons)}): {', or '.join(remedies)}")


def list_files(name: str, choice: Choice) -> list[File]:
    """The source files of a choice. Of a user's own files, only those that are in the data folder."""
    return [file for file in CORPORA[name].files(choice) if file.part != OWN or find_in_folder(file)]


def _outside(wanted: Sequence[File], choice: Choice, partial: bool) -> tuple[list[Found], list[str]]:
    """The files in the folder or on the hub, and why the missing ones are missing. Without ``partial``, one missing file means that none is
    returned."""
    if not wanted:
        return [], [f"no file for {choice.langs[0]!r} is known"]
    folder = data_folder()
    found: list[Found] = []
    missing: list[str] = []
    reasons: list[str] = []
    unfetched: list[str] = []
    for file in wanted:
        try:
            found.append(find_in_folder(file) or fetch(file))
        except Absent as absent:
            missing += [file.folder] if file.folder else []
            reasons.append(str(absent))
            unfetched += [file.part] if file.remotes else []
    if found and (partial or not reasons):
        if unfetched:  # the rows are others than with them, which no later error would show
            _warn_once(f"in {choice.langs[0]!r} without {', '.join(unfetched)}, which could not be fetched: {'; '.join(reasons)}")
        return found, []
    looked = f"not in {folder}, XLIFT_DATA: {', '.join(missing)}" if folder else "XLIFT_DATA is not set"
    return [], list(dict.fromkeys([looked, *reasons]))


@cache
def _warn_once(text: str) -> None:
    logger.warning("%s", text)


def _remedies(name: str, choice: Choice, wanted: Sequence[File], samples: Samples, sampled: bool) -> list[str]:
    if samples == "always":
        return [
            "choose what the samples have",
            "set data.samples to missing, so that the data folder and the published files are asked first",
        ]
    remedies = ["set XLIFT_DATA to a folder that has it"]
    if any(file.remotes for file in wanted):
        remedies.append(f"run 'xlift data get {name} --languages {'-'.join(choice.langs)}' where there is a network")
    if sampled:
        remedies.append(
            "allow the bundled samples (data.samples: missing in a suite, --set data.samples=missing, XLIFT_SAMPLES=missing for lm_eval)"
        )
    return remedies


def _sample(name: str, choice: Choice) -> Found | None:
    table, path = CORPORA[name], _SAMPLES / f"{CORPORA[name].sample_of or name}.jsonl"
    if choice.split not in table.sampled:
        return None
    spoken = set(records(path, ())[0]) - set(table.shared)  # the first item is in every language, later ones may not be
    return Found(File(None), (path,), file_sha256(path), "samples") if spoken.issuperset(choice.langs) else None


def _build(name: str, choice: Choice, found: Sequence[Found]) -> list[Row]:
    table = CORPORA[name]
    sample = table.sample
    with _laid_out(name, found):
        if sample and found[0].origin == "samples":
            items = records(found[0].paths[0], ())
            rows = [sample(item, choice) for item in items if all(lang in item for lang in choice.langs)]
        else:
            rows = list(table.rows([(item.file, read_found(item, choice.langs[0])) for item in found], choice))
        if not rows:
            raise ValueError(f"no rows in {'-'.join(choice.langs)!r}")
    return rows


@contextmanager
def _laid_out(name: str, found: Sequence[Found]) -> Iterator[None]:
    """Turn the exceptions that malformed files raise into one line."""
    try:
        yield
    except UNREADABLE as error:
        paths = ", ".join(str(path) for item in found for path in item.paths)
        again = "; what was fetched is not kept: try again, or without XLIFT_MIRROR and HF_ENDPOINT" if _fetched(found) else ""
        raise UserError(f"{paths}: not laid out as {name} is ({type(error).__name__}: {one_line(error)}){again}") from error


def _fetched(found: Iterable[Found]) -> list[Remote]:
    return [remote for item in found if item.origin == "hub" for remote in item.file.remotes]


def hash_rows(rows: Iterable[Row]) -> str:
    """The sha256 of rows as JSON lines. Equal rows have equal hashes, whatever they come from."""
    content = hashlib.sha256()
    for row in rows:
        content.update(f"{json.dumps(row)}\n".encode())
    return content.hexdigest()


def _to_arrow(rows: Sequence[Row]) -> memoryview:
    import pyarrow as pa

    def type_of(column: str) -> pa.DataType:
        answers = pa.struct({"text": pa.list_(pa.string()), "answer_start": pa.list_(pa.int32())})
        return answers if column == "answers" else pa.string()

    schema = pa.schema({column: type_of(column) for column in rows[0]}, metadata={_ROWS_SHA256: hash_rows(rows)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.Table.from_pylist(list(rows), schema=schema), max_chunksize=1000)
    return memoryview(sink.getvalue())


@cache
def _code_digest() -> str:
    """A hash that changes with the code that makes rows, so that no cached row outlives it. It covers all that may be imported here, which
    is in these two packages."""
    code: dict[str, Path] = {}
    for package in ("xlift.tasks", "xlift.harness.core"):
        folder = Path(str(files(package)))
        code |= {f"{package}/{path.relative_to(folder)}": path for path in hashing.list_files(folder) if path.suffix in (".py", ".tsv")}
    return hash_files(code)
