"""The benchmarks: all that is known of each, in one table. docs/add-a-benchmark.md shows how to add one.

The task files, the leaderboard, the cards, the judge and the reports read it; none of them knows a benchmark by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import permutations

from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.languages import find, languages
from xlift.tasks import wording
from xlift.tasks.corpus_table import ANSWERS, CORPORA
from xlift.tasks.wording import Languages, Wording


@dataclass(frozen=True)
class Metric:
    """A score of a task. One that is not in ``METRICS`` is another maker's: a share between 0 and 1, of which more is better."""

    name: str
    most: float | None = 1.0
    """The highest value that it can have; None where there is no bound. The lowest is 0."""
    higher_is_better: bool | None = True
    """None where neither is."""
    per_document: str | None = None
    """The score of one document that stands for this one, which is of all documents at once, in paired tests."""
    whole: bool = False
    """Whether it is computed over all documents at once, by the function of this name in the scorer; else it is a mean."""
    share: bool = False
    """Whether each document has or lacks it, so that it is a share of the documents."""

    @property
    def lower_is_better(self) -> bool:
        return self.higher_is_better is False

    @property
    def scale(self) -> float:
        """What a value is multiplied with to be in points of 100; 1 where there is no bound."""
        return 100.0 / self.most if self.most else 1.0


METRICS = {
    metric.name: metric
    for metric in (
        Metric("acc", share=True),
        Metric("accuracy", share=True),
        Metric("extraction_failure", higher_is_better=False, share=True),
        Metric("exact_match", share=True),
        Metric("f1"),
        Metric("containment", share=True),
        Metric("official_em", share=True),
        Metric("official_f1"),
        Metric("chrf", most=100.0),
        Metric("spbleu", most=100.0),
        Metric("corpus_chrf", most=100.0, whole=True, per_document="chrf"),
        Metric("corpus_spbleu", most=100.0, whole=True, per_document="spbleu"),
        Metric("chatter", higher_is_better=False, share=True),
        Metric("empty", higher_is_better=False, share=True),
        Metric("off_target", higher_is_better=False, share=True),
        Metric("language_unknown", higher_is_better=None, share=True),
        Metric("thinking_cut", higher_is_better=False, share=True),
        Metric("characters", most=None, higher_is_better=None),
        Metric("line_pass_rate", share=True),
        Metric("word_pass_rate", share=True),
        Metric("win_rate"),
        Metric("length_controlled", whole=True),
        Metric("flips", higher_is_better=False),
        Metric("judge_errors", higher_is_better=False),
    )
}


