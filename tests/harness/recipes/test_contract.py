"""A plan's objective on its way to a manifest and back."""

import json

import pytest

from xlift.harness.core.errors import UserError
from xlift.harness.core.settings import build
from xlift.harness.models.profile import InferenceProfile
from xlift.harness.recipes.contract import Dpo, Objective, PlanRecord, Sft


@pytest.mark.parametrize(
    ("objective", "plain"),
    [
        (Sft(), {"kind": "sft"}),
        (Dpo(0.2, 0.5, False), {"kind": "dpo", "beta": 0.2, "nll_weight": 0.5, "length_normalised": False}),
    ],
)
def test_an_objective_is_read_back_as_it_was(objective: Objective, plain: dict[str, object]) -> None:
    profile = InferenceProfile(system={"es": "Responde."})
    record = PlanRecord(rows_sha256="0" * 64, objective=objective, phases=(("qa",), ("chat", "more")), profile=profile)
    written = record.model_dump(mode="json")
    assert written["objective"] == plain and written["phases"] == [["qa"], ["chat", "more"]]
    assert build(PlanRecord, json.loads(json.dumps(written)), "plan") == record


def test_plans_of_older_runs_can_be_read() -> None:
    plain = {"objective": {"kind": "dpo", "beta": 0.1, "nll_weight": 1.0, "length_normalised": True}, "phases": [], "profile": None}
    assert build(PlanRecord, {**plain, "rows_sha256": "1" * 64, "gone": 1}, "plan").objective == Dpo()


def test_an_objective_that_is_none_is_named() -> None:
    with pytest.raises(UserError, match="plan: objective: .*'sft', 'dpo'"):
        build(PlanRecord, {"rows_sha256": "", "objective": {"kind": "ppo"}, "phases": [], "profile": None}, "plan")
