"""What a dry run finds and shows before anything is done."""

from pathlib import Path
from typing import Any

import pytest

from xlift.harness.config.suite import Suite, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.engines import device
from xlift.harness.pipeline.dry_run import RunPlan, check_suite, plan_run


def suite_of(base: Path, methods: dict[str, Any], **changes: Any) -> Suite:
    values: dict[str, Any] = {
        "name": "small", "base": {"model": str(base)}, "languages": {"train": ["es"], "evaluate": ["es"]}, "data": {"samples": "always"},
        "rows": 12, "train": {"max_length": 256, "batch_tokens": 512}, "methods": methods,
        "evaluate": {"tasks": ["xlift_mgsm_direct_es"], "limit": 3},
    }  # fmt: skip
    return read_suite({**values, **changes}, "suite")


def find(plan: RunPlan, stage: str, label: str) -> dict[str, Any]:
    return next({**row} for row in plan["stages"] if (row["stage"], row["label"]) == (stage, label))


def test_rows_tokens_and_steps_of_methods_that_only_read_are_those_of_the_run(tiny_base: Path, tmp_path: Path, in_process: None) -> None:
    from xlift.harness.pipeline.run import fit_all, open_run

    suite = suite_of(tiny_base, {"m": {"method": "cross_lingual"}})
    planned = find(plan_run(suite, tmp_path), "fit", "m-seed0")
    run = open_run(suite, tmp_path)
    run.root.mkdir(parents=True)
    fit_all(run)
    done = find(plan_run(suite, tmp_path), "fit", "m-seed0")
    assert (planned["state"], done["state"]) == ("to do", "done")
    assert {name: planned[name] for name in ("rows", "tokens", "steps")} == {name: done[name] for name in ("rows", "tokens", "steps")}
    assert planned["seconds"] > 0 and done["seconds"] is None


def test_methods_that_ask_a_model_have_bounds_and_all_have_time_and_memory(tiny_base: Path, tmp_path: Path) -> None:
    suite = suite_of(
        tiny_base,
        {"d": {"method": "self_distillation", "options": {"code_switch": "off"}}, "p": {"method": "pivot_only"}},
        train={"tokens": 5120, "batch_tokens": 512},
    )
    plan = plan_run(suite, tmp_path)
    fit = find(plan, "fit", "d-seed0")
    assert (fit["rows"], fit["tokens"], fit["steps"]) == (12, 5120, 10)
    assert find(plan, "prepare", "d")["seconds"] > 0 and find(plan, "prepare", "p")["seconds"] == 0
    assert find(plan, "evaluate", "base")["seconds"] > 0
    assert "time, roughly" in plan["totals"]
    assert str(plan["totals"]["memory of a training, roughly"]).startswith("1.5 GiB; ")
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize(
    ("methods", "changes", "says"),
    [
        (
            {"m": {"method": "self_distillation", "options": {"code_switch": "off"}}},
            {"translators": {"en-es": {"kind": "command", "command": "no-such-program -x"}}},
            "methods.m: self_distillation: translator command 'no-such-program -x': there is no program 'no-such-program'",
        ),
        (
            {"m": {"method": "self_distillation", "options": {"code_switch": "off"}}},
            {"translators": {"es-en": {"kind": "self"}}},
            "methods.m: self_distillation: translators: none for en-es; add en-es or default",
        ),
    ],
)
def test_what_a_method_lacks_is_found_with_its_label(
    tiny_base: Path, tmp_path: Path, methods: dict[str, Any], changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError) as caught:
        plan_run(suite_of(tiny_base, methods, **changes), tmp_path)
    assert str(caught.value).startswith(says)


def test_a_base_that_no_memory_holds_is_refused(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "read_device", lambda: device.Device("a small one", 1e12, 1000, 4, is_gpu=False))
    with pytest.raises(UserError, match="methods.m: the weights of .* GiB, and a small one has 0.0 GiB free; set train.quantise: 4bit"):
        plan_run(suite_of(tiny_base, {"m": {"method": "pivot_only"}}), tmp_path)


