"""Samples: what lm-eval wrote about each document that a model answered. Everything that reads answers or their scores uses this module."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from pathlib import Path
from types import MappingProxyType
from typing import Any

from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.evaluation.records import Measurement, find_older_scores
from xlift.tasks.entries import AS_WRITTEN
from xlift.tasks.judge import Said
from xlift.tasks.thinking import answer_of

SHARED_BY = ("context", "article")
"""Columns whose equal values make documents a group: questions to one paragraph, sentences of one article."""
NO_FILTER = "none"
"""lm-eval's name for answers as they were given."""


@dataclass(frozen=True)
class Choice:
    """One of several answers that a model did not write, but gave a likelihood."""

    text: str
    likelihood: float
    """The natural logarithm of its probability after the prompt, over all its tokens."""
    greedy: bool
    """Whether each of its tokens was the likeliest."""


@dataclass(frozen=True)
class SampleLine:
    """One document as one model answered it, under one filter. A published record keeps only its number, hash and scores."""

    doc_id: int
    doc_hash: str
    """Empty if lm-eval wrote none."""
    filter: str
    doc: Mapping[str, Any]
    """The document as its task loaded it."""
    prompt: str
    """The prompt as the model saw it."""
    target: str
    """The reference. Several references are separated by line breaks."""
    responses: list[Any] | None
    """Lists of answers, one for each request; None if a published record left them out."""
    filtered: Any
    """The answers after the filter, which may be of any type."""
    metrics: Mapping[str, Any]
    """Numbers. A metric of the whole corpus has the texts that it takes of this document."""
    group: str = ""
    """What the document shares with others, as ``name_group`` finds it; empty if it shares nothing."""
    choices: tuple[Choice, ...] = ()
    """The answers whose likelihoods were taken; none if an answer was generated."""

    @property
    def likeliest(self) -> str | None:
        """The likeliest of the choices, if no other one is as likely; None if an answer was generated."""
        if len(self.choices) == 1:
            return self.choices[0].text if self.choices[0].greedy else ""
        return max(self.choices, key=lambda choice: choice.likelihood).text if self.choices else None

    @property
    def answer(self) -> str:
        """The first answer, as it was given, or the likeliest of several choices."""
        return read_text(self.responses) if self.likeliest is None else self.likeliest

    @property
    def extracted(self) -> str:
        """The first answer after the filter, or the likeliest of several choices as it is."""
        return read_text(self.filtered) if self.likeliest is None else self.likeliest


def find_samples(measured: Measurement, task: str) -> Path:
    """The sample file of a task. Raises UserError for a task that was not measured, and for a file that is gone."""
    record = measured.record
    if task not in record.tasks:
        raise UserError(f"{record.name}: no task {task!r}{name_nearest(task, record.tasks)}")
    file = record.tasks[task].samples
    if file is None or not (measured.stage / file).is_file():
        raise UserError(f"{measured.stage}: the samples of {task} by {record.name} are gone ({file}); evaluate it again")
    return measured.stage / file


def read_samples(path: Path, sha256: str | None = None) -> list[SampleLine]:
    """The lines of a sample file, in their order. Raises UserError if it is damaged, or has another sha256 than the record says."""
    try:
        return [_parse(line) for line in read_lines(path, sha256)]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _damaged(path) from None


def read_lines(path: Path, sha256: str | None = None) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines in a stage's folder. Raises UserError as ``read_samples`` does."""
    data = path.read_bytes()
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{path}: not the samples that were measured, but cut or edited; delete the folder {path.parent} and run again")
    try:
        rows = [json.loads(line) for line in data.decode().split("\n") if line.strip()]
    except (ValueError, RecursionError):
        raise _damaged(path) from None
    if not all(isinstance(row, dict) for row in rows):
        raise _damaged(path)
    return rows


def read_answers(measured: Measurement, task: str) -> list[Said]:
    """A model's answers to instructions, in the order of the items. Raises UserError if the samples are gone, damaged, or those of other
    tasks."""
    path = find_samples(measured, task)
    result = measured.record.tasks[task]
    lines = sorted(take_first_filter(read_samples(path, result.samples_sha256)), key=lambda line: line.doc_id)
    if len(lines) < (items := result.items):
        raise UserError(f"{path}: {len(lines)} of {items} answers, so it was cut; evaluate {measured.record.name} again")
    try:
        return [Said(str(line.doc["id"]), line.doc["lang"], line.doc["instruction"], answer_of(line.answer).strip()) for line in lines]
    except KeyError:
        raise UserError(f"{path}: no samples of instructions that are answered; evaluate {measured.record.name} again") from None


