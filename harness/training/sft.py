"""TRL's SFT trainer over steps that are planned ahead, with the loss averaged over a step's response tokens, and sealed checkpoints.

What it adds holds for every objective: steps, padding, scoring, checkpoints. Another objective overrides the loss (dpo.py).
"""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeAlias, TypedDict, cast

import torch
from datasets import Dataset
from peft import PeftModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn import Module
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from xlift.harness.core.errors import UserError
from xlift.harness.core.progress import Lines
from xlift.harness.engines.states import find_blocks
from xlift.harness.training.balance import Choices, add_choices, balance_loss, count_choices, watch_routers
from xlift.harness.training.batching import Batch, Course, Pass, Step, deal
from xlift.harness.training.checkpoints import seal
from xlift.harness.training.schedule import build_schedule

logger = logging.getLogger(__name__)

IGNORED = -100

PaddedBatch: TypeAlias = dict[str, torch.Tensor]
"""``input_ids``, ``attention_mask`` and ``labels`` (-100 off the responses), each sequences x width."""
PassInput: TypeAlias = dict[str, Any]
"""What ``gather`` makes of a pass and ``compute_loss`` takes. It is different for each objective."""


class StepInput(TypedDict):
    """A step as the data loader gives it."""

    passes: list[PassInput]
    weight: float
    """The number by which the losses are divided."""
    idle: int
    """Passes that are done first for the sake of the other processes. Their losses do not count."""


