"""A model's states on texts, what happens inside it, and how likely it finds answers, remembered on disk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.hashing import digest
from xlift.harness.core.paths import write_whole
from xlift.harness.core.types import Chat, Json
from xlift.harness.models.tokens import tokenize_pairs, tokenize_text
from xlift.harness.recipes.contract import place_layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xlift.harness.engines.hf import HfEngine
    from xlift.harness.models.steering import Steer

logger = logging.getLogger(__name__)

Compute = Callable[["HfEngine", Sequence[Sequence[int]]], "dict[str, NDArray[Any]]"]
"""Computes arrays by name, from a loaded model and the tokens of the texts."""

TOKENS = "tokens"
"""The key in each file, beside what was read, of the number of tokens of the texts."""
VERSION = 1
"""The version of how states and likelihoods are read. Raise it with every change that alters them."""


@dataclass(frozen=True)
class States:
    """The states of one model, in one folder. ``start`` returns it as a transformers model, and is called for states that are not there."""

    folder: Path
    model: Mapping[str, Json]
    """Everything that can change a state, except the text: base, template, adapter, engine settings."""
    start: Callable[[], HfEngine]

    def read(self, texts: Sequence[str | Chat], layers: Sequence[int | float], pool: str) -> tuple[NDArray[Any], int]:
        """The states (texts, layers, hidden) in float32, and the number of tokens of the texts.

        Raises UserError for a layer that the base does not have, a chat that its template refuses, and a text that is too long for it.
        """
        from xlift.harness.engines.states import read_states

        def compute(engine: HfEngine, tokens: Sequence[Sequence[int]]) -> dict[str, NDArray[Any]]:
            depth = engine.model.config.get_text_config().num_hidden_layers
            placed = [place_layer(layer, depth) for layer in layers]
            return {"states": read_states(engine.model, tokens, placed, pool, engine.settings.batch_tokens).numpy()}

        found, tokens = self._remember(texts, {"layers": list(layers), "pool": pool}, compute)
        return found["states"], tokens

    def read_norms(self, texts: Sequence[str]) -> tuple[dict[str, NDArray[Any]], int]:
        """The norms of inputs of linear modules by their names, as ``Context.read_norms`` describes, and the number of tokens of the
        texts."""
        from xlift.harness.engines.activity import read_norms

        def compute(engine: HfEngine, tokens: Sequence[Sequence[int]]) -> dict[str, NDArray[Any]]:
            return {name: found.numpy() for name, found in read_norms(engine.model, tokens, engine.settings.batch_tokens).items()}

        return self._remember(texts, {"what": "norms"}, compute)

    def read_activity(self, texts: Sequence[str]) -> tuple[NDArray[Any], int]:
        """How often neurons are active, as ``Context.read_activity`` describes, and the number of tokens of the texts."""
        from xlift.harness.engines.activity import read_activity

        def compute(engine: HfEngine, tokens: Sequence[Sequence[int]]) -> dict[str, NDArray[Any]]:
            return {"activity": read_activity(engine.model, tokens, engine.settings.batch_tokens).numpy()}

        found, tokens = self._remember(texts, {"what": "activity"}, compute)
        return found["activity"], tokens

    def _remember(self, texts: Sequence[str | Chat], how: Mapping[str, Json], compute: Compute) -> tuple[dict[str, NDArray[Any]], int]:
        """What the model shows on the texts, computed if no file has it, and the number of tokens of the texts."""
        import numpy as np
        from safetensors.numpy import save

        shown = [text if isinstance(text, str) else list(text) for text in texts]
        path = self.folder / f"{digest({'model': self.model, 'texts': shown, **how, 'version': VERSION}, 32)}.safetensors"
        found = _read_kept(path)
        if found is None:
            engine = self.start()
            tokens = self._tokenize(engine, texts)
            found = {**compute(engine, tokens), TOKENS: np.array([sum(map(len, tokens))])}
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, save(found))
        return {name: array for name, array in found.items() if name != TOKENS}, int(found[TOKENS][0])

    def score(
        self, chats: Sequence[Chat], answers: Sequence[str], steer: Steer | None, arrays: Mapping[str, NDArray[Any]], lang: str
    ) -> tuple[list[float], int]:
        """The mean log-probability of each answer's tokens after its chat, and the number of tokens of all chats and answers.

        With ``steer`` the model's states are moved as for answers in ``lang``. Raises UserError as the engine does.
        """
        import numpy as np
        from safetensors.numpy import save

        moved = {"steer": steer.model_dump(mode="json"), "array": sha256(arrays[lang].tobytes()).hexdigest(), "lang": lang} if steer else {}
        asked = [[list(chat), answer] for chat, answer in zip(chats, answers, strict=True)]
        path = self.folder / f"{digest({'model': self.model, 'scored': asked, **moved, 'version': VERSION}, 32)}.safetensors"
        found = _read_kept(path)
        if found is None:
            engine = self.start()
            pairs = [(engine.render(chat), answer) for chat, answer in zip(chats, answers, strict=True)]
            with engine.try_steering(steer, arrays, lang) if steer else nullcontext():
                means = [one.nats / one.tokens for one in engine.score(pairs)]
            tokens = sum(len(pair.prompt) + len(pair.rest) for pair in tokenize_pairs(engine.tokenizer, pairs))
            found = {"means": np.array(means), TOKENS: np.array([tokens])}
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, save(found))
        return found["means"].tolist(), int(found[TOKENS][0])

    def _tokenize(self, engine: HfEngine, texts: Sequence[str | Chat]) -> list[list[int]]:
        from jinja2 import TemplateError

        try:
            tokens = [tokenize_text(engine.tokenizer, text) for text in texts]
        except TemplateError as error:
            raise UserError(f"the chat template of {engine.base.name} refuses a text whose states are read: {one_line(error)}") from None
        if (longest := max(map(len, tokens))) > engine.max_length:
            raise UserError(f"a text whose states are read has {longest} tokens: engine.max_length is {engine.max_length}; raise it")
        return tokens


def _read_kept(path: Path) -> dict[str, NDArray[Any]] | None:
    """The content of a file; None if there is no file, or if it is damaged, which causes a warning."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found: dict[str, NDArray[Any]] = load(path.read_bytes())
        if len(found[TOKENS]) == 1:
            return found
    except FileNotFoundError:
        return None
    except (SafetensorError, KeyError):
        pass
    logger.warning("%s: cannot be read; the states in it are read from the model anew", path)
    return None
