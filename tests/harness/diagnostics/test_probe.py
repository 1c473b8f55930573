"""Diagnostics: states, cosines, retrieval and perplexity, redone by hand on a tiny model; one real model."""

import json
import sys
from collections.abc import Callable
from math import log, log2
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from xlift.harness.cli.main import app, main
from xlift.harness.config.suite import EngineSettings
from xlift.harness.core.errors import UserError
from xlift.harness.diagnostics import probe
from xlift.harness.diagnostics.hidden_states import choose_ranker_layers, encode, measure_nearness, read_states
from xlift.harness.diagnostics.probe import Sentences, Subject, read_sentences
from xlift.harness.diagnostics.records import Probe, read_probe
from xlift.harness.engines.hf import HfEngine
from xlift.harness.models.adapters import resolve
from xlift.harness.models.bases import Base
from xlift.leaderboard.loading import foreign, runs
from xlift.leaderboard.site import probe_charts
from xlift.tasks.data import Origin

HF = EngineSettings(backend="hf", dtype="float32", adapter_form="lora")
EN, ES = ("a cat", "the red house", "no", "we go home now"), ("un gato", "la casa roja", "no", "ya nos vamos a casa")


def parallel(*texts: tuple[str, ...]) -> Sentences:
    codes = ("en", "es")[: len(texts)]
    origin = Origin("folder", "0" * 64)
    return Sentences("flores", "en", dict(zip(codes, texts, strict=True)), dict.fromkeys(codes, origin), len(texts[0]))


def at_angles(*degrees: float) -> torch.Tensor:
    """(N, 1, 2): one layer of unit vectors in a plane."""
    turned = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([turned.cos(), turned.sin()], dim=-1)[:, None]


def measure_cosine(states: torch.Tensor, pivot: torch.Tensor) -> tuple[list[float], list[float]]:
    near = measure_nearness(states, pivot)
    return near.own.mean(dim=1).tolist(), list(near.unrelated)


def retrieve(states: torch.Tensor, pivot: torch.Tensor) -> tuple[list[float], list[float]]:
    near = measure_nearness(states, pivot)
    return near.towards.mean(dim=1).tolist(), near.back.mean(dim=1).tolist()


def test_cosine_by_hand() -> None:
    # Own pairs are 0 and 60 degrees apart, the others 90 and 150: (1 + 0.5) / 2, and (0 - cos 30) / 2.
    own, unrelated = measure_cosine(at_angles(0, 150), at_angles(0, 90))
    assert own == [pytest.approx(0.75)]
    assert unrelated == [pytest.approx(-(3**0.5) / 4)]
    # Length says nothing, and each layer stands for itself.
    two = torch.cat([5 * at_angles(0, 150), at_angles(0, 90)], dim=1)
    assert measure_cosine(two, torch.cat([at_angles(0, 90)] * 2, dim=1))[0] == [pytest.approx(0.75), pytest.approx(1.0)]


def test_retrieval_by_hand_in_both_directions() -> None:
    # 0 finds 5. 40 is nearer to 5 (35) than to its own 80 (40). From the pivot: 5 finds 0, 80 finds 40.
    assert retrieve(at_angles(0, 40), at_angles(5, 80)) == ([0.5], [1.0])
    assert retrieve(at_angles(5, 80), at_angles(0, 40)) == ([1.0], [0.5])
    # Where all are alike none is nearest.
    assert retrieve(at_angles(10, 10, 10), at_angles(10, 10, 10)) == ([0.0], [0.0])


def test_the_ranker_s_five_layers() -> None:
    assert choose_ranker_layers(32) == (5, 10, 15, 20, 25)
    assert choose_ranker_layers(30) == (5, 9, 14, 19, 23) and choose_ranker_layers(2) == (1, 1, 1, 1, 2)