class CourseTrainer(SFTTrainer):  # type: ignore[misc]  # TRL is untyped
    """One step of the course is one batch of the data loader, and is run as its passes."""

    def __init__(self, course: Course, pad: int, training: str, seconds: float, **arguments: object) -> None:
        """``training`` and the ``seconds`` that it has taken so far go into the seal of each checkpoint. ``arguments`` go to TRL."""
        self.course, self.training, self.started = course, training, time.monotonic() - seconds
        self.shares_base = False
        self.collate = DataCollatorForLanguageModeling(pad_token_id=pad)
        found = course.corpus.sequences
        rows = [{"input_ids": row.tokens, "labels": (IGNORED,) * row.prompt + row.tokens[row.prompt :]} for row in found]
        super().__init__(train_dataset=Dataset.from_list(rows), **arguments)
        if self.aux_loss_enabled and self.args.world_size > 1:  # the choices of all processes would have to be counted
            raise UserError("train.processes: a mixture of experts is trained in one process; leave it out")
        self.remove_callback(PrinterCallback)  # it prints to stdout
        self.add_callback(SealCheckpoints(training, lambda: self.seconds))
        for parameter in self.model.parameters():
            if parameter.requires_grad:  # TRL keeps them in bf16 on a quantised base, where small updates are rounded away
                parameter.data = parameter.data.float()

    @property
    def bare(self) -> PreTrainedModel:
        """The causal model itself, with LoRA in its layers if there is any."""
        return cast(PreTrainedModel, self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model)

    @property
    def seconds(self) -> float:
        """The seconds that the training has taken, without the work that was lost between a checkpoint and a kill."""
        return time.monotonic() - self.started

    def share_base(self) -> None:
        """Keep in each process a share of the base alone, put together layer by layer as it is needed (FSDP2), and the adapter whole.

        accelerate's own FSDP2 is for GPUs alone, where nothing could be tested here, and shares the adapter out too.
        """
        own = {parameter for parameter in self.model.parameters() if parameter.requires_grad}
        for parameter in own:
            parameter.data = parameter.data.to(self.args.device)
        mesh = init_device_mesh(self.args.device.type, (self.args.world_size,))
        for module in (*find_blocks(self.bare.get_decoder(), self.bare.config.get_text_config().num_hidden_layers), self.model):
            fully_shard(module, mesh=mesh, ignored_params=own)
        self.shares_base = True
        self.is_distributed_loading_by_transformers = True  # the Trainer leaves a model that is shared out already as it is

    def _sync_replicated_trainable_parameters(self, model: Module) -> None:
        """Do nothing: the Trainer would take the mean of the adapter's gradients in every pass, and here it is taken once a step."""

    def get_train_dataloader(self) -> DataLoader[Step]:
        return DataLoader(self.course.steps, batch_size=1, collate_fn=self._collate)

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LambdaLR:
        """A schedule for each phase. transformers has one for all steps."""
        # warmup_steps is a share, which transformers would take of all steps.
        name, warmup = self.args.lr_scheduler_type, self.args.warmup_steps
        schedule = build_schedule(optimizer or self.optimizer, name, warmup, self.course.ends)
        self.lr_scheduler, self._created_lr_scheduler = schedule, True
        return schedule

    def training_step(self, model: Module, inputs: StepInput, num_items_in_batch: int | None = None) -> torch.Tensor:
        passes, weight = inputs["passes"], inputs["weight"]
        if self.args.world_size > 1:  # gradients and logged losses are means over the processes, where the step's are sums
            weight /= self.args.world_size
        # What one pass says of the experts' load is not enough where a step has several (balance.py).
        self.choices = self._count_choices(model, passes) if self.aux_loss_enabled and len(passes) > 1 else None
        losses = [super(CourseTrainer, self).training_step(model, passes[0], math.inf) for _ in range(inputs["idle"])]
        for number, one in enumerate(passes, 1):
            with self.accelerator.no_sync(model) if number < len(passes) else nullcontext():  # processes wait for each other once a step
                losses.append(super().training_step(model, one, weight))
        if self.shares_base:
            self._average_gradients()
        return torch.stack(losses).sum()

    def _average_gradients(self) -> None:
        """Of the adapter over the processes, as DDP does."""
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        joined = torch.cat([gradient.flatten() for gradient in gradients])
        torch.distributed.all_reduce(joined)
        joined /= self.args.world_size
        for gradient, mean in zip(gradients, joined.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def weigh(self, step: Step) -> int:
        """The number by which the losses of a step are divided: its response tokens."""
        return sum(self.course.corpus.sequences[number].response for one in step for batch in one for number in batch)

    def gather(self, one: Pass, step: Step) -> PassInput:
        """The input of ``compute_loss`` for one pass, whose only batch it is."""
        (batch,) = one
        return self.pad(batch)

    def pad(self, batch: Batch) -> PaddedBatch:
        """Sequences of the course, padded on the right."""
        rows = self.train_dataset[list(batch)]
        pairs = zip(rows["input_ids"], rows["labels"], strict=True)
        padded: PaddedBatch = self.collate([{"input_ids": ids, "labels": labels} for ids, labels in pairs])
        return padded

    def compute_loss(
        self, model: Module, inputs: PassInput, return_outputs: bool = False, num_items_in_batch: int | None = None
    ) -> torch.Tensor:
        """The cross-entropy summed over the responses of one batch, divided by the response tokens of the whole step.

        A mixture of experts adds the batch's part of the step's load-balancing loss, times ``router_aux_loss_coef`` of its configuration.
        """
        if self.aux_loss_enabled:
            with watch_routers(self.bare) as seen:
                scores, mask = self.score(model, inputs), inputs["attention_mask"]
            step = self.choices or count_choices(seen[-1], mask, self._experts_chosen())
            return -scores.sum() / num_items_in_batch + self.router_aux_loss_coef * balance_loss(seen[-1], mask, step)
        if inputs["input_ids"].is_cuda:
            loss: torch.Tensor = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            return loss
        return -self.score(model, inputs).sum() / num_items_in_batch

    def score(self, model: Module, batch: PaddedBatch) -> torch.Tensor:
        """The log-probability of each sequence's response in a padded batch, in fp32.

        Without a GPU, TRL's own scoring computes logits for every position, including prompts and padding, and once more in the backward
        pass.
        """
        if batch["input_ids"].is_cuda:
            found: torch.Tensor = model(**batch, use_cache=False, fused_lm_head=True).log_probs
            return found.float().sum(dim=1)
        return score_responses(model, {name: batch[name] for name in ("input_ids", "attention_mask")}, batch["labels"])

    def gather_all(self, values: torch.Tensor) -> torch.Tensor:
        """The values of all processes, each of which may have a different number of them."""
        if self.args.world_size == 1:
            return values
        found: list[torch.Tensor] = [values] * self.args.world_size
        torch.distributed.all_gather_object(found, values.cpu())
        return torch.cat(found)

    def _count_choices(self, model: Module, passes: list[PassInput]) -> Choices:
        """Count the experts' choices over all passes of a step, without dropout."""
        found = []
        model.eval()
        with torch.no_grad(), self.compute_loss_context_manager(), watch_routers(self.bare) as seen:
            for one in map(self._prepare_inputs, passes):
                mask = one["attention_mask"]
                model(input_ids=one["input_ids"], attention_mask=mask, use_cache=False, logits_to_keep=1)
                found.append(count_choices(seen.pop(), mask, self._experts_chosen()))
        return add_choices(found)

    def _experts_chosen(self) -> int:
        return int(self.model.config.get_text_config().num_experts_per_tok)

    def _collate(self, steps: list[Step]) -> StepInput:
        (step,) = steps
        dealt = deal(step, self.course.corpus, self.args.world_size) if self.args.world_size > 1 else [step]
        own = dealt[self.args.process_index]
        # In each pass all processes put the base together.
        idle = max(map(len, dealt)) - len(own) if self.shares_base else 0
        return {"passes": [self.gather(one, step) for one in own], "weight": self.weigh(step), "idle": idle}


def score_responses(model: Module, read: Mapping[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """Log-probability of each response, in fp32, from what the model ``read``; logits are computed where a response is alone."""
    labels = labels[:, 1:]  # the logits of a position are for the token after it
    kept = (labels != IGNORED).any(dim=0).nonzero().squeeze(1)
    logits = model(**read, use_cache=False, logits_to_keep=kept).logits.flatten(0, 1).float()
    losses = cross_entropy(logits, labels[:, kept].flatten(), ignore_index=IGNORED, reduction="none")
    return -losses.view(len(labels), -1).sum(dim=1)


class SealCheckpoints(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Seals each checkpoint as soon as it is written."""

    def __init__(self, training: str, clock: Callable[[], float]) -> None:
        """``clock`` returns the seconds that the training has taken."""
        self.training, self.clock = training, clock

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        if args.world_size > 1:
            torch.distributed.barrier()  # each process has its own random numbers in it
        if args.process_index == 0:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}", self.training, self.clock())


class ShowProgress(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Shows a progress bar on stderr if it is a terminal, else a line from time to time. Stops a training whose loss is not a number."""

    def __init__(self, course: Course) -> None:
        self.tokens = (0, *course.tokens)
        columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[text]}"), TimeRemainingColumn())
        self.bar = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        self.first, self.lines = state.global_step, Lines()
        self.task = self.bar.add_task("training", total=state.max_steps, completed=state.global_step, text="")
        if state.is_world_process_zero:
            self.bar.start()

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float] | None = None, **kwargs: object
    ) -> None:
        loss, step = (logs or {}).get("loss"), state.global_step
        if loss is None:
            return
        if not math.isfinite(loss):
            raise UserError(f"training: the loss is {loss} at step {step}; lower train.learning_rate (now {args.learning_rate})")
        if not state.is_world_process_zero:
            return
        trained, all_tokens = (self.tokens[number] - self.tokens[self.first] for number in (step, state.max_steps))
        speed = trained / (time.monotonic() - self.lines.begun)
        text = f"loss {loss:.3f}, {speed:,.0f} tokens/s"
        self.bar.update(self.task, completed=step, text=text)
        if self.bar.disable and (self.lines.are_due() or step == state.max_steps):
            left = self.lines.estimate_left(trained, all_tokens)
            logger.info("training: step %d of %d, %s%s", step, state.max_steps, text, left)

    def close(self) -> None:
        """Remove the bar, whatever the outcome of the training was."""
        self.bar.stop()
