"""The second stage of a curriculum, by numbers that can be counted."""

from collections import Counter

import pytest

from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Example, ask
from xlift.harness.recipes.stages import split_stages


def rows(own: int, other: int) -> list[Example]:
    return [Example(ask("q"), "a", "es", str(at), "own" if at < own else "other") for at in range(own + other)]


def test_the_second_stage_has_more_of_the_raised_kinds() -> None:
    # 20 rows, 6 of them raised. A second stage of 20 %: 4 rows, 3 raised, so that the first has 3 of 16.
    staged = split_stages(rows(6, 14), 0.2, 0.75, ("own",))
    assert Counter(row.kind for row in staged.rows) == {"own": 3, "own_later": 3, "other": 13, "other_later": 1}
    assert staged.phases == (("own", "other"), ("own_later", "other_later"))
    assert staged.shares == {"first_stage_targets": 0.188, "second_stage_targets": 0.75}
    assert [row.id for row in staged.rows] == [str(at) for at in range(20)], "the order stays, the last of each sort go over"
    assert [row.id for row in staged.rows if row.kind.endswith("_later")] == ["3", "4", "5", "19"]


@pytest.mark.parametrize(
    ("own", "share", "says"),
    [
        (2, 0.75, "needs 3 rows of own and 1 others, and there are 2 and 18; lower it"),
        (15, 0.5, r"50% of the second stage \(4 rows\) is no more than the 81% of the first; raise it"),
    ],
)
def test_what_is_no_curriculum_is_refused(own: int, share: float, says: str) -> None:
    with pytest.raises(UserError, match=says):
        split_stages(rows(own, 20 - own), 0.2, share, ("own",))
