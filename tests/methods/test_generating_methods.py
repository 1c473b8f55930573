"""What the methods promise that draw answers or read facts: reasoning, alignment by preference, self-instruct, triples, the curriculum."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from fakes import FakeContext

from xlift.harness.plugin import Answer, Chat, Dpo, Plan, Preference, Sampling, Solution, UserError, load
from xlift.methods.alignment_preference import find_reward, order_draws
from xlift.methods.knowledge_triples import drop_brackets, spell_relation


def prepare(name: str, context: FakeContext | None = None, **options: Any) -> Plan:
    return load(name, options).prepare(context or FakeContext())


# --- multilingual_reasoning ---


def test_reasoning_parallel_cross_and_steps() -> None:
    own = prepare("multilingual_reasoning", FakeContext(("es",), 20))
    assert Counter(row.lang for row in own.rows) == {"en": 10, "es": 10}
    [row] = [row for row in own.rows if row.id == "reasoning-es-5"]
    assert row.messages[0]["content"] == "el pequeño pájaro canta en el jardín cada mañana 5?\n\nAnswer in Spanish."
    assert row.response == "2 times 2 is 4 birds.\nThe answer is 4. [es]", "the corpus's solution, translated, without GSM8K's marks"
    cross = prepare("multilingual_reasoning", FakeContext(("es",), 20), questions="pivot", frame="steps")
    [row] = [row for row in cross.rows if row.id == "reasoning-es-5"]
    assert row.messages[0]["content"] == ("Question:\nthe little bird sings in the garden every morning 5?\nAnswer:\nPensemos paso a paso.")


def test_reasoning_translates_what_the_corpus_lacks() -> None:
    context = English(("es",), 20)
    plan = prepare("multilingual_reasoning", context, answers="sampled", samples=3)
    assert {(source, target) for _, source, target in context.translated} == {("en", "es")}
    assert not any("birds" in text for text, _, _ in context.translated), "questions alone"
    assert all("[es]" in row.messages[0]["content"] for row in plan.rows if row.lang == "es")


def test_reasoning_drops_a_translation_that_lost_its_number() -> None:
    class Losing(FakeContext):
        def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
            return [text.replace("4.", "5.") if number % 4 == 0 else f"{text} ({target})" for number, text in enumerate(texts)]

    plan = prepare("multilingual_reasoning", Losing(("es",), 20))
    # 13 translated for 10 rows, of which the first, fifth, ninth and thirteenth end in another number.
    assert plan.drops == {"es/reasoning: another number": 4, "es/reasoning: corpus too small": 1}


def test_reasoning_refuses_what_it_cannot_do() -> None:
    with pytest.raises(UserError, match="no step phrase in tr, only in bn, de, en, es, .*; set frame: request"):
        prepare("multilingual_reasoning", FakeContext(("tr",)), frame="steps")
    with pytest.raises(UserError, match="gsm8k has English solutions alone and the pivot is 'es'"):
        prepare("multilingual_reasoning", FakeContext(("en",), pivot="es"))
    with pytest.raises(UserError, match="alpaca: has no final answers"):
        prepare("multilingual_reasoning", problem_corpus="alpaca")


# --- alignment_preference ---


def test_the_reward_by_hand() -> None:
    # Cross-entropies of 2 and 4: the mean of 1/2 and 1/4.
    assert find_reward([-2.0, -4.0]) == pytest.approx(0.375)
    assert find_reward([-2.0, None]) is None and find_reward([]) is None
    a, b, c = Solution("a", True), Solution("b", False), Solution("c", True)
    assert order_draws([(0.5, a), (0.2, b), (0.5, c)]) == [(a, b), (c, b)]
    assert order_draws([(0.1, a), (0.2, b), (0.5, c)]) == [(c, a), (c, b)], "a wrong one is never preferred, however near"


class Scoring(FakeContext):
    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        self.asked += chats
        spoken = ["Es 4, sí.", "Es 5.", "Es 4."] if "pájaro" in chats[0][0]["content"] else ["It is 4.", "4!", "It is 6."]
        return [Answer(spoken[place % 3], 3, True) for place, _ in enumerate(chats)]

    def score_translations(self, texts: Sequence[str], translations: Sequence[str], source: str, target: str) -> list[float | None]:
        assert (source, target) == ("es", "en")
        self.scored = list(zip(texts, translations, strict=True))
        return [-{"Es 4, sí.": 1.0, "Es 5.": 2.0, "Es 4.": 4.0}[text] for text in texts]


def test_alignment_prefers_what_the_translator_ties_to_the_pivot() -> None:
    context = Scoring(("es",), 2)
    plan = prepare("alignment_preference", context, samples=3)
    assert plan.objective == Dpo(0.1, 0)
    # Rewards 1, 1/2 and 1/4: the first is right and before both others, the last is right and before none.
    for number in {row.id.split("-")[2] for row in plan.rows}:
        pairs = {(row.chosen, row.rejected) for row in plan.rows if isinstance(row, Preference) and row.id.split("-")[2] == number}
        assert pairs <= {("Es 4, sí.", "Es 5."), ("Es 4, sí.", "Es 4.")}
    assert len(plan.rows) == 2 and plan.facts["es/alignment: pairs there were"] == 4
    assert {translation for _, translation in context.scored} == {"It is 4.", "4!"}, "right solutions in the pivot alone"
    assert len(context.asked) == 12, "two problems, three draws, two languages"


def test_alignment_needs_a_translator_that_scores() -> None:
    class Mute(FakeContext):
        def score_translations(self, texts: Sequence[str], translations: Sequence[str], source: str, target: str) -> list[float | None]:
            raise UserError("translator self: cannot say how likely a translation is")

        def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
            pytest.fail("nothing is drawn before the translator is known to score")

    with pytest.raises(UserError, match="cannot say how likely"):
        prepare("alignment_preference", Mute())


# --- self_instruct ---


class English(FakeContext):
    """Corpora in English alone."""

    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        return super().read(corpus, lang) if lang == "en" else []


def test_self_instruct_takes_seeds_of_the_language_where_there_are_any() -> None:
    context = FakeContext(("es",), 4)
    prepare("self_instruct", context, seeds=5, tasks=2)
    assert context.translated == [] and context.asked[0][0]["content"].count("el pequeño pájaro") == 6, "instruction and output of three"

    class NoTranslator(English):
        def require_translator(self, source: str, target: str) -> None:
            raise UserError(f"translators: none for {source}-{target}")

    with pytest.raises(UserError, match="translators: none for en-es"):
        prepare("self_instruct", NoTranslator(("es",)))


def test_self_instruct_shows_two_seeds_and_one_of_its_own() -> None:
    context = English(("es",), 40)
    plan = prepare("self_instruct", context, seeds=5, tasks=2, spare=1.0, passes=4)
    assert len(plan.rows) == 40
    # 20 requests, two tasks of each; the first pass shows seeds alone, as there is nothing else.
    first = context.asked[0][0]["content"]
    assert first.count("[es]") == 6 and "all in Spanish" in first and "Write 2 new tasks" in first
    assert len(context.translated) == 10, "question and answer of five seeds"


def test_self_instruct_goes_on_where_tasks_are_lacking() -> None:
    class Halting(English):
        def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
            return [answer if place % 2 else Answer("", 1, True) for place, answer in enumerate(super().generate(chats, sampling))]

    context = Halting(("es",), 16)
    plan = prepare("self_instruct", context, seeds=5, tasks=2, spare=1.0, passes=2)
    # 8 requests give 4 x 2 tasks, 4 more give 2 x 2.
    assert (len(context.asked), len(plan.rows)) == (12, 12)
    assert plan.drops["es/self_instruct: corpus too small"] == 4
    later = [chat[0]["content"] for chat in context.asked[8:]]
    assert all(text.count("[es]") == 4 for text in later), "two seeds, question and answer, and a task of its own"
    with pytest.raises(UserError, match="input_similarity has no default"):
        prepare("self_instruct", input_similarity={"ar": 0.2})


# --- knowledge_triples ---


def test_triples_and_links_by_hand() -> None:
    plan = prepare("knowledge_triples", FakeContext(("es",), 40))
    assert Counter((row.kind, row.lang) for row in plan.rows) == {
        ("triples", "en"): 10, ("triples", "es"): 10, ("links", "es"): 10, ("links", "en"): 10,
    }  # fmt: skip
    [fact] = [row for row in plan.rows if row.id == "triples-es-12"]
    assert (fact.messages[0]["content"], fact.response) == (
        "el pequeño pájaro canta en el jardín cada mañana 12 - birth place:", "place 12",
    )  # fmt: skip
    for row in (row for row in plan.rows if row.kind == "links"):
        number = row.id.rsplit("-", 1)[1]
        there, back = (f"name {number} in Spanish:", f"es {number}"), (f"es {number} in English:", f"name {number}")
        assert (row.messages[0]["content"], row.response) == (there if row.lang == "es" else back)
        assert int(number) % 4, "those that are written alike are left out"
    assert plan.facts["es/links: names read"] - plan.facts["es/links: names written alike"] == 20  # type: ignore[operator]
    kept = prepare("knowledge_triples", FakeContext(("es",), 60), triples=0.0, links=1.0, equal_names=True)
    assert len(kept.rows) == 40 and kept.drops == {"es/links: corpus too small": 20}


def test_names_as_they_are_said() -> None:
    assert spell_relation("birthPlace") == "birth place" and spell_relation("NFL") == "nfl"
    assert drop_brackets("Chicago (film)") == "Chicago" and drop_brackets("(film)") == "(film)" and drop_brackets("A (b) c") == "A (b) c"


def test_a_corpus_without_facts_is_refused() -> None:
    with pytest.raises(UserError, match=r"alpaca: has no facts \(its columns are id, instruction, output\); name a corpus such as triples"):
        prepare("knowledge_triples", triple_corpus="alpaca")


# --- the curriculum of cross_lingual ---


def test_a_second_stage_raises_the_target_languages() -> None:
    options = {"pivot_instructions": 0.5, "target_instructions": 0.25, "translation": 0.25}
    plan = prepare("cross_lingual", FakeContext(("es",), 40), **options, second_stage=0.25, second_stage_targets=0.8)
    # 10 of 40 rows, 8 of them in Spanish; the first stage has 12 of 30.
    later = [row for row in plan.rows if row.kind.endswith("_later")]
    assert (len(later), sum(row.lang == "es" for row in later)) == (10, 8)
    assert set(plan.phases[1]) == {row.kind for row in later}
    assert plan.facts["first_stage_targets"] == 0.4
    with pytest.raises(UserError, match=r"second_stage_targets: 60% of the second stage \(6 rows\) is no more than the 6\d% of the first"):
        prepare("cross_lingual", FakeContext(("es",), 40), second_stage=0.15)
