"""What an entry in the table of benchmarks says: its metrics, its forms in languages, and its tasks by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from xlift.harness.core.languages import find
from xlift.tasks.corpus_table import CORPORA
from xlift.tasks.wording import Languages, Wording


@dataclass(frozen=True)
class Metric:
    """A score of a task. A metric that is not in ``METRICS`` comes from another maker: it is a share between 0 and 1, and more is
    better."""

    name: str
    most: float | None = 1.0
    """The highest value that the metric can have; None if there is no bound. The lowest value is 0."""
    higher_is_better: bool | None = True
    """Whether more is better; None if neither direction is."""
    per_document: str | None = None
    """For a metric of the whole corpus: the score of one document that replaces it in paired tests."""
    whole: bool = False
    """Whether the scorer's function of this name, without ``AS_WRITTEN``, computes the metric over all documents at once. Otherwise it is a
    mean."""
    share: bool = False
    """Whether each document has or lacks the property, so that the metric is a share of the documents."""
    partial: bool = False
    """Whether some documents have no value, such as those whose language cannot be told. The metric is then over the others."""
    group: Literal["answers", "likelihood"] = "answers"
    """``answers`` for points of what a model answers, ``likelihood`` for bits of what it finds likely. The two are never averaged with each
    other."""

    @property
    def lower_is_better(self) -> bool:
        return self.higher_is_better is False

    @property
    def scale(self) -> float:
        """The factor that turns a value into points of 100; 1 if there is no bound."""
        return 100.0 / self.most if self.most else 1.0


AS_WRITTEN = "_as_written"
"""The ending of a score that takes every answer as it is. The score without this ending counts an answer in a wrong language as worth
nothing."""

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
    """Tasks that ask for the same thing in several languages. They are one group of lm-eval, whose scores are means over the languages."""

    name: str
    """The part of a group's name, and of the names of its tasks, that follows the benchmark's name; may be empty."""
    languages: tuple[Languages, ...]
    tokens: tuple[int, int] | None
    """The most tokens of an answer in scripts that tokenisers made for English know, and in other scripts. None if no answer is
    generated."""
    title: str = ""
    """What follows the benchmark's title on pages for people; may be empty."""
    shown: str = ""
    """The template of the answer in the examples of a prompt, if it is not the target."""


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: the tasks of one folder below ``tasks/``, which share a template."""

    name: str
    """The name of the folder. With ``xlift_`` before it, the names of the tasks begin with it."""
    title: str
    """The name for people."""
    dataset: str
    """The place where it is published: a repository of the hub, or of GitHub if the hub has none."""
    corpus: str
    """A key of ``corpus_table.CORPORA``."""
    split: str
    """The split of the corpus."""
    forms: tuple[Form, ...]
    ask: Wording
    scorer: str | None
    """The module of xlift.tasks that scores it; None if lm-eval's own score of likelihoods is used."""
    metrics: tuple[str, ...]
    """Keys of METRICS, in the order of the task files."""
    headline: str | None
    """The metric that tables show for the benchmark; None if there is none."""
    target: str = ""
    """lm-eval's ``doc_to_target``: a column or a template, which may give the place of the right answer. It is empty if all answers are
    right."""
    choices: tuple[str, ...] = ()
    """The answers of which the likeliest is taken, if all items have the same answers."""
    answers: str = ""
    """A function of ``golds`` that lists the answers of an item whose likelihoods are taken."""
    labels: str = ""
    """The key of prompts.yaml whose labels are the answers. A benchmark with generated answers has neither labels nor answers nor
    choices."""
    shots: str = ""
    """The split of the corpus that gives examples for prompts; None if the corpus has only the split that is asked."""
    parallel: bool = False
    """Whether the documents are the same in all languages, under the same numbers."""
    answered_in: int = 0
    """The position of the answer's language among the languages of a task."""
    flores_codes: bool = False
    """Whether names and data use FLORES codes. Otherwise they use short codes."""
    any_pair: bool = False
    """Whether a task for two languages without a file can be made on demand."""
    judged: bool = False
    """Whether a judge is asked about the answers, within lm-eval."""
    references: tuple[str, ...] = ()
    """The splits of the corpus with published answers, against which ``xlift judge`` compares a model's answers."""
    process: str = "process_results"
    """lm-eval's ``process_results``: the name of a function of the scorer."""
    version: float = 1.0
    """Raise it when a prompt, a budget or a score changes, because numbers of two versions are not comparable."""
    hub_tasks: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The hub's own id of each task, by the task's name, for ``.eval_results``. As of November 2026 the hub lists no benchmark of ours."""

    @property
    def prefix(self) -> str:
        """The beginning of the names of its tasks."""
        return f"xlift_{self.name}"

    @property
    def generated(self) -> bool:
        """Whether the model writes an answer. Otherwise the likelihoods of given answers are taken."""
        return not (self.choices or self.answers or self.labels)

    @property
    def group(self) -> str:
        """The group of its headline metric; empty if it has none."""
        return METRICS[self.headline].group if self.headline else ""

    @property
    def languages(self) -> tuple[str, ...]:
        """Short codes of all its languages, in the order of the forms."""
        return tuple(dict.fromkeys(code for form in self.forms for codes in form.languages for code in codes))

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All its tasks that have a file."""
        return tuple(Task(self, form, languages) for form in self.forms for languages in form.languages)


@dataclass(frozen=True)
class Task:
    """One task of a benchmark, as its name says."""

    benchmark: Benchmark
    form: Form
    """For two languages without a file it is the first form of the benchmark, whose budget they share."""
    languages: Languages

    @property
    def name(self) -> str:
        form = self.form.name if len(self.languages) == 1 else ""
        return "_".join(part for part in (self.benchmark.prefix, form, *self.codes) if part)

    @property
    def codes(self) -> list[str]:
        """The task's languages, as its name and its data write them."""
        return [find(code).flores if self.benchmark.flores_codes else code for code in self.languages]

    @property
    def source(self) -> tuple[str, str, str]:
        """The corpus, language and split of its data."""
        return self.benchmark.corpus, "-".join(self.codes), self.benchmark.split

    @property
    def answer_language(self) -> str:
        """The short code of the language in which an answer is expected."""
        return self.languages[self.benchmark.answered_in]

    def place(self, pivot: str) -> tuple[str, str] | None:
        """The leaderboard's benchmark and language of this task; None for two languages of which neither is the pivot.

        A pair with the pivot counts for its other language, and each direction is a benchmark of its own.
        """
        if len(self.languages) == 1:
            return "_".join(part for part in (self.benchmark.prefix, self.form.name) if part), self.languages[0]
        first, second = self.languages
        if first == pivot:
            return f"{self.benchmark.prefix}_from_{pivot}", second
        return (f"{self.benchmark.prefix}_to_{pivot}", first) if second == pivot else None


def singles(corpus: str) -> tuple[Languages, ...]:
    """One task language for each language of a corpus."""
    return tuple((code,) for code in CORPORA[corpus].languages)


def pair_with_english(corpus: str, place: int) -> tuple[Languages, ...]:
    """English with each other language of a corpus. English is at position ``place`` of the two."""
    others = (code for code in CORPORA[corpus].languages if code != "en")
    return tuple(("en", code) if place == 0 else (code, "en") for code in others)
