"""What a dry run finds and shows before anything is done."""

from pathlib import Path
from typing import Any

import pytest

from xlift.harness.config.suite import Suite, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.engines import device
from xlift.harness.pipeline.dry_run import RunPlan, check_suite, plan_run
from xlift.harness.pipeline.estimates import START


def suite_of(place: Path, methods: dict[str, Any], **changes: Any) -> Suite:
    values: dict[str, Any] = {
        "name": "small", "base": {"model": str(place)}, "languages": {"train": ["es"], "evaluate": ["es"]}, "data": {"samples": "always"},
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


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"train": {"lora": {"target_modules": ["q_prj"]}}}, "smollm2-135m-instruct has no layer q_prj; did you mean 'q_proj'?"),
        ({"methods": {"m": {"method": "question_alignment", "options": {"layers": [30]}}}}, "methods.m.options.layers: .*30"),
        (
            {"methods": {"m": {"method": "inference_intervention", "options": {"layers": [31]}}}, "engine": {"backend": "hf"}},
            "methods.m.options.layers: layer 31: the base has states 0 to 30",
        ),
        (
            {"methods": {"m": {"method": "representation_alignment", "options": {"layer": 31}}}},
            "methods.m.options.layer: layer 31: the base has states 0 to 30",
        ),
    ],
)
def test_validate_looks_into_the_embedded_base_where_a_suite_names_parts_of_it(changes: dict[str, Any], says: str) -> None:
    values = {"base": {"model": "smollm2-135m-instruct"}, "methods": {"m": {"method": "pivot_only"}}, **changes}
    with pytest.raises(UserError, match=says):
        check_suite(suite_of(Path("unused"), values.pop("methods"), **values))


def test_a_method_that_would_serve_no_task_of_the_suite_is_refused(tiny_base: Path) -> None:
    def moving(tasks: list[str]) -> Suite:
        return suite_of(tiny_base, {"m": {"method": "inference_intervention", "options": {"tasks": tasks}}}, engine={"backend": "hf"})

    with pytest.raises(UserError, match="methods.m.options.tasks: no task of the suite begins with 'xlift_mgms'; did you mean 'xlift_mgsm"):
        check_suite(moving(["xlift_mgsm", "xlift_mgms"]))
    check_suite(moving(["xlift_mgsm"]))


@pytest.mark.parametrize("share", [True, 0, 1.5, float("nan")])
def test_points_of_a_curve_are_shares_of_the_budget(tiny_base: Path, share: object) -> None:
    with pytest.raises(UserError, match="train.measure_at"):
        suite_of(tiny_base, {"m": {"method": "pivot_only"}}, train={"measure_at": [share]})


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


LLAMA_8B = {"hidden": 4096, "layers": 32, "feed_forward": 14336, "queries": 4096, "keys": 1024, "vocabulary": 128256, "tied": False}
AWAY = {"base": {"model": "no-such-owner/no-such-model", "sizes": LLAMA_8B}, "train": {"tokens": 1_000_000, "batch_tokens": 4096}}
"""A base that no machine has, and a budget of a million tokens."""


def test_gpu_hours_on_paper_of_a_base_that_is_not_here(tmp_path: Path) -> None:
    """A token takes 4 x 6.98 GFLOP of the body, 0.25 of the adapter and 1.05 of the output layer: 29.2. A million of them at 40 % of the
    A100's 312 TFLOP/s take 234 s, and a training's start 10 s."""
    plan = plan_run(suite_of(Path("unused"), {"m": {"method": "pivot_only"}}, **AWAY), tmp_path)
    assert find(plan, "fit", "m-seed0")["seconds"] == pytest.approx(244, rel=0.01)
    hours = str(plan["totals"]["GPU hours, on paper"])
    assert hours.startswith("0.1 (prepare 0.0, fit 0.1, evaluate 0.0) on one A100 of 80 GB: ") and "reach 40%" in hours
    assert "its sizes are those of base.sizes" in str(plan["totals"]["base"])
    needed, _, parts = str(plan["totals"]["disk needed at most"]).partition(" GiB (")
    assert float(needed) > 29.9, "8 billion parameters of two bytes, as a download and merged"
    assert parts.startswith("the base, a merged copy of the base, ")
    assert str(plan["totals"]["memory of a training, roughly"]).endswith("one A100 of 80 GB has 80 GiB")


def test_a_card_is_named_and_a_faster_one_takes_less_time(tmp_path: Path) -> None:
    suite = suite_of(Path("unused"), {"m": {"method": "pivot_only"}}, **AWAY)
    fits = [find(plan_run(suite, tmp_path, card), "fit", "m-seed0")["seconds"] - START for card in ("a100-80gb", "h100-80gb")]
    assert fits[0] / fits[1] == pytest.approx(989 / 312)
    plan = plan_run(suite, tmp_path, "rtx4090-24gb")
    assert "one RTX 4090 of 24 GB has 24 GiB; lower train.micro_batch_tokens" in str(plan["totals"]["memory of a training, roughly"])
    with pytest.raises(UserError, match="--card 'h100': no such card; did you mean 'h100-80gb'"):
        plan_run(suite, tmp_path, "h100")


def test_what_is_not_known_of_a_base_is_said(tmp_path: Path) -> None:
    plan = plan_run(suite_of(Path("unused"), {"m": {"method": "pivot_only"}}, base={"model": "no-such-owner/no-such-model"}), tmp_path)
    assert "its sizes are unknown, and time and memory with them" in str(plan["totals"]["base"])
    assert not {"GPU hours, on paper", "time, roughly"} & set(plan["totals"])


def test_a_folder_that_is_not_there_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="base.model './model': neither the embedded model, nor a folder, nor a hub repository"):
        plan_run(suite_of(Path("unused"), {"m": {"method": "pivot_only"}}, base={"model": "./model"}), tmp_path)


def test_a_base_that_is_here_has_its_own_sizes(tiny_base: Path, tmp_path: Path) -> None:
    """As where another base is named for a suite that gives the sizes of its own; 8 billion parameters would be told on paper."""
    plan = plan_run(suite_of(tiny_base, {"m": {"method": "pivot_only"}}, base={"model": str(tiny_base), "sizes": LLAMA_8B}), tmp_path)
    assert "time, roughly" in plan["totals"] and "GPU hours, on paper" not in plan["totals"]


def test_rows_of_pairs_are_counted_by_prompts_languages_and_sides(tmp_path: Path) -> None:
    """100 prompts in one language, with a pair on its side and one on English's; 300 tokens a pair, which no tokenizer has seen."""
    lidr = {"method": "dpo_self_improvement", "options": {"prompts": 100, "rounds": 1}}
    plan = plan_run(suite_of(Path("unused"), {"m": lidr}, **{**AWAY, "rows": None, "train": {"max_length": 512}}), tmp_path)
    fit = find(plan, "fit", "m-seed0")
    assert (fit["rows"], fit["tokens"]) == (200, None)
    assert fit["seconds"] == pytest.approx(START + 0.06 * 234, rel=0.01)
    gap = {"method": "preference_gap", "options": {"prompts": 100}}  # both sides in one row
    plan = plan_run(suite_of(Path("unused"), {"m": gap}, **{**AWAY, "rows": None, "train": {"max_length": 512}}), tmp_path)
    assert find(plan, "fit", "m-seed0")["rows"] == 100