def test_states_are_those_of_each_sentence_alone(tiny: Base) -> None:
    with HfEngine(tiny, HF) as engine:
        tokens = encode(engine.tokenizer, EN)
        assert [one[0] for one in tokens] == [engine.tokenizer.eos_token_id] * 4, "the prefix, where the tokenizer has no first token"
        assert [len(one) - 1 for one in tokens] == [len(text) for text in EN], "the tiny model's tokens are bytes"
        found = read_states(engine.model, tokens)
        for row, ids in enumerate(tokens):
            with torch.inference_mode():
                alone = engine.model(torch.tensor([ids]), output_hidden_states=True)
            for layer, states in enumerate(alone.hidden_states):
                assert torch.allclose(found.mean[row, layer], states[0, 1:].mean(dim=0), atol=1e-5)
                assert torch.allclose(found.last[row, layer], states[0, -1], atol=1e-5)
                count = len(ids) - 1
                weights = torch.arange(1, count + 1) / (count * (count + 1) / 2)
                assert torch.allclose(found.weighted[row, layer], (states[0, 1:] * weights[:, None]).sum(dim=0), atol=1e-5)
            chances = alone.logits[0].softmax(-1)
            bits = -sum(log2(float(chances[place, token])) for place, token in enumerate(ids[1:]))
            assert float(found.bits[row]) == pytest.approx(bits, abs=1e-3)
        assert found.mean.shape == (4, 3, 32), "embeddings and two layers"


def test_log_likelihood_is_lm_eval_s(tiny: Base) -> None:
    from lm_eval.api.instance import Instance

    with HfEngine(tiny, HF) as engine:
        ours = read_states(engine.model, encode(engine.tokenizer, EN)).bits
        asked = [Instance("loglikelihood_rolling", {}, (text,), number) for number, text in enumerate(EN)]
        theirs = engine.lm().loglikelihood_rolling(asked, disable_tqdm=True)
    assert [-log(2) * float(bits) for bits in ours] == pytest.approx(theirs, abs=1e-3)


def test_padding_changes_nothing(tiny: Base) -> None:
    with HfEngine(tiny, HF) as engine:
        # Forty sentences of 28 bytes let one of 2 into their batch: 26 of 1,189 places are padding, under 5 %.
        tokens = encode(engine.tokenizer, [*["we go home now, the long way"] * 40, "no"])
        sizes: list[int] = []
        together, alone = read_states(engine.model, tokens, sizes.append), read_states(engine.model, tokens[-1:])
    assert sizes == [41]
    assert torch.allclose(together.mean[-1], alone.mean[0], atol=1e-5) and torch.allclose(together.last[-1], alone.last[0], atol=1e-5)
    assert float(together.bits[-1]) == pytest.approx(float(alone.bits[0]), abs=1e-4)


def test_numbers_of_a_language_by_hand() -> None:
    # 3 + 5 bits over 2 + 2 tokens, 2 + 3 characters of which two take two bytes
    reading: Any = type("Reading", (), {"bits": torch.tensor([3.0, 5.0], dtype=torch.float64)})
    found = probe.describe(["sí", "año"], [2, 2], reading, None)
    assert (found.tokens, found.characters, found.bytes) == (4, 5, 7)
    assert (found.perplexity, found.bits_per_character, found.bits_per_sentence) == (4.0, 8 / 5, 4.0)
    assert (found.bits_per_byte, found.character_perplexity, found.characters_per_token) == (8 / 7, pytest.approx(2**1.6), 5 / 4)


