"""Environment variables that settings name in place of secrets."""

from __future__ import annotations

import os
import re
from urllib.parse import quote

from xlift.harness.core import secrets
from xlift.harness.core.errors import UserError


def expand(text: str, where: str) -> str:
    """The text with each ``${NAME}`` replaced by the value of that environment variable. Raises UserError if one is not set."""
    return secrets.REFERENCE.sub(lambda found: _read(found, where), text)


def expand_address(text: str, where: str) -> str:
    """``expand`` for an address, in which the characters of a value must not end a part of the address."""
    return secrets.REFERENCE.sub(lambda found: quote(_read(found, where), safe=""), text)


def read_key(variable: str) -> str | None:
    """The key in an environment variable, which is hidden from then on; None if it is not set or is empty."""
    secrets.note(variable)
    return os.environ.get(variable) or None


def _read(found: re.Match[str], where: str) -> str:
    value = read_key(found[1])
    if value is None:
        raise UserError(f"{where}: the environment variable {found[1]} is not set; set it, or take {found[0]} out")
    return value