@dataclass(frozen=True)
class Form:
    """Tasks that ask for the same in several languages: one group of lm-eval's, whose scores are means over them."""

    name: str
    """What stands behind the benchmark's name in that of the group, and in those of tasks in one language; may be empty."""
    languages: tuple[Languages, ...]
    tokens: tuple[int, int] | None
    """Most tokens of an answer: in a script that tokenisers made for English know, and in another. None where no answer is generated."""
    title: str = ""
    """For people, behind the benchmark's title; may be empty."""


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: the tasks of one folder below ``tasks/``, which share a template."""

    name: str
    """The folder's name, and what the names of its tasks begin with, behind ``xlift_``."""
    title: str
    """For people."""
    dataset: str
    """Where it is published: a repository of the hub, or of GitHub where the hub has none."""
    corpus: str
    """Key of ``corpus_table.CORPORA``."""
    split: str
    """Of the corpus."""
    forms: tuple[Form, ...]
    ask: Wording
    scorer: str | None
    """Module of xlift.tasks that scores it; None where lm-eval's own score of likelihoods is taken."""
    metrics: tuple[str, ...]
    """Keys of METRICS, in the order of the task files."""
    headline: str | None
    """The metric that stands for the benchmark in tables; None where none does."""
    target: str = ""
    """lm-eval's ``doc_to_target``: a column or a template."""
    choices: tuple[str, ...] = ()
    """The answers of which the likeliest is taken; none where an answer is generated."""
    parallel: bool = False
    """Whether the documents are the same in all languages, under the same number."""
    answered_in: int = 0
    """Place of the answer's language among a task's languages."""
    flores_codes: bool = False
    """Whether names and data go by FLORES codes, else by short ones."""
    any_pair: bool = False
    """Whether a task for two languages that have no file can be made on demand."""
    judged: bool = False
    """Whether a judge is asked about the answers, within lm-eval."""
    references: tuple[str, ...] = ()
    """Splits of the corpus with published answers, which ``xlift judge`` sets a model's answers against."""
    process: str = "process_results"
    """lm-eval's ``process_results``: a function of the scorer."""
    version: float = 1.0
    """Raise it when a prompt, a budget or a score changes, since numbers of two versions do not compare."""
    hub_tasks: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The hub's own id of a task, by its name, for ``.eval_results``. As of November 2026 the hub lists no benchmark of ours."""

    @property
    def prefix(self) -> str:
        """What the names of its tasks begin with."""
        return f"xlift_{self.name}"

    @property
    def languages(self) -> tuple[str, ...]:
        """Short codes, in the order of the forms."""
        return tuple(dict.fromkeys(code for form in self.forms for codes in form.languages for code in codes))

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Those that have a file."""
        return tuple(Task(self, form, languages) for form in self.forms for languages in form.languages)


@dataclass(frozen=True)
class Task:
    """One task of a benchmark: what its name says."""

    benchmark: Benchmark
    form: Form
    """Of two languages without a file the first form of the benchmark, whose budget they share."""
    languages: Languages

    @property
    def name(self) -> str:
        form = self.form.name if len(self.languages) == 1 else ""
        return "_".join(part for part in (self.benchmark.prefix, form, *self.codes) if part)

    @property
    def codes(self) -> list[str]:
        """Its languages as its name and its data write them."""
        return [find(code).flores if self.benchmark.flores_codes else code for code in self.languages]

    @property
    def source(self) -> tuple[str, str, str]:
        """Corpus, language and split of its data."""
        return self.benchmark.corpus, "-".join(self.codes), self.benchmark.split

    @property
    def answer_language(self) -> str:
        """Short code of the language that an answer is expected in."""
        return self.languages[self.benchmark.answered_in]

    def place(self, pivot: str) -> tuple[str, str] | None:
        """The leaderboard's benchmark and language; None for two languages that are not the pivot.

        A pair with the pivot counts for its other language, each direction as a benchmark of its own.
        """
        if len(self.languages) == 1:
            return "_".join(part for part in (self.benchmark.prefix, self.form.name) if part), self.languages[0]
        first, second = self.languages
        if first == pivot:
            return f"{self.benchmark.prefix}_from_{pivot}", second
        return (f"{self.benchmark.prefix}_to_{pivot}", first) if second == pivot else None


def _singles(corpus: str) -> tuple[Languages, ...]:
    return tuple((code,) for code in CORPORA[corpus].languages)


def _with_english(corpus: str, place: int) -> tuple[Languages, ...]:
    """English with each other language, English at ``place`` of the two."""
    others = (code for code in CORPORA[corpus].languages if code != "en")
    return tuple(("en", code) if place == 0 else (code, "en") for code in others)


_SPANS = ("exact_match", "f1", "containment", "official_em", "official_f1", "off_target", "language_unknown", "thinking_cut")
_ANSWERS = ("off_target", "language_unknown", "characters", "empty", "thinking_cut")
_CONFUSION = ("line_pass_rate", "word_pass_rate", "off_target", "language_unknown", "empty", "thinking_cut")
_CONFUSION_TOKENS = (100, 400)  # 100 as in the paper
_SPAN_TOKENS, _SENTENCE_TOKENS, _TEXT_TOKENS = (64, 256), (256, 1024), (512, 1024)
"""SmolLM2's tokeniser, made for English, needs at most 149 for a FLORES dev sentence in German and 358 in Korean, but 587 in Bengali and
835 in Telugu; for an XQuAD answer 61 in German, 257 in Thai."""

_TABLE = (
    Benchmark(
        name="mgsm",
        title="MGSM",
        dataset="juletxara/mgsm",
        corpus="mgsm",
        split="test",
        forms=(Form("direct", _singles("mgsm"), (32, 32)), Form("cot", _singles("mgsm"), _TEXT_TOKENS, "step by step")),
        ask=wording.ask_number,
        target="answer",
        scorer="numbers",
        metrics=("accuracy", "extraction_failure", "off_target", "language_unknown", "thinking_cut"),
        headline="accuracy",
        version=2.0,
        parallel=True,
    ),
    Benchmark(
        name="xquad",
        title="XQuAD",
        dataset="google/xquad",
        corpus="xquad",
        split="test",
        forms=(Form("", _singles("xquad"), _SPAN_TOKENS),),
        ask=wording.ask_span,
        target="{{answers.text[0]}}",
        scorer="spans",
        metrics=_SPANS,
        headline="f1",
        version=2.0,
        parallel=True,
    ),
    Benchmark(  # a part of its documents is in each language
        name="mlqa",
        title="MLQA",
        dataset="facebook/mlqa",
        corpus="mlqa",
        split="dev",
        forms=(
            Form("", _singles("mlqa"), _SPAN_TOKENS),
            Form("cross", tuple(permutations(CORPORA["mlqa"].languages, 2)), _SPAN_TOKENS),  # context and question
        ),
        ask=wording.ask_span,
        target="{{answers.text[0]}}",
        scorer="spans",
        process="process_mlqa_results",
        metrics=_SPANS,
        headline="f1",
        version=2.0,
    ),
    Benchmark(
        name="flores",
        title="FLORES-200",
        dataset="mteb/flores",
        corpus="flores",
        split="devtest",
        forms=(
            Form("from_eng", _with_english("flores", 0), _SENTENCE_TOKENS),
            Form("to_eng", _with_english("flores", 1), _SENTENCE_TOKENS),
        ),
        ask=wording.ask_translation,
        target="target",
        scorer="translation",
        metrics=("chrf", "spbleu", "corpus_chrf", "corpus_spbleu", "off_target", "language_unknown", "chatter", "empty", "thinking_cut"),
        headline="corpus_chrf",
        version=2.0,
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
        forms=(Form("", _singles("x_alpaca_eval"), _TEXT_TOKENS),),
        ask=wording.ask_instruction,
        scorer="language_id",
        metrics=_ANSWERS,
        headline="off_target",
        version=2.0,
        parallel=True,
        references=CORPORA["x_alpaca_eval"].splits[1:],
    ),
    Benchmark(
        name="judged_x_alpaca_eval",
        title="X-AlpacaEval, judged",
        dataset="zhihz0535/X-AlpacaEval",
        corpus="x_alpaca_eval",
        split="instructions",
        forms=(Form("", _singles("x_alpaca_eval"), _TEXT_TOKENS),),
        ask=wording.ask_instruction,
        scorer="verdicts",
        metrics=(*_ANSWERS, "win_rate", "length_controlled", "flips", "judge_errors"),
        headline=None,
        version=2.0,
        parallel=True,
        judged=True,
    ),
    Benchmark(
        name="belebele_likelihood",
        title="Belebele, likelihood",
        dataset="facebook/belebele",
        corpus="belebele",
        split="test",
        forms=(Form("", _singles("belebele"), None),),
        ask=wording.ask_choice,
        target="answer",
        choices=ANSWERS,
        scorer=None,
        metrics=("acc",),
        headline="acc",
        parallel=True,
    ),
    Benchmark(
        name="belebele_generated",
        title="Belebele, generated",
        dataset="facebook/belebele",
        corpus="belebele",
        split="test",
        forms=(Form("", _singles("belebele"), (32, 128)),),
        ask=wording.ask_choice,
        target="answer",
        scorer="choices",
        metrics=("accuracy", "extraction_failure", "off_target", "language_unknown", "thinking_cut"),
        headline="accuracy",
        parallel=True,
    ),
    Benchmark(
        name="language_confusion_monolingual",
        title="Language Confusion, monolingual",
        dataset="for-ai/language-confusion",
        corpus="language_confusion",
        split="monolingual",
        forms=(Form("", _singles("language_confusion"), _CONFUSION_TOKENS),),
        ask=wording.ask_instruction,
        scorer="confusion",
        metrics=_CONFUSION,
        headline="line_pass_rate",
    ),
    Benchmark(
        name="language_confusion_crosslingual",
        title="Language Confusion, crosslingual",
        dataset="for-ai/language-confusion",
        corpus="language_confusion",
        split="crosslingual",
        forms=(Form("", tuple(one for one in _singles("language_confusion") if one != ("en",)), _CONFUSION_TOKENS),),
        ask=wording.ask_english_instruction,
        scorer="confusion",
        metrics=_CONFUSION,
        headline="line_pass_rate",
        parallel=True,
    ),
)
BENCHMARKS = {benchmark.name: benchmark for benchmark in _TABLE}


def find_benchmark(name: str) -> Benchmark | None:
    """The benchmark of a task, a group or one of the leaderboard's benchmarks; None for those that are not xlift's."""
    return next((one for one in BENCHMARKS.values() if name == one.prefix or name.startswith(f"{one.prefix}_")), None)


def find_task(name: str) -> Task | None:
    """The task of a name, also that of a pair without a file; None for what is not a task of xlift's."""
    return _with_file().get(name) or _read_pair(name)