@pytest.mark.parametrize(
    ("lora", "says"),
    [
        ({"r": "16"}, "train.lora.r: must be a whole number from 1 on, got '16'"),
        ({"r": 0}, "train.lora.r: must be a whole number from 1 on, got 0"),
        ({"lora_alpha": -1}, "train.lora.lora_alpha: must be a number above 0, got -1"),
        ({"lora_dropout": 2}, "train.lora.lora_dropout: must be a number from 0 to below 1, got 2"),
        ({"bias": "al"}, "train.lora.bias: 'al'; did you mean 'all'?"),
        ({"target_modules": ["q_prj"]}, "methods.m: train.lora.target_modules: .* has no layer q_prj; did you mean 'q_proj'?"),
        ({"target_modules": "("}, "methods.m: train.lora.target_modules: '\\(' is no pattern"),
    ],
)
def test_a_lora_that_training_would_refuse_is_found_by_validate(tiny_base: Path, lora: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        check_suite(suite_of(tiny_base, {"m": {"method": "pivot_only"}}, train={"lora": lora}))


def test_targets_that_the_base_has_are_taken(tiny_base: Path) -> None:
    for targets in (["q_proj", "v_proj"], "all-linear", r".*self_attn\.(q|k)_proj", ["self_attn.o_proj"]):
        check_suite(suite_of(tiny_base, {"m": {"method": "pivot_only"}}, train={"lora": {"r": 2, "target_modules": targets}}))


def test_the_line_names_label_method_option_and_choices(tiny_base: Path) -> None:
    wrong = {"m": {"method": "cross_lingual", "options": {"direction": "up"}}}
    with pytest.raises(
        UserError, match="methods.m: method cross_lingual: direction: Input should be 'from_pivot', 'to_pivot' or 'both', got 'up'"
    ):
        check_suite(suite_of(tiny_base, wrong))
    with pytest.raises(UserError, match="methods.m: translators.en-es: translator command 'a > b': '>' is for a shell"):
        check_suite(suite_of(tiny_base, {"m": {"method": "pivot_only"}}, translators={"en-es": {"kind": "command", "command": "a > b"}}))


def test_points_of_a_curve_are_measured_too(tiny_base: Path, tmp_path: Path) -> None:
    train = {**SUITE_OF_CURVES["train"], "measure_at": [0.25, 0.5]}
    suite = read_suite({**SUITE_OF_CURVES, "base": {"model": str(tiny_base)}, "train": train}, "test")
    planned = plan_run(suite, tmp_path)["stages"]
    assert [(one["label"], one["items"]) for one in planned if one["stage"] == "evaluate"] == [
        ("base", 6), ("m-seed0", 6), ("m-seed0-at0.25", 3), ("m-seed0-at0.5", 3),
    ]  # fmt: skip


SUITE_OF_CURVES: dict[str, Any] = {
    "name": "curves", "data": {"samples": "always"}, "languages": {"train": ["es"], "evaluate": ["es"]}, "rows": 30,
    "methods": {"m": {"method": "cross_lingual"}}, "train": {"tokens": 12000, "batch_tokens": 768, "max_length": 384},
    "evaluate": {"tasks": ["xlift_mgsm_direct_es", "xlift_flores_bpb_eng_Latn_spa_Latn"], "limit": 3},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"train": {"measure_at": [0.5]}}, "train.measure_at of m: points of a curve are measured on likelihood tasks, and evaluate.tasks"),
        (
            {"evaluate": {"tasks": ["xlift_xquad_bpb_es"], "num_fewshot": 2}},
            "num_fewshot: 'xlift_xquad_bpb_es' has no split that could give",
        ),
        (
            {"evaluate": {"tasks": ["xlift_xquad_bpb_es"]}, "engine": {"backend": "api", "url": "http://localhost/v1"}},
            "'xlift_xquad_bpb_es' asks for likelihoods, which a served model does not give",
        ),
    ],
)
def test_what_cannot_be_measured_is_known_before_any_data(tiny_base: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as caught:
        check_suite(suite_of(tiny_base, {"m": {"method": "cross_lingual"}}, **changes))
    assert says in str(caught.value)
