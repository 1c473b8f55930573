"""What an entry of the table of benchmarks says: its metrics, its forms in languages, and its tasks by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from xlift.harness.core.languages import find
from xlift.tasks.corpus_table import CORPORA
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
    """Whether the scorer's function of this name, without ``AS_WRITTEN``, computes it over all documents at once; else it is a mean."""
    share: bool = False
    """Whether each document has or lacks it, so that it is a share of the documents."""
    partial: bool = False
    """Whether some documents have no value, such as those whose language cannot be told; it is over the others then."""
    group: Literal["answers", "likelihood"] = "answers"
    """Scores of two groups are never averaged with each other: points of what a model answers, and bits of what it finds likely."""

    @property
    def lower_is_better(self) -> bool:
        return self.higher_is_better is False

    @property
    def scale(self) -> float:
        """What a value is multiplied with to be in points of 100; 1 where there is no bound."""
        return 100.0 / self.most if self.most else 1.0


AS_WRITTEN = "_as_written"
"""Ends the name of a score that is taken of every answer, where the score without it counts one in a wrong language as worth nothing."""

METRICS = {
    metric.name: metric
    for metric in (
        Metric("bits_per_byte", most=None, higher_is_better=False, group="likelihood"),
        Metric("acc", share=True),
        Metric("acc_norm", share=True),
        Metric("margin", most=None, group="likelihood"),
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
        Metric("chrf_as_written", most=100.0),
        Metric("spbleu_as_written", most=100.0),
        Metric("corpus_chrf_as_written", most=100.0, whole=True, per_document="chrf_as_written"),
        Metric("corpus_spbleu_as_written", most=100.0, whole=True, per_document="spbleu_as_written"),
        Metric("chatter", higher_is_better=False, share=True),
        Metric("empty", higher_is_better=False, share=True),
        Metric("off_target", higher_is_better=False, share=True, partial=True),
        Metric("on_target", share=True),
        Metric("language_unknown", higher_is_better=None, share=True),
        Metric("thinking_cut", higher_is_better=False, share=True),
        Metric("characters", most=None, higher_is_better=None),
        Metric("line_pass_rate", share=True),
        Metric("word_pass_rate", share=True, partial=True),
        Metric("win_rate", partial=True),
        Metric("length_controlled", whole=True, partial=True),
        Metric("win_rate_as_written", partial=True),
        Metric("flips", higher_is_better=False, partial=True),
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
    shown: str = ""
    """Template of the answer in an example that a prompt shows, where that is not the target."""


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
    """lm-eval's ``doc_to_target``: a column or a template, which may give the right answer's place; empty where all are right."""
    choices: tuple[str, ...] = ()
    """The answers of which the likeliest is taken, where all items have the same."""
    answers: str = ""
    """Function of ``golds``: from an item to the answers whose likelihood is taken."""
    labels: str = ""
    """Key of prompts.yaml whose labels are the answers. Neither this nor answers nor choices where an answer is generated."""
    shots: str = ""
    """Split of the corpus that gives examples for prompts; none where there is no split but the one that is asked."""
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
    def generated(self) -> bool:
        """Whether the model writes an answer; else the likelihoods of given answers are taken."""
        return not (self.choices or self.answers or self.labels)

    @property
    def group(self) -> str:
        """That of its headline metric; empty where it has none."""
        return METRICS[self.headline].group if self.headline else ""

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


def singles(corpus: str) -> tuple[Languages, ...]:
    """Each language of a corpus by itself."""
    return tuple((code,) for code in CORPORA[corpus].languages)


def pair_with_english(corpus: str, place: int) -> tuple[Languages, ...]:
    """English with each other language of a corpus, English at ``place`` of the two."""
    others = (code for code in CORPORA[corpus].languages if code != "en")
    return tuple(("en", code) if place == 0 else (code, "en") for code in others)
