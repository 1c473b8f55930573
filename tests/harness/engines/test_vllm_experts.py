"""A mixture of experts on vLLM: right after every swap; where vLLM loads its weights wrongly, all models are measured on transformers."""

import gc
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.engines.base import Engine
from xlift.harness.engines.load import load_engine
from xlift.harness.engines.weight_check import score_text
from xlift.harness.models.adapters import Adapter, merge
from xlift.harness.models.adapters import resolve as find_adapter
from xlift.harness.models.bases import Base, load_tokenizer, resolve
from xlift.harness.models.tokens import tokenize_pairs

PAIRS = [("The capital of France is", " Paris"), ("Bees make", " honey and wax")]
SETTINGS: dict[str, Any] = {"max_length": 128, "kv_cache_gib": 1, "dtype": "float32"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def experts(make_base: Callable[..., Path]) -> Base:
    return resolve(BaseSettings(model=str(make_base(hidden=64, experts=4))))


@pytest.fixture(scope="module")
def adapter(experts: Base, make_adapter: Callable[..., Path]) -> Adapter:
    return find_adapter(make_adapter(experts, scale=0.5))


@pytest.fixture(scope="module")
def wanted(experts: Base, adapter: Adapter) -> list[list[float]]:
    """What transformers gives to both answers, with the base's weights and with the adapter's."""
    plain = AutoModelForCausalLM.from_pretrained(experts.folder, dtype=torch.float32)
    pairs = [([*prompt, *answer], len(prompt)) for prompt, answer, _ in tokenize_pairs(load_tokenizer(experts), PAIRS)]
    models = (plain, merge(adapter, experts, "float32"))
    return [[sum(score_text(model, tokens)[start - 1 :]) for tokens, start in pairs] for model in models]


def read(engine: Engine, *starts: Adapter | None) -> list[list[float]]:
    found = []
    for start in starts:
        engine.swap(start)
        found.append([one.nats for one in engine.score(PAIRS)])
    return found


def test_swapped_experts_are_those_of_transformers(experts: Base, adapter: Adapter, wanted: list[list[float]]) -> None:
    with load_engine(experts, EngineSettings(backend="vllm", **SETTINGS)) as engine:
        base, swapped, again = read(engine, None, adapter, None)
    assert [base, swapped] == [pytest.approx(values, abs=1e-3) for values in wanted]
    assert again == pytest.approx(base, abs=1e-6) and abs(base[0] - swapped[0]) > 0.1


@pytest.mark.parametrize("backend", ["auto", "vllm"])
def test_a_vllm_that_loads_experts_wrongly_measures_nothing(
    experts: Base,
    adapter: Adapter,
    wanted: list[list[float]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
) -> None:
    from vllm.model_executor.layers.fused_moe.unquantized_fused_moe_method import UnquantizedFusedMoEMethod

    packed = UnquantizedFusedMoEMethod._setup_kernel
    monkeypatch.setattr(UnquantizedFusedMoEMethod, "_setup_kernel", packed.__wrapped__)
    gc.collect()
    with caplog.at_level(logging.WARNING, "xlift"), load_engine(experts, EngineSettings(backend=backend, **SETTINGS)) as engine:
        found = read(engine, None, adapter)
        assert engine.backend == engine.describe()["backend"] == "hf"
    [line] = [record.message for record in caplog.records if record.name.startswith("xlift")]
    assert line.startswith("engine: hf in place of vllm: vllm computes wrongly with weights that are swapped in") and "\n" not in line
    assert found == [pytest.approx(values, abs=1e-3) for values in wanted]
