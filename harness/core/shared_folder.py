"""Whether processes of several machines see the same folder under the same name: a secret word in it, which each must find."""

from __future__ import annotations

import secrets
import socket
from importlib.metadata import version
from pathlib import Path

from xlift.harness.core.errors import UserError
from xlift.harness.core.store import explain_disk

TOKEN = ".token"
"""In a folder, the file with secret words, one for each submission, that only those can read who see this very folder."""


def write_token(root: Path) -> str:
    """Put a new word into the folder, by which workers can tell whether they see it. Earlier words stay for workers that may still come."""
    word = secrets.token_hex(8)
    with explain_disk(root), (root / TOKEN).open("a", encoding="ascii") as file:
        file.write(f"{word}\n")
    return word


def require_token(root: Path, token: str) -> str:
    """Return the version of xlift here. Raises UserError if this machine sees another folder than the one with this word, or none."""
    if token not in _read_tokens(root):
        raise UserError(
            f"{root}: on {socket.gethostname()} this is not the folder that the run was started in, so the machines do not share it; "
            "choose a folder on a shared disk with --runs"
        )
    return version("xlift")


def _read_tokens(root: Path) -> list[str]:
    try:
        return (root / TOKEN).read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []
