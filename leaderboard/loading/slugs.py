"""Names of files and page addresses made of any text."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache


def slug(*names: str) -> str:
    """A file name from any texts: lower-case ASCII letters, digits, ``-`` and ``_``. A hash is added if something had to be changed.

    Different names get different slugs, on file systems that ignore case as well.
    """
    return "--".join(_slug(name) for name in names)


@lru_cache(maxsize=100_000)
def _slug(name: str) -> str:
    kept = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[:48].strip("-")
    if kept == name and name:
        return kept
    return f"{kept or 'x'}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}"
