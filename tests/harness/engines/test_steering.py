"""Moved states on a tiny random model: where they are moved, by how much, and what that does to answers and likelihoods."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from refusals import refusal
from safetensors.torch import save_file

from xlift.harness.config.suite import EngineSettings
from xlift.harness.core.types import Sampling, ask
from xlift.harness.engines.base import require_inside
from xlift.harness.engines.hf import HfEngine
from xlift.harness.engines.states import find_blocks
from xlift.harness.engines.steering import Moves
from xlift.harness.models.adapters import Adapter, resolve
from xlift.harness.models.bases import Base

CHATS = [ask("hi"), ask("one two three four")]
GREEDY = Sampling(max_tokens=6)
Positions = Literal["prompt", "answer"]


def write_steering(folder: Path, arrays: dict[str, torch.Tensor], **changed: Any) -> Path:
    """An adapter's folder; state 1 by default, with strength 0.5."""
    folder.mkdir(exist_ok=True)
    steer = {"layers": [1], "strengths": dict.fromkeys(arrays, 0.5), "positions": "answer", **changed}
    (folder / "xlift.json").write_text(json.dumps({"steer": steer, "base": {"name": "tiny"}}))
    save_file(arrays, folder / "steer.safetensors")
    return folder


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3)) * 3


def start(tiny: Base) -> HfEngine:
    return HfEngine(tiny, EngineSettings(backend="hf", dtype="float32"))


def move_plainly(array: torch.Tensor, prompt: int, positions: Positions) -> Callable[..., Any]:
    """A hook that moves state 1 of one whole text, whose prompt has so many tokens, with strength 0.5."""

    def hook(module: Any, given: Any, named: Any) -> Any:
        states = (given[0] if given else named["hidden_states"]).clone()
        places = [prompt - 1] if positions == "prompt" else range(prompt - 1, states.shape[1])
        for place in places:
            h = states[0, place]
            states[0, place] = h + 0.5 * (h @ array if array.ndim == 2 else array)
        return ((states, *given[1:]), named) if given else (given, {**named, "hidden_states": states})

    return hook


def read_plainly(engine: HfEngine, tokens: list[int], array: torch.Tensor, prompt: int, positions: Positions) -> torch.Tensor:
    """Logits of a text in one pass."""
    block = find_blocks(engine.model.get_decoder(), 2)[1]
    handle = block.register_forward_pre_hook(move_plainly(array, prompt, positions), with_kwargs=True)
    with torch.no_grad():
        logits: torch.Tensor = engine.model(torch.tensor([tokens])).logits[0]
    handle.remove()
    return logits


def test_states_are_moved_where_they_shall_be(tiny: Base) -> None:
    vector, seen = draw(32), []
    with start(tiny) as engine:
        block = find_blocks(engine.model.get_decoder(), 2)[1]

        def look(module: Any, given: Any, named: Any) -> None:
            seen.append((given[0] if given else named["hidden_states"]).clone())

        with torch.no_grad(), Moves(engine.model, {1: vector}, "answer") as moves:
            handle = block.register_forward_pre_hook(look, with_kwargs=True)  # behind the moves
            engine.model(torch.tensor([[5, 6, 7], [8, 9, 4]]))
            moves.read_prompts(2, 3)
            engine.model(torch.tensor([[5, 6, 7], [8, 9, 4]]))
            moves.read_pairs([((5,), (6, 7, 4)), ((8, 9), (4, 6))], 3)
            engine.model(torch.tensor([[5, 6, 7], [8, 9, 4]]))
        handle.remove()
        with torch.no_grad():
            engine.model(torch.tensor([[5, 6, 7]]))
    bare, prompts, pairs = seen
    assert torch.allclose(prompts - bare, torch.tensor([0.0, 0, 1])[None, :, None] * vector, atol=1e-5)
    assert torch.allclose(pairs - bare, torch.tensor([[1.0, 1, 1], [0, 1, 1]])[..., None] * vector, atol=1e-5)
    assert len(seen) == 3, "the hook of this test is gone, and so are those of the moves"


@pytest.mark.parametrize("positions", ["prompt", "answer"])
@pytest.mark.parametrize("shape", [(32,), (32, 32)])
def test_answers_and_likelihoods_are_those_of_a_plain_loop(
    tiny: Base, tmp_path: Path, positions: Positions, shape: tuple[int, ...]
) -> None:
    array = draw(*shape) / (3 if len(shape) == 1 else 9)
    adapter = resolve(write_steering(tmp_path / "a", {"es": array[None]}, positions=positions))
    with start(tiny) as engine:
        before = [answer.text for answer in engine.generate(CHATS, GREEDY)]
        pairs = [(engine.render(chat), answer) for chat, answer in zip(CHATS, ("yes", "a longer one"), strict=True)]
        likely = engine.score(pairs)
        engine.swap(adapter)
        assert [answer.text for answer in engine.generate(CHATS, GREEDY)] == before, "nothing is moved before a language is said"
        engine.steer("es")
        moved, scored = engine.generate(CHATS, GREEDY), engine.score(pairs)
        for chat, answer in zip(CHATS, moved, strict=True):
            prompt = engine.tokenizer(engine.render(chat)).input_ids
            tokens = list(prompt)
            for _ in range(answer.tokens):
                tokens.append(int(read_plainly(engine, tokens, array, len(prompt), positions)[-1].argmax()))
            assert engine.tokenizer.decode(tokens[len(prompt) :], skip_special_tokens=True) == answer.text
        for (rendered, text), found, bare in zip(pairs, scored, likely, strict=True):
            prompt, rest = engine.tokenizer(rendered).input_ids, engine.tokenizer(text).input_ids
            logits = read_plainly(engine, [*prompt, *rest], array, len(prompt), positions).log_softmax(-1)
            expected = sum(float(logits[len(prompt) - 1 + at, token]) for at, token in enumerate(rest))
            assert found.nats == pytest.approx(expected, abs=1e-3) and abs(found.nats - bare.nats) > 0.01
        engine.steer("de")
        engine.steer(None)
        assert engine.score(pairs) == likely
        engine.steer("es")
        engine.swap(None)
        assert engine.score(pairs) == likely and engine.steering is None


