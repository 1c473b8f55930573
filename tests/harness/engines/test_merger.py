"""An encoder beside a tiny random model: what the base reads, by hand, and answers and likelihoods as of a plain loop."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import refusal
from safetensors.torch import save_file
from tiny_encoder import HIDDEN, write_encoder

from xlift.harness.config.suite import EngineSettings
from xlift.harness.core.types import Sampling, ask
from xlift.harness.engines.base import require_inside
from xlift.harness.engines.hf import HfEngine
from xlift.harness.engines.merger import Line, Merger
from xlift.harness.models.adapters import resolve
from xlift.harness.models.bases import Base
from xlift.harness.models.encoders import check_languages, require_public
from xlift.harness.models.encoders import resolve as find_encoder
from xlift.harness.models.merging import write_merged
from xlift.harness.models.module import Module

CHATS = [ask("hi"), ask("one two three four")]


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("t5"))


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3)) * 0.5


def draw_weights(hidden: int = 32, source: int = HIDDEN) -> dict[str, torch.Tensor]:
    """One linear map and a boundary."""
    return {"projection.0.weight": draw(hidden, source), "projection.0.bias": draw(hidden), "boundary": draw(hidden)}


def write_adapter(folder: Path, t5: Path, weights: dict[str, torch.Tensor] | None = None, **changed: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    module = {"encoder": str(t5), "tokens": 40, "inner": 0.0, **changed}
    (folder / "xlift.json").write_text(json.dumps({"module": module, "base": {"name": "tiny"}}))
    save_file(weights or draw_weights(), folder / "module.safetensors")
    return folder


def start(tiny: Base) -> HfEngine:
    return HfEngine(tiny, EngineSettings(backend="hf", dtype="float32"))


def read_plainly(t5: Path, text: str, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """The projected states of one text, and the boundary."""
    from transformers import AutoTokenizer, T5EncoderModel

    ids = AutoTokenizer.from_pretrained(t5)(text, return_tensors="pt").input_ids
    with torch.no_grad():
        states = T5EncoderModel.from_pretrained(t5)(ids).last_hidden_state[0]
    return torch.cat([states @ weights["projection.0.weight"].T + weights["projection.0.bias"], weights["boundary"][None]])


def test_what_the_base_reads_by_hand(tiny: Base, t5: Path) -> None:
    weights = draw_weights()
    with start(tiny) as engine:
        table = engine.model.get_input_embeddings().weight
        merger = Merger(Module(encoder=str(t5), tokens=40, inner=0.0), engine.model, engine.tokenizer, weights)
        short, long = engine.tokenizer("ab").input_ids, engine.tokenizer("abcd").input_ids
        with torch.no_grad():
            embeds, mask = merger.embed([Line(short, [7, 8]), Line(long), Line(long, [9], reads_prompt=False)], "right")
            left, left_mask = merger.embed([Line(short, [7, 8]), Line(long)], "left")
    assert mask.sum(dim=1).tolist() == [2 + 1 + 2 + 2, 4 + 1 + 4, 4 + 1 + 1] and left_mask.tolist() == [[0, 0, *[1] * 7], [1] * 9]
    wanted = torch.cat([read_plainly(t5, "ab", weights), table[short], table[[7, 8]]])
    assert torch.allclose(embeds[0, :7], wanted, atol=1e-5) and not embeds[0, 7:].any()
    assert torch.allclose(left[0, 2:], wanted, atol=1e-5) and torch.allclose(
        embeds[2, :6], torch.cat([embeds[1, :5], table[[9]]]), atol=1e-5
    )


def test_a_token_that_begins_texts_stays_at_the_beginning(tiny: Base, t5: Path) -> None:
    with start(tiny) as engine:
        engine.tokenizer.bos_token = "<|endoftext|>"
        table = engine.model.get_input_embeddings().weight
        merger = Merger(Module(encoder=str(t5), tokens=40, inner=0.0), engine.model, engine.tokenizer, draw_weights())
        with torch.no_grad():
            embeds, _ = merger.embed([Line([0, 5, 6])], "right")
            again, _ = merger.embed([Line([0, 5, 0])], "right")
    assert torch.equal(embeds[0, 0], table[0]) and torch.equal(embeds[0, -2:], table[[5, 6]])
    assert torch.equal(again[0, -3:], table[[0, 5, 0]]) and not torch.equal(again[0, 0], table[0]), "a mark of turns comes again"


def test_zeroed_states_leave_the_bias_alone(tiny: Base, t5: Path) -> None:
    weights = draw_weights()
    with start(tiny) as engine, torch.no_grad():
        merger = Merger(Module(encoder=str(t5), tokens=40, inner=0.0, zeroed=True), engine.model, engine.tokenizer, weights)
        embeds, _ = merger.embed([Line(engine.tokenizer("ab").input_ids)], "right")
    assert torch.allclose(embeds[0, :2], weights["projection.0.bias"].expand(2, -1)) and torch.equal(embeds[0, 2], weights["boundary"])


def test_the_encoder_reads_the_end_of_a_long_prompt(tiny: Base, t5: Path) -> None:
    weights = draw_weights()
    with start(tiny) as engine, torch.no_grad():
        merger = Merger(Module(encoder=str(t5), tokens=3, inner=0.0), engine.model, engine.tokenizer, weights)
        embeds, _ = merger.embed([Line(engine.tokenizer("abcdef").input_ids)], "right")
    assert torch.allclose(embeds[0, :4], read_plainly(t5, "def", weights), atol=1e-5)


@pytest.mark.parametrize("reads_prompt", [True, False])
def test_answers_and_likelihoods_are_those_of_a_plain_loop(tiny: Base, t5: Path, tmp_path: Path, reads_prompt: bool) -> None:
    weights = draw_weights()
    adapter = resolve(write_adapter(tmp_path / "a", t5, weights, reads_prompt=reads_prompt))
    with start(tiny) as engine:
        sampling = Sampling(max_tokens=6)
        before = engine.generate(CHATS, sampling)
        pairs = [(engine.render(chat), answer) for chat, answer in zip(CHATS, ("yes", "a longer one"), strict=True)]
        likely = engine.score(pairs)
        engine.swap(adapter)
        answers, scored = engine.generate(CHATS, sampling), engine.score(pairs)
        assert answers != before
        for chat, answer, (_, text), found in zip(CHATS, answers, pairs, scored, strict=True):
            prompt, rest = engine.tokenizer(engine.render(chat)).input_ids, engine.tokenizer(text).input_ids
            read = read_plainly(t5, engine.tokenizer.decode(prompt, skip_special_tokens=True).strip(), weights)
            table = engine.model.get_input_embeddings().weight
            head = torch.cat([read, table[prompt]]) if reads_prompt else read
            said: list[int] = []
            with torch.no_grad():
                for _ in range(answer.tokens):
                    logits = engine.model(inputs_embeds=torch.cat([head, table[said]])[None]).logits[0, -1]
                    said.append(int(logits.argmax()))
                logits = engine.model(inputs_embeds=torch.cat([head, table[rest]])[None]).logits[0].log_softmax(-1)
            assert engine.tokenizer.decode(said, skip_special_tokens=True) == answer.text
            assert found.nats == pytest.approx(sum(float(logits[len(head) - 1 + at, token]) for at, token in enumerate(rest)), abs=1e-3)
        assert engine.room == engine.max_length - 41
        engine.swap(None)
        assert engine.generate(CHATS, sampling) == before and engine.score(pairs) == likely and engine.room == engine.max_length


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ({"boundary": torch.zeros(32)}, "the boundary is zero, as before any training; train it again"),
        ({"boundary": torch.full((32,), torch.nan)}, "holds values that are not finite"),
        ({"projection.0.weight": None}, "has no projection.0.weight"),
    ],
)
def test_a_projection_that_is_none_is_refused(t5: Path, tmp_path: Path, weights: dict[str, Any], says: str) -> None:
    found = {name: tensor for name, tensor in {**draw_weights(), **weights}.items() if tensor is not None}
    assert says in refusal(lambda: resolve(write_adapter(tmp_path / "a", t5, found)))


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        (draw_weights(hidden=8), "makes embeddings of 8 numbers, those of"),
        (draw_weights(source=8), "is for an encoder of 8 numbers, the states of"),
    ],
)
def test_a_projection_that_does_not_fit_is_refused(tiny: Base, t5: Path, tmp_path: Path, weights: dict[str, Any], says: str) -> None:
    adapter = resolve(write_adapter(tmp_path / "a", t5, weights))
    with start(tiny) as engine:
        assert says in refusal(lambda: engine.swap(adapter))


def test_an_adapter_with_an_encoder(t5: Path, tmp_path: Path) -> None:
    adapter = resolve(write_adapter(tmp_path / "a", t5))
    assert (adapter.peft_type, adapter.has_weights, adapter.is_more_than_profile) == ("MODULE", False, True)
    hashes = {adapter.sha256, resolve(write_adapter(tmp_path / "b", t5, zeroed=True)).sha256}
    hashes.add(resolve(write_adapter(tmp_path / "c", t5, {**draw_weights(), "boundary": torch.ones(32)})).sha256)
    assert len(hashes) == 3, "weights and settings are in the hash"
    for backend in ("vllm", "api"):
        said = refusal(lambda backend=backend: require_inside(adapter, backend))
        assert said.endswith(f"puts embeddings before a prompt, which the {backend} backend cannot do; set engine.backend: hf")
    assert "so there is nothing to merge" in refusal(lambda: write_merged(str(adapter.folder), tmp_path / "out"))
    (adapter.folder / "adapter_config.json").write_text("{}")
    assert "both weights and the projection of an encoder" in refusal(lambda: resolve(adapter.folder))


def test_encoders_that_cannot_be_used_are_refused_by_name(t5: Path, tmp_path: Path) -> None:
    def find(folder: Path | str, **changed: Any) -> Any:
        return find_encoder(Module(encoder=str(folder), tokens=9, **changed))

    assert find(t5).hidden == HIDDEN and find(t5, sha256=find(t5).sha256) == find(t5)
    assert "not the one that the adapter was trained with" in refusal(lambda: find(t5, sha256="0" * 64))
    assert "neither a folder nor a hub repository ORG/NAME" in refusal(lambda: find("t5"))
    assert "no safetensors; pickled weights are not loaded" in refusal(lambda: find(tmp_path))
    (tmp_path / "model.safetensors").write_bytes((t5 / "model.safetensors").read_bytes())
    assert "config.json does not say how large its states are" in refusal(lambda: find(tmp_path))
    assert find_encoder(Module(encoder="google/not-here", tokens=9), fetch=False) is None
    require_public(Module(encoder="google/not-here", tokens=9))
    assert "a folder of this machine" in refusal(lambda: require_public(Module(encoder=str(t5), tokens=9)))


def test_an_encoder_without_a_language_is_refused_by_name(tmp_path: Path) -> None:
    listing = Module(encoder=str(write_encoder(tmp_path / "listing", languages=("en", "sw"))), tokens=9)
    encoder = find_encoder(listing)
    assert encoder is not None and encoder.languages == {"en", "sw"}
    check_languages(listing, encoder, ("en", "sw"))
    assert "its makers do not list Thai (th)" in refusal(lambda: check_languages(listing, encoder, ("en", "th")))
    latin = Module(encoder=str(write_encoder(tmp_path / "latin", latin=True)), tokens=9)
    other = find_encoder(latin)
    assert other is not None
    check_languages(latin, other, ("en", "sw"))
    assert "does not know the writing of Thai (th), as in 'ไทย'" in refusal(lambda: check_languages(latin, other, ("sw", "th")))
