"""The load-balancing loss of a mixture of experts: that of the whole step, however it is cut into passes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from xlift.harness.config.suite import TrainSettings
from xlift.harness.core.types import Example, ask
from xlift.harness.plugin import Plan
from xlift.harness.training.balance import add_choices, balance_loss, count_choices, watch_routers
from xlift.harness.training.batching import encode
from xlift.harness.training.report import FitReport
from xlift.harness.training.sft import CourseTrainer
from xlift.harness.training.trainer import fit

PROVENANCE: dict[str, Any] = {"method": "test", "base": {"name": "org/tiny", "sha256": "0" * 64}}
Gradients = Callable[..., tuple[dict[str, torch.Tensor], FitReport]]
ROWS = tuple(Example(ask("say it " * (1 + n % 3)), f"word {n} " * (1 + n % 4), "en", f"r{n}", "test") for n in range(12))


def draw(numbers: torch.Generator, sequences: int, width: int) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    """Router logits of two layers with four experts, and a mask that ends each sequence somewhere."""
    logits = tuple(torch.randn(sequences * width, 4, generator=numbers) for _ in range(2))
    ends = torch.randint(1, width + 1, (sequences, 1), generator=numbers)
    return logits, (torch.arange(width) < ends).long()


def test_one_pass_has_the_loss_of_transformers() -> None:
    logits, mask = draw(torch.Generator().manual_seed(0), 3, 8)
    wanted = load_balancing_loss_func(logits, 4, 2, mask)
    torch.testing.assert_close(balance_loss(logits, mask, count_choices(logits, mask, 2)), wanted)


def test_even_choices_cost_the_number_of_choices() -> None:
    """Four tokens, each sure of another of four experts: f and P are 1/4 for each, and 4 * 4 * 1/4 * 1/4 = 1."""
    logits = (100 * torch.eye(4),)
    mask = torch.ones(1, 4)
    assert float(balance_loss(logits, mask, count_choices(logits, mask, 1))) == pytest.approx(1.0)
    assert float(balance_loss(logits, mask, count_choices(logits, mask, 2))) > 1.0


def test_passes_add_up_to_the_loss_of_all_tokens() -> None:
    numbers = torch.Generator().manual_seed(1)
    passes = [draw(numbers, sequences, 8) for sequences in (1, 4, 2)]
    whole = tuple(torch.cat(layers) for layers in zip(*(logits for logits, _ in passes), strict=True))
    step = add_choices(count_choices(logits, mask, 2) for logits, mask in passes)
    added = sum(balance_loss(logits, mask, step) for logits, mask in passes)
    torch.testing.assert_close(added, load_balancing_loss_func(whole, 4, 2, torch.cat([mask for _, mask in passes])))
    apart = [load_balancing_loss_func(logits, 4, 2, mask) for logits, mask in passes]
    assert abs(sum(apart) / 3 - added) > 1e-3, "the mean of the passes' own losses is another one"


@pytest.fixture(scope="module")
def experts(make_base: Callable[..., Path]) -> Path:
    return make_base(hidden=64, experts=4)


def test_routers_are_seen_behind_trls_fused_scoring_too(experts: Path) -> None:
    from trl.trainer.utils import add_fused_lm_head

    model = AutoModelForCausalLM.from_pretrained(experts, dtype=torch.float32, output_router_logits=True)
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 0]])
    wanted = model(ids).router_logits
    add_fused_lm_head(model)
    with watch_routers(model) as seen:
        model(input_ids=ids, labels=ids, fused_lm_head=True)
    assert len(wanted) == 2 and all(torch.equal(one, other) for one, other in zip(seen[0], wanted, strict=True))
    model(ids)
    assert len(seen) == 1, "only as long as it is asked for"


@pytest.fixture
def read_gradient(experts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gradients:
    """The gradient of the only step of a training whose passes hold so many tokens."""
    step = CourseTrainer.training_step

    def read(tokens: int, **changed: Any) -> tuple[dict[str, torch.Tensor], FitReport]:
        found = {}

        def keep(self: CourseTrainer, *arguments: Any) -> torch.Tensor:
            loss = step(self, *arguments)
            found.update({name: value.grad.clone() for name, value in self.model.named_parameters() if value.grad is not None})
            return loss

        monkeypatch.setattr(CourseTrainer, "training_step", keep)
        lora = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}
        settings = TrainSettings(batch_tokens=100_000, micro_batch_tokens=tokens, max_length=96, lora=lora, dtype="float32", **changed)
        report = fit(experts, Plan(ROWS), settings, tmp_path / f"{tokens}{len(changed)}" / "adapter", seed=0, provenance=PROVENANCE)
        return found, report

    return read


def test_the_cut_into_passes_moves_no_gradient(read_gradient: Gradients) -> None:
    (whole, first), *others = read_gradient(4096), read_gradient(128), read_gradient(128, gradient_checkpointing=True)
    assert first.steps == 1 and any(float(value.abs().max()) > 1e-2 for value in whole.values())
    for cut, report in others:
        assert report.steps == 1 and report.curve[0][2] == pytest.approx(first.curve[0][2], abs=1e-5)
        assert whole.keys() == cut.keys()
        for name in whole:
            torch.testing.assert_close(cut[name], whole[name], rtol=0, atol=1e-5)


def test_the_loss_is_that_of_the_model_on_all_rows(read_gradient: Gradients, experts: Path) -> None:
    found = encode(ROWS, AutoTokenizer.from_pretrained(experts), 96).sequences
    width = max(len(row.tokens) for row in found)
    ids = torch.tensor([[*row.tokens, *[0] * (width - len(row.tokens))] for row in found])
    mask = torch.tensor([[1] * len(row.tokens) + [0] * (width - len(row.tokens)) for row in found])
    model = AutoModelForCausalLM.from_pretrained(experts, dtype=torch.float32)
    with torch.no_grad():
        outputs = model(ids, attention_mask=mask, output_router_logits=True)
    scores = outputs.logits.log_softmax(-1)
    lost = [-scores[n, place - 1, row.tokens[place]] for n, row in enumerate(found) for place in range(row.prompt, len(row.tokens))]
    wanted = float(sum(lost)) / len(lost) + 0.9 * float(outputs.aux_loss)
    assert read_gradient(128)[1].curve[0][2] == pytest.approx(wanted, abs=1e-4)
