"""What a stage will roughly take, from the sizes of the base and the speed of this machine: right within a factor of two or three.

Memory and operations are counted as in Korthikanti et al. 2022 (arXiv:2205.05198) for a LoRA on all linear layers or for all weights, and
err on the high side. The speed is that of one matrix product on this machine, of which training reaches a part, and answering less, as the
weights are read again for each token. docs/runs.md sets some estimates beside what was measured.
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
"""Shares of the speed of one matrix product that training and reading a prompt reach, and that writing an answer does."""
RESPONSES = 0.5
"""Share of a row's tokens that are its response."""
USED = 0.1
"""Share of its allowance that an answer takes: most end early."""
PROMPT = 250
"""Tokens of a benchmark's prompt."""
START = 10.0
"""Seconds until a training begins, in a process of its own."""
OVERHEAD = 1.5 * GIB
"""Libraries and the device's context."""


@dataclass(frozen=True)
class Card:
    """A GPU on paper."""

    title: str
    speed: float
    """Operations a second in bfloat16, without sparsity, as its maker says."""
    gib: int
    """Memory."""

    @property
    def device(self) -> Device:
        from xlift.harness.engines.device import Device

        return Device(self.title, self.speed, self.gib * GIB, 2, is_gpu=True)


CARDS = {
    "rtx4090-24gb": Card("one RTX 4090 of 24 GB", 165e12, 24),
    "a100-80gb": Card("one A100 of 80 GB", 312e12, 80),
    "h100-80gb": Card("one H100 SXM of 80 GB", 989e12, 80),
}
"""Cards that a dry run can count with."""
USUAL_CARD = "a100-80gb"
NEEDS_GPU = 500_000_000
"""Parameters of a base from which on a machine without a GPU is not what a suite is meant for."""


@dataclass(frozen=True)
class Estimates:
    """Estimates of time and memory for one base on one device."""

    shape: Shape
    device: Device

    @staticmethod
    def of_any_gpu(shape: Shape) -> Estimates:
        """For memory alone: of any GPU."""
        return Estimates(shape, CARDS[USUAL_CARD].device)

    def describe(self) -> str:
        """The device and what its hours rest on."""
        reading, writing = self._shares
        return (
            f"{self.device.name}: operations over {self.device.speed / 1e12:.0f} TFLOP/s by its maker's figures, of which training and "
            f"reading are taken to reach {reading:.0%}, writing {writing:.0%}"
        )

    def weight_bytes(self, settings: TrainSettings) -> float:
        """Memory of the base's weights in a training."""
        body = {"4bit": 0.53, "8bit": 1.0}.get(settings.quantise or "", float(self.device.width))
        return self.shape.body * body + self.shape.embeddings * self.device.width

    def train_bytes(self, settings: TrainSettings) -> float:
        """Memory of a training at its peak."""
        shape, rank, width = self.shape, _read_rank(settings), self.device.width
        layer = width * (4 * shape.hidden + 2 * shape.queries + 2 * shape.keys + 3 * shape.feed_forward) + 8 * shape.hidden + 28 * rank
        tokens = settings.micro_batch_tokens
        kept = width * shape.layers * shape.hidden + layer if settings.gradient_checkpointing else shape.layers * layer
        logits = 10 * shape.vocabulary * tokens * RESPONSES
        trained = self._lora(rank) if settings.lora is not None else shape.body + shape.embeddings
        return self.weight_bytes(settings) + 16 * trained + tokens * kept + logits + OVERHEAD

    def train_seconds(self, settings: TrainSettings, tokens: int) -> float:
        """Time of a training."""
        shape = self.shape
        passes = (6 if settings.gradient_checkpointing else 4) + (2 if settings.lora is None else 0)  # the weights' own gradients
        body = passes * shape.body
        operations = body + 6 * self._lora(_read_rank(settings)) + 4 * shape.vocabulary * shape.hidden * RESPONSES
        return START + tokens * operations / (self._shares[0] * self.device.speed)

    def answer_seconds(self, answers: int, tokens: float) -> float:
        """Time of answers of so many tokens each."""
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
