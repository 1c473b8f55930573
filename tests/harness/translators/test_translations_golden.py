"""What translators make of the bundled samples, as one hash each: no change of the code may change translations unseen."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any
from zlib import crc32

import pytest

from xlift.harness.config.suite import TranslatorSettings
from xlift.harness.core.types import Answer, Chat, Sampling
from xlift.harness.translators.load import open_translator
from xlift.tasks.data import read_training

GOLDEN = {
    "command": "f7a33e59d37e7039ab716841a4a4b2896ef498f156cabf15bc421933c35c1c52",
    "self": "c2158c77c2fe2590801f1e114d9d69cfc3a7786605b2d0bf3d16dac87fe225ae",
    "table": "2116520b92a20c8d12d60de1fb7ba384390bbfedf2b673e6afb096d8f2965348",
}
SETTINGS: dict[str, dict[str, Any]] = {"command": {"kind": "command", "command": "tr a-z b-za"}, "self": {}, "table": {"kind": "table"}}


class Context:
    """A model that translates as it is asked to, and now and then adds to it, opens twice, or is cut off."""

    def __init__(self) -> None:
        self.asked: list[Chat] = []

    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        return list(read_training(corpus, lang, samples="always"))

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        self.asked += chats
        return [Answer(answer(chat[0]["content"]), 9, True) for chat in chats]


def answer(request: str) -> str:
    text = request.rpartition("<sentence>")[2].upper().replace("</SENTENCE>", "")
    match crc32(request.encode()) % 5:
        case 0:
            return text
        case 1:
            return f"Well: <translated>{text}</translated> and so on </translated>"
        case 2:
            return f"{text}<translated>{text[:40]}</translated>"
    return f"{text}</translated>"


@pytest.mark.parametrize("kind", GOLDEN)
def test_translations_stay_as_they_are(kind: str) -> None:
    context = Context()
    translator = open_translator(TranslatorSettings(**SETTINGS[kind]), context)
    rows = read_training("alpaca", "en", samples="always")
    texts = [
        *(row["en"] for row in read_training("parallel", "es", samples="always")),
        *rows["instruction"],
        *rows["output"],
        "",
        "- 12 -\n x",
    ]
    found = translator.translate(texts, "en", "es")
    assert sum(text is not None for text in found) > 20
    told = json.dumps([found, context.asked], ensure_ascii=False, sort_keys=True)
    digest = sha256(told.encode()).hexdigest()
    assert digest == GOLDEN[kind], (
        f"What the translator of kind {kind} makes of the bundled samples has changed. If it must not change, the code has a fault, so "
        f'mend the code. If it must change, raise TRANSLATORS_VERSION and write the new hash into GOLDEN: "{kind}": "{digest}",'
    )
