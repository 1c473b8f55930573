"""LIDR's pairs on a model whose answers a reader can follow, and the two methods made of them."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from xlift.harness.config.suite import EngineSettings, TranslatorSettings
from xlift.harness.pipeline.context import find_losses
from xlift.harness.plugin import (
    Answer,
    Chat,
    Dpo,
    Gap,
    LanguageMissingError,
    Plan,
    Preference,
    Sampling,
    Sft,
    UserError,
    find_method,
    load,
)  # fmt: skip
from xlift.harness.recipes.preferences import asks_for_language
from xlift.harness.recipes.registry import read_defaults

PROMPTS = {"en": "Name a bird", "es": "Nombra un pájaro", "de": "Nenne einen Vogel"}


class Speaker:
    """Six prompts in three languages; the model repeats its prompt, a translation says what it is."""

    languages, pivot, budget, round = ("es", "de"), "en", None, 0

    def __init__(self, **changes: Any) -> None:
        self.asked: list[tuple[Chat, Sampling]] = []
        for name, value in changes.items():
            setattr(self, name, value)

    @property
    def rng(self) -> random.Random:
        return random.Random(0)

    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        return [{"id": f"p{n}", "instruction": f"{PROMPTS[lang]} {n}", "question": f"{PROMPTS[lang]} {n}?"} for n in range(6)]

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        self.asked += [(chat, sampling) for chat in chats]
        return [Answer(f"<{chat[-1]['content']}>", 3, True) for chat in chats]

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        return [f"{source}>{target} {text}" for text in texts]

    def require_translator(self, source: str, target: str) -> None:
        """It knows all languages."""

    def identify(self, texts: Sequence[str]) -> list[str]:
        """A translation is in the language it says; German cannot be told."""
        spoken = ((text[3:5] if text[2:3] == ">" else "en" if "Name a" in text else "es" if "pájaro" in text else "de") for text in texts)
        return ["und" if lang == "de" else lang for lang in spoken]


def prepare(speaker: Speaker, method: str = "dpo_self_improvement", **options: Any) -> Plan:
    return load(method, {"prompts": 2, **options}).prepare(speaker)


def test_each_prompt_gives_a_pair_on_both_sides_in_every_language() -> None:
    plan = prepare(Speaker())
    pairs = {row.id: row for row in plan.rows}
    assert len(pairs) == 8, "2 prompts x 2 languages x 2 sides: the pivot side of every language is kept"
    assert pairs["p0-es-target_side"] == Preference(
        ({"role": "user", "content": "Nombra un pájaro 0"},), "en>es <Name a bird 0>", "<Nombra un pájaro 0>", "es", "p0-es-target_side",
        "target_side",
    )  # fmt: skip
    assert pairs["p1-de-pivot_side"] == Preference(
        ({"role": "user", "content": "Name a bird 1"},), "<Name a bird 1>", "de>en <Nenne einen Vogel 1>", "en", "p1-de-pivot_side",
        "pivot_side",
    )  # fmt: skip
    assert plan.objective == Dpo(0.1, 1.0, True)
    assert load("dpo_self_improvement", {}).rounds == 2


def test_the_second_round_takes_the_next_prompts() -> None:
    assert {row.id.split("-")[0] for row in prepare(Speaker(round=1)).rows} == {"p2", "p3"}
    assert {row.id.split("-")[0] for row in prepare(Speaker(round=2)).rows} == {"p4", "p5"}
    with pytest.raises(UserError, match="6 prompts are there in every language, none is left for round 4 of 2 each; lower prompts"):
        prepare(Speaker(round=3))


def test_no_more_is_asked_than_the_budget_needs() -> None:
    speaker = Speaker(budget=4)
    plan = prepare(speaker, prompts=6, spare=1.25)
    assert len(plan.rows) == 4
    # 4 rows x 1.25 / (2 languages x 2 sides) = 1.25, so 2 prompts, in 3 languages each.
    assert len(speaker.asked) == 6
    assert speaker.asked[0][1] == Sampling(max_tokens=512, repetition_penalty=1.1)


def test_a_failed_translation_drops_both_sides() -> None:
    class Failing(Speaker):
        def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
            found = super().translate(texts, source, target)
            return [None, *found[1:]] if (source, target) == ("es", "en") else found

    plan = prepare(Failing())
    assert plan.drops == {"es/target_side: translation failed": 1, "en/pivot_side: translation failed": 1}
    assert {row.id for row in plan.rows if "es" in row.id} == {"p1-es-target_side", "p1-es-pivot_side"}


def test_empty_and_equal_answers_are_dropped() -> None:
    class Mute(Speaker):
        def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
            return [Answer("" if "Nenne" in chat[-1]["content"] else "same", 1, True) for chat in chats]

        def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
            return list(texts)

    plan = prepare(Mute())
    assert plan.rows == ()
    alike, empty = "both answers alike", "empty answer"
    assert plan.drops == {
        f"es/target_side: {alike}": 2, f"en/pivot_side: {alike}": 2, f"de/target_side: {empty}": 2, f"en/pivot_side: {empty}": 2,
    }  # fmt: skip


def test_a_prompt_about_translation_keeps_the_pivot_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROMPTS, "en", "Say this in French:")
    (pair,) = [row for row in prepare(Speaker(), prompts=1).rows if row.id == "p0-es-target_side"]
    assert (pair.chosen, pair.lang) == ("<Say this in French: 0>", "en")
    assert pair.rejected == "<Nombra un pájaro 0>"


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Translate 'good day' please", True), ("Write a poem in Spanish.", True), ("What is a translation unit?", True),
        ("Name three rivers in Spain", False), ("Explain how to bake bread", False), ("Put it into old english", False),
        ("Put it into english", True),
    ],
)  # fmt: skip
def test_prompts_about_languages(prompt: str, expected: bool) -> None:
    assert asks_for_language(prompt) is expected


def test_the_reasoning_track_names_the_language_twice() -> None:
    plan = prepare(Speaker(), prompt_corpus="gsm8k", track="reasoning", prompts=1)
    asked = {row.id: row.messages[-1]["content"] for row in plan.rows}
    assert asked["p0-de-target_side"].count("German") == 2
    assert "Nenne einen Vogel 0?" in asked["p0-de-target_side"]
    assert asked["p0-de-pivot_side"].count("English") == 2


def test_a_corpus_without_the_column_of_the_track(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Speaker, "read", lambda self, corpus, lang: [{"id": "a", "en": "x", "text": "y"}])
    with pytest.raises(UserError, match="'parallel' has no column 'instruction', which track 'general' asks for"):
        prepare(Speaker(), prompt_corpus="parallel")


def test_facts_tell_languages_and_lengths() -> None:
    facts = prepare(Speaker(), prompts=1).facts
    assert facts["en"] == {"prompts": "corpus", "answers": 1, "off_target": 0.0, "cut_short": 0.0}
    # Two pairs in Spanish, each with both answers in one language; German cannot be told, but its pivot side is English against "de>en".
    assert facts["es"] == {**facts["en"], "languages_differ": 0.0, "languages_told": 2}
    assert facts["de"] == {**facts["en"], "languages_differ": 0.0, "languages_told": 1}
    # 21 characters each: en>es <Name a bird 0> and en>de <Name a bird 0>; 21 and 20: <Nombra un pájaro 0> is 20, <Nenne einen Vogel 0> 21.
    assert facts["target_side"] == {
        "pairs": 2, "languages_differ": 0.0, "languages_told": 1, "chosen_characters": 21.0, "rejected_characters": 20.5,
    }  # fmt: skip


class Stopped(Speaker):
    """The answers to the first prompt are cut off: the pivot's, the native Spanish one, or none."""

    cut: tuple[str, ...] = ()

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        found = super().generate(chats, sampling)
        return [Answer(answer.text, 3, not any(f"{start} 0" in answer.text for start in self.cut)) for answer in found]


