"""What query_policy promises: what is learnt, the controls, and that nothing is chosen where nothing differs."""

from collections.abc import Sequence
from typing import Any

import pytest
from fakes import FakeContext

from xlift.harness.models.policy import FEATURES
from xlift.harness.plugin import Answer, Chat, Plan, Sampling, UserError, load


def prepare(context: FakeContext | None = None, **options: Any) -> Plan:
    return load("query_policy", {"items": 40, **options}).prepare(context or Preferring())


class Preferring(FakeContext):
    """Says the right answer to questions where the language is named, and to all else where it is not."""

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        self.asked += chats
        prompts = [chat[-1]["content"] for chat in chats]
        return [Answer("the bird 1" if ("Answer in" in text) == ("What sings" in text) else "no", 3, True) for text in prompts]


class Deaf(FakeContext):
    """Says the same to everything."""

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        return [Answer("no", 1, True) for _ in chats]


def test_what_serves_a_question_is_learnt() -> None:
    context = Preferring()
    plan = prepare(context, profiles=["plain", "named"], ridge=0.01)
    questions = [chat[-1]["content"] for chat in context.asked if "Answer in" not in chat[-1]["content"]]
    assert plan.policy is not None and plan.rows == () and plan.chosen_on == "qa/squad, 40 training items of each language"
    for lang in ("es", "sw"):
        for question in (one for one in questions if f"[{lang}]" in one):
            assert plan.policy.choose(lang, question) == ("named" if "What sings" in question else "plain")
        facts: Any = plan.facts[lang]
        # Of the other half of the items each profile makes "no", which shares nothing with the answer
        assert facts["items"] == facts["items on which profiles differ"] == 40
        assert facts["policy"] == facts["oracle"] > 1.5 * facts["best single profile"] and facts["by chance"] < facts["policy"]


def test_the_controls() -> None:
    static, drawn = prepare(profiles=["plain", "named"], choose="static").policy, prepare(choose="random").policy
    assert static is not None and drawn is not None and drawn.draw and not static.draw
    for lang in ("es", "sw"):
        assert all(not any(row[1:]) and len(row) == FEATURES for row in static.weights[lang].values())
        assert len({static.choose(lang, text) for text in ("What sings 1?", "Where is bird 2?", "x")}) == 1
    assert len({drawn.choose("es", f"{number}") for number in range(30)}) == 3
    named = prepare(choose="pivot_first")
    assert named.policy is None and named.profile is not None and named.profile.header == dict.fromkeys(("es", "sw"), "Final answer:")
    with pytest.raises(UserError, match="choose"):
        load("query_policy", {"choose": "plain"})


def test_nothing_is_chosen_where_all_profiles_score_alike() -> None:
    with pytest.raises(UserError, match="the profiles score alike on each item in each language, so there is nothing to choose by"):
        prepare(Deaf())
