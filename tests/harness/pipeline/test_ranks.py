"""A training that two processes share: what one makes of it, to the rounding; and when one of them is killed."""

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from shared_runs import suite_of

from xlift.harness.config.suite import TrainSettings, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Example, Preference, ask
from xlift.harness.pipeline.processes import run_apart
from xlift.harness.pipeline.ranks import run_ranks
from xlift.harness.pipeline.run import measure_suite
from xlift.harness.plugin import Plan
from xlift.harness.recipes.contract import Dpo, Sft
from xlift.harness.training.report import FitReport

SETTINGS: dict[str, Any] = {
    "batch_tokens": 512, "micro_batch_tokens": 192, "max_length": 96, "epochs": 2, "checkpoint_steps": 3, "dtype": "float32",
    "learning_rate": 1e-3, "lora": {"r": 4, "target_modules": "all-linear"},
}  # fmt: skip


def make_rows(count: int = 40) -> tuple[Example, ...]:
    texts = [("say it again " * (1 + number % 3), f"word {number} " * (1 + number % 4)) for number in range(count)]
    return tuple(Example(ask(prompt), response, "en", f"r{number}", "test") for number, (prompt, response) in enumerate(texts))


def make_pairs() -> tuple[Preference, ...]:
    return tuple(Preference(row.messages, row.response, f"no {row.id}", row.lang, row.id, row.kind) for row in make_rows(24))


def train(base: Path, stage: Path, what: str = "sft", dies_at: int | None = None) -> tuple[FitReport, list[float]]:
    """Train, with the checkpoints kept, and return the norms of all gradients; the second process may die at a step."""
    import torch

    from xlift.harness.training import trainer
    from xlift.harness.training.sft import CourseTrainer

    torch.set_num_threads(1)
    trainer.discard = lambda folder: None  # type: ignore[attr-defined]
    step = CourseTrainer.training_step

    def count(self: CourseTrainer, *arguments: Any) -> Any:
        if os.environ.get("RANK") == "1" and self.state.global_step == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "fsdp2" and self.args.world_size == 2:
            held = [weight.to_local().numel() for weight in self.model.parameters() if not weight.requires_grad]
            whole = [weight.numel() for weight in self.model.parameters() if not weight.requires_grad]
            assert sum(held) < 0.51 * sum(whole)
        return step(self, *arguments)

    CourseTrainer.training_step = count  # type: ignore[method-assign]
    plan = Plan(make_pairs(), Dpo(beta=0.1, nll_weight=0.1)) if what == "dpo" else Plan(make_rows(), Sft())
    settings = TrainSettings(**SETTINGS, **{"strategy": "fsdp2", "processes": 2} if what == "fsdp2" else {})
    report = trainer.fit(base, plan, settings, stage / "adapter", seed=0, provenance={"base": {"name": "org/tiny", "sha256": "0" * 64}})
    states = sorted((stage / "checkpoints").glob("checkpoint-*/trainer_state.json"), key=lambda path: path.stat().st_mtime)
    history = json.loads(states[-1].read_text())["log_history"]
    return report, [entry["grad_norm"] for entry in history if "grad_norm" in entry]


def largest_difference(one: Path, other: Path) -> float:
    ours, theirs = (load_file(stage / "adapter" / "adapter_model.safetensors") for stage in (one, other))
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["sft", "dpo", "fsdp2"])
def test_two_processes_train_what_one_does(what: str, tiny_base: Path, tmp_path: Path) -> None:
    one, norms = run_apart("fit", train, tiny_base, tmp_path / "one", what)
    two, both = run_ranks("fit", train, (tiny_base, tmp_path / "two", what), 2)
    assert (one.processes, two.processes, two.tokens_trained) == (1, 2, one.tokens_trained)
    assert len(norms) >= 3 and both == pytest.approx(norms, rel=1e-5)
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 1e-6
    assert [point[2] for point in two.curve] == pytest.approx([point[2] for point in one.curve], abs=2e-5)
    assert two.reward_accuracy == one.reward_accuracy


