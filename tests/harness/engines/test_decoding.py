"""Requests that are answered together: the cache that grows in place, shared keys, and rows that take the place of finished ones."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from xlift.harness.core.types import Sampling
from xlift.harness.engines.decoding import ROOM, GrowingLayer, Request, Writer, make_cache, share_keys
from xlift.harness.engines.steering import Moves
from xlift.harness.models.bases import Base

NEVER = 10_000
"""A token that no model here has."""


@pytest.fixture(scope="module")
def model(tiny: Base) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(tiny.folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def sliding() -> PreTrainedModel:
    """A model of which the first layer sees eight tokens back, and the second all."""
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        sliding_window=8, layer_types=["sliding_attention", "full_attention"], initializer_range=0.3, max_position_embeddings=512,
    )  # fmt: skip
    return Gemma3ForCausalLM(config).eval()


def read_padded(rows: Sequence[Request]) -> tuple[dict[str, Tensor], Tensor]:
    longest = max(len(row.prompt) for row in rows)
    ids = torch.tensor([[0] * (longest - len(row.prompt)) + row.prompt for row in rows])
    mask = torch.tensor([[0] * (longest - len(row.prompt)) + [1] * len(row.prompt) for row in rows])
    return {"input_ids": ids}, mask


def make_requests(*lengths: tuple[int, int]) -> list[Request]:
    """Requests by the tokens of their prompt and the most of their answer."""
    return [
        Request([(7 * place + step) % 250 + 5 for step in range(prompt)], Sampling(most), 0) for place, (prompt, most) in enumerate(lengths)
    ]


@torch.inference_mode()  # type: ignore[untyped-decorator]
def write(model: PreTrainedModel, rows: Sequence[Request], tokens: int, end: int = NEVER) -> tuple[list[list[list[int]]], list[int]]:
    """The answers in the order in which they came, as groups, and how many requests began together each time."""
    begun: list[int] = []

    def read(some: Sequence[Request]) -> tuple[dict[str, Tensor], Tensor]:
        begun.append(len(some))
        return read_padded(some)

    with Moves(model, {}) as moves:
        writer = Writer(model, moves, read, lambda row: row.answer[-1] == end)
        groups = [[row.answer for row in done] for done in writer.write(rows, 0, tokens) if done]
    return groups, begun


@torch.inference_mode()  # type: ignore[untyped-decorator]
def generate(model: PreTrainedModel, row: Request) -> list[int]:
    out = model.generate(torch.tensor([row.prompt]), max_new_tokens=row.sampling.max_tokens, do_sample=False, eos_token_id=NEVER)
    found: list[int] = out[0, len(row.prompt) :].tolist()
    return found


def test_a_layer_that_grows_in_place_holds_what_one_of_transformers_holds() -> None:
    ours, theirs = GrowingLayer(), DynamicLayer()
    ours.room = ROOM
    for tokens in (3, *[1] * (ROOM + 2)):
        new = torch.randn(2, 1, tokens, 4), torch.randn(2, 1, tokens, 4)
        for one, other in zip(ours.update(*new), theirs.update(*new), strict=True):
            assert torch.equal(one, other)
    place = ours.keys.data_ptr()
    ours.update(torch.zeros(2, 1, 1, 4), torch.zeros(2, 1, 1, 4))
    assert ours.keys.data_ptr() == place, "the room of the second allocation holds it"


def test_texts_are_taken_and_joined_at_their_last_token() -> None:
    first, second = GrowingLayer(), GrowingLayer()
    first.update(torch.tensor([1.0, 2, 3, 4, 5, 6]).reshape(2, 1, 3, 1), torch.zeros(2, 1, 3, 1))
    second.update(torch.tensor([7.0, 8]).reshape(1, 1, 2, 1), torch.zeros(1, 1, 2, 1))
    first.take(torch.tensor([1]), 1)
    assert first.keys.flatten().tolist() == [5, 6]
    first.update(torch.tensor([[[[9.0]]]]), torch.zeros(1, 1, 1, 1))
    first.join(second)
    assert first.keys.squeeze().tolist() == [[5, 6, 9], [0, 7, 8]]


@pytest.mark.parametrize("masked", [True, False])
def test_shared_keys_attend_as_copied_ones(masked: bool) -> None:
    module: Any = torch.nn.Module()
    module.num_key_value_groups, module.is_causal = 3, True
    query, key, value = torch.randn(2, 6, 1, 8), torch.randn(2, 2, 5, 8), torch.randn(2, 2, 5, 8)
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]], dtype=torch.bool)[:, None, None] if masked else None
    expected, _ = sdpa_attention_forward(module, query, key, value, mask, scaling=0.3)
    with share_keys():
        found, _ = ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, mask, scaling=0.3)
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is sdpa_attention_forward
    assert found.shape == expected.shape == (2, 1, 6, 8)
    torch.testing.assert_close(found, expected)


def test_the_next_request_takes_the_place_of_a_finished_one(model: PreTrainedModel) -> None:
    rows = make_requests((20, 4), (4, 20), (6, 6), (3, 5), (2, 2))
    expected = [generate(model, row) for row in rows]
    groups, begun = write(model, rows, tokens=48)
    assert begun == [2, 1, 1, 1], "two of 24 tokens fit, and another one whenever a narrow one is done"
    assert [row.answer for row in rows] == expected
    assert [len(answer) for group in groups for answer in group] == [4, 6, 5, 2, 20]


def test_one_request_that_is_wider_than_a_batch_is_answered_alone(model: PreTrainedModel) -> None:
    rows = make_requests((20, 4), (4, 4))
    expected = [generate(model, row) for row in rows]
    _, begun = write(model, rows, tokens=8)
    assert begun == [1, 1] and [row.answer for row in rows] == expected


def test_layers_that_see_a_window_keep_their_own_cache_and_nothing_joins(sliding: PreTrainedModel) -> None:
    assert [type(layer) is GrowingLayer for layer in make_cache(sliding.config).layers] == [False, True]
    rows = make_requests((20, 6), (4, 20), (9, 9))
    expected = [generate(sliding, row) for row in rows]
    _, begun = write(sliding, rows, tokens=60)
    assert begun == [2, 1] and [row.answer for row in rows] == expected


def test_the_cache_is_one_of_transformers(model: PreTrainedModel) -> None:
    cache = make_cache(model.config)
    assert isinstance(cache, DynamicCache) and all(type(layer) is GrowingLayer for layer in cache.layers)
    assert all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers), "its own are as they were"


def test_layers_without_keys_go_on_with_the_texts_that_are_left() -> None:
    torch.manual_seed(0)
    config = Lfm2Config(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        layer_types=["conv", "full_attention"], initializer_range=0.3, max_position_embeddings=512,
    )  # fmt: skip
    mixed = Lfm2ForCausalLM(config).eval()
    rows = make_requests((20, 6), (20, 12), (9, 9))
    expected = [generate(mixed, row) for row in rows]
    _, begun = write(mixed, rows, tokens=64)
    assert begun == [2, 1] and [row.answer for row in rows] == expected


def test_nothing_joins_where_positions_depend_on_the_longest_text(tiny: Base) -> None:
    torch.manual_seed(0)
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    config = LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=16, rope_parameters=rope, initializer_range=0.3,
    )  # fmt: skip
    _, begun = write(LlamaForCausalLM(config).eval(), make_requests((20, 4), (4, 20), (6, 6)), tokens=48)
    assert begun == [2, 1], "the third begins when both are done"


def test_no_more_places_are_held_than_the_budget_has(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    held = []
    kept_by = GrowingLayer._make_room

    def watch(layer: GrowingLayer, *given: Any) -> tuple[Tensor, Tensor]:
        found = kept_by(layer, *given)
        held.append(found[0].shape[0] * found[0].shape[2])
        return found

    monkeypatch.setattr(GrowingLayer, "_make_room", watch)
    for lengths in ([(20, 1)] * 40, [(10, 2)] * 50, [(30, 20)] * 5 + [(9, 200), (5, 5)]):
        write(model, make_requests(*lengths), tokens=840)
    assert held and max(held) <= 840


def test_an_attention_with_a_mask_for_each_head_is_that_of_transformers() -> None:
    module: Any = torch.nn.Module()
    module.num_key_value_groups, module.is_causal = 2, True
    query, key, value = torch.randn(2, 4, 1, 8), torch.randn(2, 2, 5, 8), torch.randn(2, 2, 5, 8)
    mask = torch.rand(2, 4, 1, 5) > 0.3
    mask[..., -1] = True
    expected, _ = sdpa_attention_forward(module, query, key, value, mask)
    with share_keys():
        found, _ = ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, mask)
    torch.testing.assert_close(found, expected)
