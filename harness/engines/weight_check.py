"""Whether vLLM computes with the weights that it was given: the log-probabilities of one text, token by token.

A load that goes wrong raises no error. The weights of experts stayed in another order than that in which their kernel reads them, and the
answers of all models but the first were wrong (docs/architecture.md, patches).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from xlift.harness.core.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TEXT = "The capital of France is Paris. Seven times six is forty-two, and water freezes at zero degrees; bees make honey."
RELOADED = 0.05
"""The most nats by which a text may differ from itself before and after a load of the same weights. No difference was seen on a CPU."""
ROUNDED = {"float32": 0.05}
"""The most nats by which vLLM may differ from transformers. 0.00002 was seen in float32."""
HALF = 0.5
"""The same in half precision. 0.1 was seen in bfloat16, and 2.4 when experts were in the wrong order."""


class WrongWeightsError(UserError):
    """vLLM does not compute with the weights that it was given."""


def score_text(model: PreTrainedModel, tokens: Sequence[int]) -> list[float]:
    """The log-probability that a transformers model gives to each token of a text after the first."""
    import torch

    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([tokens], device=model.device), use_cache=False).logits[0, :-1]
        scores = logits.float().log_softmax(-1)
    found: list[float] = scores[range(len(tokens) - 1), tokens[1:]].tolist()
    return found


def require_same(found: Sequence[float], wanted: Sequence[float], limit: float, what: str) -> None:
    """Raise WrongWeightsError, which names ``what`` was loaded, if log-probabilities differ by more than ``limit`` nats.

    The difference is the median over the tokens, because rounding sometimes sends a token of a mixture of experts to another expert.
    """
    shift = median(abs(one - other) for one, other in zip(found, wanted, strict=True))
    if not shift <= limit:  # nor where it is no number
        raise WrongWeightsError(
            f"vllm computes wrongly with {what}: log-probabilities are off by {shift:.2g} nats in the median, where {limit:g} is allowed; "
            "set engine.backend: hf"
        )
