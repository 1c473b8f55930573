"""Where xlift keeps what it made."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from xlift.harness.core.errors import UserError


def cache_folder() -> Path:
    """XLIFT_CACHE, else ~/.cache/xlift: safe to delete at any time. Raises UserError where it cannot be made."""
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
