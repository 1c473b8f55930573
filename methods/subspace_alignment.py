"""Subspace alignment (Lens): in the last state, languages are pushed apart along their own directions and pairs aligned in a shared space.

Source: Zhao et al. 2024 (arXiv:2410.04407, "Lens"), circle-hit/Lens at 2ffa3f0.

As in the paper's code: two singular value decompositions of the languages' mean states at the last token of 300 prompts each give one
shared direction c and a language-specific space W, which has one dimension less than there are languages. Only the last two layers are
trained. The loss adds up ``keep`` (the pivot's mean state stays), ``separate`` (a language moves by lambda times its own direction in W,
which is its mean minus the pivot's; lambda scales the target, not the loss) and ``align`` (the pivot and a language agree on c).
The abstract says it the other way round: it draws languages together in one space and pushes them apart in the other.
A finding (shown in tests/methods/test_alignment_methods.py): with that many dimensions the fit is exact, c is at right angles to W, and
**all language means have the same projection on c**. So the published ``align`` moves single sentences and never a language. This is
``shared: literal``. ``shared: complement`` is the repaired form. It aligns a prompt and its translation in all dimensions outside W, and
with a ``rank`` below that of the paper also in what W leaves of the languages' means.
Different: prompts are AlpaGasus' in translation, each read at its true last token and with one chat template throughout. The code takes 200
prompts, half of them harmful, reads padding or the 64th token as the last one, and has a system turn in one place alone. The mean leaves
out padding and the first token. A LoRA adapter is trained; the paper trains the weights (as ``train.lora: null`` does).
Missing: nothing else that is known to us. Nothing in the loss is about answers: look at the rate off target and the quality of translation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from xlift.harness.plugin import (
    Align,
    Context,
    Method,
    Options,
    Parallel,
    Plan,
    Reading,
    RowFilter,
    Term,
    UserError,
    Where,
    ask,
    pair_texts,
    read_prompt_pairs,
    read_prompts,
    split_budget,
)

LAST = -1
"""The state after the final norm, the only one that the code uses."""


class SubspaceAlignmentOptions(Options):
    """The weights of the terms, and what the spaces are made of."""

    rows: int = Field(ge=1)
    """The budget in rows, if the suite sets none."""
    corpus: str
    """A corpus of prompts with the same ids in all languages."""
    probed: int = Field(ge=2)
    """The number of prompts of each language whose mean states give the spaces."""
    shared: Literal["literal", "complement"]
    rank: int | None = Field(ge=1)
    """The number of dimensions of the specific space; null for one less than there are languages."""
    keep: float = Field(ge=0)
    separate: float = Field(ge=0)
    align: float = Field(ge=0)
    step: float = Field(gt=0)
    """How far a language is to move, as a multiple of its direction (lambda)."""
    layers: tuple[int, ...] = Field(min_length=1)
    """The layers that are trained, from 0; -1 is the last."""
    shuffled: bool
    """Whether each prompt is put beside the translation of another one, as a control."""
    max_characters: int = Field(ge=1)
    max_length_ratio: float = Field(gt=1)


class SubspaceAlignment(Method[SubspaceAlignmentOptions]):
    """Languages moved along their own directions, prompts and translations aligned, and the pivot kept."""

    Options = SubspaceAlignmentOptions

    @property
    def is_control(self) -> bool:
        return self.options.shuffled

    @property
    def states(self) -> tuple[float, ...]:
        return (LAST,)

    @property
    def where(self) -> Where | None:
        return Where(self.options.layers)

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        langs = (pivot, *languages)
        require_rank(self.options.rank or 1, len(langs))
        return [Reading(self.options.corpus, lang) for lang in langs]

    def prepare(self, ctx: Context) -> Plan:
        options, langs = self.options, (ctx.pivot, *ctx.languages)
        row_filter = RowFilter(options.max_characters, options.max_length_ratio)
        if not options.separate and not options.align:
            raise UserError("separate and align are both 0, so that nothing would be trained but to stay as it is")
        counts = split_budget(ctx.budget or options.rows, {lang: 1 / len(ctx.languages) for lang in ctx.languages})
        rows: list[Parallel] = []
        for lang, count in counts.items():
            pairs = read_prompt_pairs(ctx, ctx.pivot, lang, row_filter, corpus=options.corpus, where=f"{lang}/prompts")
            chosen: dict[str, Any] = {"kind": "prompts", "chats": True, "shuffled": options.shuffled}
            rows += pair_texts(pairs, ctx.pivot, lang, count, row_filter, **chosen)
        ctx.rng.shuffle(rows)
        means = np.stack([self._read_mean(ctx, lang) for lang in langs])
        shared, specific = find_spaces(means, options.rank or len(langs) - 1)
        arrays = {"shared": shared[None], "specific": specific[None]}
        for lang, mean in zip(langs[1:], means[1:], strict=True):
            arrays[f"direction {lang}"] = (options.step * specific @ (specific.T @ (mean - means[0])))[None].astype(np.float32)
        # The code adds up the languages of a row; a term is a mean over them.
        times, directions = len(ctx.languages), {lang: f"direction {lang}" for lang in langs[1:]}
        space: dict[str, Any] = {"basis": "shared"} if options.shared == "literal" else {"basis": "specific", "complement": True}
        terms = (
            Term("keep", (LAST,), "mean", options.keep),
            Term("offset", (LAST,), "last", options.separate * times, basis="specific", directions=directions),
            Term("mse", (LAST,), "last", options.align * times, **space),
        )
        objective = Align(tuple(term for term in terms if term.weight))
        spread = np.ptp(means @ shared[:, 0]) / np.abs(means @ shared[:, 0]).max()
        facts = {"spread of the language means on the shared direction, relative": round(float(spread), 9)}
        return Plan(tuple(rows), objective, drops=dict(row_filter.drops), where=self.where, arrays=arrays, facts=facts)

    def _read_mean(self, ctx: Context, lang: str) -> NDArray[Any]:
        """The mean last state of a language's prompts, at their last token."""
        uncounted = RowFilter(self.options.max_characters)
        prompts = read_prompts(ctx, lang, uncounted, corpus=self.options.corpus, where=f"{lang}/probed")
        chats = [ask(prompt.question) for prompt in islice(prompts, self.options.probed)]
        if len(chats) < 2:
            raise UserError(f"{self.options.corpus} has {len(chats)} prompts in {lang!r}, too few for a mean state")
        return np.asarray(ctx.read_states(chats, (LAST,), "last")[:, 0].mean(axis=0))


def require_rank(rank: int, languages: int) -> None:
    """Raise UserError for a rank that so many languages, with the pivot, do not give."""
    if not 1 <= rank < languages:
        raise UserError(f"rank {rank}: {languages} languages with the pivot have from 1 to {languages - 1} dimensions of their own")


def find_spaces(means: NDArray[Any], rank: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The shared direction (hidden, 1) and the specific space (hidden, rank) of mean states (languages, hidden), both with orthonormal
    columns. Raises UserError for a rank that the languages do not give."""
    require_rank(rank, len(means))
    columns = means.T.astype(np.float64)
    centre = columns.mean(axis=1, keepdims=True)
    left, size, right = np.linalg.svd(columns - centre, full_matrices=False)
    fitted = centre + (left[:, :rank] * size[:rank]) @ right[:rank]
    shared = np.linalg.pinv(fitted).T @ np.ones(len(means))
    shared /= shared @ shared
    specific = np.linalg.svd(fitted - shared[:, None], full_matrices=False)[0][:, :rank]
    return (shared / np.linalg.norm(shared))[:, None].astype(np.float32), np.ascontiguousarray(specific.astype(np.float32))


METHOD = SubspaceAlignment
