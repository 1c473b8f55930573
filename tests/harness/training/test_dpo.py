"""Preferences in the trainer: the loss by hand, the reference, and rounds that go on from each other's adapter."""

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from preference_training import LORA, SETTINGS, make_pairs, train
from safetensors.torch import load_file

from xlift.harness.core.types import Example, Preference, ask
from xlift.harness.models.bases import Base
from xlift.harness.plugin import Dpo, Sft
from xlift.harness.training.batching import Corpus, encode
from xlift.harness.training.dpo import PreferenceTrainer, dpo_loss
from xlift.harness.training.report import FitReport


def fingerprint(stage: Path) -> str:
    return hashlib.sha256((stage / "adapter" / "adapter_model.safetensors").read_bytes()).hexdigest()


def read_corpus(base: Path) -> Corpus:
    from transformers import AutoTokenizer

    return encode(make_pairs(), AutoTokenizer.from_pretrained(base), SETTINGS["max_length"])


def load_model(base: Path, adapter: Path | None = None) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return PeftModel.from_pretrained(model, adapter) if adapter else model


def score_plainly(model: Any, corpus: Corpus) -> torch.Tensor:
    """Log-probabilities of the answers (pairs x 2), one sequence at a time, from all logits."""
    found = []
    for sequence in corpus.sequences:
        with torch.no_grad():
            scores = model(torch.tensor([sequence.tokens])).logits[0].log_softmax(-1)
        found.append(sum(float(scores[place - 1, sequence.tokens[place]]) for place in range(sequence.prompt, len(sequence.tokens))))
    return torch.tensor(found).view(-1, 2)


