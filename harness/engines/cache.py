"""A model's answers, remembered on disk by model, adapter, sampling and chat: none is paid for twice, and a kill loses little."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xlift.harness.core.hashing import digest
from xlift.harness.core.types import Answer, Chat, Json, Sampling

if TYPE_CHECKING:
    from xlift.harness.engines.base import Engine

CHUNK = 256


@dataclass(frozen=True)
class Generations:
    """The answers of one model, in one folder; ``start`` gives its engine and is called only for answers that are not there yet."""

    folder: Path
    model: Mapping[str, Json]
    """All that can move an answer besides chat and sampling: base, template, adapter, engine settings."""
    start: Callable[[], Engine]

    def answer(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        """Answers in the order of the chats; equal chats are asked once where decoding is greedy.

        Chats are asked in chunks of 256, each chunk whole, so that a resumed run sees the batches of an undisturbed one.
        """
        keys = [digest([*chat], 32) for chat in chats]
        if sampling.temperature:  # equal prompts get different answers, which depend on their places
            keys = [f"{place}-{key}" for place, key in enumerate(keys)]
        asked = dict(zip(keys, chats, strict=True))
        whole = digest(keys, 32) if sampling.temperature else None
        path = self.folder / f"{digest({'model': self.model, 'sampling': asdict(sampling), 'chats': whole}, 32)}.jsonl"
        known, order = _read(path), list(asked)
        chunks = [order] if sampling.temperature else [order[at : at + CHUNK] for at in range(0, len(order), CHUNK)]
        for chunk in chunks:
            if any(key not in known for key in chunk):
                answers = self.start().generate([asked[key] for key in chunk], sampling)
                known |= dict(zip(chunk, answers, strict=True))
                _append(path, {key: known[key] for key in chunk})
        return [known[key] for key in keys]


def _read(path: Path) -> dict[str, Answer]:
    if not path.is_file():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return {row["chat"]: Answer(row["text"], row["tokens"], row["finished"]) for row in rows}


def _append(path: Path, answers: Mapping[str, Answer]) -> None:
    """Written anew and moved into place: a kill leaves the file as it was, not half a line in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    lines = (json.dumps({"chat": key, **asdict(answer)}, ensure_ascii=False) + "\n" for key, answer in {**_read(path), **answers}.items())
    partial.write_text("".join(lines), encoding="utf-8")
    partial.replace(path)
