"""Self-instruct in each language: the model writes tasks after translated seeds, and keeps those that differ enough (MultiAlpaca).

Source: Wei et al. 2023 (arXiv:2307.06018, PolyLM), its text and the data of DAMO-NLP-MT/PolyLM at a8b4986; after Self-Instruct (Wang et al.
2022, arXiv:2212.10560).

As in the paper: seed tasks written by people are translated into the language. A request shows three tasks, two seeds and one that was made
before, and asks for more in the language, each with instruction, input and output. A last task that was cut off, tasks without one of the
three parts, and tasks with links are dropped. So are those whose instruction has a ROUGE-L of 0.7 or more with any in the pool. An input
that is contained in the instruction becomes empty. One that is otherwise too similar to it drops the task (0.5; 0.3 in Korean and
Vietnamese, 0.2 in Arabic).
Different: the trained model writes the tasks itself, so the method measures that model; the paper asks gpt-3.5-turbo-0301. A few tasks are
asked for at a time, because small models rarely write 17 of 20, and the answer begins with the beginning of the first. Seeds are all that
the corpus has in the language, or that can be translated; the paper leaves out 13 of 175 as bound to a culture and keeps the original input
or output of 23, in a list that is not known to us. Tokens are words, and characters in scripts without spaces; the paper has a tokeniser
for each language. The request is worded by us. Tasks in another language are dropped.
Missing: the first round of 10 requests before ten of 100. Here each pass asks for what is lacking.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice

from pydantic import Field

from xlift.harness.plugin import (
    Context,
    Example,
    Method,
    Options,
    Plan,
    Pool,
    Reading,
    RowFilter,
    Sampling,
    Task,
    UserError,
    ask,
    find_foreign,
    has_language,
    judge_task,
    list_reasons,
    read_prompts,
    read_tasks,
    request_tasks,
    split_budget,
    take,
    translate_prompts,
)

KIND = "self_instruct"


class SelfInstructOptions(Options):
    """How tasks are asked for, and which are kept."""

    rows: int = Field(ge=1)
    """The budget in rows, if the suite sets none, split evenly over the target languages."""
    seed_corpus: str
    seeds: int = Field(ge=3)
    """The most seed tasks that are read or translated."""
    tasks: int = Field(ge=1)
    """The number of tasks that one request asks for."""
    passes: int = Field(ge=1)
    """How often requests are made for what is still lacking."""
    spare: float = Field(ge=1)
    """How many tasks are asked for in place of each one that is lacking."""
    temperature: float = Field(gt=0)
    max_tokens: int = Field(ge=1)
    similarity: float = Field(gt=0, le=1)
    """A new instruction is dropped if its ROUGE-L with one of the pool is this or more."""
    input_similarity: dict[str, float]
    """A task is dropped if the ROUGE-L of its instruction and its input is above this, by language; ``default`` is for all others."""
    max_characters: int = Field(ge=1)
    max_length_ratio: float = Field(gt=1)
    """Translations of seeds whose lengths in characters differ by more than this ratio are dropped."""


class SelfInstruct(Method[SelfInstructOptions]):
    """Tasks that the model itself writes in each target language."""

    Options = SelfInstructOptions

    def list_readings(self, pivot: str, languages: Sequence[str]) -> list[Reading]:
        corpus = self.options.seed_corpus
        return [Reading(corpus, pivot), *(Reading(corpus, lang, "the pivot's seeds are translated", translated=True) for lang in languages)]

    def prepare(self, ctx: Context) -> Plan:
        options = self.options
        row_filter = RowFilter(options.max_characters, options.max_length_ratio)
        if "default" not in options.input_similarity:
            raise UserError("self_instruct: input_similarity has no default; add one, such as default: 0.5")
        for lang in ctx.languages:
            if not has_language(ctx, options.seed_corpus, lang):
                ctx.require_translator(ctx.pivot, lang)
        rows: list[Example] = []
        for lang, count in split_budget(ctx.budget or options.rows, dict.fromkeys(ctx.languages, 1 / len(ctx.languages))).items():
            rows += take(self._make_rows(ctx, lang, count, row_filter), count, f"{lang}/{KIND}", row_filter.drops)
        ctx.rng.shuffle(rows)
        return Plan(tuple(rows), drops=dict(row_filter.drops), facts=dict(row_filter.notes))

    def _make_rows(self, ctx: Context, lang: str, count: int, row_filter: RowFilter) -> list[Example]:
        options, where, rng = self.options, f"{lang}/{KIND}", ctx.rng
        own = has_language(ctx, options.seed_corpus, lang)
        seeds_in = lang if own else ctx.pivot
        found = read_prompts(ctx, seeds_in, row_filter, corpus=options.seed_corpus, where=f"{seeds_in}/seeds", answered=True)
        if not own:
            pairs = translate_prompts(ctx, found, lang, options.seeds, row_filter, where=f"{lang}/seeds", spare=1)
            found = (translated for _, translated in pairs)
        seeds = [Task(*split_question(seed.question), seed.answer) for seed in islice(found, options.seeds)]
        if not seeds:
            raise UserError(f"{where}: {options.seed_corpus} has no task with an answer in {seeds_in!r}; name another seed_corpus")
        pool, made = Pool(), list[Task]()
        for seed in seeds:
            pool.add(seed.instruction)
        for number in range(options.passes):
            if len(made) >= count:
                break
            wanted = math.ceil((count - len(made)) * options.spare / options.tasks)
            shown = [(*rng.sample(seeds, min(2, len(seeds))), rng.choice(made or seeds)) for _ in range(wanted)]
            sampling = Sampling(max_tokens=options.max_tokens, temperature=options.temperature, seed=number)
            answers = ctx.generate([request_tasks(lang, tasks, options.tasks) for tasks in shown], sampling)
            made += self._keep(ctx, lang, [task for answer in answers for task in read_tasks(answer, row_filter, where)], pool, row_filter)
        if not made:
            raise UserError(f"{where}: the model wrote no task{list_reasons(where, row_filter.drops)}; raise passes or max_tokens")
        return [Example(ask(task.prompt), task.output, lang, f"{KIND}-{lang}-{at}", KIND) for at, task in enumerate(made)]

    def _keep(self, ctx: Context, lang: str, tasks: Sequence[Task], pool: Pool, row_filter: RowFilter) -> list[Task]:
        options, where = self.options, f"{lang}/{KIND}"
        least = options.input_similarity.get(lang, options.input_similarity["default"])
        kept = []
        for task, foreign in zip(tasks, find_foreign(ctx, [f"{task.instruction}\n{task.output}" for task in tasks], lang), strict=True):
            judged = "wrong language" if foreign else judge_task(task, pool, options.similarity, least)
            if isinstance(judged, Task) and (fault := row_filter.find_fault(judged.prompt, judged.output)):
                judged = fault
            if isinstance(judged, str):
                row_filter.drop(where, judged)
                continue
            pool.add(judged.instruction)
            kept.append(judged)
        return kept


def split_question(question: str) -> tuple[str, str]:
    """The instruction of a corpus's row and, from the second line on, its input."""
    instruction, _, given = question.partition("\n")
    return instruction, given


METHOD = SelfInstruct
