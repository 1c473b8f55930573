"""What one training was and what it cost, as the fit stage's manifest and the adapter's folder hold it."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ConfigDict, Field

from xlift.harness.core.settings import Section


class CurvePoint(Section):
    """An adapter that was kept before its training ended, in the folder ``points/SHARE`` beside the finished one."""

    share: float
    """The share of the budget, as ``train.measure_at`` names it."""
    step: int
    tokens_trained: int

    @property
    def folder(self) -> str:
        """The place below the folder of the fit stage."""
        return f"points/{self.share:g}"


class FitReport(Section):
    """What one training was and what it cost."""

    model_config = ConfigDict(extra="ignore")

    steps: int
    trained_parameters: int | None = None
    """The number of weights that were trained: LoRA's own. None in a report from before they were counted."""
    tokens_trained: int
    """The number of trained tokens, without padding."""
    response_tokens: int
    """The number of tokens of the answers, on which the loss is; for preferences, of both answers."""
    epochs: float
    """How many times the rows were gone through."""
    padding_share: float
    rows: int
    rows_cut: int
    """The number of rows that lost an end to ``max_length``."""
    rows_dropped: int
    """The number of rows whose prompt alone fills ``max_length``, and of pairs that it makes equal."""
    seconds: float
    """The seconds after the model was loaded. Work that a kill destroyed is not counted."""
    peak_memory_mib: int
    """The peak memory of the GPU if there is one, else of the process; of several the largest."""
    device: str
    processes: int = 1
    """The number of processes that shared the training, each on a device like this one."""
    arithmetic: str
    """The arithmetic of matrix products: bfloat16 or float32."""
    products: str = "torch"
    """The library that computed them: torch (its own choice, MKL on most CPUs), onednn or cuda."""
    final_loss: float
    """The mean over the last tenth of the steps."""
    curve: tuple[tuple[int, int, float], ...]
    """Step, tokens trained, and the mean loss since the point before, with at most 100 points for each part."""
    reward_margin: float | None
    """For Dpo: the mean of beta x (log-ratio of chosen - log-ratio of rejected) over the pairs of the last tenth of the steps."""
    reward_accuracy: float | None
    """For Dpo: the share of those pairs whose margin is above 0."""
    terms: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """For Align and Gap: the mean of each weighted part of the loss over the first tenth of its steps, and over the last."""
    resumed_from_step: int | None
    points: tuple[CurvePoint, ...] = ()
    """The adapters that were kept during the training."""

    parts: int = 1
    """The trainings of which this is the sum, each of an adapter of its own."""

    def followed_by(self, later: FitReport) -> FitReport:
        """The cost of two rounds of training: sums, the larger peak, and for everything else the values of the later round."""
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
    """The trainings of the parts of one adapter together, one after the other: sums, and means weighted by rows or tokens."""
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
