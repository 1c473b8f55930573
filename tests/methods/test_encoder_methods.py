"""What encoder_merge promises: its phases and rows, who is asked to translate, and LangBridge by options."""

from typing import Any

import pytest
from fakes import FakeContext

from xlift.harness.core.types import Example
from xlift.harness.plugin import Plan, UserError, load


def prepare(context: FakeContext | None = None, **options: Any) -> Plan:
    return load("encoder_merge", options).prepare(context or FakeContext())


def test_translations_come_first_and_then_problems_with_answers_in_the_pivot() -> None:
    context = FakeContext()
    plan = prepare(context)
    assert plan.phases == (("mapping",), ("augmentation",)) and plan.module is not None and plan.module.alone == ("mapping",)
    counts = {kind: sum(row.kind == kind for row in plan.rows) for kind in ("mapping", "augmentation")}
    assert counts == {"mapping": 30, "augmentation": 30}
    assert {row.lang for row in plan.rows} == {"en"} and not context.translated
    rows = {row.id: row for row in plan.rows if isinstance(row, Example)}
    mapped = next(row for row in rows.values() if row.id.startswith("mapping-es-"))
    number = mapped.id.rpartition("-")[2]
    assert mapped.messages[-1]["content"] == f"el pequeño pájaro canta en el jardín cada mañana {number}"
    assert mapped.response == f"the little bird sings in the garden every morning {number}"
    problem = next(row for row in rows.values() if row.id.startswith("augmentation-sw-"))
    assert problem.messages[-1]["content"].startswith("ndege mdogo") and problem.response == "2 times 2 is 4 birds.\nThe answer is 4."
    # two languages and the pivot
    assert {lang: sum(name.startswith(f"augmentation-{lang}-") for name in rows) for lang in ("es", "sw", "en")} == dict.fromkeys(
        ("es", "sw", "en"), 10
    )


def test_langbridge_has_the_pivots_problems_alone() -> None:
    plan = prepare(mapping=0.0, queries="pivot", reads_prompt=False, inner=0.0)
    assert plan.phases == (("augmentation",),) and all(row.id.startswith("augmentation-en-") for row in plan.rows)
    assert plan.module is not None and (plan.module.reads_prompt, plan.module.inner) == (False, 0.0)


def test_the_control_has_the_rows_of_the_real_one() -> None:
    real, control = prepare(), prepare(zeroed=True)
    assert real.rows == control.rows and control.module is not None and control.module.zeroed


def test_solutions_that_are_in_english_alone_want_english_as_the_pivot() -> None:
    with pytest.raises(UserError, match="gsm8k has English solutions alone and the pivot is 'es'; set task_corpus"):
        prepare(FakeContext(("sw",), pivot="es"))
