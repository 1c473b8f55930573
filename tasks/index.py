"""The tasks by name: which there are, what data each asks for, and FLORES pairs made on demand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.languages import find, languages
from xlift.tasks import data, make_yaml

Source = tuple[str, str, str]
"""Corpus, language and split."""

JUDGED = "xlift_judged_x_alpaca_eval"
"""How the tasks begin that ask a judge within lm-eval."""

_PAIR = re.compile(r"xlift_flores_([a-z]{3}_[A-Z][a-z]{3})_([a-z]{3}_[A-Z][a-z]{3})")


class _Loader(yaml.SafeLoader):
    """Reads task YAML without importing what ``!function`` names."""


_Loader.add_constructor("!function", lambda loader, node: str(node.value))


def folder() -> Path:
    """The folder for ``lm_eval --include_path``."""
    return Path(__file__).parent


def is_ours(name: str) -> bool:
    """Whether a task or group is xlift's; others are left to lm-eval."""
    return name.startswith("xlift_")


def exists(name: str) -> bool:
    """Whether a task can be had: a file, a FLORES pair to be written, or a task of lm-eval's own (not checked here)."""
    return not is_ours(name) or name in _files() or _pair(name) is not None


def pairs_with_itself(name: str) -> bool:
    """Whether a task would ask for a translation into the language it comes from."""
    match = _PAIR.fullmatch(name)
    return match is not None and match[1] == match[2]


def expand(name: str) -> list[str]:
    """The tasks of a group, or the task itself. Raises UserError with the nearest name."""
    if not exists(name):
        raise UserError(f"unknown task {name!r}{name_nearest(name, _files())}")
    members = _read(name).get("task") if name in _files() else None
    return [one for member in members for one in expand(member)] if isinstance(members, list) else [name]


def source_of(name: str) -> Source | None:
    """What a task reads; None for tasks that are not xlift's."""
    if not is_ours(name):
        return None
    if name not in _files():
        return "flores", "-".join(_pair_or_raise(name)), "devtest"
    wanted = _read(name)["dataset_kwargs"]
    return wanted["corpus"], wanted["lang"], wanted["split"]


@cache
def answer_language(name: str) -> str | None:
    """Short code of the language a task's answers are expected in: the target of a translation, the context of a cross-lingual question.

    None for tasks that are not xlift's.
    """
    source = source_of(name) if exists(name) else None
    if source is None:
        return None
    corpus, lang, _ = source
    if corpus in ("flores", "mlqa") and "-" in lang:
        first, second = lang.split("-")
        return find(second if corpus == "flores" else first).code
    return find(lang).code


def sources(names: Iterable[str]) -> list[Source]:
    """What the tasks read, each once."""
    found = (source_of(name) for name in names)
    return list(dict.fromkeys(source for source in found if source))


def data_of(name: str, samples: data.Samples) -> data.Origin | None:
    """Where a task's data come from and their hash. Raises UserError where they are not to be had."""
    source = source_of(name)
    return data.locate(*source, samples=samples) if source else None


def signatures_of(name: str) -> dict[str, str]:
    """sacrebleu's signatures of a translation task's metrics; empty for other tasks."""
    source = source_of(name)
    if source is None or source[0] != "flores":
        return {}
    from xlift.tasks.translation import signatures

    return signatures(find(source[1].split("-")[1]).code)


def write_pairs(names: Iterable[str], out: Path) -> None:
    """Write the YAML of those tasks that are FLORES pairs without a file."""
    for name in names:
        if is_ours(name) and name not in _files():
            make_yaml.write_pair(*_pair_or_raise(name), out)


def write_pair_file(pair: str, out: Path) -> Path:
    """Write one FLORES pair, ``deu_Latn-fra_Latn`` or ``de-fr``, and return its file."""
    source, dash, target = pair.partition("-")
    if not dash:
        raise UserError(f"--pair {pair!r}: write two languages with '-' between them, such as deu_Latn-fra_Latn")
    return make_yaml.write_pair(find(source).flores, find(target).flores, out)


def list_all() -> list[dict[str, Any]]:
    """Groups with their sizes, then tasks."""
    rows = [
        {"name": name, "tasks": len(expand(name)), "reads": "/".join(source_of(name) or ()) if len(expand(name)) == 1 else ""}
        for name in sorted(_files())
    ]
    return sorted(rows, key=lambda row: (row["tasks"] == 1, row["name"]))


def languages_of_benchmarks() -> dict[str, list[str]]:
    """Benchmarks that have a language, by its short code."""
    covered: dict[str, list[str]] = {code: ["flores"] for code in languages()}
    for name in _files():
        match = re.fullmatch(r"xlift_(mgsm_cot|xquad|mlqa|x_alpaca_eval)_([a-z]{2})", name)
        if match:
            covered[match[2]].append(match[1].removesuffix("_cot"))
    return covered


@cache
def _files() -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder().glob("*/xlift_*.yaml"))}


@cache
def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(_files()[name].read_text(encoding="utf-8"), _Loader)
    return found


def _pair(name: str) -> tuple[str, str] | None:
    match = _PAIR.fullmatch(name)
    known = {language.flores for language in languages().values()}
    return (match[1], match[2]) if match and match[1] != match[2] and {match[1], match[2]} <= known else None


def _pair_or_raise(name: str) -> tuple[str, str]:
    pair = _pair(name)
    if pair is None:
        raise UserError(f"unknown task {name!r}{name_nearest(name, _files())}")
    return pair
