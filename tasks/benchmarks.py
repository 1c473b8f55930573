"""The table of benchmarks: everything that is known of each. docs/add-a-benchmark.md shows how to add one.

The task files, the leaderboard, the cards, the judge and the reports read this table. None of them knows a benchmark by name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import cache
from itertools import permutations

from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.languages import find, languages
from xlift.tasks import wording
from xlift.tasks.corpus_table import CORPORA
from xlift.tasks.entries import AS_WRITTEN, METRICS, Benchmark, Form, Metric, Task, pair_with_english, singles
from xlift.tasks.likelihood_table import LIKELIHOOD

_LANGUAGE = ("off_target", "on_target", "language_unknown")
_SPANS = ("exact_match", "f1", "containment", "official_em", "official_f1", *_LANGUAGE, "thinking_cut")
_ANSWERS = (*_LANGUAGE, "characters", "empty", "thinking_cut")
_CONFUSION = ("line_pass_rate", "word_pass_rate", *_LANGUAGE, "empty", "thinking_cut")
_TRANSLATION = ("chrf", "spbleu", "corpus_chrf", "corpus_spbleu")
_CONFUSION_TOKENS = (100, 400)  # 100 as in the paper
_SPAN_TOKENS, _SENTENCE_TOKENS, _TEXT_TOKENS = (64, 256), (256, 1024), (512, 1024)
"""The most new tokens of an answer, in scripts that tokenisers know well and in the others. SmolLM2's tokeniser, which was made for
English, needs at most 149 tokens for a FLORES dev sentence in German and 358 in Korean, but 587 in Bengali and 835 in Telugu. For an XQuAD
answer it needs 61 in German and 257 in Thai."""

_TABLE = (
    Benchmark(
        name="mgsm",
        title="MGSM",
        dataset="juletxara/mgsm",
        corpus="mgsm",
        split="test",
        shots="exemplars",
        forms=(
            Form("direct", singles("mgsm"), (32, 32)),
            Form("cot", singles("mgsm"), _TEXT_TOKENS, "step by step", shown="{{cot_answer}}"),
        ),
        ask=wording.ask_number,
        target="answer",
        scorer="numbers",
        metrics=("accuracy", "extraction_failure", *_LANGUAGE, "thinking_cut"),
        headline="accuracy",
        version=3.0,
        parallel=True,
    ),
    Benchmark(  # easier than MGSM: one or two steps
        name="msvamp",
        title="MSVAMP",
        dataset="Mathoctopus/MSVAMP",
        corpus="msvamp",
        split="test",
        forms=(Form("direct", singles("msvamp"), (32, 32)), Form("cot", singles("msvamp"), _TEXT_TOKENS, "step by step")),
        ask=wording.ask_number,
        target="answer",
        scorer="numbers",
        metrics=("accuracy", "extraction_failure", *_LANGUAGE, "thinking_cut"),
        headline="accuracy",
        parallel=True,
    ),
    Benchmark(
        name="xquad",
        title="XQuAD",
        dataset="google/xquad",
        corpus="xquad",
        split="test",
        forms=(Form("", singles("xquad"), _SPAN_TOKENS),),
        ask=wording.ask_span,
        target="{{answers.text[0]}}",
        scorer="spans",
        metrics=_SPANS,
        headline="f1",
        version=3.0,
        parallel=True,
    ),
    Benchmark(  # a part of its documents is in each language
        name="mlqa",
        title="MLQA",
        dataset="facebook/mlqa",
        corpus="mlqa",
        split="dev",
        forms=(
            Form("", singles("mlqa"), _SPAN_TOKENS),
            Form("cross", tuple(permutations(CORPORA["mlqa"].languages, 2)), _SPAN_TOKENS),  # context and question
        ),
        ask=wording.ask_span,
        target="{{answers.text[0]}}",
        scorer="spans",
        process="process_mlqa_results",
        metrics=_SPANS,
        headline="f1",
        version=3.0,
    ),
    Benchmark(
        name="flores",
        title="FLORES-200",
        dataset="mteb/flores",
        corpus="flores",
        split="devtest",
        shots="dev",
        forms=(
            Form("from_eng", pair_with_english("flores", 0), _SENTENCE_TOKENS),
            Form("to_eng", pair_with_english("flores", 1), _SENTENCE_TOKENS),
        ),
        ask=wording.ask_translation,
        target="target",
        scorer="translation",
        process="score_line",
        metrics=(*_TRANSLATION, *(f"{name}{AS_WRITTEN}" for name in _TRANSLATION), *_LANGUAGE, "chatter", "empty", "thinking_cut"),
        headline="corpus_chrf",
        version=3.0,
        parallel=True,
        answered_in=1,
        flores_codes=True,
        any_pair=True,
    ),
    Benchmark(
        name="x_alpaca_eval",
        title="X-AlpacaEval",
        dataset="zhihz0535/X-AlpacaEval",
        corpus="x_alpaca_eval",
        split="instructions",
        forms=(Form("", singles("x_alpaca_eval"), _TEXT_TOKENS),),
        ask=wording.ask_instruction,
        scorer="language_id",
        metrics=_ANSWERS,
        headline="off_target",
        version=3.0,
        parallel=True,
        references=CORPORA["x_alpaca_eval"].splits[1:],
    ),
    Benchmark(
        name="judged_x_alpaca_eval",
        title="X-AlpacaEval, judged",
        dataset="zhihz0535/X-AlpacaEval",
        corpus="x_alpaca_eval",
        split="instructions",
        forms=(Form("", singles("x_alpaca_eval"), _TEXT_TOKENS),),
        ask=wording.ask_instruction,
        scorer="verdicts",
        metrics=(*_ANSWERS, "win_rate", "length_controlled", "win_rate_as_written", "flips", "judge_errors"),
        headline=None,
        version=3.0,
        parallel=True,
        judged=True,
    ),
    Benchmark(
        name="belebele_generated",
        title="Belebele, generated",
        dataset="facebook/belebele",
        corpus="belebele",
        split="test",
        forms=(Form("", singles("belebele"), (32, 128)),),
        ask=wording.ask_choice,
        target="answer",
        scorer="choices",
        version=2.0,
        metrics=("accuracy", "extraction_failure", *_LANGUAGE, "thinking_cut"),
        headline="accuracy",
        parallel=True,
    ),
    Benchmark(
        name="language_confusion_monolingual",
        title="Language Confusion, monolingual",
        dataset="for-ai/language-confusion",
        corpus="language_confusion",
        split="monolingual",
        forms=(Form("", singles("language_confusion"), _CONFUSION_TOKENS),),
        ask=wording.ask_instruction,
        scorer="confusion",
        version=2.0,
        metrics=_CONFUSION,
        headline="line_pass_rate",
    ),
    Benchmark(
        name="language_confusion_crosslingual",
        title="Language Confusion, crosslingual",
        dataset="for-ai/language-confusion",
        corpus="language_confusion",
        split="crosslingual",
        forms=(Form("", tuple(one for one in singles("language_confusion") if one != ("en",)), _CONFUSION_TOKENS),),
        ask=wording.ask_english_instruction,
        scorer="confusion",
        version=2.0,
        metrics=_CONFUSION,
        headline="line_pass_rate",
        parallel=True,
    ),
)
BENCHMARKS = {benchmark.name: benchmark for benchmark in (*_TABLE, *LIKELIHOOD)}


def find_benchmark(name: str) -> Benchmark | None:
    """The benchmark of a task, of a group, or of one of the leaderboard's benchmarks; None if it is not xlift's."""
    head, found = name.removeprefix("xlift_"), None
    while name.startswith("xlift_") and head and found is None:  # the longest name first: xlift_mgsm_bpb_de is not MGSM's
        found, head = BENCHMARKS.get(head), head.rpartition("_")[0]
    return found


def find_task(name: str) -> Task | None:
    """The task of a name, which may be a pair without a file; None if it is not a task of xlift's."""
    return _with_file().get(name) or _read_pair(name)


