"""States for methods: read once, counted, and brought with the plan's arrays to its training."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from xlift.harness.config.suite import EngineSettings, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import ask
from xlift.harness.engines.hf import HfEngine
from xlift.harness.models.bases import Base
from xlift.harness.pipeline.context import RunContext
from xlift.harness.pipeline.fit import read_arrays
from xlift.harness.pipeline.run import begin, fit_all
from xlift.harness.pipeline.stages import Round, find_prepared
from xlift.harness.pipeline.states import States
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
