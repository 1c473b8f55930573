"""Adapters that are kept on the way of a training."""

import hashlib
import json
from pathlib import Path

import pytest

from xlift.harness.config.suite import TrainSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Example, ask
from xlift.harness.models.adapters import resolve
from xlift.harness.plugin import Plan
from xlift.harness.training.batching import Corpus, Course, Encoded
from xlift.harness.training.points import place_points
from xlift.harness.training.report import FitReport
from xlift.harness.training.trainer import fit

PROVENANCE = {"method": "test", "base": {"name": "org/tiny", "sha256": "0" * 64}}


def course_of(*tokens: int) -> Course:
    """One row a step, of so many tokens each."""
    rows = tuple(Encoded(f"r{number}", "test", (1,) * count, 1) for number, count in enumerate(tokens))
    return Course(Corpus(rows, 0, 0), tuple((((number,),),) for number in range(len(tokens))), (len(tokens),))


def test_a_point_is_the_first_step_that_reaches_its_share() -> None:
    """Of 100 tokens, 10 in each step, a quarter is reached with the third step, which has 30."""
    points = place_points(course_of(*[10] * 10), (0.1, 0.25, 0.5))
    assert [(point.share, point.step, point.tokens_trained) for point in points] == [(0.1, 1, 10), (0.25, 3, 30), (0.5, 5, 50)]
    assert [point.folder for point in points] == ["points/0.1", "points/0.25", "points/0.5"]


def test_shares_of_one_step_are_one_point_and_the_last_step_is_none() -> None:
    assert [point.share for point in place_points(course_of(10, 10, 80), (0.05, 0.08, 0.2, 0.5, 0.9))] == [0.05, 0.2]


def train(base: Path, stage: Path, measure_at: tuple[float, ...]) -> FitReport:
    lora = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "lora_dropout": 0.1}
    settings = TrainSettings(batch_tokens=256, micro_batch_tokens=256, max_length=96, lora=lora, measure_at=measure_at)
    rows = tuple(Example(ask("say it again"), f"word {number} " * 8, "en", f"r{number}", "test") for number in range(30))
    return fit(base, Plan(rows), settings, stage / "adapter", seed=0, provenance=PROVENANCE)


def test_points_leave_the_adapter_as_it_is(tiny_base: Path, tmp_path: Path) -> None:
    plain, curved = train(tiny_base, tmp_path / "plain", ()), train(tiny_base, tmp_path / "curved", (0.25, 0.5))
    whole, other, *kept = (
        hashlib.sha256((tmp_path / place / "adapter_model.safetensors").read_bytes()).hexdigest()
        for place in ("plain/adapter", "curved/adapter", "curved/points/0.25", "curved/points/0.5")
    )
    assert whole == other and len({whole, *kept}) == 3
    assert plain.points == () and [point.share for point in curved.points] == [0.25, 0.5]
    assert sorted(path.name for path in (tmp_path / "curved" / "points" / "0.25").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "xlift.json",
    ]  # fmt: skip
    card = json.loads((tmp_path / "curved" / "points" / "0.5" / "xlift.json").read_text())
    assert card["fit"]["tokens_trained"] == curved.points[1].tokens_trained and card["method"] == "test"
    assert resolve(tmp_path / "curved" / "points" / "0.5").peft_type == "LORA"


def test_settings_without_points_have_the_identity_they_had() -> None:
    assert "measure_at" not in TrainSettings().identity()
    assert TrainSettings(measure_at=(0.5, 0.25, 1.0)).identity()["measure_at"] == [0.25, 0.5]
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        TrainSettings(measure_at=(1.5,))


def test_a_share_below_one_step_of_a_training_by_epochs_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train.measure_at: 0.001 of the budget is less than the first of \d+ steps"):
        train(tiny_base, tmp_path, (0.001, 0.5))
