"""Reward gaps (MPO, arXiv:2505.16869) on the shared trainer: a pair's gap is drawn to the gap that its twin in the pivot had at the start.

A row is four sequences: the chosen and the rejected answer, and those of the twin. The likelihoods of the first two are trained. Of the
twin, the reference's likelihoods are needed, and its last states, which are to stay the same, so no logits are computed for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor
from torch.nn import Module

from xlift.harness.engines.states import compute_states, pool_states
from xlift.harness.recipes.contract import Gap
from xlift.harness.training.batching import Course, Pass, Step, split
from xlift.harness.training.reference import ReferenceTrainer
from xlift.harness.training.sft import PaddedBatch, PassInput


def measure_gaps(scores: Tensor, lengths: Tensor) -> Tensor:
    """The gap of each pair, from the log-probabilities and the lengths of its answers (pairs x 2: chosen, rejected)."""
    means = scores / lengths
    return means[:, 0] - means[:, 1]


def gap_loss(beta: float, gaps: Tensor, wanted: Tensor) -> Tensor:
    """One loss for each pair: the squared difference between beta times its gap and the gap that is wanted."""
    return (beta * gaps - wanted).square()


class GapTrainer(ReferenceTrainer):
    """The trainer of ``Gap``. The loss is the mean over the rows of a step."""

    def __init__(self, objective: Gap, course: Course, pad: int, training: str, seconds: float, **arguments: object) -> None:
        self.objective = objective
        super().__init__(course, pad, training, seconds, **arguments)

    def compute_reference(self, limit: int) -> Mapping[str, Tensor]:
        corpus, twins = self.course.corpus, [number for number in self.list_used() if self._is_twin(number)]
        states = torch.zeros(len(corpus.sequences), self.bare.config.get_text_config().hidden_size)
        scores = self.score_all(twins, limit)
        with torch.no_grad(), self.accelerator.autocast():
            for batch in split(twins, corpus.lengths, limit):
                states[list(batch)] = self._read_states(self._prepare_inputs(self.pad(batch))).cpu()
        return {"log_probabilities": scores, "states": states}

    def take_reference(self, found: Mapping[str, Tensor]) -> None:
        self.scores, self.states = found["log_probabilities"], found["states"]

    def weigh(self, step: Step) -> int:
        """The number by which the losses of a step are divided: its rows."""
        return sum(len(batch) for one in step for batch in one) // 4

    def gather(self, one: Pass, step: Step) -> PassInput:
        """Padded batches of the rows' own answers and of their twins', with the places of the former and what the loss compares with."""
        corpus = self.course.corpus
        own = [[number for number in batch if not self._is_twin(number)] for batch in one]
        twins = [[number for number in batch if self._is_twin(number)] for batch in one] if self.objective.keep else []
        numbers = [number for batch in own for number in batch]
        places = {number: place for place, number in enumerate(numbers)}
        chosen = [number for number in numbers if number == corpus.starts[corpus.row_of[number]]]
        lengths = torch.tensor([[corpus.sequences[number + side].response for side in range(4)] for number in chosen])
        twin_scores = torch.stack([self.scores[number + 2 : number + 4] for number in chosen])
        return {
            "own": [self.pad(tuple(batch)) for batch in own if batch],
            "places": torch.tensor([[places[number], places[number + 1]] for number in chosen]),
            "lengths": lengths[:, :2],
            "wanted": measure_gaps(twin_scores, lengths[:, 2:]),
            "twins": [self.pad(tuple(batch)) for batch in twins if batch],
            "before": self.states[[number for batch in twins for number in batch]],
        }

    def compute_loss(self, model: Module, inputs: PassInput, return_outputs: bool = False, num_items_in_batch: int | None = None) -> Tensor:
        """What one pass adds to the loss of its step."""
        scores = torch.cat([self.score(model, batch) for batch in inputs["own"]])[inputs["places"]]
        gaps = measure_gaps(scores, inputs["lengths"])
        loss = gap_loss(self.objective.beta, gaps, inputs["wanted"]).sum() / num_items_in_batch
        self.note("gap", loss)
        if self.objective.keep:
            with self.accelerator.autocast():
                states = torch.cat([self._read_states(batch) for batch in inputs["twins"]])
            moved = (states - inputs["before"]).square().mean(dim=1)
            kept = self.objective.keep * moved.sum() / 2 / num_items_in_batch
            self.note("keep", kept)
            loss = loss + kept
        return cast(Tensor, loss)

    def _is_twin(self, number: int) -> bool:
        corpus = self.course.corpus
        return number - corpus.starts[corpus.row_of[number]] >= 2

    def _read_states(self, batch: PaddedBatch) -> Tensor:
        """The mean last state of each sequence of a padded batch."""
        depth = self.bare.config.get_text_config().num_hidden_layers
        states = compute_states(self.bare, batch["input_ids"], batch["attention_mask"], (depth,))
        return pool_states(states[depth], batch["attention_mask"], "mean")
