"""States for methods: read once, counted, and brought with the plan's arrays to its training."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from xlift.harness.config.suite import EngineSettings, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import ask
from xlift.harness.engines.hf import HfEngine
from xlift.harness.evaluation.records import read_records
from xlift.harness.models.adapters import resolve
from xlift.harness.models.bases import Base
from xlift.harness.pipeline.context import RunContext
from xlift.harness.pipeline.fit import read_arrays
from xlift.harness.pipeline.run import begin, evaluate_all, fit_all, open_run
from xlift.harness.pipeline.stages import Measured, Round, find_prepared
from xlift.harness.pipeline.states import States
from xlift.harness.plugin import Steer
from xlift.tasks.leaks import Guard


def test_states_are_read_once_and_counted(tiny: Base, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    asked: list[str] = []

    with HfEngine(tiny, EngineSettings(backend="hf", dtype="float32", max_length=128)) as engine:

        def start() -> HfEngine:
            asked.append("loaded")
            return engine

        states = States(tmp_path, {"base": tiny.sha256}, start)
        texts = ["abc", ask("hi")]
        found, tokens = states.read(texts, (1, -1), "last")
        # one token a byte: "abc" behind the end token, as there is no other; the chat as the template writes it
        chat = engine.tokenizer.apply_chat_template(list(ask("hi")), add_generation_prompt=True)["input_ids"]
        assert found.shape == (2, 2, 32) and found.dtype == np.float32 and tokens == 4 + len(chat)
        with torch.no_grad():
            expected = engine.model(torch.tensor([chat]), output_hidden_states=True).hidden_states
        assert np.allclose(found[1, 0], expected[1][0, -1].numpy(), atol=1e-5)
        assert np.allclose(found[1, 1], expected[2][0, -1].numpy(), atol=1e-5)
        again, counted = states.read(texts, (1, -1), "last")
        assert np.array_equal(again, found) and counted == tokens and asked == ["loaded"]
        (file,) = tmp_path.glob("*.safetensors")
        for damaged in (b"", b"\0" * 64, file.read_bytes()[:-8]):
            file.write_bytes(damaged)
            caplog.clear()
            assert np.array_equal(states.read(texts, (1, -1), "last")[0], found)
            assert f"{file}: cannot be read; the states in it are read from the model anew" in caplog.text
        del asked[1:]
        for changed in (lambda: states.read(texts, (1, -1), "mean"), lambda: states.read(texts[:1], (1, -1), "last"),
                        lambda: states.read(texts, (0.5,), "last")):  # fmt: skip
            changed()
        assert len(asked) == 4, "pooling, texts and layers count"
        with pytest.raises(UserError, match="layer 3: the base has states 0 to 2"):
            states.read(texts, (3,), "last")
        with pytest.raises(UserError, match="a text whose states are read has 201 tokens: engine.max_length is 128; raise it"):
            states.read(["a" * 200], (1,), "last")


def test_a_context_counts_the_tokens_that_were_read() -> None:
    values = {
        "name": "small", "languages": {"train": ["es"], "evaluate": ["es"]}, "methods": {"m": {"method": "subspace_alignment"}},
        "evaluate": {"tasks": ["xlift_mgsm_direct_es"]},
    }  # fmt: skip
    suite, given = read_suite(values, "test"), (np.ones((1, 1, 4), dtype=np.float32), 7)

    class Inside(States):
        def __init__(self) -> None:
            """It needs no model."""

        def read(self, *_: object) -> Any:
            return given

        read_norms = read_activity = read

    context = RunContext(suite, "m", Guard([]), lambda *_: pytest.fail("nothing is asked"), inside=Inside())
    assert context.read_states(["abc"], (1,)) is given[0]
    context.read_states(["abc"], (1,))
    assert context.describe_help()["tokens_read"] == 14
    assert context.read_norms(["abc"]) is given[0] and context.read_activity(["abc"]) is given[0]
    assert context.describe_help()["tokens_read"] == 28


SUITE: dict[str, Any] = {
    "name": "small", "data": {"samples": "always"}, "languages": {"train": ["es", "de"], "evaluate": ["es"]}, "rows": 12,
    "methods": {"m": {"method": "subspace_alignment", "options": {"probed": 8, "layers": [-1], "max_characters": 300}}},
    "train": {"tokens": 3000, "batch_tokens": 1000, "micro_batch_tokens": 3000, "max_length": 400, "dtype": "float32", "lora": {"r": 4}},
    "engine": {"backend": "hf", "dtype": "float32"}, "evaluate": {"tasks": ["xlift_mgsm_direct_es"], "limit": 2},
}  # fmt: skip


@pytest.mark.usefixtures("in_process")
def test_arrays_go_from_the_rows_to_the_training(tiny_base: Path, tmp_path: Path) -> None:
    suite = read_suite({**SUITE, "base": {"model": str(tiny_base)}}, "test")
    with begin(suite, tmp_path) as run:
        (model,) = fit_all(run)
        prepared = find_prepared(run, Round("m"))
    assert prepared is not None and model.adapter is not None
    manifest = prepared.manifest
    assert manifest["tokens_read"] > 0 and manifest["plan"]["objective"]["kind"] == "align"
    arrays = read_arrays(prepared)
    assert sorted(arrays) == ["direction de", "direction es", "shared", "specific"] and arrays["specific"].shape == (1, 32, 2)
    card = json.loads((Path(model.adapter) / "xlift.json").read_text())
    assert set(card["fit"]["terms"]) == {"1 keep", "2 offset", "3 mse"} and card["fit"]["trained_parameters"] > 0
    assert all(".layers.1." in name for name in load_file(Path(model.adapter) / "adapter_model.safetensors"))
    assert len(list((run.root / "states").iterdir())) == 3, "of each language"
    (prepared.folder / "arrays.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="arrays.safetensors: not the arrays that were prepared"):
        read_arrays(prepared)


STEERED: dict[str, Any] = {
    **SUITE, "methods": {"m": {"method": "inference_intervention", "options": {"sentences": 9, "held_out": 2, "layers": [1]}}},
    "evaluate": {"tasks": ["xlift_flores_bpb_eng_Latn_spa_Latn", "xlift_flores_bpb_eng_Latn_fra_Latn"], "limit": 2},
    "languages": {"train": ["es"], "evaluate": ["es", "fr"]},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_moves_go_from_the_plan_to_the_record(tiny_base: Path, tmp_path: Path) -> None:
    suite = read_suite({**STEERED, "base": {"model": str(tiny_base)}}, "test")
    with begin(suite, tmp_path) as run:
        (model,) = fit_all(run)
        prepared = find_prepared(run, Round("m"))
        evaluate_all(run, [Measured("base", None, None), model])
    assert prepared is not None and model.adapter is not None and model.seed is None
    adapter = resolve(model.adapter)
    assert adapter.peft_type == "STEER" and adapter.steer == prepared.plan.steer
    assert (adapter.folder / "steer.safetensors").read_bytes() == (prepared.folder / "arrays.safetensors").read_bytes()
    assert prepared.manifest["tokens_read"] > 0 and prepared.manifest["rows"] == 0
    base, moved = read_records([run.root]).records
    assert (moved.kind, moved.chosen_on, moved.extra_parameters) == ("steer", "parallel, 2 held-out lines of each language", 32 * 32)
    assert (base.chosen_on, base.extra_parameters) == ("", 0)
    apart = [abs(moved.tasks[task].metrics["bits_per_byte"].value - base.tasks[task].metrics["bits_per_byte"].value) for task in base.tasks]
    assert apart[1] < 1e-6 < 1e-4 < apart[0], "French, without a map, is left alone"
    assert all(moved.tasks[task].comparability == base.tasks[task].comparability for task in base.tasks)


def test_a_backend_that_cannot_move_states_is_refused_before_any_work(tiny_base: Path, tmp_path: Path) -> None:
    for backend in ("auto", "vllm"):
        suite = read_suite({**STEERED, "base": {"model": str(tiny_base)}, "engine": {"backend": backend}}, "test")
        with pytest.raises(UserError, match=f"m: inference_intervention works inside the model, which engine.backend {backend} does not"):
            open_run(suite, tmp_path)

    folder = tmp_path / "moves"
    folder.mkdir()
    (folder / "xlift.json").write_text(json.dumps({"steer": {"layers": [1], "strengths": {"es": 1}, "positions": "answer"}}))
    save_file({"es": torch.ones(1, 32)}, folder / "steer.safetensors")
    evaluate = {**STEERED["evaluate"], "adapters": {"given": str(folder)}}
    suite = read_suite({**STEERED, "base": {"model": str(tiny_base)}, "methods": {}, "evaluate": evaluate, "engine": {}}, "test")
    with pytest.raises(
        UserError, match="evaluate.adapters: 'given' moves hidden states, which engine.backend auto does not do; set engine"
    ):
        open_run(suite, tmp_path)


def test_likelihoods_are_read_once_with_and_without_moves(tiny: Base, tmp_path: Path) -> None:
    steer, arrays = Steer(layers=(1,), strengths={"es": 0.5}, positions="answer"), {"es": np.ones((1, 32), dtype=np.float32)}
    asked: list[str] = []
    with HfEngine(tiny, EngineSettings(backend="hf", dtype="float32")) as engine:

        def start() -> HfEngine:
            asked.append("loaded")
            return engine

        states, chats, answers = States(tmp_path, {"base": tiny.sha256}, start), [ask("hi"), ask("you")], ["yes", "no no"]
        plain, tokens = states.score(chats, answers, None, {}, "")
        pairs = [(engine.render(chat), answer) for chat, answer in zip(chats, answers, strict=True)]
        assert plain == pytest.approx([one.nats / one.tokens for one in engine.score(pairs)])
        assert tokens == sum(len(engine.tokenizer(prompt + answer).input_ids) for prompt, answer in pairs)
        moved, _ = states.score(chats, answers, steer, arrays, "es")
        assert moved != pytest.approx(plain, abs=1e-3)
        with engine.try_steering(steer, arrays, "es"):
            assert moved == pytest.approx([one.nats / one.tokens for one in engine.score(pairs)])
        assert plain == pytest.approx([one.nats / one.tokens for one in engine.score(pairs)]), "nothing stays moved"
        assert states.score(chats, answers, steer, arrays, "es")[0] == moved and len(asked) == 2
        states.score(chats, answers, steer, {"es": arrays["es"] * 2}, "es")
        assert len(asked) == 3, "the array counts"
