"""Memory and time on paper, against figures that others measured."""

import pytest

from xlift.harness.config.suite import TrainSettings
from xlift.harness.engines.device import Device
from xlift.harness.models.shape import Shape
from xlift.harness.pipeline.estimates import GIB, START, Estimates

LLAMA_8B = Shape(hidden=4096, layers=32, feed_forward=14336, queries=4096, keys=1024, vocabulary=128256, tied=False)
H100 = Device("H100", 7e14, 80 * GIB, 2, is_gpu=True)


def test_sizes_are_those_of_the_model() -> None:
    assert LLAMA_8B.body + LLAMA_8B.embeddings == pytest.approx(8.03e9, rel=0.001)


def test_memory_is_that_of_torchtune_or_above_it() -> None:
    """Llama 3.1 8B with LoRA and 4,096 tokens at once takes 16.2 GiB with checkpointing (torchtune's README, RTX 4090)."""
    plain = TrainSettings(micro_batch_tokens=4096)
    small = TrainSettings(micro_batch_tokens=4096, gradient_checkpointing=True)
    estimates = Estimates(LLAMA_8B, H100)
    assert 16.2 < estimates.train_bytes(small) / GIB < 25
    assert estimates.train_bytes(plain) > 1.5 * estimates.train_bytes(small)
    four = small.model_copy(update={"quantise": "4bit"})
    assert estimates.weight_bytes(four) == pytest.approx(0.53 * LLAMA_8B.body + 2 * LLAMA_8B.embeddings)
    assert estimates.train_bytes(small) - estimates.train_bytes(four) == pytest.approx(1.47 * LLAMA_8B.body)


def test_time_follows_operations() -> None:
    estimates = Estimates(LLAMA_8B, H100)
    # Four operations a parameter and token: 28 GFLOP of the body, and those of the output layer and the adapter, at 280 TFLOP/s.
    assert 28e9 / 2.8e14 < (estimates.train_seconds(TrainSettings(), 1_000) - START) / 1_000 < 35e9 / 2.8e14
    assert estimates.answer_seconds(10, 0) > 0
    assert estimates.answer_seconds(10, 200) > estimates.answer_seconds(10, 100)
    assert estimates.answer_seconds(20, 100) == pytest.approx(2 * estimates.answer_seconds(10, 100))
