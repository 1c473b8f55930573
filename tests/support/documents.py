"""What the pages of the documents show: their blocks and their commands."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PRINTED = {"docs/command.md", "docs/performance.md"}
"""Pages whose blocks hold what programs printed, and which no reader types."""


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def list_blocks(page: str, *languages: str) -> list[str]:
    """The fenced blocks of a page in one of these languages."""
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)
    return [block[2] for block in found if block[1] in languages]


def list_commands(page: str, name: str) -> Iterator[list[str]]:
    """The commands of a page that begin with a name, as lists of arguments, without comments and without brackets."""
    for block in [] if page in PRINTED else list_blocks(page, "", "sh", "bash", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            shown = re.sub(r"^\$ |^(?:export )?(?:[A-Z_]+=\S+ )+", "", re.split(r"\s{2,}(?=\S)|\s#\s", re.sub(r" +(?=-)", " ", line))[0])
            if shown.startswith(f"{name} "):
                words = re.sub(r"\[(?=--)|(?<=[\w.])\](?= |$)", "", shown.split(" | ")[0])
                yield shlex.split(words)[1:]
