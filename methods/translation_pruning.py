"""Translation-guided pruning: weights that matter little while the model translates are set to 0; nothing is trained.

Source: arXiv:2409.16911, hwichan0720/pruning_for_multilinguality at 3428425; the score of a weight is that of Wanda (arXiv:2306.11695).

As in the paper: prompts with several examples of translation are read. In each output of each linear module inside the layers, the weights
with the smallest product of their size and the norm of their input are set to 0. Embeddings and the output layer stay whole.
Different: pairs come from the suite's training corpus, in all its languages; the code takes FLORES dev and one language for each model. The
norms are all measured in the whole model; the code reads the states of a layer from layers that are already pruned. The code reads 512
tokens of each prompt, including padding, which enters its norms; here there is none. An example ends in a line break, not in the end of
text.
Missing: blocks of 2:4 and 4:8; activations that are weighed against those on program code, as for BLOOM; prompts of one language alone.
``random: true`` is the control: as many weights of each output, at random.
Traps: the code's base for BLOOM's weighing depends on Python's hash seed, its plot of overlaps leaves its own ratio out, and its RankC puts
most weight on the least likely answers. Multilingual models get worse at moderate ratios already (arXiv:2505.21171).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from pydantic import Field

from xlift.harness.plugin import Context, Mask, Method, Options, Plan, Reading, RowFilter, UserError, find, list_pairs, read_pairs


class TranslationPruningOptions(Options):
    """What is read, and how many weights are set to 0."""

    parallel_corpus: str
    prompts: int = Field(ge=1)
    """The number of prompts that are read in all, split evenly over the languages."""
    shots: int = Field(ge=1)
    """The number of pairs in a prompt."""
    to_pivot: bool
    """Whether the pivot's sentence is the translation. Otherwise it is the one that is translated."""
    ratio: float = Field(gt=0, lt=1)
    """The share of the weights of each output."""
    random: bool
    """Whether the weights are chosen at random, as a control."""
    max_characters: int = Field(ge=1)
    """Longer pairs are dropped and counted."""
    max_length_ratio: float = Field(gt=1)


class TranslationPruning(Method[TranslationPruningOptions]):
    """A mask of the weights that matter least while the model translates."""

    Options = TranslationPruningOptions
    trains = False
    masks = True

    @property
    def is_control(self) -> bool:
        return self.options.random

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        return list_pairs(self.options.parallel_corpus, (pivot, *languages))

    def prepare(self, ctx: Context) -> Plan:
        options = self.options
        row_filter = RowFilter(options.max_characters, options.max_length_ratio)
        each = max(1, options.prompts // len(ctx.languages))
        texts = [text for lang in ctx.languages for text in self._write_prompts(ctx, lang, each, row_filter)]
        norms = ctx.read_norms(texts)
        edit = Mask("random" if options.random else "products", options.ratio)
        return Plan((), drops=dict(row_filter.drops), arrays=dict(norms), edit=edit, facts={"prompts": len(texts)})

    def _write_prompts(self, ctx: Context, lang: str, count: int, row_filter: RowFilter) -> list[str]:
        source, target = (lang, ctx.pivot) if self.options.to_pivot else (ctx.pivot, lang)
        fit = []
        for pair in read_pairs(ctx, self.options.parallel_corpus, source, target):
            if reason := row_filter.find_pair_fault(pair.source, pair.target):
                row_filter.drop(f"{lang}/calibration", reason)
            else:
                fit.append(f"{find(source).name}: {pair.source}\n{find(target).name}: {pair.target}\n")
            if len(fit) == count * self.options.shots:
                break
        shown, shots = iter(fit), self.options.shots
        prompts = ["".join(islice(shown, shots)) for _ in range(len(fit) // shots)]
        if not prompts:
            raise UserError(f"{lang}: fewer than {shots} pairs of {self.options.parallel_corpus} can be used; lower shots")
        return prompts


METHOD = TranslationPruning
