"""Rows that all methods of a suite share."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.support.fakes import FakeContext
from xlift.harness.config.suite import CommonRows, Suite, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Example, Preference, ask
from xlift.harness.pipeline.common_rows import COMMON, add_common
from xlift.harness.pipeline.needs import COMMON as COMMON_ROWS
from xlift.harness.pipeline.needs import list_choices, list_needs
from xlift.harness.pipeline.row_budget import choose_rows
from xlift.harness.recipes.contract import Dpo, Mix, Part, Plan
from xlift.harness.recipes.parts import select_rows

QUARTER = CommonRows(corpus="alpaca", share=0.25)


def rows_of(count: int, kind: str = "k") -> tuple[Example, ...]:
    return tuple(Example(ask(f"q{number}"), "a", "es", f"{kind}-{number}", kind) for number in range(count))


def suite_of(**changes: Any) -> Suite:
    values = {
        "name": "small", "languages": {"train": ["es"], "evaluate": ["es"]}, "data": {"samples": "always"}, "rows": 200,
        "methods": {"m": {"method": "cross_lingual"}, "prompt": {"method": "xlt_prompt"}},
        "evaluate": {"tasks": ["xlift_mgsm_direct_es"]}, **changes,
    }  # fmt: skip
    return read_suite(values, "test")


def test_a_share_of_all_rows_is_common() -> None:
    plan = add_common(Plan(rows_of(30)), FakeContext(), QUARTER)
    common = [row for row in plan.rows if row.kind == COMMON]
    assert (len(plan.rows), len(common)) == (40, 10), "30 rows are three quarters of 40"
    assert {row.lang for row in common} == {"en"}
    assert [row.kind for row in plan.rows[:30]] != ["k"] * 30, "they are mixed"


def test_methods_with_as_many_rows_get_the_same_ones() -> None:
    ids = [
        sorted(row.id for row in add_common(Plan(rows_of(30, kind)), FakeContext(), QUARTER).rows if row.kind == COMMON) for kind in "kl"
    ]
    assert ids[0] == ids[1]


def test_common_rows_are_of_the_last_phase() -> None:
    plan = add_common(Plan(rows_of(3, "one") + rows_of(3, "two"), phases=(("one",), ("two",))), FakeContext(), QUARTER)
    assert plan.phases == (("one",), ("two", COMMON))
    assert sum(row.kind == COMMON for row in plan.rows) == 2


def test_common_rows_are_of_the_last_part() -> None:
    parts = {"one": Part(("one",), 0.5, ("es",)), "two": Part(("two",), 0.5, ("es",))}
    plan = add_common(Plan(rows_of(3, "one") + rows_of(3, "two"), parts=parts, edit=Mix({"one": 1.0, "two": 1.0})), FakeContext(), QUARTER)
    assert plan.parts == {"one": parts["one"], "two": Part(("two", COMMON), 0.5, ("es", "en"))}
    assert [len(select_rows(plan.rows, part)) for part in plan.parts.values()] == [3, 5]


def test_preferences_and_prompts_stay_as_they_are() -> None:
    pairs = (Preference(ask("q"), "good", "bad", "es", "p", "pair"),)
    for plan in (Plan(pairs, Dpo()), Plan(())):
        assert add_common(plan, FakeContext(), QUARTER) is plan


def test_a_corpus_that_gives_too_few_rows_is_counted() -> None:
    class Small(FakeContext):
        def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
            return super().read(corpus, lang)[:4]

    plan = add_common(Plan(rows_of(30)), Small(), QUARTER)
    assert plan.drops == {"en/common: corpus too small": 6}


def test_the_budget_holds_them_too() -> None:
    rows = choose_rows(suite_of(common={"corpus": "alpaca", "share": 0.25}), "m")
    assert (rows.bound, rows.own) == (200, 150)
    assert choose_rows(suite_of(), "m").own == 200


def test_what_is_read_for_them_is_known_before_a_run() -> None:
    common = {"corpus": "alpaca", "share": 0.25}
    needs = [need for need in list_needs(suite_of(common=common), ()) if need.who == COMMON_ROWS]
    assert [(need.supply.corpus, need.supply.lang) for need in needs] == [("alpaca", "en")], "once for all methods"
    alone = suite_of(common=common, methods={"prompt": {"method": "xlt_prompt"}})
    assert COMMON_ROWS not in {need.who for need in list_needs(alone, ())}, "nothing is trained"
    with pytest.raises(UserError, match=r"^common\.corpus: .*did you mean 'squad'\?"):
        list_needs(suite_of(common={"corpus": "qa/squadd", "share": 0.25}), ())
    (need,) = (one for one in list_needs(suite_of(common={"corpus": "parallel", "share": 0.25}), ()) if one.who == COMMON_ROWS)
    assert need.missing and list_choices(need)[-2:] == ["name another corpus in common.corpus", "leave common out"]


@pytest.mark.parametrize("share", [0, 1, 1.5])
def test_a_share_of_nothing_or_of_all_is_refused(share: float) -> None:
    with pytest.raises(UserError, match="common.share"):
        suite_of(common={"corpus": "alpaca", "share": share})
