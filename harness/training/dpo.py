"""Direct preference optimisation (arXiv:2305.18290), with the likelihood of the chosen answer added, on the shared trainer.

TRL's DPOTrainer (1.16) cannot be used. Its ``sft`` term averages over the chosen tokens of a forward pass, while ours averages over each
answer and then over the pairs of the step. Its collator pads both sides of all pairs to one width. It draws its own batches. Its
precomputed reference is kept in the dataset's cache, where no seal ties it to the model. On a GPU the log-probabilities are TRL's.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import Module
from torch.nn.functional import logsigmoid

from xlift.harness.recipes.contract import Dpo
from xlift.harness.training.batching import Course, Pass, Step
from xlift.harness.training.reference import ReferenceTrainer
from xlift.harness.training.sft import PassInput, StepInput

REFERENCE = "log_probabilities"


def dpo_loss(objective: Dpo, scores: torch.Tensor, reference: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss and the reward margin of each pair.

    ``scores`` and ``reference`` are log-probabilities (pairs x 2: chosen, rejected), ``lengths`` the tokens of the chosen answers. The
    margin is beta times the difference of the log-ratios, the argument of the sigmoid.
    """
    ratios = scores - reference
    margins = objective.beta * (ratios[:, 0] - ratios[:, 1])
    likelihood = scores[:, 0] / lengths if objective.length_normalised else scores[:, 0]
    return -logsigmoid(margins) - objective.nll_weight * likelihood, margins


class PreferenceTrainer(ReferenceTrainer):
    """The trainer of ``Dpo``. A pass holds both sides of its pairs, because the sigmoid couples them. The loss is the mean over the pairs
    of a step."""

    def __init__(self, objective: Dpo, course: Course, pad: int, training: str, seconds: float, **arguments: object) -> None:
        self.objective = objective
        self.margins: list[torch.Tensor] = []
        super().__init__(course, pad, training, seconds, **arguments)

    def compute_reference(self, limit: int) -> Mapping[str, torch.Tensor]:
        """The log-probabilities of both sides of every pair."""
        return {REFERENCE: self.score_all(self.list_used(), limit)}

    def take_reference(self, found: Mapping[str, torch.Tensor]) -> None:
        self.reference = found[REFERENCE]

    def weigh(self, step: Step) -> int:
        """The number by which the losses of a step are divided: its pairs."""
        return sum(len(batch) for one in step for batch in one) // 2

    def gather(self, one: Pass, step: Step) -> PassInput:
        """Padded batches, and for each pair (chosen, rejected) its places in the concatenated batches, its reference, and its length."""
        numbers = [number for batch in one for number in batch]
        places = {number: place for place, number in enumerate(numbers)}
        chosen = [number for number in numbers if number % 2 == 0]
        return {
            "batches": [self.pad(batch) for batch in one],
            "places": torch.tensor([[places[number], places[number + 1]] for number in chosen]),
            "reference": self.reference.view(-1, 2)[[number // 2 for number in chosen]],
            "lengths": torch.tensor([self.course.corpus.sequences[number].response for number in chosen]),
        }

    def training_step(self, model: Module, inputs: StepInput, num_items_in_batch: int | None = None) -> torch.Tensor:
        self.margins = []
        return super().training_step(model, inputs, num_items_in_batch)

    def compute_loss(
        self, model: Module, inputs: PassInput, return_outputs: bool = False, num_items_in_batch: int | None = None
    ) -> torch.Tensor:
        """Losses of the pairs of one pass, divided by the pairs of the whole step."""
        scores = torch.cat([self.score(model, batch) for batch in inputs["batches"]])[inputs["places"]]
        losses, margins = dpo_loss(self.objective, scores, inputs["reference"], inputs["lengths"])
        self.margins.append(margins.detach())
        return losses.sum() / num_items_in_batch

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self.margins:
            margins = self.gather_all(torch.cat(self.margins))  # of the last step, as each is logged
            logs = {**logs, "rewards/margins": float(margins.mean()), "rewards/accuracies": float((margins > 0).float().mean())}
        super().log(logs, start_time)
