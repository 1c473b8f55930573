"""What was measured, as tables: the models of one or several run folders beside each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import Record, read_records

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Results:
    """The measured models of some run folders, the newest measurement of each."""

    folders: tuple[Path, ...]
    records: tuple[Record, ...]
    """One for each model; the base of a suite stands before its methods."""

    def __repr__(self) -> str:
        return f"Results of {', '.join(map(str, self.folders))}: {', '.join(record.name for record in self.records)}"

    @property
    def scores(self) -> pd.DataFrame:
        """One row for each model and task, with the task's headline metric and ``off_target``: suite, model, task, metric, value, stderr,
        lift, items, items_of, data, comparability.

        ``value``, ``stderr`` and ``lift`` are in the metric's own unit: most are between 0 and 1, chrF, BLEU and XQuAD's are out of 100.
        ``lift`` is the value minus the base's, turned so that more is better; it is missing for the base, and where two results may not be
        compared.
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
        """One row for each judge's setting, model and task, of the answers that were judged; shares are between 0 and 1.

        Only rows of one ``setting`` may stand beside each other: a judge, its mode and prompt, and the opponent. Raises UserError for a
        file of judgements that is damaged.
        """
        from xlift.leaderboard.analysis.tables import tabulate_win_rates
        from xlift.leaderboard.loading.win_rates import read_win_rates

        return tabulate_win_rates([rate for folder in self.folders for rate in read_win_rates(folder, self.records)])


def load_results(*folders: str | Path) -> Results:
    """The results of finished run folders, such as ``runs/demo``.

    Raises UserError for a folder that is not there, holds no finished evaluation, or holds a record that is damaged.
    """
    if not folders:
        raise UserError("load_results: name at least one run folder, such as runs/demo")
    places = tuple(dict.fromkeys(Path(folder) for folder in folders))
    return Results(places, tuple(read_records(places)))