@pytest.fixture
def references(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The reference log-probabilities of each training in this test."""
    read, found = PreferenceTrainer.read_reference, []

    def spy(trainer: PreferenceTrainer, *arguments: Any) -> None:
        read(trainer, *arguments)
        found.append(trainer.reference.view(-1, 2))

    monkeypatch.setattr(PreferenceTrainer, "read_reference", spy)
    return found


@pytest.fixture(scope="module")
def undisturbed(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FitReport]:
    stage = tmp_path_factory.mktemp("fit")
    return stage, train(tiny_base, stage, epochs=2)


def test_the_loss_by_hand() -> None:
    # log-ratios 0.5 and -0.5, so the margin is 0.1 x 1.0; -log sigmoid(0.1) = log(1 + e^-0.1) = 0.644397; 2 nats on 4 tokens are 0.5 each
    # the second pair is as the reference has it: -log sigmoid(0) = log 2; 3 nats on 2 tokens are 1.5 each
    numbers = torch.tensor([[-2.0, -3.0], [-3.0, -1.0]]), torch.tensor([[-2.5, -2.5], [-3.0, -1.0]]), torch.tensor([4, 2])
    losses, margins = dpo_loss(Dpo(beta=0.1, nll_weight=1.0), *numbers)
    assert losses.tolist() == pytest.approx([0.644397 + 0.5, 0.693147 + 1.5], abs=1e-6) and margins.tolist() == pytest.approx([0.1, 0.0])
    assert dpo_loss(Dpo(nll_weight=0.0), *numbers)[0].tolist() == pytest.approx([0.644397, 0.693147], abs=1e-6)
    assert dpo_loss(Dpo(length_normalised=False), *numbers)[0].tolist() == pytest.approx([2.644397, 3.693147], abs=1e-6)
    # beta 2: log(1 + e^-2) = 0.126928; half of 0.5
    assert float(dpo_loss(Dpo(beta=2.0, nll_weight=0.5), *numbers)[0][0]) == pytest.approx(0.126928 + 0.25, abs=1e-6)


@pytest.mark.parametrize("objective", [Dpo(beta=0.5, nll_weight=0.7), Dpo(beta=0.2, nll_weight=0.01, length_normalised=False)])
def test_the_loss_of_a_step_is_that_of_all_logits(objective: Dpo, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the first step is taken before any weight has changed, so a made-up reference gives it margins
    corpus = read_corpus(tiny_base)
    scores = score_plainly(load_model(tiny_base), corpus)
    reference = scores + torch.randn(scores.shape, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(PreferenceTrainer, "read_reference", lambda trainer, *_: setattr(trainer, "reference", reference.flatten()))
    report = train(tiny_base, tmp_path, objective=objective, batch_tokens=10_000)
    total, margins = 0.0, []
    for number in range(corpus.rows):
        (chosen, rejected), (held, against) = scores[number].tolist(), reference[number].tolist()
        margins.append(objective.beta * ((chosen - held) - (rejected - against)))
        length = corpus.sequences[2 * number].response if objective.length_normalised else 1
        total += math.log(1 + math.exp(-margins[-1])) - objective.nll_weight * chosen / length
    assert report.steps == 1 and report.curve[0][2] == pytest.approx(total / corpus.rows, abs=1e-4)
    assert report.reward_margin == pytest.approx(sum(margins) / len(margins), abs=1e-4)
    assert report.reward_accuracy == pytest.approx(sum(margin > 0 for margin in margins) / len(margins), abs=1e-4)


@pytest.mark.slow
def test_trl_learns_the_same_from_the_same_pairs(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    # pair by pair, TRL's average over the chosen tokens is that of each answer; a step holds all pairs, so their order is nothing
    settings = {"learning_rate": 5e-3, "warmup": 0.0, "schedule": "constant"}
    ours = train(tiny_base, tmp_path, **settings, batch_tokens=sum(read_corpus(tiny_base).sizes), micro_batch_tokens=2000, epochs=4)
    rows = [
        {"prompt_ids": chosen.tokens[: chosen.prompt], "chosen_ids": chosen.tokens[chosen.prompt :],
         "rejected_ids": rejected.tokens[chosen.prompt :]}
        for chosen, rejected in zip(*(read_corpus(tiny_base).sequences[side::2] for side in (0, 1)), strict=True)
    ]  # fmt: skip
    arguments = DPOConfig(
        output_dir=str(tmp_path / "trl"), per_device_train_batch_size=1, gradient_accumulation_steps=len(rows), num_train_epochs=4, seed=0,
        learning_rate=5e-3, lr_scheduler_type="constant", loss_type=["sigmoid", "sft"], beta=0.1, precompute_ref_log_probs=True,
        max_length=None, use_cpu=True, bf16=False, gradient_checkpointing=False, logging_steps=1, report_to="none", disable_tqdm=True,
        save_strategy="no",
    )  # fmt: skip
    monkeypatch.setattr(DPOTrainer, "_prepare_dataset", lambda trainer, dataset, *_: dataset)  # the tokens are ours
    theirs = DPOTrainer(
        load_model(tiny_base), args=arguments, train_dataset=Dataset.from_list(rows), peft_config=LoraConfig(task_type="CAUSAL_LM", **LORA),
        processing_class=AutoTokenizer.from_pretrained(tiny_base),
    )  # fmt: skip
    theirs.train()
    logged = [entry for entry in theirs.state.log_history if "loss" in entry]
    assert ours.steps == len(logged) == 4 and ours.curve[3][2] < ours.curve[0][2] - 0.05
    assert [point[2] for point in ours.curve] == pytest.approx([entry["loss"] for entry in logged], abs=1e-3)
    assert ours.reward_margin == pytest.approx(logged[-1]["rewards/margins"], abs=1e-3)


def test_what_is_counted(undisturbed: tuple[Path, FitReport], tiny_base: Path) -> None:
    corpus, report = read_corpus(tiny_base), undisturbed[1]
    assert report.tokens_trained == 2 * sum(corpus.lengths) and report.response_tokens == 2 * sum(one.response for one in corpus.sequences)
    assert (report.rows, report.epochs, report.rows_cut, report.rows_dropped) == (24, 2.0, 0, 0)
    assert report.padding_share <= 0.05
    assert report.reward_margin is not None and report.reward_margin > 0
    assert report.reward_accuracy is not None and 0.5 < report.reward_accuracy <= 1
    # the first step knows no difference from the reference
    assert report.final_loss < report.curve[0][2]
    card = json.loads((undisturbed[0] / "adapter" / "xlift.json").read_text())
    assert card["fit"]["reward_margin"] == report.reward_margin


def test_passes_change_nothing_beyond_rounding(tiny_base: Path, tmp_path: Path) -> None:
    whole = train(tiny_base, tmp_path / "whole", micro_batch_tokens=4096)
    small = train(tiny_base, tmp_path / "small", micro_batch_tokens=192)
    assert [point[2] for point in small.curve] == pytest.approx([point[2] for point in whole.curve], abs=2e-4)
    assert small.reward_margin == pytest.approx(whole.reward_margin, abs=2e-4)


def test_logits_are_computed_for_answers_alone(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import LlamaForCausalLM

    forward, seen = LlamaForCausalLM.forward, []

    def count(model: Any, *arguments: Any, **named: Any) -> Any:
        outputs = forward(model, *arguments, **named)
        seen.append((named["input_ids"].numel(), outputs.logits[..., 0].numel()))
        return outputs

    monkeypatch.setattr(LlamaForCausalLM, "forward", count)
    pairs = [Preference(ask("a" * 30), "yes", "no", "en", f"p{number}", "test") for number in range(8)]
    report = train(tiny_base, tmp_path, pairs)
    # the reference and the training go over the same tokens; "yes" and its end take 4 positions, "no" 3
    assert sum(tokens for tokens, _ in seen) <= 2 * report.tokens_trained / 0.95
    assert sum(logits for _, logits in seen) <= 2 * 8 * (4 + 4)


def test_the_reference_is_the_model_at_the_start_of_the_round(tiny_base: Path, tmp_path: Path, references: list[torch.Tensor]) -> None:
    corpus, base = read_corpus(tiny_base), load_model(tiny_base)
    dropping = {**LORA, "lora_dropout": 0.5}
    train(tiny_base, tmp_path / "one", lora=dropping)
    first = tmp_path / "one" / "adapter"
    report = train(tiny_base, tmp_path / "two", start=first, lora=dropping)
    bare, tuned = score_plainly(base, corpus), score_plainly(load_model(tiny_base, first), corpus)
    assert torch.allclose(references[0], bare, atol=1e-4) and torch.allclose(references[1], tuned, atol=1e-4)
    assert float((bare - tuned).abs().min()) > 0.01
    assert report.steps == round(sum(corpus.lengths) / SETTINGS["batch_tokens"])


def test_two_rounds_leave_one_adapter_on_the_original_base(tiny_base: Path, tmp_path: Path) -> None:
    train(tiny_base, tmp_path / "one")
    train(tiny_base, tmp_path / "two", start=tmp_path / "one" / "adapter")
    first, second = tmp_path / "one" / "adapter", tmp_path / "two" / "adapter"
    ids = torch.tensor([read_corpus(tiny_base).sequences[3].tokens])
    stepwise = load_model(tiny_base, first).merge_and_unload()
    one, two = load_file(first / "adapter_model.safetensors"), load_file(second / "adapter_model.safetensors")
    with torch.no_grad():
        after_one = stepwise(ids).logits
        for name in (name for name in one if "lora_A" in name):
            other = name.replace("lora_A", "lora_B")
            weight = stepwise.get_parameter(name.removeprefix("base_model.model.").replace("lora_A.", ""))
            weight += LORA["lora_alpha"] / LORA["r"] * (two[other] @ two[name] - one[other] @ one[name])
        expected, found = stepwise(ids).logits, load_model(tiny_base, second)(ids).logits
    assert torch.allclose(found, expected, atol=1e-4)
    assert float((found - after_one).abs().max()) > 0.01
    assert json.loads((second / "adapter_config.json").read_text())["base_model_name_or_path"] == "org/tiny"


SUPPORT = Path(__file__).parents[2] / "support"
CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from preference_training import train
train(Path(sys.argv[2]), Path(sys.argv[3]), epochs=2)
"""


def refuse(*arguments: object) -> None:
    raise AssertionError("the reference was computed again")


@pytest.mark.slow
def test_killed_and_resumed_equals_undisturbed(
    undisturbed: tuple[Path, FitReport], tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [sys.executable, "-c", CHILD, str(SUPPORT), str(tiny_base), str(tmp_path)]
    process = subprocess.Popen(arguments, env={**os.environ, "PYTHONHASHSEED": "7"}, stderr=subprocess.DEVNULL)
    while not (tmp_path / "checkpoints" / "checkpoint-2" / "seal.json").exists():
        assert process.poll() is None, "the training ended before it could be killed"
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    monkeypatch.setattr(PreferenceTrainer, "score_all", refuse)
    report, expected = train(tiny_base, tmp_path, epochs=2), undisturbed[1]
    assert report.resumed_from_step is not None and report.resumed_from_step >= 2
    assert fingerprint(tmp_path) == fingerprint(undisturbed[0])
    same = ("steps", "tokens_trained", "response_tokens", "epochs", "curve", "final_loss", "reward_margin", "reward_accuracy")
    assert all(getattr(report, name) == getattr(expected, name) for name in same)


def test_a_reference_is_used_only_where_it_is_whole(
    undisturbed: tuple[Path, FitReport], tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = tmp_path / "checkpoints" / "reference"
    half.mkdir(parents=True)
    (half / "reference.safetensors").write_bytes(b"half")
    with monkeypatch.context() as patched:
        patched.setattr(PreferenceTrainer, "train", lambda *_, **named: sys.exit("killed"))
        with pytest.raises(SystemExit, match="killed"):
            train(tiny_base, tmp_path, epochs=2)
    monkeypatch.setattr(PreferenceTrainer, "score_all", refuse)
    train(tiny_base, tmp_path, epochs=2)
    assert fingerprint(tmp_path) == fingerprint(undisturbed[0])
    with pytest.raises(AssertionError, match="computed again"):  # another training
        train(tiny_base, tmp_path, epochs=2, objective=Dpo(beta=0.2))


def test_equal_budgets_are_equal_steps_and_tokens_whatever_the_objective(tiny_base: Path, tmp_path: Path) -> None:
    def make(words: int) -> list[Example]:
        return [Example(ask(f"say {number}"), "word " * words, "en", f"r{number}", "test") for number in range(12)]

    found = [
        train(tiny_base, tmp_path / str(number), rows, objective, tokens=2000, batch_tokens=256)
        for number, (rows, objective) in enumerate([(make(1), Sft()), (make(9), Sft()), (make_pairs(), Dpo())])
    ]
    assert [report.steps for report in found] == [8, 8, 8]
    # no row is longer than two times 96 tokens
    assert all(0 <= report.tokens_trained - 2000 < 2 * 96 for report in found)


@pytest.mark.slow
def test_a_real_model_learns_what_it_is_shown(smollm: Base, tmp_path: Path) -> None:
    colours = ["red", "green", "blue", "yellow", "black", "white", "brown", "pink"]
    pairs = [
        Preference(ask(f"Name the colour {colour}."), f"It is {colour}.", "I cannot say that.", "en", colour, "test") for colour in colours
    ]
    settings = {"batch_tokens": 256, "micro_batch_tokens": 512, "epochs": 3, "learning_rate": 2e-4, "warmup": 0.0, "schedule": "constant"}
    report = train(smollm.folder, tmp_path, pairs, dtype="bfloat16", **settings)
    assert report.padding_share <= 0.05
    assert report.reward_accuracy == 1 and report.reward_margin is not None and report.reward_margin > 0.05
    assert report.final_loss < report.curve[0][2]
