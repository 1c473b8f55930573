"""Layer swapping: a task expert with the bottom and top layers of a language expert, and layers of both between them.

Source: Bandarkar et al. 2025 (arXiv:2410.01335, ICLR 2025). The choice of the bottom 6 and top 2 of 32 layers is that of the follow-up
(arXiv:2505.18356), which found it among the best of its modular methods, with LoRA too. No code of either is known to us.

As in the papers: two experts are trained separately from one base, one on a task in English, one on instructions of all sorts in the target
language. Their weights are then put together without further training: the bottom and top layers of the language expert, the middle of the
task expert, and between them transition layers, which are the average of both.
Different: the experts are LoRA adapters, whose ranks are put side by side, so that the result is one adapter; the papers train all weights.
One language expert speaks all languages of the suite; the papers train one for each. The two share one budget of tokens; the papers give
each 30,000 to 40,000 rows. The task is GSM8K's problems, not Orca's. Instructions are Alpaca's, translated if a language has none.
Missing: the papers' analysis of where a training moves weights most, and the other merges with which they compare.
``uniform: true`` is the control: the average of both experts in every layer.
Trap: in a student's reproduction (Qwen2.5-7B in 4 bits, Swahili) the follow-up's choice of layers scored 14.0 on MGSM, as the base did. So
look at the control before you believe in layers.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from xlift.harness.plugin import (
    LANGUAGE,
    TASK,
    Context,
    ExpertOptions,
    Method,
    Mix,
    Options,
    Part,
    Plan,
    Reading,
    RowFilter,
    list_experts,
    read_experts,
)


class LayerSwapOptions(ExpertOptions, Options):
    """What the two experts learn, and which layers come from which."""

    bottom: int = Field(ge=0)
    """The number of layers of the language expert, counted from the first."""
    top: int = Field(ge=0)
    """The number of layers of the language expert, counted from the last."""
    transition: int = Field(ge=0)
    """The number of layers that are the average of both experts, above the bottom ones, and as many below the top ones."""
    uniform: bool
    """Whether every layer is the average of both, as a control."""


class LayerSwap(Method[LayerSwapOptions]):
    """Two experts from one base, put together layer by layer."""

    Options = LayerSwapOptions
    combines = True

    @property
    def is_control(self) -> bool:
        return self.options.uniform

    @property
    def blocks(self) -> tuple[int, ...]:
        return tuple(self._mix().layers)

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        return list_experts(self.options, pivot, languages)

    def list_parts(self, languages: Sequence[str]) -> dict[str, Part]:
        return {LANGUAGE: Part((LANGUAGE,), self.options.language), TASK: Part((TASK,), 1 - self.options.language)}

    def prepare(self, ctx: Context) -> Plan:
        options = self.options
        row_filter = RowFilter(options.max_characters, options.max_length_ratio)
        rows = read_experts(ctx, options, row_filter)
        return Plan(tuple(rows), drops=dict(row_filter.drops), parts=self.list_parts(ctx.languages), edit=self._mix())

    def _mix(self) -> Mix:
        options, both = self.options, {LANGUAGE: 0.5, TASK: 0.5}
        if options.uniform:
            return Mix(both)
        layers: dict[int, dict[str, float]] = {}
        for swapped, first, step in ((options.bottom, 0, 1), (options.top, -1, -1)):
            for place in range(swapped + options.transition if swapped else 0):
                layers[first + step * place] = {LANGUAGE: 1.0} if place < swapped else both
        return Mix({TASK: 1.0}, layers)


METHOD = LayerSwap
