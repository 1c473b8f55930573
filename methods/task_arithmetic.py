"""Task arithmetic: what a task changes in the weights plus what each language changes, each trained separately and added with a weight.

Source: Ilharco et al. 2023 (arXiv:2212.04089), which adds and subtracts changes of all weights; Chronopoulou et al. 2024
(arXiv:2311.09344), which adds up adapters of a task in English and of languages. No code of the second is known to us.

As in the papers: from one base, one adapter is trained on a task in English and one in each language. The result is their weighted sum,
without further training.
Different: the second paper trains languages on unlabelled text; here they have instructions, translated if a language has none. It looks at
one language at a time; here all languages of the suite are in one sum. Weights are fixed, because nothing may be chosen on what is
measured. The products B A are added up, which is exact. Adding A to A and B to B, which goes by the same name, is something else.
Missing: weights that are searched for on held-out data of the task; negation and analogies, though a weight may be negative.
``uniform: true`` is the control: the average of all adapters.
Trap: the sizes of the changes add up. Three of weight 1 move the weights about three times as far as one, so a sum may spoil a model that
an average does not.
"""

from __future__ import annotations

from collections.abc import Sequence

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


class TaskArithmeticOptions(ExpertOptions, Options):
    """What the adapters learn, and their weights in the sum."""

    language_weight: float
    """The weight of each language's adapter; it may be negative."""
    task_weight: float
    uniform: bool
    """Whether the average of all adapters replaces the weights, as a control."""


class TaskArithmetic(Method[TaskArithmeticOptions]):
    """One adapter for the task, one for each language, and their sum."""

    Options = TaskArithmeticOptions
    combines = True

    @property
    def is_control(self) -> bool:
        return self.options.uniform

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        return list_experts(self.options, pivot, languages)

    def list_parts(self, languages: Sequence[str]) -> dict[str, Part]:
        share = self.options.language / len(languages)
        return {**{lang: Part((LANGUAGE,), share, (lang,)) for lang in languages}, TASK: Part((TASK,), 1 - self.options.language)}

    def prepare(self, ctx: Context) -> Plan:
        options, parts = self.options, self.list_parts(ctx.languages)
        row_filter = RowFilter(options.max_characters, options.max_length_ratio)
        rows = read_experts(ctx, options, row_filter)
        weights = {**dict.fromkeys(ctx.languages, options.language_weight), TASK: options.task_weight}
        mix = Mix(dict.fromkeys(parts, 1 / len(parts)) if options.uniform else weights)
        return Plan(tuple(rows), drops=dict(row_filter.drops), parts=parts, edit=mix)


METHOD = TaskArithmetic
