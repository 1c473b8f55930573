"""Reading corpora: the folder of XLIFT_DATA first, then the hub at a pinned revision, then the bundled samples where asked for.

Rows are kept as Arrow files under XLIFT_CACHE, named by their source files' sha256, and memory-mapped.
docs/data.md lists corpora and columns.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from xlift.harness.core.errors import LanguageMissingError, LeakError, UserError, name_nearest, one_line
from xlift.harness.core.hashing import file_sha256, hash_files, list_files
from xlift.harness.core.languages import find
from xlift.harness.core.paths import cache_folder, write_whole
from xlift.tasks.corpora import Choice, Corpus, File, Row
from xlift.tasks.corpus_table import CORPORA
from xlift.tasks.faults import show_in_one_line
from xlift.tasks.leaks import Guard
from xlift.tasks.sources import Absent, Found, data_folder, fetch, find_in_folder, records

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

Samples = Literal["never", "missing", "always"]
"""Whether the bundled samples serve: never, where a corpus is not to be had otherwise, or always."""

_SAMPLES = Path(str(files("xlift.tasks").joinpath("samples")))
_ROWS_SHA256 = b"rows_sha256"


@dataclass(frozen=True)
class Origin:
    """Where the rows of one reading come from: what a results manifest keeps."""

    origin: str
    """``folder``, ``hub`` or ``samples``; joined by ``+`` where files come from both the folder and the hub."""
    sha256: str
    """Of the source file; of the files' sha256 in hex, one a line, where there are several."""


def read(corpus: str, lang: str, split: str | None = None, *, samples: Samples = "never") -> Dataset:
    """Rows of a corpus (or of ``corpus/part``) in one language, memory-mapped; the corpus's first split where none is named.

    ``lang`` is a short or a FLORES code; ``mlqa`` takes pairs (context-question: ``en-es``), and so does ``flores`` (source-target).
    Raises UserError for a wrong name, a faulty data folder, or a corpus that is not to be had.
    """
    from datasets import Dataset

    return Dataset.from_file(str(_store_rows(corpus, lang, split, samples)))


def read_training(corpus: str, lang: str, *, samples: Samples = "never") -> Dataset:
    """Rows to train on. Raises LeakError for every evaluation corpus, whatever the split: dev sets and exemplars are for measuring."""
    _require_training(corpus)
    return read(corpus, lang, samples=samples)


def identify_training(corpus: str, lang: str, *, samples: Samples = "never") -> str | None:
    """Hash of the rows that ``read_training`` gives, whatever files and code they come from; None where it raises UserError."""
    import pyarrow as pa

    try:
        _require_training(corpus)
        path = _store_rows(corpus, lang, None, samples)
    except UserError:
        return None
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
        return str(stream.schema.metadata[_ROWS_SHA256].decode())


def locate(corpus: str, lang: str, split: str | None = None, *, samples: Samples = "never") -> Origin:
    """Origin and sha256 of the source data that ``read`` uses with the same arguments. Raises as ``read`` does."""
    found = _locate(*_choose(corpus, lang, split), samples)
    return Origin("+".join(dict.fromkeys(item.origin for item in found)), _join([item.sha256 for item in found]))


def evaluation_texts(corpus: str, lang: str, split: str | None = None, *, samples: Samples = "never") -> Iterator[str]:
    """The texts of an evaluation corpus that training may not contain: questions, contexts, sources, targets, instructions."""
    rows = read(corpus, lang, split, samples=samples)
    for column in _table(corpus)[1].texts:
        if column in rows.column_names:
            yield from rows[column]


def guard_of(sources: Iterable[tuple[str, str, str]], *, samples: Samples = "never") -> Guard:
    """A leak guard over the evaluation data of (corpus, language, split) triples."""
    return Guard(text for source in sources for text in evaluation_texts(*source, samples=samples))


def dataset(corpus: str, lang: str, split: str | None = None, samples: str | None = None, **_ignored: Any) -> dict[str, Dataset]:
    """What lm-eval's ``custom_dataset`` names: the split asked for, under its name.

    lm-eval passes dataset_kwargs (corpus, lang, split) and all metadata; of the latter only ``samples`` counts,
    and the environment variable XLIFT_SAMPLES stands in for it.
    """
    show_in_one_line()  # lm-eval's command calls nothing of ours before
    policy = _policy(samples or os.environ.get("XLIFT_SAMPLES") or "never")
    return {split or _table(corpus)[1].splits[0]: read(corpus, lang, split, samples=policy)}


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


def _choose(corpus: str, lang: str, split: str | None) -> tuple[str, Choice]:
    name, table = _table(corpus)
    part = corpus.partition("/")[2] or None
    if part and part not in table.parts:
        has = f" has no part {part!r}{name_nearest(part, table.parts)}" if table.parts else f" has no parts: ask for {name!r}"
        raise UserError(f"corpus {name}{has}")
    split = split or table.splits[0]
    if split not in table.splits:
        raise UserError(f"corpus {name} has no split {split!r}{name_nearest(split, table.splits)}")
    langs = _languages(lang, table.pairs, open_ended=not table.languages)
    for code in langs:
        if table.languages and code not in table.languages:
            raise LanguageMissingError(f"corpus {name} has no {code!r}{name_nearest(code, table.languages)}")
    return name, Choice(langs, split, part)