@pytest.mark.slow
@pytest.mark.parametrize("what", ["sft", "fsdp2"])
def test_a_process_that_is_killed_ends_the_training_in_one_line_and_the_next_goes_on(what: str, tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^fit m: process 2 of 2 died \(it was killed, or memory ran out\); the same command goes on"):
        run_ranks("fit m", train, (tiny_base, tmp_path / "killed", what, 5), 2)
    resumed, _ = run_ranks("fit m", train, (tiny_base, tmp_path / "killed", what), 2)
    undisturbed, _ = run_ranks("fit m", train, (tiny_base, tmp_path / "undisturbed", what), 2)
    assert (resumed.resumed_from_step, undisturbed.resumed_from_step) == (3, None)
    assert largest_difference(tmp_path / "killed", tmp_path / "undisturbed") == 0.0


def refuse_pairs(base: Path, stage: Path) -> None:
    from xlift.harness.training import trainer

    settings = TrainSettings(**SETTINGS, strategy="fsdp2", processes=2)
    trainer.fit(base, Plan(make_pairs(), Dpo()), settings, stage / "adapter", seed=0, provenance={"base": {"name": "org/tiny"}})


def refuse(base: Path) -> None:
    if os.environ["RANK"] == "1":
        raise UserError("train.max_length 5: none of 40 rows can be trained on")
    signal.pause()


def test_what_a_process_refuses_ends_the_others_and_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="^train.max_length 5: none of 40 rows can be trained on$"):
        run_ranks("fit m", refuse, (tmp_path,), 2)


def meet(base: Path) -> None:
    import torch

    torch.distributed.init_process_group("gloo")


@pytest.mark.slow
def test_a_port_that_is_taken_meanwhile_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr("xlift.harness.pipeline.ranks._find_port", lambda: taken.getsockname()[1])
        with pytest.raises(
            UserError, match="^fit m: process 1 of 2 failed: .*(EADDRINUSE|address already in use).*; the same command"
        ) as caught:
            run_ranks("fit m", meet, (tmp_path,), 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "train.strategy: fsdp2 shares the base out among processes, and there is one; set train.processes to 2 or more"),
        ({"processes": 2, "quantise": "4bit"}, "train.strategy: fsdp2 .* does not go with train.quantise; leave one out"),
        ({"processes": 2, "lora": None}, "train.strategy: fsdp2 .* does not go with train.lora: null; leave one out"),
    ],
)
def test_what_cannot_be_shared_out_is_refused_in_the_suite(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        read_suite(suite_of(tmp_path, train={"strategy": "fsdp2", **changes}), "test")


@pytest.mark.slow
def test_preferences_are_not_trained_on_a_base_that_is_shared_out(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="^train.strategy: fsdp2 shares the base out, and what preferences are compared with comes from"):
        run_ranks("fit m", refuse_pairs, (tiny_base, tmp_path), 2)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("xlift.harness.pipeline.ranks.find_gpus", lambda environment: ["0"])
    with pytest.raises(UserError, match=r"^train.processes 2: 1 GPUs can be seen \(0\), and each process takes one$"):
        run_ranks("fit m", refuse, (tmp_path,), 2)


def test_more_processes_than_cores_are_refused_without_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("xlift.harness.pipeline.ranks.find_gpus", lambda environment: [])
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    with pytest.raises(UserError, match="^train.processes 1000: there is no GPU here, and 2 cores, of which each process takes one$"):
        run_ranks("fit m", refuse, (tmp_path,), 1000)


@pytest.mark.usefixtures("unplugged")
def test_too_many_processes_are_found_before_rows_are_made(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xlift.harness.pipeline.ranks.find_gpus", lambda environment: ["0"])
    suite = read_suite(suite_of(tiny_base, train={**suite_of(tiny_base)["train"], "processes": 3}), "test")
    with pytest.raises(UserError, match=r"^train.processes 3: 1 GPUs can be seen"):
        measure_suite(suite, tmp_path)
    assert not list((tmp_path / "shared").glob("prepare-*"))
