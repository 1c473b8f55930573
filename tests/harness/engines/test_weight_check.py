"""Whether a backend computes with the weights that it was given."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from xlift.harness.core.errors import UserError
from xlift.harness.engines.weight_check import require_same, score_text
from xlift.harness.models.bases import Base, has_experts


def test_each_token_is_scored_after_those_before_it(tiny: Base) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny.folder, dtype=torch.float32)
    tokens = [5, 9, 200, 31]
    found = score_text(model, tokens)
    with torch.no_grad():
        for place in range(1, 4):
            logits = model(torch.tensor([tokens[:place]])).logits[0, -1]
            assert found[place - 1] == pytest.approx(float(logits.log_softmax(-1)[tokens[place]]), abs=1e-4)


def test_a_token_of_many_may_differ_and_most_may_not() -> None:
    wanted = [-1.0, -2.0, -3.0]
    require_same([-1.01, -2.02, -9.0], wanted, 0.05, "them")
    for found, shift in (([-1.0, -2.5, -3.3], "0.3"), ([-1.0, math.nan, math.nan], "nan")):
        with pytest.raises(UserError) as caught:
            require_same(found, wanted, 0.05, "them")
        assert str(caught.value) == (
            f"vllm computes wrongly with them: log-probabilities are off by {shift} nats in the median, where 0.05 is allowed; "
            "set engine.backend: hf"
        )


def test_experts_are_seen_in_the_configuration(tiny: Base, make_base: Any) -> None:
    from xlift.harness.config.suite import BaseSettings
    from xlift.harness.models.bases import resolve

    folder: Path = make_base(hidden=64, experts=4)
    assert has_experts(resolve(BaseSettings(model=str(folder)))) and not has_experts(tiny)
