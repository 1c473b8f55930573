"""A choice among profiles beside the best single one and the oracle, by hand."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scored import documents, only

from xlift.harness.evaluation.records import Record
from xlift.leaderboard.analysis.policies import tabulate_policies
from xlift.leaderboard.loading.scores import Documents

TASK = "xlift_mgsm_direct_es"


def measured(label: str, kind: str | None, values: Sequence[float], suite: str = "s") -> tuple[Record, list[Documents]]:
    method = None if label == "base" else "query_policy"
    record = Record.model_construct(suite=suite, label=label, method=method, kind=kind, seed=None)
    return record, [documents(label, TASK, values), documents(label, TASK, values, metric="off_target")]


BASE, NAMED = measured("base", None, [1, 0, 0, 0]), measured("named", "profile", [0, 1, 1, 0])
LEAP = measured("leap", "policy", [1, 1, 0, 0])


def test_the_best_of_each_item_and_the_best_single_profile() -> None:
    found = tabulate_policies([BASE, LEAP, NAMED])
    # of the items one or the other profile gets the first three right, and the named one two
    assert only(found) == {
        "suite": "s", "model": "leap", "task": TASK, "metric": "accuracy", "items": 4, "value": 0.5, "best_single": "named",
        "best_single_value": 0.5, "oracle": 0.75,
    }  # fmt: skip


def test_items_that_share_a_paragraph_are_chosen_for_one_by_one() -> None:
    def share(one: tuple[Record, list[Documents]]) -> tuple[Record, list[Documents]]:
        return one[0], [replace(each, columns=replace(each.columns, groups=np.array([0, 0, 1, 1]))) for each in one[1]]

    assert only(tabulate_policies([share(one) for one in (BASE, LEAP, NAMED)]))["oracle"] == 0.75


@pytest.mark.parametrize("some", [[BASE, NAMED], [BASE, LEAP], [LEAP, measured("named", "profile", [0, 1, 1, 0], suite="other")]])
def test_nothing_is_said_without_a_choice_beside_single_profiles(some: list[tuple[Record, list[Documents]]]) -> None:
    assert tabulate_policies(some).empty
