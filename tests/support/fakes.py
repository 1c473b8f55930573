"""A world for methods without data or a model: corpora of a few sentences, shaped as docs/data.md says."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from xlift.harness.core.errors import LanguageMissingError, LeakError
from xlift.harness.plugin import Answer, Chat, Sampling, Steer

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


def make_up(chat: Chat, place: int, sampling: Sampling) -> Answer:
    """The prompt in capitals; where answers are drawn, two tasks where tasks are begun, else a solution that comes to 4 in two of three."""
    if not sampling.temperature:
        return Answer(chat[-1]["content"].upper(), 3, True)
    if chat[-1]["role"] == "assistant":
        first = 1000 * sampling.seed + 2 * place
        return Answer(f" {make_up_task(first)}\n\n### Task 5\nInstruction: {make_up_task(first + 1)}", 40, True)
    result = 4 if place % 3 else 5
    return Answer(
        f"Bird {place // 3 % 4}: {place % 5} + {place % 7} = {result}.{' They sing.' * (place % 3)} The answer is {result}.", 9, True
    )


def make_up_task(number: int) -> str:
    """A task of words that hardly any other has."""
    words = " ".join(f"w{crc32(f'{number} {at}'.encode()) % 1000}" for at in range(8))
    return f"{words}?\nInput: <none>\nOutput: {number} and {words}"


class FakeContext:
    """Forty rows a corpus and language; the model says its prompt in capitals, the translator adds the language to a text."""

    def __init__(self, languages: tuple[str, ...] = ("es", "sw"), budget: int | None = 60, pivot: str = "en") -> None:
        self.languages, self.pivot, self.budget, self.round = languages, pivot, budget, 0
        self.read_by = 0
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
            case "triples":
                named = [f"name {n}" if lang == "en" else f"{lang} {n}" for n in numbers]  # as of the entities, for one fact of four
                tails = [named[n] if n % 4 == 1 else f"place {n} (city)" for n in numbers]
                return [{"id": str(n), "head": f"{text} {n}", "relation": "birthPlace", "tail": tails[n], "part": "t"} for n in numbers]
            case "entities":
                return [
                    {"id": f"e-{n}", "en": f"name {n}", "text": f"name {n}" if n % 4 == 0 else f"{lang} {n}", "part": "e"} for n in numbers
                ]
            case "qa/squad" if lang == "en":
                asked = [f"{'What sings' if n % 2 else 'Where is bird'} {n}?" for n in numbers]
                return [{"id": f"q-{n}", "context": text, "question": asked[n], "answers": {"text": [f"the bird {n}"]}} for n in numbers]
            case "alpaca" | "alpaca/seed":
                return [{"id": f"r-{n}", "instruction": f"{text}? {n}", "output": f"{text}! {n}"} for n in numbers]
            case "alpagasus":
                known = [f"{text}! {n}" if lang == "en" and n % 3 == 0 else None for n in numbers]
                return [{"id": f"a-{n}", "instruction": f"{text}? {n}", "output": known[n]} for n in numbers]
        raise LanguageMissingError(f"{corpus} in {lang!r}, split train, cannot be read here")

    def read_file(self, path: str | Path) -> bytes:
        return f"one line of {path}\n".encode()

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        self.asked += chats
        return [make_up(chat, place, sampling) for place, chat in enumerate(chats)]

    def read_states(self, texts: Sequence[str | Chat], layers: Sequence[float], pool: str = "last") -> NDArray[np.float32]:
        """Six numbers a layer: the sizes of some letters in the text."""
        self.read_by += len(texts)
        shown = [text if isinstance(text, str) else text[-1]["content"] for text in texts]
        return np.array([[[text.count(sign) + 1 for sign in "aeioun"] for _ in layers] for text in shown], dtype=np.float32)

    def read_norms(self, texts: Sequence[str]) -> Mapping[str, NDArray[np.float32]]:
        """One module of six inputs: how often some letters are in the texts."""
        self.read_by += len(texts)
        counts = [sum(text.count(sign) for text in texts) + 1 for sign in "aeioun"]
        return {"model.layers.0.mlp.up_proj": np.array(counts, dtype=np.float32)}

    def read_activity(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Two layers of 400 neurons, each of which some words make active: how often, and the same once more, halved."""
        self.read_by += len(texts)
        words = [word for text in texts for word in text.split()]
        found = np.bincount([crc32(word.encode()) % 400 for word in words], minlength=400).astype(np.float32) / len(words)
        return np.stack([found, found / 2])

    def score(
        self, chats: Sequence[Chat], answers: Sequence[str], steer: Steer | None = None, arrays: Mapping[str, NDArray[Any]] | None = None,
        lang: str = "",
    ) -> list[float]:  # fmt: skip
        """The longer an answer the likelier, most of all with a strength of 0.2."""
        assert steer is None or arrays is not None
        return [-1 / len(answer) - (abs(steer.strengths[lang] - 0.2) if steer else 0.1) for answer in answers]

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        self.translated += [(text, source, target) for text in texts]
        return [f"{text} [{target}]" if text else None for text in texts]

    def score_translations(self, texts: Sequence[str], translations: Sequence[str], source: str, target: str) -> list[float | None]:
        """The longer a text, the likelier the translation."""
        return [-1 / len(text) for text in texts]

    def require_translator(self, source: str, target: str) -> None:
        """It knows all languages."""

    def identify(self, texts: Sequence[str]) -> list[str]:
        return ["und"] * len(texts)
