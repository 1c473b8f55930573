"""What one GPU does of training, answering and swapping adapters, at the shapes of Llama 3.2 1B and 3.1 8B with random weights.

    python benchmarks/gpu.py            one call under 8 minutes, without a network
    python benchmarks/gpu.py --toy      the same at toy shapes, also on a CPU: it shows that all parts run, and measures nothing
    python benchmarks/gpu.py train-1b swap    these parts alone

Each part prints a JSON line as soon as it is done, so that a call that is cut off keeps what it has; a part that would begin after the
budget, or whose library is not installed, is a line that says so. MFU counts the operations that a training needs, (4 x body + 6 x LoRA +
4 x head x share of the responses) a token, against the best matrix product measured here; HFU counts the second forward pass of gradient
checkpointing too. Lengths of rows are drawn from LENGTHS. Marks, on paper: 40 % MFU for 8B without checkpointing and 35 % for 1B, 2 times
TRL's defaults, a merged swap of 8B under 10 s.
"""

import argparse
import gc
import importlib.metadata
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback

from xlift.harness.config.suite import BaseSettings, EngineSettings, TrainSettings
from xlift.harness.core.types import Sampling
from xlift.harness.models import bases
from xlift.harness.models.shape import Shape
from xlift.harness.recipes.contract import Dpo, Sft
from xlift.harness.training import batching, trainer
from xlift.harness.training.batching import Corpus, Course, Encoded
from xlift.harness.training.dpo import PreferenceTrainer
from xlift.harness.training.sft import CourseTrainer

BUDGET = 460.0
"""Seconds after which no part is begun."""
LENGTHS = ((38, 12), (44, 21), (52, 33), (61, 48), (70, 66), (84, 95), (103, 140), (138, 215), (210, 330), (420, 510))
"""Tokens of prompt and response at the tenths of a mixture of xlift's rows: translations are short, instructions long."""
LORA = {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}
STEPS, WARM = 12, 3
CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"


@dataclass(frozen=True)
class Size:
    """A model's shape, and how much of it goes through at once."""

    name: str
    shape: Shape
    heads: int
    key_heads: int
    batch_tokens: int
    micro_tokens: int


ONE = Size("1B", Shape(2048, 16, 8192, 2048, 512, 128256, True), 32, 8, 16384, 8192)
EIGHT = Size("8B", Shape(4096, 32, 14336, 4096, 1024, 128256, False), 32, 8, 8192, 4096)
TOY = Size("toy", Shape(64, 2, 128, 64, 32, 512, True), 4, 2, 2048, 2048)


class Part:
    """What all parts share: whether shapes are toys, and the ceiling once it is measured."""

    def __init__(self, toy: bool) -> None:
        self.toy, self.ceiling = toy, 0.0
        self.losses: dict[str, list[float]] = {}

    def choose(self, size: Size) -> Size:
        return TOY if self.toy else size


def sync() -> None:
    if CUDA:
        torch.cuda.synchronize()


def peak_gib() -> float:
    return round(torch.cuda.max_memory_allocated() / 2**30, 2) if CUDA else 0.0


@contextmanager
def fresh() -> Iterator[None]:
    """Memory as it was, before and after."""
    gc.collect()
    if CUDA:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    yield
    gc.collect()


def build_model(size: Size, **options: Any) -> LlamaForCausalLM:
    """Random weights in bf16, made on the device."""
    shape = size.shape
    config = LlamaConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, intermediate_size=shape.feed_forward, num_hidden_layers=shape.layers,
        num_attention_heads=size.heads, num_key_value_heads=size.key_heads, head_dim=shape.queries // size.heads, bos_token_id=1,
        max_position_embeddings=4096, tie_word_embeddings=shape.tied, eos_token_id=2, pad_token_id=0, **options,
    )  # fmt: skip
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(DEVICE):
            return LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)


def build_tokenizer(size: Size) -> PreTrainedTokenizerFast:
    """Numbers as words: the parts make tokens themselves."""
    words = {f"t{number}": number for number in range(size.shape.vocabulary)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="t3")), eos_token="t2", pad_token="t0", unk_token="t3"
    )


