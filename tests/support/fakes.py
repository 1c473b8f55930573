"""A world for methods without data or a model: corpora of a few sentences, shaped as docs/data.md says."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xlift.harness.core.errors import LanguageMissingError, LeakError
from xlift.harness.plugin import Answer, Chat, Sampling

TEXT = {
    "en": "the little bird sings in the garden every morning",
    "es": "el pequeño pájaro canta en el jardín cada mañana",
    "sw": "ndege mdogo anaimba katika bustani kila asubuhi",
    "zh": "小鸟每天早上在大花园里唱歌真好听",
}
WORDS = {
    "es": {"bird": "pájaro", "garden": "jardín", "morning": "mañana", "sings": "canta", "the": "el"},
    "sw": {"bird": "ndege", "garden": "bustani", "morning": "asubuhi", "sings": "anaimba"},
}


class FakeContext:
    """Forty rows a corpus and language; the model says its prompt in capitals, the translator adds the language to a text."""

    def __init__(self, languages: tuple[str, ...] = ("es", "sw"), budget: int | None = 60, pivot: str = "en") -> None:
        self.languages, self.pivot, self.budget, self.round = languages, pivot, budget, 0
        self.asked: list[Chat] = []
        self.translated: list[tuple[str, str, str]] = []

    @property
    def rng(self) -> random.Random:
        return random.Random(7)

    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        if corpus in ("mgsm", "flores", "xquad", "mlqa", "x_alpaca_eval"):
            raise LeakError(corpus)
        text, numbers = TEXT.get(lang, f"words of {lang} make up a whole long line"), range(40)
        match corpus:
            case "parallel":
                return [{"id": f"p-{n}", "en": f"{TEXT['en']} {n}", "text": f"{text} {n}", "part": "p"} for n in numbers]
            case "lexicon" if lang in WORDS:
                return [{"id": f"x-{n}", "en": en, "text": word, "part": "x"} for n, (en, word) in enumerate(WORDS[lang].items())]
            case "gsm8k":
                solution = "2 times 2 is <<2*2=4>>4 birds.\n#### 4"
                return [{"id": str(n), "question": f"{text} {n}?", "answer": solution, "final_answer": "4"} for n in numbers]
            case "alpaca":
                return [{"id": f"r-{n}", "instruction": f"{text}? {n}", "output": f"{text}! {n}"} for n in numbers]
            case "alpagasus":
                known = [f"{text}! {n}" if lang == "en" and n % 3 == 0 else None for n in numbers]
                return [{"id": f"a-{n}", "instruction": f"{text}? {n}", "output": known[n]} for n in numbers]
        raise LanguageMissingError(f"{corpus} in {lang!r}, split train, is not to be had")

    def read_file(self, path: str | Path) -> bytes:
        return f"one line of {path}\n".encode()

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        self.asked += chats
        return [Answer(chat[-1]["content"].upper(), 3, True) for chat in chats]

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        self.translated += [(text, source, target) for text in texts]
        return [f"{text} [{target}]" if text else None for text in texts]

    def require_translator(self, source: str, target: str) -> None:
        """It knows all languages."""

    def identify(self, texts: Sequence[str]) -> list[str]:
        return ["und"] * len(texts)
