"""A plan's objective on its way to a manifest and back."""

import json

import pytest

from xlift.harness.core.errors import UserError
from xlift.harness.core.settings import build
from xlift.harness.models.profile import InferenceProfile
from xlift.harness.recipes.contract import Dpo, Objective, PlanRecord, Sft, Where


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


def test_where_a_plan_trains_goes_into_its_record_alone_where_it_says_so() -> None:
    bare = PlanRecord(rows_sha256="0" * 64, objective=Sft(), phases=(), profile=None)
    assert bare.describe() == {"rows_sha256": "0" * 64, "objective": {"kind": "sft"}, "phases": [], "profile": None}
    chosen = bare.model_copy(update={"where": Where((-1,), ("up_proj",))})
    assert chosen.describe()["where"] == {"layers": [-1], "modules": ["up_proj"]}
    assert build(PlanRecord, json.loads(json.dumps(chosen.describe())), "plan") == chosen


def test_a_lora_is_kept_to_layers_and_modules() -> None:
    lora = {"r": 4, "target_modules": "all-linear"}
    assert Where((0, -1, 3), ("up_proj",)).narrow(lora, 4) == {"r": 4, "target_modules": ["up_proj"], "layers_to_transform": [0, 3]}
    assert Where(modules=("up_proj",)).narrow(lora, 4) == {"r": 4, "target_modules": ["up_proj"]}
    assert Where((1,)).narrow({"target_modules": ["q_proj"]}, 4) == {"target_modules": ["q_proj"], "layers_to_transform": [1]}
    assert Where((1,)).narrow({}, 4)["target_modules"] == "all-linear"


@pytest.mark.parametrize(
    ("layer", "lora", "says"),
    [
        (4, {}, "layer 4: the base has 4 layers, from 0 to 3; -1 is the last one"),
        (-5, {}, "layer -5: the base has 4 layers"),
        (0, {"layers_to_transform": [1]}, "train.lora.layers_to_transform: the method chooses the layers; leave one of them out"),
        (0, {"target_modules": ".*q_proj"}, "a pattern cannot be kept to the method's layers; list the names of modules"),
    ],
)
def test_layers_that_a_lora_cannot_be_kept_to_are_refused(layer: int, lora: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Where((layer,)).narrow(lora, 4)
