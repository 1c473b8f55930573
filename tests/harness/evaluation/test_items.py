"""Which items a limited evaluation asks."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from xlift.harness.evaluation.items import draw_items
from xlift.harness.evaluation.samples import name_group


def turn(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def paragraphs(lang: str, count: int = 6, questions: int = 4) -> list[dict[str, object]]:
    return [{"id": f"q{p}-{q}", "context": f"{lang} paragraph {p}"} for p in range(count) for q in range(questions)]


def test_items_go_by_a_hash_of_their_ids_and_not_by_their_places() -> None:
    documents = [{"id": str(number)} for number in range(20)]
    first_three = sorted(range(20), key=lambda number: turn(str(number)))[:3]
    assert draw_items(documents, 3) == sorted(first_three) != [0, 1, 2]


def test_every_paragraph_is_asked_once_before_one_is_asked_twice() -> None:
    documents = paragraphs("es")
    drawn = draw_items(documents, 6)
    assert len({documents[place]["context"] for place in drawn}) == 6, "12 of the first items would be three paragraphs"
    assert len(draw_items(documents, 9)) == 9


def test_all_languages_are_asked_the_same_items() -> None:
    spanish, chinese = paragraphs("es"), paragraphs("zh")
    assert draw_items(spanish, 7) == draw_items(chinese, 7)


def test_items_without_ids_go_by_their_places() -> None:
    assert draw_items([{"question": "?"} for _ in range(5)], 2) == sorted(sorted(range(5), key=lambda place: turn(str(place)))[:2])


@given(st.lists(st.tuples(st.text(max_size=4), st.sampled_from(["", "a", "b", "c"])), max_size=30, unique_by=lambda item: item[0]))
def test_a_larger_limit_holds_the_items_of_a_smaller_one(items: list[tuple[str, str]]) -> None:
    documents = [{"id": identity, "context": context} for identity, context in items]
    drawn = [set(draw_items(documents, limit)) for limit in range(len(items) + 2)]
    assert [len(one) for one in drawn] == [min(limit, len(items)) for limit in range(len(items) + 2)]
    assert all(smaller <= larger for smaller, larger in zip(drawn, drawn[1:], strict=False))


def test_questions_to_one_paragraph_are_a_group() -> None:
    assert name_group({"id": "1", "context": "p"}) == name_group({"id": "2", "context": "p"}) != name_group({"id": "3", "context": "q"})
    assert name_group({"id": "1", "text": "p"}) == ""


def test_every_article_gives_one_sentence_before_one_gives_two() -> None:
    documents = [{"id": str(number), "text": f"Sentence {number}."} for number in range(24)]
    articles = {str(number): f"https://news/{number // 4}" for number in range(24)}
    assert {place // 4 for place in draw_items(documents, 6, articles)} == set(range(6))
    assert {place // 4 for place in draw_items(documents, 6)} != set(range(6)), "not by chance"
    assert name_group(documents[0], articles) == name_group(documents[3], articles) != name_group(documents[4], articles)
