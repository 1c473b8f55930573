"""Direct preference optimisation (arXiv:2305.18290) with the likelihood of the chosen answer beside it, on the shared trainer.

TRL's DPOTrainer (1.16) does not serve. Its ``sft`` term averages over the chosen tokens of a forward pass, where ours averages over each
answer and then over the pairs of the step; its collator pads both sides of all pairs to one width; it draws its own batches; and its
precomputed reference lies in the dataset's cache, where no seal ties it to the model. The log-probabilities are TRL's on a GPU.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn import Module
from torch.nn.functional import logsigmoid

from xlift.harness.recipes.contract import Dpo
from xlift.harness.training.batching import Course, Pass, Step, split
from xlift.harness.training.checkpoints import seal, unseal
from xlift.harness.training.sft import CourseTrainer, PassInput, StepInput

REFERENCE = "log_probabilities"


def dpo_loss(objective: Dpo, scores: torch.Tensor, reference: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and reward margin of each pair.

    ``scores`` and ``reference`` are log-probabilities (pairs x 2: chosen, rejected), ``lengths`` the tokens of the chosen answers. The
    margin is beta times the difference of the log-ratios, the argument of the sigmoid.
    """
    ratios = scores - reference
    margins = objective.beta * (ratios[:, 0] - ratios[:, 1])
    likelihood = scores[:, 0] / lengths if objective.length_normalised else scores[:, 0]
    return -logsigmoid(margins) - objective.nll_weight * likelihood, margins


class PreferenceTrainer(CourseTrainer):
    """A pass holds both sides of its pairs, for the sigmoid couples them; the loss is the mean over the pairs of a step.

    The load-balancing loss of a mixture of experts is left out.
    """

    def __init__(self, objective: Dpo, course: Course, pad: int, training: str, seconds: float, **arguments: object) -> None:
        self.objective = objective
        self.margins: list[torch.Tensor] = []
        super().__init__(course, pad, training, seconds, **arguments)
        self.aux_loss_enabled = False

    def read_reference(self, folder: Path, limit: int) -> None:
        """The log-probabilities that the model gives to both sides of every pair as it stands, without dropout.

        They are computed, in batches of at most ``limit`` tokens, where ``folder`` does not hold them for this training yet.
        """
        if unseal(folder, self.training) is None:
            scores = self._score_all(limit)
            folder.mkdir(parents=True)
            save_file({REFERENCE: scores}, folder / "reference.safetensors")
            seal(folder, self.training, self.seconds)
        self.reference = load_file(folder / "reference.safetensors")[REFERENCE]

    def weigh(self, step: Step) -> int:
        """What the losses of a step are divided by: its pairs."""
        return sum(len(batch) for one in step for batch in one) // 2

    def gather(self, one: Pass, step: Step) -> PassInput:
        """Padded batches, and for each pair (chosen, rejected): its places in them, put end to end, its reference, and its length."""
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
            margins = torch.cat(self.margins)  # of the last step, as each is logged
            logs = {**logs, "rewards/margins": float(margins.mean()), "rewards/accuracies": float((margins > 0).float().mean())}
        super().log(logs, start_time)

    def _score_all(self, limit: int) -> torch.Tensor:
        corpus = self.course.corpus
        used = {number for step in self.course.steps for one in step for batch in one for number in batch}
        scores = torch.full((len(corpus.sequences),), torch.nan)
        self.model.eval()
        with torch.no_grad(), self.accelerator.autocast():
            for batch in split(used, corpus.lengths, limit):
                scores[list(batch)] = self.score(self.model, self._prepare_inputs(self.pad(batch))).cpu()
        return scores
