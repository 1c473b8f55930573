"""Methods that come with an inference profile: what is asked, what is trained, and that the profile reads what the rows teach."""

import random
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import pytest

from xlift.harness.core.languages import languages
from xlift.harness.plugin import (
    Answer,
    Chat,
    InferenceProfile,
    LanguageMissingError,
    LeakError,
    Plan,
    Sampling,
    UserError,
    find_method,
    load,
)

NAMES = ("pivot_language", "xlt_prompt", "linguistically_diverse_prompts")
SINGS = {"en": "the bird sings", "es": "el pájaro canta", "sw": "ndege anaimba", "fr": "l'oiseau chante", "ru": "птица поёт"}


class World:
    """Ten rows in each language but Swahili, which has parallel text alone; a translator that puts the language behind a text."""

    languages: tuple[str, ...] = ("es", "sw")
    pivot = "en"
    round = 0

    def __init__(self, budget: int | None = 8, said: str = "it sings", translated: str = "{text} ({lang})", finished: bool = True) -> None:
        self.budget, self.said, self.translated, self.finished = budget, said, translated, finished
        self.asked: list[Chat] = []

    @property
    def rng(self) -> random.Random:
        return random.Random(3)

    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        if corpus == "flores":
            raise LeakError("flores is for measuring")
        if lang not in SINGS or (lang == "sw" and corpus != "parallel"):
            raise LanguageMissingError(f"{corpus} has no {lang!r}")
        text = SINGS[lang]
        if corpus == "parallel":
            return [{"id": str(n), "en": f"{SINGS['en']} {n}", "text": f"{text} {n}"} for n in range(10)]
        # alpagasus has published answers to some prompts, and in English alone
        answers = [f"{text}! {n}" if n % 5 and lang == "en" else None for n in range(10)]
        return [{"id": str(n), "instruction": f"{text}? {n}", "output": answers[n]} for n in range(10)]

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        return [self.translated.format(text=text, lang=target) or None for text in texts]

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        self.asked += chats
        return [Answer(self.said, 3, self.finished) for _ in chats]

    def require_translator(self, source: str, target: str) -> None:
        """It knows all languages."""

    def identify(self, texts: Sequence[str]) -> list[str]:
        return ["en" if text.startswith("English") else "und" for text in texts]


def prepare(name: str, world: World | None = None, **options: Any) -> Plan:
    return load(name, options).prepare(world or World())


def profile_of(plan: Plan) -> InferenceProfile:
    assert plan.profile is not None
    return plan.profile


@pytest.mark.parametrize("name", NAMES)
def test_plans_repeat_and_profiles_travel(name: str) -> None:
    plan = prepare(name)
    assert plan == prepare(name)
    profile = profile_of(plan)
    assert profile.languages and InferenceProfile(**profile.model_dump(mode="json")) == profile
    assert bool(plan.rows) == (name == "pivot_language")
    assert find_method(name).system_turn == (bool(profile.system) or any(row.messages[0]["role"] == "system" for row in plan.rows))


def test_pivot_language_rows() -> None:
    plan = prepare("pivot_language", World(budget=4), pivot_language=1.0, pivot_instructions=0.0)
    rows = {row.lang: row for row in plan.rows if not row.id.endswith("-0")}
    assert len(plan.rows) == 4 and set(rows) == {"es", "sw"}
    number = rows["es"].id.rsplit("-", 1)[1]
    system, user = rows["es"].messages
    assert (
        system["content"] == "Restate the user's message in English, then answer it in English, and after that give the answer in Spanish."
    )
    assert user == {"role": "user", "content": f"el pájaro canta? {number}"}
    assert rows["es"].response == (
        f"English instruction:\nthe bird sings? {number}\n\nEnglish response:\nthe bird sings! {number}\n\n"
        f"Respuesta en español:\nthe bird sings! {number} (es)"
    )
    # Swahili has no instructions in the corpus
    number = rows["sw"].id.rsplit("-", 1)[1]
    assert rows["sw"].messages[-1]["content"] == f"the bird sings? {number} (sw)"
    assert plan.facts["instructions"] == {"es": "corpus", "sw": "translated"}
    assert plan.drops == {}


