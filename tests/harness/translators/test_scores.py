"""Scores of translations are remembered, and asked for once."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from xlift.harness.config.suite import TranslatorSettings
from xlift.harness.core.errors import UserError
from xlift.harness.translators.base import Description, LineTranslator
from xlift.harness.translators.scores import Scores


class Counting(LineTranslator):
    """A score is minus the length of the translation; it remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(TranslatorSettings(kind="seq2seq", model="a/b"))
        self.asked: list[tuple[str, str]] = []

    def describe(self) -> Description:
        return {"kind": "seq2seq", "model": "a/b"}

    def score(self, texts: Sequence[str], translations: Sequence[str], source: str, target: str) -> list[float | None]:
        self.asked += zip(texts, translations, strict=True)
        return [None if text == "long" else -float(len(translation)) for text, translation in zip(texts, translations, strict=True)]

    def _answer_lines(self, lines: Sequence[str], source: str, target: str) -> list[str | None]:
        raise NotImplementedError


def test_each_pair_is_scored_once_between_runs(tmp_path: Path) -> None:
    translator = Counting()
    scores = Scores(tmp_path, translator)
    assert scores.score(["uno", "uno", "long"], ["one", "one", "one"], "es", "en") == [-3, -3, None]
    assert translator.asked == [("uno", "one"), ("long", "one")]
    assert Scores(tmp_path, translator).score(["long", "dos", "uno"], ["one", "two!", "one"], "es", "en") == [None, -4, -3]
    assert translator.asked[2:] == [("dos", "two!")]
    assert scores.score(["uno"], ["one"], "es", "de") == [-3]
    assert translator.asked[3:] == [("uno", "one")], "another language is another question"


def test_damage_is_set_aside_and_nothing_is_kept_without_a_folder(tmp_path: Path) -> None:
    translator = Counting()
    Scores(tmp_path, translator).score(["uno", "dos"], ["one", "two"], "es", "en")
    (file,) = tmp_path.glob("*.jsonl")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(lines[0] + '{"pair": 1, "score": "x"}\n')
    assert Scores(tmp_path, translator).score(["uno", "dos"], ["one", "two"], "es", "en") == [-3, -3]
    assert translator.asked[2:] == [("dos", "two")] and len(list(tmp_path.glob("*.damaged"))) == 1
    assert Scores(None, translator).score(["uno"], ["one"], "es", "en") == Scores(None, translator).score(["uno"], ["one"], "es", "en")
    assert translator.asked[3:] == [("uno", "one")] * 2


def test_other_kinds_cannot_score() -> None:
    class Lines(Counting):
        score = LineTranslator.score

    with pytest.raises(UserError, match="translator seq2seq: cannot say how likely a translation is; .* one of kind seq2seq for es-en"):
        Scores(None, Lines()).score([], [], "es", "en")