def name_group(document: Mapping[str, object], articles: Mapping[str, str] = MappingProxyType({})) -> str:
    """A name for what a document shares with others: a paragraph with its questions, or its article, found by the document's id.

    It is empty if the document shares nothing that is known.
    """
    for found in (articles.get(str(document.get("id"))), *(document.get(column) for column in SHARED_BY)):
        if isinstance(found, str) and found:
            return hashlib.sha256(found.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return ""


def take_first_filter(lines: Iterable[SampleLine]) -> list[SampleLine]:
    """Each document once: the lines of the filter that comes first. The answers are the same under each filter."""
    found = list(lines)
    return [line for line in found if line.filter == found[0].filter]


def read_text(value: Any) -> str:
    """The first text in lm-eval's nested lists. Several references are separated by line breaks."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        if len(value) > 1 and all(isinstance(one, str) for one in value):
            return "\n".join(value)
        return read_text(value[0]) if value else ""
    return "" if value is None else str(value)


def _parse(row: Mapping[str, Any]) -> SampleLine:
    doc, metrics, number = row.get("doc"), row.get("metrics"), row["doc_id"]
    if not isinstance(number, int):
        raise TypeError(number)
    choices = _find_choices(row.get("arguments"), row.get("resps"))
    return SampleLine(
        doc_id=number,
        doc_hash=str(row.get("doc_hash") or ""),
        filter=str(row.get("filter", NO_FILTER)),
        doc=doc if isinstance(doc, Mapping) else {},
        prompt=_find_prompt(row.get("arguments")),
        target=_find_target(row.get("target"), choices),
        responses=row.get("resps"),
        filtered=row.get("filtered_resps"),
        metrics=_read_metrics({str(name): row.get(name) for name in (metrics if isinstance(metrics, list) else ())}),
        group=str(row.get("group") or (name_group(doc) if isinstance(doc, Mapping) else "")),
        choices=choices,
    )


def _read_metrics(metrics: dict[str, Any]) -> dict[str, Any]:
    """The metrics of a line. Translations that an older xlift scored are changed to what they count now: a line in a wrong language is an
    empty one."""
    found = dict(metrics)
    for name in find_older_scores(metrics):
        found[f"{name}{AS_WRITTEN}"] = metrics[name]
        if metrics["off_target"]:
            texts = metrics[name]
            found[name] = [texts[0], "", *texts[2:]] if isinstance(texts, list) else 0.0
    return found


def _find_prompt(arguments: Any) -> str:
    """lm-eval writes the first request's arguments under gen_args_0, older versions as a list."""
    if isinstance(arguments, Mapping):
        first = arguments.get("gen_args_0")
        return read_text(first.get("arg_0") if isinstance(first, Mapping) else first)
    return read_text(arguments)


def _find_target(target: Any, choices: tuple[Choice, ...]) -> str:
    """The reference. If it is a number and no choice itself, it is the choice at that place, because lm-eval writes both as text, as it
    does with the list of the references of a text whose likelihood is measured."""
    text, texts = read_text(target), [choice.text for choice in choices]
    if choices and text.startswith("[") and text not in texts:
        try:
            return read_text(ast.literal_eval(text))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return text
    if text in texts or not text.isdecimal() or len(texts) < 2 or int(text) >= len(texts):
        return text
    return texts[int(text)]


def _find_choices(arguments: Any, responses: Any) -> tuple[Choice, ...]:
    """What the requests add to the first one's prompt, if that is text. A request to generate has settings in that place.

    If all requests add the same to different prompts, the choices are what differs between the prompts.
    """
    if not isinstance(arguments, Mapping) or responses is None:
        return ()
    pairs: list[tuple[str, str]] = []
    for request in arguments.values():
        prompt, added = (request.get("arg_0"), request.get("arg_1")) if isinstance(request, Mapping) else (None, None)
        if not isinstance(prompt, str) or not isinstance(added, str):
            return ()
        pairs.append((prompt, added))
    if not pairs:
        return ()
    texts = [added for prompt, added in pairs if prompt == pairs[0][0]]
    if len(texts) == 1 and len(pairs) > 1 and len({added for _, added in pairs}) == 1:
        texts = _cut_common([prompt for prompt, _ in pairs])
    scored = zip(texts, responses[: len(texts)], strict=True)
    return tuple(Choice(text.strip(), float(likelihood), str(greedy) == "True") for text, [[likelihood, greedy]] in scored)


def _cut_common(texts: Sequence[str]) -> list[str]:
    """Texts without the words that all begin with, and those that all end with."""
    split = [text.split(" ") for text in texts]
    start = len(commonprefix(split))
    end = len(commonprefix([words[start:][::-1] for words in split]))
    return [" ".join(words[start : len(words) - end]) for words in split]


def _damaged(path: Path) -> UserError:
    return UserError(f"{path}: damaged; delete the folder {path.parent} and run again")