@pytest.mark.parametrize("method", ["dpo_self_improvement", "sft_on_chosen"])
def test_answers_that_were_cut_off_make_no_pair_and_are_counted(method: str) -> None:
    plan = prepare(Stopped(cut=(PROMPTS["es"],)), method)
    assert {"es/target_side: cut off": 1, "en/pivot_side: cut off": 1}.items() <= plan.drops.items()
    assert not any("p0-es" in row.id for row in plan.rows)
    assert {row.id for row in plan.rows} >= {"p1-es-target_side", "p0-de-target_side"}
    assert plan.facts["es"]["cut_short"] == 0.5  # type: ignore[index, call-overload]
    # The pivot's answer is chosen on both sides of every language, so one that was cut off is no answer to learn from.
    plan = prepare(Stopped(cut=(PROMPTS["en"],)), method)
    assert {"es/target_side: cut off": 1, "de/target_side: cut off": 1, "en/pivot_side: cut off": 2}.items() <= plan.drops.items()
    assert {row.id.split("-")[0] for row in plan.rows} == {"p1"}


def test_a_translation_in_the_wrong_language_makes_no_pair() -> None:
    class Parrot(Speaker):
        def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
            return [f"en>en {text}" if target == "es" and "0" in text else f"{source}>{target} {text}" for text in texts]

    plan = prepare(Parrot())
    astray = "translation in the wrong language"
    assert plan.drops == {f"es/target_side: {astray}": 1, f"en/pivot_side: {astray}": 1}
    assert len(plan.rows) == 6


