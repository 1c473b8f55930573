"""The answers of an item whose likelihoods are taken: lm-eval's ``doc_to_choice``, with one function for each kind of benchmark.

Spaces around an answer are removed. Raises UserError for an empty answer, because it has no bytes over which its bits could be counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xlift.harness.core.errors import UserError
from xlift.tasks.wording import read_prompts

REFERENCE_BYTES = 1000
"""The most bytes of a reference answer to an instruction that are scored, so that with every tokenizer the prompt has room beside it."""

Document = Mapping[str, Any]


def translation(doc: Document) -> list[str]:
    """The reference translation."""
    return _clean(doc, [doc["target"]])


def sentence(doc: Document) -> list[str]:
    """The sentence itself."""
    return _clean(doc, [doc["text"]])


def spans(doc: Document) -> list[str]:
    """All spans that count as right, each once."""
    return _clean(doc, doc["answers"]["text"])


def number_sentence(doc: Document) -> list[str]:
    """The sentence that MGSM's exemplars end with, with the right number."""
    [number] = _strip(doc, [doc["answer"]])
    return [read_prompts()["mgsm"][doc["lang"]]["answer"].replace("N", number)]


def reference(doc: Document) -> list[str]:
    """The beginning of another model's answer to an instruction: as many whole words as fit into ``REFERENCE_BYTES``."""
    return [_cut(answer) for answer in _clean(doc, [doc["output"]])]


def sentences(doc: Document) -> list[str]:
    """Both sentences of an item of XCOPA, of which one is right."""
    return _strip(doc, [doc["choice1"], doc["choice2"]])


def facts(doc: Document) -> list[str]:
    """A sentence of BMLAMA with each candidate in its gap."""
    candidates = _strip(doc, doc["candidates"].split("\t"))
    return [doc["prompt"].replace("<mask>", candidate) for candidate in candidates]


def _cut(text: str) -> str:
    encoded = text.encode()
    if len(encoded) <= REFERENCE_BYTES:
        return text
    begun = encoded[:REFERENCE_BYTES].decode(errors="ignore")
    if text[len(begun)].isspace() or begun[-1].isspace():
        return begun.rstrip()
    words = begun.rsplit(maxsplit=1)
    return words[0].rstrip() if len(words) > 1 and 2 * len(words[0]) > len(begun) else begun  # some scripts have no spaces


def _clean(doc: Document, answers: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(_strip(doc, answers)))


def _strip(doc: Document, answers: Sequence[str]) -> list[str]:
    stripped = [answer.strip() for answer in answers]
    if not stripped or "" in stripped:
        raise UserError(f"item {doc.get('id')}: an answer is empty, so it has no likelihood; mend the data")
    return stripped
