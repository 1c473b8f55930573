"""The places in which xlift keeps what it made, and texts without the folders of this machine."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from xlift.harness.core.errors import UserError


def cache_folder() -> Path:
    """XLIFT_CACHE, else ~/.cache/xlift. It is safe to delete at any time. Raises UserError if it cannot be made."""
    folder = Path(os.environ.get("XLIFT_CACHE") or "~/.cache/xlift").expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the cache {folder} cannot be written ({error.strerror}): set XLIFT_CACHE to a folder with room") from None
    return folder


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write a file of the cache so that readers see all of it or nothing. Raises UserError on a full or read-only disk."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".part-")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"the cache {cache_folder()} cannot be written ({reason}): set XLIFT_CACHE to a folder with room") from None


_PLACE = re.compile(r"""(?<![\w.:/<>*~}-])(?:~|\.{0,2})/[^\s'"|;]+""")


def hide_places(command: str) -> str:
    """A command line as others may read it: a file or folder of this machine is replaced by its name, and so is what looks like one.

    What begins with a slash but does not exist here may be an expression, as in ``sed /^$/d``. It is cut only if it looks like a place
    several folders deep.
    """
    return _PLACE.sub(_cut_place, command)


def _cut_place(found: re.Match[str]) -> str:
    path = Path(found[0]).expanduser()
    if path.exists():
        return path.name or found[0]
    return f".../{path.name}" if re.match(r"(~|/[\w.+@-]+)/[\w.+@-]", found[0]) else found[0]
