"""lm-eval's own command with xlift's model and tasks, and what its results are called."""

import json
from pathlib import Path

import pytest

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.lm_eval_command import run_command
from xlift.harness.models.bases import Base


def run_small(base: Base, adapter: Path, out: Path, *more: str) -> list[Path]:
    arguments = f"base={base.folder},adapter={adapter},backend=hf,dtype=float32,max_length=4096"
    run_command(
        ["run", "--model", "xlift", "--model_args", arguments, "--limit", "1", "--output_path", str(out), "--apply_chat_template", *more]
    )
    return sorted(out.rglob("results_*.json"))


@pytest.fixture
def samples_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLIFT_SAMPLES", "always")


@pytest.mark.slow
def test_tasks_are_known_without_a_path_and_results_bear_the_models_names(
    tiny_base: Path, make_adapter, tmp_path: Path, samples_alone: None
) -> None:
    from xlift.harness.config.suite import BaseSettings
    from xlift.harness.models.bases import resolve

    base = resolve(BaseSettings(model=str(tiny_base)))
    adapter = make_adapter(base)
    own = tmp_path / "own"
    own.mkdir()
    task = Path(__file__).parents[3] / "tasks/mgsm/xlift_mgsm_direct_es.yaml"
    (own / "mine.yaml").write_text(f"include: {task}\ntask: xlift_mine\n")
    (result,) = run_small(
        base, adapter, tmp_path / "out", "--include_path", str(own), "--tasks", "xlift_flores_deu_Latn_fra_Latn,xlift_mine"
    )
    assert result.parent.name == f"{tiny_base.name}+{adapter.name}"
    found = json.loads(result.read_text())
    assert set(found["results"]) == {"xlift_flores_deu_Latn_fra_Latn", "xlift_mine"}
    assert found["model_name"] == f"{tiny_base.name}+{adapter.name}"


def test_a_task_that_does_not_exist_is_named_before_the_model_is_loaded() -> None:
    with pytest.raises(UserError, match="unknown task 'xlift_mgsm_dirct_es'; did you mean 'xlift_mgsm_direct_es'"):
        run_command(["run", "--model", "xlift", "--model_args", "base=/none", "--tasks", "xlift_mgsm_dirct_es"])


def test_moves_of_states_are_served_on_hf_and_refused_elsewhere(tiny_base: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from xlift.harness.evaluation.lm_eval_entry import XliftLM

    (tmp_path / "xlift.json").write_text(json.dumps({"steer": {"layers": [1], "strengths": {"es": 1}, "positions": "answer"}}))
    save_file({"es": torch.ones(1, 32)}, tmp_path / "steer.safetensors")
    served = XliftLM(base=str(tiny_base), adapter=str(tmp_path), dtype="float32")
    assert served.engine.backend == "hf" and served.engine.steering is not None
    served.engine.close()
    with pytest.raises(UserError, match="moves hidden states, which the vllm backend cannot do; set engine.backend: hf"):
        XliftLM(base=str(tiny_base), adapter=str(tmp_path), backend="vllm")
