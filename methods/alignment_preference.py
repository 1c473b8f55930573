"""Alignment preference: a model learns to prefer its solutions that a translation model finds close to its English ones (MAPO).

Source: She et al. 2024 (arXiv:2401.06838), NJUNLP/MAPO at 2c4227a.

As in the paper's code: twenty draws of a problem in each language at temperature 0.8. The reward of a draw is 1 / cross-entropy with which
the translation model would write one of the model's own right solutions in the pivot from it, averaged over these solutions. A draw that
comes to the right number is preferred to every different draw with a lower reward. Training is DPO with beta 0.1 and no other term.
Different: problems are those of GSM8K; the paper has those of NumGLUE, which are near MSVAMP. The number of pairs of a problem and of pivot
solutions is limited, and they are drawn at random; the code takes all. Each problem is asked in the suite's language for it, and the
request is worded by us. The paper trains all weights, at most 1,000 steps at 1e-6. Draws in another language are dropped. The translator is
counted as help.
Missing: PPO, which the paper also tries, and its held-out tenth of the problems.
Traps of the code: its mean cross-entropy counts the padding as zeros, so a reward depends on the longest text in the batch; here the mean
is over a text's own tokens. "jpn_Hani" is no code of NLLB's. Numbers are read without their sign. Of the paper's benchmarks, MGSM gains
least.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

from pydantic import Field

from xlift.harness.plugin import (
    Context,
    Dpo,
    Draws,
    Method,
    Options,
    Plan,
    Preference,
    Prompt,
    Reading,
    RowFilter,
    Solution,
    UserError,
    ask,
    has_language,
    list_reasons,
    read_final_answers,
    read_prompts,
    request_language,
    sample_solutions,
    translate_prompts,
)

KIND = "alignment"


class AlignmentPreferenceOptions(Options):
    """Problems, draws and pairs."""

    problem_corpus: str
    """The same problems in several languages. A language that it lacks gets the pivot's problems, translated."""
    problems: int = Field(ge=1)
    """The most problems that are asked in each language. Fewer are asked if the suite's budget of rows needs fewer."""
    samples: int = Field(ge=2)
    """The number of draws of a problem, in each language and in the pivot."""
    temperature: float = Field(gt=0)
    max_tokens: int = Field(ge=1)
    references: int = Field(ge=1)
    """The most right solutions in the pivot with which a draw is compared."""
    pairs: int = Field(ge=1)
    """The most pairs of a problem in one language."""
    beta: float = Field(gt=0)
    max_characters: int = Field(ge=1)
    max_length_ratio: float = Field(gt=1)
    """Translations of problems whose lengths in characters differ by more than this ratio are dropped."""