def test_pivot_language_profile_reads_what_the_rows_teach() -> None:
    plan = prepare("pivot_language", token_factor=3.0, min_tokens=100)
    profile = profile_of(plan)
    taught = [row for row in plan.rows if row.kind == "pivot_language"]
    assert taught and {row.kind for row in plan.rows} == {"pivot_language", "pivot_instructions"}
    for row in taught:
        assert profile.ask(row.messages[1:], row.lang) == row.messages
        assert profile.extract(row.response, row.lang) == row.response.rsplit("\n", 1)[1]
        cut = row.response[: row.response.index(profile.header[row.lang])]
        assert profile.extract(cut, row.lang) is None
    assert profile.sample(Sampling(max_tokens=50, stop=("\n",))) == Sampling(max_tokens=150)
    assert all(row.messages[0]["role"] == "user" for row in plan.rows if row.kind == "pivot_instructions")


def test_pivot_language_without_the_restated_instruction() -> None:
    plan = prepare("pivot_language", restate=False)
    assert profile_of(plan).system["es"] == "Answer it in English, and after that give the answer in Spanish."
    assert all(row.response.startswith("English response:") for row in plan.rows if row.kind == "pivot_language")


def test_pivot_language_with_the_models_own_answers() -> None:
    world = World(said="it flies")
    plan = prepare("pivot_language", world, answers="self", pivot_instructions=0.0, pivot_language=1.0)
    assert {row.response.split("\n\n")[1] for row in plan.rows} == {"English response:\nit flies"}
    assert all(len(chat) == 1 for chat in world.asked) and plan.facts["answers kept"] == len(world.asked)


@pytest.mark.parametrize(
    ("translated", "reason"),
    [("", "no translation"), ("English: {text}", "wrong language"), ("{text} x x x x x", "repetitive"),
     ("{text} Respuesta en español:", "header in the text")],
)  # fmt: skip
def test_pivot_language_drops_what_cannot_serve(translated: str, reason: str) -> None:
    world = World(budget=4, translated=translated)
    world.languages = ("es",)
    with pytest.raises(UserError, match=f"es/pivot_language: .*{reason} [0-9]+"):
        prepare("pivot_language", world, pivot_language=1.0, pivot_instructions=0.0)


def test_pivot_language_counts_what_is_lacking() -> None:
    plan = prepare("pivot_language", World(budget=40), pivot_language=1.0, pivot_instructions=0.0)
    # 8 of 10 prompts have a published answer, 20 rows are asked for in each language
    assert plan.drops == {"es/pivot_language: corpus too small": 12, "sw/pivot_language: corpus too small": 12}
    long = prepare("pivot_language", World(budget=4), pivot_language=1.0, pivot_instructions=0.0, max_characters=170)
    assert long.rows and all(len(row.response) + len(row.messages[-1]["content"]) <= 170 for row in long.rows)


def test_pivot_language_needs_answers_in_the_pivot() -> None:
    world = World()
    world.pivot, world.languages = "es", ("en",)
    with pytest.raises(UserError, match="no fitting prompt with an answer in 'es'; set answers: self"):
        prepare("pivot_language", world, pivot_language=1.0, pivot_instructions=0.0)
    with pytest.raises(LeakError):
        prepare("pivot_language", prompt_corpus="flores")


def test_headers_are_unique_and_none_holds_another() -> None:
    name_header = import_module("xlift.methods.pivot_language").name_header
    headers = {code: name_header(code) for code in languages()}
    # The paper's own words.
    assert {code: headers[code] for code in ("en", "zh", "ko", "it", "es")} == {
        "en": "English response:",
        "zh": "中文回复：",
        "ko": "한국어 응답:",
        "it": "Risposta in italiano:",
        "es": "Respuesta en español:",
    }
    assert headers["sq"] == "shqip (sq):" and headers["tw"] == "Akan (tw):"
    assert len(headers) == 209
    for code, header in headers.items():
        assert not any(header in other for name, other in headers.items() if name != code), code