def draw_corpus(size: Size, tokens: int, sides: int = 1) -> Corpus:
    """Rows of random tokens, of the lengths of xlift's own; with two sides preferences."""
    draw, rows, spent = random.Random(0), [], 0
    while spent < tokens:
        prompt, response = draw.choice(LENGTHS)
        start = [draw.randrange(4, size.shape.vocabulary) for _ in range(prompt)]
        for side in range(sides):
            answer = [draw.randrange(4, size.shape.vocabulary) for _ in range(max(4, response - 5 * side))]
            rows.append(Encoded(f"r{len(rows)}", "row", (*start, *answer), prompt))
            spent += prompt + len(answer)
    return Corpus(tuple(rows), 0, 0, (sides,) * (len(rows) // sides))


def plan_course(size: Size, settings: TrainSettings, sides: int = 1) -> Course:
    corpus = draw_corpus(size, settings.batch_tokens * STEPS, sides)
    return batching.plan(
        corpus, settings.model_copy(update={"tokens": settings.batch_tokens * STEPS}), 0, (), Dpo() if sides > 1 else Sft()
    )


def settings_of(size: Size, **changes: Any) -> TrainSettings:
    return TrainSettings(
        batch_tokens=size.batch_tokens, micro_batch_tokens=size.micro_tokens, lora=LORA, checkpoint_steps=10_000, **changes
    )


class Clock(TrainerCallback):
    """The seconds of each step, and its loss."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.losses: list[float] = []

    def on_step_begin(self, *arguments: Any, **named: Any) -> None:
        sync()
        self.begun = time.perf_counter()

    def on_step_end(self, *arguments: Any, **named: Any) -> None:
        sync()
        self.seconds.append(time.perf_counter() - self.begun)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **named: Any) -> None:
        if logs and "loss" in logs:
            self.losses.append(logs["loss"])


def tell_speed(part: Part, size: Size, tokens: float, seconds: float, share: float, checkpointing: bool = False) -> dict[str, Any]:
    """Tokens a second and the shares of the ceiling, of steps of so many tokens."""
    shape, speed = size.shape, tokens / seconds
    wide = 2 * (shape.hidden + shape.queries) + 2 * (shape.hidden + shape.keys) + 3 * (shape.hidden + shape.feed_forward)
    lora, head = LORA["r"] * shape.layers * wide, shape.vocabulary * shape.hidden  # type: ignore[operator]
    needed = 4 * shape.body + 6 * lora + 4 * head * share
    said = {"model": size.name, "tokens_per_second": round(speed), "peak_gib": peak_gib()}
    if part.ceiling:
        said["mfu"] = round(needed * speed / part.ceiling, 3)
        said["hfu"] = round((needed + 2 * shape.body * checkpointing) * speed / part.ceiling, 3)
    return said


def measure_ceiling(part: Part) -> dict[str, Any]:
    """The best bf16 product of square matrices."""
    speeds = {}
    for width in (256,) if part.toy else (4096, 8192):
        one, other = (torch.randn(width, width, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
        best = 0.0
        for _ in range(4):
            sync()
            begun = time.perf_counter()
            for _ in range(10):
                one @ other
            sync()
            best = max(best, 20 * width**3 / (time.perf_counter() - begun))
        speeds[str(width)] = round(best / 1e12, 2)
        part.ceiling = max(part.ceiling, best)
    return {"tflops": speeds}


def train_ours(part: Part, size: Size, folder: Path, **changes: Any) -> dict[str, Any]:
    """xlift's own trainer: batches of like lengths, without packing."""
    with fresh():
        settings, clock = settings_of(size, **changes), Clock()
        course = plan_course(size, settings)
        model = build_model(size)
        found = CourseTrainer(
            course, 0, "benchmark", 0.0, model=model, processing_class=build_tokenizer(size), callbacks=[clock],
            args=trainer._arguments(settings, len(course.steps), 0, folder), peft_config=LoraConfig(task_type="CAUSAL_LM", **LORA),
        )  # fmt: skip
        found.train()
        trained = course.tokens[-1] - course.tokens[WARM - 1]
        share = course.response_tokens / course.tokens[-1]
        part.losses.setdefault("bucketed", clock.losses)
        return tell_speed(part, size, trained, sum(clock.seconds[WARM:]), share, settings.gradient_checkpointing)


def pack(course: Course, limit: int) -> list[list[list[Encoded]]]:
    """The rows of each step in passes of at most ``limit`` tokens, put end to end."""
    steps = []
    for step in course.steps:
        passes: list[list[Encoded]] = [[]]
        for number in (number for one in step for batch in one for number in batch):
            row = course.corpus.sequences[number]
            if passes[-1] and sum(len(other.tokens) for other in passes[-1]) + len(row.tokens) > limit:
                passes.append([])
            passes[-1].append(row)
        steps.append(passes)
    return steps


def lay_out(rows: list[Encoded]) -> dict[str, torch.Tensor]:
    """Rows in one line: positions that begin anew tell attention where a row ends. The first token of a row is nobody's label."""
    ids = [token for row in rows for token in row.tokens]
    places = [place for row in rows for place in range(len(row.tokens))]
    labels = [token if place >= row.prompt else -100 for row in rows for place, token in enumerate(row.tokens)]
    found = {"input_ids": ids, "position_ids": places, "labels": labels}
    return {name: torch.tensor([values], device=DEVICE) for name, values in found.items()}


def train_packed(part: Part, size: Size, name: str, *, liger: bool = False, compiled: bool = False) -> dict[str, Any]:
    """The same steps in a plain loop, packed."""
    on_gpu = "flash_attention_2" if find_version("flash_attn") else "flex_attention"
    attention = on_gpu if CUDA else "sdpa"
    with fresh():
        settings = settings_of(size)
        course, model = plan_course(size, settings), build_model(size, attn_implementation=attention)
        if liger:
            from liger_kernel.transformers import apply_liger_kernel_to_llama

            apply_liger_kernel_to_llama(model=model)
        tuned: Any = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **LORA))
        for weight in tuned.parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()
        run: Callable[..., Any] = torch.compile(tuned, dynamic=True) if compiled else tuned
        optimiser = torch.optim.AdamW((weight for weight in tuned.parameters() if weight.requires_grad), lr=settings.learning_rate)
        seconds, losses = [], []
        for passes in pack(course, settings.micro_batch_tokens):
            sync()
            begun, loss = time.perf_counter(), 0.0
            count = sum(row.response for rows in passes for row in rows)
            for rows in passes:
                with torch.autocast(DEVICE, torch.bfloat16):
                    part_loss = run(**lay_out(rows), num_items_in_batch=count, use_cache=False).loss
                part_loss.backward()
                loss += float(part_loss.detach())
            optimiser.step()
            optimiser.zero_grad()
            sync()
            seconds.append(time.perf_counter() - begun)
            losses.append(loss)
        part.losses[name] = losses
        share = course.response_tokens / course.tokens[-1]
        found = tell_speed(part, size, course.tokens[-1] - course.tokens[WARM - 1], sum(seconds[WARM:]), share)
        return {**found, "attention": attention}


