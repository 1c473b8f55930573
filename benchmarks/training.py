"""Training tokens per second, padding not counted: ours against TRL's SFTTrainer with its defaults, step by step in one run.

    python benchmarks/training.py                   both peers, 12 steps of about 8 rows
    python benchmarks/training.py --steps 40 trl    more steps, one peer

Peers: `trl` is SFTTrainer with its defaults (bf16 autocast, gradient checkpointing, 8 rows a batch as they come) on bf16 weights;
`trl-fp32` is the same in fp32 arithmetic. All train SmolLM2 on the same rows for one epoch, with the same LoRA, rate, schedule and
warm-up. The sides take turns, one step at a time, so that whatever else the machine does falls on all. The held-out loss is measured
afterwards, with the same code for every adapter. Rows are English-Spanish pairs (XLIFT_DATA, else the bundled samples) of at most 160
characters.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path
from typing import Any

from xlift.harness.config.suite import BaseSettings, TrainSettings
from xlift.harness.core.types import Example, ask
from xlift.harness.models import bases
from xlift.harness.plugin import Plan
from xlift.tasks import data

LORA = {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}
RATE, WARMUP, SCHEDULE = 5e-4, 0.1, "cosine"
ROWS, HELD_OUT, CHARACTERS = 8, 200, 160


def read_rows(count: int) -> tuple[list[Example], list[Example]]:
    """``count`` rows to train on and up to 200 others."""
    pairs = data.read_training("parallel/news2008", "es", samples="missing")
    pairs = [pair for pair in pairs if len(pair["en"]) <= CHARACTERS]
    rows = [Example(ask(f"Translate into Spanish: {pair['en']}"), pair["text"], "es", pair["id"], "translation") for pair in pairs]
    return rows[:count], rows[count : count + HELD_OUT]


class Turns:
    """Lets the other side run between two steps: says that a step may begin, and waits for leave."""

    def on_step_begin(self, *arguments: Any, **named: Any) -> None:
        print("ready", file=sys.__stdout__, flush=True)
        sys.stdin.readline()


def train_ours(base: Path, rows: list[Example], out: Path) -> dict[str, Any]:
    from xlift.harness.training import trainer
    from xlift.harness.training.batching import encode
    from xlift.harness.training.sft import ShowProgress

    class Taking(Turns, ShowProgress):
        pass

    trainer.ShowProgress = Taking  # type: ignore[misc]
    mean = sum(encode(rows, trainer.AutoTokenizer.from_pretrained(base), 1024).lengths) / len(rows)
    limit = int(ROWS * mean)
    settings = TrainSettings(
        batch_tokens=limit, micro_batch_tokens=2 * limit, max_length=512, learning_rate=RATE, warmup=WARMUP, schedule=SCHEDULE, lora=LORA,
        checkpoint_steps=10_000,
    )  # fmt: skip
    report = trainer.fit(base, Plan(tuple(rows)), settings, out, seed=0, provenance={"base": {"name": "smollm2"}})
    return {"steps": report.steps, "arithmetic": report.arithmetic, "padding": report.padding_share}


def train_trl(base: Path, rows: list[Example], out: Path, bf16: bool) -> dict[str, Any]:
    from datasets import Dataset
    from peft import LoraConfig
    from torch.cuda import is_available
    from transformers import AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Taking(Turns, TrainerCallback):
        pass

    answers = [{"prompt": list(row.messages), "completion": [{"role": "assistant", "content": row.response}]} for row in rows]
    config = SFTConfig(
        output_dir=str(out.parent / "trl"), num_train_epochs=1, learning_rate=RATE, lr_scheduler_type=SCHEDULE,
        warmup_steps=-(-len(rows) // ROWS) * WARMUP, report_to="none", use_cpu=not is_available(), bf16=bf16,
        model_init_kwargs={"dtype": "bfloat16" if bf16 else "float32"}, disable_tqdm=True,
    )  # fmt: skip
    trainer = SFTTrainer(
        model=str(base), args=config, train_dataset=Dataset.from_list(answers), processing_class=AutoTokenizer.from_pretrained(base),
        peft_config=LoraConfig(task_type="CAUSAL_LM", **LORA), callbacks=[Taking()],
    )  # fmt: skip
    trainer.train()
    trainer.model.save_pretrained(out)
    return {"steps": trainer.state.global_step, "arithmetic": "bfloat16" if bf16 else "float32"}


def run_side(side: str, base: Path, folder: Path, count: int) -> None:
    """One side, as a process of its own; what libraries print goes to stderr."""
    sys.stdout = sys.stderr
    rows, out = read_rows(count)[0], folder / side / "adapter"
    outcome = train_ours(base, rows, out) if side == "ours" else train_trl(base, rows, out, bf16=side == "trl")
    outcome["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(json.dumps(outcome), file=sys.__stdout__, flush=True)


def take_turns(sides: list[str], base: Path, folder: Path, count: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Seconds that each side spent in its steps, and what it says of itself."""
    seconds, outcomes, running = dict.fromkeys(sides, 0.0), {}, {}
    for side in sides:
        command = [sys.executable, "-W", "ignore", __file__, "--side", json.dumps([side, str(base), str(folder), count])]
        with (folder / f"{side}.log").open("w") as log:
            running[side] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        if running[side].stdout.readline() != "ready\n":
            raise SystemExit(f"{side} did not start:\n{(folder / f'{side}.log').read_text()[-2000:]}")
    for side in cycle(sides):
        if side in outcomes:
            if len(outcomes) == len(sides):
                return seconds, outcomes
            continue
        started = time.perf_counter()
        running[side].stdin.write("go\n")
        running[side].stdin.flush()
        answer = running[side].stdout.readline()
        seconds[side] += time.perf_counter() - started
        if answer != "ready\n":
            if not answer:
                raise SystemExit(f"{side} failed:\n{(folder / f'{side}.log').read_text()[-2000:]}")
            outcomes[side] = json.loads(answer)
    raise AssertionError