def test_xlt_asks_for_thought_in_the_pivot() -> None:
    plan = prepare("xlt_prompt", token_factor=2.0, min_tokens=0)
    profile = profile_of(plan)
    assert plan.rows == () and profile.languages == {"es", "sw"} and not profile.covers("xlift_mgsm_direct_en", "en")
    [turn] = profile.ask(({"role": "user", "content": "¿{pivot} y 2?"},), "es")
    assert (
        "Task:\n¿{pivot} y 2?\n" in turn["content"]
        and "in Spanish" in turn["content"]
        and "{" not in turn["content"].replace("{pivot}", "")
    )
    assert profile.extract("We add.\nFinal answer: 4", "es") == "4"
    assert profile.extract("4", "es") is None and profile.without_header == "whole"
    assert profile.sample(Sampling(max_tokens=32)).max_tokens == 64
    assert profile_of(prepare("xlt_prompt", languages=["de", "fra_Latn"])).languages == {"de", "fr"}


def test_ldp_shows_other_languages_then_the_models_own() -> None:
    world = World(said="it sings\n(I hope)")
    plan = prepare("linguistically_diverse_prompts", world, exemplars=3, exemplar_languages=["es", "fr", "ru", "ko"])
    profile = profile_of(plan)
    assert plan.rows == () and profile.tasks == ("xlift_flores",) and profile.languages == {"en", "es", "sw"}
    # Spanish is trained and Korean has no text; so French and Russian take turns.
    assert plan.facts["exemplars"] == {"en": ["fr", "ru", "fr"], "es": ["en"] * 3, "sw": ["en"] * 3}
    lines = profile.prompt["en"].split("\n")
    assert [line.split(":")[0] for line in lines if ":" in line] == ["French", "English", "Russian", "English", "French", "English"]
    assert lines[-1] == "{prompt}"
    assert profile.prompt["es"].count("English: it sings\nSpanish: el pájaro canta ") == 3
    # The model was asked with the exemplars of the other languages.
    assert all(chat[0]["content"].startswith(profile.prompt["en"].removesuffix("{prompt}")) for chat in world.asked)
    assert "Swahili" in world.asked[-1][0]["content"]


def test_ldp_with_the_translator() -> None:
    plan = prepare("linguistically_diverse_prompts", World(said=""), translations="translator", exemplars=2)
    assert "English: ndege anaimba" in profile_of(plan).prompt["sw"]


@pytest.mark.parametrize(
    ("said", "says"),
    [("", "empty answer 10"), ("sings " * 5, "repetitive 10"),
     ("The bird " + "that we saw sings and sings, while we hear it " * 3, "length ratio 10")],
)  # fmt: skip
def test_ldp_says_why_it_has_no_exemplars(said: str, says: str) -> None:
    with pytest.raises(UserError, match=f"es/exemplars: 0 translations into 'en' can be used instead of 4.*{says}.*set translations"):
        prepare("linguistically_diverse_prompts", World(said=said), exemplars=4, pool=10)


def test_ldp_takes_the_first_line_of_an_answer_that_was_cut_off_later() -> None:
    plan = prepare("linguistically_diverse_prompts", World(said="it sings\nbecause it is", finished=False), exemplars=2)
    assert plan.drops == {} and "English: it sings\nSpanish" in profile_of(plan).prompt["es"]
    with pytest.raises(UserError, match="cut off 10"):
        prepare("linguistically_diverse_prompts", World(said="it sings because", finished=False), pool=10)


def test_ldp_needs_other_languages() -> None:
    with pytest.raises(UserError, match="parallel: 0 exemplars into 'en' instead of 4; name languages"):
        prepare("linguistically_diverse_prompts", exemplar_languages=["es", "ko"])
    with pytest.raises(LeakError):
        prepare("linguistically_diverse_prompts", corpus="flores")
