"""An encoder beside the base through the pipeline: trained, measured and pushed, and refused before any work where it cannot be."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_encoder import write_encoder

from xlift.harness.config.suite import Suite, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import read_records
from xlift.harness.models.adapters import MODULE, check, resolve
from xlift.harness.pipeline.dry_run import check_suite
from xlift.harness.pipeline.run import open_run, run_suite
from xlift.harness.pipeline.stages import Round, prepare_stage
from xlift.harness.publishing.push import prepare_package


def suite_of(base: Path, encoder: Path | str, engine: dict[str, Any] | None = None, **options: Any) -> Suite:
    chosen = {"encoder": str(encoder), "tokens": 60, "rows": 24, "max_characters": 300, **options}
    return read_suite(
        {
            "name": "small", "base": {"model": str(base), "hub_id": "org/tiny"}, "data": {"samples": "always"},
            "methods": {
                "merged": {"method": "encoder_merge", "options": chosen},
                "zeroed": {"method": "encoder_merge", "options": {**chosen, "zeroed": True}},
            },
            "train": {"tokens": 4000, "batch_tokens": 1000, "micro_batch_tokens": 1000, "max_length": 400, "dtype": "float32"},
            "languages": {"train": ["es", "de"], "evaluate": ["es"]},
            "engine": engine or {"backend": "hf", "dtype": "float32"},
            "evaluate": {"tasks": ["xlift_flores_bpb_eng_Latn_spa_Latn"], "limit": 2},
        },
        "test",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_an_encoder_is_measured_and_pushed(tiny_base: Path, tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "t5")
    suite = suite_of(tiny_base, encoder)
    root = run_suite(suite, tmp_path / "runs")
    records = {record.label: record for record in read_records([root]).records}
    assert {label: record.kind for label, record in records.items()} == {"base": None, "merged": "module", "zeroed": "module"}
    scores = {label: record.tasks["xlift_flores_bpb_eng_Latn_spa_Latn"].metrics["bits_per_byte"].value for label, record in records.items()}
    assert len(set(scores.values())) == 3
    projection = 16 * 32 + 32 + 32 * 32 + 32 + 32
    # a table of 259 tokens; attention 4 x 16 x 16 and 32 x 4 distances; 2 x 16 x 32; three norms of 16
    assert records["merged"].extra_parameters == projection + 259 * 16 + 4 * 16 * 16 + 32 * 4 + 2 * 16 * 32 + 3 * 16
    assert records["merged"].cost["fit"]["trained_parameters"] == projection
    folder = next(root.glob("fit-merged*/adapter"))
    assert resolve(folder).peft_type == MODULE and json.loads((folder / "xlift.json").read_text())["module"]["sha256"]
    with pytest.raises(UserError, match="a folder of this machine, which nobody finds on the hub"):
        prepare_package(folder, "lab/mine", None)
    card = folder / "xlift.json"
    card.write_text(card.read_text().replace(str(encoder), "org/t5"))
    facts, files = prepare_package(folder, "lab/mine", None)
    assert sorted(file.path for file in files) == ["README.md", "evaluation.json", "module.safetensors", "xlift.json"]
    text = next(file for file in files if file.path == "README.md").read().decode()
    assert "The projection of an encoder's states" in text and "- encoder\n" in text and "PEFT cannot load it" in text
    assert facts.record is not None and "24 rows" in text
    card.write_text(card.read_text().replace("org/t5", str(encoder)))
    run = open_run(suite, tmp_path / "runs")
    before = prepare_stage(run, Round("merged")).name
    write_encoder(encoder, seed=1)
    assert prepare_stage(run, Round("merged")).name != before, "another encoder in its place is noticed"
    with pytest.raises(UserError, match="not the one that the adapter was trained with"):
        check(resolve(folder), run.base)


def test_an_encoder_that_cannot_be_used_is_refused_before_any_work(tiny_base: Path, tmp_path: Path) -> None:
    def refuse(suite: Suite) -> str:
        with pytest.raises(UserError) as caught:
            open_run(suite, tmp_path / "runs")
        return str(caught.value)

    vllm = {"backend": "vllm"}
    with pytest.raises(UserError, match="methods.merged: encoder_merge works inside the model, which engine.backend vllm does not let it"):
        check_suite(suite_of(tiny_base, tmp_path / "none", engine=vllm))
    assert "methods.merged: encoder 'none': neither a folder nor a hub repository" in refuse(suite_of(tiny_base, "none"))
    lists = write_encoder(tmp_path / "lists", languages=("en", "es"))
    assert "its makers do not list German (de)" in refuse(suite_of(tiny_base, lists))
