"""The projection of an encoder's states on the shared trainer (MindMerger, arXiv:2405.17386): encoder and base are frozen."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import Module as TorchModule

from xlift.harness.engines.merger import Line, Merger
from xlift.harness.training.batching import Course, Pass, Step
from xlift.harness.training.sft import IGNORED, CourseTrainer, PassInput, score_responses


class TrainedMerger(Merger):
    """What TRL and transformers ask of a model beside its weights."""

    is_gradient_checkpointing = False

    @property
    def config(self) -> Any:
        """The base's."""
        return self.base.config

    @property
    def generation_config(self) -> Any:
        """The base's."""
        return self.base.generation_config

    def add_model_tags(self, tags: object) -> None:
        """Tags are the card's."""

    def gradient_checkpointing_enable(self, **options: Any) -> None:
        """Of the base, which must know that it is trained through."""
        self.base.gradient_checkpointing_enable(**options)
        self.base.train()
        self.is_gradient_checkpointing = True

    def forward(self, prompts: list[tuple[int, ...]], rests: list[tuple[int, ...]], alone: list[bool]) -> Tensor:
        """The log-probability of each response behind its prompt, in fp32."""
        lines = [Line(prompt, rest, not hidden) for prompt, rest, hidden in zip(prompts, rests, alone, strict=True)]
        embeds, mask = self.embed(lines, "right")
        labels = torch.full(mask.shape, IGNORED)
        for row, (end, rest) in enumerate(zip(mask.sum(dim=1).tolist(), rests, strict=True)):
            labels[row, end - len(rest) : end] = torch.tensor(rest)
        return score_responses(self.base, {"inputs_embeds": embeds, "attention_mask": mask}, labels.to(embeds.device))


class ModuleTrainer(CourseTrainer):
    """The loss is the cross-entropy of the responses, as for LoRA. The load-balancing loss of a mixture of experts is left out."""

    def __init__(self, course: Course, pad: int, training: str, seconds: float, **arguments: object) -> None:
        super().__init__(course, pad, training, seconds, **arguments)
        self.aux_loss_enabled = False

    def gather(self, one: Pass, step: Step) -> PassInput:
        """The tokens of one batch: of prompts and of responses, and whether a prompt is read through the encoder alone."""
        (batch,) = one
        rows = [self.course.corpus.sequences[number] for number in batch]
        module = cast(Merger, self.model).module
        return {
            "prompts": [row.tokens[: row.prompt] for row in rows],
            "rests": [row.tokens[row.prompt :] for row in rows],
            "alone": [row.kind in module.alone or not module.reads_prompt for row in rows],
        }

    def compute_loss(
        self, model: TorchModule, inputs: PassInput, return_outputs: bool = False, num_items_in_batch: int | None = None
    ) -> Tensor:
        """Cross-entropy summed over the responses of one batch, divided by the response tokens of the whole step."""
        with self.accelerator.autocast():
            scores = cast(Tensor, model(**inputs))
        return -scores.sum() / num_items_in_batch
