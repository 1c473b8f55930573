"""What a paper reports, as a suite says it and the comparison reads it."""

from __future__ import annotations

from xlift.harness.core.settings import Section


class PaperScores(Section):
    """What a paper reports of one model by one metric, to be set beside what is measured."""

    label: str
    """``base`` or the label of a method of the suite."""
    task: str
    """As in ``evaluate.tasks``, with ``{lang}`` or ``{flores}``."""
    metric: str
    values: dict[str, float]
    """By language, in the metric's own unit."""
    source: str
    """Paper and table, and what differs from what xlift measures."""