class AlignmentPreference(Method[AlignmentPreferenceOptions]):
    """Pairs of a model's own solutions, ordered by how well they agree with its solutions in the pivot."""

    Options = AlignmentPreferenceOptions

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        corpus = self.options.problem_corpus
        return [
            Reading(corpus, pivot),
            *(Reading(corpus, lang, "the pivot's problems are translated", translated=True) for lang in languages),
        ]

    def prepare(self, ctx: Context) -> Plan:
        options = self.options
        row_filter = RowFilter(options.max_characters, options.max_length_ratio)
        for lang in ctx.languages:
            ctx.require_translator(lang, ctx.pivot)
            ctx.score_translations([], [], lang, ctx.pivot)
            if not has_language(ctx, options.problem_corpus, lang):
                ctx.require_translator(ctx.pivot, lang)
        numbers = read_final_answers(ctx, options.problem_corpus)
        wanted = min(options.problems, math.ceil((ctx.budget or options.problems * len(ctx.languages)) / len(ctx.languages)))
        found = read_prompts(ctx, ctx.pivot, row_filter, corpus=options.problem_corpus, where=f"{ctx.pivot}/{KIND}")
        problems = [problem for problem in found if problem.id in numbers][:wanted]
        solved = self._solve(ctx, ctx.pivot, problems, numbers, row_filter)
        references = {key: [one.text for one in drawn if one.right] for key, drawn in solved.items()}
        references = {key: ctx.rng.sample(texts, min(len(texts), options.references)) for key, texts in references.items() if texts}
        if not references:
            lost = list_reasons(f"{ctx.pivot}/{KIND}", row_filter.drops)
            raise UserError(f"{ctx.pivot}/{KIND}: the model solved no problem{lost}; raise samples or problems, or name easier ones")
        rows: list[Preference] = []
        for lang in ctx.languages:
            rows += self._pair(ctx, lang, [problem for problem in problems if problem.id in references], numbers, references, row_filter)
        ctx.rng.shuffle(rows)
        row_filter.notes.update({"problems": len(problems), "problems solved in the pivot": len(references)})
        return Plan(tuple(rows[: ctx.budget]), Dpo(options.beta, 0), drops=dict(row_filter.drops), facts=dict(row_filter.notes))

    def _solve(
        self, ctx: Context, lang: str, problems: Sequence[Prompt], numbers: Mapping[str, Decimal], row_filter: RowFilter
    ) -> dict[str, list[Solution]]:
        asked = [(ask(request_language(0, problem.question, lang)), numbers[problem.id]) for problem in problems]
        draws = Draws(self.options.samples, self.options.temperature, self.options.max_tokens)
        found = sample_solutions(ctx, asked, lang, draws, row_filter, f"{lang}/{KIND}")
        return {problem.id: drawn for problem, drawn in zip(problems, found, strict=True)}

    def _pair(
        self, ctx: Context, lang: str, problems: Sequence[Prompt], numbers: Mapping[str, Decimal],
        references: Mapping[str, Sequence[str]], row_filter: RowFilter,
    ) -> list[Preference]:  # fmt: skip
        where, corpus = f"{lang}/{KIND}", self.options.problem_corpus
        if has_language(ctx, corpus, lang):
            known = {prompt.id: prompt for prompt in read_prompts(ctx, lang, RowFilter(), corpus=corpus, where=where)}
            own = [known[problem.id] for problem in problems if problem.id in known]
        else:
            pairs = translate_prompts(ctx, problems, lang, len(problems), row_filter, where=where, spare=1, parts=("question",))
            own = [prompt for _, prompt in pairs]
        drawn = self._solve(ctx, lang, own, numbers, row_filter)
        compared = [(one.text, text) for problem in own for one in drawn[problem.id] for text in references[problem.id]]
        scores = iter(ctx.score_translations([text for text, _ in compared], [text for _, text in compared], lang, ctx.pivot))
        rows: list[Preference] = []
        for problem in own:
            rewarded = [(find_reward([next(scores) for _ in references[problem.id]]), one) for one in drawn[problem.id]]
            for reward, _ in rewarded:
                if reward is None:
                    row_filter.drop(where, "not scored")
            chosen = order_draws([(reward, one) for reward, one in rewarded if reward is not None])
            row_filter.notes[f"{where}: pairs there were"] += len(chosen)
            request = ask(request_language(0, problem.question, lang))
            for at, (better, worse) in enumerate(ctx.rng.sample(chosen, min(len(chosen), self.options.pairs))):
                rows.append(Preference(request, better.text, worse.text, lang, f"{KIND}-{lang}-{problem.id}-{at}", KIND))
        return rows


def find_reward(scores: Sequence[float | None]) -> float | None:
    """The mean of 1 / cross-entropy over the pivot's solutions; None if one could not be scored."""
    known = [score for score in scores if score is not None]
    return sum(1 / max(-score, 1e-6) for score in known) / len(known) if known and len(known) == len(scores) else None


def order_draws(rewarded: Sequence[tuple[float, Solution]]) -> list[tuple[Solution, Solution]]:
    """Pairs in which a right draw is preferred to a draw with a lower reward."""
    return [(better, worse) for high, better in rewarded if better.right for low, worse in rewarded if low < high]


METHOD = AlignmentPreference
