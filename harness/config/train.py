"""How an adapter is trained: the budget, the optimiser, LoRA and memory."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from xlift.harness.config.lora import check_lora, check_schedule
from xlift.harness.core.errors import UserError
from xlift.harness.core.settings import Section


class TrainSettings(Section):
    UNHASHED = frozenset({"checkpoint_steps", "report_to", "processes", "strategy"})
    """Checkpoints and trackers leave the adapter bit for bit as it is, and several processes as it is but for rounding; how many there were
    stands in the manifest. ``micro_batch_tokens`` is hashed: it takes the sums of a step in
    another order, which was seen to move the last bits of the weights. ``gradient_checkpointing`` is hashed: it left every bit as it was
    on a CPU, but was not tried on a GPU.
    """

    SINCE: ClassVar[frozenset[str]] = frozenset({"measure_at", "compile", "liger"})
    """Keys that are hashed only where they are set."""

    tokens: int | None = Field(None, ge=1)
    """Training budget in tokens without padding, at least one step (``batch_tokens``). Rows are trained again until it is spent, and fewer
    rows are made if it does not reach all of them."""
    epochs: float = Field(1.0, gt=0)
    """Training budget in passes over the rows, if ``tokens`` is not given."""
    batch_tokens: int = Field(4096, ge=64)
    """Tokens of one optimiser step, without padding. The budget divided by this is the number of steps, whatever the rows are."""
    micro_batch_tokens: int = Field(4096, ge=64)
    """The most tokens (sequences x width) in one backward pass. A smaller number needs less memory, and changes no result beyond
    rounding."""
    max_length: int = Field(1024, ge=16)
    """The most tokens of a row. Longer rows are cut at the end and counted."""
    learning_rate: float = Field(2.0e-4, gt=0)
    """The highest rate of the schedule."""
    schedule: str = "cosine"
    """A learning-rate schedule of transformers that needs no arguments. Each phase of a method has a schedule of its own."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """The share of a phase's steps in which the rate rises. A phase of one step has no warm-up."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW's weight decay."""
    lora: dict[str, Any] | None = Field(default_factory=lambda: {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"})
    """Arguments of peft.LoraConfig. null trains the weights themselves, which needs a rate of about a tenth of LoRA's."""
    quantise: Literal["4bit", "8bit"] | None = None
    """Load the base in fewer bits (bitsandbytes, CUDA only)."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Arithmetic of the training; bfloat16 becomes float32 on a CPU where that is faster."""
    gradient_checkpointing: bool = False
    """Compute activations a second time in the backward pass instead of keeping them: less memory, more time."""
    compile: bool = False
    """Compile the model with torch.compile before its first step."""
    liger: bool = False
    """Fused kernels of Liger in place of the model's own norms, rotations and activations (`pip install liger-kernel`, CUDA only)."""
    processes: int = Field(1, ge=1)
    """How many processes share the passes of each step, each on a GPU of its own."""
    strategy: Literal["ddp", "fsdp2"] = "ddp"
    """What each of several processes holds: ddp the whole base, fsdp2 a share of it, which is put together layer by layer as it is needed.
    fsdp2 is for a base that one GPU does not hold; it takes more time."""
    checkpoint_steps: int = Field(50, ge=1)
    """Number of steps between checkpoints. A run that was killed goes on from the last one."""
    report_to: tuple[str, ...] = ()
    """Trackers of transformers: wandb, trackio, tensorboard."""
    measure_at: tuple[Annotated[float, Field(strict=True)], ...] = ()
    """Shares of the budget, such as 0.1, 0.25 and 0.5. The adapter is kept as it is at each of them, and measured on the likelihood tasks
    of the suite, which gives a curve of lift against tokens. The end is always measured, on all tasks."""

    def identity(self) -> dict[str, Any]:
        """The same as for every section, without those of ``SINCE`` that are not set, as no older training has them in its hash."""
        return {name: value for name, value in super().identity().items() if value or name not in self.SINCE}

    @model_validator(mode="after")
    def _shares_a_base(self) -> TrainSettings:
        if self.strategy == "fsdp2":
            if self.processes == 1:
                raise UserError(
                    "train.strategy: fsdp2 shares the base out among processes, and there is one; set train.processes to 2 or more"
                )
            others = {"train.lora: null": self.lora is None, "train.quantise": self.quantise, "train.compile": self.compile}
            for name, is_set in others.items():
                if is_set:
                    raise UserError(
                        f"train.strategy: fsdp2 shares out a frozen base as it is, so it does not go with {name}; leave one out"
                    )
        return self

    @field_validator("measure_at")
    @classmethod
    def _within(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        for share in value:
            if not 0 < share <= 1:
                raise ValueError("each is a share of the budget, above 0 and at most 1")
        return tuple(sorted({share for share in value if share < 1}))

    @field_validator("schedule")
    @classmethod
    def _scheduled(cls, value: str) -> str:
        return check_schedule(value)

    @field_validator("lora")
    @classmethod
    def _known_lora(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            check_lora(value)
        return value
