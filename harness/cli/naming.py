"""Which suite an error is about, for commands that take several or that find a mistake after they have read the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xlift
from xlift.harness.core.errors import UserError


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Put the name of a suite in front of an error that begins with one of its keys: a suite that was read does not know its file."""
    try:
        yield
    except UserError as error:
        key = re.match(r"(\w+)[.:]", str(error))
        if key and key[1] in xlift.Suite.model_fields:
            error.args = (f"{Path(source).name}: {error}",)
        raise