def compare_losses(part: Part) -> dict[str, Any]:
    """The first step's loss, before any weight has moved, of each way against the bucketed one."""
    if "bucketed" not in part.losses or len(part.losses) < 2:
        return {"skipped": "needs train-1b and another way of training"}
    first = part.losses["bucketed"][0]
    off = {name: round(abs(losses[0] / first - 1), 5) for name, losses in part.losses.items()}
    return {"first_loss": round(first, 4), "relative_difference": off, "within_1_percent": max(off.values()) < 0.01}


def train_pairs(part: Part, folder: Path) -> dict[str, Any]:
    size = part.choose(ONE)
    with fresh():
        settings, clock = settings_of(size), Clock()
        course = plan_course(size, settings, sides=2)
        found = PreferenceTrainer(
            Dpo(), course, 0, "benchmark", 0.0, model=build_model(size), processing_class=build_tokenizer(size), callbacks=[clock],
            args=trainer._arguments(settings, len(course.steps), 0, folder), peft_config=LoraConfig(task_type="CAUSAL_LM", **LORA),
        )  # fmt: skip
        begun = time.perf_counter()
        found.read_reference(folder / "reference", settings.micro_batch_tokens)
        sync()
        scoring = time.perf_counter() - begun
        found.train()
        pairs = sum(course.rows[WARM:]) / sum(clock.seconds[WARM:])
        return {"model": size.name, "pairs_per_second": round(pairs, 1), "reference_seconds": round(scoring, 1), "peak_gib": peak_gib()}


