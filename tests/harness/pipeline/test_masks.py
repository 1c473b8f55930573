"""Masks through the pipeline: read, chosen, measured behind the merged weights, pushed, and refused where nothing could show them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xlift.harness.config.suite import Suite, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import read_records
from xlift.harness.models.adapters import MASK, resolve
from xlift.harness.models.masks import count_masked, write_masks
from xlift.harness.pipeline.dry_run import check_suite
from xlift.harness.pipeline.run import open_run, run_suite
from xlift.harness.publishing.export_rows import export
from xlift.harness.publishing.hub import compare_logits
from xlift.harness.publishing.push import prepare_package

PRUNED: dict[str, Any] = {"method": "translation_pruning", "options": {"prompts": 2, "shots": 1, "max_characters": 200}}


def suite_of(base: Path, methods: dict[str, Any], **changes: Any) -> Suite:
    values: dict[str, Any] = {
        "name": "small", "base": {"model": str(base), "hub_id": "org/tiny"}, "data": {"samples": "always"}, "methods": methods,
        "languages": {"train": ["es", "de"], "evaluate": ["es"]},
        "engine": {"backend": "hf", "dtype": "float32"}, "evaluate": {"tasks": ["xlift_flores_bpb_eng_Latn_spa_Latn"], "limit": 2},
    }  # fmt: skip
    return read_suite({**values, **changes}, "test")


@pytest.mark.usefixtures("in_process")
def test_masks_are_measured_and_pushed(tiny_base: Path, tmp_path: Path) -> None:
    control = {**PRUNED, "options": {**PRUNED["options"], "random": True}}
    neurons = {"method": "language_neurons", "options": {"texts": 8, "specific": 0.3, "active": 0.5}}
    suite = suite_of(tiny_base, {"pruned": PRUNED, "random": control, "neurons": neurons})
    root = run_suite(suite, tmp_path)
    records = {record.label: record for record in read_records([root]).records}
    assert {label: record.kind for label, record in records.items()} == {
        "base": None, "pruned": "mask", "random": "mask", "neurons": "mask",
    }  # fmt: skip
    folders = {path.parent.name.split("-")[1]: path for path in root.glob("fit-*/adapter")}
    # 30 % of the inputs of each output, 9 of 32 and 19 of 64: q and o 32 x 32, k and v 16 x 32, gate and up 64 x 32, down 32 x 64
    assert count_masked(folders["pruned"]) == count_masked(folders["random"]) == 2 * (9 * (32 + 32 + 16 + 16 + 64 + 64) + 19 * 32)
    scores = {label: record.tasks["xlift_flores_bpb_eng_Latn_spa_Latn"].metrics["bits_per_byte"].value for label, record in records.items()}
    assert len(set(scores.values())) == 4
    assert records["pruned"].cost["prepare"]["tokens_read"] > 0 and not records["pruned"].cost["fit"]
    prepared = next(root.glob("prepare-pruned-*"))
    assert export(open_run(suite, tmp_path), "pruned", prepared, tmp_path / "rows") == [] and not (tmp_path / "rows").exists()
    facts, files = prepare_package(folders["pruned"], "lab/mine", None)
    assert facts.adapter.peft_type == MASK
    assert sorted(file.path for file in files) == ["README.md", "edit.safetensors", "evaluation.json", "xlift.json"]
    text = next(file for file in files if file.path == "README.md").read().decode()
    assert "A mask of weights for" in text and "PEFT cannot load it" in text and "np.unpackbits" in text
    assert (facts.record is not None) and "- mask\n" in text and "- sft\n" not in text
    base = open_run(suite, tmp_path).base
    assert compare_logits(base, folders["pruned"], folders["pruned"]) == 0 < compare_logits(base, folders["pruned"], folders["random"])
    card = json.loads((folders["pruned"] / "xlift.json").read_text())
    assert card["masked"] == count_masked(folders["pruned"]) and resolve(folders["pruned"]).base_sha256 == card["base"]["sha256"]


def test_a_mask_is_refused_where_adapters_stand_beside_the_weights(tiny_base: Path) -> None:
    engine = {"backend": "hf", "dtype": "float32", "adapter_form": "lora"}
    with pytest.raises(UserError, match="methods.m: masks the base's weights, which engine.adapter_form: lora does not serve; set merged"):
        check_suite(suite_of(tiny_base, {"m": PRUNED}, engine=engine))


def test_an_adapter_of_another_base_is_refused_before_any_work(tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    write_masks({"model.layers.0.self_attn.q_proj.weight": np.ones((32, 32), dtype=bool)}, folder)
    (folder / "xlift.json").write_text(json.dumps({"base": {"name": "org/other", "sha256": "f" * 64}}))
    evaluate = {"tasks": ["xlift_flores_bpb_eng_Latn_spa_Latn"], "adapters": {"given": str(folder)}}
    with pytest.raises(UserError, match=r"adapter .*given: trained on another base \(org/other, sha256 ffffffffffff\)"):
        open_run(suite_of(tiny_base, {"m": {"method": "pivot_only"}}, evaluate=evaluate), tmp_path)
