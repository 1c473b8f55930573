"""Reward gaps in the trainer: the loss by hand, the loss of a step, the reference, and what is refused."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from preference_training import SETTINGS, make_pairs, train

from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Preference, ask, list_languages, list_texts, read_row
from xlift.harness.engines.states import read_states
from xlift.harness.plugin import Dpo, Gap
from xlift.harness.training.batching import Corpus, encode
from xlift.harness.training.gap import GapTrainer, gap_loss, measure_gaps


def make_twins(count: int = 12) -> tuple[Preference, ...]:
    pairs = make_pairs(count)
    twins = [Preference(ask(f"dilo {n}"), "bien " * (1 + n % 3), f"mal {n}", "es", f"t{n}", "test") for n in range(count)]
    return tuple(replace(pair, twin=twin) for pair, twin in zip(pairs, twins, strict=True))


def read_corpus(base: Path) -> Corpus:
    from transformers import AutoTokenizer

    return encode(make_twins(), AutoTokenizer.from_pretrained(base), SETTINGS["max_length"])


def load_model(base: Path, adapter: Path | None = None) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    return PeftModel.from_pretrained(model, adapter).merge_and_unload() if adapter else model


def read_gaps(model: Any, corpus: Corpus) -> torch.Tensor:
    """Gaps (rows x 2: of the pair, of its twin), one sequence at a time, from all logits."""
    means = []
    for sequence in corpus.sequences:
        with torch.no_grad():
            scores = model(torch.tensor([sequence.tokens])).logits[0].log_softmax(-1)
        found = [float(scores[place - 1, sequence.tokens[place]]) for place in range(sequence.prompt, len(sequence.tokens))]
        means.append(sum(found) / len(found))
    return torch.tensor(means).view(-1, 2, 2) @ torch.tensor([1.0, -1.0])


def read_twin_states(model: Any, corpus: Corpus) -> torch.Tensor:
    """Mean last states of the twins' two sequences (rows x 2 x hidden)."""
    last = torch.cat([read_states(model, [sequence.tokens], [2], "mean", 1) for sequence in corpus.sequences])
    return last.view(corpus.rows, 4, -1)[:, 2:]


def test_the_loss_by_hand() -> None:
    # 2 nats on 4 tokens and 3 on 2: means -0.5 and -1.5, so a gap of 1; the other way round -0.5
    gaps = measure_gaps(torch.tensor([[-2.0, -3.0], [-3.0, -1.0]]), torch.tensor([[4, 2], [3, 2]]))
    assert gaps.tolist() == [1.0, -0.5]
    # (0.5 x 1 - 2)^2 and (0.5 x -0.5 - 2)^2
    assert gap_loss(0.5, gaps, torch.tensor([2.0, 2.0])).tolist() == [2.25, 5.0625]
    pull = torch.tensor([1.0], requires_grad=True)
    gap_loss(0.5, pull, torch.tensor([2.0])).backward()
    assert pull.grad is not None and pull.grad.tolist() == [-1.5], "2 x 0.5 x (0.5 - 2)"


@pytest.mark.parametrize("limit", [256, 4096])
def test_the_loss_of_a_step_is_that_of_all_logits(limit: int, tiny_base: Path, tmp_path: Path) -> None:
    gaps = read_gaps(load_model(tiny_base), read_corpus(tiny_base))
    objective = Gap(beta=1.5, keep=2.0)
    report = train(tiny_base, tmp_path, make_twins(), objective, batch_tokens=10_000, micro_batch_tokens=limit)
    expected = float((1.5 * gaps[:, 0] - gaps[:, 1]).square().mean())
    assert report.steps == 1 and report.curve[0][2] == pytest.approx(expected, abs=1e-4)
    assert report.terms == {"gap": (report.curve[0][2],) * 2, "keep": (0, 0)}, "nothing has moved at the first step"


def test_gaps_come_to_those_of_the_twins_and_the_twins_stay(tiny_base: Path, tmp_path: Path) -> None:
    corpus = read_corpus(tiny_base)
    before = load_model(tiny_base)
    wanted, states = read_gaps(before, corpus)[:, 1], read_twin_states(before, corpus)
    moved = []
    for keep in (0.0, 30.0):
        stage = tmp_path / f"{keep}"
        report = train(tiny_base, stage, make_twins(), Gap(keep=keep), epochs=8, batch_tokens=400)
        after = load_model(tiny_base, stage / "adapter")
        left = (read_gaps(after, corpus)[:, 0] - wanted).square().mean()
        assert float(left) < 0.5 * float((read_gaps(before, corpus)[:, 0] - wanted).square().mean())
        assert report.terms["gap"][1] < report.terms["gap"][0] and ("keep" in report.terms) == (keep > 0)
        moved.append(float((read_twin_states(after, corpus) - states).square().mean()))
    assert moved[1] < 0.5 * moved[0]


def test_all_four_answers_are_counted(tiny_base: Path, tmp_path: Path) -> None:
    corpus = read_corpus(tiny_base)
    assert corpus.sides == (4,) * 12 and corpus.rows == 12
    report = train(tiny_base, tmp_path, make_twins(), Gap())
    assert report.rows == 12 and report.tokens_trained == sum(corpus.lengths)
    assert report.reward_margin is None


def test_a_whole_reference_is_used_again(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(tiny_base, tmp_path / "whole", make_twins(), Gap())
    with monkeypatch.context() as patched:
        patched.setattr(GapTrainer, "train", lambda *_, **named: sys.exit("killed"))
        with pytest.raises(SystemExit, match="killed"):
            train(tiny_base, tmp_path / "other", make_twins(), Gap())
    with monkeypatch.context() as patched:
        patched.setattr(GapTrainer, "compute_reference", lambda *_: pytest.fail("the reference was computed again"))
        assert train(tiny_base, tmp_path / "other", make_twins(), Gap()).curve == whole.curve


@pytest.mark.parametrize(
    ("rows", "objective", "says"),
    [
        (make_pairs(2), Gap(), "row 'p0' lacks its twin, which the objective Gap alone, and always, needs"),
        (make_twins(), Dpo(), "row 'p0' has a twin, which the objective Gap alone"),
        (
            [replace(make_twins()[0], twin=replace(make_pairs(1)[0], rejected="word 0 "))],
            Gap(),
            "row 'p0': the chosen and the rejected ans",
        ),
        (
            [replace(make_twins()[0], twin=replace(make_pairs(1)[0], messages=ask("say it " * 20)))],
            Gap(),
            "train.max_length 96: none of 1 row",
        ),
    ],
)
def test_what_has_no_gap_is_refused(rows: Any, objective: Gap | Dpo, says: str, tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        train(tiny_base, tmp_path, rows, objective)


def test_a_twin_goes_through_plain_data_and_past_the_guards() -> None:
    row = make_twins(1)[0]
    assert read_row(row.to_dict()) == row and "twin" not in make_pairs(1)[0].to_dict()
    assert list_texts(row) == ["say it ", "word 0 ", "no ", "dilo 0", "bien ", "mal 0"]
    assert list_languages(row) == ["en", "es"]