def test_pairs_of_one_language_alone_where_asked_for() -> None:
    class Anglophone(Speaker):
        """Answers the first Spanish prompt in English."""

        def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
            found = super().generate(chats, sampling)
            return [Answer("<Name a wing>" if "pájaro 0" in answer.text else answer.text, 3, True) for answer in found]

    plan = prepare(Anglophone())
    assert len(plan.rows) == 8
    # Of the four Spanish pairs one prefers Spanish to English; of the six target and pivot sides that can be told, it is one too.
    assert plan.facts["es"]["languages_differ"] == 0.25  # type: ignore[index, call-overload]
    assert plan.facts["target_side"]["languages_differ"] == 0.5  # type: ignore[index, call-overload]
    kept = prepare(Anglophone(), one_language=True)
    assert len(kept.rows) == 7
    assert kept.drops == {"es/target_side: answers in different languages": 1}
    assert kept.facts["target_side"]["languages_differ"] == 0.0  # type: ignore[index, call-overload]


def test_a_language_that_the_corpus_lacks_gets_translated_prompts() -> None:
    class Poor(Speaker):
        def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
            if lang == "de":
                raise LanguageMissingError("corpus alpagasus has no 'de'")
            return super().read(corpus, lang)

        def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
            return [None if text == "Name a bird 1" else f"{source}>{target} {text}" for text in texts]

    plan = prepare(Poor())
    assert {row.messages[-1]["content"] for row in plan.rows if row.id == "p0-de-target_side"} == {"en>de Name a bird 0"}
    assert {row.id for row in plan.rows if "-de-" in row.id} == {"p0-de-target_side", "p0-de-pivot_side"}
    assert plan.drops == {"de/target_side: prompt not translated": 1, "en/pivot_side: prompt not translated": 1}
    assert [plan.facts[lang]["prompts"] for lang in ("es", "de")] == ["corpus", "translated"]  # type: ignore[index, call-overload]


@pytest.mark.parametrize("method", ["dpo_self_improvement", "sft_on_chosen"])
def test_a_translation_may_be_twice_as_long_as_an_answer_and_fits_the_engine(method: str) -> None:
    answer, translation = int(read_defaults(find_method(method))["max_tokens"]), TranslatorSettings().max_tokens  # type: ignore[call-overload]
    assert translation == 2 * answer
    # Request, answer to be translated, translation: the request's own words are under 150 tokens.
    assert answer + 150 + translation <= EngineSettings().max_length