@pytest.mark.parametrize(
    ("array", "changed", "says"),
    [
        (torch.zeros(1, 32), {}, "the array for 'es' is zero, which moves nothing"),
        (torch.full((1, 32), torch.nan), {}, "holds values that are not finite"),
        (torch.ones(2, 32), {}, "the array for 'es' is (2, 32); it must be (1, hidden) for vectors or (1, hidden, hidden)"),
        (torch.ones(1, 32, 8), {}, "the array for 'es' is (1, 32, 8)"),
        (torch.ones(1, 32), {"strengths": {"es": 0}}, "the strength for 'es' is 0, which moves nothing"),
        (torch.ones(1, 32), {"strengths": {"fr": 1}}, "has nothing for 'fr', which the strengths name"),
        (torch.ones(1, 32), {"strengths": {"spa_Latn": 1}}, "write 'es' for 'spa_Latn'"),
        (torch.ones(1, 32), {"strengths": {}}, "strengths"),
        (torch.ones(1, 32), {"position": "answer"}, "unknown key 'position'; did you mean 'positions'"),
    ],
)
def test_what_moves_nothing_or_cannot_is_refused(tmp_path: Path, array: torch.Tensor, changed: dict[str, Any], says: str) -> None:
    assert says in refusal(lambda: resolve(write_steering(tmp_path / "a", {"es": array}, **changed)))


@pytest.mark.parametrize(
    ("array", "layers", "says"),
    [
        (torch.ones(1, 32), [3], "layer 3: the base has states 0 to 2"),
        (torch.ones(1, 32), [-1], "states 2 are to be moved; name different ones from 0 to 1, as no layer reads the last one"),
        (torch.ones(2, 32), [1, 0.5], "states 1, 1 are to be moved; name different ones"),
        (torch.ones(1, 16), [1], "moves states of 16 numbers, those of"),
    ],
)
def test_moves_that_do_not_fit_a_base_are_refused(tiny: Base, tmp_path: Path, array: torch.Tensor, layers: list[float], says: str) -> None:
    adapter = resolve(write_steering(tmp_path / "a", {"es": array}, layers=layers))
    with start(tiny) as engine:
        assert says in refusal(lambda: engine.swap(adapter))


def test_an_adapter_that_moves_states(tmp_path: Path) -> None:
    adapter = resolve(write_steering(tmp_path / "a", {"es": torch.ones(1, 32)}))
    assert (adapter.peft_type, adapter.has_weights) == ("STEER", False)
    assert adapter.steer is not None and adapter.steer.covers("xlift_xquad_es", "es") and not adapter.steer.covers("xlift_xquad_de", "de")
    hashes = {adapter.sha256}
    for number, (array, changed) in enumerate([(draw(1, 32), {}), (torch.ones(1, 32), {"positions": "prompt"})]):
        hashes.add(resolve(write_steering(tmp_path / f"{number}", {"es": array}, **changed)).sha256)
    assert len(hashes) == 3, "arrays and settings are in the hash"
    for backend in ("vllm", "api"):
        said = refusal(lambda backend=backend: require_inside(adapter, backend))
        assert said.endswith(f"moves hidden states, which the {backend} backend cannot do; set engine.backend: hf")
    (adapter.folder / "steer.safetensors").write_bytes(b"cut")
    assert "steer.safetensors: not a whole safetensors file" in refusal(lambda: resolve(adapter.folder))
    save_file({"es": torch.ones(1, 32, dtype=torch.bfloat16)}, adapter.folder / "steer.safetensors")
    assert "steer.safetensors: not a whole safetensors file of plain numbers" in refusal(lambda: resolve(adapter.folder))
    (adapter.folder / "steer.safetensors").unlink()
    assert "steer.safetensors: not a whole safetensors file" in refusal(lambda: resolve(adapter.folder))


def test_weights_beside_moves_are_refused(tmp_path: Path) -> None:
    folder = write_steering(tmp_path / "a", {"es": torch.ones(1, 32)})
    (folder / "adapter_config.json").write_text("{}")
    assert "both weights and moves of states" in refusal(lambda: resolve(folder))


def test_plain_profiles_have_no_moves(tmp_path: Path) -> None:
    (tmp_path / "xlift.json").write_text(json.dumps({"profile": {"header": {"es": "[ES]"}}}))
    found: Adapter = resolve(tmp_path)
    assert found.steer is None and found.peft_type == "PROFILE"
