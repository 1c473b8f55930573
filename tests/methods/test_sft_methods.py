"""What the supervised methods promise: self_distillation, star_alignment, question_alignment, translate_then_sft, pivot_only."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from fakes import TEXT, FakeContext

from xlift.harness.plugin import Answer, Chat, Example, Plan, Sampling, UserError, load


def prepare(name: str, context: FakeContext | None = None, **options: Any) -> Plan:
    return load(name, options).prepare(context or FakeContext())


def rows_of(plan: Plan, kind: str) -> list[Example]:
    return [row for row in plan.rows if isinstance(row, Example) and row.kind == kind]


SHARES = ("pivot_to_pivot", "target_to_target", "pivot_to_target", "target_to_pivot", "translation", "completion")


def only(*kinds: str, **options: Any) -> dict[str, Any]:
    return {**{kind: 1 / len(kinds) if kind in kinds else 0 for kind in SHARES}, **options}


def test_self_distillation_crosses_questions_with_answers() -> None:
    plan = prepare("self_distillation", FakeContext(("es",), 40), **only(*SHARES[:4], code_switch=False))
    assert Counter((row.kind, row.lang) for row in plan.rows) == {
        ("pivot_to_pivot", "en"): 10, ("target_to_target", "es"): 10, ("pivot_to_target", "es"): 10, ("target_to_pivot", "en"): 10,
    }  # fmt: skip
    for row in rows_of(plan, "pivot_to_target"):
        question = row.messages[0]["content"].split("\n\n")[0]
        assert "Spanish" in row.messages[0]["content"].removeprefix(question)
        # The model says its prompt in capitals, the translator adds the language.
        assert row.response == f"{question.upper()} [es]"
    for row in rows_of(plan, "target_to_pivot"):
        question = row.messages[0]["content"].split("\n\n")[0]
        assert "English" in row.messages[0]["content"].removeprefix(question)
        assert row.response == question.removesuffix(" [es]").upper()
    for row in rows_of(plan, "target_to_target"):
        assert row.response == row.messages[0]["content"].removesuffix(" [es]").upper() + " [es]"
    assert {row.id.split("-", 2)[2] for row in rows_of(plan, "pivot_to_target")} == {
        row.id.split("-", 2)[2] for row in rows_of(plan, "target_to_pivot")
    }, "one question stands in all combinations"


def test_self_distillation_asks_no_more_than_it_needs() -> None:
    context = FakeContext(("es",), 20)
    plan = prepare("self_distillation", context, **only("pivot_to_target", spare=1.25))
    # 20 rows, 25 answers so that 20 translations may succeed, and 32 questions so that 25 answers may.
    assert len(context.asked) == 32
    assert len(context.translated) == 25, "answers alone, as no question is in Spanish"
    assert plan.facts["prompts asked"] == 32
    context = FakeContext(("es",), 20)
    prepare("self_distillation", context, **only("translation", "completion"))
    assert (context.asked, context.translated) == ([], []), "parallel text needs neither model nor translator"


def test_self_distillation_switches_words_of_questions() -> None:
    plan = prepare("self_distillation", FakeContext(("es",), 40), **only("pivot_to_pivot", code_switch_rows=1, code_switch_rate=1))
    # Of bird, garden, morning, sings and the, the last has fewer than four letters.
    assert all("pájaro canta in the jardín every mañana" in row.messages[0]["content"] for row in plan.rows)
    assert not any("pájaro" in row.response for row in plan.rows if isinstance(row, Example))
    assert plan.facts["code-switched rows"] == 40 - plan.drops.get("en/pivot_to_pivot: corpus too small", 0)
    with pytest.raises(UserError, match="no lexicon for 'zh': set dictionary to alignment, or code_switch to off"):
        prepare("self_distillation", FakeContext(("zh",)))
    assert prepare("self_distillation", FakeContext(("zh",)), code_switch="off").rows


def test_self_distillation_cannot_align_words_without_translations() -> None:
    with pytest.raises(
        UserError, match="alignment learns words from translated pairs, and pivot_to_pivot alone makes none; set dictionary"
    ):
        load("self_distillation", only("pivot_to_pivot", dictionary="alignment"))
    assert prepare("self_distillation", **only("pivot_to_pivot", dictionary="alignment", code_switch="off")).rows


def test_self_distillation_mixes_the_pivot_with_languages_that_have_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xlift.harness.recipes.code_switch.align_words", lambda pairs: {"garden": ("jardín",)})
    # 12 rows, of which one is to be in another language: rounding gives it to Spanish, so that Swahili has no translations to align.
    shares = {**dict.fromkeys(SHARES, 0), "pivot_to_pivot": 11 / 12, "target_to_target": 1 / 12}
    switched = {"dictionary": "alignment", "code_switch_rows": 1.0, "code_switch_rate": 1.0}
    plan = prepare("self_distillation", FakeContext(("es", "sw"), 12), **shares, **switched)
    assert Counter(row.lang for row in plan.rows) == {"en": 11, "es": 1}
    assert all("jardín" in row.messages[0]["content"] for row in rows_of(plan, "pivot_to_pivot"))


def test_self_distillation_uses_parallel_text_twice() -> None:
    plan = prepare("self_distillation", FakeContext(("es",), 20), **only("translation", "completion"))
    assert Counter((row.kind, row.lang) for row in plan.rows) == {
        ("completion", "es"): 10,
        ("translation", "es"): 5,
        ("translation", "en"): 5,
    }
    for row in rows_of(plan, "completion"):
        assert f"{TEXT['es']} {row.id.rsplit('-')[-1]}".endswith(row.response)


class Flawed(FakeContext):
    """Every second answer is cut off."""

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        return [Answer("fine words", 2, number % 2 == 0) for number, _ in enumerate(super().generate(chats, sampling))]


def test_self_distillation_counts_what_it_generated() -> None:
    context = Flawed(("es",), 10)
    plan = prepare("self_distillation", context, **only("pivot_to_pivot", spare=1.0, code_switch="off"))
    # 10 asked, 5 kept; 5 lacking at one in two: 10 more, 5 kept.
    assert len(context.asked) == plan.facts["prompts asked"] == 20
    assert plan.drops == {"en/pivot_to_pivot: cut off": 10}
    assert len(plan.rows) == plan.facts["answers kept"] == 10
    gold = prepare("self_distillation", Flawed(("es",), 10), **only("pivot_to_pivot", spare=1.0, code_switch="off", bad_answers="gold"))
    assert gold.facts["published answers used: cut off"] == 5
    assert gold.drops == {}


def test_self_distillation_names_the_reason_when_nothing_is_left() -> None:
    class Silent(FakeContext):
        def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
            return [Answer("", 1, True) for _ in super().generate(chats, sampling)]

    context = Silent()
    with pytest.raises(UserError, match=r"the model gave no answer that can be used \(left out: empty answer 15\)"):
        prepare("self_distillation", context)
    assert len(context.asked) == 15, "12 rows x 1.25, and no second go"

    class Mute(FakeContext):
        def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
            return [None] * len(texts)

    for name in ("self_distillation", "translate_then_sft"):
        with pytest.raises(UserError, match=r"no translation from 'en' to 'es' can be used \(left out: no translation \d+\)"):
            prepare(name, Mute())


def star(*kinds: str, **options: Any) -> dict[str, Any]:
    shares = ("instructions", "translation", "constrained", "interactive")
    return {**{kind: 1 / len(kinds) if kind in kinds else 0 for kind in shares}, **options}


def test_star_alignment_ties_every_language_to_the_hub_both_ways() -> None:
    plan = prepare("star_alignment", **star("instructions", "translation"))
    # 60 rows: 30 instructions, 15 pairs on each of two edges, by turns 8 into the language and 7 out of it.
    assert Counter((row.kind, row.lang) for row in plan.rows) == {
        ("instructions", "en"): 30, ("translation", "es"): 8, ("translation", "sw"): 8, ("translation", "en"): 14,
    }  # fmt: skip
    assert plan.facts["edges"] == 2


def test_star_alignment_with_two_hubs_has_an_edge_between_them() -> None:
    context = FakeContext(("zh", "es", "sw"), 50)
    plan = prepare("star_alignment", context, **star("translation", hubs=["en", "zh"], direction="from_pivot"))
    edges = Counter("-".join(row.id.split("-")[1:3]) for row in plan.rows)
    assert edges == {"en-es": 10, "zh-es": 10, "en-sw": 10, "zh-sw": 10, "en-zh": 10}


def test_star_alignment_constrains_and_revises() -> None:
    plan = prepare("star_alignment", FakeContext(("es",), 20), **star("translation", "constrained", "interactive"))
    for row in rows_of(plan, "constrained"):
        asked = row.messages[0]["content"]
        wanted = "mañana" if row.lang == "es" else "bird"  # the longest known word of the source
        assert wanted in asked
        assert wanted in row.response
    assert all(len(row.messages) == 3 for row in rows_of(plan, "interactive"))
    texts = [row.id.rsplit("-", 1)[1] for row in plan.rows]
    assert len(set(texts)) == len(texts) == 20, "each pair serves one row"


def test_star_alignment_gives_the_rows_of_a_lacking_lexicon_to_translation() -> None:
    plan = prepare("star_alignment", FakeContext(("zh", "es"), 40), **star("translation", "constrained"))
    # 10 rows of each kind on each edge; Chinese has no lexicon, so it has 20 translations.
    assert Counter("-".join(row.id.split("-")[:3]) for row in plan.rows if "zh" in row.id) == {
        "translation-en-zh": 10,
        "translation-zh-en": 10,
    }
    assert len(plan.rows) == 40
    assert plan.drops == {}
    assert plan.facts["passed over"] == {"zh/constrained: no lexicon, plain translations instead": 10}
    # Where no plain translation is wanted, the rows are lost, and counted.
    assert prepare("star_alignment", FakeContext(("zh", "es"), 40), **star("constrained", "instructions")).drops == {
        "zh/constrained: no lexicon": 10
    }


def test_star_alignment_goes_through_each_corpus_once_for_each_hub() -> None:
    reads: Counter[str] = Counter()

    class Counting(FakeContext):
        def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
            reads[corpus] += 1
            return super().read(corpus, lang)

    from xlift.harness.core.languages import languages

    many = tuple(code for code in languages() if code not in ("en", "zh"))[:120]
    plan = prepare("star_alignment", Counting((*many, "zh"), 2410), **star("translation", hubs=["en", "zh"]))
    # 241 edges of 10 rows; the Chinese text is indexed once.
    assert reads == {"parallel": 241 + 1}
    assert len(plan.rows) == 2410
    assert len({row.lang for row in plan.rows}) == 122


def test_star_alignment_refuses_a_hub_that_is_not_trained() -> None:
    with pytest.raises(UserError, match="hubs: 'zh' is neither the pivot nor a trained language"):
        prepare("star_alignment", hubs=["en", "zh"])
    with pytest.raises(UserError, match="no language is left"):
        prepare("star_alignment", FakeContext(("es",)), hubs=["es"])


def test_star_alignment_lets_a_second_hub_share_no_text() -> None:
    class Apart(FakeContext):
        def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
            return [{**row, "en": f"{row['en']} {lang}"} if "en" in row else row for row in super().read(corpus, lang)]

    plan = prepare("star_alignment", Apart(("zh", "es"), 30), **star("translation", hubs=["en", "zh"]))
    assert plan.drops == {"es/translation: corpus too small": 10}
    assert plan.facts["passed over"] == {"es: no text with zh": 1}


def test_question_alignment_has_two_phases() -> None:
    plan = prepare("question_alignment")
    assert plan.phases == (("question_translation",), ("task",))
    assert Counter(row.kind for row in plan.rows) == {"question_translation": 30, "task": 30}
    assert {row.lang for row in plan.rows} == {"en"}
    assert all(row.response == "2 times 2 is 4 birds.\nThe answer is 4." for row in rows_of(plan, "task"))
    for row in rows_of(plan, "question_translation"):
        lang, number = row.id.split("-")[1], row.id.split("-")[-1]
        assert f"{TEXT[lang]} {number}?" in row.messages[0]["content"]
        assert row.response == f"{TEXT['en']} {number}?"


def test_question_alignment_without_the_second_phase() -> None:
    plan = prepare("question_alignment", question_translation=1.0, task=0.0, question_corpus="alpagasus")
    assert plan.phases == (("question_translation",),)
    with pytest.raises(UserError, match="gsm8k has English solutions alone and the pivot is 'es'"):
        prepare("question_alignment", FakeContext(("sw",), pivot="es"))
    with pytest.raises(UserError, match="alpaca"):
        prepare("question_alignment", Apart(), question_corpus="alpaca")


class Apart(FakeContext):
    """Ids differ between languages, as those of Alpaca's parts do."""

    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        return [{**row, "id": f"{lang}-{row['id']}"} for row in super().read(corpus, lang)]


