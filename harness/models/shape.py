"""The sizes of a model from which memory and time are computed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xlift.harness.core.errors import UserError

if TYPE_CHECKING:
    from xlift.harness.models.bases import Base


@dataclass(frozen=True)
class Shape:
    """A decoder of equal layers with gated feed-forward parts, like Llama and most others."""

    hidden: int
    layers: int
    feed_forward: int
    queries: int
    """The width of all query heads together."""
    keys: int
    """The width of all key heads together."""
    vocabulary: int
    tied: bool
    """Whether the first and the last layer are the same."""

    @property
    def body(self) -> int:
        """The number of parameters of all layers, without embeddings and output layer."""
        attention = 2 * self.hidden * self.queries + 2 * self.hidden * self.keys
        return self.layers * (attention + 3 * self.hidden * self.feed_forward)

    @property
    def embeddings(self) -> int:
        """The number of parameters of embeddings and output layer."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """The number of all parameters except those of norms and biases, which are few."""
        return self.body + self.embeddings


def read_shape(base: Base) -> Shape | None:
    """The shape that ``config.json`` describes; None for a model of another architecture, or one that only a server holds."""
    try:
        whole = json.loads((base.folder / "config.json").read_text(encoding="utf-8"))
        found = whole.get("text_config", whole)
        heads = found["num_attention_heads"]
        width = found.get("head_dim") or found["hidden_size"] // heads
        return Shape(
            hidden=found["hidden_size"],
            layers=found["num_hidden_layers"],
            feed_forward=found["intermediate_size"],
            queries=heads * width,
            keys=(found.get("num_key_value_heads") or heads) * width,
            vocabulary=found["vocab_size"],
            tied=bool(found.get("tie_word_embeddings", whole.get("tie_word_embeddings", False))),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None


def place_layer(layer: int | float, depth: int) -> int:
    """The number of a state, from 0 to ``depth``, from the name that a plan gives it: a share of the depth, or its number, -1 for the last.
    Raises UserError for a state that the base does not have."""
    if 0 < layer < 1:
        return max(1, round(layer * depth))
    if int(layer) != layer or not -depth - 1 <= layer <= depth:
        raise UserError(f"layer {layer:g}: the base has states 0 to {depth}; -1 is the last one, and 0.5 the one at half the depth")
    return int(layer) % (depth + 1)
