"""A model's states on texts, remembered on disk by model, texts, layers and pooling."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.hashing import digest
from xlift.harness.core.paths import write_whole
from xlift.harness.core.types import Chat, Json
from xlift.harness.models.tokens import tokenize_text
from xlift.harness.recipes.contract import place_layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xlift.harness.engines.hf import HfEngine

logger = logging.getLogger(__name__)

VERSION = 1
"""Of how states are read. Raise it with every change that moves them."""


@dataclass(frozen=True)
class States:
    """The states of one model, in one folder; ``start`` gives it as a transformers model, and is called for states that are not there."""

    folder: Path
    model: Mapping[str, Json]
    """All that can move a state besides the text: base, template, adapter, engine settings."""
    start: Callable[[], HfEngine]

    def read(self, texts: Sequence[str | Chat], layers: Sequence[int | float], pool: str) -> tuple[NDArray[Any], int]:
        """States (texts, layers, hidden) in float32, and the tokens of the texts.

        Raises UserError for a layer that the base does not have, a chat that its template refuses, and a text that is too long for it.
        """
        import numpy as np
        from safetensors.numpy import save

        shown = [text if isinstance(text, str) else list(text) for text in texts]
        key = digest({"model": self.model, "texts": shown, "layers": list(layers), "pool": pool, "version": VERSION}, 32)
        path = self.folder / f"{key}.safetensors"
        if kept := _read_kept(path):
            return kept
        states, tokens = self._compute(texts, layers, pool)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, save({"states": states, "tokens": np.array([tokens])}))
        return states, tokens

    def _compute(self, texts: Sequence[str | Chat], layers: Sequence[int | float], pool: str) -> tuple[NDArray[Any], int]:
        from jinja2 import TemplateError

        from xlift.harness.engines.states import read_states

        engine = self.start()
        depth = engine.model.config.get_text_config().num_hidden_layers
        try:
            tokens = [tokenize_text(engine.tokenizer, text) for text in texts]
        except TemplateError as error:
            raise UserError(f"the chat template of {engine.base.name} refuses a text whose states are read: {one_line(error)}") from None
        if (longest := max(map(len, tokens))) > engine.max_length:
            raise UserError(f"a text whose states are read has {longest} tokens: engine.max_length is {engine.max_length}; raise it")
        placed = [place_layer(layer, depth) for layer in layers]
        return read_states(engine.model, tokens, placed, pool, engine.settings.batch_tokens).numpy(), sum(map(len, tokens))


def _read_kept(path: Path) -> tuple[NDArray[Any], int] | None:
    """The states of a file and the tokens of their texts; None where there is no file, or a damaged one, which is warned of."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = load(path.read_bytes())
        return found["states"], int(found["tokens"][0])
    except FileNotFoundError:
        return None
    except (SafetensorError, KeyError, IndexError):
        logger.warning("%s: cannot be read; the states in it are read from the model anew", path)
        return None
