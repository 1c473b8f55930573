"""A frozen base that reads a prompt through a frozen encoder too: the encoder's states, projected, stand before the prompt (MindMerger)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from transformers import AutoModel

from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.types import Likelihood
from xlift.harness.engines.base import Pair
from xlift.harness.engines.batches import cut_batches
from xlift.harness.engines.scoring import read_off
from xlift.harness.models.encoders import load_tokenizer, resolve
from xlift.harness.models.module import Module

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Line:
    """Tokens of a prompt and of what is read behind it."""

    prompt: Sequence[int]
    rest: Sequence[int] = ()
    reads_prompt: bool = True
    """False: what the encoder makes of the prompt stands in its place."""


class Merger(nn.Module):  # type: ignore[misc]  # torch is untyped
    """Its own weights, those that are trained and stored, are the projection's and the boundary; base and encoder are none of them."""

    def __init__(
        self, module: Module, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, weights: Mapping[str, Tensor] | None = None
    ) -> None:
        """With ``weights`` as they were trained; else as before training, by torch's random numbers, with a boundary of zeros."""
        super().__init__()
        found = resolve(module)
        assert found is not None  # as it is fetched
        self.module, self.tokenizer, self.reader = module, tokenizer, load_tokenizer(module, found)
        self.reader.truncation_side = "left"
        # In a tuple, so that their weights are neither trained, nor moved or stored with the others.
        self._frozen = (base.requires_grad_(False).eval(), _load_encoder(module, found.folder, base.dtype).to(base.device))
        source, target = found.hidden, base.get_input_embeddings().embedding_dim
        middle = round(module.inner * source)
        maps = [nn.Linear(source, middle), nn.ReLU(), nn.Linear(middle, target)] if middle else [nn.Linear(source, target)]
        self.projection = nn.Sequential(*maps)
        self.boundary = nn.Parameter(torch.zeros(target))
        if weights is not None:
            self._take(weights)
        self.to(base.device)

    @property
    def base(self) -> PreTrainedModel:
        return self._frozen[0]

    def embed(self, lines: Sequence[Line], side: Literal["left", "right"]) -> tuple[Tensor, Tensor]:
        """What the base reads of each line, (lines, width, hidden), padded with zeros on a side, and the mask."""
        table = self.base.get_input_embeddings()
        parts = []
        for line, read in zip(lines, self._read(lines), strict=True):
            head = 1 if self._begins_a_text(line.prompt) else 0
            prompt = line.prompt[head:] if line.reads_prompt else ()
            first, last = (
                table(torch.tensor(list(tokens), dtype=torch.long, device=self.base.device))
                for tokens in (line.prompt[:head], [*prompt, *line.rest])
            )
            parts.append(torch.cat([first, read.to(first.dtype), self.boundary[None].to(first.dtype), last]))
        width = max(map(len, parts))
        rows, masks = [], []
        for part in parts:
            before, after = (width - len(part), 0) if side == "left" else (0, width - len(part))
            rows.append(nn.functional.pad(part, (0, 0, before, after)))
            masks.append(nn.functional.pad(torch.ones(len(part), dtype=torch.long, device=part.device), (before, after)))
        return torch.stack(rows), torch.stack(masks)

    def describe(self, prompt: Sequence[int]) -> str:
        """What the encoder reads of a prompt."""
        return str(self.tokenizer.decode(prompt, skip_special_tokens=True)).strip()

    def _read(self, lines: Sequence[Line]) -> list[Tensor]:
        """The projected states of each line's prompt, (tokens, hidden of the base)."""
        texts = [self.describe(line.prompt) for line in lines]
        batch = self.reader(texts, padding=True, padding_side="right", truncation=True, max_length=self.module.tokens, return_tensors="pt")
        batch = batch.to(self.base.device)
        with torch.no_grad():
            states = self._frozen[1](input_ids=batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state.float()
        if self.module.zeroed:
            states = torch.zeros_like(states)
        return [row[:count] for row, count in zip(self.projection(states), batch.attention_mask.sum(dim=1).tolist(), strict=True)]

    def _begins_a_text(self, prompt: Sequence[int]) -> bool:
        """Whether a prompt begins with BOS, and with no mark of turns that comes again."""
        return len(prompt) > 0 and prompt[0] == self.tokenizer.bos_token_id and prompt[0] not in prompt[1:]

    def _take(self, weights: Mapping[str, Tensor]) -> None:
        own = {name: tuple(tensor.shape) for name, tensor in self.state_dict().items()}
        given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
        if own != given:
            wrong = next(name for name in sorted({*own, *given}) if own.get(name) != given.get(name))
            raise UserError(f"module.safetensors: {wrong} is {given.get(wrong)}, and {own.get(wrong)} is wanted for {self.module.encoder}")
        self.load_state_dict(dict(weights))


def score_merged(merger: Merger, pairs: Sequence[Pair], batch_tokens: int) -> Iterator[dict[int, Likelihood]]:
    """The likelihoods of pairs by their places, each pair read by itself."""
    widths = [len(prompt) + len(answer) + merger.module.positions for prompt, answer in pairs]
    for batch in cut_batches(widths, batch_tokens):
        some = [pairs[place] for place in batch]
        embeds, mask = merger.embed([Line(prompt, answer[:-1], merger.module.reads_prompt) for prompt, answer in some], "right")
        logits = merger.base(inputs_embeds=embeds, attention_mask=mask, use_cache=False).logits
        found = {}
        for row, (place, (_, answer)) in enumerate(zip(batch, some, strict=True)):
            end = int(mask[row].sum())
            found[place] = read_off(logits[row, end - len(answer) : end].float(), answer)
        yield found


def _load_encoder(module: Module, folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    try:
        model = AutoModel.from_pretrained(folder, use_safetensors=True, dtype=dtype)
    except (OSError, ValueError) as error:
        raise UserError(f"{module.title}: transformers does not load it: {one_line(error)}") from error
    found: PreTrainedModel = model.get_encoder() if model.config.is_encoder_decoder else model
    return found.requires_grad_(False).eval()