def test_base_and_adapters_on_one_model(tiny: Base, make_adapter: Callable[..., Path], tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapters = {name: resolve(make_adapter(tiny, seed=seed, scale=0.5)) for name, seed in (("one", 1), ("two", 2))}
    found = probe.probe(Subject(tiny, adapters), parallel(EN, ES), "float32")
    assert [model.label for model in found.models] == ["base", "one", "two"]
    base, one, two = (model.languages for model in found.models)
    assert base["en"].alignment is None and base["es"].alignment is not None
    assert len(base["es"].alignment.cosine) == 3
    assert base["es"].alignment.score == pytest.approx(sum(base["es"].alignment.cosine[1:]) / 2)
    assert len({round(each["es"].perplexity, 6) for each in (base, one, two)}) == 3
    assert base["es"].alignment.change is None and len(base["es"].alignment.mexa) == 3
    assert one["es"].alignment and one["es"].alignment.change
    for before, after, (low, high) in zip(
        base["es"].alignment.cosine, one["es"].alignment.cosine, one["es"].alignment.change.cosine, strict=True
    ):
        assert low - 1e-9 <= after - before <= high + 1e-9
    # PEFT's own switch gives the base back, and the first adapter's numbers do not depend on what was probed before.
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny.folder), str(adapters["two"].folder)).eval()
    with HfEngine(tiny, HF) as engine:
        tokens = encode(engine.tokenizer, ES)
    with tuned.disable_adapter():
        assert float(read_states(tuned, tokens).bits.sum()) == pytest.approx(base["es"].bits_per_sentence * 4, rel=1e-5)
    assert float(read_states(tuned, tokens).bits.sum()) == pytest.approx(two["es"].bits_per_sentence * 4, rel=1e-5)
    assert found.models[1].adapter and found.models[1].adapter["sha256"] == adapters["one"].sha256
    assert str(tmp_path.parent) not in found.model_dump_json(), "no folder of this machine"


def test_sentences_that_do_not_fit_are_left_out_of_all_languages(tiny: Base) -> None:
    found = probe.probe(Subject(tiny, {}), parallel((*EN, "x"), (*ES, "y" * 300)), "float32")
    assert (found.sentences, found.sentences_of) == (4, 5)
    assert {each.sentences for each in found.models[0].languages.values()} == {4}
    with pytest.raises(UserError, match="fewer than two sentences fit"):
        probe.probe(Subject(tiny, {}), parallel(("a" * 300, "b"), ("c", "d")), "float32")


def test_the_dev_split_is_read_and_no_other(fill_folder: Callable[..., Path]) -> None:
    lines = {"eng_Latn": "One.\nTwo.\nThree.\n", "spa_Latn": "Uno.\nDos.\nTres.\n"}
    fill_folder(**{f"flores200_dataset/dev/{code}.dev": text for code, text in lines.items()})
    found = read_sentences(["es", "en"], limit=2)
    assert found.texts == {"en": ("One.", "Two."), "es": ("Uno.", "Dos.")}
    assert (found.of, found.origins["es"].origin) == (3, "folder")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"languages": ["es"], "corpus": "floress"}, "did you mean 'flores'?"),
        ({"languages": ["es"], "corpus": "flores/devtest"}, "kept for measuring"),
        ({"languages": ["en"]}, "name one besides the pivot"),
        ({"languages": ["spanish"]}, "write its code, 'es'"),
        ({"languages": ["es"], "limit": 1}, "retrieval needs two"),
    ],
)
def test_wrong_sentences_are_refused(unplugged: None, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match="(?s)" + says.replace("?", "\\?")):
        read_sentences(**options)


