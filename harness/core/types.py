"""The plain data that all parts share: training rows and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias, TypedDict

Json: TypeAlias = "None | bool | int | float | str | Sequence[Json] | Mapping[str, Json]"
"""Anything that a JSON file can hold, for data that are only read."""


class Message(TypedDict):
    """One turn of a chat; ``role`` is system, user or assistant."""

    role: str
    content: str


Chat = tuple[Message, ...]


CorpusRow = Mapping[str, object]
"""One row of a corpus, by its columns, which docs/data.md lists."""


@dataclass(frozen=True)
class Example:
    """One supervised row. The loss is on ``response`` alone."""

    messages: Chat
    """The turns before the response; the last one is the user's."""
    response: str
    lang: str
    """The language of the response, an xlift code (``es``)."""
    id: str
    """Unique in a plan, and the same in all runs."""
    kind: str
    """The part of the recipe to which the row belongs, for shares and counts of drops."""

    def to_dict(self) -> dict[str, object]:
        return {**asdict(self), "messages": list(self.messages)}


@dataclass(frozen=True)
class Preference:
    """One preference pair: two answers to the same chat, of which one is preferred."""

    messages: Chat
    """The turns before the answer; the last one is the user's."""
    chosen: str
    rejected: str
    lang: str
    """The language of the chosen answer, an xlift code."""
    id: str
    """Unique in a plan, and the same in all runs."""
    kind: str
    """The part of the recipe to which the pair belongs, for shares and counts of drops."""
    twin: Preference | None = None
    """The pair of the same prompt in the pivot, which has no twin itself. Only ``Gap`` uses it."""

    def to_dict(self) -> dict[str, object]:
        found = {**asdict(self), "messages": list(self.messages)}
        del found["twin"]
        return {**found, "twin": self.twin.to_dict()} if self.twin else found


@dataclass(frozen=True)
class Parallel:
    """Texts that say the same in several languages. Nothing is answered; the model's states on the texts are compared."""

    texts: Mapping[str, str | Chat]
    """A text or chat for each language (xlift codes). A chat is read up to where its answer begins, and a text is read unchanged."""
    anchor: str
    """The language that the others are compared with."""
    id: str
    """Unique in a plan, and the same in all runs."""
    kind: str
    """The part of the recipe to which the row belongs, for shares and counts of drops."""

    @property
    def lang(self) -> str:
        """The language beside the anchor, or the anchor if there are several."""
        others = [lang for lang in self.texts if lang != self.anchor]
        return others[0] if len(others) == 1 else self.anchor

    def to_dict(self) -> dict[str, object]:
        texts = {lang: text if isinstance(text, str) else list(text) for lang, text in self.texts.items()}
        return {"texts": texts, "anchor": self.anchor, "id": self.id, "kind": self.kind}


Row: TypeAlias = "Example | Preference | Parallel"
Rows: TypeAlias = "tuple[Example, ...] | tuple[Preference, ...] | tuple[Parallel | Example, ...]"
"""The rows of one training. They are all of one sort, but parallel rows may have examples beside them."""


def ask(prompt: str, system: str | None = None) -> Chat:
    """A chat of one user turn, with a system turn before it if one is given."""
    head: Chat = ({"role": "system", "content": system},) if system else ()
    return (*head, {"role": "user", "content": prompt})


def list_texts(row: Row) -> list[str]:
    """The texts with which a row is asked and answered, or what it says in each language: texts that must not be evaluation items."""
    if isinstance(row, Parallel):
        return [text if isinstance(text, str) else text[-1]["content"] for text in row.texts.values()]
    if isinstance(row, Example):
        return [row.messages[-1]["content"], row.response]
    twin = list_texts(row.twin) if row.twin else []
    return [row.messages[-1]["content"], row.chosen, row.rejected, *twin]


def list_languages(row: Row) -> list[str]:
    """The languages of a row's answers, or of its parallel texts."""
    if isinstance(row, Parallel):
        return list(row.texts)
    twin = row.twin if isinstance(row, Preference) else None
    return [row.lang, *([twin.lang] if twin else [])]


def read_row(values: Mapping[str, Any]) -> Row:
    """A row from the plain data of its ``to_dict``."""
    if "texts" in values:
        texts = {lang: text if isinstance(text, str) else tuple(text) for lang, text in values["texts"].items()}
        return Parallel(**{**values, "texts": texts})
    values = {**values, "messages": tuple(values["messages"])}
    if "chosen" not in values:
        return Example(**values)
    return Preference(**{**values, "twin": read_row(values["twin"]) if values.get("twin") else None})


@dataclass(frozen=True)
class Sampling:
    """How answers are decoded. The default is greedy, the only setting with which answers can be compared."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    """Strings that end the answer. They are not part of it."""
    seed: int = 0


@dataclass(frozen=True)
class Answer:
    """What a model said to one chat."""

    text: str
    tokens: int
    """The number of generated tokens, including the end token."""
    finished: bool
    """False if ``max_tokens`` cut the answer off."""
    thinking_tokens: int = 0
    """How many of the tokens came before the answer, including the tags of thinking."""


@dataclass(frozen=True)
class Likelihood:
    """How likely a model finds an answer directly after a prompt."""

    nats: float
    """The natural logarithm of its probability, summed over its tokens."""
    tokens: int
    greedy: bool
    """Whether greedy decoding would write it."""
