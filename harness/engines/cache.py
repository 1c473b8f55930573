"""A model's answers, remembered on disk by model, adapter, sampling and chat. None is computed twice, and a kill loses little."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlift.harness.core.hashing import digest
from xlift.harness.core.kept_lines import KeptLines
from xlift.harness.core.types import Answer, Chat, Json, Sampling

if TYPE_CHECKING:
    from xlift.harness.engines.base import Engine

CHUNK = 256


@dataclass(frozen=True)
class Generations:
    """The answers of one model, in one folder. ``start`` returns its engine, and is called only for answers that are not there yet."""

    folder: Path
    model: Mapping[str, Json]
    """Everything that can change an answer, except chat and sampling: base, template, adapter, engine settings."""
    start: Callable[[], Engine]
    files: dict[str, KeptLines[Answer]] = field(default_factory=dict)
    """The files that were opened, by name."""

    def answer(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        """Answers in the order of the chats. With greedy decoding, equal chats are asked once.

        Chats are asked in chunks of 256, and each chunk as a whole, so that a resumed run has the same batches as an undisturbed one.
        """
        keys = [digest([*chat], 32) for chat in chats]
        if sampling.temperature:  # equal prompts get different answers, which depend on their places
            keys = [f"{place}-{key}" for place, key in enumerate(keys)]
        asked = dict(zip(keys, chats, strict=True))
        whole = digest(keys, 32) if sampling.temperature else None
        kept = self._open(digest({"model": self.model, "sampling": asdict(sampling), "chats": whole}, 32))
        known, order = kept.find(asked), list(asked)
        chunks = [order] if sampling.temperature else [order[at : at + CHUNK] for at in range(0, len(order), CHUNK)]
        for chunk in chunks:
            if any(key not in known for key in chunk):
                answers = dict(zip(chunk, self.start().generate([asked[key] for key in chunk], sampling), strict=True))
                with kept.adding() as add:
                    add(answers)
                known = {**answers, **known}
        return [known[key] for key in keys]

    def _open(self, name: str) -> KeptLines[Answer]:
        return self.files.setdefault(name, KeptLines(self.folder / f"{name}.jsonl", _read_line, _write_line))


def _read_line(row: Mapping[str, Any]) -> tuple[str, Answer]:
    key, text, tokens, finished = row["chat"], row["text"], row["tokens"], row["finished"]
    thinking = row.get("thinking_tokens", 0)  # older lines have none
    known = ((key, str), (text, str), (tokens, int), (finished, bool), (thinking, int))
    if not all(isinstance(value, kind) for value, kind in known):
        raise TypeError(row)
    return key, Answer(text, tokens, finished, thinking)


def _write_line(key: str, answer: Answer) -> dict[str, object]:
    return {"chat": key, **asdict(answer)}