def make_pair(benchmark: Benchmark, first: str, second: str) -> Task:
    """The task of any two languages, given by short or FLORES codes. Raises UserError for unknown ones, and where both are the same."""
    languages = find(first).code, find(second).code
    for code in languages:
        if code not in benchmark.languages:
            raise UserError(f"{benchmark.title} has no {code!r}{name_nearest(code, benchmark.languages)}")
    if languages[0] == languages[1]:
        raise UserError(f"a translation task needs two languages, not {languages[0]!r} twice")
    return Task(benchmark, benchmark.forms[0], languages)


def place(task: str, pivot: str) -> tuple[str, str]:
    """The leaderboard's benchmark and language of a task; one that has no such place is its own benchmark, in no language ("")."""
    found = find_task(task)
    return (found and found.place(pivot)) or (task, "")


def name_place(name: str) -> str:
    """One of the leaderboard's benchmarks, for people."""
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
    """What is known of a metric, which may have lm-eval's filter behind a stroke: ``win_rate/judge``."""
    plain = name.partition("/")[0]
    return METRICS.get(plain) or Metric(plain)


def headline(name: str) -> str | None:
    """The metric that a table shows of a task or a benchmark; None for those that are not xlift's, or have none."""
    found = find_benchmark(name)
    return found.headline if found else None


def per_document(name: str) -> str | None:
    """The metric whose per-document scores stand for a task or a benchmark in tests: the sentence-level one of a corpus-level headline."""
    shown = headline(name)
    return shown and (find_metric(shown).per_document or shown)


def is_ranked(name: str) -> bool:
    """Whether a task or a benchmark says how good answers are: a rate of answers in another language alone does not."""
    return headline(name) not in (None, "off_target")


def is_parallel(name: str) -> bool:
    """Whether the documents of a task or a benchmark are the same in all languages, under the same number."""
    found = find_benchmark(name)
    return found is not None and found.parallel


def split_pair(name: str) -> tuple[Benchmark, str, str] | None:
    """Benchmark and codes of the name of a pair of any two languages, known or not; None for other names."""
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
