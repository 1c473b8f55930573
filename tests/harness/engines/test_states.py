"""Hidden states by layer: those of transformers, pooled by hand, and no more of the model than they need."""

from typing import Any

import pytest
import torch

from xlift.harness.engines.states import compute_states, pad, pool_states, read_states
from xlift.harness.models.bases import Base

TEXTS = ([5, 9, 20, 31], [7, 8], [40, 41, 42, 43, 44, 45])


@pytest.fixture(scope="module")
def model(tiny: Base) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny.folder, dtype=torch.float32).eval()


def test_states_are_those_of_transformers(model: Any) -> None:
    ids, mask = pad(TEXTS)
    assert mask.tolist() == [[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0], [1] * 6]
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        found = compute_states(model, ids, mask, [0, 1, 2])
    assert sorted(found) == [0, 1, 2]
    for layer, states in found.items():
        assert torch.equal(states, expected[layer])


def test_nothing_runs_above_the_highest_state(model: Any) -> None:
    ran: list[str] = []
    hooks = [layer.register_forward_hook(lambda *_, name=name: ran.append(name)) for name, layer in model.model.layers.named_children()]
    hooks.append(model.lm_head.register_forward_hook(lambda *_: ran.append("lm_head")))
    with torch.no_grad():
        compute_states(model, *pad(TEXTS), [1])
        assert ran == ["0"]
        compute_states(model, *pad(TEXTS), [2, 0])
        assert ran == ["0", "0", "1"]
    for hook in hooks:
        hook.remove()
    assert not any(layer._forward_pre_hooks for layer in model.model.layers)


def test_pooling_by_hand() -> None:
    states = torch.tensor([[[9.0, 9.0], [1.0, 2.0], [3.0, 6.0]], [[5.0, 7.0], [1.0, 1.0], [1.0, 1.0]]])
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    assert pool_states(states, mask, "last").tolist() == [[3, 6], [5, 7]]
    # without the first token, (1 + 3) / 2 and (2 + 6) / 2; a text of one token is its mean
    assert pool_states(states, mask, "mean").tolist() == [[2, 4], [5, 7]]


@pytest.mark.parametrize("pool", ["last", "mean"])
def test_batches_and_padding_move_no_state(model: Any, pool: str) -> None:
    together = read_states(model, TEXTS, [1, 2], pool, 100)
    assert together.shape == (3, 2, 32) and together.dtype == torch.float32
    alone = torch.cat([read_states(model, [text], [1, 2], pool, 1) for text in TEXTS])
    assert torch.allclose(together, alone, atol=1e-5)
