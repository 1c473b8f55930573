"""Readings of each kind of published file, and what is refused or left over of them."""

from pathlib import Path

import pytest

from xlift.harness.core.errors import UserError
from xlift.tasks.data import read

RAW, ARCHIVE, HUB = ("gsm8k", "en"), ("mlqa", "vi"), ("belebele", "de")
KINDS = pytest.mark.parametrize("asked", [RAW, ARCHIVE, HUB, ("alpaca/full", "en")], ids=["raw", "archive", "hub-jsonl", "hub-parquet"])


def refusal(*asked: str) -> str:
    with pytest.raises(UserError) as caught:
        read(*asked)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def left_over(folder: Path) -> list[str]:
    """What lies in the caches of downloads, but for locks and notes."""
    places = [folder / "cache" / "downloads", folder / "hub-cache"]
    found = [path for place in places for path in place.rglob("*") if path.is_file() and ".locks" not in path.parts]
    return sorted(path.name for path in found if path.suffix not in (".lock", ".TAG") and path.parent.name != "refs")
