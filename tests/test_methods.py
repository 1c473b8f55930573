"""The contract of every method, on a fake Context of a few lines, and what cross_lingual itself promises."""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from xlift.harness.plugin import Answer, Chat, Plan, Sampling, UserError, load, names
from xlift.harness.rows import LeakError

TEXT = {"en": "the bird sings", "es": "el pájaro canta", "sw": "ndege anaimba"}


class FakeContext:
    """Forty rows a corpus and language; the model says its prompt in capitals."""

    def __init__(self, languages: tuple[str, ...] = ("es", "sw"), budget: int | None = 60) -> None:
        self.languages, self.pivot, self.budget = languages, "en", budget

    @property
    def rng(self) -> random.Random:
        return random.Random(7)

    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        if corpus in ("mgsm", "flores", "xquad", "mlqa", "x_alpaca_eval"):
            raise LeakError(corpus)
        text = TEXT[lang]
        if corpus == "parallel":
            return [{"id": str(n), "en": f"{TEXT['en']} {n}", "text": f"{text} {n}"} for n in range(40)]
        return [{"id": str(n), "instruction": f"{text}? {n}", "output": f"{text}! {n}"} for n in range(40)]

    @property
    def round(self) -> int:
        return 0

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        return [f"{text} [{target}]" if text else None for text in texts]

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        return [Answer(chat[-1]["content"].upper(), 3, True) for chat in chats]

    def identify(self, texts: Sequence[str]) -> list[str]:
        return ["und"] * len(texts)


def prepare(options: Mapping[str, Any], **context: Any) -> Plan:
    return load("cross_lingual", options).prepare(FakeContext(**context))


@pytest.mark.parametrize("name", names())
def test_contract(name: str) -> None:
    context = FakeContext()
    plan = load(name, {}).prepare(context)
    assert 0 < len(plan.rows) <= 60
    assert {row.lang for row in plan.rows} <= {"en", *context.languages}
    assert len({row.id for row in plan.rows}) == len(plan.rows)
    assert all(row.messages[-1]["role"] == "user" and row.response.strip() for row in plan.rows)
    assert all(count > 0 for count in plan.drops.values())
    assert json.loads(json.dumps([row.to_dict() for row in plan.rows]))
    assert load(name, {}).prepare(FakeContext()) == plan, "same options, same context, same rows"
    with pytest.raises(UserError, match="unknown key 'no_such_option'"):
        load(name, {"no_such_option": 1})


def test_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'cross_lingual'"):
        load("cross_lingaul", {})


def test_shares_of_the_budget() -> None:
    plan = prepare({"pivot_instructions": 0.2, "target_instructions": 0.3, "translation": 0.5})
    # 60 rows: 12 English, 9 for each target language, 15 pairs for each.
    assert Counter((row.kind, row.lang) for row in plan.rows) == {
        ("pivot_instructions", "en"): 12, ("target_instructions", "es"): 9, ("target_instructions", "sw"): 9,
        ("translation", "es"): 15, ("translation", "sw"): 15,
    }  # fmt: skip


@pytest.mark.parametrize(("direction", "answers"), [("from_pivot", {"es"}), ("to_pivot", {"en"}), ("both", {"en", "es"})])
def test_direction_of_translation(direction: str, answers: set[str]) -> None:
    plan = prepare(
        {"pivot_instructions": 0, "target_instructions": 0, "translation": 1, "direction": direction}, languages=("es",), budget=20
    )
    assert {row.lang for row in plan.rows} == answers
    for row in plan.rows:
        number = row.id.rsplit("-", 1)[1]
        source = TEXT["es"] if row.lang == "en" else TEXT["en"]
        assert f"{source} {number}" in row.messages[0]["content"]
        assert row.response == f"{TEXT[row.lang]} {number}"
        assert ("Spanish" if row.lang == "es" else "English") in row.messages[0]["content"]


def test_what_a_small_corpus_lacks_is_counted() -> None:
    plan = prepare({"pivot_instructions": 1, "target_instructions": 0, "translation": 0}, budget=50)
    assert len(plan.rows) == 40
    assert plan.drops == {"en/pivot_instructions: corpus too small": 10}


@pytest.mark.parametrize(
    ("english", "other", "reason"),
    [("", "x", "empty"), ("same", "Same", "not translated"), ("a" * 100, "b" * 20, "length ratio"), ("a" * 900, "b" * 900, "too long")],
)
def test_bad_pairs_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch, english: str, other: str, reason: str) -> None:
    rows = [{"id": "0", "en": english, "text": other}, {"id": "1", "en": "good", "text": "bueno"}]
    monkeypatch.setattr(FakeContext, "read", lambda self, corpus, lang: rows)
    plan = prepare({"pivot_instructions": 0, "target_instructions": 0, "translation": 1}, languages=("es",), budget=2)
    assert [row.response for row in plan.rows] == ["bueno"]
    assert plan.drops == {f"es/translation: {reason}": 1, "es/translation: corpus too small": 1}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"translation": 0.5}, "add up to 1.167"),
        ({"direction": "sideways"}, "direction"),
        ({"translation": 1.5}, "less than or equal to 1"),
        ({"shares": {}}, "unknown key 'shares'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        prepare(options)


def test_a_part_without_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeContext, "read", lambda self, corpus, lang: [])
    with pytest.raises(UserError, match="en/pivot_instructions: there are no usable rows"):
        prepare({})
