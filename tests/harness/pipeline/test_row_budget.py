"""How many rows a method is asked for, by suite, options and the tokens of its training."""

from pathlib import Path
from typing import Any

import pytest

from xlift.harness.config.suite import Suite, read_suite
from xlift.harness.pipeline.context import RunContext
from xlift.harness.pipeline.dry_run import plan_run
from xlift.harness.pipeline.row_budget import choose_rows
from xlift.tasks.leaks import Guard


def suite_of(method: str = "cross_lingual", **changes: Any) -> Suite:
    values = {
        "name": "small", "languages": {"train": ["es"], "evaluate": ["es"]}, "data": {"samples": "always"},
        "methods": {"m": {"method": method}}, "evaluate": {"tasks": ["xlift_mgsm_direct_es"]}, **changes,
    }  # fmt: skip
    return read_suite(values, "test")


@pytest.mark.parametrize(
    ("method", "changes", "bound", "wanted"),
    [
        ("cross_lingual", {}, None, 3000),
        ("cross_lingual", {"rows": 500}, 500, 500),
        # 20,000 tokens go through 312.5 rows of 64.
        ("cross_lingual", {"train": {"tokens": 20_000}}, 313, 3000),
        ("cross_lingual", {"train": {"tokens": 20_000}, "rows": 500}, 313, 500),
        ("cross_lingual", {"train": {"tokens": 20_000}, "rows": 100}, 100, 100),
        ("cross_lingual", {"train": {"tokens": 2_000_000}}, None, 3000),
        ("dpo_self_improvement", {"train": {"tokens": 20_000}}, 313, None),
        ("dpo_self_improvement", {}, None, None),
    ],
)
def test_rows_are_chosen_for_the_budget(method: str, changes: dict[str, Any], bound: int | None, wanted: int | None) -> None:
    suite = suite_of(method, **changes)
    rows = choose_rows(suite, "m")
    assert (rows.bound, rows.wanted) == (bound, wanted)
    assert rows.expected == (bound or wanted)
    assert rows.is_cut == (bound is not None and wanted is not None and bound < wanted)
    context = RunContext(suite, "m", Guard([]), lambda chats, sampling: pytest.fail("no engine is needed"))
    assert context.budget == bound, "what the method sees"


def test_a_dry_run_shows_the_rows_that_the_budget_leaves(tiny_base: Path, tmp_path: Path) -> None:
    suite = suite_of(base={"model": str(tiny_base)}, train={"tokens": 20_000})
    found = plan_run(suite, tmp_path)
    assert [(row["stage"], row["rows"], row["tokens"]) for row in found["stages"][:2]] == [("prepare", 313, None), ("fit", 313, 20_121)], (
        "the last step ends with a whole row"
    )
    assert found["totals"]["fewer rows, as train.tokens reach no more"] == "m 313 of 3,000"
    assert not any("fewer rows" in key for key in plan_run(suite_of(base={"model": str(tiny_base)}), tmp_path)["totals"])
