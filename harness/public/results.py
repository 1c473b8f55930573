"""What was measured, as tables: the models of one or several run folders side by side."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.evaluation.records import Measurement, Record, read_records

if TYPE_CHECKING:
    import pandas as pd

    from xlift.harness.config.judge import JudgeSettings
    from xlift.harness.config.suite import Suite
    from xlift.harness.judging.judgement import Judgement
    from xlift.leaderboard.analysis.curves import Kept
    from xlift.leaderboard.loading.scores import Documents

Mark = Literal["wrong", "flipped", "off-target", "thinking-cut"]


@dataclass(frozen=True, repr=False)
class Results:
    """The measured models of some run folders, the newest measurement of each."""

    folders: tuple[Path, ...]
    measurements: tuple[Measurement, ...]
    """The measurement of each model, with its record, its folder and its time. The base of a suite comes before its methods."""
    points: tuple[Measurement, ...] = ()
    """Measurements of adapters that were kept before their training ended."""
    left_out: tuple[str, ...] = ()
    """A line for each older measurement that is also in the folders."""

    def __repr__(self) -> str:
        models, tasks = len(self.records), len({task for record in self.records for task in record.tasks})
        counts = f"{models} model{'s' * (models != 1)}, {tasks} task{'s' * (tasks != 1)}"
        return f"Results({counts}, of {', '.join(map(str, self.folders))})"

    @property
    def records(self) -> list[Record]:
        """The record of each model, in the order of ``measurements``."""
        return [one.record for one in self.measurements]

    @property
    def scores(self) -> pd.DataFrame:
        """One row for each model and task, with the task's headline metric and ``off_target``: suite, model, task, metric,
        higher_is_better, value, stderr, lift, percent, items, items_of, data, comparability.

        ``value``, ``stderr`` and ``lift`` are in the metric's own unit: most are between 0 and 1, chrF and BLEU are out of 100. ``lift`` is
        the value minus the base's, turned so that more is better. It is missing for the base, and if two results may not be compared.
        """
        from xlift.leaderboard.analysis.tables import tabulate_scores

        return tabulate_scores(self.records)

    @property
    def costs(self) -> pd.DataFrame:
        """One row for each model: what training and measuring it took, with seconds, tokens, and MiB of memory at the peak."""
        from xlift.leaderboard.analysis.tables import tabulate_costs

        return tabulate_costs(self.records)

    @property
    def win_rates(self) -> pd.DataFrame:
        """One row for each judge's setting, model and task, over the answers that were judged. Shares are between 0 and 1.

        Only rows of one ``setting`` may be compared: a judge, its mode and prompt, and the opponent. Raises UserError for a file of
        judgements that is damaged.
        """
        from xlift.leaderboard.analysis.tables import tabulate_win_rates
        from xlift.leaderboard.loading.win_rates import read_win_rates

        return tabulate_win_rates(read_win_rates(self.measurements))

    @property
    def folder(self) -> Path:
        """The run folder. Raises UserError if there are several."""
        if len(self.folders) > 1:
            raise UserError(f"{', '.join(map(str, self.folders))}: this takes one run; load its folder alone")
        return self.folders[0]

    def lifts(self, by: Literal["benchmark", "task"] = "benchmark", over: str = "base") -> pd.DataFrame:
        """Method minus base with a 95 % interval, one row for each suite, method, benchmark, metric and kind, or for each task.

        ``kind`` is ``lift`` on the trained languages, ``retention`` on the pivot and ``transfer`` on the others; each is an average over
        ``languages`` with equal weights. ``value``, ``low`` and ``high`` are in the metric's own unit, turned so that more is better.
        ``significant`` follows ``p_corrected``, which is corrected by Holm over the rows that may be compared with each other. ``reason``
        says why a difference is not significant although its interval leaves out 0, and ``one_seed`` is true for intervals of one training.

        The numbers are missing if the two results may not be compared. Interval and test are missing with fewer than 40 documents whose
        scores are not 0 or 1. ``note`` says why. Tests are paired by document; docs/statistics.md describes them. A task whose samples are
        gone or damaged takes no part (``lost`` names it).

        ``over`` is the label that the methods are compared with, such as a control, in place of the base. Raises UserError if no model has
        it, and if no model has scores by document.
        """
        from xlift.leaderboard.analysis import comparisons

        _check_choice(by)
        self._check_label(over)
        tabulate = comparisons.tabulate_tasks if by == "task" else comparisons.tabulate_lifts
        return tabulate(self._documents, over)

    def ranks(self, by: Literal["benchmark", "task"] = "benchmark") -> pd.DataFrame:
        """Models, including the base, ranked on each benchmark by their average over its languages, or on each task.

        Models that cannot be told apart share a rank and are named in ``tied``. A model with one seed is told apart from none. Only results
        that may be compared are in one ranking. A model without a rank, for example because scores of some documents are lost, has a
        ``note``. Raises UserError as ``lifts`` does.
        """
        from xlift.leaderboard.analysis.rankings import find_lost, tabulate_ranks

        _check_choice(by)
        lost = find_lost((record, documents) for record, (documents, _) in zip(self.records, self._read, strict=True))
        return tabulate_ranks(self._documents, average=by == "benchmark", lost=lost)

    def overview(self, over: str = "base") -> dict[str, pd.DataFrame]:
        """For people: the lifts of each suite as text, one row for each method and one column for each benchmark and kind of languages.

        A cell is ``+0.077 [+0.057, +0.099]*``, in points or bits per byte. Empty if no model has scores by document. ``over`` is as in
        ``lifts``.
        """
        from xlift.leaderboard.analysis.overview import spread_lifts

        self._check_label(over)
        return spread_lifts(self._documents, over) if self._documents else {}

    def _check_label(self, over: str) -> None:
        labels = dict.fromkeys(record.label for record in self.records)
        if over != "base" and over not in labels:
            raise UserError(f"no measured model is called {over!r}{name_nearest(over, labels)}")

    def conclude(self) -> list[str]:
        """One sentence for each suite: the best supported method, by how much and how surely; or that no method can be told apart from the
        base, and how many items would be needed.

        Raises UserError as ``lifts`` does.
        """
        from xlift.leaderboard.analysis.conclusion import conclude

        return conclude(self._documents)

    def signal(self, difference: float = 1.0, bits: float = 0.01) -> pd.DataFrame:
        """Which measures can tell the methods apart: one row for each suite, task and metric, with signal, noise between seeds and between
        the last points of a training, signal over each, reliability, pairs told apart, and the items and seeds that a difference needs at
        80 % power.

        ``difference`` is in points of 100; ``bits`` is the difference for bits per byte. A measure ``at_floor`` orders methods by chance.
        docs/signal.md explains each column. Raises UserError as ``lifts`` does.
        """
        from xlift.leaderboard.analysis import curves, signal

        late = curves.measure_late_noise(self._kept) if self.points else {}
        return signal.tabulate_signal(signal.gather(self._documents), late, difference=difference, bits=bits)

    def agreement(self) -> pd.DataFrame:
        """How well each likelihood measure's lifts predict those of each measure of answers, over the methods: Spearman's correlation with
        a 95 % interval. Empty with fewer than four methods. Raises UserError as ``lifts`` does."""
        from xlift.leaderboard.analysis import signal

        return signal.tabulate_agreement(signal.gather(self._documents))

    def curves(self) -> pd.DataFrame:
        """Lift against tokens, if ``train.measure_at`` kept adapters on the way: one row for each suite, method, benchmark, metric, kind
        and share of the budget (1 is the end), with tokens_trained, tokens_generated, value, low, high and p.

        Raises UserError as ``lifts`` does.
        """
        from xlift.leaderboard.analysis.curves import tabulate_curves

        return tabulate_curves(self._kept)

    def order(self) -> pd.DataFrame:
        """How early the methods are in the order in which they end, if ``train.measure_at`` kept adapters on the way: one row for each
        suite, benchmark, metric, kind and share of the budget, with ``kept``, the share of pairs of methods that are then in the order of
        the end, and ``methods``. Raises UserError as ``lifts`` does."""
        from xlift.leaderboard.analysis.curves import tabulate_order

        return tabulate_order(self.curves())

    def consistency(self) -> pd.DataFrame:
        """RankC of each pair of languages in which BMLAMA was measured: how similar the rankings of the same candidates are, 0 to 1.

        One row for each suite, method and pair, with a 95 % interval over facts and seeds, the RankC of two random rankings (``chance``),
        and the ``lift`` over the base on the same facts. It is empty if no two languages were measured, and for a published record, which
        keeps no likelihoods. Raises UserError for samples that are damaged.
        """
        from xlift.leaderboard.analysis.consistency import tabulate_consistency

        return tabulate_consistency(self.measurements)

    def policies(self) -> pd.DataFrame:
        """Choices among profiles (``query_policy``) on each task: ``value``, the ``best_single`` profile with its value, and the
        ``oracle``, the best profile of each item. Both look at the benchmark's answers, and are bounds.

        Empty where no choice was measured beside single profiles of the same method.
        """
        from xlift.leaderboard.analysis.policies import tabulate_policies

        return tabulate_policies((record, documents) for record, (documents, _) in zip(self.records, self._read, strict=True))

    def compare_paper(self, suite: Suite) -> pd.DataFrame:
        """What the paper of a suite reports (its ``expected``) beside what was measured: columns model, task, language, metric, judge,
        paper, ours, difference with its 95 % interval low and high, paper_lift, our_lift with lift_low and lift_high, agrees, source and
        differs, which says what differs between the two. Values are in the metric's own unit.

        Raises UserError if the suite expects nothing, and as ``lifts`` does.
        """
        from xlift.harness.config.suite import load_suite, shipped_suites
        from xlift.leaderboard.analysis.papers import Found, compare_paper
        from xlift.leaderboard.loading.scores import collect_scores
        from xlift.leaderboard.loading.win_rates import read_win_rates

        if not suite.expected:
            able = [name for name in shipped_suites() if load_suite(name).expected]
            raise UserError(f"{suite.name}: this suite has no expected scores; of those that ship, these have: {', '.join(able)}")
        wanted = {(one.task_in(language), one.metric) for one in suite.expected for language in one.languages}
        documents = collect_scores(self.measurements, wanted)
        return compare_paper(suite.expected, Found(self.records, documents, read_win_rates(self.measurements)))

    @property
    def lost(self) -> list[str]:
        """A line for each model's task without scores by document, for example because its samples are gone. It takes no part in
        comparisons. Another line for each model with points of its curve that are gone.
        """
        from xlift.leaderboard.loading.runs import list_lost_points, read_fits

        models, read = (*self.measurements, *self.points), (*self._read, *self._read_points)
        fits = {folder: read_fits(folder) for folder in {one.stage.parent for one in self.measurements if one.record.seed is not None}}
        trained = [(one, fits.get(one.stage.parent, {}).get(str((one.record.adapter or {}).get("sha256")))) for one in self.measurements]
        notes = [f"{one.record.name}: {note}" for one, (_, notes) in zip(models, read, strict=True) for note in notes]
        return [*notes, *list_lost_points(trained, self.points)]

    @cached_property
    def _read(self) -> list[tuple[tuple[Documents, ...], list[str]]]:
        """Each measurement's scores by document, and what is missing of them."""
        from xlift.leaderboard.loading.runs import read_scores

        return [read_scores(one.record, one.stage) for one in self.measurements]

    @cached_property
    def _read_points(self) -> list[tuple[tuple[Documents, ...], list[str]]]:
        """The same of the points of curves."""
        from xlift.leaderboard.loading.runs import read_scores

        return [read_scores(one.record, one.stage) for one in self.points]

    @property
    def _documents(self) -> list[Documents]:
        found = [one for documents, _ in self._read for one in documents]
        if not found and self.lost:
            raise UserError(f"no scores by document: {self.lost[0]}; evaluate it again")
        return found

    @cached_property
    def _kept(self) -> list[Kept]:
        from xlift.leaderboard.analysis.curves import Kept

        models, read = (*self.measurements, *self.points), (*self._read, *self._read_points)
        return [Kept(one.record, documents) for one, (documents, _) in zip(models, read, strict=True)]

    def samples(self, task: str, *, model: str | None = None, diff: str | None = None, marks: Collection[Mark] = ()) -> pd.DataFrame:
        """The documents of a task as a model answered them: columns id, prompt, reference, answer, extracted, marks, and each metric.

        ``model`` is ``LABEL`` or ``LABEL-seedN``; without it, it is the first method. ``diff`` names another model, such as ``base``, whose
        answer, extraction and scores are in columns that begin with ``diff_``. ``marks`` keeps the documents that have all of these labels:
        ``wrong`` (below 50 points), ``flipped`` (right in only one of the two models), ``off-target`` (an answer in another language), and
        ``thinking-cut`` (the thinking had not ended when its tokens were used up).

        Raises UserError for a name that does not exist, samples that are gone, and two models that may not be compared.
        """
        from xlift.leaderboard.loading.select_samples import select, tabulate_samples

        return tabulate_samples(select(self.folder, task, model, diff, marks))

    def fidelity(self) -> pd.DataFrame:
        """The language and script of the answers, one row for each model and task: lang, the one asked for, items, and shares of answers
        between 0 and 1, such as off_target, mixed, refusal, empty and repeated.

        Raises UserError for samples that are gone or damaged.
        """
        import pandas as pd

        from xlift.harness.diagnostics.fidelity import report

        return pd.DataFrame(report(self.folders))

    def judge(self, judge: str, **settings: Any) -> Judgement:
        """Have a judge compare X-AlpacaEval answers with others. ``rows`` of the result are the win rates by model and language.

        ``judge`` is an address up to ``/v1``, ``engine:MODEL`` or ``lm:TYPE,ARGUMENTS``; there is no default. ``settings`` are the further
        keys of a suite's judge block: ``model``, its name at the address; ``mode``, weighted or verdict; ``against``, a model of the run or
        published answers; ``calibrate``, and limits of pace and cost. Replies are kept in the folder ``judges`` beside the first run, so
        that the same call continues where it failed. From then on ``win_rates`` has the outcome, and so do the site and the report.

        Raises UserError for a wrong setting and if nothing can be judged, and ServiceError, which is a UserError too, if the judge fails.
        """
        from xlift.harness.judging.judgement import judge as ask

        return ask(read_judge(judge, settings), self.folders, self.folders[0].absolute().parent / "judges")

    def look_back(self) -> list[str]:
        """For adapters of the hub: lines that say which of their recorded scores are the same again, and by how much others differ.

        Raises UserError for a record on the hub that is damaged.
        """
        from xlift.harness.publishing.reproduction import look_back

        return look_back({record.label: str(record.adapter["name"]) for record in self.records if record.adapter}, self.records)

    def adapter(self, label: str, seed: int | None = None) -> Path:
        """The folder of a measured adapter. Raises UserError if there is none of this label and seed, and if it is gone."""
        from xlift.harness.evaluation.adapters import find_adapter

        labels = [record.label for record in self.records if record.adapter]
        found = [one for one in self.measurements if one.record.adapter and one.record.label == label and seed in (None, one.record.seed)]
        if not found:
            seeds = [str(record.seed) for record in self.records if record.label == label and record.adapter]
            why = f" with seed {seed}; it has {', '.join(seeds)}" if seeds else name_nearest(label, labels)
            raise UserError(f"no adapter {label!r} in these results{why}")
        if len(found) > 1:
            raise UserError(f"{label}: {len(found)} adapters; name one by its seed, and load its run alone")
        adapter = find_adapter(found[0])
        if adapter is None:
            raise UserError(f"{found[0].record.name}: its adapter is gone; run the suite again")
        return adapter.folder


def _check_choice(by: str) -> None:
    if by not in ("benchmark", "task"):
        raise UserError(f"by={by!r}{name_nearest(by, ('benchmark', 'task'))}")


def read_judge(judge: str, settings: Mapping[str, Any]) -> JudgeSettings:
    """The settings of a judge. Raises UserError for one that is wrong."""
    from xlift.harness.config.judge import JudgeSettings
    from xlift.harness.core.settings import build

    return build(JudgeSettings, {"judge": judge, **settings}, "judge")


def load_results(*folders: str | Path) -> Results:
    """The results of finished run folders, such as ``runs/demo``.

    Raises UserError for a folder that does not exist, holds no finished evaluation, or holds a record that is damaged.
    """
    if not folders:
        raise UserError("load_results: name at least one run folder, such as runs/demo")
    places = tuple(dict.fromkeys(Path(folder) for folder in folders))
    newest = read_records(places)
    return Results(places, newest.measurements, newest.points, newest.left_out)
