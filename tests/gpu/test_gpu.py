"""The trainer and the hf engine on a GPU; left out where there is none."""

from pathlib import Path

import pytest

from xlift.harness.config.suite import BaseSettings, EngineSettings, TrainSettings
from xlift.harness.core.types import Example, Sampling, ask
from xlift.harness.models import adapters, bases


@pytest.mark.gpu
def test_an_adapter_trained_on_a_gpu_changes_the_answers_there(tiny_base: Path, tmp_path: Path) -> None:
    from xlift.harness.engines.load import load_engine
    from xlift.harness.plugin import Plan
    from xlift.harness.training.trainer import fit

    rows = tuple(Example(ask(f"say {n}"), "yes yes yes", "en", str(n), "test") for n in range(40))
    settings = TrainSettings(tokens=8000, batch_tokens=512, micro_batch_tokens=512, learning_rate=2e-2, max_length=64)
    report = fit(tiny_base, Plan(rows), settings, tmp_path / "adapter", seed=0, provenance={"base": {"name": "tiny"}})
    assert "cpu" not in report.device
    assert report.peak_memory_mib > 0
    base = bases.resolve(BaseSettings(model=str(tiny_base)))
    with load_engine(base, EngineSettings(backend="hf")) as engine:
        assert engine.describe()["device"] != "cpu"
        before = engine.generate([ask("say 3")], Sampling(max_tokens=11))
        engine.swap(adapters.resolve(tmp_path / "adapter"))
        assert engine.generate([ask("say 3")], Sampling(max_tokens=11))[0].text == "yes yes yes"
        engine.swap(None)
        assert engine.generate([ask("say 3")], Sampling(max_tokens=11)) == before
