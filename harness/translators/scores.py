"""The scores that translation models give to translations, remembered on disk by translator, languages and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlift.harness.core.hashing import digest
from xlift.harness.core.kept_lines import KeptLines
from xlift.harness.translators.base import TRANSLATORS_VERSION, Translator

CHUNK = 1024
"""The number of translations that the translator gets at once. A killed run loses no more of them than that."""


@dataclass(frozen=True)
class Scores:
    """The scores of one translator, in one folder; without a folder nothing is remembered."""

    folder: Path | None
    translator: Translator

    def score(self, texts: Sequence[str], translations: Sequence[str], source: str, target: str) -> list[float | None]:
        """The translator's scores. It is asked only for pairs of texts that are not remembered, and once for each."""
        if not texts:
            return self.translator.score([], [], source, target)
        keys = [digest([text, translation], 32) for text, translation in zip(texts, translations, strict=True)]
        kept = self._open(source, target)
        known = kept.find(keys) if kept else {}
        asked = {key: pair for key, *pair in zip(keys, texts, translations, strict=True) if key not in known}
        order = list(asked)
        for start in range(0, len(order), CHUNK):
            chunk = order[start : start + CHUNK]
            found = self.translator.score([asked[key][0] for key in chunk], [asked[key][1] for key in chunk], source, target)
            made = dict(zip(chunk, found, strict=True))
            known |= made
            if kept:
                with kept.adding() as add:
                    add(made)
        return [known[key] for key in keys]

    def _open(self, source: str, target: str) -> KeptLines[float | None] | None:
        about = {"translator": self.translator.describe(), "version": TRANSLATORS_VERSION, "pair": [source, target]}
        return KeptLines(self.folder / f"{digest(about, 32)}.jsonl", _read_line, _write_line) if self.folder else None


def _read_line(row: Mapping[str, Any]) -> tuple[str, float | None]:
    key, score = row["pair"], row["score"]
    if not isinstance(key, str) or not (score is None or isinstance(score, float)):
        raise TypeError(row)
    return key, score


def _write_line(key: str, score: float | None) -> dict[str, object]:
    return {"pair": key, "score": score}