def test_sft_on_chosen_learns_each_answer_once() -> None:
    plan = prepare(Speaker(), "sft_on_chosen")
    assert plan.objective == Sft()
    # 2 prompts: 2 x 2 target sides, and 2 pivot answers that Spanish and German share.
    assert len(plan.rows) == 6
    assert plan.drops == {"en/pivot_side: the same row for another language": 2}
    assert {(row.messages[-1]["content"], row.response, row.lang) for row in plan.rows if row.kind == "target_side"} >= {
        ("Nenne einen Vogel 1", "en>de <Name a bird 1>", "de")
    }


def test_twins_are_both_sides_of_a_prompt_in_one_row() -> None:
    plan = prepare(Speaker(), "preference_gap", beta=1.5)
    rows = {row.id: row for row in plan.rows}
    assert sorted(rows) == ["p0-de-twins", "p0-es-twins", "p1-de-twins", "p1-es-twins"]
    sides = {row.id: row for row in prepare(Speaker()).rows}
    row = rows["p0-es-twins"]
    assert isinstance(row, Preference) and (row.lang, row.kind) == ("es", "twins")
    assert (row.messages, row.chosen, row.rejected) == (*_said(sides["p0-es-target_side"]),)
    assert row.twin == sides["p0-es-pivot_side"]
    assert plan.objective == Gap(1.5, 1.0)
    assert plan.facts["pivot_side"]["pairs"] == 4  # type: ignore[index, call-overload]


def _said(row: Any) -> tuple[Any, ...]:
    return row.messages, row.chosen, row.rejected


def test_shuffled_twins_are_the_same_ones_each_with_another_prompt() -> None:
    plans = [prepare(Speaker(), "preference_gap", prompts=3, shuffled=shuffled) for shuffled in (False, True)]
    own, mixed = ({row.id: row.twin for row in plan.rows if isinstance(row, Preference)} for plan in plans)
    assert own.keys() == mixed.keys() and all(own[name] != mixed[name] for name in own)
    for lang in ("es", "de"):
        ids = [{twin.id for name, twin in twins.items() if twin and f"-{lang}-" in name} for twins in (own, mixed)]
        assert ids[0] == ids[1] and len(ids[0]) == 3
    with pytest.raises(UserError, match="shuffled: es has one pair, which has no other twin; raise prompts"):
        prepare(Speaker(), "preference_gap", prompts=1, shuffled=True)


def test_a_budget_of_twins_asks_for_as_many_prompts_as_it_needs() -> None:
    speaker = Speaker(budget=4)
    assert len(prepare(speaker, "preference_gap", prompts=6, spare=1.0).rows) == 4
    assert len(speaker.asked) == 6, "two prompts in three languages"


def test_a_side_without_its_twin_is_dropped_and_counted() -> None:
    class Echo(Speaker):
        def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
            """Back from Spanish the second text comes as the pivot's own answer."""
            found = super().translate(texts, source, target)
            return [f"<{PROMPTS['en']} {n}>" if (source, n) == ("es", 1) else text for n, text in enumerate(found)]

    plan = prepare(Echo(), "preference_gap")
    assert "p1-es-twins" not in {row.id for row in plan.rows} and len(plan.rows) == 3
    assert plan.drops == {"en/pivot_side: both answers alike": 1, "es/twins: no pair in the pivot": 1}


def test_what_the_target_side_loses_is_lost_of_the_twins() -> None:
    """So that the share that is told is of the rows that there are."""

    class Poor(Speaker):
        def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
            return [None if (source, number) == ("en", 1) else text for number, text in enumerate(super().translate(texts, source, target))]

    plan = prepare(Poor(), "preference_gap")
    assert sorted(row.id for row in plan.rows) == ["p0-de-twins", "p0-es-twins"]
    assert plan.drops == {"es/twins: translation failed": 1, "de/twins: translation failed": 1, "en/pivot_side: translation failed": 2}
    kinds = {"es/twins": 1, "de/twins": 1, "en/pivot_side": 2}
    assert find_losses(kinds, plan.drops, {}) == dict.fromkeys(kinds, 0.5)
