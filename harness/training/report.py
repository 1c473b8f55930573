"""What one training was and what it cost, as it stands in the fit stage's manifest and beside the adapter."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ConfigDict, Field

from xlift.harness.core.settings import Section


class CurvePoint(Section):
    """An adapter that was kept before its training ended, in the folder ``points/SHARE`` beside the finished one."""

    share: float
    """Share of the budget, as ``train.measure_at`` names it."""
    step: int
    tokens_trained: int

    @property
    def folder(self) -> str:
        """Below the folder of the fit stage."""
        return f"points/{self.share:g}"


class FitReport(Section):
    """What one training was and what it cost."""

    model_config = ConfigDict(extra="ignore")

    steps: int
    trained_parameters: int | None = None
    """Weights that were trained: LoRA's own. None in a report of before they were counted."""
    tokens_trained: int
    """Without padding."""
    response_tokens: int
    """Tokens of the answers, which carry loss; for preferences, those of both answers."""
    epochs: float
    """Rows gone through, as a multiple of the rows there are."""
    padding_share: float
    rows: int
    rows_cut: int
    """Rows that lost an end to ``max_length``."""
    rows_dropped: int
    """Rows whose prompt alone fills ``max_length``, and pairs that it makes equal."""
    seconds: float
    """Once the model is loaded; work that a kill threw away is not counted."""
    peak_memory_mib: int
    """Of the GPU where there is one, else of the process; of several the largest."""
    device: str
    processes: int = 1
    """That shared the training; each on a device like this."""
    arithmetic: str
    """What matrix products were computed in: bfloat16 or float32."""
    products: str = "torch"
    """The library that computed them: torch (its own choice, MKL on most CPUs), onednn or cuda."""
    final_loss: float
    """Mean over the last tenth of the steps."""
    curve: tuple[tuple[int, int, float], ...]
    """Step, tokens trained, and mean loss since the point before; at most 100 points of each part."""
    reward_margin: float | None
    """Dpo: mean of beta x (log-ratio of chosen - log-ratio of rejected) over the pairs of the last tenth of the steps."""
    reward_accuracy: float | None
    """Dpo: share of those pairs whose margin is above 0."""
    terms: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """Align and Gap: of each part of the loss, weighted, the mean over the first tenth of its steps and over the last."""
    resumed_from_step: int | None
    points: tuple[CurvePoint, ...] = ()
    """Adapters that were kept on the way."""

    parts: int = 1
    """Trainings that this is the sum of, each of an adapter of its own."""

    def followed_by(self, later: FitReport) -> FitReport:
        """The cost of two rounds of training: sums, the larger peak, and of all else what the later round says."""
        summed = {
            "steps": self.steps + later.steps,
            "tokens_trained": self.tokens_trained + later.tokens_trained,
            "response_tokens": self.response_tokens + later.response_tokens,
            "epochs": round(self.epochs + later.epochs, 4),
            "rows": self.rows + later.rows,
            "seconds": round(self.seconds + later.seconds, 4),
        }
        return later.model_copy(update={**summed, "peak_memory_mib": max(self.peak_memory_mib, later.peak_memory_mib)})


def join_reports(reports: Sequence[FitReport]) -> FitReport:
    """What the trainings of the parts of one adapter were together, one after the other: sums, and means by rows or tokens."""
    rows, tokens = sum(one.rows for one in reports), sum(one.tokens_trained for one in reports)
    curve: list[tuple[int, int, float]] = []
    steps = before = 0
    for one in reports:
        curve += [(steps + step, before + trained, loss) for step, trained, loss in one.curve]
        steps, before = steps + one.steps, before + one.tokens_trained
    summed = ("response_tokens", "rows_cut", "rows_dropped")
    return reports[-1].model_copy(
        update={
            "steps": steps,
            "tokens_trained": tokens,
            "rows": rows,
            **{name: sum(getattr(one, name) for one in reports) for name in summed},
            "trained_parameters": sum(one.trained_parameters or 0 for one in reports),
            "epochs": round(sum(one.epochs * one.rows for one in reports) / rows, 4),
            "padding_share": round(sum(one.padding_share * one.tokens_trained for one in reports) / tokens, 4),
            "seconds": round(sum(one.seconds for one in reports), 4),
            "peak_memory_mib": max(one.peak_memory_mib for one in reports),
            "final_loss": round(sum(one.final_loss * one.tokens_trained for one in reports) / tokens, 5),
            "curve": tuple(curve),
            "parts": len(reports),
        }
    )