def make_pair(benchmark: Benchmark, first: str, second: str) -> Task:
    """The task of any two languages, given by short or FLORES codes. Raises UserError for unknown codes, and if both languages are the
    same."""
    languages = find(first).code, find(second).code
    for code in languages:
        if code not in benchmark.languages:
            raise UserError(f"{benchmark.title} has no {code!r}{name_nearest(code, benchmark.languages)}")
    if languages[0] == languages[1]:
        raise UserError(f"a translation task needs two languages, not {languages[0]!r} twice")
    return Task(benchmark, benchmark.forms[0], languages)


def place(task: str, pivot: str) -> tuple[str, str]:
    """The leaderboard's benchmark and language of a task. A task that has no such place is a benchmark of its own, in no language ("")."""
    found = find_task(task)
    return (found and found.place(pivot)) or (task, "")


def name_place(name: str) -> str:
    """The name of one of the leaderboard's benchmarks, for people."""
    benchmark = find_benchmark(name)
    if benchmark is None:
        return name
    rest = name.removeprefix(benchmark.prefix).removeprefix("_")
    for form in benchmark.forms:
        if form.name == rest:
            return ", ".join(part for part in (benchmark.title, form.title) if part)
    way, _, pivot = rest.partition("_")
    if way in ("from", "to") and pivot in languages():
        return f"{benchmark.title} {way} {find(pivot).name}"
    return name.removeprefix("xlift_")


