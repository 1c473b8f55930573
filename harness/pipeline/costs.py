"""The cost of making an adapter, from the manifests of the stages that made it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from pathlib import Path

from pydantic import ConfigDict

from xlift.harness.core.errors import UserError
from xlift.harness.core.settings import Section, build
from xlift.harness.core.store import read_manifest
from xlift.harness.core.types import Json
from xlift.harness.training.report import CurvePoint, FitReport


class PrepareCost(Section):
    """The cost of the rows of one round, from the prepare stage's manifest."""

    model_config = ConfigDict(extra="ignore")

    rows: int
    seconds: float
    generated_tokens: int
    thinking_tokens: int = 0
    """The number of generated tokens that were thinking."""
    thinking_cut: int = 0
    """The number of answers whose thinking never ended. No row uses them."""
    tokens_read: int = 0
    """The number of tokens of texts whose states were read."""
    translated: dict[str, dict[str, int]]
    """The numbers of texts that were asked for and that failed, by pair and translator."""
    losses: dict[str, float]
    """The lost share of each part that lost more than 30 % of its rows."""

    def followed_by(self, later: PrepareCost) -> PrepareCost:
        """The cost of two rounds of rows: sums, and for translations and losses the values of the later round."""
        return PrepareCost(
            rows=self.rows + later.rows,
            seconds=round(self.seconds + later.seconds, 4),
            generated_tokens=self.generated_tokens + later.generated_tokens,
            thinking_tokens=self.thinking_tokens + later.thinking_tokens,
            thinking_cut=self.thinking_cut + later.thinking_cut,
            tokens_read=self.tokens_read + later.tokens_read,
            translated=later.translated,
            losses=later.losses,
        )


def sum_costs(stages: Iterable[Path], point: CurvePoint | None = None) -> dict[str, dict[str, Json]]:
    """``prepare`` and ``fit`` of the stages that made one model, over its rounds. ``fit`` is empty if nothing was trained.

    For an adapter that was kept at a ``point`` of the last training, ``fit`` has only steps and tokens up to there.

    Raises UserError if a stage is gone or its manifest lacks a cost.
    """
    prepares: list[PrepareCost] = []
    fits: list[FitReport] = []
    costs: dict[str, dict[str, Json]] = {}
    for folder in stages:
        manifest = read_manifest(folder)
        if manifest is None:
            raise UserError(f"{folder}: this stage, which made a model that is to be measured, is gone; run the suite again")
        costs[manifest["stage"]] = {}
        if manifest["stage"] == "prepare":
            prepares.append(build(PrepareCost, manifest, f"{folder}: manifest"))
        elif manifest["report"]:
            fits.append(build(FitReport, manifest["report"], f"{folder}: manifest: report"))
    if prepares:
        costs["prepare"] = reduce(PrepareCost.followed_by, prepares).model_dump(mode="json")
    if fits and point:
        before = fits[:-1]
        costs["fit"] = {
            "steps": point.step + sum(report.steps for report in before),
            "tokens_trained": point.tokens_trained + sum(report.tokens_trained for report in before),
        }
    elif fits:
        costs["fit"] = reduce(FitReport.followed_by, fits).model_dump(mode="json", exclude={"curve", "points"})
    return costs
