"""What goes on inside a model: norms and activity, against the model's own states, without padding."""

import pytest
import torch

from xlift.harness.core.errors import UserError
from xlift.harness.engines.activity import find_neurons, read_activity, read_norms
from xlift.harness.models.bases import Base

TEXTS = [[5, 6, 7], [8, 9, 10, 11, 12]]


@pytest.fixture(scope="module")
def model(tiny: Base):  # type: ignore[no-untyped-def]
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny.folder, dtype=torch.float32)


def test_norms_are_over_the_tokens_of_all_texts(model) -> None:  # type: ignore[no-untyped-def]
    together, alone = read_norms(model, TEXTS, 100), read_norms(model, TEXTS, 1)
    assert len(together) == 2 * 7 and all(name.startswith("model.layers.") for name in together)
    assert all(torch.allclose(together[name], alone[name], atol=1e-5) for name in together)
    with torch.no_grad():
        states = [model(torch.tensor([text]), output_hidden_states=True).hidden_states[0][0] for text in TEXTS]
        inputs = torch.cat([model.model.layers[0].input_layernorm(state) for state in states])
    assert torch.allclose(together["model.layers.0.self_attn.q_proj"], inputs.square().sum(0).sqrt(), atol=1e-5)
    assert together["model.layers.1.mlp.down_proj"].shape == (64,)


def test_activity_is_the_share_of_tokens_above_zero(model) -> None:  # type: ignore[no-untyped-def]
    found = read_activity(model, TEXTS, 100)
    assert found.shape == (2, 64) and torch.equal(found, read_activity(model, TEXTS, 1))
    seen: list[torch.Tensor] = []
    hook = model.model.layers[1].mlp.gate_proj.register_forward_hook(lambda module, given, output: seen.append(output[0]))
    with torch.no_grad():
        for text in TEXTS:
            model(torch.tensor([text]))
    hook.remove()
    assert torch.allclose(found[1], (torch.cat(seen) > 0).float().mean(0))


def test_neurons_are_between_the_gate_and_the_way_back(model) -> None:  # type: ignore[no-untyped-def]
    gate, after = find_neurons(model.model.layers[0])
    assert gate is model.model.layers[0].mlp.gate_proj and after == "mlp.down_proj"
    with pytest.raises(UserError, match="the neurons of a Linear cannot be found"):
        find_neurons(torch.nn.Linear(2, 2))
