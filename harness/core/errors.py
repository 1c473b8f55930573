"""The errors that users see, and how they are worded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from xlift.harness.core.secrets import redact


def one_line(error: BaseException) -> str:
    """An exception's message with its line breaks folded, at most 300 characters."""
    return re.sub(r"\s+", " ", str(error)).strip()[:300] or type(error).__name__


class UserError(Exception):
    """A mistake that the user can correct. It is shown as one line with exit code 2, never as a traceback. Secrets in its text are
    hidden."""

    exit_code = 2

    def __init__(self, text: str) -> None:
        super().__init__(redact(text))

    def __reduce__(self) -> tuple[type[UserError], tuple[str]]:
        """Keep the same text when the error is sent from a stage's process."""
        return type(self), (str(self),)


class ServiceError(UserError):
    """Another machine failed or could not be reached: the same command may work later. The exit code is 3."""

    exit_code = 3


class LeakError(UserError):
    """Evaluation data were asked for, or found, in training."""


class LanguageMissingError(UserError):
    """A corpus has no rows in a language, or none that can be read here. A method may translate those of another language instead."""


def guess(wrong: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """The nearest known name as the end of an error message; empty if none is as near as ``cutoff``, from 0 to 1."""
    near = get_close_matches(wrong, sorted(known), n=1, cutoff=cutoff)
    return f"; did you mean {near[0]!r}?" if near else ""


def name_nearest(wrong: str, known: Iterable[str], shown: int = 15) -> str:
    """The end of an error message: the nearest known name, and all known names if they are few."""
    names = sorted(known)
    hint = guess(wrong, names) or ";"
    listed = f" known: {', '.join(names)}" if len(names) <= shown else f" {len(names)} are known"
    return hint + listed


def guess_path(place: Path, pattern: str = "*", cutoff: float = 0.5) -> str:
    """The nearest of the paths beside one that does not exist, as the end of an error message; empty if none is near."""
    return guess(str(place), [str(place.parent / path.name) for path in place.parent.glob(pattern)], cutoff)


def name_run(place: Path) -> str:
    """The end of an error about a path that is no folder: the run folder that was probably meant."""
    if place.suffix in (".yaml", ".yml"):
        return f"it is a suite; name the folder of its run, such as runs/{place.stem}"
    if place.is_file():
        return "it is a file; name a run folder, such as runs/demo"
    return f"no such run folder{guess_path(place, '*/')}"