def write_base(size: Size, folder: Path) -> bases.Base:
    tokenizer = build_tokenizer(size)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    tokenizer.save_pretrained(folder)
    build_model(size).save_pretrained(folder)
    return bases.resolve(BaseSettings(model=str(folder)))


def prompts_of(size: Size, count: int) -> list[list[int]]:
    draw = random.Random(1)
    return [[draw.randrange(4, size.shape.vocabulary) for _ in range(draw.choice(LENGTHS)[0])] for _ in range(count)]


def answer(part: Part, folder: Path) -> dict[str, Any]:
    """xlift's hf engine, and transformers' continuous batching beside it."""
    from xlift.harness.engines.hf import HfEngine

    size, count, tokens = part.choose(ONE), 8 if part.toy else 256, 8 if part.toy else 128
    with fresh():
        base = write_base(size, folder / "base")
        prompts = prompts_of(size, count)
        with HfEngine(base, EngineSettings(backend="hf", dtype="bfloat16", batch_tokens=65536)) as engine:
            sync()
            begun = time.perf_counter()
            made = [
                found for done in engine._answer(prompts, [Sampling(max_tokens=tokens)] * count, [0] * count) for found in done.values()
            ]
            sync()
            seconds = time.perf_counter() - begun
            ours = {"model": size.name, "tokens_per_second": round(sum(one.tokens for one in made) / seconds), "peak_gib": peak_gib()}
            model = engine.model
            if not CUDA or not hasattr(model, "generate_batch"):
                return {**ours, "continuous_batching": "skipped: it needs a GPU"}
            from transformers import GenerationConfig

            begun = time.perf_counter()
            found = model.generate_batch(
                prompts, generation_config=GenerationConfig(max_new_tokens=tokens, eos_token_id=2, do_sample=False)
            )
            sync()
            theirs = sum(len(one.generated_tokens) for one in found.values()) / (time.perf_counter() - begun)
            return {**ours, "continuous_batching": {"tokens_per_second": round(theirs)}}


def swap(part: Part) -> dict[str, Any]:
    """Merging a LoRA into the weights and taking it out again, against attaching it."""
    size = part.choose(EIGHT)
    with fresh():
        tuned: Any = get_peft_model(build_model(size), LoraConfig(task_type="CAUSAL_LM", **LORA))
        tuned.add_adapter("second", LoraConfig(task_type="CAUSAL_LM", **LORA))
        times = {}
        for name, work in (
            ("attach", lambda: tuned.set_adapter("second")),
            ("merge", tuned.merge_adapter),
            ("unmerge", tuned.unmerge_adapter),
        ):
            sync()
            begun = time.perf_counter()
            work()
            sync()
            times[f"{name}_seconds"] = round(time.perf_counter() - begun, 3)
        return {"model": size.name, **times, "peak_gib": peak_gib()}


def answer_with_vllm(part: Part, folder: Path) -> dict[str, Any]:
    size = part.choose(ONE)
    if not find_version("vllm"):
        return {"skipped": "vllm is not installed"}
    if not CUDA:
        return {"skipped": "vllm on a CPU is measured by benchmarks/evaluation.py"}
    with fresh():
        from vllm import LLM, SamplingParams, TokensPrompt

        base = write_base(size, folder / "vllm-base")
        model = LLM(model=str(base.folder), dtype="bfloat16", max_model_len=2048, gpu_memory_utilization=0.6)
        prompts = [TokensPrompt(prompt_token_ids=ids) for ids in prompts_of(size, 256)]
        begun = time.perf_counter()
        made = model.generate(prompts, SamplingParams(max_tokens=128, temperature=0), use_tqdm=False)
        tokens = sum(len(one.outputs[0].token_ids) for one in made)
        return {"model": size.name, "tokens_per_second": round(tokens / (time.perf_counter() - begun))}