def test_the_command_writes_numbers_and_a_chart(
    unplugged: None, tiny_base: Path, tiny: Base, make_adapter: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    adapter = make_adapter(tiny, scale=0.5)
    arguments = ["probe", str(tiny_base), "--adapter", f"m={adapter}", "--languages", "es,de", "--limit", "5", "--out", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "samples" in done.stdout and "characters/token" in done.stdout and f"written: {out / 'probe.svg'}" in done.stdout
    found = read_probe(out)
    assert found and [model.label for model in found.models] == ["base", "m"] and list(found.models[0].languages) == ["en", "es", "de"]
    drawn = probe_charts.draw_probe(found)
    assert drawn
    written = (out / "probe.svg").read_text()
    assert drawn.text.startswith("Retrieval and cosine by layer against English, on 5 of ")
    assert "Spanish: base retrieves " in drawn.text and "German: " in drawn.text
    assert f"<desc>{drawn.text}</desc>" in written and "light-dark(" in written
    for shown in (">Spanish<", ">German<", ">retrieval, 1 at most<", ">cosine, 1 at most<", ">m<", ">base<"):
        assert shown in written
    again = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert Probe(**again) == found, "the same command gives the same numbers"


def test_a_run_is_probed_with_its_adapters_and_read_back(
    unplugged: None, tiny: Base, make_adapter: Callable[..., Path], tmp_path: Path
) -> None:
    root = write_probed_run(tmp_path / "runs" / "s", tiny, make_adapter)
    done = CliRunner().invoke(app, ["probe", str(root), "--limit", "2"])
    assert done.exit_code == 0, done.output
    found = read_probe(root)
    assert found and [model.label for model in found.models] == ["base", "m-seed0"] and list(found.models[0].languages) == ["en", "es"]
    assert found.left_out == ("gone-seed0: its adapter is gone",)
    base, gone, method = runs.collect([root], foreign.read).runs
    drawn = probe_charts.draw_alignment(method)
    assert drawn and "m-seed0 retrieves" in drawn.text and drawn.names == ["base", "m-seed0"]
    alone = probe_charts.draw_alignment(base)
    assert alone and "m-seed0" not in alone.text
    assert probe_charts.draw_alignment(gone) is None
    (root / "probe.json").write_text("{}")
    with pytest.raises(UserError, match="does not follow schema version 1"):
        probe_charts.draw_alignment(base)
    (root / "probe.json").unlink()
    assert probe_charts.draw_alignment(base) is None


def write_probed_run(root: Path, base: Base, make_adapter: Callable[..., Path]) -> Path:
    """A run folder with a base and two methods, one of whose adapters is no longer there."""
    from result_folders import write_run

    made = make_adapter(base, scale=0.5)
    for label, seed in (("base", None), ("m", 0), ("gone", 0)):
        write_run(root, label, {"xlift_mgsm_direct_es": [1.0, 0.0]}, seed=seed, adapter="a" if label == "m" else "c")
    for path in root.glob("evaluate-*/manifest.json"):
        kept = json.loads(path.read_text())
        kept["record"]["base"]["sha256"] = base.sha256
        if kept["record"]["label"] == "m":
            kept["record"]["adapter"] = {"name": "moved", "sha256": resolve(made).sha256}
        path.write_text(json.dumps(kept))
    (root / "fit-m-seed0-0").mkdir()
    made.rename(root / "fit-m-seed0-0" / "adapter")
    suite = {"base": {"model": str(base.folder)}, "languages": {"pivot": "en", "train": ["es"], "evaluate": ["en", "es"]}}
    (root / "suite.resolved.json").write_text(json.dumps(suite))
    return root


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--languages", "es", "--adapter", "a=nowhere"), "nowhere: no such folder"),
        ((), "--languages"),
        (("--languages", "es", "--adapter", "base=x"), "nowhere"),
        (("--languages", "es", "--adapter", "x/a", "--adapter", "y/a"), "two are called 'a'"),
    ],
)
def test_mistakes_are_one_line(
    tiny_base: Path, arguments: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["xlift", "probe", str(tiny_base), *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    assert (stop.value.code, out, len(err.strip().splitlines())) == (2, "", 1) and (says in err or "no such folder" in err)


@pytest.mark.slow
def test_smollm_knows_english_better_and_its_middle_layers_align(smollm: Base, unplugged: None) -> None:
    found = probe.probe(Subject(smollm, {}), read_sentences(["es"], limit=12))
    english, spanish = found.models[0].languages["en"], found.models[0].languages["es"]
    assert found.sentences == 12
    assert english.bits_per_character < spanish.bits_per_character and english.characters_per_token > spanish.characters_per_token
    assert 0.3 < english.bits_per_byte < 2 and english.perplexity < 100
    assert spanish.alignment
    layer, share = probe_charts.best_layer(spanish.alignment)
    assert 0 < layer < 30 and share >= 0.25, (layer, share)  # chance is 1/12
    assert all(own > other for own, other in zip(spanish.alignment.cosine[5:25], spanish.alignment.unrelated[5:25], strict=True))
