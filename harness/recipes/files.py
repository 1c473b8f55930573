"""Files that a method reads through its context: those that came with it, and those that a user names in its options."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.recipes.contract import Method, Options


@dataclass(frozen=True)
class MethodFile:
    """A file that a method asked for."""

    name: str
    """The name that was asked for."""
    origin: Literal["package", "user"]
    """Whether it is beside the method's own file or elsewhere on the machine."""
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def facts(self) -> Mapping[str, str | int]:
        """The facts that a manifest holds about it."""
        return {"name": self.name, "origin": self.origin, "bytes": len(self.content), "sha256": self.sha256}


def open_file(method: type[Method[Options]], name: str | Path) -> MethodFile:
    """A file beside the method's own, else one of the user's, looked for from the current folder. Raises UserError if it cannot be read."""
    path = Path(name).expanduser()
    own = Path(str(import_module(method.__module__).__file__)).parent
    found = own / path if (own / path).is_file() else path
    try:
        content = found.read_bytes()
    except FileNotFoundError:
        folder = own if (own / path).parent.is_dir() else Path()
        beside = [inner.relative_to(folder).as_posix() for inner in (folder / path).parent.glob("*") if inner.is_file()]
        raise UserError(f"{method.__name__} reads {str(name)!r}: no such file{name_nearest(path.as_posix(), beside)}") from None
    except OSError as error:
        raise UserError(f"{method.__name__} reads {str(name)!r}: cannot be read ({error.strerror})") from None
    return MethodFile(str(name), "package" if found.resolve().is_relative_to(own.resolve()) else "user", content)