def train_trl(part: Part, folder: Path, packing: bool) -> dict[str, Any]:
    """TRL's SFTTrainer with its defaults, on the same rows."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    size = part.choose(ONE)
    if packing and not find_version("flash_attn"):
        return {"skipped": "packing in TRL wants flash-attention, which is not installed"}
    with fresh():
        settings, clock = settings_of(size), Clock()
        corpus = plan_course(size, settings).corpus
        rows = [{"input_ids": list(row.tokens), "labels": [-100] * row.prompt + list(row.tokens[row.prompt :])} for row in corpus.sequences]
        config = SFTConfig(
            output_dir=str(folder), max_steps=STEPS, packing=packing, report_to="none", disable_tqdm=True, save_strategy="no",
            use_cpu=not CUDA, bf16=True, logging_steps=1,
        )  # fmt: skip
        options: dict[str, Any] = {"attn_implementation": "flash_attention_2"} if packing else {}
        found = SFTTrainer(
            model=build_model(size, **options), args=config, train_dataset=Dataset.from_list(rows), processing_class=build_tokenizer(size),
            peft_config=LoraConfig(task_type="CAUSAL_LM", **LORA), callbacks=[clock],
        )  # fmt: skip
        begun = found.state.num_input_tokens_seen
        found.train()
        seen = [entry["num_tokens"] for entry in found.state.log_history if "num_tokens" in entry]
        trained = seen[-1] - seen[WARM - 1] if len(seen) > WARM else begun
        share = sum(row.response for row in corpus.sequences) / sum(corpus.lengths)
        return tell_speed(part, size, trained, sum(clock.seconds[WARM:]), share, checkpointing=True)


def find_version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""


def with_liger(part: Part) -> dict[str, Any]:
    if not find_version("liger_kernel"):
        return {"skipped": "liger_kernel is not installed"}
    return train_packed(part, part.choose(ONE), "liger", liger=True)


def with_compile(part: Part) -> dict[str, Any]:
    if not CUDA:
        return {"skipped": "compiling for a CPU takes longer than the budget"}
    return train_packed(part, part.choose(ONE), "compiled", compiled=True)


def list_parts(part: Part, folder: Path) -> dict[str, Callable[[], dict[str, Any]]]:
    one, eight = part.choose(ONE), part.choose(EIGHT)
    return {
        "ceiling": lambda: measure_ceiling(part),
        "train-1b": lambda: train_ours(part, one, folder / "1b"),
        "train-1b-packed": lambda: train_packed(part, one, "packed"),
        "train-1b-liger": lambda: with_liger(part),
        "train-1b-compiled": lambda: with_compile(part),
        "equal-loss": lambda: compare_losses(part),
        "train-8b": lambda: train_ours(part, eight, folder / "8b"),
        "train-8b-checkpointing": lambda: train_ours(part, eight, folder / "8bc", gradient_checkpointing=True),
        "dpo-1b": lambda: train_pairs(part, folder / "dpo"),
        "answers-1b": lambda: answer(part, folder),
        "swap-8b": lambda: swap(part),
        "vllm-1b": lambda: answer_with_vllm(part, folder),
        "trl-1b": lambda: train_trl(part, folder / "trl", packing=False),
        "trl-1b-packing": lambda: train_trl(part, folder / "trlp", packing=True),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="toy shapes, for any machine")
    parser.add_argument("parts", nargs="*", help="parts to run; all without")
    asked = parser.parse_args()
    if not CUDA and not asked.toy:
        sys.exit("benchmarks/gpu.py: there is no GPU here; --toy shows on a CPU that all parts run")
    begun = time.monotonic()
    card = torch.cuda.get_device_name() if CUDA else f"cpu, {torch.get_num_threads()} threads"
    libraries = {name: find_version(name) for name in ("torch", "transformers", "trl", "peft", "vllm", "flash_attn", "liger_kernel")}
    print(json.dumps({"part": "machine", "card": card, "toy": asked.toy, "libraries": libraries}), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        parts = list_parts(Part(asked.toy), Path(temporary))
        if unknown := [name for name in asked.parts if name not in parts]:
            sys.exit(f"benchmarks/gpu.py: no part {unknown[0]!r}; there are {', '.join(parts)}")
        for name, work in parts.items():
            if asked.parts and name not in asked.parts:
                continue
            started = time.monotonic()
            if started - begun > BUDGET:
                said: dict[str, Any] = {"skipped": "the time was up"}
            else:
                try:
                    with redirect_stdout(sys.stderr):  # trainers print their losses
                        said = work()
                except Exception as error:  # a part that fails must not take the others with it
                    said = {"failed": f"{type(error).__name__}: {str(error)[:300]}"}
            print(json.dumps({"part": name, **said, "seconds": round(time.monotonic() - started, 1)}), flush=True)


if __name__ == "__main__":
    main()