def _languages(lang: str, pairs: bool, open_ended: bool) -> tuple[str, ...]:
    if open_ended:
        return (_known(lang) or lang,)
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
    """The Arrow file of a reading, which is made where it is not in the cache."""
    name, choice = _choose(corpus, lang, split)
    found = _locate(name, choice, samples)
    title = "_".join([*corpus.split("/"), *choice.langs, choice.split])
    key = _join([_code_digest(), found[0].origin, *(item.sha256 for item in found)])
    path = cache_folder() / "rows" / f"{title}-{key[:24]}.arrow"
    if not path.is_file():
        write_whole(path, _to_arrow(_build(name, choice, found)))
    return path


def _locate(name: str, choice: Choice, samples: Samples) -> list[Found]:
    """The source files of a choice, from the first source that has them."""
    wanted = CORPORA[name].files(choice)
    found, reasons = ([], []) if samples == "always" else _outside(wanted, choice, partial=bool(CORPORA[name].parts))
    if found:
        return found
    sample = _sample(name, choice)
    if sample and samples != "never":
        return [sample]
    if samples != "never":
        reasons.append(f"no bundled samples for {'-'.join(choice.langs)!r} in split {choice.split}")
    asked = f"{name}{'/' + choice.part if choice.part else ''} in {'-'.join(choice.langs)!r}, split {choice.split}"
    remedies = _remedies(wanted, samples, sampled=sample is not None)
    raise LanguageMissingError(f"{asked}, is not to be had ({'; '.join(reasons)}): {', or '.join(remedies)}")


def _outside(wanted: Sequence[File], choice: Choice, partial: bool) -> tuple[list[Found], list[str]]:
    """The files in the folder or on the hub, and why those that are missing are; no file where one is missing and not ``partial``."""
    if not wanted:
        return [], [f"no file for {choice.langs[0]!r} is known"]
    folder = data_folder()
    found: list[Found] = []
    missing: list[str] = []
    reasons: list[str] = []
    for file in wanted:
        try:
            found.append(find_in_folder(file) or fetch(file))
        except Absent as absent:
            missing += [file.folder] if file.folder else []
            reasons.append(str(absent))
    if found and (partial or not reasons):
        return found, []
    looked = f"not in {folder}, XLIFT_DATA: {', '.join(missing)}" if folder else "XLIFT_DATA is not set"
    return [], list(dict.fromkeys([looked, *reasons]))


def _remedies(wanted: Sequence[File], samples: Samples, sampled: bool) -> list[str]:
    if samples == "always":
        return ["choose what the samples have", "set data.samples to missing, so that the data folder and the hub are asked first"]
    remotes = [file.remote for file in wanted if file.remote]
    on_hub = next((remote for remote in remotes if remote.host == "hub"), None)
    remedies = ["set XLIFT_DATA to a folder that has it"]
    if on_hub:
        remedies.append(f"run 'hf download {on_hub.repo} {on_hub.path} --repo-type dataset --revision {on_hub.revision}'")
    elif remotes:
        remedies.append("connect to the network")
    if sampled:
        remedies.append(
            "allow the bundled samples (data.samples: missing in a suite, --set data.samples=missing, XLIFT_SAMPLES=missing for lm_eval)"
        )
    return remedies


def _sample(name: str, choice: Choice) -> Found | None:
    table, path = CORPORA[name], _SAMPLES / f"{name}.jsonl"
    if choice.split not in table.sampled:
        return None
    spoken = set(records(path, ())[0]) - set(table.shared)
    return Found(File(None), path, file_sha256(path), "samples") if spoken.issuperset(choice.langs) else None


def _build(name: str, choice: Choice, found: Sequence[Found]) -> list[Row]:
    table, paths = CORPORA[name], ", ".join(str(item.path) for item in found)
    sample = table.sample
    try:
        if sample and found[0].origin == "samples":
            rows = [sample(item, choice) for item in records(found[0].path, ())]
        else:
            rows = list(table.rows([(item.file, records(item.path, item.file.columns)) for item in found], choice))
    except (KeyError, ValueError, TypeError, IndexError, EOFError, OSError) as error:
        raise UserError(f"{paths}: not laid out as {name} is ({type(error).__name__}: {one_line(error)})") from error
    if not rows:
        raise UserError(f"{paths}: no rows of {name} in {'-'.join(choice.langs)!r}")
    return rows


def _join(digests: Sequence[str]) -> str:
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _to_arrow(rows: Sequence[Row]) -> memoryview:
    import pyarrow as pa

    def type_of(column: str) -> pa.DataType:
        answers = pa.struct({"text": pa.list_(pa.string()), "answer_start": pa.list_(pa.int32())})
        return answers if column == "answers" else pa.string()

    content = hashlib.sha256()
    for row in rows:
        content.update(f"{json.dumps(row)}\n".encode())
    schema = pa.schema({column: type_of(column) for column in rows[0]}, metadata={_ROWS_SHA256: content.hexdigest()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.Table.from_pylist(list(rows), schema=schema), max_chunksize=1000)
    return memoryview(sink.getvalue())


@cache
def _code_digest() -> str:
    """Changes with the code that makes rows, so that no row outlives it: all that may be imported here is in these two packages."""
    code: dict[str, Path] = {}
    for package in ("xlift.tasks", "xlift.harness.core"):
        folder = Path(str(files(package)))
        code |= {f"{package}/{path.relative_to(folder)}": path for path in list_files(folder) if path.suffix in (".py", ".tsv")}
    return hash_files(code)
