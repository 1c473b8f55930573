"""The rough cost of a stage, from the sizes of the base and the speed of this machine: right within a factor of two or three.

Memory and operations are counted as in Korthikanti et al. 2022 (arXiv:2205.05198), for a LoRA on all linear layers or for all weights. The
counts are rather too high than too low. The speed is that of one matrix product on this machine. Training reaches a part of it, and
answering a smaller part, because the weights are read again for each token. docs/runs.md compares some estimates with measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xlift.harness.config.suite import TrainSettings
from xlift.harness.models.shape import Shape

if TYPE_CHECKING:
    from xlift.harness.engines.device import Device

GIB = 2**30
GPU, CPU = (0.4, 0.12), (0.7, 0.5)
"""The shares of the speed of one matrix product that training and reading a prompt reach, and that writing an answer reaches."""
RESPONSES = 0.5
"""The share of a row's tokens that belong to its response."""
USED = 0.1
"""The share of its allowance that an answer uses, because most end early."""
PROMPT = 250
"""The number of tokens of a benchmark's prompt."""
START = 10.0
"""The seconds until a training begins, in a process of its own."""
OVERHEAD = 1.5 * GIB
"""The memory of libraries and of the device's context."""


@dataclass(frozen=True)
class Card:
    """A GPU by its maker's figures."""

    title: str
    speed: float
    """Operations per second in bfloat16, without sparsity, as its maker says."""
    gib: int
    """The memory in GiB."""

    @property
    def device(self) -> Device:
        from xlift.harness.engines.device import Device

        return Device(self.title, self.speed, self.gib * GIB, 2, is_gpu=True)


CARDS = {
    "rtx4090-24gb": Card("one RTX 4090 of 24 GB", 165e12, 24),
    "a100-80gb": Card("one A100 of 80 GB", 312e12, 80),
    "h100-80gb": Card("one H100 SXM of 80 GB", 989e12, 80),
}
"""The cards for which a dry run can compute."""
USUAL_CARD = "a100-80gb"
NEEDS_GPU = 500_000_000
"""A base with at least this number of parameters is not meant to be run on a machine without a GPU."""


@dataclass(frozen=True)
class Estimates:
    """Estimates of time and memory for one base on one device."""

    shape: Shape
    device: Device

    @staticmethod
    def of_any_gpu(shape: Shape) -> Estimates:
        """Estimates of memory alone, for any GPU."""
        return Estimates(shape, CARDS[USUAL_CARD].device)

    def describe(self) -> str:
        """The device, and on what its hours are based."""
        reading, writing = self._shares
        return (
            f"{self.device.name}: operations over {self.device.speed / 1e12:.0f} TFLOP/s by its maker's figures, of which training and "
            f"reading are taken to reach {reading:.0%}, writing {writing:.0%}"
        )

    def weight_bytes(self, settings: TrainSettings) -> float:
        """The memory of the base's weights in a training."""
        body = {"4bit": 0.53, "8bit": 1.0}.get(settings.quantise or "", float(self.device.width))
        return self.shape.body * body + self.shape.embeddings * self.device.width

    def train_bytes(self, settings: TrainSettings) -> float:
        """The memory of a training at its peak, in each of its processes."""
        shape, rank, width = self.shape, _read_rank(settings), self.device.width
        layer = width * (4 * shape.hidden + 2 * shape.queries + 2 * shape.keys + 3 * shape.feed_forward) + 8 * shape.hidden + 28 * rank
        tokens = settings.micro_batch_tokens
        kept = width * shape.layers * shape.hidden + layer if settings.gradient_checkpointing else shape.layers * layer
        logits = 10 * shape.vocabulary * tokens * RESPONSES
        trained = self._lora(rank) if settings.lora is not None else shape.body + shape.embeddings
        shares = settings.processes if settings.strategy == "fsdp2" else 1
        return self.weight_bytes(settings) / shares + 16 * trained + tokens * kept + logits + OVERHEAD

    def train_seconds(self, settings: TrainSettings, tokens: int) -> float:
        """The time of a training."""
        shape = self.shape
        passes = (6 if settings.gradient_checkpointing else 4) + (2 if settings.lora is None else 0)  # the weights' own gradients
        body = passes * shape.body
        operations = body + 6 * self._lora(_read_rank(settings)) + 4 * shape.vocabulary * shape.hidden * RESPONSES
        return START + tokens * operations / (self._shares[0] * self.device.speed)

    def answer_seconds(self, answers: int, tokens: float) -> float:
        """The time of answers with this number of tokens each."""
        operations = 2 * (self.shape.body + self.shape.vocabulary * self.shape.hidden)
        reading, writing = self._shares
        return answers * operations * (PROMPT / reading + tokens / writing) / self.device.speed

    @property
    def _shares(self) -> tuple[float, float]:
        return GPU if self.device.is_gpu else CPU

    def _lora(self, rank: int) -> int:
        shape = self.shape
        wide = 2 * (shape.hidden + shape.queries) + 2 * (shape.hidden + shape.keys) + 3 * (shape.hidden + shape.feed_forward)
        return rank * shape.layers * wide


def _read_rank(settings: TrainSettings) -> int:
    rank = settings.lora.get("r", 8) if settings.lora is not None else 0
    return rank if isinstance(rank, int) else 8