def test_translate_then_sft_translates_published_rows() -> None:
    context = FakeContext(("es",), 20)
    plan = prepare("translate_then_sft", context, pivot_instructions=0.5, target_instructions=0.5, spare=1.2)
    assert Counter(row.lang for row in plan.rows) == {"en": 10, "es": 10}
    for row in rows_of(plan, "target_instructions"):
        number = row.id.rsplit("-", 1)[1]
        assert row.messages[0]["content"] == f"{TEXT['en']}? {number} [es]"
        assert row.response == f"{TEXT['en']}! {number} [es]"
    assert len(context.translated) == 24, "12 questions and 12 answers"
    assert context.asked == []


def test_pivot_only_speaks_the_pivot_only() -> None:
    plan = prepare("pivot_only")
    assert {(row.lang, row.kind) for row in plan.rows} == {("en", "instructions")}
    assert plan.drops == {"en/instructions: corpus too small": 20}


@pytest.mark.parametrize("name", ["self_distillation", "star_alignment", "question_alignment", "translate_then_sft", "pivot_only"])
def test_a_pivot_other_than_english(name: str) -> None:
    options = {"question_alignment": {"task_corpus": "alpaca"}, "self_distillation": {"code_switch_rows": 1.0}}.get(name, {})
    plan = prepare(name, FakeContext(("sw",), 40, pivot="es"), **options)
    assert {row.lang for row in plan.rows} <= {"es", "sw"}
    if name == "self_distillation":
        assert any("ndege" in row.messages[0]["content"] for row in plan.rows if row.kind == "pivot_to_pivot")


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("self_distillation", {"translation": 0.5}, "add up to 1.4"),
        ("self_distillation", {"code_switch": "words"}, "code_switch"),
        ("self_distillation", {"dictionary": "lexicn"}, "dictionary"),
        ("self_distillation", {"spare": 0.5}, "spare"),
        ("star_alignment", {"hub": "en"}, "unknown key 'hub'; did you mean 'hubs'"),
        ("star_alignment", {"direction": "up"}, "direction"),
        ("question_alignment", {"task": 1.0}, "add up to 1.5"),
        ("translate_then_sft", {"max_length_ratio": 1}, "max_length_ratio"),
        ("pivot_only", {"instruction_corpus": "parallel"}, "parallel: has no prompts"),
    ],
)
def test_bad_options(name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        prepare(name, **options)


def test_question_alignment_trains_where_it_is_told() -> None:
    from xlift.harness.plugin import Where

    assert prepare("question_alignment").where is None
    slam = prepare("question_alignment", layers=[0, 1, 2, 3, 4], modules=["up_proj", "down_proj"])
    assert slam.where == Where((0, 1, 2, 3, 4), ("up_proj", "down_proj"))
    assert slam.rows == prepare("question_alignment").rows
