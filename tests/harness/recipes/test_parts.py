"""Parts of a plan: which rows each has, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest

from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Example, ask
from xlift.harness.plugin import Mix, Part, Plan
from xlift.harness.recipes.contract import place_blocks
from xlift.harness.recipes.parts import check_parts, select_rows

ROWS = tuple(Example(ask(f"q{n}"), "a", lang, f"{kind}{n}", kind) for n, (kind, lang) in enumerate([("a", "es"), ("a", "sw"), ("b", "en")]))
PARTS = {"one": Part(("a",), 0.5), "two": Part(("b",), 0.5)}
PLAN = Plan(ROWS, parts=PARTS, edit=Mix({"one": 1.0, "two": 0.5}))


def test_rows_are_chosen_by_kind_and_language() -> None:
    assert [row.id for row in select_rows(ROWS, PARTS["one"])] == ["a0", "a1"]
    assert [row.id for row in select_rows(ROWS, Part(("a", "b"), 1.0, ("sw", "en")))] == ["a1", "b2"]


@pytest.mark.parametrize(
    "edit",
    [
        Mix({"one": 1.0, "two": -1.0}),
        Mix({"two": 2.0}),  # twice what one part changes is not that part
        Mix({"two": 1.0}, {0: {"one": 1.0}}),
        Mix({}, {0: {"one": 1.0}}),
    ],
)
def test_sums_that_are_more_than_one_part(edit: Mix) -> None:
    check_parts(replace(PLAN, edit=edit))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"edit": None}, "two parts or more and an edit, or neither"),
        ({"parts": {}}, "two parts or more and an edit, or neither"),
        ({"parts": {"one": Part(("a", "b"), 1.0)}}, "two parts or more"),
        ({"phases": (("a",), ("b",))}, "leave phases out"),
        ({"parts": {**PARTS, "two": Part(("b",), 0.4)}}, "add up to 1, not to 0.900"),
        ({"parts": {"one": Part(("a",), 1.5), "two": Part(("b",), -0.5)}}, "are above 0"),
        ({"parts": {**PARTS, "two": Part(("c",), 0.5)}}, "part 'two': there are no rows of c in any language"),
        ({"parts": {**PARTS, "one": Part(("a",), 0.5, ("es",))}}, "row 'a1' .sw/a. is of none"),
        ({"parts": {"one": Part(("a",), float("nan")), "two": Part(("b",), 0.5)}}, "above 0 and add up to 1, not to nan"),
        ({"parts": {"one": PARTS["one"], "../two": PARTS["two"]}}, "part '../two': names a folder, so it is made of letters"),
        ({"edit": Mix({"ono": 1.0})}, "no part 'ono'; did you mean 'one'"),
        ({"edit": Mix({"one": float("nan")})}, "share of one is no number"),
        ({"edit": Mix({"one": 1.0})}, "the sum is the part 'one' alone"),
        ({"edit": Mix({"one": 1.0, "two": 0.0}, {3: {"one": 1.0}})}, "the sum is the part 'one' alone"),
        ({"edit": Mix({"one": 0.0}, {3: {}})}, "all shares are 0"),
    ],
)
def test_what_does_not_go_together_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        check_parts(replace(PLAN, **change))


def test_layers_count_from_both_ends() -> None:
    assert place_blocks([0, -1], 30) == {0: 0, 29: -1}
    with pytest.raises(UserError, match="layer 30: the base has 30 layers, from 0 to 29"):
        place_blocks([30], 30)
    with pytest.raises(UserError, match="layer -30 and layer 0 are one, as the base has 30 layers"):
        place_blocks([0, -30], 30)
