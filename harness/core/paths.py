"""Where xlift keeps what it made."""

from __future__ import annotations

import os
from pathlib import Path

from xlift.harness.core.errors import UserError


def cache_folder() -> Path:
    """Where xlift keeps what it made from downloads: XLIFT_CACHE, else ~/.cache/xlift. Raises UserError where it cannot be written."""
    folder = Path(os.environ.get("XLIFT_CACHE") or "~/.cache/xlift").expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cache folder {folder}: {error.strerror}; set XLIFT_CACHE to a folder that can be written") from None
    return folder
