"""What those losses share that compare the model with its state at the start: a reference that is computed once and sealed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Module

from xlift.harness.training.batching import Course, split
from xlift.harness.training.checkpoints import seal, unseal
from xlift.harness.training.sft import CourseTrainer, StepInput

FILE = "reference.safetensors"


class ReferenceTrainer(CourseTrainer):
    """A trainer whose loss may have named parts. The load-balancing loss of a mixture of experts is left out."""

    def __init__(self, course: Course, pad: int, training: str, seconds: float, **arguments: object) -> None:
        super().__init__(course, pad, training, seconds, **arguments)
        self.aux_loss_enabled = False
        self.parts: dict[str, float] = {}

    def read_reference(self, folder: Path, limit: int) -> None:
        """What the loss compares with: values of the present model, without dropout.

        If ``folder`` does not hold them for this training yet, they are computed in batches of at most ``limit`` tokens.
        """
        if unseal(folder, self.training) is None:
            found = self.compute_reference(limit)
            if not found:
                return
            folder.mkdir(parents=True)
            save_file(dict(found), folder / FILE)
            seal(folder, self.training, self.seconds)
        self.take_reference(load_file(folder / FILE))

    @abstractmethod
    def compute_reference(self, limit: int) -> Mapping[str, Tensor]:
        """The values by name; empty if the loss needs none."""

    @abstractmethod
    def take_reference(self, found: Mapping[str, Tensor]) -> None: ...

    def list_used(self) -> list[int]:
        """The numbers of the sequences that the course uses, each once, in order."""
        return sorted({number for step in self.course.steps for one in step for batch in one for number in batch})

    def score_all(self, numbers: Collection[int], limit: int) -> Tensor:
        """The log-probability of each of these sequences' responses, by its number; NaN for the others."""
        corpus = self.course.corpus
        scores = torch.full((len(corpus.sequences),), torch.nan)
        self.model.eval()
        with torch.no_grad(), self.accelerator.autocast():
            for batch in split(numbers, corpus.lengths, limit):
                scores[list(batch)] = self.score(self.model, self._prepare_inputs(self.pad(batch))).cpu()
        return scores

    def note(self, name: str, loss: Tensor) -> None:
        """Add to a named part of the step's loss, which the report shows."""
        self.parts[name] = self.parts.get(name, 0.0) + float(loss.detach())

    def training_step(self, model: Module, inputs: StepInput, num_items_in_batch: int | None = None) -> Tensor:
        self.parts = {}
        return super().training_step(model, inputs, num_items_in_batch)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs = {**logs, **{f"terms/{name}": value for name, value in self.parts.items()}}
        super().log(logs, start_time)
