"""The leaderboard as a folder of files: results in, pages out, byte for byte the same for the same results."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from xlift.harness.core import hashing
from xlift.harness.core.errors import UserError
from xlift.harness.core.secrets import find_variable, name_variables
from xlift.harness.core.store import RESOLVED
from xlift.leaderboard.loading.folders import delete_files, read_state, write_file, write_state

if TYPE_CHECKING:
    from xlift.leaderboard.analysis.board import Board
    from xlift.leaderboard.site.row_pages import RowPages

PACKAGES = ("xlift.harness", "xlift.tasks", "xlift.methods", "xlift.leaderboard")

STATE = ".site.json"
"""What the site was built from and which files it has. A rebuild deletes those of them that it no longer makes, and no others."""


def build(results: Sequence[Path], out: Path, base: str | None = None, url: str = "") -> tuple[str, ...]:
    """Build the site of result folders in ``out``, and return a line for everything that was left out.

    ``base`` names the model with which results of other programs are compared, if they do not name it themselves. ``url`` is where the site
    will be published. Nothing is done if ``out`` was built from the same results, and a file is written only if it changes.

    Raises UserError for results that do not exist, hold nothing or hold a secret, for a ``url`` that is none, and if ``out`` holds files
    that are not a site's.
    """
    if url and not re.fullmatch(r"https?://[\w.:/~-]+", url, re.ASCII):
        raise UserError(f"{url!r} is no address of a site; one is https://example.org/board")
    before = read_state(out, STATE, "a site")
    key = fingerprint(results, base, url)
    if before.get("fingerprint") == key and all((out / name).is_file() for name in before["files"]):
        return tuple(before.get("left_out", ()))
    # Tables and charts take longer to import than an unchanged site takes to be known as such.
    from xlift.leaderboard.analysis import board
    from xlift.leaderboard.loading import foreign, runs

    _refuse_secrets(results)
    collection = runs.collect(results, foreign.read, base)
    try:
        write_state(out, STATE, {"files": before["files"]})  # so that a build that is killed can be made again in its place
        gc.freeze()  # nothing of the results is garbage, and statsmodels looks for some at each correction: a second at a thousand runs
        made = _write(out, board.make(collection), url)
        delete_files(out, set(before["files"]) - set(made))
        write_state(out, STATE, {"fingerprint": key, "left_out": list(collection.left_out), "files": sorted(made)})
    except OSError as error:
        raise UserError(f"{error.filename or out}: cannot write the site ({error.strerror}); choose another folder with --out") from None
    finally:
        gc.unfreeze()
    return collection.left_out


def list_files(out: Path) -> tuple[str, ...]:
    """The files of a site that was built in ``out``, by their names below it."""
    return tuple(read_state(out, STATE, "a site")["files"])


def owns(path: str) -> bool:
    """Whether a site may have made a file of this name."""
    return bool(
        re.fullmatch(
            r"(assets|bases|benchmarks|data|languages|methods|runs|samples)/.+"
            r"|(about|bases|benchmarks|compare|data|index|languages|methods|signal)\.html|feed\.xml|board\.png",
            path,
        )
    )


def fingerprint(results: Sequence[Path], base: str | None = None, url: str = "") -> str:
    """A hash of everything that a site is made from: the results, wherever they are, and the code with its tables, templates and
    descriptions."""
    parts = [version("xlift"), hashing.hash_files(_code_files()), base or "", url]
    for place in results:
        parts.append(hashing.hash_files({f"{place.name}/{path.relative_to(place).as_posix()}": path for path in _result_files(place)}))
    return hashing.digest(parts, 64)


def _refuse_secrets(results: Sequence[Path]) -> None:
    """Raise UserError if a result file holds the value of a secret environment variable, because pages would show it."""
    held = [(path, path.read_bytes()) for place in results for path in _result_files(place)]
    variables = {name for path, data in held if path.name == RESOLVED for name in _name_variables(data)}
    for path, data in held:
        if variable := find_variable(data, variables):
            raise UserError(f"{path}: holds the value of the environment variable {variable}, which the site would show; take it out")


def _name_variables(suite: bytes) -> set[str]:
    try:
        return name_variables(json.loads(suite))
    except (ValueError, RecursionError):  # damaged, which is told where it is read
        return set()


def _write(out: Path, board: Board, url: str) -> list[str]:
    """Write every file and return their names. Other cores write the rows' pages while this one writes the rest."""
    from xlift.harness.core.parallel import share
    from xlift.leaderboard.site.row_pages import list_rows

    rows = share(_write_row, [(out, job) for job in list_rows(board)])
    names = _write_files(out, _make(board, url))
    return [*names, *(name for row in rows for name in row)]


def _write_row(out: Path, given: RowPages) -> list[str]:
    from xlift.leaderboard.site.row_pages import render_row

    return _write_files(out, render_row(given))


def _write_files(out: Path, made: Iterable[tuple[str, str | bytes]]) -> list[str]:
    names = []
    for name, content in made:
        write_file(out, name, content)
        names.append(name)
    return names


def _make(board: Board, url: str) -> Iterator[tuple[str, str | bytes]]:
    """Name and content of every file that is not of one row."""
    from xlift.leaderboard.analysis.pairwise import compare_rows, tabulate
    from xlift.leaderboard.site.data_files import write_data
    from xlift.leaderboard.site.pages import render

    pairs = compare_rows(board)
    for path in sorted((Path(__file__).parent / "assets").iterdir()):
        yield f"assets/{path.name}", path.read_text(encoding="utf-8")
    yield from render(board, pairs, url)
    yield from write_data(board, tabulate(pairs))


def _code_files() -> dict[str, Path]:
    """Every file of xlift, because pages show methods' docstrings, benchmarks' headlines and languages' names."""
    found: dict[str, Path] = {}
    for package in PACKAGES:
        folder = Path(str(files(package)))
        found |= {f"{package}/{path.relative_to(folder).as_posix()}": path for path in hashing.list_files(folder)}
    # A working copy holds committed records there: results, which count where they are shown.
    return {name: path for name, path in found.items() if not name.startswith("xlift.leaderboard/results/")}


def _result_files(place: Path) -> list[Path]:
    if not place.exists():
        raise UserError(f"{place}: no such results; name run folders, such as runs/demo")
    if place.is_file():
        return [place]
    files = (path for pattern in ("*.json", "samples_*.jsonl", "verdicts_*.jsonl") for path in place.rglob(pattern))
    return sorted(path for path in files if path.is_file() and "adapter" not in path.relative_to(place).parts)