def measure_loss(base: Path, adapter: Path | None, rows: list[Example]) -> float:
    """Mean cross-entropy over the responses' tokens, in fp32, one row at a time."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from xlift.harness.training.batching import encode

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter:
        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    total, count = 0.0, 0
    for row in encode(rows, AutoTokenizer.from_pretrained(base), 512).sequences:
        answer = torch.tensor(row.tokens[row.prompt :])
        with torch.no_grad():
            logits = model(torch.tensor([row.tokens]), logits_to_keep=len(answer) + 1).logits[0, :-1]
        total += float(torch.nn.functional.cross_entropy(logits, answer, reduction="sum"))
        count += len(answer)
    return total / count


def measure_ceilings() -> dict[str, float]:
    """The best rate of a large matrix product (2048 x 2048 x 2048), in operations per second, by arithmetic."""
    import torch

    device, best = "cuda" if torch.cuda.is_available() else "cpu", {}
    for name in ("bfloat16", "float32"):
        left, right = (torch.randn(2048, 2048, device=device, dtype=getattr(torch, name)) for _ in range(2))
        times = []
        for _ in range(8):
            started = time.perf_counter()
            product = left @ right
            float(product[0, 0])
            times.append(time.perf_counter() - started)
        best[name] = 2 * 2048**3 / min(times)
    return best


def count_operations(base: Path, rows: list[Example]) -> tuple[int, float]:
    """Tokens of the rows, and operations that a token needs on average.

    2 for each weight forward and 2 back to the activations (the base's weights need no gradient), the output layer on response tokens
    alone, and 6 for each weight of LoRA. Attention scores are left out, and so is whatever is computed twice or for padding.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from xlift.harness.training.batching import encode

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))
    head = model.get_output_embeddings().weight.numel()
    body = sum(module.weight.numel() for module in model.modules() if isinstance(module, torch.nn.Linear)) - head
    own, _ = get_peft_model(model, LoraConfig(**LORA)).get_nb_trainable_parameters()
    found = encode(rows, AutoTokenizer.from_pretrained(base), 512)
    tokens, answers = sum(found.lengths), sum(row.response for row in found.sequences)
    return tokens, 4 * body + 6 * own + 4 * head * answers / tokens


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("peers", nargs="*", default=["trl", "trl-fp32"])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--side", type=json.loads, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.side:
        side, base, folder, count = chosen.side
        run_side(side, Path(base), Path(folder), count)
        return
    base, sides = bases.resolve(BaseSettings()).folder, ["ours", *chosen.peers]
    rows, held_out = read_rows(chosen.steps * ROWS)
    tokens, operations = count_operations(base, rows)
    before = measure_ceilings()
    with tempfile.TemporaryDirectory() as folder:
        seconds, outcomes = take_turns(sides, base, Path(folder), len(rows))
        losses = {side: measure_loss(base, Path(folder, side, "adapter"), held_out) for side in sides}
    after = measure_ceilings()
    ceilings = {name: max(before[name], after[name]) for name in before}
    print(f"{len(rows)} rows, {tokens:,} tokens; loss on {len(held_out)} others before training {measure_loss(base, None, held_out):.4f}")
    print("ceiling: " + ", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in ceilings.items()))
    print(f"{'':10}{'tokens/s':>10}{'ratio':>8}{'loss':>9}{'to ours':>9}{'steps':>7}{'MiB':>7}   of the ceiling in bf16, fp32; computes in")
    for side in sides:
        speed, outcome = tokens / seconds[side], outcomes[side]
        shares = ", ".join(f"{speed * operations / rate:.0%}" for rate in ceilings.values())
        print(
            f"{side:10}{speed:10.1f}{seconds[side] / seconds['ours']:8.2f}{losses[side]:9.4f}{losses[side] / losses['ours'] - 1:9.2%}"
            f"{outcome['steps']:7}{outcome['memory']:7}   {shares}; {outcome['arithmetic']}"
        )
    print(f"padding in ours: {outcomes['ours']['padding']:.1%}")


if __name__ == "__main__":
    main()
