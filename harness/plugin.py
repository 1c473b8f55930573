"""All that the author of a method needs: the plugin contract, and how methods are found.

A method turns a Context into a Plan. It never trains and never loads a model: whatever it may touch comes through the Context.
"""

from __future__ import annotations

from xlift.harness.core.errors import LanguageMissingError, LeakError, UserError
from xlift.harness.core.languages import Language, find
from xlift.harness.core.types import Answer, Chat, CorpusRow, Example, Json, Message, Parallel, Preference, Sampling, ask
from xlift.harness.models.module import Module
from xlift.harness.models.policy import Policy, describe_query
from xlift.harness.models.profile import InferenceProfile
from xlift.harness.models.steering import Steer
from xlift.harness.recipes.budget import split_budget, take
from xlift.harness.recipes.choices import compare_choices, fit_ridge, fit_static
from xlift.harness.recipes.code_switch import (
    CodeSwitcher,
    Lexicon,
    SwitchOptions,
    align_words,
    find_terms,
    find_words,
    read_lexicon,
    switch_words,
    turn_lexicon,
)
from xlift.harness.recipes.contract import (
    Align,
    Context,
    Dpo,
    Gap,
    LanguageCode,
    Mask,
    Method,
    Mix,
    Options,
    Part,
    Plan,
    Reading,
    Sft,
    Term,
    Where,
)
from xlift.harness.recipes.experts import LANGUAGE, TASK, ExpertOptions, list_experts, read_experts
from xlift.harness.recipes.filters import (
    RowFilter,
    find_fault,
    find_flaw,
    find_foreign,
    find_misalignment,
    is_repetitive,
    list_reasons,
    measure_overlap,
)
from xlift.harness.recipes.instructions import (
    AnswerRule,
    Prompt,
    answer_prompts,
    fill,
    read_instructions,
    read_prompt_pairs,
    read_prompts,
    request_language,
    translate_instructions,
    translate_prompts,
)
from xlift.harness.recipes.parallel import pair_texts, require_batch
from xlift.harness.recipes.preferences import PairOptions, Pairs, list_prompts, make_pairs, make_twins
from xlift.harness.recipes.reasoning import Draws, Solution, comes_to, keep_distinct, read_final_answers, sample_solutions, solve_problems
from xlift.harness.recipes.registry import describe, find_method, load, names
from xlift.harness.recipes.scaling_law import Allocation, ScalingLaw, allocate
from xlift.harness.recipes.similarity import Pool, measure_rouge_l
from xlift.harness.recipes.stages import Staged, split_stages
from xlift.harness.recipes.translation import (
    Direction,
    Pair,
    ask_translation,
    build_completions,
    build_constrained,
    build_revisions,
    build_translations,
    collect_wordings,
    find_pair_fault,
    has_language,
    index_by_english,
    list_pairs,
    orient,
    read_pairs,
    read_translations,
    shuffle_rows,
)
from xlift.harness.recipes.written_tasks import Task, judge_task, read_tasks, request_tasks

__all__ = [
    "Align", "Allocation", "Answer", "AnswerRule", "Chat", "CodeSwitcher", "Context", "CorpusRow", "Direction", "Dpo", "Draws", "Example",
    "ExpertOptions", "Gap", "InferenceProfile", "Json", "LANGUAGE", "Language", "LanguageCode", "LanguageMissingError", "LeakError",
    "Lexicon", "Mask", "Message", "Method", "Mix", "Module", "Options", "Pair", "PairOptions", "Pairs", "Parallel", "Part", "Plan",
    "Policy", "Pool", "Preference", "Prompt", "Reading", "RowFilter", "Sampling", "ScalingLaw", "Sft", "Solution", "Staged", "Steer",
    "SwitchOptions", "TASK", "Task", "Term", "UserError", "Where", "align_words", "allocate", "answer_prompts", "ask", "ask_translation",
    "build_completions", "build_constrained", "build_revisions", "build_translations", "collect_wordings", "comes_to", "compare_choices",
    "describe", "describe_query", "fill", "find", "find_fault", "find_flaw", "find_foreign", "find_method", "find_misalignment",
    "find_pair_fault", "find_terms", "find_words", "fit_ridge", "fit_static", "has_language", "index_by_english", "is_repetitive",
    "judge_task", "keep_distinct", "list_experts", "list_pairs", "list_prompts", "list_reasons", "load", "make_pairs", "make_twins",
    "measure_overlap", "measure_rouge_l", "names", "orient", "pair_texts", "read_experts", "read_final_answers", "read_instructions",
    "read_lexicon", "read_pairs", "read_prompt_pairs", "read_prompts", "read_tasks", "read_translations", "request_language",
    "request_tasks", "require_batch", "sample_solutions", "shuffle_rows", "solve_problems", "split_budget", "split_stages", "switch_words",
    "take", "translate_instructions", "translate_prompts", "turn_lexicon",
]  # fmt: skip
