"""What the trainings of several parts come to."""

import pytest

from xlift.harness.training.report import FitReport, join_reports


def report(steps: int, tokens: int, rows: int, loss: float, **changes: object) -> FitReport:
    values: dict[str, object] = {
        "steps": steps, "trained_parameters": 7, "tokens_trained": tokens, "response_tokens": tokens // 2, "epochs": 1.0,
        "padding_share": 0.02,
        "rows": rows, "rows_cut": 1, "rows_dropped": 0, "seconds": 2.5, "peak_memory_mib": 10, "device": "cpu", "arithmetic": "float32",
        "final_loss": loss, "curve": ((steps, tokens, loss),), "reward_margin": None, "reward_accuracy": None, "resumed_from_step": None,
    }  # fmt: skip
    return FitReport.model_validate({**values, **changes})


def test_parts_add_up() -> None:
    joined = join_reports([report(3, 100, 10, 2.0), report(5, 300, 30, 1.0, epochs=3.0, peak_memory_mib=25)])
    assert (joined.steps, joined.tokens_trained, joined.response_tokens, joined.rows, joined.rows_cut) == (8, 400, 200, 40, 2)
    assert (joined.trained_parameters, joined.seconds, joined.peak_memory_mib, joined.parts) == (14, 5.0, 25, 2)
    assert joined.epochs == 2.5, "10 rows once and 30 three times"
    assert joined.final_loss == pytest.approx(1.25), "by tokens: 2 for a quarter, 1 for the rest"
    assert joined.curve == ((3, 100, 2.0), (8, 400, 1.0))