def find_metric(name: str) -> Metric:
    """What is known of a metric. Its name may end in a slash and lm-eval's filter: ``win_rate/judge``."""
    plain = name.partition("/")[0]
    return METRICS.get(plain) or Metric(plain)


def headline(name: str) -> str | None:
    """The metric that a table shows for a task or a benchmark; None if it is not xlift's, or has no such metric."""
    found = find_benchmark(name)
    return found.headline if found else None


def per_document(name: str) -> str | None:
    """The metric whose score per document is used in tests of a task or a benchmark: for a headline over the whole corpus, the same score
    of one sentence."""
    shown = headline(name)
    return shown and (find_metric(shown).per_document or shown)


def is_ranked(name: str) -> bool:
    """Whether a task or a benchmark says how good answers are. A rate of answers in another language does not."""
    return headline(name) not in (None, "off_target")


def choose_averaged(names: Iterable[str], foreign: Collection[str] = ()) -> list[str]:
    """Of several benchmarks, those over which one average or rank is taken: the benchmarks of answers, or those of likelihood if there are
    no others.

    ``foreign`` are the benchmarks of other makers whose score has an upper bound. They count as answers.
    """
    ranked = [name for name in names if name in foreign or is_ranked(name)]
    answers = [name for name in ranked if name in foreign or measured_group(name) == "answers"]
    return answers or ranked


def measured_group(name: str) -> str:
    """``answers`` or ``likelihood``, after the headline of a task or a benchmark; empty if it has no headline."""
    found = find_benchmark(name)
    return found.group if found else ""


def is_parallel(name: str) -> bool:
    """Whether the documents of a task or a benchmark are the same in all languages, under the same number."""
    found = find_benchmark(name)
    return found is not None and found.parallel


def has_articles(name: str) -> bool:
    """Whether the documents of a task or a benchmark are sentences of articles, which are no independent draws."""
    found = find_benchmark(name)
    return found is not None and CORPORA[found.corpus].listings is not None


def split_pair(name: str) -> tuple[Benchmark, str, str] | None:
    """The benchmark and the two codes in the name of a pair of languages, whether the languages are known or not; None for other names."""
    benchmark = find_benchmark(name)
    if benchmark is None or not benchmark.any_pair:
        return None
    code = "([a-z]{3}_[A-Z][a-z]{3})"
    match = re.fullmatch(f"{benchmark.prefix}_{code}_{code}", name)
    return (benchmark, match[1], match[2]) if match else None


@cache
def _with_file() -> dict[str, Task]:
    return {task.name: task for benchmark in BENCHMARKS.values() for task in benchmark.tasks}


@cache
def _read_pair(name: str) -> Task | None:
    found = split_pair(name)
    try:
        return make_pair(*found) if found else None
    except UserError:
        return None
